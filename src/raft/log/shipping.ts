import type { EntryReader, Place } from './reader.ts'
import type { Segments } from './segments.ts'

/** What a snapshot needs of a running log: where entries lie, and its segments' bytes as they are. */
export class Shipping {
  readonly #segments: Segments
  readonly #reader: EntryReader

  constructor(segments: Segments, reader: EntryReader) {
    this.#segments = segments
    this.#reader = reader
  }

  /** Rejects with DamagedEntryError or TrimmedError. */
  placeOf(index: number): Promise<Place> {
    return this.#reader.place(index)
  }

  /** `length` bytes of one segment from `position` on, unchecked; fewer when its file ends there, null when it is trimmed. */
  async read(position: number, length: number): Promise<Buffer | null> {
    const segment = this.#segments.at(position)
    if (segment === null || segment.retired) return null
    const target = Buffer.allocUnsafeSlow(length)
    const inSegment = position - segment.firstPosition
    const got = await this.#segments.read(segment, target, length, inSegment)
    return target.subarray(0, got)
  }
}
