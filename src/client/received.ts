import {
  decodeStoredMessages,
  encodeHost,
  hostText,
  MessageProperty,
  offsetMessageId,
  type StoredMessage
} from '../protocol/index.ts'
import { type Compression, unpackBody } from './compression.ts'
import type { MessageQueue } from './queue.ts'

/** A message as a consumer gets it. */
export interface ReceivedMessage {
  /** The topic it was sent to, also when it comes from a retry topic. */
  readonly topic: string
  /** Where it lies; the queue's topic is the retry topic for retries. */
  readonly queue: MessageQueue
  readonly queueOffset: number
  /** Decompressed; see `undecoded`. */
  readonly body: Buffer
  /** Compression that could not be undone (zstd before Node.js 22.15, or damaged data): `body` is as stored. Else null. */
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
  const { body, undecoded } = unpackBody(stored.body, stored.sysFlag)
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
