import { RequestCode } from '../protocol/index.ts'
import { badArgument, ClientError } from './errors.ts'
import { ClientInstance } from './instance.ts'
import { commitOffset, offsetByTime, queryOffset, queueEdge } from './offsets.ts'
import { type ClientOptions, checkGroup, positive, resolveOptions, whole } from './options.ts'
import { type PullResult, pull } from './pull.ts'
import { compareQueues, describeQueue, type MessageQueue, queueKey } from './queue.ts'
import type { ReceivedMessage } from './received.ts'
import { subscribeQueues } from './route.ts'
import { atMost, pause } from './sleeper.ts'
import { accepts, type Subscription, tagSubscription } from './subscription.ts'

export interface PullConsumerOptions extends ClientOptions {
  group: string
  /** Messages that one pull asks for. Default 32. */
  messagesPerPull?: number
  /** The broker holds a pull for so long when there is no message. Default 20000. */
  pullSuspendMs?: number
  /** While a broker group has no leader, calls are tried again for so long. Default 10000. */
  retryWithinMs?: number
}

export interface PullRequest {
  /** Default 32. */
  readonly maxMessages?: number
  /** Wait so long at the broker for a message. Default 0: answer at once. */
  readonly waitMs?: number
  /** Tags joined by `||`; default all. */
  readonly expression?: string
}

interface Assigned {
  readonly queue: MessageQueue
  /** Next offset that `poll` reads; null until it is known. */
  position: number | null
  /** Grows with every seek, so that an answer to an older question is not taken. */
  generation: number
  suggestedBrokerId: number
  pulling: Promise<void> | null
  readonly buffered: ReceivedMessage[]
}

const RETRY_PAUSE_MS = 100

/** Reads queues that the user names, at the pace of the user; nothing is divided among members. */
export class PullConsumer {
  readonly #instance: ClientInstance
  readonly #group: string
  readonly #messagesPerPull: number
  readonly #pullSuspendMs: number
  readonly #retryWithinMs: number
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #assigned = new Map<string, Assigned>()
  #state: 'new' | 'started' | 'closed' = 'new'

  constructor(options: PullConsumerOptions) {
    checkGroup(options.group)
    this.#group = options.group
    this.#messagesPerPull = whole('messagesPerPull', options.messagesPerPull, 32, 1)
    this.#pullSuspendMs = positive('pullSuspendMs', options.pullSuspendMs, 20_000)
    this.#retryWithinMs = positive('retryWithinMs', options.retryWithinMs, 10_000)
    this.#instance = new ClientInstance(resolveOptions(options), {
      producerGroup: null,
      consumer: {
        group: options.group,
        consumeType: 'CONSUME_ACTIVELY',
        messageModel: 'CLUSTERING',
        consumeFrom: 'CONSUME_FROM_LAST_OFFSET',
        subscriptions: () => [...this.#subscriptions.values()]
      }
    })
  }

  get clientId(): string {
    return this.#instance.clientId
  }

  /** Resolves when a name server has answered. May be tried again after it failed; `close()` either way. */
  async start(): Promise<void> {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    await this.#instance.routes.get('TBW102')
    this.#state = 'started'
  }

  /** The topic's readable queues, sorted. */
  async queues(topic: string): Promise<readonly MessageQueue[]> {
    this.#checkStarted()
    this.#instance.routes.watch(topic)
    const route = await this.#instance.routes.refresh(topic)
    if (route === null) {
      throw new ClientError('NO_ROUTE', `no name server knows the topic ${topic}`)
    }
    return subscribeQueues(route).sort(compareQueues)
  }

  /** One pull at an offset of your choice. */
  fetch(queue: MessageQueue, offset: number, request: PullRequest = {}): Promise<PullResult> {
    this.#checkStarted()
    const subscription = tagSubscription(queue.topic, request.expression ?? '*', this.#now())
    return this.#patiently(queue, () =>
      this.#pull(queue, offset, {
        subscription,
        maxMessages: request.maxMessages ?? this.#messagesPerPull,
        suspendMs: request.waitMs ?? 0,
        brokerId: 0
      })
    )
  }

  /** From now on `poll` reads these queues, each from the group's offset, or from its start when there is none. */
  assign(queues: readonly MessageQueue[], expression = '*'): void {
    this.#checkStarted()
    const wanted = new Set(queues.map(queueKey))
    for (const key of [...this.#assigned.keys()]) {
      if (!wanted.has(key)) this.#assigned.delete(key)
    }
    this.#subscriptions.clear()
    for (const queue of queues) {
      this.#instance.routes.watch(queue.topic)
      this.#subscriptions.set(queue.topic, tagSubscription(queue.topic, expression, this.#now()))
      const key = queueKey(queue)
      if (this.#assigned.has(key)) continue
      this.#assigned.set(key, {
        queue,
        position: null,
        generation: 0,
        suggestedBrokerId: 0,
        pulling: null,
        buffered: []
      })
    }
    this.#instance.heartbeatAll()
  }

  /**
   * Up to `maxMessages` of the assigned queues as soon as there is one; none after `timeoutMs`. What is returned
   * counts as read; `commit` makes that last.
   */
  async poll(timeoutMs = 5_000, maxMessages = this.#messagesPerPull): Promise<ReceivedMessage[]> {
    this.#checkStarted()
    if (this.#assigned.size === 0) throw badArgument('assign() queues before poll()')
    const { clock } = this.#instance.platform
    const deadlineMs = clock.monotonicMs() + timeoutMs
    for (;;) {
      const messages = this.#takeBuffered(maxMessages)
      const leftMs = deadlineMs - clock.monotonicMs()
      if (messages.length > 0 || leftMs <= 0 || this.#state !== 'started') return messages
      const pulls = [...this.#assigned.values()].map(assigned => this.#fill(assigned))
      await atMost(clock, leftMs, Promise.race(pulls))
    }
  }

  /** `poll` goes on at this offset of an assigned queue. */
  seek(queue: MessageQueue, offset: number): void {
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw badArgument(`an offset must be a whole number from 0 on, not ${offset}`)
    }
    const assigned = this.#known(queue)
    assigned.position = offset
    assigned.generation++
    assigned.buffered.length = 0
    // What is being pulled is for the old place: do not wait for it.
    assigned.pulling = null
  }

  /** The offset that `poll` returns next; null while it has not been looked up yet. */
  position(queue: MessageQueue): number | null {
    const assigned = this.#known(queue)
    return assigned.buffered[0]?.queueOffset ?? assigned.position
  }

  /** Stores the positions of all assigned queues, or of one, as the group's offsets. */
  async commit(queue?: MessageQueue): Promise<void> {
    this.#checkStarted()
    const queues =
      queue === undefined ? [...this.#assigned.values()].map(assigned => assigned.queue) : [queue]
    await Promise.all(
      queues.map(async each => {
        const position = this.position(each)
        if (position !== null) await this.commitOffset(each, position)
      })
    )
  }

  /** Stores any offset for any queue. */
  commitOffset(queue: MessageQueue, offset: number): Promise<void> {
    this.#checkStarted()
    return this.#patiently(queue, () => commitOffset(this.#instance, this.#group, queue, offset))
  }

  /** The group's stored offset, null when it has none. */
  committed(queue: MessageQueue): Promise<number | null> {
    this.#checkStarted()
    return this.#patiently(queue, () => queryOffset(this.#instance, this.#group, queue))
  }

  minOffset(queue: MessageQueue): Promise<number> {
    this.#checkStarted()
    return this.#patiently(queue, () =>
      queueEdge(this.#instance, RequestCode.GET_MIN_OFFSET, queue)
    )
  }

  /** One behind the last message. */
  maxOffset(queue: MessageQueue): Promise<number> {
    this.#checkStarted()
    return this.#patiently(queue, () =>
      queueEdge(this.#instance, RequestCode.GET_MAX_OFFSET, queue)
    )
  }

  /** The first message stored at this time (ms since 1970) or later. */
  offsetByTime(queue: MessageQueue, timestampMs: number): Promise<number> {
    this.#checkStarted()
    return this.#patiently(queue, () => offsetByTime(this.#instance, queue, timestampMs))
  }

  /** Leaves the group. Commits nothing by itself. May be called twice. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#assigned.clear()
    await this.#instance.close()
  }

  #takeBuffered(maxMessages: number): ReceivedMessage[] {
    const messages: ReceivedMessage[] = []
    for (const [key, assigned] of [...this.#assigned]) {
      const taken = assigned.buffered.splice(0, maxMessages - messages.length)
      if (taken.length === 0) continue
      messages.push(...taken)
      // To the back, so that a busy queue does not starve the others.
      this.#assigned.delete(key)
      this.#assigned.set(key, assigned)
      if (messages.length >= maxMessages) break
    }
    return messages
  }

  /** One pull in flight for each queue, whoever waits for it. */
  #fill(assigned: Assigned): Promise<void> {
    if (assigned.pulling !== null) return assigned.pulling
    const pulling = this.#pullInto(assigned).finally(() => {
      if (assigned.pulling === pulling) assigned.pulling = null
    })
    assigned.pulling = pulling
    return pulling
  }

  async #pullInto(assigned: Assigned): Promise<void> {
    const { generation, queue } = assigned
    const subscription = this.#subscriptions.get(queue.topic)
    if (subscription === undefined) return
    try {
      const position =
        assigned.position ?? (await queryOffset(this.#instance, this.#group, queue)) ?? 0
      const result = await this.#pull(queue, position, {
        subscription,
        maxMessages: this.#messagesPerPull,
        suspendMs: this.#pullSuspendMs,
        brokerId: assigned.suggestedBrokerId
      })
      if (assigned.generation !== generation) return
      assigned.suggestedBrokerId = result.suggestedBrokerId
      assigned.position = result.nextOffset
      assigned.buffered.push(...result.messages)
    } catch (error) {
      if (!(error instanceof ClientError) || !error.retryable) throw error
      this.#instance.routes.refreshSoon(queue.topic)
      await pause(this.#instance.platform.clock, RETRY_PAUSE_MS)
    }
  }

  async #pull(
    queue: MessageQueue,
    offset: number,
    how: { subscription: Subscription; maxMessages: number; suspendMs: number; brokerId: number }
  ): Promise<PullResult> {
    const result = await pull(this.#instance, {
      group: this.#group,
      queue,
      offset,
      commitOffset: null,
      ...how
    })
    const messages = result.messages.filter(message => accepts(how.subscription, message.tag))
    return { ...result, messages }
  }

  /** Tries again while the failure is one that a new leader cures. */
  async #patiently<T>(queue: MessageQueue, run: () => Promise<T>): Promise<T> {
    const { clock } = this.#instance.platform
    const deadlineMs = clock.monotonicMs() + this.#retryWithinMs
    for (;;) {
      try {
        return await run()
      } catch (error) {
        const passing =
          error instanceof ClientError &&
          error.retryable &&
          (error.code !== 'REFUSED' || error.responseCode === 14)
        if (!passing || clock.monotonicMs() + RETRY_PAUSE_MS >= deadlineMs) throw error
        await pause(clock, RETRY_PAUSE_MS)
        await this.#instance.routes.refresh(queue.topic).catch(() => {})
      }
    }
  }

  #known(queue: MessageQueue): Assigned {
    const assigned = this.#assigned.get(queueKey(queue))
    if (assigned === undefined) throw badArgument(`${describeQueue(queue)} is not assigned`)
    return assigned
  }

  #checkStarted(): void {
    if (this.#state === 'started') return
    throw this.#state === 'new'
      ? new ClientError('NOT_STARTED', 'start() the consumer first')
      : new ClientError('CLOSED', 'the consumer was closed')
  }

  #now(): number {
    return Math.round(this.#instance.platform.clock.wallMs())
  }
}
