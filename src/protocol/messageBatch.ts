import { getInt32, getUint16, putInt16, putInt32 } from './bytes.ts'
import { ProtocolError } from './errors.ts'
import { PROPERTIES_BYTES_MAX } from './properties.ts'

/**
 * Body of a batch send (remoting.md 4.5), one message after the other, big-endian:
 *    0  i32  totalSize      12  i32  flag
 *    4  i32  magic, 0       16  i32  bodyLength, body
 *    8  i32  crc, 0              i16  propertiesLength, properties
 */
const FIXED_BYTES = 22

/** Walks through a batch body without copying. */
export class BatchReader {
  readonly bytes: Buffer
  flag = 0
  bodyStart = 0
  bodyEnd = 0
  propertiesStart = 0
  propertiesEnd = 0
  #at: number
  readonly #end: number

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.bytes = bytes
    this.#at = at
    this.#end = end
  }

  /** Steps to the next message; false at the end. Throws ProtocolError LMQ_BAD_BODY when lengths do not agree. */
  next(): boolean {
    const at = this.#at
    if (at === this.#end) return false
    if (at + FIXED_BYTES > this.#end) throw bad(at)
    const messageEnd = at + getInt32(this.bytes, at)
    const bodyBytes = getInt32(this.bytes, at + 16)
    const propertiesLengthAt = at + 20 + bodyBytes
    if (bodyBytes < 0 || messageEnd > this.#end || propertiesLengthAt + 2 > messageEnd)
      throw bad(at)
    const propertiesBytes = getUint16(this.bytes, propertiesLengthAt)
    if (
      propertiesBytes > PROPERTIES_BYTES_MAX ||
      propertiesLengthAt + 2 + propertiesBytes !== messageEnd
    )
      throw bad(at)
    this.flag = getInt32(this.bytes, at + 12)
    this.bodyStart = at + 20
    this.bodyEnd = propertiesLengthAt
    this.propertiesStart = propertiesLengthAt + 2
    this.propertiesEnd = messageEnd
    this.#at = messageEnd
    return true
  }

  get body(): Buffer {
    return this.bytes.subarray(this.bodyStart, this.bodyEnd)
  }

  get properties(): Buffer {
    return this.bytes.subarray(this.propertiesStart, this.propertiesEnd)
  }
}

export interface BatchMessage {
  flag: number
  body: Uint8Array
  properties: Uint8Array
}

/** Body of a batch send. Throws RangeError when a message's properties are longer than PROPERTIES_BYTES_MAX. */
export function encodeBatch(messages: readonly BatchMessage[]): Buffer {
  let bytes = 0
  for (const message of messages)
    bytes += FIXED_BYTES + message.body.length + message.properties.length
  const target = Buffer.alloc(bytes)
  let at = 0
  for (const { flag, body, properties } of messages) {
    if (properties.length > PROPERTIES_BYTES_MAX)
      throw new RangeError(
        `${properties.length} bytes of properties, limit ${PROPERTIES_BYTES_MAX}`
      )
    const total = FIXED_BYTES + body.length + properties.length
    putInt32(target, at, total)
    putInt32(target, at + 12, flag)
    putInt32(target, at + 16, body.length)
    target.set(body, at + 20)
    putInt16(target, at + 20 + body.length, properties.length)
    target.set(properties, at + FIXED_BYTES + body.length)
    at += total
  }
  return target
}

function bad(at: number): ProtocolError {
  return new ProtocolError('LMQ_BAD_BODY', `the batch body is broken at byte ${at}`)
}
