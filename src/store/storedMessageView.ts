/**
 * Reads of a stored message (layout: protocol/storedMessageBytes.ts) where it lies, without decoding it: what apply, pull and retention need.
 * One object is filled again and again; nothing is allocated.
 */
import {
  getInt32,
  getInt64,
  getMagic,
  getSysFlag,
  getUint32,
  MAGIC_V1,
  MAGIC_V2,
  PHYSICAL_OFFSET_AT,
  putInt64,
  QUEUE_ID_AT,
  QUEUE_OFFSET_AT,
  reconsumeTimesAt,
  STORED_MESSAGE_FIXED_BYTES,
  storeTimestampAt
} from '../protocol/index.ts'

const PREPARED = 0x4
const ROLLBACK = 0xc
const NAME_END = 0x01
const PAIR_END = 0x02

/** Bytes from the message's start that are enough to read its store time. */
export const STORE_TIME_REACH_BYTES = 76
export function readStoreTime(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at + storeTimestampAt(getSysFlag(bytes, at)))
}

/** Half and rolled back messages lie in the log only (broker.md 3.3). */
export function belongsToQueue(sysFlag: number): boolean {
  const transaction = sysFlag & ROLLBACK
  return transaction !== PREPARED && transaction !== ROLLBACK
}

/** Patches what the leader knows when the entry gets its place. */
export function placeMessage(
  bytes: Uint8Array,
  at: number,
  physicalOffset: number,
  storeTimestamp: number
): void {
  putInt64(bytes, at + PHYSICAL_OFFSET_AT, physicalOffset)
  putInt64(bytes, at + storeTimestampAt(getSysFlag(bytes, at)), storeTimestamp)
}

/** True when a whole message that says it lies at `physicalOffset` begins at `at`. */
export function isMessageAt(bytes: Uint8Array, at: number, physicalOffset: number): boolean {
  if (at + STORED_MESSAGE_FIXED_BYTES > bytes.length) return false
  const magic = getMagic(bytes, at)
  return (
    (magic === MAGIC_V1 || magic === MAGIC_V2) &&
    getInt64(bytes, at + PHYSICAL_OFFSET_AT) === physicalOffset
  )
}

/** Queue offset of the first message of the chunk that is not the queue's own of that offset; -1: all are. */
export function firstStranger(
  chunk: Uint8Array,
  queue: { readonly topic: string; readonly queueId: number },
  firstOffset: number
): number {
  const message = new StoredMessageView()
  const topic = Buffer.from(queue.topic)
  let offset = firstOffset
  for (let at = 0; at < chunk.length; at += message.size) {
    if (message.read(chunk, at, chunk.length) !== null) return offset
    if (message.queueId !== queue.queueId || message.queueOffset !== offset) return offset
    if (topic.compare(chunk, message.topicStart, message.topicEnd) !== 0) return offset
    offset += 1
  }
  return -1
}

export class StoredMessageView {
  bytes: Uint8Array = new Uint8Array(0)
  at = 0
  size = 0
  queueId = 0
  queueOffset = 0
  physicalOffset = 0
  sysFlag = 0
  storeTimestamp = 0
  topicStart = 0
  topicEnd = 0
  propertiesStart = 0
  propertiesEnd = 0
  /** Value ranges; start = end when the property is not there. */
  tagsStart = 0
  tagsEnd = 0
  keysStart = 0
  keysEnd = 0
  uniqueKeyStart = 0
  uniqueKeyEnd = 0

  /** `end`: where the body of the entry (or the buffer) ends. Null when fine, else what is wrong. */
  read(bytes: Uint8Array, at: number, end: number): string | null {
    if (end - at < STORED_MESSAGE_FIXED_BYTES)
      return `${end - at} bytes are left, no message is that short`
    const size = getUint32(bytes, at)
    const magic = getMagic(bytes, at)
    if (magic !== MAGIC_V1 && magic !== MAGIC_V2) return `unknown magic ${magic}`
    if (size < STORED_MESSAGE_FIXED_BYTES || size > end - at)
      return `size ${size}, ${end - at} are left`
    const sysFlag = getSysFlag(bytes, at)
    const bodyLengthAt = at + reconsumeTimesAt(sysFlag) + 12
    const messageEnd = at + size
    let next = bodyLengthAt + 4 + getUint32(bytes, bodyLengthAt)
    if (next + 3 > messageEnd) return 'the body reaches over the end'
    const topicBytes = magic === MAGIC_V1 ? bytes[next++]! : (bytes[next++]! << 8) | bytes[next++]!
    const topicStart = next
    next += topicBytes
    if (next + 2 > messageEnd) return 'the topic reaches over the end'
    const propertiesBytes = (bytes[next]! << 8) | bytes[next + 1]!
    next += 2
    if (next + propertiesBytes !== messageEnd) return 'the properties do not end with the message'
    this.bytes = bytes
    this.at = at
    this.size = size
    this.queueId = getInt32(bytes, at + QUEUE_ID_AT)
    this.queueOffset = getInt64(bytes, at + QUEUE_OFFSET_AT)
    this.physicalOffset = getInt64(bytes, at + PHYSICAL_OFFSET_AT)
    this.sysFlag = sysFlag
    this.storeTimestamp = getInt64(bytes, at + storeTimestampAt(sysFlag))
    this.topicStart = topicStart
    this.topicEnd = topicStart + topicBytes
    this.propertiesStart = next
    this.propertiesEnd = messageEnd
    return null
  }

  /** Finds TAGS, KEYS and UNIQ_KEY in one walk; of several pairs of a name the last counts. */
  scanProperties(): void {
    const { bytes, propertiesEnd: end } = this
    this.tagsStart = this.tagsEnd = 0
    this.keysStart = this.keysEnd = 0
    this.uniqueKeyStart = this.uniqueKeyEnd = 0
    let at = this.propertiesStart
    while (at < end) {
      const start = at
      while (at < end && bytes[at] !== NAME_END && bytes[at] !== PAIR_END) at++
      const nameBytes = at - start
      const valueStart = at + 1
      if (at < end && bytes[at] === NAME_END) at++
      while (at < end && bytes[at] !== PAIR_END) at++
      if (valueStart < at && bytes[valueStart - 1] === NAME_END) {
        if (nameBytes === 4) this.#short(start, valueStart, at)
        else if (nameBytes === 8 && isUniqueKey(bytes, start)) {
          this.uniqueKeyStart = valueStart
          this.uniqueKeyEnd = at
        }
      }
      at++
    }
  }

  #short(start: number, valueStart: number, valueEnd: number): void {
    const name = getInt32(this.bytes, start)
    if (name === TAGS) {
      this.tagsStart = valueStart
      this.tagsEnd = valueEnd
    } else if (name === KEYS) {
      this.keysStart = valueStart
      this.keysEnd = valueEnd
    }
  }
}

const TAGS = 0x54414753
const KEYS = 0x4b455953
const UNIQ = 0x554e4951
const _KEY = 0x5f4b4559

function isUniqueKey(bytes: Uint8Array, at: number): boolean {
  return getInt32(bytes, at) === UNIQ && getInt32(bytes, at + 4) === _KEY
}
