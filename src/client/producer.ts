import { UniqueKeyGenerator } from '../protocol/index.ts'
import { batchParts, checkBatch } from './batch.ts'
import { Batcher } from './batcher.ts'
import { ClientError } from './errors.ts'
import { ClientInstance } from './instance.ts'
import { resolveOptions } from './options.ts'
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
import { fixedQueue, type QueueChoice, roundRobin, Sender } from './sender.ts'
import { type SendParts, type SendResult, singleParts } from './sendRequest.ts'

/** Topics with a batch under construction; further ones are sent without one. */
const BATCHED_TOPICS_MAX = 1_000

export interface SendOptions {
  /** Send to exactly this queue. */
  readonly queue?: MessageQueue
  /** Or let this pick one of the topic's queues, e.g. by a key whose messages must stay in order. */
  readonly selectQueue?: (queues: readonly MessageQueue[], message: Message) => MessageQueue
  /** Time for all attempts, ms; default the producer's `retryWithinMs`. */
  readonly withinMs?: number
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
    this.#sender = new Sender(this.#instance, {
      ...this.#options,
      binaryHeaders: resolved.binaryHeaders
    })
    const { random, network } = resolved.platform
    this.#uniqueKeys = new UniqueKeyGenerator({
      address: network.hostAddresses()[0] ?? '127.0.0.1',
      processId: random.below(0x10000),
      random: random.bytes(4)
    })
    this.#anyQueue = roundRobin(random.below(1_024))
  }

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

  /** The queues that this topic's messages may go to now. */
  queues(topic: string): Promise<readonly MessageQueue[]> {
    this.#checkStarted()
    return this.#sender.queues(topic)
  }

  async send(message: Message, options: SendOptions = {}): Promise<SendResult> {
    this.#checkStarted()
    // A body that is worth compressing goes alone: batches are never compressed.
    const batching = this.#batching(options) && bodyBytes(message) < this.#options.compressFromBytes
    const prepared = this.#prepare(message, batching)
    if (batching && !prepared.delayed && !message.topic.startsWith('%')) {
      const batcher = this.#batcher(message.topic)
      if (batcher !== null) return this.#track(1, prepared.body.length, () => batcher.add(prepared))
    }
    return this.#track(1, prepared.body.length, () =>
      this.#deliver(this.#single(prepared), message, options)
    )
  }

  /** All of one topic, stored one behind the other in one queue, all or none. */
  async sendBatch(messages: readonly Message[], options: SendOptions = {}): Promise<SendResult> {
    this.#checkStarted()
    const prepared = messages.map(message => this.#prepare(message, true))
    checkBatch(prepared, this.#options.messageBytesMax)
    const parts = this.#batch(prepared)
    return this.#track(messages.length, parts.body.length, () =>
      this.#deliver(parts, messages[0]!, options)
    )
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
    this.#sender.close()
    await this.#instance.close()
  }

  /** For kinds of producers that build on this one. */
  protected get instance(): ClientInstance {
    return this.#instance
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
    const { compressFromBytes, messageBytesMax } = this.#options
    const uniqueKey = this.#uniqueKeys.next(this.#instance.platform.clock.wallMs())
    const limits = {
      compressFromBytes: forBatch ? Number.POSITIVE_INFINITY : compressFromBytes,
      messageBytesMax
    }
    return prepareMessage(message, uniqueKey, limits, marks)
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
    if (options.queue !== undefined) return fixedQueue(options.queue)
    const select = options.selectQueue
    if (select === undefined) return this.#anyQueue
    // Chosen once: a retry must not move the message to another queue.
    let chosen: QueueChoice | null = null
    return (queues, avoidBroker) => {
      chosen ??= fixedQueue(select(queues, message))
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
