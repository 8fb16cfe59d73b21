import { APPEND_BLOCK_BYTES, type Disk, type DiskFile } from '../../platform/index.ts'
import { fileName, joinPath } from './names.ts'
import type { SegmentInfo } from './types.ts'

export const SPARE_NAME = 'spare'
export const SPARE_UNFINISHED_NAME = 'spare.unfinished'
export const RECYCLED_NAME = 'spare.recycled'
/** Descriptors kept for segments that nobody uses at the moment. */
const OPEN_FILES_MAX = 64

/** One file of the log. Every byte of it behind the log's end is zero. */
export class Segment {
  readonly firstPosition: number
  readonly path: string
  /** 0: no entry begins in it, as far as is known. */
  firstIndex = 0
  lastTimeMs = 0
  /** Bytes from the beginning that were written, be it with zeros. */
  preparedBytes = 0
  /** Zeros are being written from this byte on; entries that reach it wait. */
  zeroingFrom: number | null = null
  zeroing: Promise<void> | null = null
  /** Written since the last fdatasync was issued. */
  dirty = false
  file: Promise<DiskFile> | null = null
  users = 0
  /** Trimmed or cut away: it must not be opened, and so made, again. */
  retired = false
  /** Set while somebody waits for the last user. */
  onIdle: (() => void) | null = null

  constructor(firstPosition: number, path: string) {
    this.firstPosition = firstPosition
    this.path = path
  }
}

/** The segments, one behind the other without a gap. */
export class Segments {
  readonly list: Segment[] = []
  readonly segmentBytes: number
  readonly disk: Disk
  readonly directory: string
  /** Told when the spare became a segment. */
  onSpareTaken: () => void = () => {}
  #open = 0

  constructor(disk: Disk, directory: string, segmentBytes: number) {
    this.disk = disk
    this.directory = directory
    this.segmentBytes = segmentBytes
  }

  pathOf(firstPosition: number): string {
    return joinPath(this.directory, fileName(firstPosition))
  }

  /** The segment that holds `position`, or null. */
  at(position: number): Segment | null {
    const first = this.list[0]
    if (first === undefined || position < first.firstPosition) return null
    return this.list[Math.floor((position - first.firstPosition) / this.segmentBytes)] ?? null
  }

  last(): Segment {
    return this.list.at(-1) as Segment
  }

  /** The last segment whose first entry has at most this index; the first one when none has. */
  ofIndex(index: number): Segment {
    let low = 0
    let high = this.list.length - 1
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2)
      const first = this.list[middle]!.firstIndex
      if (first !== 0 && first <= index) low = middle
      else high = middle - 1
    }
    return this.list[low]!
  }

  next(segment: Segment): Segment | null {
    return this.at(segment.firstPosition + this.segmentBytes)
  }

  /** The open file; give it back with `release`, so that idle ones can be closed. */
  async acquire(segment: Segment): Promise<DiskFile> {
    if (segment.retired) throw new Error(`${segment.path} is no part of the log any more`)
    segment.users += 1
    if (segment.file === null) {
      this.#open += 1
      segment.file = this.disk.open(segment.path, { create: true })
    }
    try {
      return await segment.file
    } catch (error) {
      segment.users -= 1
      if (segment.file !== null) this.#open -= 1
      segment.file = null
      throw error
    }
  }

  release(segment: Segment): void {
    segment.users -= 1
    if (segment.users === 0) segment.onIdle?.()
    if (this.#open > OPEN_FILES_MAX) this.#closeIdle()
  }

  #closeIdle(): void {
    for (const segment of this.list) {
      if (this.#open <= OPEN_FILES_MAX) return
      if (segment.users === 0 && !segment.dirty && segment !== this.last()) {
        this.closeFile(segment).catch(() => {}) // only read from since its last fdatasync
      }
    }
  }

  async closeFile(segment: Segment): Promise<void> {
    while (segment.users > 0) {
      await new Promise<void>(resolve => {
        segment.onIdle = resolve
      })
    }
    const file = segment.file
    if (file === null) return
    segment.file = null
    this.#open -= 1
    await (await file).close()
  }

  /**
   * Appends the next segment: the spare if there is one, else an empty file; it is in the directory for good when this
   * resolves (raft.md 4.4: "segment in use").
   */
  async grow(): Promise<Segment> {
    const previous = this.list.at(-1)
    const firstPosition = previous === undefined ? 0 : previous.firstPosition + this.segmentBytes
    const segment = new Segment(firstPosition, this.pathOf(firstPosition))
    const spare = joinPath(this.directory, SPARE_NAME)
    if (await this.disk.exists(spare)) {
      await this.disk.rename(spare, segment.path)
      this.onSpareTaken()
    }
    const file = await this.acquire(segment)
    try {
      await this.disk.syncDirectory(this.directory)
      segment.preparedBytes = await file.size()
    } finally {
      this.release(segment)
    }
    this.list.push(segment)
    return segment
  }

  /** Appends segments until one holds `position`. */
  async growTo(position: number): Promise<void> {
    while (this.last().firstPosition + this.segmentBytes <= position) await this.grow()
  }

  infos(endPosition: number): SegmentInfo[] {
    return this.list.map((segment, i) => {
      const sealed = i < this.list.length - 1
      const used = Math.max(endPosition - segment.firstPosition, 0)
      return {
        firstPosition: segment.firstPosition,
        bytes: sealed ? this.segmentBytes : Math.min(used, this.segmentBytes),
        firstIndex: segment.firstIndex,
        lastTimeMs: segment.lastTimeMs,
        sealed
      }
    })
  }

  async read(segment: Segment, target: Buffer, length: number, inSegment: number): Promise<number> {
    const file = await this.acquire(segment)
    try {
      return await file.read(target, 0, length, inSegment)
    } finally {
      this.release(segment)
    }
  }

  /** Durably, where everything behind the bytes is zero. An append may leave zeros in a whole block, which must not reach beyond the segment. */
  append(file: DiskFile, buffers: readonly Buffer[], inSegment: number): Promise<void> {
    const fits = this.segmentBytes % APPEND_BLOCK_BYTES === 0
    return fits ? file.appendDurably(buffers, inSegment) : file.writeDurably(buffers, inSegment)
  }

  /** The last segment is to be deleted; nobody has it open any more when this resolves. */
  async retireLast(): Promise<void> {
    const segment = this.last()
    if (segment.zeroing !== null) await segment.zeroing
    segment.retired = true
    await this.closeFile(segment)
    await this.disk.remove(segment.path)
    this.list.pop()
  }

  /** Deletes the segments below `position`, except those that `recycle` takes. */
  async dropBelow(position: number, recycle: (path: string) => Promise<boolean>): Promise<void> {
    while (this.list[0]!.firstPosition < position) {
      const segment = this.list.shift() as Segment
      segment.retired = true
      await this.closeFile(segment)
      if (!(await recycle(segment.path))) await this.disk.remove(segment.path)
    }
    await this.disk.syncDirectory(this.directory)
  }

  async closeAll(): Promise<void> {
    for (const segment of this.list) await this.closeFile(segment)
  }
}
