import type { Clock, Timer } from '../../platform/index.ts'
import type { Arrival, MessageFilter, Store } from '../../store/index.ts'
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
/** A pull with a compiled filter of its own counts as this many times its text. */
const filterWeight = 32
/** What filters of waiting pulls may cost at one arrival, in units of MessageFilter's work (some 20 ms); the rest waits for the scan. */
const arrivalWorkMax = 1_000_000

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
    pull.unchecked = false
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
    this.#heldCharacters += weightOf(pull)
    // What came while the pull was read from the disk.
    if (this.#store.maxOffset(pull.topic, pull.queueId) > pull.offset) this.#wake(pull)
    return true
  }

  #hasRoom(pull: Pull): boolean {
    return (
      this.#all.size < this.#config.values.pullThreadPoolQueueCapacity &&
      (this.#ofConnection.get(pull.connection.id) ?? 0) < holdsOfConnectionMax &&
      this.#heldCharacters + weightOf(pull) <= heldCharactersMax
    )
  }

  /** Has all pulls of a topic evaluated again. */
  wake(topic: string): void {
    for (const waiting of [...(this.#queues.get(topic)?.values() ?? [])])
      for (const pull of [...waiting]) this.#wake(pull)
  }

  /** Ends the holds whose time is over, whose client has gone, or whose filter could not be asked in time; the timer's work. */
  scan(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const pull of this.#all) {
      if (pull.connection.closed) this.#remove(pull)
      else if (pull.deadlineMs <= nowMs || pull.unchecked) this.#wake(pull)
    }
  }

  #arrived(arrivals: readonly Arrival[]): void {
    let workLeft = arrivalWorkMax
    for (const arrival of arrivals) {
      const waiting = this.#queues.get(arrival.topic)?.get(arrival.queueId)
      if (waiting === undefined) continue
      // Members of a group, and of groups that ask the same, share their filter and its answer.
      const matched = new Map<MessageFilter, boolean>()
      for (const pull of waiting) {
        if (arrival.maxOffset <= pull.offset) continue
        if (pull.tagHashes !== null && !arrival.arrivedMatches(pull.tagHashes)) continue
        const { filter } = pull
        if (filter !== null) {
          let matches = matched.get(filter)
          if (matches === undefined) {
            if (workLeft <= 0) {
              pull.unchecked = true
              continue
            }
            const before = filter.work
            matches = this.#store.arrivedMatches(arrival, filter)
            workLeft -= filter.work - before
            matched.set(filter, matches)
          }
          if (!matches) continue
        }
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
      this.#heldCharacters -= weightOf(pull)
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

/** What a waiting pull counts; the same at its end as at its start, because nothing decides anew while it waits. */
function weightOf(pull: Pull): number {
  const characters = pull.subscription?.length ?? 0
  return pull.filter === null ? characters : characters * filterWeight
}
