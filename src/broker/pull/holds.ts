import type { Clock, Timer } from '../../platform/index.ts'
import type { Arrival, Store } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'
import type { Pull } from './pull.ts'

/** Accuracy of the end of a hold, ms. */
const scanPeriodMs = 500
/** No client's call lasts longer. */
const holdMsMax = 600_000
/** One connection may not take all places: its clients would be answered at once and ask again, and so would all others. */
const holdsOfConnectionMax = 16_384
/** Expressions of the pulls that wait, all together. */
const heldCharactersMax = 16_777_216

/** Evaluates a pull that was held once more; it must not be held again. */
export type PullAgain = (pull: Pull) => void

/**
 * Long polling (broker.md 4.3): pulls that found nothing wait here for a message of their queue and tags, or for their time.
 *
 *   held ── a message arrived that passes the filter ──▶ woken ──▶ evaluated again at the end of the turn, answered in any case
 *     └─ time over, or the broker stops ──▶ woken
 *     └─ connection closed ──▶ dropped
 */
export class PullHolds {
  readonly #clock: Clock
  readonly #config: LiveConfig
  readonly #store: Store
  readonly #queues = new Map<string, Map<number, Set<Pull>>>()
  readonly #all = new Set<Pull>()
  readonly #ofConnection = new Map<number, number>()
  #heldCharacters = 0
  #again: PullAgain = () => {}
  #woken: Pull[] = []
  #timer: Timer | null = null

  constructor(clock: Clock, config: LiveConfig, store: Store) {
    this.#clock = clock
    this.#config = config
    this.#store = store
  }

  /** Pulls that wait. */
  get size(): number {
    return this.#all.size
  }

  start(again: PullAgain): void {
    this.#again = again
    this.#store.onArrival(arrivals => this.#arrived(arrivals))
    this.#timer = this.#clock.every(scanPeriodMs, () => this.scan())
  }

  /** Answers all that wait. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
    for (const pull of [...this.#all]) this.#wake(pull)
  }

  /** False: the table is full, answer it now. */
  hold(pull: Pull): boolean {
    if (this.#timer === null || !this.#hasRoom(pull)) return false
    const { longPollingEnable, shortPollingTimeMills } = this.#config.values
    const holdMs = longPollingEnable ? pull.suspendMs : shortPollingTimeMills
    pull.deadlineMs = pull.arrivedMs + Math.max(0, Math.min(holdMs, holdMsMax))
    pull.held = true
    let queues = this.#queues.get(pull.topic)
    if (queues === undefined) {
      queues = new Map()
      this.#queues.set(pull.topic, queues)
    }
    let waiting = queues.get(pull.queueId)
    if (waiting === undefined) {
      waiting = new Set()
      queues.set(pull.queueId, waiting)
    }
    waiting.add(pull)
    this.#all.add(pull)
    const { id } = pull.connection
    this.#ofConnection.set(id, (this.#ofConnection.get(id) ?? 0) + 1)
    this.#heldCharacters += pull.subscription?.length ?? 0
    // What came while the pull was read from the disk.
    if (this.#store.maxOffset(pull.topic, pull.queueId) > pull.offset) this.#wake(pull)
    return true
  }

  #hasRoom(pull: Pull): boolean {
    return (
      this.#all.size < this.#config.values.pullThreadPoolQueueCapacity &&
      (this.#ofConnection.get(pull.connection.id) ?? 0) < holdsOfConnectionMax &&
      this.#heldCharacters + (pull.subscription?.length ?? 0) <= heldCharactersMax
    )
  }

  /** Ends the holds whose time is over or whose client has gone; the timer's work. */
  scan(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const pull of this.#all) {
      if (pull.connection.closed) this.#remove(pull)
      else if (pull.deadlineMs <= nowMs) this.#wake(pull)
    }
  }

  #arrived(arrivals: readonly Arrival[]): void {
    for (const arrival of arrivals) {
      const waiting = this.#queues.get(arrival.topic)?.get(arrival.queueId)
      if (waiting === undefined) continue
      for (const pull of waiting) {
        if (arrival.maxOffset <= pull.offset) continue
        if (pull.tagHashes !== null && !arrival.arrivedMatches(pull.tagHashes)) continue
        this.#wake(pull)
      }
    }
  }

  #remove(pull: Pull): void {
    pull.held = false
    if (this.#all.delete(pull)) {
      const { id } = pull.connection
      const left = (this.#ofConnection.get(id) ?? 1) - 1
      if (left > 0) this.#ofConnection.set(id, left)
      else this.#ofConnection.delete(id)
      this.#heldCharacters -= pull.subscription?.length ?? 0
    }
    const queues = this.#queues.get(pull.topic)
    const waiting = queues?.get(pull.queueId)
    if (queues === undefined || waiting?.delete(pull) !== true || waiting.size > 0) return
    queues.delete(pull.queueId)
    if (queues.size === 0) this.#queues.delete(pull.topic)
  }

  #wake(pull: Pull): void {
    this.#remove(pull)
    this.#woken.push(pull)
    if (this.#woken.length === 1) this.#clock.turnEnd(() => this.#runWoken())
  }

  #runWoken(): void {
    const woken = this.#woken
    this.#woken = []
    for (const pull of woken) if (!pull.connection.closed) this.#again(pull)
  }
}
