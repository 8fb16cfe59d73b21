import type { Timer } from '../../platform/index.ts'
import {
  type Entry,
  entryBodyCrc,
  entryBytesMax,
  entryHeaderCrc,
  entryIndex,
  entryIsSound,
  entryPosition,
  entryPrevCrc,
  entryTerm,
  positionAfter
} from './entry.ts'
import { LogError, LogFailedError, RepairError } from './errors.ts'
import type { HardStateFile, StoredState } from './hardState.ts'
import type { IndexFile } from './indexFile.ts'
import { Preparer } from './preparer.ts'
import { EntryReader } from './reader.ts'
import type { Segment, Segments } from './segments.ts'
import { type CutOperation, StorageQueue } from './storageQueue.ts'
import type { EntryMeta, TailCache } from './tailCache.ts'
import { TermMap } from './termMap.ts'
import type {
  Fault,
  HardState,
  HardStatePatch,
  LogListener,
  LogOptions,
  LogStatistics,
  PrepareOptions,
  RaftLog,
  Recovery,
  SegmentInfo,
  WriteDone
} from './types.ts'

const WATERMARK_INTERVAL_MS = 100
const READ_CACHE_BYTES = 16 * 1024 * 1024
const PREPARE: PrepareOptions = {
  aheadBytes: 64 * 1024 * 1024,
  bytesPerSecond: 128 * 1024 * 1024,
  spare: true
}

export interface LogParts {
  readonly recovery: Recovery
  readonly hardState: HardStateFile
  readonly segments: Segments
  readonly index: IndexFile
  readonly tail: TailCache
  readonly faults: Map<number, Fault>
}

/** The log as recovery left it. `openLog` makes it. */
export class DiskLog implements RaftLog {
  readonly recovery: Recovery
  readonly faults: Map<number, Fault>
  readonly segmentFiles: Segments
  readonly index: IndexFile
  readonly tail: TailCache
  lastIndex: number
  lastTerm: number
  lastHeaderCrc: number
  lastTimeMs: number
  endPosition: number
  committedPosition: number
  writtenIndex: number
  syncedIndex: number
  /** Invariant: released <= commitIndex <= lastIndex. Neither falls. */
  commitIndex: number
  /** For the reader: how often the log was cut. */
  cuts = 0
  readonly #options: LogOptions
  readonly #hardState: HardStateFile
  readonly #queue: StorageQueue
  readonly #reader: EntryReader
  readonly #preparer: Preparer
  readonly #terms: TermMap
  #listener: LogListener | null = null
  #released: number
  /** Entries up to here were handed to the index. */
  #indexed: number
  #savedCommit: number
  #watermarkTimer: Timer | null = null
  #failure: Error | null = null
  #closed = false
  #repairs: Promise<unknown> = Promise.resolve()
  #trims: Promise<unknown> = Promise.resolve()

  constructor(options: LogOptions, parts: LogParts) {
    this.#options = options
    this.recovery = parts.recovery
    this.#hardState = parts.hardState
    this.segmentFiles = parts.segments
    this.index = parts.index
    this.tail = parts.tail
    this.faults = parts.faults
    this.#terms = new TermMap(parts.recovery.terms)
    const last = parts.tail.meta(parts.tail.last)
    this.lastIndex = last.index
    this.lastTerm = last.term
    this.lastHeaderCrc = last.headerCrc
    this.lastTimeMs = last.timeMs
    this.endPosition = last.position + last.sizeBytes
    this.writtenIndex = last.index
    this.syncedIndex = last.index
    this.#indexed = last.index
    this.commitIndex = Math.max(parts.recovery.commit, this.hardState.start.index)
    this.#savedCommit = this.commitIndex
    this.#released = this.hardState.start.index
    this.committedPosition = endOf(
      parts.tail.meta(Math.max(this.commitIndex, parts.tail.base.index))
    )
    this.#queue = new StorageQueue(
      {
        clock: options.clock,
        segments: parts.segments,
        flushMode: options.flushMode,
        flushIntervalMs: options.flushIntervalMs,
        end: this.endPosition
      },
      {
        written: done => this.#written(done),
        synced: index => this.#synced(index),
        diskFull: full => this.#diskFull(full),
        failed: (operation, error) => this.#fail(operation, error),
        progressed: () => this.#progressed(),
        beforeCut: operation => this.#beforeCut(operation)
      }
    )
    this.#reader = new EntryReader(this, options.readCacheBytes ?? READ_CACHE_BYTES)
    this.#preparer = new Preparer(
      { ...PREPARE, ...options.prepare },
      parts.segments,
      options.clock,
      options.logger,
      () => this.endPosition
    )
    parts.index.onFailure = error => {
      this.#queue.stop()
      this.#fail('write', error)
    }
    parts.index.onWritten = () => this.#evict()
    parts.hardState.onFailure = error => {
      this.#queue.stop()
      this.#fail('hardState', error)
    }
    this.#preparer.poke()
  }

  get hardState(): HardState {
    return this.#hardState.state as StoredState
  }
  get firstIndex(): number {
    return this.hardState.start.index + 1
  }
  get startPosition(): number {
    return this.hardState.start.position
  }
  get queuedBytes(): number {
    return this.#queue.queuedBytes
  }

  listen(listener: LogListener): void {
    this.#listener = listener
  }

  async saveHardState(patch: HardStatePatch): Promise<void> {
    this.#mustWork()
    await this.#hardState.update({ ...patch, commit: this.commitIndex })
  }

  async markWhole(): Promise<void> {
    this.#mustWork()
    if (this.faults.size > 0) {
      throw new LogError(
        'LMQ_LOG_REPAIR',
        `${this.faults.size} entries are damaged, the first is ${[...this.faults.keys()].sort((a, b) => a - b)[0]}`
      )
    }
    await this.#hardState.update({ recovering: false, bootId: this.#options.bootId })
  }

  append(entries: readonly Entry[], writeSeq: number): void {
    this.#mustWork()
    const { segmentBytes } = this.#options
    for (const entry of entries) {
      const { bytes } = entry
      const expected = positionAfter(this.endPosition, bytes.length, segmentBytes)
      if (entry.index !== this.lastIndex + 1) {
        throw new Error(`entry ${entry.index} does not follow ${this.lastIndex}`)
      }
      if (entry.position !== expected || bytes.length > entryBytesMax(segmentBytes)) {
        throw new Error(
          `entry ${entry.index} of ${bytes.length} bytes stands at ${entry.position}, it belongs to ${expected}`
        )
      }
      if (entryPrevCrc(bytes) !== this.lastHeaderCrc || entry.term < this.lastTerm) {
        throw new Error(
          `entry ${entry.index} of term ${entry.term} does not continue the chain of ${this.lastIndex} of term ${this.lastTerm}`
        )
      }
      this.tail.push(entry)
      this.#terms.append(entry.index, entry.term)
      this.lastIndex = entry.index
      this.lastTerm = entry.term
      this.lastHeaderCrc = entryHeaderCrc(bytes)
      this.lastTimeMs = entry.timeMs
      this.endPosition = entry.position + bytes.length
    }
    if (entries.length > 0) this.#queue.write(entries, writeSeq)
  }

  cut(fromIndex: number, writeSeq: number): void {
    this.#mustWork()
    if (fromIndex <= this.commitIndex || fromIndex > this.lastIndex) {
      // R-L4: what is committed is never cut.
      throw new Error(
        `the log cannot be cut from ${fromIndex}: it is committed up to ${this.commitIndex} and ends with ${this.lastIndex}`
      )
    }
    const last = this.tail.meta(fromIndex - 1)
    const positions: number[] = []
    for (let index = fromIndex; index <= this.lastIndex; index++) {
      positions.push(this.tail.meta(index).position)
    }
    this.tail.cut(fromIndex)
    this.#terms.cut(fromIndex)
    for (const index of this.faults.keys()) if (index >= fromIndex) this.faults.delete(index)
    this.#reader.forget(positions[0])
    this.cuts += 1
    this.lastIndex = last.index
    this.lastTerm = last.term
    this.lastHeaderCrc = last.headerCrc
    // Places that come from index units know no time; it never falls anyway.
    if (last.timeMs !== 0) this.lastTimeMs = last.timeMs
    this.endPosition = endOf(last)
    this.writtenIndex = Math.min(this.writtenIndex, last.index)
    this.syncedIndex = Math.min(this.syncedIndex, last.index)
    this.#indexed = Math.min(this.#indexed, last.index)
    this.#queue.cut({
      kind: 'cut',
      fromIndex,
      writeSeq,
      lastTerm: last.term,
      end: this.endPosition,
      positions
    })
  }

  commitTo(index: number): void {
    if (index > this.lastIndex) {
      throw new Error(`commit index ${index} is beyond the last entry ${this.lastIndex}`)
    }
    if (index <= this.commitIndex) return
    this.commitIndex = index
    this.committedPosition = endOf(this.tail.meta(index))
    this.#armWatermark()
  }

  release(index: number): void {
    if (index > this.commitIndex) {
      throw new Error(`entry ${index} is released, committed is ${this.commitIndex}`)
    }
    if (index <= this.#released) return
    this.#released = index
    this.#evict()
  }

  entryAt(index: number): Entry | null {
    return this.tail.entry(index)
  }

  entryAtPosition(position: number): Entry | null {
    if (position >= this.endPosition) return null
    const entry = this.tail.entry(this.tail.indexAt(position))
    return entry !== null && position < entry.position + entry.bytes.length ? entry : null
  }

  recentEntries(fromIndex: number, maxBytes: number): Entry[] | null {
    const first = this.tail.entry(fromIndex)
    if (first === null) return null
    const entries = [first]
    let bytes = first.bytes.length
    for (let index = fromIndex + 1; index <= this.lastIndex; index++) {
      const entry = this.tail.entry(index)
      if (entry === null || bytes + entry.bytes.length > maxBytes) break
      bytes += entry.bytes.length
      entries.push(entry)
    }
    return entries
  }

  async readEntries(fromIndex: number, maxBytes: number): Promise<Entry[]> {
    if (fromIndex > this.lastIndex) return []
    const recent = this.recentEntries(fromIndex, maxBytes)
    if (recent !== null) return recent
    this.#mustBeOpen()
    return [...(await this.#reader.entriesFrom(fromIndex, maxBytes))]
  }

  termAt(index: number): number | null {
    const { start } = this.hardState
    if (index === start.index) return start.term
    if (index < start.index || index > this.lastIndex) return 0
    return this.faults.get(index)?.term === null ? null : this.#terms.at(index)
  }

  async headerCrcAt(index: number): Promise<number | null> {
    const { start } = this.hardState
    if (index === start.index) return start.headerCrc
    if (index < start.index || index > this.lastIndex) return null
    const fault = this.faults.get(index)
    if (fault !== undefined) return fault.headerCrc
    try {
      return (await this.#reader.place(index)).headerCrc
    } catch (error) {
      if (error instanceof LogError) return null
      throw error
    }
  }

  peek(position: number, lengthBytes: number): Buffer | null {
    const entry = this.entryAtPosition(position) ?? this.#reader.cachedAt(position)
    return entry === null ? null : slice(entry, position, lengthBytes)
  }

  async read(position: number, lengthBytes: number): Promise<Buffer> {
    const recent = this.entryAtPosition(position)
    if (recent !== null) return slice(recent, position, lengthBytes)
    this.#mustBeOpen()
    return slice(await this.#reader.entryAt(position), position, lengthBytes)
  }

  writeRepair(index: number, bytes: Buffer): Promise<void> {
    const repair = this.#repairs.then(() => this.#repair(index, bytes))
    this.#repairs = repair.catch(() => {})
    return repair
  }

  async #repair(index: number, bytes: Buffer): Promise<void> {
    this.#mustWork()
    const fault = this.faults.get(index)
    if (fault === undefined) throw new RepairError(index, 'it is not damaged')
    await this.#mustBe(fault, bytes)
    const position = entryPosition(bytes)
    const segment = this.segmentFiles.at(position) as Segment
    const file = await this.segmentFiles.acquire(segment)
    try {
      await file.write([bytes], position - segment.firstPosition)
      await file.datasync()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') {
        this.#queue.stop()
        this.#fail('write', error as Error)
      }
      throw error
    } finally {
      this.segmentFiles.release(segment)
    }
    if (this.faults.get(index) !== fault) return // cut meanwhile
    const meta: EntryMeta = {
      index,
      term: entryTerm(bytes),
      position,
      sizeBytes: bytes.length,
      headerCrc: entryHeaderCrc(bytes),
      timeMs: 0
    }
    await this.index.rewrite(index, { ...meta, bodyCrc: entryBodyCrc(bytes) })
    this.faults.delete(index)
    this.tail.replaceMeta(meta)
    this.#terms.correct(index, meta.term)
    if (position === segment.firstPosition) segment.firstIndex = index
    const before = this.faults.get(index - 1)
    if (before?.headerCrc === null) {
      this.faults.set(index - 1, { ...before, headerCrc: entryPrevCrc(bytes) })
    }
    this.#options.logger.info('A damaged entry was repaired', {
      index,
      position,
      left: this.faults.size
    })
  }

  /** Throws unless `bytes` are the entry that is missing. */
  async #mustBe(fault: Fault, bytes: Buffer): Promise<void> {
    const { index } = fault
    if (!entryIsSound(bytes) || entryIndex(bytes) !== index) {
      throw new RepairError(index, 'they are not a sound entry of that index')
    }
    const headerCrc = entryHeaderCrc(bytes)
    if (fault.headerCrc !== null && headerCrc !== fault.headerCrc) {
      throw new RepairError(index, `its header has CRC ${fault.headerCrc}, theirs ${headerCrc}`)
    }
    const position = entryPosition(bytes)
    const end = position + bytes.length
    const room = await this.#roomOf(index)
    const fits = positionAfter(position, bytes.length, this.#options.segmentBytes) === position
    if (!fits || position < room.from || end > room.to || this.segmentFiles.at(position) === null) {
      throw new RepairError(
        index,
        `they go from ${position} to ${end}, free is ${room.from} to ${room.to}`
      )
    }
    const prevCrc = this.faults.has(index - 1) ? null : await this.headerCrcAt(index - 1)
    if (prevCrc !== null && prevCrc !== entryPrevCrc(bytes)) {
      throw new RepairError(index, `they do not continue entry ${index - 1}`)
    }
  }

  /** Between the nearest entries before and behind that are whole. */
  async #roomOf(index: number): Promise<{ from: number; to: number }> {
    let before = index - 1
    while (this.faults.has(before)) before -= 1
    let behind = index + 1
    while (this.faults.has(behind)) behind += 1
    const from =
      before < this.firstIndex
        ? this.startPosition
        : await this.#reader.place(before).then(place => place.position + place.sizeBytes)
    const to =
      behind > this.lastIndex ? this.endPosition : (await this.#reader.place(behind)).position
    return { from, to }
  }

  trimPrefix(index: number, position: number): Promise<void> {
    const trim = this.#trims.then(() => this.#trim(index, position))
    this.#trims = trim.catch(() => {})
    return trim
  }

  async #trim(index: number, position: number): Promise<void> {
    this.#mustWork()
    if (index <= this.firstIndex) return
    const keep = this.segmentFiles.at(position)
    if (keep === null || keep.firstPosition !== position || keep.firstIndex !== index) {
      throw new Error(`no segment begins with entry ${index} at ${position}`)
    }
    if (index - 1 > this.#released) {
      throw new Error(`entry ${index - 1} cannot be trimmed: released is ${this.#released}`)
    }
    const headerCrc = (await this.headerCrcAt(index - 1)) ?? 0
    const term = this.termAt(index - 1) ?? 0
    await this.#hardState.update({
      start: { index: index - 1, term, headerCrc, position },
      commit: this.commitIndex
    })
    for (const fault of this.faults.keys()) if (fault < index) this.faults.delete(fault)
    this.tail.trim(index)
    this.#terms.trim(index)
    this.#reader.forget()
    const { disk, directory, list } = this.segmentFiles
    while (list[0]!.firstPosition < position) {
      const segment = list.shift() as Segment
      await this.segmentFiles.closeFile(segment)
      if (!(await this.#preparer.recycle(segment.path))) await disk.remove(segment.path)
    }
    await disk.syncDirectory(directory)
    await this.index.trimBefore(index)
    this.#options.logger.info('Trimmed the log', { firstIndex: index, startPosition: position })
  }

  segments(): SegmentInfo[] {
    const { list, segmentBytes } = this.segmentFiles
    return list.map((segment, i) => {
      const sealed = i < list.length - 1
      const used = this.endPosition - segment.firstPosition
      return {
        firstPosition: segment.firstPosition,
        bytes: sealed ? segmentBytes : Math.min(Math.max(used, 0), segmentBytes),
        firstIndex: segment.firstIndex,
        lastTimeMs: segment.lastTimeMs,
        sealed
      }
    })
  }

  statistics(): LogStatistics {
    return {
      writes: this.#queue.writes.summary(),
      syncs: this.#queue.syncs.summary(),
      hardStateSaves: this.#hardState.latency.summary(),
      bytesWritten: this.#queue.bytesWritten,
      entriesWritten: this.#queue.entriesWritten,
      cachedBytes: this.tail.bytes,
      cachedEntries: this.tail.entries,
      queuedBytes: this.#queue.queuedBytes
    }
  }

  oldestOperationMs(): number {
    return Math.max(this.#queue.oldestMs(), this.#hardState.latency.runningMs())
  }

  async close(options: { orderly: boolean }): Promise<void> {
    if (this.#closed) return
    const orderly = options.orderly && this.#failure === null
    if (orderly) await this.#queue.drain()
    this.#closed = true
    this.#queue.stop()
    this.#watermarkTimer?.cancel()
    await this.#queue.settle()
    await Promise.all([this.#repairs, this.#trims, this.#preparer.stop()])
    try {
      if (orderly && this.#failure === null) await this.#saveOrderly()
    } finally {
      const closing = [this.index.close(), this.segmentFiles.closeAll(), this.#hardState.close()]
      await Promise.all(closing.map(done => done.catch(() => {})))
    }
  }

  async #saveOrderly(): Promise<void> {
    await this.#queue.syncNow()
    await this.index.flush().catch(error => {
      this.#options.logger.warn('The index could not be written; it will be rebuilt', {
        error: String(error)
      })
    })
    await this.index.sync()
    const everything = this.syncedIndex === this.lastIndex
    const whole = this.faults.size === 0 && !this.hardState.recovering
    await this.#hardState.update({
      watermark: this.syncedIndex,
      commit: this.commitIndex,
      clean: everything && whole
    })
  }

  #written(done: WriteDone): void {
    // A cut may have made it shorter since it was issued.
    if (done.lastIndex > this.writtenIndex) this.writtenIndex = done.lastIndex
    for (let index = this.#indexed + 1; index <= done.lastIndex; index++) {
      const { position, term, sizeBytes, headerCrc } = this.tail.meta(index)
      this.index.add(index, {
        position,
        term,
        sizeBytes,
        headerCrc,
        bodyCrc: this.tail.bodyCrc(index)
      })
      this.#indexed = index
    }
    this.#listener?.written(done)
  }

  #synced(index: number): void {
    if (index > this.syncedIndex) this.syncedIndex = index
    this.#armWatermark()
    this.#listener?.synced(this.syncedIndex)
  }

  /** R-D3: at most one save in this time, and none while nothing moves. */
  #armWatermark(): void {
    if (this.#watermarkTimer !== null || this.#closed || this.#failure !== null) return
    const delayMs = this.#options.watermarkIntervalMs ?? WATERMARK_INTERVAL_MS
    this.#watermarkTimer = this.#options.clock.after(delayMs, () => {
      this.#watermarkTimer = null
      if (this.#closed || this.#failure !== null) return
      const moved =
        this.syncedIndex > this.hardState.watermark || this.commitIndex > this.#savedCommit
      if (!moved) return
      this.#savedCommit = this.commitIndex
      this.#hardState
        .update({
          watermark: Math.max(this.hardState.watermark, this.syncedIndex),
          commit: this.commitIndex
        })
        .catch(() => {}) // told by onFailure
    })
  }

  async #beforeCut(operation: CutOperation): Promise<void> {
    if (this.hardState.watermark >= operation.fromIndex) {
      await this.#hardState.update({ watermark: operation.fromIndex - 1 })
    }
    await this.index.zeroFrom(operation.fromIndex)
  }

  #progressed(): void {
    this.#evict()
    this.#preparer.poke()
  }

  #evict(): void {
    this.tail.evict(Math.min(this.#released, this.index.writtenIndex))
  }

  #diskFull(full: boolean): void {
    if (full) this.#options.logger.error('The disk is full: writing waits until there is space')
    else this.#options.logger.info('The disk has space again')
    this.#listener?.diskFull(full)
  }

  /** For the reader. */
  damaged(fault: Fault): void {
    this.faults.set(fault.index, fault)
    this.#options.logger.error('An entry is damaged', { ...fault })
    this.#listener?.damaged(fault)
  }

  /** R-D8: nothing is written any more, and the next start trusts no page that is only in the cache. */
  #fail(operation: 'write' | 'sync' | 'hardState' | 'cut', error: Error): void {
    if (this.#failure !== null || this.#closed) return
    this.#failure = error
    this.#options.logger.error('The disk failed: the log takes nothing any more', {
      operation,
      error: error.message
    })
    this.#hardState.update({ bootId: '' }).catch(() => {}) // it may be the same disk
    this.#listener?.failed(operation, error)
  }

  #mustWork(): void {
    this.#mustBeOpen()
    if (this.#failure !== null) throw new LogFailedError(this.#failure)
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new LogError('LMQ_LOG_CLOSED', 'the log is closed')
  }
}

function endOf(meta: EntryMeta): number {
  return meta.position + meta.sizeBytes
}

function slice(entry: Entry, position: number, lengthBytes: number): Buffer {
  const from = position - entry.position
  if (from + lengthBytes > entry.bytes.length) {
    throw new LogError(
      'LMQ_LOG_NOT_THERE',
      `${lengthBytes} bytes at ${position} go beyond entry ${entry.index}, which ends at ${entry.position + entry.bytes.length}`
    )
  }
  return entry.bytes.subarray(from, from + lengthBytes)
}
