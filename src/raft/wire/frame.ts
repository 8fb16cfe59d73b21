/**
 * Frames between brokers (raft.md 4.7), big-endian:
 *    0  u32  length        of the whole frame, these 8 bytes included
 *    4  u16  headerLength  of the protobuf header behind the prefix
 *    6  u8   type          FrameType
 *    7  u8   flags         0
 *    8       header, then payload: raw entries, never inside a protobuf object
 */

export const FRAME_PREFIX_BYTES = 8
/** One entry of the largest size, with its header and some room. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024 + 128 * 1024
/** Until the handshake is done, so that a stranger pins no memory. */
export const HANDSHAKE_FRAME_BYTES_MAX = 72 * 1024
const HEADER_BYTES_MAX = 0xffff

/** What came over the wire is no frame of ours; costs the connection. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

export interface Frame {
  readonly type: number
  readonly flags: number
  /** Views of the received bytes, which belong to the receiver. */
  readonly header: Buffer
  readonly payload: Buffer
}

/** The prefix and the header of a frame as one buffer; the payload's buffers are written behind it. */
export function encodeFrameHead(type: number, header: Uint8Array, payloadBytes: number): Buffer {
  if (header.length > HEADER_BYTES_MAX) throw new WireError(`header of ${header.length} bytes`)
  const head = Buffer.allocUnsafe(FRAME_PREFIX_BYTES + header.length)
  head.writeUInt32BE(FRAME_PREFIX_BYTES + header.length + payloadBytes, 0)
  head.writeUInt16BE(header.length, 4)
  head[6] = type
  head[7] = 0
  head.set(header, FRAME_PREFIX_BYTES)
  return head
}

/**
 * Cuts a stream into frames. A frame that lies within one chunk is a view of it; one that is split
 * is put together once, in a buffer of its own size.
 */
export class FrameReader {
  #frameBytesMax: number
  #chunk: Buffer | null = null
  #at = 0
  /** A split frame: its beginning, until all of it is there. Before the length is known: the prefix. */
  #partial: Buffer | null = null
  #partialBytes = 0
  readonly #prefix = Buffer.alloc(FRAME_PREFIX_BYTES)
  #prefixBytes = 0

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  set frameBytesMax(bytes: number) {
    this.#frameBytesMax = bytes
  }

  /** The next chunk; `next` must have answered null for the one before. */
  push(chunk: Buffer): void {
    if (this.#chunk !== null) throw new Error('the chunk before is not used up')
    this.#chunk = chunk
    this.#at = 0
  }

  /** The next whole frame; null when more bytes are needed. Throws WireError; the stream is lost then. */
  next(): Frame | null {
    const chunk = this.#chunk
    if (chunk === null) return null
    if (this.#partial !== null || this.#prefixBytes > 0) return this.#nextSplit(chunk)
    const left = chunk.length - this.#at
    if (left >= FRAME_PREFIX_BYTES) {
      const length = this.#lengthAt(chunk, this.#at)
      if (length <= left) {
        const frame = frameAt(chunk, this.#at, length)
        this.#at += length
        return frame
      }
      this.#partial = Buffer.allocUnsafeSlow(length)
      this.#partialBytes = chunk.copy(this.#partial, 0, this.#at)
    } else {
      this.#prefixBytes = chunk.copy(this.#prefix, 0, this.#at)
    }
    this.#chunk = null
    return null
  }

  #nextSplit(chunk: Buffer): Frame | null {
    if (this.#partial === null) {
      const missing = Math.min(FRAME_PREFIX_BYTES - this.#prefixBytes, chunk.length - this.#at)
      chunk.copy(this.#prefix, this.#prefixBytes, this.#at, this.#at + missing)
      this.#prefixBytes += missing
      this.#at += missing
      if (this.#prefixBytes < FRAME_PREFIX_BYTES) {
        this.#chunk = null
        return null
      }
      this.#partial = Buffer.allocUnsafeSlow(this.#lengthAt(this.#prefix, 0))
      this.#partialBytes = this.#prefix.copy(this.#partial, 0)
      this.#prefixBytes = 0
    }
    const partial = this.#partial
    const copied = chunk.copy(partial, this.#partialBytes, this.#at)
    this.#partialBytes += copied
    this.#at += copied
    if (this.#partialBytes < partial.length) {
      this.#chunk = null
      return null
    }
    this.#partial = null
    this.#partialBytes = 0
    return frameAt(partial, 0, partial.length)
  }

  #lengthAt(buffer: Buffer, at: number): number {
    const length = buffer.readUInt32BE(at)
    if (length > this.#frameBytesMax) {
      throw new WireError(`frame of ${length} bytes, limit ${this.#frameBytesMax}`)
    }
    if (length < FRAME_PREFIX_BYTES + buffer.readUInt16BE(at + 4)) {
      throw new WireError(`frame of ${length} bytes is shorter than its header`)
    }
    return length
  }
}

function frameAt(buffer: Buffer, at: number, length: number): Frame {
  const headerEnd = at + FRAME_PREFIX_BYTES + buffer.readUInt16BE(at + 4)
  return {
    type: buffer[at + 6]!,
    flags: buffer[at + 7]!,
    header: buffer.subarray(at + FRAME_PREFIX_BYTES, headerEnd),
    payload: buffer.subarray(headerEnd, at + length)
  }
}
