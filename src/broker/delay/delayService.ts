import type { Timer } from '../../platform/index.ts'
import { SystemTopic } from '../../protocol/index.ts'
import type { MessageInput, QueueUnit } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { type AppendOutcome, PromiseWaiter } from '../send/index.ts'
import { storedBytes } from '../stats/index.ts'
import { deliveryOf } from './delivery.ts'

/** Units of a level that are looked at together, and messages of one entry. */
const unitsMax = 512
/** Entries of a level that are on their way at the same time: the next need not wait for the commit of the one before. */
const flightsMax = 4
/** Bodies of one entry; the first message always goes. */
const entryBytesMax = 1_048_576
/** Wait after a failure, ms; as the original's next look. */
const retryMs = 100
/** The time of the log draws near to the wall clock, so no wait is longer, ms. */
const sleepMsMax = 5_000

class Level {
  /** From 1. */
  readonly level: number
  readonly delayMs: number
  /** Next queue offset to send out. */
  offset = 0
  /** Everything before it is delivered. */
  done = 0
  /** Entries on their way. */
  flights = 0
  /** The fate of one of them is open: nothing more goes out. */
  isOpen: boolean = false
  /** One of them never began: back to `done` when all have landed. */
  hasFailed: boolean = false
  timer: Timer | null = null
  pumping: boolean = false
  again: boolean = false

  constructor(level: number, delayMs: number) {
    this.level = level
    this.delayMs = delayMs
  }

  /** Something on its way has to land first. */
  get mustWait(): boolean {
    return this.flights > 0 && (this.flights >= flightsMax || this.isOpen || this.hasFailed)
  }

  begin(offset: number): void {
    this.offset = offset
    this.done = offset
    this.flights = 0
    this.isOpen = false
    this.hasFailed = false
  }
}

/**
 * Delivers delayed messages when their time has come (broker.md 5.1), on the leader, by the time of the log, which no wall clock that is
 * set makes jump. Each level is a queue in order of due times; only its head is looked at, so a million waiting messages cost nothing. A
 * delivery and the level's progress stand in one entry (R-A3): a failover neither loses nor doubles one. Several entries of a level are
 * on their way at once; the log keeps their order.
 */
export class DelayService {
  readonly #broker: BrokerContext
  readonly #levels: Level[]
  /** Of the leadership that the service works for; whoever awaited something under an older one stops. */
  #generation = 0
  #running: boolean = false

  constructor(broker: BrokerContext) {
    this.#broker = broker
    this.#levels = broker.config.settings.delayLevelsMs.map(
      (delayMs, i) => new Level(i + 1, delayMs)
    )
    broker.store.onArrival(arrivals => {
      if (!this.#running) return
      for (const arrival of arrivals) {
        if (arrival.topic !== SystemTopic.SCHEDULE) continue
        const level = this.#levels[arrival.queueId]
        // A level that sleeps has older messages in front.
        if (level !== undefined && level.timer === null) this.#wake(level)
      }
    })
  }

  /** This node leads now and has applied everything before. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#generation++
    const { store } = this.#broker
    this.#addFormerLevels()
    for (const level of this.#levels) {
      const minOffset = store.minOffset(SystemTopic.SCHEDULE, level.level - 1)
      level.begin(Math.max(store.tables.delayProgress(level.level), minOffset))
      this.#wake(level)
    }
  }

  /** messageDelayLevel had more of them: what waits there comes at the time that it was given. */
  #addFormerLevels(): void {
    const highest = Math.max(-1, ...this.#broker.store.queueIds(SystemTopic.SCHEDULE))
    for (let level = this.#levels.length + 1; level <= highest + 1; level++)
      this.#levels.push(new Level(level, Number.POSITIVE_INFINITY))
  }

  stop(): void {
    this.#running = false
    this.#generation++
    for (const level of this.#levels) {
      level.timer?.cancel()
      level.timer = null
      level.again = false
      level.begin(0)
    }
  }

  #wake(level: Level): void {
    level.timer?.cancel()
    level.timer = null
    if (level.pumping) {
      level.again = true
      return
    }
    level.pumping = true
    this.#pump(level, this.#generation).catch((error: unknown) => this.#failed(level, error))
  }

  #failed(level: Level, error: unknown): void {
    level.pumping = false
    if (!this.#running) return
    this.#broker.logger.warn('Delayed messages not delivered, trying again', {
      level: level.level,
      offset: level.offset,
      reason: error instanceof Error ? error.message : String(error)
    })
    this.#sleep(level, retryMs)
  }

  #sleep(level: Level, ms: number): void {
    level.timer?.cancel()
    level.timer = this.#broker.platform.clock.after(ms, () => {
      level.timer = null
      this.#wake(level)
    })
  }

  /** Sends out what is due and leaves a timer for what is next, or none when the level is empty or has to wait for what is on its way. */
  async #pump(level: Level, generation: number): Promise<void> {
    const { store } = this.#broker
    do {
      level.again = false
      while (!level.mustWait) {
        if (level.hasFailed) {
          level.hasFailed = false
          level.offset = level.done
          this.#sleep(level, retryMs)
          break
        }
        const units = await store.units(
          SystemTopic.SCHEDULE,
          level.level - 1,
          level.offset,
          unitsMax
        )
        if (generation !== this.#generation) break
        const first = units[0]
        if (first === undefined) break
        const nowMs = store.timeMs()
        const due = dueUnits(units, nowMs, level.delayMs)
        if (due === 0) {
          this.#sleep(level, Math.min(sleepMsMax, Math.max(1, Math.ceil(first.tagsCode - nowMs))))
          break
        }
        const taken = await this.#deliver(level, units.slice(0, due), generation)
        if (generation !== this.#generation) break
        if (taken === 0) {
          this.#sleep(level, retryMs)
          break
        }
        level.offset += taken
      }
    } while (level.again && generation === this.#generation && level.timer === null)
    level.pumping = false
    // A new leadership began while this one's last answer was awaited.
    if (generation !== this.#generation && this.#running) this.#wake(level)
  }

  /** Resolves to how many units are on their way, or gone for good. 0: try again. */
  async #deliver(level: Level, units: readonly QueueUnit[], generation: number): Promise<number> {
    const { store } = this.#broker
    const { messages, taken } = await this.#read(level, units)
    if (generation !== this.#generation) return 0
    const offset = level.offset + taken
    const progress = { type: 'delayProgress', level: level.level, offset } as const
    if (messages.length === 0) {
      await store.execute(progress)
      if (generation === this.#generation) level.done = Math.max(level.done, offset)
      return taken
    }
    const waiter = new PromiseWaiter()
    const refused = store.appendAtomic(messages, [progress], waiter)
    if (refused === 'tooLarge' || refused === 'illegal') {
      if (taken > 1) return await this.#deliver(level, units.slice(0, 1), generation)
      // It would hold up all that wait behind it for ever.
      this.#broker.logger.error('Delayed message dropped: the log does not take it again', {
        level: level.level,
        physicalOffset: units[0]!.physicalOffset,
        refused
      })
      await store.execute(progress)
      if (generation === this.#generation) level.done = Math.max(level.done, offset)
      return taken
    }
    if (refused !== null) return 0
    level.flights += 1
    void waiter.outcome.then(outcome =>
      this.#landed(level, { offset, messages }, outcome, generation)
    )
    return taken
  }

  /** What one entry holds of them, and how many units that are. */
  async #read(
    level: Level,
    units: readonly QueueUnit[]
  ): Promise<{ messages: MessageInput[]; taken: number }> {
    const { store } = this.#broker
    let bytes = 0
    const fitting = units.filter((unit, i) => {
      bytes += unit.size
      return i === 0 || bytes <= entryBytesMax
    })
    // One after the other: they lie in the order of the log, and what is read for one serves the next.
    const read: (Buffer | null)[] = []
    for (const unit of fitting) read.push(await store.messageAt(unit.physicalOffset))
    const messages: MessageInput[] = []
    for (const [i, { physicalOffset }] of fitting.entries()) {
      const stored = read[i]!
      if (stored === null && physicalOffset >= store.runtime().logStartPosition) {
        // Not readable now: it is repaired from the other members. Those before it go meanwhile.
        if (i === 0) throw new Error(`no message can be read at ${physicalOffset}`)
        return { messages, taken: i }
      }
      const message = stored === null ? null : deliveryOf(stored, this.#broker.storeHost)
      if (message !== null) messages.push(message)
      else
        this.#broker.logger.warn('Delayed message dropped: it is gone or names no topic', {
          level: level.level,
          physicalOffset
        })
    }
    return { messages, taken: fitting.length }
  }

  async #landed(
    level: Level,
    sent: { offset: number; messages: readonly MessageInput[] },
    outcome: AppendOutcome,
    generation: number
  ): Promise<void> {
    let { stored } = outcome
    if (!outcome.stored && outcome.reason !== 'notStarted' && generation === this.#generation) {
      level.isOpen = true
      stored = await this.#whetherDone(level, sent.offset, generation)
    }
    if (generation !== this.#generation) return
    const waited = level.mustWait
    level.flights -= 1
    if (stored) {
      level.done = Math.max(level.done, sent.offset)
      for (const message of sent.messages)
        this.#broker.stats.put(message.topic, message.queueId, 1, storedBytes(message))
    } else level.hasFailed = true
    if (level.flights === 0) level.isOpen = false
    if (level.flights === 0 ? waited || level.hasFailed : waited && !level.mustWait)
      this.#wake(level)
  }

  /**
   * After a failure the entry may still be committed: as long as this node leads, an entry in its log will be. Sending it again would
   * deliver twice, so the mark itself is waited for.
   */
  async #whetherDone(level: Level, offset: number, generation: number): Promise<boolean> {
    const { store, platform } = this.#broker
    while (generation === this.#generation) {
      if (store.tables.delayProgress(level.level) >= offset) return true
      await new Promise<void>(resolve => {
        platform.clock.after(retryMs, resolve)
      })
    }
    return false
  }
}

/** Store times come from several leaders' clocks, which differ a little. */
const clockSkewMs = 10_000

/** How many units at the head are due; one further off than the whole delay counts as due: the clock was set, or the level changed. */
function dueUnits(units: readonly QueueUnit[], nowMs: number, delayMs: number): number {
  let due = 0
  for (const unit of units) {
    if (unit.tagsCode > nowMs && unit.tagsCode <= nowMs + delayMs + clockSkewMs) break
    due++
  }
  return due
}
