/**
 * The newest part of the key index, in memory: records gathered in order of arrival, sorted when the chunk is full.
 * Sorting by digits of the hash (four passes of 8 bits) is stable, so records of one hash stay in log order.
 *
 * A record of the key index: 16 bytes, big-endian; sorted by hash, then by position.
 *    0  u32  hash            of topic # key
 *    4  u48  physicalOffset  of the message
 *   10  u48  storeTimestamp  ms
 */
import { getUint32, getUint48, putInt32, putUint48 } from '../protocol/index.ts'

export const RECORD_BYTES = 16
/** About 1.5 ms of sorting. */
export const CHUNK_RECORDS = 65_536

export const recordHash = (bytes: Uint8Array, at: number): number => getUint32(bytes, at)
export const recordPosition = (bytes: Uint8Array, at: number): number => getUint48(bytes, at + 4)
export const recordTime = (bytes: Uint8Array, at: number): number => getUint48(bytes, at + 10)

/** Where a range of records lies in time and in the log. */
export class RecordRange {
  firstPosition = Number.MAX_SAFE_INTEGER
  lastPosition = 0
  beginTime = Number.MAX_SAFE_INTEGER
  endTime = 0

  add(position: number, time: number): void {
    if (position < this.firstPosition) this.firstPosition = position
    if (position > this.lastPosition) this.lastPosition = position
    if (time < this.beginTime) this.beginTime = time
    if (time > this.endTime) this.endTime = time
  }

  merge(other: RecordRange): void {
    this.firstPosition = Math.min(this.firstPosition, other.firstPosition)
    this.lastPosition = Math.max(this.lastPosition, other.lastPosition)
    this.beginTime = Math.min(this.beginTime, other.beginTime)
    this.endTime = Math.max(this.endTime, other.endTime)
  }
}

/** Full and sorted; its records never change again. */
export interface SortedChunk {
  readonly bytes: Uint8Array
  readonly records: number
  readonly range: RecordRange
  /** Every key of the entries up to here is in this chunk or an earlier one. */
  readonly completeIndex: number
  /** Highest entry that a record here is from: not written before that entry is durable (R-D5). */
  readonly lastIndex: number
}

export class IndexChunk {
  readonly #hashes: Uint32Array
  readonly #positions: Float64Array
  readonly #times: Float64Array
  readonly range = new RecordRange()
  records = 0

  constructor(capacity: number) {
    this.#hashes = new Uint32Array(capacity)
    this.#positions = new Float64Array(capacity)
    this.#times = new Float64Array(capacity)
  }

  get isFull(): boolean {
    return this.records === this.#hashes.length
  }

  add(hash: number, position: number, time: number): void {
    const at = this.records++
    this.#hashes[at] = hash
    this.#positions[at] = position
    this.#times[at] = time
    this.range.add(position, time)
  }

  /** Positions of the hash within the times, newest first, at most `max`. */
  search(hash: number, beginTime: number, endTime: number, max: number, into: number[]): void {
    let left = max
    for (let i = this.records - 1; i >= 0 && left > 0; i--) {
      if (this.#hashes[i] !== hash) continue
      const time = this.#times[i]!
      if (time < beginTime || time > endTime) continue
      into.push(this.#positions[i]!)
      left -= 1
    }
  }

  sort(completeIndex: number, lastIndex: number): SortedChunk {
    const order = sortedOrder(this.#hashes, this.records)
    const bytes = new Uint8Array(this.records * RECORD_BYTES)
    for (let i = 0; i < this.records; i++) {
      const from = order[i]!
      const at = i * RECORD_BYTES
      putInt32(bytes, at, this.#hashes[from]!)
      putUint48(bytes, at + 4, this.#positions[from]!)
      putUint48(bytes, at + 10, this.#times[from]!)
    }
    return { bytes, records: this.records, range: this.range, completeIndex, lastIndex }
  }
}

/** The same search in sorted records; `first` = the first record of the hash. */
export function searchSorted(
  bytes: Uint8Array,
  records: number,
  hash: number,
  beginTime: number,
  endTime: number,
  max: number,
  into: number[]
): void {
  let low = 0
  let high = records
  while (low < high) {
    const middle = (low + high) >>> 1
    if (recordHash(bytes, middle * RECORD_BYTES) <= hash) low = middle + 1
    else high = middle
  }
  let left = max
  for (let i = low - 1; i >= 0 && left > 0; i--) {
    const at = i * RECORD_BYTES
    if (recordHash(bytes, at) !== hash) return
    const time = recordTime(bytes, at)
    if (time < beginTime || time > endTime) continue
    into.push(recordPosition(bytes, at))
    left -= 1
  }
}

function sortedOrder(hashes: Uint32Array, records: number): Uint32Array {
  let from = new Uint32Array(records)
  let to = new Uint32Array(records)
  for (let i = 0; i < records; i++) from[i] = i
  const starts = new Uint32Array(256)
  for (let shift = 0; shift < 32; shift += 8) {
    starts.fill(0)
    for (let i = 0; i < records; i++) starts[(hashes[i]! >>> shift) & 0xff]!++
    let sum = 0
    for (let digit = 0; digit < 256; digit++) {
      const count = starts[digit]!
      starts[digit] = sum
      sum += count
    }
    for (let i = 0; i < records; i++) {
      const record = from[i]!
      const digit = (hashes[record]! >>> shift) & 0xff
      to[starts[digit]!++] = record
    }
    const swap = from
    from = to
    to = swap
  }
  return from
}
