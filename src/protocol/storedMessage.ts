import { crc32 } from 'node:zlib'
import { getInt32, getInt64, putInt16, putInt32, putInt64 } from './bytes.ts'
import { ProtocolError } from './errors.ts'
import { decodeHost, type Host } from './hosts.ts'
import { ByteRange, decodeProperties, PROPERTIES_BYTES_MAX } from './properties.ts'
import {
  BORN_HOST_AT,
  BORN_TIMESTAMP_AT,
  bornHostBytes,
  getBodyCrc,
  getBodyRange,
  getBornTimestamp,
  getFlag,
  getMagic,
  getPhysicalOffset,
  getPropertiesRange,
  getQueueId,
  getQueueOffset,
  getSysFlag,
  getTopicRange,
  getTotalSize,
  isStoredMessage,
  MAGIC_V1,
  MAGIC_V2,
  reconsumeTimesAt,
  STORED_MESSAGE_FIXED_BYTES,
  storeHostAt,
  storeHostBytes,
  storeTimestampAt,
  TOPIC_BYTES_MAX
} from './storedMessageBytes.ts'
import { MessageSysFlag } from './sysFlags.ts'

/** A stored message, decoded; layout in storedMessageBytes.ts. */
export interface StoredMessage {
  totalSize: number
  /** MAGIC_V1 or MAGIC_V2. */
  magic: number
  bodyCrc: number
  queueId: number
  flag: number
  queueOffset: number
  physicalOffset: number
  sysFlag: number
  bornTimestamp: number
  bornHost: Host
  storeTimestamp: number
  storeHost: Host
  reconsumeTimes: number
  preparedTransactionOffset: number
  /** As stored: compressed if sysFlag says so. A view. */
  body: Buffer
  topic: string
  properties: Map<string, string>
}

/** Decodes the message at `at`. Throws ProtocolError LMQ_BAD_BODY when none lies there. */
export function decodeStoredMessage(bytes: Buffer, at = 0, end = bytes.length): StoredMessage {
  if (!isStoredMessage(bytes, at, end))
    throw new ProtocolError(
      'LMQ_BAD_BODY',
      `there is no whole stored message at byte ${at} of ${end}`
    )
  const sysFlag = getSysFlag(bytes, at)
  const reconsumeAt = at + reconsumeTimesAt(sysFlag)
  const body = new ByteRange()
  const topic = new ByteRange()
  const properties = new ByteRange()
  getBodyRange(bytes, at, body)
  getTopicRange(bytes, at, topic)
  getPropertiesRange(bytes, at, properties)
  return {
    totalSize: getTotalSize(bytes, at),
    magic: getMagic(bytes, at),
    bodyCrc: getBodyCrc(bytes, at),
    queueId: getQueueId(bytes, at),
    flag: getFlag(bytes, at),
    queueOffset: getQueueOffset(bytes, at),
    physicalOffset: getPhysicalOffset(bytes, at),
    sysFlag,
    bornTimestamp: getBornTimestamp(bytes, at),
    bornHost: decodeHost(bytes, at + BORN_HOST_AT, bornHostBytes(sysFlag)),
    storeTimestamp: getInt64(bytes, at + storeTimestampAt(sysFlag)),
    storeHost: decodeHost(bytes, at + storeHostAt(sysFlag), storeHostBytes(sysFlag)),
    reconsumeTimes: getInt32(bytes, reconsumeAt),
    preparedTransactionOffset: getInt64(bytes, reconsumeAt + 4),
    body: bytes.subarray(body.start, body.end),
    topic: bytes.toString('utf8', topic.start, topic.end),
    properties: decodeProperties(bytes, properties.start, properties.end)
  }
}

/** All messages of a pull, query or view answer. Throws ProtocolError LMQ_BAD_BODY when something else lies between or behind them. */
export function decodeStoredMessages(bytes: Buffer): StoredMessage[] {
  const messages: StoredMessage[] = []
  for (let at = 0; at < bytes.length; ) {
    const message = decodeStoredMessage(bytes, at)
    messages.push(message)
    at += message.totalSize
  }
  return messages
}

/** What is written into a stored message. Hosts as `encodeHost` makes them: their length decides on the IPv6 bits of sysFlag. */
export interface MessageFields {
  topicBytes: Uint8Array
  queueId: number
  flag: number
  queueOffset: number
  sysFlag: number
  bornTimestamp: number
  bornHost: Uint8Array
  storeTimestamp: number
  storeHost: Uint8Array
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Uint8Array
  properties: Uint8Array
}

/** Bytes that `writeStoredMessage` will write. */
export function storedMessageSize(fields: MessageFields): number {
  return (
    STORED_MESSAGE_FIXED_BYTES -
    16 +
    fields.bornHost.length +
    fields.storeHost.length +
    fields.body.length +
    fields.topicBytes.length +
    (fields.topicBytes.length > TOPIC_BYTES_MAX ? 1 : 0) +
    fields.properties.length
  )
}

/**
 * Writes a message at `at` with physical offset 0, to be patched when its place is known, and answers its size. V1, or V2 when the topic
 * is longer than 127 bytes, as 5.3 does. The caller has checked lengths: a property block above PROPERTIES_BYTES_MAX is a RangeError.
 */
export function writeStoredMessage(target: Uint8Array, at: number, fields: MessageFields): number {
  const propertiesBytes = fields.properties.length
  if (propertiesBytes > PROPERTIES_BYTES_MAX)
    throw new RangeError(`${propertiesBytes} bytes of properties, limit ${PROPERTIES_BYTES_MAX}`)
  const total = storedMessageSize(fields)
  const topicBytes = fields.topicBytes.length
  const version2 = topicBytes > TOPIC_BYTES_MAX
  const sysFlag = withHostBits(fields.sysFlag, fields.bornHost.length, fields.storeHost.length)
  putInt32(target, at, total)
  putInt32(target, at + 4, version2 ? MAGIC_V2 : MAGIC_V1)
  putInt32(target, at + 8, bodyCrcOf(fields.body))
  putInt32(target, at + 12, fields.queueId)
  putInt32(target, at + 16, fields.flag)
  putInt64(target, at + 20, fields.queueOffset)
  putInt64(target, at + 28, 0)
  putInt32(target, at + 36, sysFlag)
  putInt64(target, at + BORN_TIMESTAMP_AT, fields.bornTimestamp)
  let to = putSome(target, at + BORN_HOST_AT, fields.bornHost)
  putInt64(target, to, fields.storeTimestamp)
  to = putSome(target, to + 8, fields.storeHost)
  putInt32(target, to, fields.reconsumeTimes)
  putInt64(target, to + 4, fields.preparedTransactionOffset)
  putInt32(target, to + 12, fields.body.length)
  target.set(fields.body, to + 16)
  to += 16 + fields.body.length
  if (version2) {
    putInt16(target, to, topicBytes)
    to += 2
  } else target[to++] = topicBytes
  to = putSome(target, to, fields.topicBytes)
  putInt16(target, to, propertiesBytes)
  target.set(fields.properties, to + 2)
  return total
}

/** CRC-32 of a body as stored, without its top bit (remoting.md 4.1). */
export function bodyCrcOf(body: Uint8Array): number {
  return crc32(body) & 0x7fffffff
}

function withHostBits(sysFlag: number, bornBytes: number, storeBytes: number): number {
  const plain = sysFlag & ~(MessageSysFlag.bornHostV6 | MessageSysFlag.storeHostV6)
  const born = bornBytes === 20 ? MessageSysFlag.bornHostV6 : 0
  return plain | born | (storeBytes === 20 ? MessageSysFlag.storeHostV6 : 0)
}

function putSome(target: Uint8Array, at: number, bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) target[at + i] = bytes[i]!
  return at + bytes.length
}
