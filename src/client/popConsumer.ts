import { decodePopHandle, ProtocolError, RequestCode } from '../protocol/index.ts'
import { checkFilter } from './checkFilter.ts'
import { badArgument, ClientError } from './errors.ts'
import { ClientInstance } from './instance.ts'
import { checkTopic, resolveOptions } from './options.ts'
import { patiently } from './patiently.ts'
import {
  batchAckBody,
  changeInvisibleTime,
  type PoppedMessage,
  type PopTarget,
  pop,
  popNotification
} from './pop.ts'
import {
  type PopConsumerOptions,
  type ResolvedPopOptions,
  resolvePopOptions
} from './popConsumerOptions.ts'
import { subscribeQueues } from './route.ts'
import { atMost, pause } from './sleeper.ts'
import { accepts, type Subscription, sqlSubscription, tagSubscription } from './subscription.ts'

/** After a failure of one broker group the others are asked, and it is after this time. */
const FAILURE_PAUSE_MS = 200

/** What one `receive` asks for. */
export interface ReceiveOptions {
  /** From 1 to 32. Default the consumer's `messagesPerReceive`. */
  readonly maxMessages?: number
  /** Default the consumer's. */
  readonly invisibleMs?: number
  /** Default the consumer's. 0: what is there at once. */
  readonly waitMs?: number
}

/** One topic on one broker group, and what is on its way for it. */
interface Source extends PopTarget {
  attemptId: string
  /** Asks whether there is something; one at a time. */
  notification: Promise<boolean> | null
}

/**
 * Receives messages one by one, by POP of RocketMQ 5: members of a group share every queue, without a rebalance. What is received is
 * hidden from the others until it is acknowledged (then it is gone) or its time is over (then it is given out again).
 */
export class PopConsumer {
  readonly #instance: ClientInstance
  readonly #options: ResolvedPopOptions
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #sources = new Map<string, Source>()
  /** Where the next `receive` begins, so that no topic starves. */
  #turn = 0
  #state: 'new' | 'started' | 'closed' = 'new'

  constructor(options: PopConsumerOptions) {
    this.#options = resolvePopOptions(options)
    this.#instance = new ClientInstance(resolveOptions(options), {
      producerGroup: null,
      consumer: {
        group: this.#options.group,
        consumeType: 'CONSUME_POP',
        messageModel: 'CLUSTERING',
        consumeFrom:
          this.#options.popFrom === 'first'
            ? 'CONSUME_FROM_FIRST_OFFSET'
            : 'CONSUME_FROM_LAST_OFFSET',
        subscriptions: () => [...this.#subscriptions.values()]
      }
    })
  }

  /** As brokers know this client: `<ip>@<instanceName>`. */
  get clientId(): string {
    return this.#instance.clientId
  }

  /** Messages of this topic by tags, `*` or joined by `||`; a second call for a topic replaces the first. */
  subscribe(topic: string, expression = '*'): void {
    checkTopic(topic)
    const full = this.#instance.namespace.full(topic)
    this.#subscribe(tagSubscription(full, expression, this.#now()))
  }

  /** The same by an SQL92 expression over message properties; one that does not compile is told by `start` or `receive`. */
  subscribeSql(topic: string, expression: string): void {
    checkTopic(topic)
    const full = this.#instance.namespace.full(topic)
    this.#subscribe(sqlSubscription(full, expression, this.#now()))
  }

  /** Receives nothing more of the topic; what is held may still be acknowledged. */
  unsubscribe(topic: string): void {
    this.#subscriptions.delete(this.#instance.namespace.full(topic))
    if (this.#state === 'started') this.#instance.heartbeatAll()
  }

  /** Resolves when a name server has answered and the brokers know the group. May be tried again after it failed; `close()` either way. */
  async start(): Promise<void> {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    if (this.#state === 'started') return
    await this.#instance.routes.get('TBW102')
    for (const subscription of this.#subscriptions.values()) {
      await this.#instance.routes.refresh(subscription.topic)
      if (subscription.expressionType === 'TAG') continue
      await checkFilter({ instance: this.#instance, options: this.#options }, subscription)
    }
    this.#state = 'started'
    await this.#instance.greetAll()
  }

  /**
   * Messages of one of the subscribed topics as soon as there are some; none after `waitMs`. Rejects when no broker group can be asked
   * for longer than `retryWithinMs`.
   */
  async receive(options: ReceiveOptions = {}): Promise<PoppedMessage[]> {
    this.#checkStarted()
    if (this.#subscriptions.size === 0) throw badArgument('subscribe() to a topic before receive()')
    const { clock } = this.#instance.platform
    const waitMs = options.waitMs ?? this.#options.waitMs
    const startedMs = clock.monotonicMs()
    let failingSinceMs: number | null = null
    for (;;) {
      const leftMs = Math.max(0, Math.round(startedMs + waitMs - clock.monotonicMs()))
      try {
        const messages = await this.#look(options, leftMs)
        failingSinceMs = null
        if (messages.length > 0 || clock.monotonicMs() >= startedMs + waitMs) return messages
      } catch (error) {
        if (this.#isClosed) return []
        failingSinceMs ??= clock.monotonicMs()
        if (!isPassing(error) || clock.monotonicMs() - failingSinceMs > this.#options.retryWithinMs)
          throw error
        await pause(clock, FAILURE_PAUSE_MS)
        await Promise.all(
          [...this.#subscriptions.keys()].map(topic =>
            this.#instance.routes.refresh(topic).catch(() => null)
          )
        )
      }
    }
  }

  /** These messages are consumed: they do not come again. One whose time was over before comes again all the same. */
  async ack(messages: PoppedMessage | readonly PoppedMessage[]): Promise<void> {
    this.#checkStarted()
    const byBroker = new Map<string, PoppedMessage[]>()
    for (const message of [messages].flat() as PoppedMessage[]) {
      const { brokerName } = handleOf(message)
      const others = byBroker.get(brokerName)
      if (others === undefined) byBroker.set(brokerName, [message])
      else others.push(message)
    }
    await Promise.all([...byBroker].map(([name, each]) => this.#ackAt(name, each)))
  }

  /** The message comes again after `invisibleMs` from now, if it is not acknowledged before: sooner to try again, later to take more time. The returned one replaces it. */
  async changeInvisible(message: PoppedMessage, invisibleMs: number): Promise<PoppedMessage> {
    this.#checkStarted()
    if (!Number.isFinite(invisibleMs) || invisibleMs < 0)
      throw badArgument(`invisibleMs must be 0 or more, not ${invisibleMs}`)
    const topic = this.#topicOf(message)
    handleOf(message)
    const { group, retryWithinMs } = this.#options
    const handled = { topic, handle: message.handle }
    const handle = await patiently(this.#instance, topic, retryWithinMs, () =>
      changeInvisibleTime(this.#instance, group, handled, Math.round(invisibleMs))
    )
    return { ...message, handle }
  }

  /** What was received and is not acknowledged comes again when its time is over. May be called twice. */
  async close(): Promise<void> {
    this.#state = 'closed'
    await this.#instance.close()
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  async #ackAt(brokerName: string, messages: readonly PoppedMessage[]): Promise<void> {
    const { group, retryWithinMs } = this.#options
    const handled = messages.map(message => ({
      topic: this.#topicOf(message),
      handle: message.handle
    }))
    const body = batchAckBody(group, brokerName, handled)
    const { topic } = handled[0]!
    await patiently(this.#instance, topic, retryWithinMs, async () => {
      const address = await this.#instance.leader(topic, brokerName)
      await this.#instance.caller.ask(address, RequestCode.BATCH_ACK_MESSAGE, {}, { body })
    })
  }

  /** As servers know it. */
  #topicOf(message: PoppedMessage): string {
    return this.#instance.namespace.full(message.queue.topic)
  }

  /** All sources once, without waiting; then as long as `waitMs` for whichever has something first. */
  async #look(options: ReceiveOptions, waitMs: number): Promise<PoppedMessage[]> {
    const sources = await this.#allSources()
    const [only] = sources
    if (only === undefined) {
      // No route yet: the topic may be made while we wait.
      await pause(this.#instance.platform.clock, Math.min(waitMs, FAILURE_PAUSE_MS))
      return []
    }
    if (sources.length === 1) return await this.#pop(only, options, waitMs)
    for (let i = 0; i < sources.length; i++) {
      const source = sources[(this.#turn + i) % sources.length]!
      const messages = await this.#pop(source, options, 0)
      if (messages.length === 0) continue
      this.#turn = (this.#turn + i + 1) % sources.length
      return messages
    }
    if (waitMs > 0) await this.#notified(sources, waitMs)
    return []
  }

  async #pop(source: Source, options: ReceiveOptions, waitMs: number): Promise<PoppedMessage[]> {
    const subscription = this.#subscriptions.get(source.topic)
    if (subscription === undefined) return []
    const { messagesPerReceive, invisibleMs } = this.#options
    const messages = await pop(this.#instance, this.#options, source, {
      subscription,
      maxMessages: Math.max(1, Math.min(32, options.maxMessages ?? messagesPerReceive)),
      invisibleMs: Math.round(options.invisibleMs ?? invisibleMs),
      waitMs,
      attemptId: source.attemptId
    })
    // An attempt whose answer was lost is repeated under its name.
    if (messages.length > 0) source.attemptId = this.#newAttempt()
    const wanted = messages.filter(message => accepts(subscription, message.tag))
    const hit = messages.filter(message => !wanted.includes(message))
    // Another tag with the same hash: it is not for this group.
    if (hit.length > 0) await this.ack(hit)
    return wanted.map(message => ({
      ...message,
      topic: this.#instance.namespace.plain(message.topic),
      queue: this.#instance.namespace.plainQueue(message.queue)
    }))
  }

  /** Resolves when one of them has something, or the time is over. */
  async #notified(sources: readonly Source[], waitMs: number): Promise<void> {
    const asked = sources.map(source => {
      source.notification ??= popNotification(
        this.#instance,
        this.#options,
        source,
        waitMs
      ).finally(() => {
        source.notification = null
      })
      return source.notification.then(has => (has ? undefined : Promise.reject(new Error('none'))))
    })
    // Its timer must not outlive the wait: the process could not end.
    const any = Promise.any(asked).catch(() => {})
    await atMost(this.#instance.platform.clock, waitMs, any)
  }

  async #allSources(): Promise<Source[]> {
    const found: Source[] = []
    for (const topic of this.#subscriptions.keys()) {
      const route = await this.#instance.routes.get(topic)
      const names = new Set(
        route === null ? [] : subscribeQueues(route).map(queue => queue.brokerName)
      )
      for (const brokerName of names) {
        const key = `${topic}@${brokerName}`
        const source = this.#sources.get(key) ?? {
          topic,
          brokerName,
          attemptId: this.#newAttempt(),
          notification: null
        }
        this.#sources.set(key, source)
        found.push(source)
      }
    }
    return found
  }

  #newAttempt(): string {
    return this.#instance.platform.random.bytes(12).toString('hex')
  }

  #subscribe(subscription: Subscription): void {
    this.#subscriptions.set(subscription.topic, subscription)
    if (this.#state !== 'started') return
    void this.#instance.routes
      .refresh(subscription.topic)
      .catch(() => null)
      .then(() => this.#instance.heartbeatAll())
  }

  #now(): number {
    return Math.round(this.#instance.platform.clock.wallMs())
  }

  #checkStarted(): void {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the consumer was closed')
    if (this.#state === 'new') throw new ClientError('NOT_STARTED', 'call start() first')
  }
}

/** A new leader, or a little time, cures it. */
function isPassing(error: unknown): boolean {
  return error instanceof ClientError && error.retryable
}

function handleOf({ handle }: PoppedMessage): { brokerName: string } {
  try {
    return decodePopHandle(handle)
  } catch (error) {
    if (error instanceof ProtocolError)
      throw badArgument(`the message has no handle: ${error.message}`)
    throw error
  }
}
