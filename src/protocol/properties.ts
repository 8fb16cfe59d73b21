/**
 * Message properties on the wire and in the log: `name 01 value 02` for each pair, the last 02 missing from 4.9 senders (remoting.md 4.3).
 * Pairs without name or without value do not exist; a later pair of the same name replaces an earlier one.
 */
const NAME_END = 0x01
const PAIR_END = 0x02

/** Longest property block that a stored message can hold (its length word is a signed i16). */
export const PROPERTIES_BYTES_MAX = 32_767

/** Reserved property names (remoting.md 4.3). */
export const MessageProperty = {
  KEYS: 'KEYS',
  TAGS: 'TAGS',
  UNIQ_KEY: 'UNIQ_KEY',
  WAIT: 'WAIT',
  DELAY: 'DELAY',
  TIMER_DELAY_SEC: 'TIMER_DELAY_SEC',
  TIMER_DELAY_MS: 'TIMER_DELAY_MS',
  TIMER_DELIVER_MS: 'TIMER_DELIVER_MS',
  TIMER_OUT_MS: 'TIMER_OUT_MS',
  TIMER_ENQUEUE_MS: 'TIMER_ENQUEUE_MS',
  TIMER_DEQUEUE_MS: 'TIMER_DEQUEUE_MS',
  TIMER_ROLL_TIMES: 'TIMER_ROLL_TIMES',
  TIMER_DEL_UNIQKEY: 'TIMER_DEL_UNIQKEY',
  REAL_TOPIC: 'REAL_TOPIC',
  REAL_QID: 'REAL_QID',
  TRAN_MSG: 'TRAN_MSG',
  PGROUP: 'PGROUP',
  CHECK_IMMUNITY_TIME_IN_SECONDS: 'CHECK_IMMUNITY_TIME_IN_SECONDS',
  TRANSACTION_CHECK_TIMES: 'TRANSACTION_CHECK_TIMES',
  TRAN_PREPARED_QUEUE_OFFSET: 'TRAN_PREPARED_QUEUE_OFFSET',
  TRANSACTION_ID: '__transactionId__',
  RETRY_TOPIC: 'RETRY_TOPIC',
  ORIGIN_MESSAGE_ID: 'ORIGIN_MESSAGE_ID',
  RECONSUME_TIME: 'RECONSUME_TIME',
  MAX_RECONSUME_TIMES: 'MAX_RECONSUME_TIMES',
  MIN_OFFSET: 'MIN_OFFSET',
  MAX_OFFSET: 'MAX_OFFSET',
  CONSUME_START_TIME: 'CONSUME_START_TIME',
  CLUSTER: 'CLUSTER',
  MSG_REGION: 'MSG_REGION',
  TRACE_ON: 'TRACE_ON',
  INSTANCE_ID: 'INSTANCE_ID',
  MSG_TYPE: 'MSG_TYPE',
  CORRELATION_ID: 'CORRELATION_ID',
  REPLY_TO_CLIENT: 'REPLY_TO_CLIENT',
  TTL: 'TTL',
  PUSH_REPLY_TIME: 'PUSH_REPLY_TIME',
  ARRIVE_TIME: 'ARRIVE_TIME',
  BUYER_ID: 'BUYER_ID',
  TRANSFER_FLAG: 'TRANSFER_FLAG',
  CORRECTION_FLAG: 'CORRECTION_FLAG',
  MQ2_FLAG: 'MQ2_FLAG',
  INNER_MULTI_DISPATCH: 'INNER_MULTI_DISPATCH',
  INNER_MULTI_QUEUE_OFFSET: 'INNER_MULTI_QUEUE_OFFSET',
  POP_CK: 'POP_CK',
  FIRST_POP_TIME: '1ST_POP_TIME',
  SHARDING_KEY: '__SHARDINGKEY',
  INNER_NUM: 'INNER_NUM',
  INNER_BASE: 'INNER_BASE',
  CRC32: '__CRC32#'
} as const

/** Pairs in their order. Pieces that are no pair are dropped silently, as the original does. */
export function decodeProperties(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length
): Map<string, string> {
  const properties = new Map<string, string>()
  if (start === end) return properties
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
  for (const piece of text.split('\u0002')) {
    const nameEnd = piece.indexOf('\u0001')
    if (nameEnd > 0 && nameEnd < piece.length - 1)
      properties.set(piece.slice(0, nameEnd), piece.slice(nameEnd + 1))
  }
  return properties
}

/** Text form as it stands in the header field `properties`; with a final pair end, as 5.x writes it. Empty values vanish. */
export function propertiesText(properties: Iterable<readonly [string, string]>): string {
  let text = ''
  for (const [name, value] of properties) if (value !== '') text += `${name}\u0001${value}\u0002`
  return text
}

/** The same as bytes. Does not look at PROPERTIES_BYTES_MAX: the caller must answer for that. */
export function encodeProperties(properties: Iterable<readonly [string, string]>): Buffer {
  return Buffer.from(propertiesText(properties))
}

/** Range of a property's value within raw property bytes, filled by `findProperty`. */
export class ByteRange {
  start = 0
  end = 0
}

/**
 * Finds a property in raw bytes without decoding the others. `name` is the name's UTF-8 bytes. False: not there.
 * Of several pairs of the name the last counts, as in `decodeProperties`.
 */
export function findProperty(
  bytes: Uint8Array,
  start: number,
  end: number,
  name: Uint8Array,
  into: ByteRange
): boolean {
  const nameBytes = name.length
  let found = false
  let at = start
  while (at < end) {
    let matched = 0
    while (matched < nameBytes && at + matched < end && bytes[at + matched] === name[matched])
      matched++
    let pairEnd = at + matched
    while (pairEnd < end && bytes[pairEnd] !== PAIR_END) pairEnd++
    const valueAt = at + nameBytes + 1
    if (matched === nameBytes && valueAt < pairEnd && bytes[valueAt - 1] === NAME_END) {
      into.start = valueAt
      into.end = pairEnd
      found = true
    }
    at = pairEnd + 1
  }
  return found
}

/**
 * Java's `String.hashCode` of UTF-8 bytes: over UTF-16 units, 32 bits signed. The tags code of consume queues and subscriptions
 * (remoting.md 4.6). An empty range is 0.
 */
export function javaHashOfBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte >= 0x80) {
      return javaHash(
        Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
      )
    }
    hash = (Math.imul(hash, 31) + byte) | 0
  }
  return hash
}

/** Java's `String.hashCode`. */
export function javaHash(text: string): number {
  let hash = 0
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0
  return hash
}
