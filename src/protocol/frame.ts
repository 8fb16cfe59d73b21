import { getInt32 } from './bytes.ts'
import { ProtocolError } from './errors.ts'

/**
 * A frame (remoting.md 1.1), big-endian:
 *    0  i32  length         bytes that follow = 4 + header + body
 *    4  u8   serializeType  0 JSON, 1 binary
 *    5  u24  headerLength
 *    8       header, then body up to the end
 */
export const FRAME_PREFIX_BYTES = 8

/** Limit of the original in both directions, length word included; clients close the connection above it. */
export const FRAME_BYTES_MAX = 16_777_216

const EMPTY = Buffer.alloc(0)
const FIRST_ASSEMBLY_BYTES = 64 * 1024

/** One whole frame: positions in `bytes`, which is the received chunk itself or, for a frame split over chunks, a copy. */
export class Frame {
  readonly bytes: Buffer
  readonly serializeType: number
  readonly headerAt: number
  /** Where the header ends and the body begins. */
  readonly bodyAt: number
  readonly end: number

  constructor(bytes: Buffer, serializeType: number, headerAt: number, bodyAt: number, end: number) {
    this.bytes = bytes
    this.serializeType = serializeType
    this.headerAt = headerAt
    this.bodyAt = bodyAt
    this.end = end
  }

  get header(): Buffer {
    return this.bytes.subarray(this.headerAt, this.bodyAt)
  }

  /** Empty when the frame has no body. */
  get body(): Buffer {
    return this.bodyAt === this.end ? EMPTY : this.bytes.subarray(this.bodyAt, this.end)
  }

  get bodyBytes(): number {
    return this.end - this.bodyAt
  }
}

/**
 * Cuts a byte stream into frames. Feed with `push`, then call `next` until null. After a ProtocolError the stream is lost and every
 * further call throws the same. Memory: at most twice what was received of the unfinished frame, so a length word alone reserves nothing.
 */
export class FrameReader {
  readonly maxFrameBytes: number
  #chunk: Buffer = EMPTY
  #at = 0
  /** Bytes of a frame that began in an earlier chunk; null when none did. */
  #partial: Buffer | null = null
  #partialBytes = 0
  #failure: ProtocolError | null = null

  constructor(maxFrameBytes: number = FRAME_BYTES_MAX) {
    this.maxFrameBytes = maxFrameBytes
  }

  /** Bytes received of a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#partialBytes + this.#chunk.length - this.#at
  }

  /** The chunk belongs to the reader and its frames from now on. */
  push(chunk: Buffer): void {
    // Only when the caller did not take all frames of the chunk before.
    if (this.hasRest) this.#chunk = Buffer.concat([this.#chunk.subarray(this.#at), chunk])
    else this.#chunk = chunk
    this.#at = 0
  }

  /** Bytes of the chunk were not taken yet. */
  get hasRest(): boolean {
    return this.#at < this.#chunk.length
  }

  /** Copies what was not taken of the chunk: its memory is about to be used again. */
  keep(): void {
    if (!this.hasRest) return
    this.#chunk = Buffer.from(this.#chunk.subarray(this.#at))
    this.#at = 0
  }

  next(): Frame | null {
    if (this.#failure !== null) throw this.#failure
    if (this.#partial !== null) return this.#nextOfPartial()
    const available = this.#chunk.length - this.#at
    if (available < 4) return this.#wait(4)
    const total = this.#frameBytes(this.#chunk, this.#at)
    if (available < total) return this.#wait(total)
    const at = this.#at
    this.#at += total
    return this.#frame(this.#chunk, at, total)
  }

  #nextOfPartial(): Frame | null {
    if (this.#partialBytes < 4) {
      this.#keep(Math.min(this.#chunk.length, this.#at + 4 - this.#partialBytes), 4)
      if (this.#partialBytes < 4) return null
    }
    const partial = this.#partial!
    const total = this.#frameBytes(partial, 0)
    this.#keep(Math.min(this.#chunk.length, this.#at + total - this.#partialBytes), total)
    if (this.#partialBytes < total) return null
    const whole = this.#partial!
    this.#partial = null
    this.#partialBytes = 0
    return this.#frame(whole, 0, total)
  }

  #wait(total: number): null {
    if (this.#at < this.#chunk.length) this.#keep(this.#chunk.length, total)
    this.#chunk = EMPTY
    this.#at = 0
    return null
  }

  /** Copies the chunk up to `end` behind the partial frame, which will have `total` bytes. */
  #keep(end: number, total: number): void {
    const needed = this.#partialBytes + end - this.#at
    if (this.#partial === null || this.#partial.length < needed) {
      const grown = Buffer.allocUnsafe(Math.min(total, Math.max(needed * 2, FIRST_ASSEMBLY_BYTES)))
      if (this.#partial !== null) this.#partial.copy(grown, 0, 0, this.#partialBytes)
      this.#partial = grown
    }
    this.#chunk.copy(this.#partial, this.#partialBytes, this.#at, end)
    this.#partialBytes = needed
    this.#at = end
  }

  #frameBytes(bytes: Buffer, at: number): number {
    const length = getInt32(bytes, at)
    if (length < 4) throw this.#fail(`frame length ${length} is below 4`)
    if (length + 4 > this.maxFrameBytes)
      throw this.#fail(`frame of ${length + 4} bytes, limit ${this.maxFrameBytes}`)
    return length + 4
  }

  #frame(bytes: Buffer, at: number, total: number): Frame {
    const mark = getInt32(bytes, at + 4)
    const serializeType = mark >>> 24
    const headerBytes = mark & 0xffffff
    if (serializeType > 1) throw this.#fail(`serialize type ${serializeType} is unknown`)
    if (headerBytes > total - FRAME_PREFIX_BYTES)
      throw this.#fail(`header of ${headerBytes} bytes in a frame of ${total}`)
    const headerAt = at + FRAME_PREFIX_BYTES
    return new Frame(bytes, serializeType, headerAt, headerAt + headerBytes, at + total)
  }

  #fail(message: string): ProtocolError {
    this.#failure = new ProtocolError('LMQ_BAD_FRAME', message)
    this.#partial = null
    this.#partialBytes = 0
    this.#chunk = EMPTY
    this.#at = 0
    return this.#failure
  }
}
