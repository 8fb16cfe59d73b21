import type { Timer } from '../platform/index.ts'
import { type RemotingCommand, ResponseCode } from '../protocol/index.ts'
import { badArgument, ClientError, closedError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import type { LatencyFaults } from './latency.ts'
import { type MessageQueue, queueKey } from './queue.ts'
import { leaderAddress, publishQueues, type TopicRoute } from './route.ts'
import {
  answerRegion,
  readSendAnswer,
  type SendParts,
  type SendResult,
  sendCommand,
  TEMPLATE_TOPIC
} from './sendRequest.ts'
import { pause } from './sleeper.ts'

/** Pauses between attempts while a broker group has no leader: short at first, an election takes about a second. */
const PAUSES_MS = [10, 20, 50, 100, 200] as const
/** A send unanswered for so long makes the route be asked for: its leader may hang rather than be gone. */
const SLOW_MS = 700
const WATCH_INTERVAL_MS = 250

export interface SenderOptions {
  readonly group: string
  readonly sendTimeoutMs: number
  readonly retryWithinMs: number
  readonly retries: number
  readonly newTopicQueues: number
  readonly binaryHeaders: boolean
  /** Told of each attempt that was answered with "stored". */
  readonly watcher?: SendWatcher | null
  /** Told of each attempt's duration. */
  readonly faults?: LatencyFaults | null
}

/** Who looks on when messages are sent. */
export interface SendWatcher {
  sent(
    parts: SendParts,
    result: SendResult,
    attempt: {
      /** `host:port` of the broker that answered. */
      readonly address: string
      /** ms since 1970. */
      readonly startedMs: number
      readonly costMs: number
      /** What the broker says of tracing; null: nothing. */
      readonly regionId: string | null
      readonly traceOn: boolean
    }
  ): void
}

/** Picks the queue of an attempt from the topic's present queues. */
export type QueueChoice = (
  queues: readonly MessageQueue[],
  avoidBroker: string | null
) => MessageQueue

interface Flight {
  readonly topic: string
  readonly brokerName: string
  readonly address: string
  readonly sentMs: number
  abandon(error: ClientError): void
}

/**
 * Gets one prepared message stored, whatever happens to leaders meanwhile: attempts until `retryWithinMs` is over,
 * with the route asked for after each failure. The unique key stays the same, so that the broker can tell a repeated
 * message from a new one.
 */
export class Sender {
  readonly #instance: ClientInstance
  readonly #options: SenderOptions
  readonly #flights = new Set<Flight>()
  readonly #queuesByRoute = new WeakMap<TopicRoute, readonly MessageQueue[]>()
  readonly #watch: Timer

  constructor(instance: ClientInstance, options: SenderOptions) {
    this.#instance = instance
    this.#options = options
    this.#watch = instance.platform.clock.every(WATCH_INTERVAL_MS, () => this.#watchSlow())
    instance.routes.onChange(route => this.#leaveOldLeaders(route))
  }

  close(): void {
    this.#watch.cancel()
    const error = closedError()
    for (const flight of [...this.#flights]) flight.abandon(error)
  }

  /** The result names the queue as the user knows it. Rejects with the last attempt's error. `withinMs` replaces `retryWithinMs`. */
  async send(parts: SendParts, choose: QueueChoice, withinMs?: number): Promise<SendResult> {
    const { clock } = this.#instance.platform
    const deadlineMs = clock.monotonicMs() + (withinMs ?? this.#options.retryWithinMs)
    let refusals = 0
    let avoidBroker: string | null = null
    for (let attempt = 0; ; attempt++) {
      const leftMs = deadlineMs - clock.monotonicMs()
      try {
        const queue = choose(await this.queues(parts.topic), avoidBroker)
        avoidBroker = queue.brokerName
        return await this.#attempt(parts, queue, Math.min(this.#options.sendTimeoutMs, leftMs))
      } catch (thrown) {
        if (this.#instance.closed) throw closedError(thrown)
        if (!(thrown instanceof ClientError) || !thrown.retryable) throw thrown
        if (!isLeaderTrouble(thrown) && ++refusals > this.#options.retries) throw thrown
        const pauseMs =
          thrown.code === 'MOVED' ? 0 : PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)]!
        if (clock.monotonicMs() + pauseMs >= deadlineMs) throw thrown
        if (pauseMs > 0) await pause(clock, pauseMs)
        await this.#refresh(parts.topic)
      }
    }
  }

  /** Hands the message to a connection; nobody tells whether it arrived. */
  async sendOneway(parts: SendParts, choose: QueueChoice): Promise<void> {
    const queue = choose(await this.queues(parts.topic), null)
    const address = await this.#instance.leader(parts.topic, queue.brokerName)
    const command = sendCommand(parts, this.#options, queue)
    await this.#instance.caller.sendOneway(address, command)
  }

  /** Queues to send to. A topic that does not exist yet gets queues where its template lives (remoting.md 3.1). */
  async queues(topic: string): Promise<readonly MessageQueue[]> {
    const { routes } = this.#instance
    routes.watch(topic)
    let route = await routes.get(topic)
    if (route !== null && this.#queuesOf(route).length === 0) route = await routes.refresh(topic)
    if (route === null) route = await this.#templateRoute(topic)
    if (route === null) {
      throw new ClientError('NO_ROUTE', `no name server knows the topic ${topic}`, {
        responseCode: ResponseCode.TOPIC_NOT_EXIST
      })
    }
    const queues = this.#queuesOf(route)
    if (queues.length === 0) {
      throw new ClientError('NO_LEADER', `no queue of ${topic} can be written to at present`)
    }
    return queues
  }

  /** Worked out once for each route: every send needs them. */
  #queuesOf(route: TopicRoute): readonly MessageQueue[] {
    let queues = this.#queuesByRoute.get(route)
    if (queues === undefined) {
      queues = publishQueues(route)
      this.#queuesByRoute.set(route, queues)
    }
    return queues
  }

  /** When no name server answers, the known route is still the best there is. */
  async #refresh(topic: string): Promise<void> {
    const { routes } = this.#instance
    const route = await routes.refresh(topic).catch(() => routes.known(topic))
    // A topic that does not exist yet goes where its template lives.
    if (route === null) await routes.refresh(TEMPLATE_TOPIC).catch(() => null)
  }

  async #templateRoute(topic: string): Promise<TopicRoute | null> {
    const template = await this.#instance.routes.get(TEMPLATE_TOPIC)
    if (template === null) return null
    return {
      ...template,
      topic,
      queues: template.queues.map(data => {
        const count = Math.min(this.#options.newTopicQueues, data.readQueueNums)
        return { ...data, readQueueNums: count, writeQueueNums: count }
      })
    }
  }

  async #attempt(parts: SendParts, queue: MessageQueue, timeoutMs: number): Promise<SendResult> {
    const { caller, namespace, platform } = this.#instance
    const address = await this.#instance.leader(parts.topic, queue.brokerName)
    const command = sendCommand(parts, this.#options, queue)
    const { clock } = platform
    const startedMs = clock.wallMs()
    const sentMs = clock.monotonicMs()
    const { faults, watcher } = this.#options
    try {
      const answer = await new Promise<RemotingCommand>((resolve, reject) => {
        const flight: Flight = {
          topic: parts.topic,
          brokerName: queue.brokerName,
          address,
          sentMs,
          abandon: reject
        }
        this.#flights.add(flight)
        caller
          .send(address, command, Math.max(1, timeoutMs))
          .then(resolve, reject)
          .finally(() => this.#flights.delete(flight))
      })
      const result = readSendAnswer(address, answer, parts, namespace.plainQueue(queue))
      const costMs = clock.monotonicMs() - sentMs
      faults?.ended(queue.brokerName, costMs, 'answered')
      watcher?.sent(parts, result, {
        address,
        startedMs: Math.round(startedMs),
        costMs: Math.round(costMs),
        ...answerRegion(answer)
      })
      return result
    } catch (error) {
      const reached = error instanceof ClientError && error.code === 'REFUSED'
      const costMs = clock.monotonicMs() - sentMs
      faults?.ended(queue.brokerName, costMs, reached ? 'failed' : 'unreachable')
      throw error
    }
  }

  /** What waits too long is tried at the new leader where one is known, else the route is asked for. */
  #watchSlow(): void {
    const topics = new Set<string>()
    for (const flight of this.#slowFlights()) {
      const route = this.#instance.routes.known(flight.topic)
      if (route === null || !this.#leave(flight, route)) topics.add(flight.topic)
    }
    for (const topic of topics) void this.#refresh(topic)
  }

  /**
   * A former leader that lives forwards what it gets, and answers soon: a send that is repeated at the new one meanwhile would be
   * stored twice. One that has not answered for long may never do it.
   */
  #leaveOldLeaders(route: TopicRoute): void {
    for (const flight of this.#slowFlights()) this.#leave(flight, route)
  }

  #slowFlights(): Flight[] {
    const nowMs = this.#instance.platform.clock.monotonicMs()
    return [...this.#flights].filter(flight => nowMs - flight.sentMs >= SLOW_MS)
  }

  /** False: by this route nobody else leads. */
  #leave(flight: Flight, route: TopicRoute): boolean {
    const leader = leaderAddress(route.brokers.find(one => one.brokerName === flight.brokerName))
    if (leader === null || leader === flight.address) return false
    this.#flights.delete(flight)
    flight.abandon(
      new ClientError('MOVED', `${flight.brokerName} is led by ${leader} now`, {
        address: flight.address
      })
    )
    return true
  }
}

/**
 * Round robin; after a failure another broker group is preferred where there is one (remoting.md 5.6). With `faults`, groups
 * that were not slow of late come first, then those that can be reached.
 */
export function roundRobin(start: number, faults: LatencyFaults | null = null): QueueChoice {
  let next = start
  const oneOf = (
    queues: readonly MessageQueue[],
    isGood: (brokerName: string) => boolean
  ): MessageQueue | null => {
    for (let tried = 0; tried < queues.length; tried++) {
      const queue = queues[next++ % queues.length]!
      if (isGood(queue.brokerName)) return queue
    }
    return null
  }
  return (queues, avoidBroker) => {
    const isOther = (brokerName: string): boolean => brokerName !== avoidBroker
    const best =
      faults === null
        ? oneOf(queues, isOther)
        : (oneOf(queues, name => isOther(name) && faults.isAvailable(name)) ??
          oneOf(queues, name => isOther(name) && faults.isReachable(name)))
    return best ?? queues[next++ % queues.length]!
  }
}

/** Always the same queue, wherever its leader is; rejects while the topic has no such queue. */
export function fixedQueue(wanted: MessageQueue): QueueChoice {
  const key = queueKey(wanted)
  return queues => {
    const queue = queues.find(q => queueKey(q) === key)
    if (queue === undefined && queues.some(q => q.brokerName === wanted.brokerName)) {
      throw badArgument(
        `${wanted.topic} has no queue ${wanted.queueId} at ${wanted.brokerName} that can be written to`
      )
    }
    if (queue === undefined) {
      throw new ClientError(
        'NO_LEADER',
        `the queue ${wanted.queueId} of ${wanted.topic} at ${wanted.brokerName} cannot be written to at present`
      )
    }
    return queue
  }
}

/** Failures that a new leader or a new connection cures; all others are answers about the message or the broker. */
function isLeaderTrouble(error: ClientError): boolean {
  if (error.code !== 'REFUSED')
    return error.code !== 'NO_ROUTE' && error.code !== 'TOO_MANY_IN_FLIGHT'
  return (
    error.responseCode === ResponseCode.SERVICE_NOT_AVAILABLE ||
    error.responseCode === ResponseCode.SYSTEM_BUSY ||
    error.responseCode === ResponseCode.GO_AWAY
  )
}
