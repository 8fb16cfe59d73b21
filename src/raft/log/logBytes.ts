import type { Segment, Segments } from './segments.ts'
import { ignoreUnreadable } from './unreadable.ts'

const WINDOW_BYTES = 2 * 1024 * 1024
const PIECE_BYTES = 4096

/** Sequential reading of the segments through one window, for scans. */
export class LogBytes {
  bytesRead = 0
  readonly #segments: Segments
  readonly #window = Buffer.allocUnsafe(WINDOW_BYTES)
  #from = 0
  #length = 0

  constructor(segments: Segments) {
    this.#segments = segments
  }

  /**
   * Up to `length` bytes at `position`, fewer at the end of the segment's file; none when there is no such segment.
   * A view that holds until the next call. What the disk cannot read comes as zeros: it fails its CRC.
   */
  async view(position: number, length: number): Promise<Buffer> {
    const segment = this.#segments.at(position)
    if (segment === null) return this.#window.subarray(0, 0)
    const room = segment.firstPosition + this.#segments.segmentBytes - position
    const wanted = Math.min(length, room)
    if (position < this.#from || position + wanted > this.#from + this.#length) {
      if (wanted > WINDOW_BYTES) {
        const large = Buffer.allocUnsafe(wanted)
        const got = await this.#read(segment, large, wanted, position)
        return large.subarray(0, got)
      }
      this.#from = position
      this.#length = await this.#read(segment, this.#window, Math.min(WINDOW_BYTES, room), position)
    }
    const at = position - this.#from
    return this.#window.subarray(at, Math.min(at + wanted, this.#length))
  }

  /** The same if it is in the window whole, else null. */
  held(position: number, length: number): Buffer | null {
    const at = position - this.#from
    if (at < 0 || at + length > this.#length) return null
    return this.#window.subarray(at, at + length)
  }

  async #read(segment: Segment, target: Buffer, length: number, position: number): Promise<number> {
    const inSegment = position - segment.firstPosition
    try {
      const got = await this.#segments.read(segment, target, length, inSegment)
      this.bytesRead += got
      return got
    } catch (error) {
      ignoreUnreadable(error)
      return this.#readPieces(segment, target, length, inSegment)
    }
  }

  async #readPieces(segment: Segment, target: Buffer, length: number, at: number): Promise<number> {
    const end = Math.min(length, Math.max(0, segment.preparedBytes - at))
    for (let done = 0; done < end; done += PIECE_BYTES) {
      const part = Math.min(PIECE_BYTES, end - done)
      const piece = target.subarray(done, done + part)
      try {
        await this.#segments.read(segment, piece, part, at + done)
      } catch (error) {
        ignoreUnreadable(error)
        piece.fill(0)
      }
    }
    return end
  }
}
