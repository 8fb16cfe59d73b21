import { getInt32, getInt64, getUint16, putInt32, putInt64 } from './bytes.ts'
import { IPV4_HOST_BYTES, IPV6_HOST_BYTES } from './hosts.ts'
import type { ByteRange } from './properties.ts'
import { MessageSysFlag } from './sysFlags.ts'

/**
 * A stored message (remoting.md 4.1), big-endian; offsets with IPv4 hosts, an IPv6 host shifts what follows by 12:
 *    0  i32  totalSize, of everything      40  i64  bornTimestamp, ms
 *    4  u32  magic                          48       bornHost, 8 or 20
 *    8  i32  bodyCrc, CRC-32 & 7FFFFFFF     56  i64  storeTimestamp, ms
 *   12  i32  queueId                        64       storeHost, 8 or 20
 *   16  i32  flag, the user's               72  i32  reconsumeTimes
 *   20  i64  queueOffset                    76  i64  preparedTransactionOffset
 *   28  i64  physicalOffset                 84  i32  bodyLength, body
 *   36  i32  sysFlag                             u8  topicLength (V2: u16), topic, u16 propertiesLength, properties
 * The functions here take `at`, the position of the message in `bytes`, and allocate nothing. They trust the bytes:
 * `isStoredMessage` checks them.
 */
export const MAGIC_V1 = 0xdaa320a7
/** Two bytes of topic length; 4.9 and Go clients cannot read it. */
export const MAGIC_V2 = 0xdaa320ab
/** Fills the end of an original segment file. */
export const MAGIC_BLANK = 0xcbd43194

/** Everything but body, topic and properties, with IPv4 hosts and V1. */
export const STORED_MESSAGE_FIXED_BYTES = 91
export const TOPIC_BYTES_MAX = 127

const MAGIC_AT = 4
const BODY_CRC_AT = 8
export const QUEUE_ID_AT = 12
const FLAG_AT = 16
export const QUEUE_OFFSET_AT = 20
export const PHYSICAL_OFFSET_AT = 28
const SYS_FLAG_AT = 36
export const BORN_TIMESTAMP_AT = 40
export const BORN_HOST_AT = 48

export function bornHostBytes(sysFlag: number): number {
  return (sysFlag & MessageSysFlag.bornHostV6) === 0 ? IPV4_HOST_BYTES : IPV6_HOST_BYTES
}

export function storeHostBytes(sysFlag: number): number {
  return (sysFlag & MessageSysFlag.storeHostV6) === 0 ? IPV4_HOST_BYTES : IPV6_HOST_BYTES
}

/** Where the store timestamp lies within a message. */
export function storeTimestampAt(sysFlag: number): number {
  return BORN_HOST_AT + bornHostBytes(sysFlag)
}

/** Where the store host lies within a message. */
export function storeHostAt(sysFlag: number): number {
  return storeTimestampAt(sysFlag) + 8
}

/** Where the reconsume times lie within a message; preparedTransactionOffset is 4 behind, the body length 12 behind. */
export function reconsumeTimesAt(sysFlag: number): number {
  return storeHostAt(sysFlag) + storeHostBytes(sysFlag)
}

export function getTotalSize(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at)
}

export function getMagic(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + MAGIC_AT) >>> 0
}

export function getBodyCrc(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + BODY_CRC_AT)
}

export function getQueueId(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + QUEUE_ID_AT)
}

export function getFlag(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + FLAG_AT)
}

export function getQueueOffset(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at + QUEUE_OFFSET_AT)
}

export function getPhysicalOffset(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at + PHYSICAL_OFFSET_AT)
}

export function getSysFlag(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + SYS_FLAG_AT)
}

export function getBornTimestamp(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at + BORN_TIMESTAMP_AT)
}

export function getStoreTimestamp(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at + storeTimestampAt(getSysFlag(bytes, at)))
}

export function getReconsumeTimes(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + reconsumeTimesAt(getSysFlag(bytes, at)))
}

export function getPreparedTransactionOffset(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at + reconsumeTimesAt(getSysFlag(bytes, at)) + 4)
}

/** Range of the body in `bytes`. */
export function getBodyRange(bytes: Uint8Array, at: number, into: ByteRange): void {
  const lengthAt = at + reconsumeTimesAt(getSysFlag(bytes, at)) + 12
  into.start = lengthAt + 4
  into.end = into.start + getInt32(bytes, lengthAt)
}

/** Range of the topic's UTF-8 in `bytes`. */
export function getTopicRange(bytes: Uint8Array, at: number, into: ByteRange): void {
  const lengthAt = at + reconsumeTimesAt(getSysFlag(bytes, at)) + 12
  const topicAt = lengthAt + 4 + getInt32(bytes, lengthAt)
  if (getMagic(bytes, at) === MAGIC_V2) {
    into.start = topicAt + 2
    into.end = into.start + getUint16(bytes, topicAt)
  } else {
    into.start = topicAt + 1
    into.end = into.start + bytes[topicAt]!
  }
}

/** Range of the property bytes in `bytes`; for `findProperty`. */
export function getPropertiesRange(bytes: Uint8Array, at: number, into: ByteRange): void {
  getTopicRange(bytes, at, into)
  const lengthAt = into.end
  into.start = lengthAt + 2
  into.end = into.start + getUint16(bytes, lengthAt)
}

export function putQueueId(bytes: Uint8Array, at: number, queueId: number): void {
  putInt32(bytes, at + QUEUE_ID_AT, queueId)
}

export function putQueueOffset(bytes: Uint8Array, at: number, queueOffset: number): void {
  putInt64(bytes, at + QUEUE_OFFSET_AT, queueOffset)
}

export function putPhysicalOffset(bytes: Uint8Array, at: number, physicalOffset: number): void {
  putInt64(bytes, at + PHYSICAL_OFFSET_AT, physicalOffset)
}

export function putStoreTimestamp(bytes: Uint8Array, at: number, timeMs: number): void {
  putInt64(bytes, at + storeTimestampAt(getSysFlag(bytes, at)), timeMs)
}

/** Whether a whole message, V1 or V2, whose lengths agree with each other lies at `at` before `end`. The body's CRC is not looked at. */
export function isStoredMessage(bytes: Uint8Array, at: number, end: number): boolean {
  if (at + STORED_MESSAGE_FIXED_BYTES > end) return false
  const total = getTotalSize(bytes, at)
  const messageEnd = at + total
  if (total < STORED_MESSAGE_FIXED_BYTES || messageEnd > end) return false
  const magic = getMagic(bytes, at)
  if (magic !== MAGIC_V1 && magic !== MAGIC_V2) return false
  const topicLengthBytes = magic === MAGIC_V2 ? 2 : 1
  const bodyAt = at + reconsumeTimesAt(getSysFlag(bytes, at)) + 16
  if (bodyAt > messageEnd) return false
  const bodyBytes = getInt32(bytes, bodyAt - 4)
  const topicLengthAt = bodyAt + bodyBytes
  if (bodyBytes < 0 || topicLengthAt + topicLengthBytes > messageEnd) return false
  const topicBytes = magic === MAGIC_V2 ? getUint16(bytes, topicLengthAt) : bytes[topicLengthAt]!
  const propertiesLengthAt = topicLengthAt + topicLengthBytes + topicBytes
  if (propertiesLengthAt + 2 > messageEnd) return false
  const propertiesBytes = getUint16(bytes, propertiesLengthAt)
  return propertiesBytes <= 32_767 && propertiesLengthAt + 2 + propertiesBytes === messageEnd
}
