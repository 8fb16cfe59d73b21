import type { Timer } from '../../platform/index.ts'
import { SystemTopic } from '../../protocol/index.ts'
import type { MessageInput, QueueUnit } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { PromiseWaiter } from '../send/index.ts'
import { deliveryOf } from './delivery.ts'

/** Units of a level that are looked at together, and messages of one entry. */
const unitsMax = 256
/** Bodies of one entry; the first message always goes. */
const entryBytesMax = 1_048_576
/** Wait after a failure, ms; as the original's next look. */
const retryMs = 100
/** The wall clock may be set, so no wait is longer, ms. */
const sleepMsMax = 5_000

class Level {
  /** From 1. */
  readonly level: number
  readonly delayMs: number
  /** Next queue offset to deliver. */
  offset = 0
  timer: Timer | null = null
  pumping: boolean = false
  again: boolean = false

  constructor(level: number, delayMs: number) {
    this.level = level
    this.delayMs = delayMs
  }
}

/**
 * Delivers delayed messages when their time has come (broker.md 5.1), on the leader. Each level is a queue in order of due times; only
 * its head is looked at, so a million waiting messages cost nothing. A delivery and the level's progress stand in one entry (R-A3): a
 * failover neither loses nor doubles one.
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
    for (const level of this.#levels) {
      const minOffset = store.minOffset(SystemTopic.SCHEDULE, level.level - 1)
      level.offset = Math.max(store.tables.delayProgress(level.level), minOffset)
      this.#wake(level)
    }
  }

  stop(): void {
    this.#running = false
    this.#generation++
    for (const level of this.#levels) {
      level.timer?.cancel()
      level.timer = null
      level.again = false
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

  /** Delivers what is due and leaves a timer for what is next, or none when the level is empty. */
  async #pump(level: Level, generation: number): Promise<void> {
    const { store, platform } = this.#broker
    do {
      level.again = false
      for (;;) {
        const units = await store.units(
          SystemTopic.SCHEDULE,
          level.level - 1,
          level.offset,
          unitsMax
        )
        if (generation !== this.#generation) break
        const first = units[0]
        if (first === undefined) break
        const nowMs = platform.clock.wallMs()
        const due = dueUnits(units, nowMs, level.delayMs)
        if (due === 0) {
          this.#sleep(level, Math.min(sleepMsMax, Math.max(1, Math.ceil(first.tagsCode - nowMs))))
          break
        }
        const delivered = await this.#deliver(level, units.slice(0, due), generation)
        if (generation !== this.#generation) break
        if (delivered === 0) {
          this.#sleep(level, retryMs)
          break
        }
        level.offset += delivered
      }
    } while (level.again && generation === this.#generation && level.timer === null)
    level.pumping = false
    // A new leadership began while this one's last answer was awaited.
    if (generation !== this.#generation && this.#running) this.#wake(level)
  }

  /** Resolves to how many units are done with: delivered, or gone for good. 0: try again. */
  async #deliver(level: Level, units: readonly QueueUnit[], generation: number): Promise<number> {
    const { store, stats } = this.#broker
    const messages: MessageInput[] = []
    let bytes = 0
    let taken = 0
    for (const unit of units) {
      if (messages.length > 0 && bytes + unit.size > entryBytesMax) break
      const stored = await store.messageAt(unit.physicalOffset)
      if (generation !== this.#generation) return 0
      if (stored === null && unit.physicalOffset >= store.runtime().logStartPosition) {
        // Not readable now: it is repaired from the other members. Those before it go meanwhile.
        if (taken === 0) throw new Error(`no message can be read at ${unit.physicalOffset}`)
        break
      }
      taken++
      const message = stored === null ? null : deliveryOf(stored, this.#broker.storeHost)
      if (message === null) {
        this.#broker.logger.warn('Delayed message dropped: it is gone or names no topic', {
          level: level.level,
          physicalOffset: unit.physicalOffset
        })
        continue
      }
      messages.push(message)
      bytes += unit.size
    }
    const progress = {
      type: 'delayProgress',
      level: level.level,
      offset: level.offset + taken
    } as const
    if (messages.length === 0) {
      await store.execute(progress)
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
      return taken
    }
    if (refused !== null) return 0
    const outcome = await waiter.outcome
    if (!outcome.stored)
      return await this.#whetherDone(level, progress.offset, outcome.reason, taken, generation)
    for (const message of messages)
      stats.put(message.topic, message.queueId, 1, message.body.length)
    return taken
  }

  /**
   * After a failure the entry may still be committed: as long as this node leads, an entry in its log will be. Sending it again would
   * deliver twice, so the mark itself is waited for.
   */
  async #whetherDone(
    level: Level,
    offset: number,
    reason: string,
    taken: number,
    generation: number
  ): Promise<number> {
    if (reason === 'notStarted') return 0
    const { store, platform } = this.#broker
    while (generation === this.#generation) {
      if (store.tables.delayProgress(level.level) >= offset) return taken
      await new Promise<void>(resolve => {
        platform.clock.after(retryMs, resolve)
      })
    }
    return 0
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
