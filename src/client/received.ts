import * as zlib from 'node:zlib'
import {
  decodeStoredMessages,
  encodeHost,
  hostText,
  MessageProperty,
  offsetMessageId,
  type StoredMessage
} from '../protocol/index.ts'
import type { MessageQueue } from './queue.ts'

/** Decompressed bodies larger than this are not made: a few bytes can claim gigabytes. */
const BODY_BYTES_MAX = 64 * 1_048_576

const SYS_FLAG_COMPRESSED = 0x1
const COMPRESSION_TYPES = ['ZLIB', 'LZ4', 'ZSTD', 'ZLIB'] as const

export type Compression = (typeof COMPRESSION_TYPES)[number]

/** A message as a consumer gets it. */
export interface ReceivedMessage {
  /** The topic it was sent to, also when it comes from a retry topic. */
  readonly topic: string
  /** Where it lies; the queue's topic is the retry topic for retries. */
  readonly queue: MessageQueue
  readonly queueOffset: number
  /** Decompressed; see `undecoded`. */
  readonly body: Buffer
  /** Compression that could not be undone (LZ4, or damaged data): `body` is as stored. Else null. */
  readonly undecoded: Compression | null
  readonly tag: string | null
  readonly keys: readonly string[]
  readonly properties: ReadonlyMap<string, string>
  /** The id that the sender gave it; the broker's id when it gave none. */
  readonly messageId: string
  /** The broker's id: store host and position in the log. */
  readonly offsetMessageId: string
  readonly commitLogOffset: number
  /** How often it was sent back before; 0 at the first delivery. */
  readonly reconsumeTimes: number
  /** ms since 1970 by the sender's clock. */
  readonly bornTimestamp: number
  /** `ip:port`. */
  readonly bornHost: string
  /** ms since 1970 by the broker's clock. */
  readonly storeTimestamp: number
  readonly storeHost: string
  readonly storeSizeBytes: number
  readonly bodyCrc: number
  readonly flag: number
  readonly sysFlag: number
  readonly preparedTransactionOffset: number
}

/** Reads the body of a pull, query or view answer. */
export function readMessages(body: Buffer | null, brokerName: string): ReceivedMessage[] {
  if (body === null) return []
  return decodeStoredMessages(body).map(stored => received(stored, brokerName))
}

/** What consumers of a group see: a retry shows the topic that it was sent to first (remoting.md 4.3). */
function received(stored: StoredMessage, brokerName: string): ReceivedMessage {
  const { properties } = stored
  const storeHost = encodeHost(stored.storeHost.address, stored.storeHost.port)
  const offsetId = offsetMessageId(storeHost, stored.physicalOffset)
  const { body, undecoded } = decompressed(stored.body, stored.sysFlag)
  const keys = properties.get(MessageProperty.KEYS)
  return {
    topic: properties.get(MessageProperty.RETRY_TOPIC) ?? stored.topic,
    queue: { topic: stored.topic, brokerName, queueId: stored.queueId },
    queueOffset: stored.queueOffset,
    body,
    undecoded,
    tag: properties.get(MessageProperty.TAGS) ?? null,
    keys: keys === undefined ? [] : keys.split(' ').filter(key => key !== ''),
    properties,
    messageId: properties.get(MessageProperty.UNIQ_KEY) ?? offsetId,
    offsetMessageId: offsetId,
    commitLogOffset: stored.physicalOffset,
    reconsumeTimes: stored.reconsumeTimes,
    bornTimestamp: stored.bornTimestamp,
    bornHost: hostText(stored.bornHost),
    storeTimestamp: stored.storeTimestamp,
    storeHost: hostText(stored.storeHost),
    storeSizeBytes: stored.totalSize,
    bodyCrc: stored.bodyCrc,
    flag: stored.flag,
    sysFlag: stored.sysFlag,
    preparedTransactionOffset: stored.preparedTransactionOffset
  }
}

function decompressed(
  body: Buffer,
  sysFlag: number
): { body: Buffer; undecoded: Compression | null } {
  if ((sysFlag & SYS_FLAG_COMPRESSED) === 0) return { body, undecoded: null }
  const type = COMPRESSION_TYPES[(sysFlag >> 8) & 3]!
  const decode = type === 'ZLIB' ? zlib.inflateSync : type === 'ZSTD' ? zstd : undefined
  if (decode === undefined) return { body, undecoded: type }
  try {
    return { body: decode(body, { maxOutputLength: BODY_BYTES_MAX }), undecoded: null }
  } catch {
    // The sender's damage is the consumer's to judge; losing the message would be worse.
    return { body, undecoded: type }
  }
}

/** There from Node.js 22.15 on. */
const zstd = (
  zlib as unknown as {
    zstdDecompressSync?: (data: Buffer, options: { maxOutputLength: number }) => Buffer
  }
).zstdDecompressSync
