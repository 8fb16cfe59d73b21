import type { Timer } from '../../platform/index.ts'
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
import { encodePair, PromiseWaiter } from '../send/index.ts'

/** Timers that are looked at together, and messages of one entry. */
const timersMax = 1_024
/** Bodies of one entry; the first message always goes. */
const entryBytesMax = 1_048_576
/** Wait after a failure, ms. */
const retryMs = 100
/** The wall clock may be set, so no wait is longer, ms. */
const sleepMsMax = 5_000
/** Recalls that may wait for the delivery under way. */
const recallsMax = 10_000

interface Recall {
  readonly timers: readonly TimerRef[]
  readonly done: (recalled: boolean) => void
  readonly failed: (error: Error) => void
}

/**
 * Delivers messages at the time that they name (broker.md 5.3), on the leader, to the millisecond and in the order of their times. What
 * waits is the store's to know; here is only the place up to which all is done. A delivery and its mark stand in one entry (R-A3), and
 * recalls go through the same loop, so that nothing is delivered twice, or recalled and delivered.
 */
export class TimerService {
  readonly #broker: BrokerContext
  /** Of the leadership that the service works for; whoever awaited something under an older one stops. */
  #generation = 0
  #running: boolean = false
  #pumping: boolean = false
  #timer: Timer | null = null
  /** When `#timer` is to look again, wall clock. */
  #wakesAtMs = Number.POSITIVE_INFINITY
  /** Nothing before it waits, but what arrived since the last look. */
  #from: TimerRef = start
  /** Earliest time of what arrived since the last look. */
  #arrivedMs = Number.POSITIVE_INFINITY
  #recalls: Recall[] = []

  constructor(broker: BrokerContext) {
    this.#broker = broker
    broker.store.onTimers(earliestDueMs => {
      if (!this.#running) return
      this.#arrivedMs = Math.min(this.#arrivedMs, earliestDueMs)
      if (!this.#pumping && earliestDueMs < this.#wakesAtMs) this.#sleepUntil(earliestDueMs)
    })
  }

  /** This node leads now and has applied everything before. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#generation++
    this.#from = start
    this.#wake()
  }

  stop(): void {
    this.#running = false
    this.#generation++
    this.#cancelTimer()
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

  #cancelTimer(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#wakesAtMs = Number.POSITIVE_INFINITY
  }

  #sleepUntil(wallMs: number): void {
    const { clock } = this.#broker.platform
    this.#cancelTimer()
    if (wallMs === Number.POSITIVE_INFINITY) return
    this.#wakesAtMs = wallMs
    const ms = Math.min(sleepMsMax, Math.max(1, Math.ceil(wallMs - clock.wallMs())))
    this.#timer = clock.after(ms, () => this.#wake())
  }

  #wake(): void {
    this.#cancelTimer()
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
    this.#sleepUntil(this.#broker.platform.clock.wallMs() + retryMs)
  }

  #ended(generation: number): void {
    this.#pumping = false
    // A new leadership began while this one's last answer was awaited.
    if (generation !== this.#generation && this.#running) this.#wake()
    else if (this.#recalls.length > 0) this.#wake()
    else if (this.#running && this.#arrivedMs < this.#wakesAtMs) this.#sleepUntil(this.#arrivedMs)
  }

  /** Delivers what is due and leaves a timer for what is next, or none when nothing waits. */
  async #pump(generation: number): Promise<void> {
    const { store, platform } = this.#broker
    while (generation === this.#generation) {
      await this.#recallAll(generation)
      if (generation !== this.#generation) return
      if (this.#arrivedMs < this.#from.dueMs) this.#from = { dueMs: this.#arrivedMs, position: 0 }
      this.#arrivedMs = Number.POSITIVE_INFINITY
      const nowMs = platform.clock.wallMs()
      const due = await store.timers(this.#from, nowMs, timersMax)
      if (generation !== this.#generation) return
      if (due.length === 0) {
        const next: TimerRef = { dueMs: nowMs + 1, position: 0 }
        if (compareTimers(this.#from, next) < 0) this.#from = next
        const [first] = await store.timers(this.#from, Number.MAX_SAFE_INTEGER - 1, 1)
        if (generation !== this.#generation) return
        if (this.#recalls.length > 0) continue
        this.#sleepUntil(first?.dueMs ?? Number.POSITIVE_INFINITY)
        return
      }
      const done = await this.#deliver(due, generation)
      if (generation !== this.#generation) return
      if (done === null) {
        this.#sleepUntil(nowMs + retryMs)
        return
      }
      this.#from = { dueMs: done.dueMs, position: done.position + 1 }
    }
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
    const { platform, logger } = this.#broker
    const waiting: TimerRef[] = []
    for (const timer of timers) {
      if (await this.#waits(timer)) waiting.push(timer)
      if (generation !== this.#generation) return false
    }
    // Taken back before, else delivered.
    if (waiting.length === 0) return timers.every(({ dueMs }) => dueMs > platform.clock.wallMs())
    await this.#mark(waiting, generation)
    logger.debug('Timed messages recalled', { messages: waiting.length })
    return true
  }

  async #waits(timer: TimerRef): Promise<boolean> {
    const [found] = await this.#broker.store.timers(timer, timer.dueMs, 1)
    return found?.position === timer.position
  }

  /** Resolves to the last timer that is done with: delivered, or gone for good. Null: try again. */
  async #deliver(due: readonly TimerRef[], generation: number): Promise<TimerRef | null> {
    const { store, stats, logger } = this.#broker
    const messages: MessageInput[] = []
    const done: TimerRef[] = []
    let bytes = 0
    for (const timer of due) {
      const stored = await store.messageAt(timer.position)
      if (generation !== this.#generation) return null
      if (stored === null && timer.position >= store.runtime().logStartPosition) {
        // Not readable now: it is repaired from the other members. Those before it go meanwhile.
        if (done.length === 0) throw new Error(`no message can be read at ${timer.position}`)
        break
      }
      if (stored !== null && messages.length > 0 && bytes + stored.length > entryBytesMax) break
      const message = stored === null ? null : this.#delivery(stored)
      done.push(timer)
      if (message === null) {
        logger.warn('Timed message dropped: it is gone or names no topic', { ...timer })
        continue
      }
      messages.push(message)
      bytes += stored!.length
    }
    const last = done[done.length - 1]!
    if (messages.length === 0) {
      await this.#mark(done, generation)
      return last
    }
    const waiter = new PromiseWaiter()
    const refused = store.appendAtomic(messages, [{ type: 'timersDone', timers: done }], waiter)
    if (refused === 'tooLarge' || refused === 'illegal') {
      if (done.length > 1) return await this.#deliver(due.slice(0, 1), generation)
      logger.error('Timed message dropped: the log does not take it again', { ...last, refused })
      await this.#mark(done, generation)
      return last
    }
    if (refused !== null) return null
    const outcome = await waiter.outcome
    if (!outcome.stored) {
      if (outcome.reason === 'notStarted') return null
      if (!(await this.#whetherDone(done[0]!, generation))) return null
    }
    for (const message of messages)
      stats.put(message.topic, message.queueId, 1, message.body.length)
    return last
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
      if (!(await this.#waits(first))) return true
      await new Promise<void>(resolve => {
        this.#broker.platform.clock.after(retryMs, resolve)
      })
    }
    return false
  }

  /** As it comes back, with the original's notes of when it began and ended to wait, where there is room for them. */
  #delivery(stored: Buffer): MessageInput | null {
    const { platform, storeHost } = this.#broker
    const message = deliveryOf(stored, storeHost)
    if (message === null) return null
    const range = new ByteRange()
    getPropertiesRange(stored, 0, range)
    const notes = Buffer.concat([
      stored.subarray(range.start, range.end),
      encodePair(MessageProperty.TIMER_ENQUEUE_MS, String(getStoreTimestamp(stored, 0))),
      encodePair(MessageProperty.TIMER_DEQUEUE_MS, String(platform.clock.wallMs()))
    ])
    return notes.length <= PROPERTIES_BYTES_MAX ? { ...message, properties: notes } : message
  }
}

const start: TimerRef = { dueMs: 0, position: 0 }
