import { crc32 } from 'node:zlib'
import type { Clock, Disk, DiskFile, Timer } from '../../platform/index.ts'
import { ENTRY_HEADER_BYTES, getUint64, putUint64 } from './entry.ts'
import { fileName, fileNumber, joinPath } from './names.ts'
import { isNoSpace, RETRY_NO_SPACE_MS } from './noSpace.ts'

/**
 * The entry index: 32 bytes for each entry at byte `index × 32`, in files named by their first byte (raft.md 4.2).
 *
 *    0  u64  position
 *    8  u64  term
 *   16  u32  size
 *   20  u32  headerCrc
 *   24  u32  bodyCrc
 *   28  u32  unitCrc    over bytes 0-27, begun with the low 32 bits of the index: a misplaced unit is no unit
 *
 * It can be rebuilt from the segments. But a unit is written only after its entry is durable under the flush mode, so it
 * also is the second witness that tells a torn write from a damaged entry (4.9).
 */
export const UNIT_BYTES = 32
const PAGE_BYTES = 4096
const UNITS_PER_PAGE = PAGE_BYTES / UNIT_BYTES
/** Pages of old units kept for searches: 1 MiB. */
const PAGES_MAX = 256
const ZERO_CHUNK_BYTES = 1024 * 1024

export interface Unit {
  readonly position: number
  readonly term: number
  readonly sizeBytes: number
  readonly headerCrc: number
  readonly bodyCrc: number
}

export function putUnit(target: Buffer, at: number, index: number, unit: Unit): void {
  putUint64(target, unit.position, at)
  putUint64(target, unit.term, at + 8)
  target.writeUInt32BE(unit.sizeBytes, at + 16)
  target.writeUInt32BE(unit.headerCrc, at + 20)
  target.writeUInt32BE(unit.bodyCrc, at + 24)
  target.writeUInt32BE(crc32(target.subarray(at, at + 28), index % 4_294_967_296), at + 28)
}

/** null: no unit of `index` stands there. */
export function getUnit(source: Buffer, at: number, index: number): Unit | null {
  if (at + UNIT_BYTES > source.length) return null
  if (source.readUInt32BE(at + 16) < ENTRY_HEADER_BYTES) return null
  const crc = crc32(source.subarray(at, at + 28), index % 4_294_967_296)
  if (crc !== source.readUInt32BE(at + 28)) return null
  return {
    position: getUint64(source, at),
    term: getUint64(source, at + 8),
    sizeBytes: source.readUInt32BE(at + 16),
    headerCrc: source.readUInt32BE(at + 20),
    bodyCrc: source.readUInt32BE(at + 24)
  }
}

export interface IndexFileOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly directory: string
  readonly unitsPerFile: number
  readonly delayMs: number
}

export class IndexFile {
  /** Told of an error that ends the log (R-D8). */
  onFailure: (error: Error) => void = () => {}
  /** Told when `writtenIndex` has moved on. */
  onWritten: () => void = () => {}
  /** Highest index whose unit is in its file. */
  writtenIndex: number
  readonly #options: IndexFileOptions
  readonly #fileBytes: number
  readonly #files = new Map<number, Promise<DiskFile>>()
  readonly #pages = new Map<number, Buffer>()
  /** Counts changes of units that were already written; a page read across one is not kept. */
  #changes = 0
  #pending: Buffer = Buffer.allocUnsafe(64 * UNIT_BYTES)
  #pendingFirst = 0
  #pendingCount = 0
  #timer: Timer | null = null
  #writing: Promise<void> | null = null
  #closed = false

  constructor(options: IndexFileOptions, writtenIndex: number) {
    this.#options = options
    this.#fileBytes = options.unitsPerFile * UNIT_BYTES
    this.writtenIndex = writtenIndex
  }

  /** Takes the unit that follows; it is written with others a little later. */
  add(index: number, unit: Unit): void {
    if (this.#pendingCount === 0) this.#pendingFirst = index
    else if (index !== this.#pendingFirst + this.#pendingCount) {
      throw new Error(
        `index unit ${index} does not follow ${this.#pendingFirst + this.#pendingCount - 1}`
      )
    }
    const at = this.#pendingCount * UNIT_BYTES
    if (at === this.#pending.length) {
      const larger = Buffer.allocUnsafe(this.#pending.length * 2)
      this.#pending.copy(larger)
      this.#pending = larger
    }
    putUnit(this.#pending, at, index, unit)
    this.#pendingCount += 1
    if (this.#writing === null) this.#schedule(this.#options.delayMs)
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null || this.#closed) return
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#timer = null
      if (this.#writing === null) this.#startWriting()
    })
  }

  #startWriting(): void {
    this.#writing = this.#writePending()
      .catch(error => {
        if (isNoSpace(error)) this.#schedule(RETRY_NO_SPACE_MS)
        else this.onFailure(error as Error)
      })
      .finally(() => {
        this.#writing = null
      })
  }

  async #writePending(): Promise<void> {
    const first = this.#pendingFirst
    const count = this.#pendingCount
    if (count === 0) return
    await this.#writeUnits(first, this.#pending.subarray(0, count * UNIT_BYTES))
    const left = this.#pendingCount - count
    if (left > 0) {
      this.#pending.copyWithin(0, count * UNIT_BYTES, this.#pendingCount * UNIT_BYTES)
      this.#schedule(this.#options.delayMs)
    }
    this.#pendingFirst = first + count
    this.#pendingCount = left
    this.writtenIndex = first + count - 1
    this.onWritten()
  }

  async #writeUnits(first: number, units: Buffer): Promise<void> {
    let at = first * UNIT_BYTES
    let done = 0
    while (done < units.length) {
      const inFile = at % this.#fileBytes
      const part = Math.min(units.length - done, this.#fileBytes - inFile)
      const file = await this.#file(at)
      await file.write([units.subarray(done, done + part)], inFile)
      at += part
      done += part
    }
  }

  /** Writes all that waits; rejects with the disk's error, ENOSPC too. */
  async flush(): Promise<void> {
    while (this.#writing !== null) await this.#writing
    this.#cancelTimer()
    const run = this.#writePending()
    this.#writing = run
      .catch(() => {})
      .finally(() => {
        this.#writing = null
      })
    await run
  }

  #cancelTimer(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** Overwrites one unit: of a repaired entry, or one that was found damaged. */
  async rewrite(index: number, unit: Unit): Promise<void> {
    if (index > this.writtenIndex) return
    const buffer = Buffer.alloc(UNIT_BYTES)
    putUnit(buffer, 0, index, unit)
    await this.#writeUnits(index, buffer)
    this.#changes += 1
    this.#pages.delete(Math.floor(index / UNITS_PER_PAGE))
  }

  /** Writes raw bytes of units one behind the other, for recovery. */
  async writeRaw(first: number, units: Buffer): Promise<void> {
    await this.#writeUnits(first, units)
    this.#changes += 1
    this.#pages.clear()
    this.writtenIndex = Math.max(this.writtenIndex, first + units.length / UNIT_BYTES - 1)
  }

  /** Up to `count` units from `first` on as bytes; what is not in the files reads as zeros. */
  async readRaw(first: number, count: number): Promise<Buffer> {
    const target = Buffer.alloc(count * UNIT_BYTES)
    let at = first * UNIT_BYTES
    let done = 0
    while (done < target.length) {
      const inFile = at % this.#fileBytes
      const part = Math.min(target.length - done, this.#fileBytes - inFile)
      const file = await this.#existing(at)
      if (file !== null) await file.read(target, done, part, inFile)
      at += part
      done += part
    }
    return target
  }

  /** The unit of a written entry; null: damaged, or not there. */
  async unit(index: number): Promise<Unit | null> {
    const number = Math.floor(index / UNITS_PER_PAGE)
    const at = (index % UNITS_PER_PAGE) * UNIT_BYTES
    const cached = this.#pages.get(number)
    if (cached !== undefined) {
      const unit = getUnit(cached, at, index)
      if (unit !== null) {
        this.#pages.delete(number)
        this.#pages.set(number, cached)
        return unit
      }
    }
    // A page at the end was kept before this unit was written into it.
    const changes = this.#changes
    const page = await this.readRaw(number * UNITS_PER_PAGE, UNITS_PER_PAGE)
    if (changes === this.#changes) {
      this.#pages.delete(number)
      this.#pages.set(number, page)
      if (this.#pages.size > PAGES_MAX)
        this.#pages.delete(this.#pages.keys().next().value as number)
    }
    return getUnit(page, at, index)
  }

  /** Greatest index below which units may stand, by the length of the last file. */
  async endIndex(): Promise<number> {
    const numbers = await this.#numbers()
    const last = numbers.at(-1)
    if (last === undefined) return 0
    const file = await this.#file(last)
    return Math.ceil((last + (await file.size())) / UNIT_BYTES)
  }

  /**
   * R-L5: puts zeros over all units from `fromIndex` on, from the back, and syncs. What waits for being written is dropped.
   */
  async zeroFrom(fromIndex: number): Promise<void> {
    this.#cancelTimer()
    while (this.#writing !== null) await this.#writing
    if (this.#pendingCount > 0 && this.#pendingFirst + this.#pendingCount > fromIndex) {
      this.#pendingCount = Math.max(0, fromIndex - this.#pendingFirst)
    }
    const from = fromIndex * UNIT_BYTES
    const numbers = await this.#numbers()
    for (const number of numbers.reverse()) {
      if (number + this.#fileBytes <= from) break
      const file = await this.#file(number)
      const begin = Math.max(0, from - number)
      let end = await file.size()
      if (end <= begin) continue
      while (end > begin) {
        const start = Math.max(begin, end - ZERO_CHUNK_BYTES)
        await file.write([Buffer.alloc(end - start)], start)
        end = start
      }
      await file.datasync()
    }
    this.#changes += 1
    this.#pages.clear()
    this.writtenIndex = Math.min(this.writtenIndex, fromIndex - 1)
    if (this.#pendingCount > 0) this.#schedule(this.#options.delayMs)
  }

  async sync(): Promise<void> {
    for (const file of this.#files.values()) await (await file).datasync()
  }

  /** Removes the files that hold only units below `index`. */
  async trimBefore(index: number): Promise<void> {
    for (const number of await this.#numbers()) {
      if (number + this.#fileBytes > index * UNIT_BYTES) break
      const open = this.#files.get(number)
      this.#files.delete(number)
      if (open !== undefined) await (await open).close()
      await this.#options.disk.remove(this.#path(number))
    }
    this.#changes += 1
    this.#pages.clear()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelTimer()
    while (this.#writing !== null) await this.#writing
    for (const file of this.#files.values()) await (await file).close()
    this.#files.clear()
  }

  async #numbers(): Promise<number[]> {
    const files = await this.#options.disk.list(this.#options.directory)
    return files.map(file => fileNumber(file.name)).filter(number => number !== null)
  }

  #path(number: number): string {
    return joinPath(this.#options.directory, fileName(number))
  }

  #file(at: number): Promise<DiskFile> {
    const number = at - (at % this.#fileBytes)
    let file = this.#files.get(number)
    if (file === undefined) {
      file = this.#options.disk.open(this.#path(number), { create: true })
      file.catch(() => this.#files.delete(number))
      this.#files.set(number, file)
    }
    return file
  }

  async #existing(at: number): Promise<DiskFile | null> {
    const number = at - (at % this.#fileBytes)
    if (this.#files.has(number)) return this.#file(at)
    return (await this.#options.disk.exists(this.#path(number))) ? this.#file(at) : null
  }
}
