import { crc32 } from 'node:zlib'
import {
  BatchReader,
  ByteRange,
  findProperty,
  getBodyCrc,
  getBodyRange,
  getPhysicalOffset,
  getPropertiesRange,
  getQueueId,
  getQueueOffset,
  getStoreTimestamp,
  getTopicRange,
  MessageProperty,
  readLong,
  type SendHeader,
  SystemTopic
} from '../../protocol/index.ts'

const uniqueKey = Buffer.from(MessageProperty.UNIQ_KEY)
const realTopic = Buffer.from(MessageProperty.REAL_TOPIC)
const realQueue = Buffer.from(MessageProperty.REAL_QID)
const deliverTime = Buffer.from(MessageProperty.TIMER_DELIVER_MS)
/** Filled again and again. */
const range = new ByteRange()
const crcMask = 0x7fffffff
const divertedTo = new Set<string>([
  SystemTopic.SCHEDULE,
  SystemTopic.TIMER,
  SystemTopic.TRANS_HALF
])

/** What two attempts of one send have in common. */
export interface MessageIdentity {
  /** Topic and UNIQ_KEY. */
  readonly name: string
  readonly bodyBytes: number
  readonly bodyCrc: number
}

/** A message of the log as the one who sent it knows it. */
export interface StoredSend extends MessageIdentity {
  readonly topic: string
  readonly key: string
  /** The one that the client meant. */
  readonly queueId: number
  readonly queueOffset: number
  readonly physicalOffset: number
  readonly storeTimestamp: number
  readonly isHalf: boolean
  /** When it is to be delivered; null: it does not wait for a time of its own. */
  readonly dueMs: number | null
}

/** Null: it has no UNIQ_KEY. */
export function storedSend(bytes: Uint8Array, at: number): StoredSend | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const properties = new ByteRange()
  getPropertiesRange(buffer, at, properties)
  const property = (name: Buffer): string | null =>
    findProperty(buffer, properties.start, properties.end, name, range)
      ? buffer.toString('utf8', range.start, range.end)
      : null
  const key = property(uniqueKey)
  if (key === null) return null
  const keyRange = { start: range.start, end: range.end }
  getTopicRange(buffer, at, range)
  const storedTopic = buffer.toString('utf8', range.start, range.end)
  const diverted = divertedTo.has(storedTopic)
  const topic = diverted ? (property(realTopic) ?? storedTopic) : storedTopic
  const queueId = diverted ? Number(property(realQueue) ?? 0) : getQueueId(buffer, at)
  getBodyRange(buffer, at, range)
  const bodyBytes = range.end - range.start
  return {
    name: nameOf(topic, buffer, keyRange),
    topic,
    key,
    queueId,
    bodyBytes,
    bodyCrc: getBodyCrc(buffer, at) & crcMask,
    queueOffset: getQueueOffset(buffer, at),
    physicalOffset: getPhysicalOffset(buffer, at),
    storeTimestamp: getStoreTimestamp(buffer, at),
    isHalf: storedTopic === SystemTopic.TRANS_HALF,
    dueMs: storedTopic === SystemTopic.TIMER ? dueTime(buffer, properties) : null
  }
}

/** The broker wrote it behind what the client said; of several the last counts. */
function dueTime(bytes: Buffer, properties: ByteRange): number | null {
  const value = new ByteRange()
  if (!findProperty(bytes, properties.start, properties.end, deliverTime, value)) return null
  return readLong(bytes, value.start, value.end - value.start)
}

/** A message that somebody sends. */
class SentMessage implements MessageIdentity {
  readonly name: string
  readonly #body: Buffer

  constructor(name: string, body: Buffer) {
    this.name = name
    this.#body = body
  }

  get bodyBytes(): number {
    return this.#body.length
  }

  /** Looked at only when a send of this name is known. */
  get bodyCrc(): number {
    return crc32(this.#body) & crcMask
  }
}

/** The messages of a send, one or those of a batch; null when one of them has no UNIQ_KEY. */
export function sentMessages(header: SendHeader, body: Buffer): MessageIdentity[] | null {
  const { topic } = header
  if (!header.batch) {
    const end = header.propertiesAt + header.propertiesBytes
    const sent = sentMessage(topic, header.propertiesSource, header.propertiesAt, end, body)
    return sent === null ? null : [sent]
  }
  const sent: MessageIdentity[] = []
  const reader = new BatchReader(body)
  while (reader.next()) {
    const { propertiesStart, propertiesEnd } = reader
    const one = sentMessage(topic, body, propertiesStart, propertiesEnd, reader.body)
    if (one === null) return null
    sent.push(one)
  }
  return sent.length === 0 ? null : sent
}

function sentMessage(
  topic: string,
  properties: Buffer,
  from: number,
  to: number,
  body: Buffer
): SentMessage | null {
  if (!findProperty(properties, from, to, uniqueKey, range)) return null
  return new SentMessage(nameOf(topic, properties, range), body)
}

/** Bytes as they are: two keys are the same when their bytes are. */
function nameOf(topic: string, bytes: Buffer, { start, end }: ByteRange): string {
  return `${topic}\0${bytes.toString('latin1', start, end)}`
}
