import type { Timer } from '../platform/index.ts'
import { retryTopic } from '../protocol/index.ts'
import { serveBrokerRequests } from './callbacks.ts'
import { checkFilter } from './checkFilter.ts'
import { ConcurrentService } from './concurrentService.ts'
import {
  consumeFromName,
  type PushConsumerOptions,
  resolveConsumerOptions
} from './consumerOptions.ts'
import { type AssignmentListener, Division, difference, tellAssignment } from './division.ts'
import { asError, badArgument, ClientError } from './errors.ts'
import type { ConsumerGroup, ConsumeService } from './group.ts'
import { ClientInstance } from './instance.ts'
import { lockQueues, unlockQueues } from './locks.ts'
import { LocalOffsetStore, RemoteOffsetStore } from './offsets.ts'
import { checkTopic, resolveOptions } from './options.ts'
import { OrderlyService } from './orderlyService.ts'
import { ProcessQueue } from './processQueue.ts'
import { PullLoop } from './pullLoop.ts'
import { type MessageQueue, queueKey } from './queue.ts'
import { leaderAddress, type TopicRoute } from './route.ts'
import { Sender } from './sender.ts'
import { atMost } from './sleeper.ts'
import { type Subscription, sqlSubscription, tagSubscription } from './subscription.ts'
import { Tracer } from './tracer.ts'

/** Locks of orderly consumers are renewed this often (broker.md 4.8). */
const LOCK_RENEWAL_MS = 20_000

/** Has the messages of its topics delivered to a listener. */
export class PushConsumer {
  readonly #group: ConsumerGroup
  readonly #service: ConsumeService
  readonly #sender: Sender
  readonly #loops = new Map<string, PullLoop>()
  /** Queues given up whose listeners still run: they are not taken again before. */
  readonly #releasing = new Map<string, Promise<void>>()
  readonly #timers: Timer[] = []
  #division: Division | null = null
  readonly #assignmentListeners: AssignmentListener[] = []
  #paused: boolean = false
  #state: 'new' | 'started' | 'closed' = 'new'

  constructor(options: PushConsumerOptions) {
    const consumer = resolveConsumerOptions(options)
    const common = resolveOptions(
      // A broadcasting client finds its offsets again under the same id (broker.md 4.7).
      consumer.clustering ? options : { instanceName: 'DEFAULT', ...options }
    )
    const subscriptions = new Map<string, Subscription>()
    const instance = new ClientInstance(common, {
      producerGroup: 'CLIENT_INNER_PRODUCER',
      consumer: {
        group: consumer.group,
        consumeType: 'CONSUME_PASSIVELY',
        messageModel: consumer.clustering ? 'CLUSTERING' : 'BROADCASTING',
        consumeFrom: consumeFromName(consumer.consumeFrom),
        subscriptions: () => [...subscriptions.values()]
      }
    })
    const offsets = consumer.clustering
      ? new RemoteOffsetStore(instance, consumer.group)
      : new LocalOffsetStore(instance, consumer.group, consumer.offsetDirectory!)
    this.#group = {
      instance,
      options: consumer,
      offsets,
      subscriptions,
      queues: new Map(),
      stats: new Map(),
      tracer:
        common.trace === null
          ? null
          : new Tracer(instance, options.group, common.trace.topic, common.binaryHeaders)
    }
    this.#sender = new Sender(instance, {
      group: 'CLIENT_INNER_PRODUCER',
      sendTimeoutMs: 3_000,
      retryWithinMs: 10_000,
      retries: 2,
      newTopicQueues: 4,
      binaryHeaders: common.binaryHeaders
    })
    this.#service = consumer.orderly
      ? new OrderlyService(this.#group, this.#sender)
      : new ConcurrentService(this.#group, this.#sender)
    serveBrokerRequests(this.#group, {
      rebalance: () => this.rebalance(),
      resetOffsets: offsetsByQueue => this.#resetOffsets(offsetsByQueue)
    })
    instance.routes.onChange((route, before) => this.#routeChanged(route, before))
  }

  /** As brokers know this client: `<ip>@<instanceName>`. */
  get clientId(): string {
    return this.#group.instance.clientId
  }

  /** Queues assigned to this client at present. */
  get assignment(): readonly MessageQueue[] {
    const { instance, queues } = this.#group
    return [...queues.values()].map(({ queue }) => instance.namespace.plainQueue(queue))
  }

  /** `*`, or tags joined by `||`. Before or after the start; a second call for a topic replaces the first. */
  subscribe(topic: string, expression = '*'): void {
    checkTopic(topic)
    this.#subscribe(tagSubscription(this.#full(topic), expression, this.#now()))
  }

  /** An SQL92 expression over message properties, where the broker allows it. */
  subscribeSql(topic: string, expression: string): void {
    checkTopic(topic)
    this.#subscribe(sqlSubscription(this.#full(topic), expression, this.#now()))
  }

  /** Gives up the topic's queues. */
  unsubscribe(topic: string): void {
    const full = this.#full(topic)
    this.#group.subscriptions.delete(full)
    for (const process of [...this.#group.queues.values()]) {
      if (process.queue.topic === full) this.#release(process)
    }
    if (this.#state === 'started') this.#group.instance.heartbeatAll()
  }

  /** Resolves when the group was joined and the queues were divided for the first time; topics that do not exist yet join later. `close()` it also when this failed. */
  async start(): Promise<void> {
    const { instance, options, subscriptions } = this.#group
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    if (this.#state === 'started') return
    if (subscriptions.size === 0) throw badArgument('subscribe to a topic before start()')
    const topics = [...subscriptions.keys()]
    await Promise.all(topics.map(topic => instance.routes.refresh(topic)))
    await this.#checkFilters()
    if (options.clustering) {
      this.#subscribe(tagSubscription(retryTopic(options.group), '*', this.#now()))
    }
    this.#state = 'started'
    await instance.greetAll()
    if (this.#isClosed()) return
    const { clock } = instance.platform
    this.#timers.push(
      clock.every(options.persistIntervalMs, () => void this.#group.offsets.persist())
    )
    if (options.orderly && options.clustering) {
      this.#timers.push(clock.every(LOCK_RENEWAL_MS, () => void this.#renewLocks()))
    }
    this.#division = new Division(this.#group, options.rebalanceIntervalMs, {
      topics: () => [...subscriptions.keys()],
      divided: (topic, queues) => this.#adopt(topic, queues)
    })
    await this.#division.run()
  }

  /** Told of each change of `assignment`, retry topics included; what it throws is logged. */
  onAssignment(listener: AssignmentListener): void {
    this.#assignmentListeners.push(listener)
  }

  /** Nothing is pulled until `resume`; what was pulled is still delivered. */
  pause(): void {
    this.#paused = true
  }

  /** Ends a `pause`. */
  resume(): void {
    this.#paused = false
    for (const loop of this.#loops.values()) loop.retry()
  }

  /** Divides the queues anew, soon. Happens by itself at every change of members or routes. */
  rebalance(): void {
    if (this.#state === 'started') void this.#division?.run()
  }

  /** Stores the offsets of what was consumed so far. Happens by itself every 5 s and at `close`. */
  async commit(): Promise<void> {
    await this.#group.offsets.persist()
  }

  /** Stops pulling, waits for running listeners, stores offsets, leaves the group. May be called twice. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    for (const timer of this.#timers) timer.cancel()
    this.#division?.stop()
    this.#service.stop()
    const { options, queues, offsets, instance } = this.#group
    for (const loop of this.#loops.values()) loop.end()
    const idle = [...queues.values()].map(process => this.#service.idle(process))
    await atMost(
      instance.platform.clock,
      options.closeTimeoutMs,
      Promise.all([...idle, ...this.#releasing.values()])
    )
    for (const loop of this.#loops.values()) loop.stop()
    await offsets.persist()
    if (options.orderly && options.clustering) await this.#unlockAll()
    await this.#group.tracer?.close()
    this.#sender.close()
    await instance.close()
  }

  #subscribe(subscription: Subscription): void {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    this.#group.subscriptions.set(subscription.topic, subscription)
    this.#group.instance.routes.watch(subscription.topic)
    if (this.#state !== 'started') return
    this.#group.instance.heartbeatAll()
    this.rebalance()
  }

  /** CHECK_CLIENT_CONFIG (46): an SQL92 text that does not compile is refused now rather than never delivering. */
  async #checkFilters(): Promise<void> {
    for (const subscription of this.#group.subscriptions.values()) {
      if (subscription.expressionType !== 'TAG') await checkFilter(this.#group, subscription)
    }
  }

  #adopt(topic: string, assigned: readonly MessageQueue[]): void {
    const held = [...this.#group.queues.values()].filter(({ queue }) => queue.topic === topic)
    const { added, removed } = difference(
      held.map(process => process.queue),
      // Given up while it was being divided.
      this.#group.subscriptions.has(topic) ? assigned : []
    )
    for (const queue of removed) this.#release(this.#group.queues.get(queueKey(queue))!)
    const taken = added.filter(queue => !this.#releasing.has(queueKey(queue)))
    for (const queue of taken) this.#take(queue, null)
    if (taken.length > 0 || removed.length > 0) {
      tellAssignment(this.#group.instance, this.#assignmentListeners, taken, removed)
    }
  }

  #take(queue: MessageQueue, startOffset: number | null): void {
    const process = new ProcessQueue(queue)
    process.nextPullOffset = startOffset
    const key = queueKey(queue)
    this.#group.queues.set(key, process)
    const loop = new PullLoop(this.#group, process, this.#service, {
      mayPull: queueToPull => this.#mayPull(queueToPull),
      paused: () => this.#paused,
      moved: (old, offset) => this.#restart(old, offset)
    })
    this.#loops.set(key, loop)
    loop.run().catch((error: unknown) => {
      this.#group.instance.logger.error('A pull loop ended by itself', {
        ...queue,
        error: asError(error).stack
      })
      if (this.#group.queues.get(key) === process) this.#release(process)
    })
  }

  /** The queue goes to another member: what runs may end, its offset is stored, then the lock is given back. */
  #release(process: ProcessQueue): void {
    const key = queueKey(process.queue)
    if (this.#group.queues.get(key) !== process) return
    this.#group.queues.delete(key)
    this.#loops.get(key)?.stop()
    this.#loops.delete(key)
    const { options, offsets, instance } = this.#group
    const leaving = (async () => {
      await offsets.persist()
      await atMost(instance.platform.clock, options.closeTimeoutMs, this.#service.idle(process))
      if (options.orderly && options.clustering) {
        await unlockQueues(instance, options.group, [process.queue])
      }
    })().finally(() => {
      this.#releasing.delete(key)
      if (!this.#group.queues.has(key)) offsets.forget(process.queue)
      // It may have been given to us again meanwhile.
      this.rebalance()
    })
    this.#releasing.set(key, leaving)
  }

  /** Same owner, other place: what is in memory does not count any more. */
  #restart(process: ProcessQueue, offset: number): void {
    const key = queueKey(process.queue)
    if (this.#group.queues.get(key) !== process) return
    this.#loops.get(key)?.stop()
    this.#group.offsets.update(process.queue, offset)
    void this.#group.offsets.persist()
    const lockedAtMs = process.lockedAtMs
    this.#take(process.queue, offset)
    this.#group.queues.get(key)!.lockedAtMs = lockedAtMs
  }

  async #mayPull(process: ProcessQueue): Promise<boolean> {
    const { instance, options } = this.#group
    const nowMs = instance.platform.clock.monotonicMs()
    if (!options.orderly || !options.clustering || process.isLocked(nowMs)) return true
    const granted = await lockQueues(instance, options.group, [process.queue])
    if (!granted.has(queueKey(process.queue))) return false
    // Another member may have worked on the queue since: begin at the stored offset.
    if (process.count > 0) this.#release(process)
    else process.nextPullOffset = null
    process.lockedAtMs = nowMs
    return true
  }

  async #renewLocks(): Promise<void> {
    const { instance, options, queues } = this.#group
    for (const held of byBroker([...queues.values()], process => process.queue)) {
      const nowMs = instance.platform.clock.monotonicMs()
      const locked = held.filter(process => process.isLocked(nowMs))
      if (locked.length === 0) continue
      try {
        const granted = await lockQueues(
          instance,
          options.group,
          locked.map(process => process.queue)
        )
        for (const process of locked) {
          if (granted.has(queueKey(process.queue))) process.lockedAtMs = nowMs
          else this.#release(process)
        }
      } catch (error) {
        instance.logger.warn('Queue locks could not be renewed', { error: asError(error).message })
      }
    }
  }

  async #unlockAll(): Promise<void> {
    const { instance, options, queues } = this.#group
    const held = byBroker(
      [...queues.values()].map(process => process.queue),
      queue => queue
    )
    await Promise.all(held.map(together => unlockQueues(instance, options.group, together)))
  }

  #resetOffsets(offsetsByQueue: ReadonlyMap<string, number>): void {
    for (const process of [...this.#group.queues.values()]) {
      const offset = offsetsByQueue.get(queueKey(process.queue))
      if (offset !== undefined) this.#restart(process, offset)
    }
  }

  #routeChanged(route: TopicRoute, before: TopicRoute | null): void {
    const leaders = new Map(before?.brokers.map(b => [b.brokerName, leaderAddress(b)]) ?? [])
    for (const broker of route.brokers) {
      if (leaders.get(broker.brokerName) === leaderAddress(broker)) continue
      for (const [key, process] of this.#group.queues) {
        if (process.queue.brokerName === broker.brokerName) this.#loops.get(key)?.retry()
      }
    }
    if (this.#group.subscriptions.has(route.topic)) this.rebalance()
  }

  /** Also while something was awaited. */
  #isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** The topic as servers know it. */
  #full(topic: string): string {
    return this.#group.instance.namespace.full(topic)
  }

  #now(): number {
    return Math.round(this.#group.instance.platform.clock.wallMs())
  }
}

/** Locks are asked of one broker group at a time. */
function byBroker<T>(items: readonly T[], queueOf: (item: T) => MessageQueue): T[][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const { brokerName } = queueOf(item)
    const group = groups.get(brokerName)
    if (group === undefined) groups.set(brokerName, [item])
    else group.push(item)
  }
  return [...groups.values()]
}
