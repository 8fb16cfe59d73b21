import {
  decodeEntry,
  ENTRY_HEADER_BYTES,
  ENTRY_MAGIC,
  type Entry,
  entryBodyCrc,
  entryHeaderCrc,
  entryIndex,
  entryIsSound,
  entryMagic,
  entryPosition,
  entryPrevCrc,
  entrySize,
  entryTerm,
  headerIsSound,
  positionAfter
} from './entry.ts'
import { DamagedEntryError, LogError, TrimmedError } from './errors.ts'
import type { IndexFile } from './indexFile.ts'
import { ignoreNoSpace } from './noSpace.ts'
import type { Segments } from './segments.ts'
import type { TailCache } from './tailCache.ts'
import type { Fault, SizeOf } from './types.ts'

/** One read from the disk takes this much, whole entries of it are used. */
const READ_BYTES = 1024 * 1024
/** The same for who reads here and there: no dearer than less, and what lies behind is seldom wanted. */
const SCATTERED_READ_BYTES = 16 * 1024
/** So near behind what was just read, a reader is taken to go on. */
const GOES_ON_BYTES = 128 * 1024
const RECENT_BLOCKS = 8
/** A small block counts as much, so that there are never so many that finding one takes long. */
const BLOCK_BYTES_MIN = 64 * 1024

/** Where an entry lies; `headerCrc` is what it must have. */
export interface Place {
  readonly index: number
  readonly position: number
  readonly sizeBytes: number
  readonly headerCrc: number
  readonly term: number
}

/** Verified neighbours, read at once. */
interface Block {
  readonly entries: readonly Entry[]
  readonly position: number
  readonly end: number
  readonly bytes: number
  /** What the entries are views of. One hold is the cache's. */
  readonly memory: Buffer
}

/** A read on its way. */
interface Loading {
  readonly position: number
  readonly end: number
  readonly block: Promise<Block>
}

/** What the reader needs to know of the log it belongs to. */
export interface ReaderHost {
  readonly segmentFiles: Segments
  readonly index: IndexFile
  readonly tail: TailCache
  readonly faults: Map<number, Fault>
  readonly firstIndex: number
  readonly startPosition: number
  readonly endPosition: number
  readonly lastIndex: number
  /** Counts cuts: what was read across one proves nothing. */
  readonly cuts: number
  damaged(fault: Fault): void
  /** Throws when the log is closed. */
  mustBeOpen(): void
}

/** Entries that are not in the tail cache, from the disk through a bounded cache of blocks. Every CRC is verified. */
export class EntryReader {
  readonly #host: ReaderHost
  readonly #cacheBytes: number
  /** The one used last stands last. */
  #blocks: Block[] = []
  #bytes = 0
  readonly #loading = new Set<Loading>()

  constructor(host: ReaderHost, cacheBytes: number) {
    this.#host = host
    this.#cacheBytes = cacheBytes
  }

  /** Drops what lies at or behind `position`, or all. */
  forget(position = 0): void {
    const dropped = this.#blocks.filter(block => block.end > position)
    this.#blocks = this.#blocks.filter(block => block.end <= position)
    this.#bytes = this.#blocks.reduce((sum, block) => sum + block.bytes, 0)
    for (const block of dropped) this.#letGo(block)
  }

  #letGo({ memory }: Block): void {
    this.#host.tail.blocks.release(memory)
  }

  /** From a block that is in memory. */
  #cachedAt(position: number): Entry | null {
    for (let i = this.#blocks.length - 1; i >= 0; i--) {
      const block = this.#blocks[i]!
      if (position < block.position || position >= block.end) continue
      if (i < this.#blocks.length - 1) {
        this.#blocks.splice(i, 1)
        this.#blocks.push(block)
      }
      return entryIn(block, position)
    }
    return null
  }

  /** See RaftLog.peek. */
  peek(position: number, lengthBytes: number, hold: boolean): Buffer | null {
    const entry = this.#entryInMemory(position)
    return entry === null ? null : sliceOf(this.#lend(entry, hold), position, lengthBytes)
  }

  /** See RaftLog.read. */
  async bytes(position: number, lengthBytes: number, hold: boolean): Promise<Buffer> {
    return sliceOf(await this.#entryAt(position, false, hold), position, lengthBytes)
  }

  /** See LogReader.readSized. */
  async sizedBytes(position: number, headBytes: number, sizeOf: SizeOf): Promise<Buffer> {
    const entry = await this.#entryAt(position, true, false)
    return sliceOf(entry, position, sizeOf(sliceOf(entry, position, headBytes)))
  }

  /** `scattered`: the neighbours are not wanted, unless the entry lies just behind what was read before. */
  async #entryAt(position: number, scattered: boolean, hold: boolean): Promise<Entry> {
    const known = this.#entryInMemory(position)
    if (known !== null) return this.#lend(known, hold)
    this.#host.mustBeOpen()
    const place = await this.placeAt(position)
    const coming = this.#comingWith(place)
    if (coming !== null) {
      // What it fails of need not be this entry, and the log may be cut meanwhile.
      await coming.catch(() => {})
      return await this.#entryAt(position, scattered, hold)
    }
    const ahead = !scattered || this.#goesOn(place)
    const block = await this.#loadKept(place, ahead)
    const entry = entryIn(block, position)
    if (entry !== null) this.#lend(entry, hold)
    this.#letGo(block)
    if (entry === null) throw this.#notThere(position)
    return entry
  }

  #entryInMemory(position: number): Entry | null {
    return this.#host.tail.entryAtPosition(position) ?? this.#cachedAt(position)
  }

  /** Who does not say that he will let it go may look at it as long as he likes. */
  #lend(entry: Entry, hold: boolean): Entry {
    const { blocks } = this.#host.tail
    if (hold) blocks.hold(entry.bytes)
    else blocks.keep(entry.bytes)
    return entry
  }

  #comingWith({ position, sizeBytes }: Place): Promise<Block> | null {
    for (const loading of this.#loading)
      if (loading.position <= position && position + sizeBytes <= loading.end) return loading.block
    return null
  }

  #goesOn({ position }: Place): boolean {
    const isNear = (read: { readonly position: number; readonly end: number }): boolean =>
      read.position < position && position - read.end < GOES_ON_BYTES
    for (const loading of this.#loading) if (isNear(loading)) return true
    return this.#blocks.slice(-RECENT_BLOCKS).some(isNear)
  }

  /** Held once more for the caller: others that come meanwhile may take its place in the cache. */
  async #loadKept(place: Place, ahead: boolean): Promise<Block> {
    const bytesMax = ahead ? READ_BYTES : SCATTERED_READ_BYTES
    const block = this.#load(place, bytesMax, ahead).then(read => {
      this.#host.tail.blocks.hold(read.memory)
      this.#keep(read)
      return read
    })
    const end = place.position + Math.max(place.sizeBytes, bytesMax)
    const loading = { position: place.position, end, block }
    this.#loading.add(loading)
    try {
      return await block
    } finally {
      this.#loading.delete(loading)
    }
  }

  async entriesFrom(index: number, bytesMax: number): Promise<readonly Entry[]> {
    const block = await this.#load(await this.place(index), Math.min(bytesMax, READ_BYTES), false)
    return block.entries
  }

  /** Where `index` lies; it must be in the log. */
  async place(index: number): Promise<Place> {
    const { tail, faults, firstIndex, startPosition } = this.#host
    if (index < firstIndex) throw new TrimmedError(`entry ${index}`, firstIndex, startPosition)
    const fault = faults.get(index)
    if (fault !== undefined) throw new DamagedEntryError(fault)
    if (index >= tail.first && tail.knows(index)) return tail.meta(index)
    const unit = await this.#host.index.unit(index)
    return unit === null ? this.#mend(index) : { index, ...unit }
  }

  #notThere(position: number): LogError {
    const { startPosition, firstIndex, endPosition } = this.#host
    if (position < startPosition) {
      return new TrimmedError(`position ${position}`, firstIndex, startPosition)
    }
    return new LogError(
      'LMQ_LOG_NOT_THERE',
      `no entry lies at position ${position}: the log goes from ${startPosition} to ${endPosition}`
    )
  }

  /** Of the entry that `position` lies in. */
  async placeAt(position: number): Promise<Place> {
    const { segmentFiles: segments, tail, startPosition, endPosition, firstIndex } = this.#host
    if (position < startPosition || position >= endPosition) throw this.#notThere(position)
    let found = tail.indexAt(position)
    if (found === 0) {
      const segment = segments.at(position)
      if (segment === null || segment.firstIndex === 0) throw this.#notThere(position)
      let low = Math.max(segment.firstIndex, firstIndex)
      const next = segments.next(segment)
      let high = next !== null && next.firstIndex > 0 ? next.firstIndex - 1 : this.#host.lastIndex
      if (tail.first <= high) high = tail.first - 1
      while (low < high) {
        const middle = Math.floor((low + high + 1) / 2)
        const place = await this.#placeOrFault(middle)
        if (place <= position) low = middle
        else high = middle - 1
      }
      found = low
    }
    const place = await this.place(found)
    if (position < place.position || position >= place.position + place.sizeBytes) {
      throw this.#notThere(position)
    }
    return place
  }

  /** Position of an entry, of a damaged one too. */
  async #placeOrFault(index: number): Promise<number> {
    return this.#host.faults.get(index)?.position ?? (await this.place(index)).position
  }

  /** The unit is damaged: goes by the headers from the nearest entry before whose place is known. */
  async #mend(index: number): Promise<Place> {
    const { segmentFiles: segments, faults } = this.#host
    const segment = segments.ofIndex(index)
    let from = index
    let end = segment.firstPosition
    while (from > segment.firstIndex) {
      const unit = await this.#host.index.unit(from - 1)
      if (unit !== null) {
        end = unit.position + unit.sizeBytes
        break
      }
      from -= 1
    }
    const header = Buffer.alloc(ENTRY_HEADER_BYTES)
    for (let at = from; ; at++) {
      await segments.read(segment, header, ENTRY_HEADER_BYTES, end - segment.firstPosition)
      if (!headerIsSound(header) || entryIndex(header) !== at || entryPosition(header) !== end) {
        const fault = { index, position: end, sizeBytes: null, term: null, headerCrc: null }
        if (!faults.has(index)) this.#host.damaged(fault)
        throw new DamagedEntryError(fault)
      }
      const place: Place = {
        index: at,
        position: end,
        sizeBytes: entrySize(header),
        headerCrc: entryHeaderCrc(header),
        term: entryTerm(header)
      }
      const unit = { ...place, bodyCrc: entryBodyCrc(header) }
      await this.#host.index.rewrite(at, unit).catch(ignoreNoSpace)
      if (at === index) return place
      end += place.sizeBytes
    }
  }

  /** `reused`: into a block that somebody lets go. */
  async #load(place: Place, bytesMax: number, reused: boolean): Promise<Block> {
    for (;;) {
      const cuts = this.#host.cuts
      const memory = this.#memoryFor(place, bytesMax, reused)
      const block = memory === null ? null : await this.#read(place, memory)
      if (block !== null && cuts === this.#host.cuts) return block
      if (memory !== null) this.#host.tail.blocks.release(memory)
      if (place.position < this.#host.startPosition) throw this.#notThere(place.position)
      if (cuts !== this.#host.cuts) {
        if (this.#isGone(place)) throw this.#notThere(place.position)
        continue
      }
      const fault: Fault = { ...faultOf(place) }
      if (!this.#host.faults.has(place.index)) this.#host.damaged(fault)
      throw new DamagedEntryError(fault)
    }
  }

  /** As much as is to be read; null: the entry's segment is gone. */
  #memoryFor({ position, sizeBytes }: Place, bytesMax: number, reused: boolean): Buffer | null {
    const { segmentFiles: segments, tail } = this.#host
    const segment = segments.at(position)
    if (segment === null) return null
    const left = segment.firstPosition + segments.segmentBytes - position
    const wanted = Math.max(sizeBytes, Math.min(bytesMax, left))
    // All of one size, so that one is used for the next.
    const blockBytes = Math.min(READ_BYTES, segments.segmentBytes)
    return reused && wanted <= blockBytes
      ? tail.blocks.take(blockBytes).subarray(0, wanted)
      : Buffer.allocUnsafeSlow(wanted)
  }

  /** null: the first entry is not sound. What follows is taken as far as it is. */
  async #read(place: Place, buffer: Buffer): Promise<Block | null> {
    const { segmentFiles: segments, faults } = this.#host
    const segment = segments.at(place.position)
    if (segment === null) return null
    const at = place.position - segment.firstPosition
    let got: number
    try {
      got = await segments.read(segment, buffer, buffer.length, at)
    } catch {
      // A later piece may be what cannot be read.
      got = await segments.read(segment, buffer, place.sizeBytes, at).catch(() => 0)
    }
    if (got < place.sizeBytes) return null
    const first = buffer.subarray(0, place.sizeBytes)
    if (!entryIsSound(first) || entryHeaderCrc(first) !== place.headerCrc) return null
    if (entryIndex(first) !== place.index || entryPosition(first) !== place.position) return null
    const entries = [decodeEntry(first)]
    let end = place.sizeBytes
    let crc = place.headerCrc
    for (let index = place.index + 1; end + ENTRY_HEADER_BYTES <= got; index++) {
      if (faults.has(index) || index > this.#host.lastIndex) break
      if (entryMagic(buffer, end) !== ENTRY_MAGIC) break
      const size = entrySize(buffer, end)
      if (size < ENTRY_HEADER_BYTES || end + size > got) break
      const bytes = buffer.subarray(end, end + size)
      const follows =
        entryIndex(bytes) === index &&
        entryPrevCrc(bytes) === crc &&
        entryPosition(bytes) === positionAfter(place.position + end, size, segments.segmentBytes)
      if (!follows || this.#isReplaced(index, entryHeaderCrc(bytes)) || !entryIsSound(bytes)) break
      entries.push(decodeEntry(bytes))
      crc = entryHeaderCrc(bytes)
      end += size
    }
    const bytes = Math.max(buffer.buffer.byteLength, BLOCK_BYTES_MIN)
    return { entries, position: place.position, end: place.position + end, bytes, memory: buffer }
  }

  /**
   * After a cut the disk still shows the old entries until the queue has come to them, and they follow the ones before
   * as well as the new ones do. Those that may be under way are known to the tail.
   */
  #isReplaced(index: number, headerCrc: number): boolean {
    const { tail } = this.#host
    return index >= tail.first && tail.knows(index) && tail.meta(index).headerCrc !== headerCrc
  }

  #isGone({ index, headerCrc }: Place): boolean {
    return index > this.#host.lastIndex || this.#isReplaced(index, headerCrc)
  }

  #keep(block: Block): void {
    if (block.position < this.#host.startPosition) {
      this.#letGo(block)
      return
    }
    this.#blocks.push(block)
    this.#bytes += block.bytes
    while (this.#bytes > this.#cacheBytes && this.#blocks.length > 1) {
      const oldest = this.#blocks.shift()!
      this.#bytes -= oldest.bytes
      this.#letGo(oldest)
    }
  }
}

function faultOf({ index, position, sizeBytes, term, headerCrc }: Place): Fault {
  return { index, position, sizeBytes, term, headerCrc }
}

/** The entry of a block that `position` lies in: binary search. */
function entryIn(block: Block, position: number): Entry | null {
  let low = 0
  let high = block.entries.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (block.entries[middle]!.position <= position) low = middle
    else high = middle - 1
  }
  const entry = block.entries[low]!
  return position >= entry.position && position < entry.position + entry.bytes.length ? entry : null
}

/** Bytes of an entry, a view; throws when they go beyond it. */
export function sliceOf(entry: Entry, position: number, lengthBytes: number): Buffer {
  const from = position - entry.position
  if (from + lengthBytes > entry.bytes.length) {
    const end = entry.position + entry.bytes.length
    throw new LogError(
      'LMQ_LOG_NOT_THERE',
      `${lengthBytes} bytes at ${position} go beyond entry ${entry.index}, which ends at ${end}`
    )
  }
  return entry.bytes.subarray(from, from + lengthBytes)
}
