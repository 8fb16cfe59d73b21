/**
 * Frames between brokers (raft.md 4.7), big-endian:
 *    0  u32  length        of the whole frame, these 8 bytes included
 *    4  u16  headerLength  of the protobuf header behind the prefix
 *    6  u8   type          FrameType
 *    7  u8   flags         0
 *    8       header, then payload: raw entries, never inside a protobuf object
 */

import type { Blocks, Reception } from '../../platform/index.ts'

export const FRAME_PREFIX_BYTES = 8
/** One entry of the largest size, with its header and some room. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024 + 128 * 1024
/** Until the handshake is done, so that a stranger pins no memory. */
export const HANDSHAKE_FRAME_BYTES_MAX = 72 * 1024
const HEADER_BYTES_MAX = 0xffff
const EMPTY = Buffer.alloc(0)

/** What came over the wire is no frame of ours; costs the connection. */
export class WireError extends Error {
  override readonly name = 'WireError'
}

export interface Frame {
  readonly type: number
  readonly flags: number
  /** Views of the received bytes; who needs them longer than the call holds or keeps their block. */
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

/** Less room than this is not worth a read. */
const ROOM_BYTES_MIN = 16 * 1024
const UNKNOWN = -1

/**
 * Cuts a stream into frames, in the memory that the socket reads into:
 *
 *   block  | frames given out | frame under way … | room |
 *                             #start              #end
 *
 * The next block begins with a copy of the frame under way, and this one is the reader's no longer.
 */
export class FrameReader implements Reception {
  #frameBytesMax: number
  readonly #blocks: Blocks
  #block: Buffer = EMPTY
  #start = 0
  #end = 0

  constructor(frameBytesMax: number, blocks: Blocks) {
    this.#frameBytesMax = frameBytesMax
    this.#blocks = blocks
  }

  set frameBytesMax(bytes: number) {
    this.#frameBytesMax = bytes
  }

  room(): Buffer {
    // A length that is above the limit is refused by `next`, and reserves nothing.
    const frameBytes = Math.min(this.#frameBytes(), this.#frameBytesMax)
    if (
      this.#block.length - this.#end < ROOM_BYTES_MIN ||
      this.#start + frameBytes > this.#block.length
    )
      this.#nextBlock(frameBytes)
    return this.#block.subarray(this.#end)
  }

  received(bytes: number): void {
    this.#end += bytes
  }

  /** The next whole frame; null when more bytes are needed. Throws WireError; the stream is lost then. */
  next(): Frame | null {
    const length = this.#frameBytes()
    if (length === UNKNOWN) return null
    if (length > this.#frameBytesMax) {
      throw new WireError(`frame of ${length} bytes, limit ${this.#frameBytesMax}`)
    }
    if (length < FRAME_PREFIX_BYTES + this.#block.readUInt16BE(this.#start + 4)) {
      throw new WireError(`frame of ${length} bytes is shorter than its header`)
    }
    if (this.#end - this.#start < length) return null
    const frame = frameAt(this.#block, this.#start, length)
    this.#start += length
    return frame
  }

  /** Length of the frame under way as it says; UNKNOWN before its prefix is there. */
  #frameBytes(): number {
    if (this.#end - this.#start < FRAME_PREFIX_BYTES) return UNKNOWN
    return this.#block.readUInt32BE(this.#start)
  }

  #nextBlock(frameBytes: number): void {
    const rest = this.#block.subarray(this.#start, this.#end)
    const wanted = Math.max(rest.length, frameBytes)
    const { blockBytes } = this.#blocks
    const usual = Math.min(blockBytes, this.#frameBytesMax)
    const bytes = Math.max(usual, wanted + ROOM_BYTES_MIN)
    const before = this.#block
    this.#block = bytes === blockBytes ? this.#blocks.take(bytes) : Buffer.allocUnsafeSlow(bytes)
    this.#end = rest.copy(this.#block)
    this.#start = 0
    this.#blocks.release(before)
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
