import {
  ByteRange,
  getPropertiesRange,
  getStoreTimestamp,
  MessageProperty,
  PROPERTIES_BYTES_MAX
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import { compareTimers, type MessageInput, StoreError, type TimerRef } from '../../store/index.ts'
import { deliveryOf } from '../delay/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { type AppendOutcome, encodePair, PromiseWaiter } from '../send/index.ts'
import { storedBytes } from '../stats/index.ts'
import { LogAlarm } from './logAlarm.ts'

/** Timers that are looked at together, and messages of one entry. */
const timersMax = 1_024
/** Read ahead at first, and whenever an earlier time arrived: what is read may not be used. */
const aheadMin = 64
/** Entries of deliveries that are on their way at the same time: the next need not wait for the commit of the one before. */
const flightsMax = 8
/** Messages that are read together. */
const readsMax = 64
/** Bodies of one entry; the first message always goes. */
const entryBytesMax = 1_048_576
/** Wait after a failure, ms. */
const retryMs = 100
/** Recalls that may wait for the delivery under way. */
const recallsMax = 10_000

/** An entry of deliveries on its way. */
interface Flight {
  readonly timers: readonly TimerRef[]
  readonly messages: readonly MessageInput[]
}

interface Recall {
  readonly timers: readonly TimerRef[]
  readonly done: (recalled: boolean) => void
  readonly failed: (error: Error) => void
}

/**
 * Delivers messages at the time that they name (broker.md 5.3), on the leader, to the millisecond and in the order of their times, by the
 * time of the log, which no wall clock that is set makes jump. What waits is the store's to know; here is only the place up to which all
 * is done or on its way. A delivery and its mark stand in one entry (R-A3), and recalls go through the same loop when nothing is on its
 * way, so that nothing is delivered twice, or recalled and delivered.
 *
 *   due ── read ──▶ in flight ── stored ──▶ done
 *                      ├─ never began ──▶ due again, when all that flies has landed
 *                      └─ fate open ──▶ nothing more goes out until its mark is seen
 */
export class TimerService {
  readonly #broker: BrokerContext
  /** Of the leadership that the service works for; whoever awaited something under an older one stops. */
  #generation = 0
  #running: boolean = false
  #pumping: boolean = false
  readonly #alarm: LogAlarm
  /** Nothing before it waits, but what arrived since the last look. */
  #from: TimerRef = start
  /** The first that wait from there on; empty: to be read. */
  #ahead: readonly TimerRef[] = []
  #aheadMax = aheadMin
  /** Earliest time of what arrived since the last look. */
  #arrivedMs = Number.POSITIVE_INFINITY
  #recalls: Recall[] = []
  readonly #flights = new Set<Flight>()
  /** Where their messages lie. */
  readonly #flying = new Set<number>()
  /** The fate of a flight is open. */
  #isOpen: boolean = false
  /** The first timer of what has to be sent again. */
  #again: TimerRef | null = null
  /** Tells a pump that waits. */
  #landing: () => void = () => {}

  constructor(broker: BrokerContext) {
    this.#broker = broker
    const { platform, store } = broker
    this.#alarm = new LogAlarm(
      platform.clock,
      () => store.timeMs(),
      () => this.#wake()
    )
    store.onTimers(earliestDueMs => {
      if (!this.#running) return
      this.#arrivedMs = Math.min(this.#arrivedMs, earliestDueMs)
      if (!this.#pumping && earliestDueMs < this.#alarm.atMs) this.#alarm.set(earliestDueMs)
    })
  }

  /** This node leads now and has applied everything before. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#generation++
    this.#goTo(start)
    this.#wake()
  }

  stop(): void {
    this.#running = false
    this.#generation++
    this.#alarm.cancel()
    this.#flights.clear()
    this.#flying.clear()
    this.#isOpen = false
    this.#again = null
    this.#goTo(start)
    this.#landing()
    const recalls = this.#recalls
    this.#recalls = []
    for (const recall of recalls) recall.failed(this.#notLeader())
  }

  /**
   * Takes messages back. True: some waited, and wait no more, or all were taken back before; false: their time came first. Rejects with
   * NotLeaderError.
   */
  recall(timers: readonly TimerRef[]): Promise<boolean> {
    if (!this.#running) return Promise.reject(this.#notLeader())
    if (this.#recalls.length >= recallsMax)
      return Promise.reject(new Error('too many messages are being recalled, try again'))
    return new Promise((done, failed) => {
      this.#recalls.push({ timers, done, failed })
      this.#wake()
    })
  }

  #notLeader(): NotLeaderError {
    return new NotLeaderError(this.#broker.store.status().leaderId)
  }

  #wake(): void {
    this.#alarm.cancel()
    if (this.#pumping) return
    this.#pumping = true
    const generation = this.#generation
    this.#pump(generation).then(
      () => this.#ended(generation),
      (error: unknown) => {
        this.#failed(generation, error)
        this.#ended(generation)
      }
    )
  }

  #failed(generation: number, error: unknown): void {
    if (generation !== this.#generation) return
    this.#broker.logger.warn('Timed messages not delivered, trying again', {
      dueMs: this.#from.dueMs,
      reason: error instanceof Error ? error.message : String(error)
    })
    this.#alarm.set(this.#broker.store.timeMs() + retryMs)
  }

  #ended(generation: number): void {
    this.#pumping = false
    // A new leadership began while this one's last answer was awaited.
    if (generation !== this.#generation && this.#running) this.#wake()
    else if (this.#recalls.length > 0) this.#wake()
    else if (this.#running && this.#arrivedMs < this.#alarm.atMs) this.#alarm.set(this.#arrivedMs)
  }

  /** Sends what is due and leaves a timer for what is next, or none when nothing waits. */
  async #pump(generation: number): Promise<void> {
    const { store } = this.#broker
    while (generation === this.#generation) {
      if (this.#mustWait()) {
        await new Promise<void>(resolve => {
          this.#landing = resolve
        })
        continue
      }
      if (this.#again !== null) {
        this.#goTo(this.#again)
        this.#again = null
        this.#alarm.set(store.timeMs() + retryMs)
        return
      }
      await this.#recallAll(generation)
      if (generation !== this.#generation) return
      this.#heedArrivals()
      if (this.#ahead.length === 0) await this.#readAhead(generation)
      if (generation !== this.#generation) return
      const nowMs = store.timeMs()
      const due = this.#due(nowMs)
      if (due.length === 0) {
        if (this.#recalls.length > 0 || this.#again !== null) continue
        this.#alarm.set(this.#ahead[0]?.dueMs ?? Number.POSITIVE_INFINITY)
        return
      }
      const last = await this.#deliver(due, generation)
      if (generation !== this.#generation) return
      if (last === null) {
        this.#alarm.set(nowMs + retryMs)
        return
      }
      this.#from = { dueMs: last.dueMs, position: last.position + 1 }
      this.#ahead = this.#ahead.slice(due.indexOf(last) + 1)
    }
  }

  /** Something on its way has to land first. */
  #mustWait(): boolean {
    const { size } = this.#flights
    if (size === 0) return false
    return size >= flightsMax || this.#isOpen || this.#again !== null || this.#recalls.length > 0
  }

  #goTo(from: TimerRef): void {
    this.#from = from
    this.#ahead = []
  }

  /** One with an earlier time than the last that was read ahead leads back, perhaps before some that are on their way. */
  #heedArrivals(): void {
    const arrivedMs = this.#arrivedMs
    this.#arrivedMs = Number.POSITIVE_INFINITY
    const last = this.#ahead[this.#ahead.length - 1]
    if (last !== undefined && arrivedMs <= last.dueMs) {
      this.#goTo(this.#from)
      this.#aheadMax = aheadMin
    }
    if (arrivedMs < this.#from.dueMs) this.#goTo({ dueMs: arrivedMs, position: 0 })
  }

  async #readAhead(generation: number): Promise<void> {
    const max = this.#aheadMax
    this.#aheadMax = Math.min(timersMax, 2 * max)
    const flying = new Set(this.#flying)
    for (let from = this.#from; ; ) {
      const timers = await this.#broker.store.timers(from, Number.MAX_SAFE_INTEGER - 1, max)
      if (generation !== this.#generation) return
      this.#ahead = timers.filter(({ position }) => !flying.has(position))
      if (this.#ahead.length > 0 || timers.length < max) return
      // All of them are on their way.
      const last = timers[max - 1]!
      from = { dueMs: last.dueMs, position: last.position + 1 }
    }
  }

  #due(nowMs: number): readonly TimerRef[] {
    const ahead = this.#ahead
    let count = 0
    while (count < Math.min(ahead.length, timersMax) && ahead[count]!.dueMs <= nowMs) count++
    return ahead.slice(0, count)
  }

  async #recallAll(generation: number): Promise<void> {
    while (this.#recalls.length > 0) {
      const recall = this.#recalls.shift()!
      try {
        const recalled = await this.#recall(recall.timers, generation)
        if (generation === this.#generation) recall.done(recalled)
        else recall.failed(this.#notLeader())
      } catch (error) {
        recall.failed(error instanceof Error ? error : new Error(String(error)))
      }
      if (generation !== this.#generation) return
    }
  }

  async #recall(timers: readonly TimerRef[], generation: number): Promise<boolean> {
    const { store, logger } = this.#broker
    const waiting: TimerRef[] = []
    for (const timer of timers) {
      if (await this.#waits(timer)) waiting.push(timer)
      if (generation !== this.#generation) return false
    }
    // Taken back before, else delivered.
    if (waiting.length === 0) return timers.every(({ dueMs }) => dueMs > store.timeMs())
    await this.#mark(waiting, generation)
    // They may be among those.
    if (generation === this.#generation) this.#goTo(this.#from)
    logger.debug('Timed messages recalled', { messages: waiting.length })
    return true
  }

  async #waits(timer: TimerRef): Promise<boolean> {
    const [found] = await this.#broker.store.timers(timer, timer.dueMs, 1)
    return found?.position === timer.position
  }

  /** Resolves to the last timer that is on its way now, or gone for good. Null: try again. */
  async #deliver(due: readonly TimerRef[], generation: number): Promise<TimerRef | null> {
    const { store, logger } = this.#broker
    const { messages, taken } = await this.#read(due, generation)
    if (generation !== this.#generation) return null
    const last = taken[taken.length - 1]!
    if (messages.length === 0) {
      await this.#mark(taken, generation)
      return last
    }
    const waiter = new PromiseWaiter()
    const refused = store.appendAtomic(messages, [{ type: 'timersDone', timers: taken }], waiter)
    if (refused === 'tooLarge' || refused === 'illegal') {
      if (taken.length > 1) return await this.#deliver(due.slice(0, 1), generation)
      logger.error('Timed message dropped: the log does not take it again', { ...last, refused })
      await this.#mark(taken, generation)
      return last
    }
    if (refused !== null) return null
    const flight = { timers: taken, messages }
    this.#flights.add(flight)
    for (const { position } of taken) this.#flying.add(position)
    void waiter.outcome.then(outcome => this.#landed(flight, outcome, generation))
    return last
  }

  /** What one entry holds of them, and those that are gone for good. */
  async #read(
    due: readonly TimerRef[],
    generation: number
  ): Promise<{ messages: MessageInput[]; taken: TimerRef[] }> {
    const { store, logger } = this.#broker
    const messages: MessageInput[] = []
    const taken: TimerRef[] = []
    let bytes = 0
    for (let at = 0; at < due.length; at += readsMax) {
      const timers = due.slice(at, at + readsMax)
      const read = await Promise.all(timers.map(({ position }) => store.messageAt(position)))
      if (generation !== this.#generation) break
      for (const [i, timer] of timers.entries()) {
        const stored = read[i]!
        if (stored === null && timer.position >= store.runtime().logStartPosition) {
          // Not readable now: it is repaired from the other members. Those before it go meanwhile.
          if (taken.length === 0) throw new Error(`no message can be read at ${timer.position}`)
          return { messages, taken }
        }
        if (stored !== null && messages.length > 0 && bytes + stored.length > entryBytesMax)
          return { messages, taken }
        const message = stored === null ? null : this.#delivery(stored)
        taken.push(timer)
        if (message === null) {
          logger.warn('Timed message dropped: it is gone or names no topic', { ...timer })
          continue
        }
        messages.push(message)
        bytes += stored!.length
      }
    }
    return { messages, taken }
  }

  async #landed(flight: Flight, outcome: AppendOutcome, generation: number): Promise<void> {
    let { stored } = outcome
    if (!outcome.stored && outcome.reason !== 'notStarted' && generation === this.#generation) {
      this.#isOpen = true
      stored = await this.#whetherDone(flight.timers[0]!, generation)
    }
    if (generation !== this.#generation) return
    this.#flights.delete(flight)
    for (const { position } of flight.timers) this.#flying.delete(position)
    if (stored) {
      for (const message of flight.messages)
        this.#broker.stats.put(message.topic, message.queueId, 1, storedBytes(message))
    } else {
      const [first] = flight.timers
      if (this.#again === null || compareTimers(first!, this.#again) < 0) this.#again = first!
    }
    if (this.#flights.size === 0) this.#isOpen = false
    this.#landing()
    if (this.#flights.size === 0 && this.#again !== null) this.#wake()
  }

  /** Marks messages that are not delivered. Resolves when the mark is applied. */
  async #mark(timers: readonly TimerRef[], generation: number): Promise<void> {
    try {
      await this.#broker.store.execute({ type: 'timersDone', timers })
    } catch (error) {
      if (!(error instanceof StoreError && error.reason === 'timeout')) throw error
      if (!(await this.#whetherDone(timers[0]!, generation))) throw this.#notLeader()
    }
  }

  /**
   * After a failure the entry may still be committed: as long as this node leads, an entry in its log will be. Sending it again would
   * deliver twice, so the mark itself is waited for.
   */
  async #whetherDone(first: TimerRef, generation: number): Promise<boolean> {
    while (generation === this.#generation) {
      const waits = await this.#waits(first).catch(() => true)
      if (!waits) return true
      await new Promise<void>(resolve => {
        this.#broker.platform.clock.after(retryMs, resolve)
      })
    }
    return false
  }

  /** As it comes back, with the original's notes of when it began and ended to wait, where there is room for them. */
  #delivery(stored: Buffer): MessageInput | null {
    const { store, storeHost } = this.#broker
    const message = deliveryOf(stored, storeHost)
    if (message === null) return null
    const range = new ByteRange()
    getPropertiesRange(stored, 0, range)
    const notes = Buffer.concat([
      stored.subarray(range.start, range.end),
      encodePair(MessageProperty.TIMER_ENQUEUE_MS, String(getStoreTimestamp(stored, 0))),
      encodePair(MessageProperty.TIMER_DEQUEUE_MS, String(store.timeMs()))
    ])
    return notes.length <= PROPERTIES_BYTES_MAX ? { ...message, properties: notes } : message
  }
}

const start: TimerRef = { dueMs: 0, position: 0 }
