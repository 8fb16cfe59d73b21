import type { Timer } from '../platform/index.ts'
import {
  decodeProperties,
  MessageProperty,
  MessageSysFlag,
  SystemTopic,
  UniqueKeyGenerator
} from '../protocol/index.ts'
import { compressorOf } from './compression.ts'
import { asError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { prepareMessage } from './outgoing.ts'
import type { ReceivedMessage } from './received.ts'
import { roundRobin, Sender, type SendWatcher } from './sender.ts'
import { type SendParts, type SendResult, singleParts } from './sendRequest.ts'
import {
  afterConsumeRecord,
  beforeConsumeRecord,
  type ConsumeTrace,
  type EndTransactionTrace,
  endTransactionRecord,
  publishRecord,
  type RecallTrace,
  recallRecord,
  type TracedMessage,
  TraceMessageKind
} from './traceRecords.ts'

/** Records wait so long for company. */
const LINGER_MS = 500
/** A trace message is sent when it holds so much. */
const BODY_BYTES_MAX = 100_000
/** Records not sent yet; further ones are dropped, because tracing must never hold up what is traced. */
const RECORDS_MAX = 2_048
const SEND_WITHIN_MS = 5_000
const COMPRESS_FROM_BYTES = 4_096
const COMPRESS_LEVEL = 5
/** Key characters of one trace message: properties must stay below their limit. */
const KEYS_CHARACTERS_MAX = 16_000
const DEFAULT_REGION = 'DefaultRegion'

interface Pending {
  readonly records: string[]
  readonly keys: Set<string>
  bytes: number
  keyCharacters: number
}

/** Tells the trace topic what became of messages, in the background; a record that cannot be sent is lost and logged. */
export class Tracer implements SendWatcher {
  readonly #instance: ClientInstance
  readonly #group: string
  readonly #topic: string
  readonly #sender: Sender
  readonly #uniqueKeys: UniqueKeyGenerator
  readonly #compressor = compressorOf('zlib', COMPRESS_LEVEL)
  readonly #sending = new Set<Promise<void>>()
  /** By the topic that is traced, as the original groups them. */
  #pending = new Map<string, Pending>()
  #count = 0
  #dropped = 0
  #timer: Timer | null = null
  #closed: boolean = false

  /** `topic` null: RocketMQ's own trace topic. `group`: the plain name of the client's group. */
  constructor(
    instance: ClientInstance,
    group: string,
    topic: string | null,
    binaryHeaders: boolean
  ) {
    this.#instance = instance
    this.#group = group
    this.#topic = topic ?? SystemTopic.TRACE
    this.#sender = new Sender(instance, {
      group: `_INNER_TRACE_PRODUCER-${group}`,
      sendTimeoutMs: SEND_WITHIN_MS,
      retryWithinMs: SEND_WITHIN_MS,
      retries: 2,
      newTopicQueues: 4,
      binaryHeaders
    })
    const { network, random } = instance.platform
    this.#uniqueKeys = new UniqueKeyGenerator({
      address: network.hostAddresses()[0] ?? '127.0.0.1',
      processId: random.below(0x10000),
      random: random.bytes(4)
    })
  }

  /** `SendWatcher`: an attempt was answered with "stored". */
  sent(parts: SendParts, result: SendResult, attempt: Parameters<SendWatcher['sent']>[2]): void {
    if (attempt.regionId === null || !attempt.traceOn) return
    const properties = decodeProperties(Buffer.from(parts.propertiesText))
    const topic = this.#instance.namespace.plain(parts.topic)
    const traced = {
      topic,
      messageId: result.messageId,
      tags: properties.get(MessageProperty.TAGS) ?? null,
      keys: properties.get(MessageProperty.KEYS) ?? null
    }
    this.#add(
      traced,
      publishRecord({
        ...traced,
        timeMs: attempt.startedMs,
        region: attempt.regionId,
        group: this.#group,
        storeHost: attempt.address,
        bodyBytes: parts.body.length,
        costMs: attempt.costMs,
        kind: kindOf(parts, properties),
        offsetMessageId: result.offsetMessageId,
        success: result.status === 'SEND_OK'
      })
    )
  }

  /** A listener is about to get these. Returns what its end is told with; null when none of them is to be traced. */
  consuming(messages: readonly ReceivedMessage[]): TracedCall | null {
    const traced = messages.filter(
      message => message.properties.get(MessageProperty.TRACE_ON) !== 'false'
    )
    const region = traced.at(-1)?.properties.get(MessageProperty.MSG_REGION)
    if (region === undefined) return null
    const timeMs = this.#nowMs()
    const requestId = this.#uniqueKeys.next(timeMs)
    const trace: ConsumeTrace = { timeMs, region, group: this.#group, requestId }
    for (const message of traced) {
      const one = tracedMessage(message)
      this.#add(one, beforeConsumeRecord(trace, one, message.reconsumeTimes))
    }
    return { trace, messages: traced, startedMs: this.#instance.platform.clock.monotonicMs() }
  }

  /** The listener's call ended; `outcome` of `TraceOutcome`. */
  consumed(call: TracedCall, success: boolean, outcome: number): void {
    const spentMs = this.#instance.platform.clock.monotonicMs() - call.startedMs
    const costMs = Math.floor(spentMs / call.messages.length)
    const trace = { ...call.trace, timeMs: this.#nowMs() }
    for (const message of call.messages) {
      const one = tracedMessage(message)
      this.#add(one, afterConsumeRecord(trace, one, { costMs, success, outcome }))
    }
  }

  /** The broker was told how a transaction ended. */
  ended(
    end: Omit<EndTransactionTrace, 'timeMs' | 'region' | 'group'> & { region: string | null }
  ): void {
    const region = end.region ?? DEFAULT_REGION
    this.#add(
      end,
      endTransactionRecord({ ...end, region, timeMs: this.#nowMs(), group: this.#group })
    )
  }

  /** A message was asked back. */
  recalled(recall: Pick<RecallTrace, 'topic' | 'messageId' | 'success'>): void {
    const trace = { ...recall, timeMs: this.#nowMs(), region: DEFAULT_REGION, group: this.#group }
    this.#add({ ...recall, tags: null, keys: null }, recallRecord(trace))
  }

  /** Sends what is left and waits for it. */
  async close(): Promise<void> {
    this.#closed = true
    this.#flush()
    await Promise.allSettled(this.#sending)
    this.#sender.close()
  }

  #add(message: TracedMessage, record: string): void {
    // A listener may still run when its consumer has given up waiting for it.
    if (message.topic === this.#topic || this.#closed) return
    if (this.#count >= RECORDS_MAX) {
      this.#dropped++
      return
    }
    const pending = this.#room(message, record)
    pending.records.push(record)
    pending.bytes += Buffer.byteLength(record)
    for (const key of keysOf(message)) {
      if (pending.keys.has(key)) continue
      pending.keys.add(key)
      pending.keyCharacters += key.length + 1
    }
    this.#count++
    this.#timer ??= this.#instance.platform.clock.after(LINGER_MS, () => this.#flush())
  }

  /** The message under construction for this topic, a new one when this does not fit. */
  #room(message: TracedMessage, record: string): Pending {
    const found = this.#pending.get(message.topic)
    const keyCharacters = keysOf(message).reduce((sum, key) => sum + key.length + 1, 0)
    if (
      found !== undefined &&
      found.bytes + Buffer.byteLength(record) <= BODY_BYTES_MAX &&
      found.keyCharacters + keyCharacters <= KEYS_CHARACTERS_MAX
    )
      return found
    if (found !== undefined) this.#send(found)
    const pending = { records: [], keys: new Set<string>(), bytes: 0, keyCharacters: 0 }
    this.#pending.set(message.topic, pending)
    return pending
  }

  #flush(): void {
    this.#timer?.cancel()
    this.#timer = null
    const pending = this.#pending
    this.#pending = new Map()
    for (const each of pending.values()) this.#send(each)
    if (this.#dropped === 0) return
    this.#instance.logger.warn('Trace records were dropped, too many waited', {
      group: this.#group,
      dropped: this.#dropped
    })
    this.#dropped = 0
  }

  #send(pending: Pending): void {
    const count = pending.records.length
    const sending = this.#deliver(pending)
      .catch((error: unknown) =>
        this.#instance.logger.warn('Trace records could not be sent', {
          group: this.#group,
          topic: this.#topic,
          records: count,
          error: asError(error).message
        })
      )
      .finally(() => {
        this.#count -= count
        this.#sending.delete(sending)
      })
    this.#sending.add(sending)
  }

  async #deliver(pending: Pending): Promise<void> {
    const message = {
      topic: this.#topic,
      body: pending.records.join(''),
      keys: [...pending.keys]
    }
    const wallMs = this.#nowMs()
    const limits = {
      compressFromBytes: COMPRESS_FROM_BYTES,
      compressor: this.#compressor,
      messageBytesMax: 2 * BODY_BYTES_MAX
    }
    const prepared = prepareMessage(message, this.#uniqueKeys.next(wallMs), limits)
    const { random } = this.#instance.platform
    await this.#sender.send(singleParts(prepared, wallMs), roundRobin(random.below(1_024)))
  }

  #nowMs(): number {
    return Math.round(this.#instance.platform.clock.wallMs())
  }
}

/** A listener's call between its two records. */
export interface TracedCall {
  readonly trace: ConsumeTrace
  readonly messages: readonly ReceivedMessage[]
  readonly startedMs: number
}

function tracedMessage(message: ReceivedMessage): TracedMessage {
  return {
    topic: message.topic,
    messageId: message.messageId,
    tags: message.tag,
    keys: message.properties.get(MessageProperty.KEYS) ?? null
  }
}

/** What the trace can be found by: message ids and keys. */
function keysOf(message: TracedMessage): string[] {
  return [...message.messageId.split(','), ...(message.keys ?? '').split(' ')].filter(
    key => key !== ''
  )
}

function kindOf(parts: SendParts, properties: ReadonlyMap<string, string>): number {
  if ((parts.sysFlag & MessageSysFlag.transactionMask) === MessageSysFlag.transactionPrepared)
    return TraceMessageKind.half
  const delayed = DELAYS.some(name => properties.has(name))
  return delayed ? TraceMessageKind.delay : TraceMessageKind.normal
}

const DELAYS = [
  MessageProperty.DELAY,
  MessageProperty.TIMER_DELAY_MS,
  MessageProperty.TIMER_DELAY_SEC,
  MessageProperty.TIMER_DELIVER_MS
] as const
