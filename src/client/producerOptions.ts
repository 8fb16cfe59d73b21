import { type Compressor, compressorOf } from './compression.ts'
import { Namespace } from './namespace.ts'
import type { ClientOptions } from './options.ts'
import { checkGroup, positive, whole } from './options.ts'

const MIB = 1_048_576

/** How sends of the same moment are gathered. */
export interface BatchingOptions {
  /** Messages in one request at most. Default 64. */
  messagesMax?: number
  /** Bytes of one request at most. Default 262144. */
  bytesMax?: number
  /** How long a first message waits for company, ms; 0: until the end of the turn. Default 0. */
  lingerMs?: number
}

/** What a producer takes; wrong values are refused with BAD_ARGUMENT. */
export interface ProducerOptions extends ClientOptions {
  /** All senders of one kind share a group; brokers ask its members about transactions, and push replies to them. */
  group: string
  /** Time for one attempt, ms. Default 3000. */
  sendTimeoutMs?: number
  /**
   * Time for all attempts of one send, ms. While a broker group has no leader, or its leader cannot be reached, the
   * send is tried again with fresh routes until then. Default 10000.
   */
  retryWithinMs?: number
  /** Further attempts after answers like SYSTEM_ERROR that have nothing to do with a leader change. Default 2. */
  retries?: number
  /** Bodies from here on are compressed with zlib. Default 4096; Infinity: never. Batches are never compressed. */
  compressFromBytes?: number
  /** Default zlib, which every client can read; zstd needs consumers of 5.x, and Node.js 22.15 here. */
  compression?: 'zlib' | 'zstd'
  /** 0 to 9 for zlib, 1 to 22 for zstd. Default 5. */
  compressLevel?: number
  /** Broker groups that answered slowly or not at all are left out for some seconds (RocketMQ's name and times; of use with several groups). Default false. */
  sendLatencyFaultEnable?: boolean
  /** Largest body. Default 4 MiB, the brokers' own default. */
  messageBytesMax?: number
  /** Messages sent and not yet answered; further sends reject with TOO_MANY_IN_FLIGHT. Default 10000. */
  inFlightMax?: number
  /** The same in bytes of body. Default 256 MiB. */
  inFlightBytesMax?: number
  /** Gathers messages of one topic that are sent in the same moment into one request. Default off. */
  batching?: BatchingOptions | boolean
  /** Queues of a topic that this producer's first message creates. Default 4. */
  newTopicQueues?: number
}

export interface ResolvedProducerOptions {
  readonly group: string
  readonly sendTimeoutMs: number
  readonly retryWithinMs: number
  readonly retries: number
  readonly compressFromBytes: number
  readonly compressor: Compressor
  readonly sendLatencyFaultEnable: boolean
  readonly messageBytesMax: number
  readonly inFlightMax: number
  readonly inFlightBytesMax: number
  readonly batching: { messagesMax: number; bytesMax: number; lingerMs: number } | null
  readonly newTopicQueues: number
}

export function resolveProducerOptions(options: ProducerOptions): ResolvedProducerOptions {
  const group = new Namespace(options.namespace ?? '').full(options.group)
  checkGroup(group)
  const batching = options.batching === true ? {} : options.batching
  const messageBytesMax = whole('messageBytesMax', options.messageBytesMax, 4 * MIB, 1)
  return {
    group,
    sendTimeoutMs: positive('sendTimeoutMs', options.sendTimeoutMs, 3_000),
    retryWithinMs: positive('retryWithinMs', options.retryWithinMs, 10_000),
    retries: whole('retries', options.retries, 2, 0),
    compressFromBytes: options.compressFromBytes ?? 4_096,
    compressor: compressorOf(options.compression ?? 'zlib', options.compressLevel ?? 5),
    sendLatencyFaultEnable: options.sendLatencyFaultEnable ?? false,
    messageBytesMax,
    inFlightMax: whole('inFlightMax', options.inFlightMax, 10_000, 1),
    inFlightBytesMax: whole('inFlightBytesMax', options.inFlightBytesMax, 256 * MIB, 1),
    newTopicQueues: whole('newTopicQueues', options.newTopicQueues, 4, 1),
    batching:
      batching === undefined || batching === false
        ? null
        : {
            messagesMax: whole('batching.messagesMax', batching.messagesMax, 64, 1),
            bytesMax: Math.min(
              messageBytesMax,
              whole('batching.bytesMax', batching.bytesMax, 262_144, 1)
            ),
            lingerMs: whole('batching.lingerMs', batching.lingerMs, 0, 0)
          }
  }
}
