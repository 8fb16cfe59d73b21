import { type Blocks, collectedBlocks } from '../../platform/index.ts'
import { type Entry, entryBodyCrc, entryHeaderCrc } from './entry.ts'
import type { Unit } from './indexFile.ts'

/** What is remembered of an entry without its bytes. */
export interface EntryMeta {
  readonly index: number
  readonly term: number
  readonly position: number
  readonly sizeBytes: number
  readonly headerCrc: number
  readonly timeMs: number
}

export function endOf(meta: EntryMeta): number {
  return meta.position + meta.sizeBytes
}

/** Charged for each entry beside its bytes, so that many small ones are bounded too. */
const ENTRY_OVERHEAD_BYTES = 256

/**
 * The newest entries, a ring over indexes:
 *
 *      first                     last
 *   …  |  evictable  |  kept      |
 *                    ^ evictTo: applied, and written with its index unit
 *
 * Each has its place in the log; its bytes are there too unless it comes from recovery. `base` is the entry before
 * `first`: what the first one continues, and what the log ends with when all is cut.
 */
export class TailCache {
  first: number
  last: number
  base: EntryMeta
  /** Bytes of the entries that are held, without overhead. */
  bytes = 0
  entries = 0
  /** Held for each entry whose bytes are here. */
  blocks: Blocks = collectedBlocks
  readonly #bytesMax: number
  #charged = 0
  #mask = 1023
  #positions = new Float64Array(1024)
  #terms = new Float64Array(1024)
  #times = new Float64Array(1024)
  #sizes = new Uint32Array(1024)
  #crcs = new Uint32Array(1024)
  #entries: (Entry | null)[] = new Array(1024).fill(null)

  constructor(base: EntryMeta, bytesMax: number) {
    this.base = base
    this.first = base.index + 1
    this.last = base.index
    this.#bytesMax = bytesMax
  }

  push(entry: Entry): void {
    this.#place(entry, entry.bytes.length, entryHeaderCrc(entry.bytes))
    this.#entries[entry.index & this.#mask] = entry
    this.blocks.hold(entry.bytes)
    this.bytes += entry.bytes.length
    this.#charged += entry.bytes.length + ENTRY_OVERHEAD_BYTES
    this.entries += 1
  }

  /** An entry that lies on the disk only. */
  pushMeta(meta: EntryMeta): void {
    this.#place(meta, meta.sizeBytes, meta.headerCrc)
    this.#entries[meta.index & this.#mask] = null
  }

  #place(
    at: { index: number; position: number; term: number; timeMs: number },
    size: number,
    crc: number
  ): void {
    if (at.index !== this.last + 1) {
      throw new Error(`entry ${at.index} does not follow ${this.last} in the tail cache`)
    }
    if (this.last - this.first + 1 > this.#mask) this.#grow()
    const slot = at.index & this.#mask
    this.#positions[slot] = at.position
    this.#terms[slot] = at.term
    this.#times[slot] = at.timeMs
    this.#sizes[slot] = size
    this.#crcs[slot] = crc
    this.last = at.index
  }

  #grow(): void {
    const old = {
      positions: this.#positions,
      terms: this.#terms,
      times: this.#times,
      sizes: this.#sizes,
      crcs: this.#crcs,
      entries: this.#entries,
      mask: this.#mask
    }
    const size = (old.mask + 1) * 2
    this.#mask = size - 1
    this.#positions = new Float64Array(size)
    this.#terms = new Float64Array(size)
    this.#times = new Float64Array(size)
    this.#sizes = new Uint32Array(size)
    this.#crcs = new Uint32Array(size)
    this.#entries = new Array(size).fill(null)
    for (let index = this.first; index <= this.last; index++) {
      const from = index & old.mask
      const to = index & this.#mask
      this.#positions[to] = old.positions[from]!
      this.#terms[to] = old.terms[from]!
      this.#times[to] = old.times[from]!
      this.#sizes[to] = old.sizes[from]!
      this.#crcs[to] = old.crcs[from]!
      this.#entries[to] = old.entries[from]!
    }
  }

  /** Whether the place of `index` is known; true for the base as well. */
  knows(index: number): boolean {
    return index >= this.first - 1 && index <= this.last
  }

  /** Only for what `knows` answers true to. */
  meta(index: number): EntryMeta {
    if (index === this.first - 1) return this.base
    const slot = index & this.#mask
    return {
      index,
      term: this.#terms[slot]!,
      position: this.#positions[slot]!,
      sizeBytes: this.#sizes[slot]!,
      headerCrc: this.#crcs[slot]!,
      timeMs: this.#times[slot]!
    }
  }

  /** Of `fromIndex` and all behind it. */
  positions(fromIndex: number): number[] {
    const positions: number[] = []
    for (let index = fromIndex; index <= this.last; index++) {
      positions.push(this.meta(index).position)
    }
    return positions
  }

  /** What the index says of an entry that is in memory. */
  unit(index: number): Unit {
    const entry = this.entry(index)
    if (entry === null) throw new Error(`entry ${index} has no bytes in the tail cache`)
    const { position, term, sizeBytes, headerCrc } = this.meta(index)
    return { position, term, sizeBytes, headerCrc, bodyCrc: entryBodyCrc(entry.bytes) }
  }

  entry(index: number): Entry | null {
    return index < this.first || index > this.last ? null : this.#entries[index & this.#mask]!
  }

  /** Index of the last known entry that begins at or before `position`; 0 when that lies below `first`. */
  indexAt(position: number): number {
    let low = this.first
    let high = this.last
    if (high < low || position < this.#positions[low & this.#mask]!) return 0
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2)
      if (this.#positions[middle & this.#mask]! <= position) low = middle
      else high = middle - 1
    }
    return low
  }

  /** The entry that `position` lies in, if its bytes are held. */
  entryAtPosition(position: number): Entry | null {
    const entry = this.entry(this.indexAt(position))
    return entry !== null && position < entry.position + entry.bytes.length ? entry : null
  }

  /** Entries from `fromIndex` on that fit into `maxBytes`, at least one; null: its bytes are not held. */
  entriesFrom(fromIndex: number, maxBytes: number): Entry[] | null {
    const first = this.entry(fromIndex)
    if (first === null) return null
    const entries = [first]
    let bytes = first.bytes.length
    for (let index = fromIndex + 1; index <= this.last; index++) {
      const entry = this.entry(index)
      if (entry === null || bytes + entry.bytes.length > maxBytes) break
      bytes += entry.bytes.length
      entries.push(entry)
    }
    return entries
  }

  /** Puts the repaired entry's figures in the place of what was assumed. */
  replaceMeta(meta: EntryMeta): void {
    if (meta.index === this.base.index) this.base = meta
    if (meta.index < this.first || meta.index > this.last) return
    const slot = meta.index & this.#mask
    this.#positions[slot] = meta.position
    this.#terms[slot] = meta.term
    this.#times[slot] = meta.timeMs
    this.#sizes[slot] = meta.sizeBytes
    this.#crcs[slot] = meta.headerCrc
  }

  /** Drops `fromIndex` and what follows; it must be known. Its blocks are not given back: it may be on its way to the disk. */
  cut(fromIndex: number): void {
    for (let index = fromIndex; index <= this.last; index++) this.#drop(index)
    this.last = fromIndex - 1
  }

  /** Drops from the front what is too much, up to `evictTo`. */
  evict(evictTo: number): void {
    const limit = Math.min(evictTo, this.last)
    let index = this.first
    while (
      index <= limit &&
      (this.#charged > this.#bytesMax || this.#entries[index & this.#mask] === null)
    ) {
      const dropped = this.#drop(index)
      if (dropped !== null) this.blocks.release(dropped.bytes)
      index += 1
    }
    if (index === this.first) return
    this.base = this.meta(index - 1)
    this.first = index
  }

  /** Drops what lies below `index`, whatever the bounds. Its blocks are not given back, as with a cut. */
  trim(index: number): void {
    if (index <= this.first) return
    const to = Math.min(index - 1, this.last)
    const base = this.meta(to)
    for (let dropped = this.first; dropped <= to; dropped++) this.#drop(dropped)
    this.base = base
    this.first = to + 1
  }

  /** What was held there. */
  #drop(index: number): Entry | null {
    const slot = index & this.#mask
    const entry = this.#entries[slot] ?? null
    if (entry === null) return null
    this.#entries[slot] = null
    this.bytes -= entry.bytes.length
    this.#charged -= entry.bytes.length + ENTRY_OVERHEAD_BYTES
    this.entries -= 1
    return entry
  }
}
