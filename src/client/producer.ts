import { UniqueKeyGenerator } from '../protocol/index.ts'
import { batchParts, checkBatch } from './batch.ts'
import { Batcher } from './batcher.ts'
import { ClientError } from './errors.ts'
import { ClientInstance } from './instance.ts'
import { LatencyFaults } from './latency.ts'
import { positive, resolveOptions } from './options.ts'
import {
  type Message,
  type MessageMarks,
  type PreparedMessage,
  prepareMessage
} from './outgoing.ts'
import {
  type ProducerOptions,
  type ResolvedProducerOptions,
  resolveProducerOptions
} from './producerOptions.ts'
import type { MessageQueue } from './queue.ts'
import { recallMessage } from './recall.ts'
import type { ReceivedMessage } from './received.ts'
import { Requests, replyTo } from './requests.ts'
import { fixedQueue, type QueueChoice, roundRobin, Sender } from './sender.ts'
import { type SendParts, type SendResult, singleParts } from './sendRequest.ts'
import { Tracer } from './tracer.ts'

/** Topics with a batch under construction; further ones are sent without one. */
const BATCHED_TOPICS_MAX = 1_000

/** How one message or batch is sent. */
export interface SendOptions {
  /** Send to exactly this queue. */
  readonly queue?: MessageQueue
  /** Or let this pick one of the topic's queues, e.g. by a key whose messages must stay in order. */
  readonly selectQueue?: (queues: readonly MessageQueue[], message: Message) => MessageQueue
  /** Time for all attempts, ms; default the producer's `retryWithinMs`. */
  readonly withinMs?: number
}

/** How a request is sent. */
export interface RequestOptions extends SendOptions {
  /** How long to wait for the reply, sending included, ms. Default 3000. */
  readonly timeoutMs?: number
}

/**
 * Sends messages. `send` resolves when the message is stored and rejects with a `ClientError` when that could not be
 * brought about in time; after a TIMEOUT or CONNECTION error it may be stored all the same.
 */
export class Producer {
  readonly #instance: ClientInstance
  readonly #options: ResolvedProducerOptions
  readonly #sender: Sender
  readonly #uniqueKeys: UniqueKeyGenerator
  readonly #batchers = new Map<string, Batcher>()
  readonly #anyQueue: QueueChoice
  readonly #requests: Requests
  readonly #tracer: Tracer | null
  readonly #pending = new Set<Promise<unknown>>()
  #inFlight = 0
  #inFlightBytes = 0
  #state: 'new' | 'started' | 'closed' = 'new'

  constructor(options: ProducerOptions) {
    const resolved = resolveOptions(options)
    this.#options = resolveProducerOptions(options)
    this.#instance = new ClientInstance(resolved, {
      producerGroup: this.#options.group,
      consumer: null
    })
    const { trace, binaryHeaders } = resolved
    this.#tracer =
      trace === null ? null : new Tracer(this.#instance, options.group, trace.topic, binaryHeaders)
    const faults = this.#options.sendLatencyFaultEnable
      ? new LatencyFaults(resolved.platform.clock)
      : null
    this.#sender = new Sender(this.#instance, {
      ...this.#options,
      binaryHeaders,
      watcher: this.#tracer,
      faults
    })
    this.#requests = new Requests(this.#instance)
    const { random, network } = resolved.platform
    this.#uniqueKeys = new UniqueKeyGenerator({
      address: network.hostAddresses()[0] ?? '127.0.0.1',
      processId: random.below(0x10000),
      random: random.bytes(4)
    })
    this.#anyQueue = roundRobin(random.below(1_024), faults)
  }

  /** As brokers know this client: `<ip>@<instanceName>`. */
  get clientId(): string {
    return this.#instance.clientId
  }

  /** Messages sent and not yet answered. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Resolves when a name server has answered. Sending before is refused. May be tried again after it failed; `close()` either way. */
  async start(): Promise<void> {
    if (this.#state === 'closed') throw new ClientError('CLOSED', 'the producer was closed')
    // Any answer will do: it proves that the addresses are right, before the first send has to find out.
    await this.#instance.routes.get('TBW102')
    this.#state = 'started'
  }

  /** The queues that this topic's messages may go to now. Rejects with NO_ROUTE for a topic that is not there and is not made by sending to it, with NO_LEADER while none can be written to. */
  async queues(topic: string): Promise<readonly MessageQueue[]> {
    this.#checkStarted()
    const { namespace } = this.#instance
    const queues = await this.#sender.queues(namespace.full(topic))
    return queues.map(queue => namespace.plainQueue(queue))
  }

  /** One message. Rejects with BAD_ARGUMENT for what no broker would take, before anything is sent. */
  async send(message: Message, options: SendOptions = {}): Promise<SendResult> {
    this.#checkStarted()
    // A body that is worth compressing goes alone: batches are never compressed.
    const batching = this.#batching(options) && bodyBytes(message) < this.#options.compressFromBytes
    const prepared = this.#prepare(message, batching)
    if (batching && !prepared.delayed && !message.topic.startsWith('%')) {
      const batcher = this.#batcher(prepared.topic)
      if (batcher !== null) return this.#track(1, prepared.body.length, () => batcher.add(prepared))
    }
    return this.#track(1, prepared.body.length, () =>
      this.#deliver(this.#single(prepared), message, options)
    )
  }

  /**
   * All of one topic, stored one behind the other in one queue, all or none. Rejects with BAD_ARGUMENT when there are none, when they are
   * of several topics, delayed, for a retry topic, or together larger than `messageBytesMax`; `splitBatch` cuts long lists.
   */
  async sendBatch(messages: readonly Message[], options: SendOptions = {}): Promise<SendResult> {
    this.#checkStarted()
    const prepared = messages.map(message => this.#prepare(message, true))
    checkBatch(prepared, this.#options.messageBytesMax)
    const parts = this.#batch(prepared)
    return this.#track(messages.length, parts.body.length, () =>
      this.#deliver(parts, messages[0]!, options)
    )
  }

  /**
   * Sends a message and resolves to the reply of whoever consumed it (`reply`). Rejects with TIMEOUT when nobody replied in time: a
   * consumer may have got the message all the same. The first request to a topic that does not exist makes it, and mostly times out.
   */
  async request(message: Message, options: RequestOptions = {}): Promise<ReceivedMessage> {
    this.#checkStarted()
    const timeoutMs = positive('timeoutMs', options.timeoutMs, 3_000)
    const untilMs = this.#instance.platform.clock.monotonicMs() + timeoutMs
    // A broker can push a reply only to who has introduced itself.
    await this.#sender.queues(this.#instance.namespace.full(message.topic))
    await this.#instance.introduce()
    const withinMs = Math.max(1, untilMs - this.#instance.platform.clock.monotonicMs())
    const correlationId = this.#uniqueKeys.next(this.#instance.platform.clock.wallMs())
    const replied = this.#requests.wait(correlationId, withinMs)
    // Until the send is over nobody looks at it.
    replied.catch(() => {})
    try {
      const marks = this.#requests.marks(correlationId, timeoutMs)
      await this.sendMarked(message, { ...options, withinMs }, marks)
    } catch (error) {
      this.#requests.giveUp(correlationId)
      throw error
    }
    return replied
  }

  /**
   * Answers a message that a consumer got from somebody's `request`. Rejects with BAD_ARGUMENT for a message that is no request, with
   * REFUSED when who asked is gone.
   */
  async reply(request: ReceivedMessage, body: string | Uint8Array): Promise<SendResult> {
    this.#checkStarted()
    const { topic, marks } = replyTo(request)
    const message = { topic, body }
    const prepared = this.#prepare(message, false, marks)
    const parts = { ...this.#single(prepared), topic, reply: true }
    const wanted = request.queue.brokerName
    return this.#track(1, prepared.body.length, () =>
      this.#sender.send(parts, (queues, avoidBroker) => {
        const near = queues.filter(queue => queue.brokerName === wanted)
        return this.#anyQueue(near.length > 0 ? near : queues, avoidBroker)
      })
    )
  }

  /**
   * Takes back a message that waits for its time, by the `recallHandle` of its send; resolves to its message id. Rejects with REFUSED when
   * the broker does not allow it (`recallMessageEnable`) or the time is over.
   */
  async recall(topic: string, recallHandle: string): Promise<string> {
    this.#checkStarted()
    const { namespace } = this.#instance
    const traced = { topic, messageId: recallHandle, success: false }
    try {
      const messageId = await recallMessage(this.#instance, {
        group: this.#options.group,
        topic: namespace.full(topic),
        recallHandle,
        withinMs: this.#options.retryWithinMs
      })
      this.#tracer?.recalled({ ...traced, messageId, success: true })
      return messageId
    } catch (error) {
      this.#tracer?.recalled(traced)
      throw error
    }
  }

  /** Resolves when the message was handed to a connection; nobody tells whether it arrived. */
  async sendOneway(message: Message, options: SendOptions = {}): Promise<void> {
    this.#checkStarted()
    const prepared = this.#prepare(message, false)
    const choose = this.#choice(message, options)
    await this.#sender.sendOneway(this.#single(prepared), choose)
  }

  /** Waits for what is in flight, then says goodbye to the brokers. May be called twice. */
  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    for (const batcher of this.#batchers.values()) batcher.flush()
    await Promise.allSettled(this.#pending)
    this.#requests.close()
    await this.#tracer?.close()
    this.#sender.close()
    await this.#instance.close()
  }

  /** For kinds of producers that build on this one. */
  protected get instance(): ClientInstance {
    return this.#instance
  }

  /** The group as servers know it. */
  protected get group(): string {
    return this.#options.group
  }

  protected get tracer(): Tracer | null {
    return this.#tracer
  }

  /** `send` of one message by itself, with what its kind of producer adds to it. */
  protected async sendMarked(
    message: Message,
    options: SendOptions,
    marks: MessageMarks
  ): Promise<SendResult> {
    this.#checkStarted()
    const prepared = this.#prepare(message, false, marks)
    return this.#track(1, prepared.body.length, () =>
      this.#deliver(this.#single(prepared), message, options)
    )
  }

  #prepare(
    message: Message,
    forBatch: boolean,
    marks: MessageMarks | null = null
  ): PreparedMessage {
    const { compressFromBytes, compressor, messageBytesMax } = this.#options
    const uniqueKey = this.#uniqueKeys.next(this.#instance.platform.clock.wallMs())
    const limits = {
      compressFromBytes: forBatch ? Number.POSITIVE_INFINITY : compressFromBytes,
      compressor,
      messageBytesMax
    }
    const topic = this.#instance.namespace.full(message.topic)
    const full = topic === message.topic ? message : { ...message, topic }
    return prepareMessage(full, uniqueKey, limits, marks)
  }

  #single(prepared: PreparedMessage): SendParts {
    return singleParts(prepared, this.#instance.platform.clock.wallMs())
  }

  #batch(prepared: readonly PreparedMessage[]): SendParts {
    return batchParts(prepared, this.#instance.platform.clock.wallMs())
  }

  #deliver(parts: SendParts, message: Message, options: SendOptions): Promise<SendResult> {
    return this.#sender.send(parts, this.#choice(message, options), options.withinMs)
  }

  #choice(message: Message, options: SendOptions): QueueChoice {
    const { namespace } = this.#instance
    if (options.queue !== undefined) return fixedQueue(namespace.fullQueue(options.queue))
    const select = options.selectQueue
    if (select === undefined) return this.#anyQueue
    // Chosen once: a retry must not move the message to another queue.
    let chosen: QueueChoice | null = null
    return (queues, avoidBroker) => {
      chosen ??= fixedQueue(
        namespace.fullQueue(
          select(
            queues.map(queue => namespace.plainQueue(queue)),
            message
          )
        )
      )
      return chosen(queues, avoidBroker)
    }
  }

  #batching(options: SendOptions): boolean {
    return (
      this.#options.batching !== null &&
      options.queue === undefined &&
      options.selectQueue === undefined &&
      options.withinMs === undefined
    )
  }

  #batcher(topic: string): Batcher | null {
    const batching = this.#options.batching
    if (batching === null) return null
    let batcher = this.#batchers.get(topic) ?? null
    if (batcher === null && this.#batchers.size < BATCHED_TOPICS_MAX) {
      batcher = new Batcher(this.#instance.platform.clock, batching, messages =>
        messages.length === 1
          ? this.#sender.send(this.#single(messages[0]!), this.#anyQueue)
          : this.#sender.send(this.#batch(messages), this.#anyQueue)
      )
      this.#batchers.set(topic, batcher)
    }
    return batcher
  }

  async #track(count: number, bytes: number, run: () => Promise<SendResult>): Promise<SendResult> {
    const { inFlightMax, inFlightBytesMax } = this.#options
    if (this.#inFlight + count > inFlightMax || this.#inFlightBytes + bytes > inFlightBytesMax) {
      throw new ClientError(
        'TOO_MANY_IN_FLIGHT',
        `${this.#inFlight} messages with ${this.#inFlightBytes} bytes wait for their answers already`
      )
    }
    this.#inFlight += count
    this.#inFlightBytes += bytes
    const running = run()
    this.#pending.add(running)
    try {
      return await running
    } finally {
      this.#pending.delete(running)
      this.#inFlight -= count
      this.#inFlightBytes -= bytes
    }
  }

  #checkStarted(): void {
    if (this.#state === 'started') return
    throw this.#state === 'new'
      ? new ClientError('NOT_STARTED', 'start() the producer before sending')
      : new ClientError('CLOSED', 'the producer was closed')
  }
}

function bodyBytes(message: Message): number {
  return typeof message.body === 'string' ? Buffer.byteLength(message.body) : message.body.length
}
