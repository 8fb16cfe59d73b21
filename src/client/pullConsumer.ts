import type { Timer } from '../platform/index.ts'
import { RequestCode } from '../protocol/index.ts'
import { checkFilter } from './checkFilter.ts'
import { type AssignmentListener, Division, difference, tellAssignment } from './division.ts'
import { asError, badArgument, ClientError } from './errors.ts'
import { ClientInstance } from './instance.ts'
import {
  checkOffset,
  commitOffset,
  LocalOffsetStore,
  offsetByTime,
  queryOffset,
  queueEdge
} from './offsets.ts'
import { checkTopic, resolveOptions } from './options.ts'
import { patiently } from './patiently.ts'
import { type PullResult, pull } from './pull.ts'
import { servePullConsumer } from './pullCallbacks.ts'
import {
  type PullConsumerOptions,
  type ResolvedPullOptions,
  resolvePullOptions
} from './pullConsumerOptions.ts'
import { PullQueues } from './pullQueues.ts'
import { compareQueues, type MessageQueue } from './queue.ts'
import type { ReceivedMessage } from './received.ts'
import { subscribeQueues, type TopicRoute } from './route.ts'
import { startOffset } from './startOffset.ts'
import { accepts, type Subscription, sqlSubscription, tagSubscription } from './subscription.ts'

/** What one `fetch` asks for. */
export interface PullRequest {
  /** From 1 on. Default the consumer's `messagesPerPull`. */
  readonly maxMessages?: number
  /** Wait so long at the broker for a message, ms. Default 0: answer at once. */
  readonly waitMs?: number
  /** Tags joined by `||`; default all. */
  readonly expression?: string
  /** An SQL92 expression instead of tags. */
  readonly sql?: string
}

/**
 * Reads at the pace of the user. `fetch` reads any queue at any offset; `poll` reads the queues given to `assign`, or of the topics given to
 * `subscribe` this member's share, which the members of the group divide among them; with broadcasting all of them.
 */
export class PullConsumer {
  readonly #instance: ClientInstance
  readonly #options: ResolvedPullOptions
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #queues: PullQueues
  /** Of a broadcasting member; null: offsets lie at the brokers. */
  readonly #local: LocalOffsetStore | null
  readonly #timers: Timer[] = []
  readonly #assignmentListeners: AssignmentListener[] = []
  readonly #queueListeners = new Map<string, ((queues: readonly MessageQueue[]) => void)[]>()
  #division: Division | null = null
  /** `assign` and `subscribe` exclude each other. */
  #mode: 'none' | 'assigned' | 'subscribed' = 'none'
  #state: 'new' | 'started' | 'closed' = 'new'

  constructor(options: PullConsumerOptions) {
    this.#options = resolvePullOptions(options)
    const { clustering, offsetDirectory, group } = this.#options
    // A broadcasting client finds its offsets again under the same id (broker.md 4.7).
    const common = clustering ? options : { instanceName: 'DEFAULT', ...options }
    this.#instance = new ClientInstance(resolveOptions(common), {
      producerGroup: null,
      consumer: {
        group,
        consumeType: 'CONSUME_ACTIVELY',
        messageModel: clustering ? 'CLUSTERING' : 'BROADCASTING',
        consumeFrom: 'CONSUME_FROM_LAST_OFFSET',
        subscriptions: () => [...this.#subscriptions.values()]
      }
    })
    this.#local = clustering ? null : new LocalOffsetStore(this.#instance, group, offsetDirectory!)
    this.#queues = new PullQueues(this.#instance.platform.clock, {
      startOffset: queue => this.#startOffset(queue),
      pull: (queue, offset, brokerId) => this.#pullNext(queue, offset, brokerId),
      failed: queue => this.#instance.routes.refreshSoon(queue.topic)
    })
    servePullConsumer(this.#instance, this.#options, {
      rebalance: () => this.rebalance(),
      seek: (queue, offset) => {
        if (this.#queues.has(queue)) this.#queues.seek(queue, offset)
      },
      queues: () => this.#queues.queues,
      position: queue => this.#queues.position(queue),
      subscriptions: () => [...this.#subscriptions.values()]
    })
    this.#instance.routes.onChange((route, before) => this.#routeChanged(route, before))
  }

  /** As brokers know this client: `<ip>@<instanceName>`. */
  get clientId(): string {
    return this.#instance.clientId
  }

  /** The queues that `poll` reads now. */
  get assignment(): readonly MessageQueue[] {
    return this.#queues.queues.map(queue => this.#plain(queue)).sort(compareQueues)
  }

  /** Resolves when a name server has answered, and the subscribed topics were divided for the first time. May be tried again after it failed; `close()` either way. */
  async start(): Promise<void> {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    if (this.#state === 'started') return
    await this.#instance.routes.get('TBW102')
    await Promise.all(
      [...this.#subscriptions.keys()].map(topic => this.#instance.routes.refresh(topic))
    )
    for (const subscription of this.#subscriptions.values()) await this.#checkFilter(subscription)
    this.#state = 'started'
    if (this.#options.autoCommit) {
      const { clock } = this.#instance.platform
      const commit = (): void => void this.#commitQuietly(this.#queues.queues)
      this.#timers.push(clock.every(this.#options.autoCommitIntervalMs, commit))
    }
    if (this.#mode === 'subscribed') await this.#join()
  }

  /** Messages of this topic by tags, `*` or joined by `||`; before or after the start, a second call for a topic replaces the first. Throws BAD_ARGUMENT after `assign`. */
  subscribe(topic: string, expression = '*'): void {
    checkTopic(topic)
    this.#subscribe(tagSubscription(this.#full(topic), expression, this.#now()))
  }

  /** The same by an SQL92 expression over message properties, where the broker allows it; one that does not compile is told by `start`. */
  subscribeSql(topic: string, expression: string): void {
    checkTopic(topic)
    this.#subscribe(sqlSubscription(this.#full(topic), expression, this.#now()))
  }

  /** Gives up the topic's queues. */
  unsubscribe(topic: string): void {
    const full = this.#full(topic)
    this.#subscriptions.delete(full)
    this.#adopt(full, [])
    if (this.#state === 'started') this.#instance.heartbeatAll()
  }

  /** Divides the queues of subscribed topics anew, soon. Happens by itself at every change of members or routes. */
  rebalance(): void {
    void this.#division?.run()
  }

  /** Told of each change of `assignment`; what it throws is logged. */
  onAssignment(listener: AssignmentListener): void {
    this.#assignmentListeners.push(listener)
  }

  /** Told when a topic gets or loses queues, also of one that is neither assigned nor subscribed. */
  onQueues(topic: string, listener: (queues: readonly MessageQueue[]) => void): void {
    const full = this.#full(topic)
    this.#instance.routes.watch(full)
    this.#queueListeners.set(full, [...(this.#queueListeners.get(full) ?? []), listener])
  }

  /** The topic's readable queues, sorted. Rejects with NO_ROUTE when there is no such topic. */
  async queues(topic: string): Promise<readonly MessageQueue[]> {
    this.#checkStarted()
    const full = this.#full(topic)
    this.#instance.routes.watch(full)
    const route = await this.#instance.routes.refresh(full)
    if (route === null) {
      throw new ClientError('NO_ROUTE', `no name server knows the topic ${topic}`)
    }
    return this.#readable(route)
  }

  /** One pull at an offset of your choice, from 0 on; one that does not exist is told of by the status, with the offset to go on at. */
  async fetch(queue: MessageQueue, offset: number, request: PullRequest = {}): Promise<PullResult> {
    this.#checkStarted()
    const full = this.#fullQueue(queue)
    const { sql, expression = '*', waitMs = 0 } = request
    const subscription =
      sql === undefined
        ? tagSubscription(full.topic, expression, this.#now())
        : sqlSubscription(full.topic, sql, this.#now())
    const result = await this.#patiently(full, () =>
      this.#pull(full, offset, {
        subscription,
        maxMessages: request.maxMessages ?? this.#options.messagesPerPull,
        suspendMs: waitMs,
        brokerId: 0
      })
    )
    return { ...result, messages: this.#instance.namespace.plainMessages(result.messages) }
  }

  /** From now on `poll` reads these queues, each from the group's offset, or as `consumeFrom` says when there is none. Throws BAD_ARGUMENT after `subscribe`. */
  assign(queues: readonly MessageQueue[], expression = '*'): void {
    this.#checkStarted()
    this.#setMode('assigned')
    const wanted = queues.map(queue => this.#fullQueue(queue))
    this.#subscriptions.clear()
    for (const { topic } of wanted) {
      this.#instance.routes.watch(topic)
      this.#subscriptions.set(topic, tagSubscription(topic, expression, this.#now()))
    }
    this.#change(difference(this.#queues.queues, wanted))
    this.#instance.heartbeatAll()
  }

  /**
   * Up to `maxMessages` of the queues as soon as there is one; none after `timeoutMs`. What is returned counts as read;
   * `commit` makes that last.
   */
  async poll(
    timeoutMs = 5_000,
    maxMessages = this.#options.messagesPerPull
  ): Promise<ReceivedMessage[]> {
    this.#checkStarted()
    if (this.#mode === 'none') throw badArgument('assign() queues or subscribe() before poll()')
    const isOpen = (): boolean => this.#state === 'started'
    const messages = await this.#queues.take(maxMessages, timeoutMs, isOpen)
    return [...this.#instance.namespace.plainMessages(messages)]
  }

  /** `poll` goes on at this offset of one of its queues. Throws BAD_ARGUMENT for other queues and for what is no whole number from 0 on. */
  seek(queue: MessageQueue, offset: number): void {
    this.#queues.seek(this.#fullQueue(queue), offset)
  }

  /** `poll` goes on at the queue's oldest message. */
  async seekToBegin(queue: MessageQueue): Promise<void> {
    this.seek(queue, await this.minOffset(queue))
  }

  /** `poll` goes on at what is sent from now on. */
  async seekToEnd(queue: MessageQueue): Promise<void> {
    this.seek(queue, await this.maxOffset(queue))
  }

  /** `poll` leaves these queues out until `resume`. Throws BAD_ARGUMENT for queues that it does not read. */
  pause(queues: readonly MessageQueue[]): void {
    for (const queue of queues) this.#queues.setPaused(this.#fullQueue(queue), true)
  }

  /** `poll` reads these queues again. */
  resume(queues: readonly MessageQueue[]): void {
    for (const queue of queues) this.#queues.setPaused(this.#fullQueue(queue), false)
  }

  /** The offset that `poll` returns next; null while it has not been looked up yet. Throws BAD_ARGUMENT for a queue that it does not read. */
  position(queue: MessageQueue): number | null {
    return this.#queues.position(this.#fullQueue(queue))
  }

  /** Stores the positions of all queues, or of one, as the group's offsets; with broadcasting as this member's, in its file. */
  async commit(queue?: MessageQueue): Promise<void> {
    this.#checkStarted()
    const queues = queue === undefined ? this.#queues.queues : [this.#fullQueue(queue)]
    await Promise.all(queues.map(each => this.#commit(each)))
  }

  /** Stores any offset for any queue. */
  commitOffset(queue: MessageQueue, offset: number): Promise<void> {
    this.#checkStarted()
    return this.#store(this.#fullQueue(queue), offset)
  }

  /** The group's stored offset, with broadcasting this member's; null when there is none. */
  committed(queue: MessageQueue): Promise<number | null> {
    return this.#ask(queue, full => this.#stored(full))
  }

  /** The oldest message's offset. */
  minOffset(queue: MessageQueue): Promise<number> {
    return this.#ask(queue, full => queueEdge(this.#instance, RequestCode.GET_MIN_OFFSET, full))
  }

  /** One behind the last message. */
  maxOffset(queue: MessageQueue): Promise<number> {
    return this.#ask(queue, full => queueEdge(this.#instance, RequestCode.GET_MAX_OFFSET, full))
  }

  /** The first message stored at this time (ms since 1970) or later. */
  offsetByTime(queue: MessageQueue, timestampMs: number): Promise<number> {
    return this.#ask(queue, full => offsetByTime(this.#instance, full, timestampMs))
  }

  /** Leaves the group. Commits only with `autoCommit`. May be called twice. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    const wasStarted = this.#state === 'started'
    this.#state = 'closed'
    this.#division?.stop()
    for (const timer of this.#timers) timer.cancel()
    if (wasStarted && this.#options.autoCommit) await this.#commitQuietly(this.#queues.queues)
    this.#queues.clear()
    await this.#instance.close()
  }

  #subscribe(subscription: Subscription): void {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    this.#setMode('subscribed')
    this.#subscriptions.set(subscription.topic, subscription)
    this.#instance.routes.watch(subscription.topic)
    if (this.#state !== 'started') return
    if (this.#division === null) void this.#join()
    else {
      this.#instance.heartbeatAll()
      this.rebalance()
    }
  }

  #setMode(mode: 'assigned' | 'subscribed'): void {
    if (this.#mode !== 'none' && this.#mode !== mode) {
      throw badArgument('a pull consumer either assigns queues or subscribes to topics')
    }
    this.#mode = mode
  }

  async #join(): Promise<void> {
    const { rebalanceIntervalMs } = this.#options
    this.#division ??= new Division(
      { instance: this.#instance, options: this.#options },
      rebalanceIntervalMs,
      {
        topics: () => [...this.#subscriptions.keys()],
        divided: (topic, queues) => this.#adopt(topic, queues)
      }
    )
    await this.#instance.greetAll()
    await this.#division.run()
  }

  async #checkFilter(subscription: Subscription): Promise<void> {
    if (subscription.expressionType === 'TAG') return
    await checkFilter({ instance: this.#instance, options: this.#options }, subscription)
  }

  #adopt(topic: string, queues: readonly MessageQueue[]): void {
    const before = this.#queues.queues.filter(queue => queue.topic === topic)
    this.#change(difference(before, this.#subscriptions.has(topic) ? queues : []))
  }

  #change({ added, removed }: { added: MessageQueue[]; removed: MessageQueue[] }): void {
    if (added.length === 0 && removed.length === 0) return
    if (this.#options.autoCommit) void this.#commitQuietly(removed)
    for (const queue of removed) this.#queues.remove(queue)
    for (const queue of added) this.#queues.add(queue)
    tellAssignment(this.#instance, this.#assignmentListeners, added, removed)
  }

  #routeChanged(route: TopicRoute, before: TopicRoute | null): void {
    if (this.#subscriptions.has(route.topic)) this.rebalance()
    const listeners = this.#queueListeners.get(route.topic)
    if (listeners === undefined || before === null) return
    const { added, removed } = difference(subscribeQueues(before), subscribeQueues(route))
    if (added.length === 0 && removed.length === 0) return
    for (const listener of listeners) this.#tell(() => listener(this.#readable(route)))
  }

  /** Calls what the user gave us. */
  #tell(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#instance.logger.error('A listener of the pull consumer failed', {
        group: this.#options.group,
        error: asError(error).stack
      })
    }
  }

  async #startOffset(queue: MessageQueue): Promise<number> {
    const stored = await this.#stored(queue)
    return stored ?? startOffset(this.#instance, queue, this.#options.consumeFrom)
  }

  async #commit(queue: MessageQueue): Promise<void> {
    const position = this.#queues.position(queue)
    if (position !== null) await this.#store(queue, position)
  }

  #stored(queue: MessageQueue): Promise<number | null> {
    return this.#local?.read(queue) ?? queryOffset(this.#instance, this.#options.group, queue)
  }

  async #store(queue: MessageQueue, offset: number): Promise<void> {
    checkOffset(offset)
    const { group } = this.#options
    await (this.#local?.store(queue, offset) ??
      this.#patiently(queue, () => commitOffset(this.#instance, group, queue, offset)))
  }

  /** Failures are logged: what is not stored now is stored the next time. */
  async #commitQuietly(queues: readonly MessageQueue[]): Promise<void> {
    const results = await Promise.allSettled(queues.map(queue => this.#commit(queue)))
    for (const result of results) {
      if (result.status === 'fulfilled') continue
      this.#instance.logger.warn('An offset could not be stored', {
        group: this.#options.group,
        error: asError(result.reason).message
      })
    }
  }

  async #pullNext(
    queue: MessageQueue,
    offset: number,
    brokerId: number
  ): Promise<PullResult | null> {
    const subscription = this.#subscriptions.get(queue.topic)
    if (subscription === undefined) return null
    return this.#pull(queue, offset, {
      subscription,
      maxMessages: this.#options.messagesPerPull,
      suspendMs: this.#options.pullSuspendMs,
      brokerId
    })
  }

  async #pull(
    queue: MessageQueue,
    offset: number,
    how: { subscription: Subscription; maxMessages: number; suspendMs: number; brokerId: number }
  ): Promise<PullResult> {
    const { group } = this.#options
    const result = await pull(this.#instance, { group, queue, offset, commitOffset: null, ...how })
    const messages = result.messages.filter(message => accepts(how.subscription, message.tag))
    return { ...result, messages }
  }

  #ask<T>(queue: MessageQueue, run: (full: MessageQueue) => Promise<T>): Promise<T> {
    this.#checkStarted()
    const full = this.#fullQueue(queue)
    return this.#patiently(full, () => run(full))
  }

  #patiently<T>(queue: MessageQueue, run: () => Promise<T>): Promise<T> {
    return patiently(this.#instance, queue.topic, this.#options.retryWithinMs, run)
  }

  #readable(route: TopicRoute): MessageQueue[] {
    return subscribeQueues(route)
      .map(queue => this.#plain(queue))
      .sort(compareQueues)
  }

  #full(topic: string): string {
    return this.#instance.namespace.full(topic)
  }

  #fullQueue(queue: MessageQueue): MessageQueue {
    return this.#instance.namespace.fullQueue(queue)
  }

  #plain(queue: MessageQueue): MessageQueue {
    return this.#instance.namespace.plainQueue(queue)
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
