import type { Clock, Timer } from '../../platform/index.ts'
import { popRetryTopic } from '../../protocol/index.ts'
import type { Arrival, MessageFilter, Store } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'
import { type PopRequest, pollMsMax } from './popRequest.ts'

/** Between two looks whose time is over; a hold ends so much early at most. Ms. */
const scanPeriodMs = 50
/** Expressions of the pops that wait, all together; a compiled one counts as so many times its text. */
const heldCharactersMax = 16_777_216
const filterWeight = 32
/** One connection may not take all places. */
const holdsOfConnectionMax = 16_384
/** What filters may cost at one arrival, in units of MessageFilter's work (some 20 ms); what is not asked is woken. */
const arrivalWorkMax = 1_000_000

type Tags = ReadonlySet<number> | null

/** Those that wait for one topic, group and queue (-1: any), the first to end first as far as they wait equally long. */
type Waiting = Set<PopRequest>

/**
 * Long polling of pops (grpc.md 6.8): those that found nothing wait here for one message, which wakes one of a group, or for their time.
 *
 *   held ── a message arrived for it ──▶ woken ──▶ taken up again at the end of the turn; may be held again
 *     ├─ its queue is free again, or its group's offset was set ──▶ woken
 *     ├─ time over, or this node leads no more ──▶ woken
 *     └─ connection closed ──▶ dropped
 */
export class PopHolds {
  readonly #clock: Clock
  readonly #config: LiveConfig
  readonly #store: Store
  readonly #again: (pop: PopRequest) => void
  /** By topic, then by group, then by queue. */
  readonly #topics = new Map<string, Map<string, Map<number, Waiting>>>()
  /** Who is asked when a message comes into a retry topic. */
  readonly #retryTopics = new Map<string, { topic: string; group: string }>()
  readonly #all = new Set<PopRequest>()
  readonly #ofConnection = new Map<number, number>()
  #heldCharacters = 0
  #woken: PopRequest[] = []
  #timer: Timer | null = null
  #accepts: boolean = false
  /** Those that look into their queues just now, and whether something came meanwhile. */
  readonly #looking = new Map<PopRequest, boolean>()

  constructor(clock: Clock, config: LiveConfig, store: Store, again: (pop: PopRequest) => void) {
    this.#clock = clock
    this.#config = config
    this.#store = store
    this.#again = again
    store.onArrival(arrivals => this.#arrived(arrivals))
  }

  get size(): number {
    return this.#all.size
  }

  start(): void {
    this.#accepts = true
  }

  /** Takes up all that wait: this node leads no more. */
  stop(): void {
    this.#accepts = false
    this.#timer?.cancel()
    this.#timer = null
    for (const pop of [...this.#all]) this.#wake(pop)
  }

  /** Runs what looks into the queues of a pop; `missed` says whether a message came while it did. */
  async looking<T>(
    pop: PopRequest,
    look: () => Promise<T>
  ): Promise<{ found: T; missed: boolean }> {
    this.#looking.set(pop, false)
    try {
      const found = await look()
      return { found, missed: this.#looking.get(pop) === true }
    } finally {
      this.#looking.delete(pop)
    }
  }

  /** Of one topic, group and queue: POLLING_INFO. */
  waitingOf(topic: string, group: string, queueId: number): number {
    return this.#topics.get(topic)?.get(group)?.get(queueId)?.size ?? 0
  }

  /** `over`: it may not wait (any longer). `freeMs`: time of the log at which a queue that is blocked for it becomes free. */
  hold(pop: PopRequest, freeMs: number): 'held' | 'over' | 'full' {
    if (pop.pollMs <= 0 || !this.#accepts) return 'over'
    const { popPollingSize, maxPopPollingSize } = this.#config.values
    if (this.#all.size >= maxPopPollingSize) return 'full'
    const leftMs = Math.min(pop.bornMs + pop.pollMs - this.#clock.wallMs(), pop.pollMs, pollMsMax)
    if (leftMs <= scanPeriodMs) return 'over'
    const waiting = this.#waitingFor(pop)
    if (waiting.size > popPollingSize || !this.#hasRoom(pop)) {
      this.#prune(pop)
      return 'full'
    }
    pop.deadlineMs = this.#clock.monotonicMs() + leftMs
    pop.freeMs = freeMs
    waiting.add(pop)
    this.#all.add(pop)
    this.#count(pop, 1)
    for (const name of retryNames(pop)) this.#retryTopics.set(name, pop)
    this.#timer ??= this.#clock.every(scanPeriodMs, () => this.#scan())
    return 'held'
  }

  /** There is something for one more of them. */
  wakeOne(topic: string, group: string, queueId: number): void {
    for (const pop of this.#topics.get(topic)?.get(group)?.get(queueId) ?? []) {
      this.#wake(pop)
      return
    }
  }

  /** A queue became free, or less blocked: whoever waits for it, or for any, looks again. */
  wakeQueue(topic: string, group: string, queueId: number): void {
    this.wakeOne(topic, group, -1)
    this.wakeOne(topic, group, queueId)
  }

  /** The group's offset of the queue was set: there may be something for who waits, and for who has just looked. */
  offsetSet(topic: string, group: string, queueId: number): void {
    for (const pop of this.#looking.keys())
      if (pop.group === group && [pop.topic, ...retryNames(pop)].includes(topic))
        this.#looking.set(pop, true)
    this.wakeQueue(topic, group, queueId)
  }

  #hasRoom(pop: PopRequest): boolean {
    return (
      (this.#ofConnection.get(pop.connection.id) ?? 0) < holdsOfConnectionMax &&
      this.#heldCharacters + weightOf(pop) <= heldCharactersMax
    )
  }

  #count(pop: PopRequest, by: 1 | -1): void {
    const { id } = pop.connection
    const left = (this.#ofConnection.get(id) ?? 0) + by
    if (left > 0) this.#ofConnection.set(id, left)
    else this.#ofConnection.delete(id)
    this.#heldCharacters += by * weightOf(pop)
  }

  #waitingFor({ topic, group, queueId }: PopRequest): Waiting {
    let groups = this.#topics.get(topic)
    if (groups === undefined) {
      groups = new Map()
      this.#topics.set(topic, groups)
    }
    let queues = groups.get(group)
    if (queues === undefined) {
      queues = new Map()
      groups.set(group, queues)
    }
    let waiting = queues.get(Math.max(-1, queueId))
    if (waiting === undefined) {
      waiting = new Set()
      queues.set(Math.max(-1, queueId), waiting)
    }
    return waiting
  }

  #scan(): void {
    const nowMs = this.#clock.monotonicMs()
    const logMs = this.#store.timeMs()
    for (const pop of this.#all) {
      if (pop.connection.closed) this.#remove(pop)
      else if (pop.deadlineMs - scanPeriodMs <= nowMs || pop.freeMs <= logMs) this.#wake(pop)
    }
    if (this.#all.size > 0) return
    this.#timer?.cancel()
    this.#timer = null
  }

  #arrived(arrivals: readonly Arrival[]): void {
    if (this.#looking.size > 0) this.#miss(arrivals)
    if (this.#all.size === 0) return
    let workLeft = arrivalWorkMax
    for (const arrival of arrivals) {
      const groups = this.#topics.get(arrival.topic)
      if (groups !== undefined)
        for (const queues of groups.values()) {
          workLeft = this.#wakeMatching(queues.get(-1), arrival, workLeft)
          workLeft = this.#wakeMatching(queues.get(arrival.queueId), arrival, workLeft)
        }
      const origin = this.#retryTopics.get(arrival.topic)
      if (origin === undefined) continue
      const queues = this.#topics.get(origin.topic)?.get(origin.group)
      // A retried message is for whoever of the group comes first.
      for (const waiting of queues?.values() ?? []) {
        const before = this.#woken.length
        workLeft = this.#wakeMatching(waiting, arrival, workLeft)
        if (this.#woken.length > before) break
      }
    }
  }

  #miss(arrivals: readonly Arrival[]): void {
    for (const pop of this.#looking.keys()) {
      const names = [pop.topic, ...retryNames(pop)]
      if (arrivals.some(({ topic }) => names.includes(topic))) this.#looking.set(pop, true)
    }
  }

  /** As many as there are messages, at most; whose filter says no stay. */
  #wakeMatching(waiting: Waiting | undefined, arrival: Arrival, workMax: number): number {
    if (waiting === undefined) return workMax
    let workLeft = workMax
    let left = arrival.maxOffset - arrival.arrivedFrom
    // Members of a group share their filter and its answer.
    const answers = new Map<MessageFilter | Tags, boolean>()
    for (const pop of waiting) {
      const key = pop.filter ?? pop.tagHashes
      let matches = answers.get(key)
      if (matches === undefined) {
        const before = pop.filter?.work ?? 0
        matches = workLeft <= 0 || this.#matches(pop, arrival)
        workLeft -= (pop.filter?.work ?? 0) - before
        answers.set(key, matches)
      }
      if (!matches) continue
      this.#wake(pop)
      left -= 1
      if (left <= 0) break
    }
    return workLeft
  }

  #matches(pop: PopRequest, arrival: Arrival): boolean {
    if (pop.tagHashes !== null && !arrival.arrivedMatches(pop.tagHashes)) return false
    return pop.filter === null || this.#store.arrivedMatches(arrival, pop.filter)
  }

  #remove(pop: PopRequest): void {
    if (!this.#all.delete(pop)) return
    this.#count(pop, -1)
    this.#waitingFor(pop).delete(pop)
    this.#prune(pop)
  }

  /** Nothing is kept of whom nobody waits for. */
  #prune(pop: PopRequest): void {
    const groups = this.#topics.get(pop.topic)
    const queues = groups?.get(pop.group)
    if (groups === undefined || queues === undefined) return
    const queueId = Math.max(-1, pop.queueId)
    if (queues.get(queueId)?.size === 0) queues.delete(queueId)
    if (queues.size > 0) return
    groups.delete(pop.group)
    for (const name of retryNames(pop)) this.#retryTopics.delete(name)
    if (groups.size === 0) this.#topics.delete(pop.topic)
  }

  #wake(pop: PopRequest): void {
    this.#remove(pop)
    this.#woken.push(pop)
    if (this.#woken.length === 1) this.#clock.turnEnd(() => this.#runWoken())
  }

  #runWoken(): void {
    const woken = this.#woken
    this.#woken = []
    for (const pop of woken) if (!pop.connection.closed) this.#again(pop)
  }
}

/** A name may stand for two pairs of topic and group: then the one that came last is woken, the other waits for its next look. */
function retryNames({ topic, group }: PopRequest): [string, string] {
  return [popRetryTopic(topic, group, false), popRetryTopic(topic, group, true)]
}

function weightOf({ expression, filter }: PopRequest): number {
  const characters = expression?.length ?? 0
  return filter === null ? characters : characters * filterWeight
}
