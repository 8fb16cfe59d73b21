import { collectedBlocks } from '../../platform/index.ts'
import { type KnownConfigurations, storedConfiguration } from './configurations.ts'
import { mustContinue } from './continuity.ts'
import { type Entry, EntryKind, entryHeaderCrc } from './entry.ts'
import { LogError, LogFailedError } from './errors.ts'
import type { StoredState } from './hardState.ts'
import type { IndexFile } from './indexFile.ts'
import { type LogFiles, type LogParts, logDefaults, logStatistics } from './logParts.ts'
import { Preparer } from './preparer.ts'
import { withPreviousEnd } from './previousEnd.ts'
import { EntryReader } from './reader.ts'
import { Repairer } from './repairer.ts'
import type { Segment, Segments } from './segments.ts'
import { Shipping } from './shipping.ts'
import { type CutOperation, StorageQueue } from './storageQueue.ts'
import { endOf, type TailCache } from './tailCache.ts'
import { TermMap } from './termMap.ts'
import type {
  Fault,
  HardState,
  HardStatePatch,
  LogListener,
  LogOptions,
  LogStatistics,
  RaftLog,
  Recovery,
  SegmentInfo,
  SizeOf,
  VerifiedRange,
  WriteDone
} from './types.ts'
import { verifyRange } from './verify.ts'
import { WatermarkSaver } from './watermark.ts'

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
  /** As the start found them. */
  known: KnownConfigurations = { inLog: [], lost: [] }
  readonly #files: LogFiles
  /** For the reader: how often the log was cut. */
  cuts = 0
  readonly #options: LogOptions
  readonly #queue: StorageQueue
  readonly #reader: EntryReader
  readonly #preparer: Preparer
  readonly #repairer: Repairer
  readonly terms: TermMap
  readonly shipping: Shipping
  #listener: LogListener | null = null
  #released: number
  /** Entries up to here were handed to the index. */
  #indexed: number
  readonly #watermark: WatermarkSaver
  #failure: Error | null = null
  #closed = false
  #newestSegment: Segment
  #trims: Promise<unknown> = Promise.resolve()

  constructor(options: LogOptions, parts: LogParts) {
    this.#options = options
    this.recovery = parts.recovery
    this.segmentFiles = parts.segments
    this.index = parts.index
    this.tail = parts.tail
    this.tail.blocks = options.blocks ?? collectedBlocks
    this.#files = parts
    this.faults = parts.faults
    this.#newestSegment = parts.segments.last()
    this.terms = new TermMap(parts.recovery.terms)
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
    this.#released = this.hardState.start.index
    this.committedPosition = endOf(
      parts.tail.meta(Math.max(this.commitIndex, parts.tail.base.index))
    )
    this.#queue = new StorageQueue(
      {
        clock: options.clock,
        segments: parts.segments,
        acknowledged: parts.acknowledged,
        flushMode: options.flushMode,
        flushIntervalMs: options.flushIntervalMs,
        end: this.endPosition
      },
      {
        written: done => this.#written(done),
        synced: index => this.#synced(index),
        diskFull: full => this.#diskFull(full),
        failed: (operation, error) => this.fail(operation, error),
        progressed: () => this.#progressed(),
        beforeWrite: () =>
          this.#files.configurations.dirty ? this.#files.configurations.save() : null,
        beforeCut: operation => this.#beforeCut(operation)
      }
    )
    const watermarkMs = options.watermarkIntervalMs ?? logDefaults.watermarkIntervalMs
    this.#watermark = new WatermarkSaver(options.clock, parts.hardState, watermarkMs)
    this.#reader = new EntryReader(this, options.readCacheBytes ?? logDefaults.readCacheBytes)
    this.shipping = new Shipping(parts.segments, this.#reader)
    this.#repairer = new Repairer(this, this.#reader, options.clock, options.logger)
    this.#preparer = new Preparer(
      { ...logDefaults.prepare, ...options.prepare },
      parts.segments,
      options.clock,
      options.logger,
      () => this.endPosition,
      options.flushMode === 'sync'
    )
    parts.index.onFailure = error => this.fail('write', error)
    parts.index.onWritten = () => this.#evict()
    parts.hardState.onFailure = error => this.fail('hardState', error)
    this.#preparer.poke()
  }

  get hardState(): HardState {
    return this.#files.hardState.state as StoredState
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
    this.mustWork()
    await this.#files.hardState.update({ ...patch, commit: this.#commitOnDisk })
  }

  async markWhole(): Promise<void> {
    this.mustWork()
    if (this.faults.size > 0) {
      throw new LogError(
        'LMQ_LOG_REPAIR',
        `${this.faults.size} entries are damaged, the first is ${[...this.faults.keys()].sort((a, b) => a - b)[0]}`
      )
    }
    await this.#files.hardState.update({ recovering: false, bootId: this.#options.bootId })
  }

  append(entries: readonly Entry[], writeSeq: number): void {
    this.mustWork()
    this.#files.configurations.entriesCome()
    const { segmentBytes } = this.#options
    for (const entry of entries) {
      mustContinue(entry, this, segmentBytes)
      this.tail.push(entry)
      this.terms.append(entry.index, entry.term)
      this.lastIndex = entry.index
      this.lastTerm = entry.term
      this.lastHeaderCrc = entryHeaderCrc(entry.bytes)
      this.lastTimeMs = entry.timeMs
      this.endPosition = entry.position + entry.bytes.length
      if (entry.kind === EntryKind.configuration)
        this.#files.configurations.add(storedConfiguration(entry), this.commitIndex)
    }
    if (entries.length > 0) this.#queue.write(entries, writeSeq)
  }

  cut(fromIndex: number, writeSeq: number, forgets = false): void {
    this.mustWork()
    if (fromIndex <= this.commitIndex || fromIndex > this.lastIndex) {
      // R-L4: what is committed is never cut.
      throw new Error(
        `the log cannot be cut from ${fromIndex}: it is committed up to ${this.commitIndex} and ends with ${this.lastIndex}`
      )
    }
    const last = this.tail.meta(fromIndex - 1)
    const positions = this.tail.positions(fromIndex)
    this.tail.cut(fromIndex)
    this.terms.cut(fromIndex)
    if (!forgets) this.#files.configurations.cut(fromIndex)
    for (const index of this.faults.keys()) if (index >= fromIndex) this.faults.delete(index)
    this.#reader.forget(positions[0])
    this.#repairer.waits.changed()
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
      positions,
      forgets
    })
  }

  /**
   * What may be remembered as committed: the hard state overtakes the data (R-D1), and entries that a cut is about to
   * replace still lie there. A higher index would make a restart take those for the committed ones.
   */
  get #commitOnDisk(): number {
    return Math.min(this.commitIndex, this.writtenIndex)
  }

  commitTo(index: number): void {
    if (index > this.lastIndex) {
      throw new Error(`commit index ${index} is beyond the last entry ${this.lastIndex}`)
    }
    if (index <= this.commitIndex) return
    this.commitIndex = index
    this.committedPosition = endOf(this.tail.meta(index))
    this.#watermark.moved(this.syncedIndex, this.#commitOnDisk)
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

  recentEntries(fromIndex: number, maxBytes: number): Entry[] | null {
    return this.tail.entriesFrom(fromIndex, maxBytes)
  }

  async readEntries(fromIndex: number, maxBytes: number): Promise<Entry[]> {
    if (fromIndex > this.lastIndex) return []
    const recent = this.recentEntries(fromIndex, maxBytes)
    if (recent !== null) {
      for (const { bytes } of recent) this.tail.blocks.keep(bytes)
      return recent
    }
    this.mustBeOpen()
    return [...(await this.#reader.entriesFrom(fromIndex, maxBytes))]
  }

  termAt(index: number): number | null {
    const { start } = this.hardState
    if (index === start.index) return start.term
    if (index < start.index || index > this.lastIndex) return 0
    return this.faults.get(index)?.term === null ? null : this.terms.at(index)
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

  peek(position: number, lengthBytes: number, hold = false): Buffer | null {
    return this.#reader.peek(position, lengthBytes, hold)
  }

  read(position: number, lengthBytes: number, hold = false): Promise<Buffer> {
    return this.#reader.bytes(position, lengthBytes, hold)
  }

  readSized(position: number, headBytes: number, sizeOf: SizeOf): Promise<Buffer> {
    return this.#reader.sizedBytes(position, headBytes, sizeOf)
  }

  patiently<T>(read: () => Promise<T>, patienceMs: number): Promise<T> {
    return this.#repairer.waits.patiently(read, patienceMs)
  }

  async indexAt(position: number): Promise<number> {
    this.mustBeOpen()
    return (await this.#reader.placeAt(position)).index
  }

  verify(
    fromIndex: number,
    maxBytes: number,
    visit: (entries: readonly Entry[]) => void = () => {}
  ): Promise<VerifiedRange> {
    this.mustBeOpen()
    return verifyRange(this, this.#reader, { fromIndex, maxBytes, visit })
  }

  writeRepair(index: number, bytes: Buffer): Promise<void> {
    return this.#repairer.write(index, bytes)
  }

  trimPrefix(index: number, position: number): Promise<void> {
    const trim = this.#trims.then(() => this.#trim(index, position))
    this.#trims = trim.catch(() => {})
    return trim
  }

  async #trim(index: number, position: number): Promise<void> {
    this.mustWork()
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
    await this.#files.hardState.update({
      start: { index: index - 1, term, headerCrc, position },
      commit: this.#commitOnDisk
    })
    for (const fault of this.faults.keys()) if (fault < index) this.faults.delete(fault)
    this.tail.trim(index)
    this.terms.trim(index)
    this.#reader.forget()
    this.#repairer.waits.changed()
    await this.segmentFiles.dropBelow(position, path => this.#preparer.recycle(path))
    await this.index.trimBefore(index)
  }

  segments(): SegmentInfo[] {
    return this.segmentFiles.infos(this.endPosition)
  }

  statistics(): LogStatistics {
    return logStatistics(this.#queue, this.#files.hardState, this.tail)
  }

  oldestOperationMs(): number {
    return Math.max(this.#queue.oldestMs(), this.#files.hardState.latency.runningMs())
  }

  async close(options: { orderly: boolean }): Promise<void> {
    if (this.#closed) return
    const orderly = options.orderly && this.#failure === null
    if (orderly) await this.#queue.drain()
    this.#closed = true
    this.#queue.stop()
    this.#watermark.stop()
    this.#repairer.waits.close()
    await this.#queue.settle()
    await Promise.all([this.#repairer.settle(), this.#trims, this.#preparer.stop()])
    try {
      if (orderly && this.#failure === null) await this.#saveOrderly()
    } catch (error) {
      // R-D8, at the last moment: what failed may be gone from the page cache.
      this.#options.logger.error('The stop is not an orderly one: the disk failed', {
        error: (error as Error).message
      })
      await this.#files.hardState.update({ bootId: '' }).catch(() => {}) // it may be the same disk
    } finally {
      const { hardState, configurations, acknowledged } = this.#files
      const files = [this.index, hardState, configurations, acknowledged]
      const closing = [this.segmentFiles.closeAll(), ...files.map(file => file.close())]
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
    await this.#files.hardState.update({
      watermark: this.syncedIndex,
      commit: this.#commitOnDisk,
      clean: everything && whole
    })
  }

  #written(done: WriteDone): void {
    // A cut may have made it shorter since it was issued.
    if (done.lastIndex > this.writtenIndex) {
      this.writtenIndex = done.lastIndex
      this.#watermark.moved(this.syncedIndex, this.#commitOnDisk)
    }
    for (let index = this.#indexed + 1; index <= done.lastIndex; index++) {
      this.index.add(index, this.tail.unit(index))
      this.#indexed = index
    }
    this.#listener?.written(done)
  }

  #synced(index: number): void {
    if (index > this.syncedIndex) this.syncedIndex = index
    this.#watermark.moved(this.syncedIndex, this.#commitOnDisk)
    this.#listener?.synced(this.syncedIndex)
  }

  async #beforeCut(operation: CutOperation): Promise<void> {
    // A repair that began before the cut must not bring its entry back behind it.
    await this.#repairer.settle()
    await this.#watermark.beforeCut(operation.fromIndex, operation.forgets)
    await this.index.zeroFrom(operation.fromIndex)
  }

  #progressed(): void {
    const newest = this.segmentFiles.last()
    if (newest !== this.#newestSegment) {
      this.#newestSegment = newest
      // So that a power loss does not make the next start read whole segments for lost units.
      this.index.sync().catch(error => this.index.onFailure(error as Error))
    }
    this.#evict()
    this.#preparer.poke()
  }

  #evict(): void {
    // Units of entries that were cut may still count as written; what came instead is not indexed yet.
    this.tail.evict(Math.min(this.#released, this.index.writtenIndex, this.#indexed))
  }

  #diskFull(full: boolean): void {
    if (full) this.#options.logger.error('The disk is full: writing waits until there is space')
    else this.#options.logger.info('The disk has space again')
    this.#listener?.diskFull(full)
  }

  /** For the reader. */
  damaged(found: Fault): void {
    const fault = withPreviousEnd(found, this.tail, this.faults)
    this.faults.set(fault.index, fault)
    this.#options.logger.error('An entry is damaged', { ...fault })
    this.#listener?.damaged(fault)
  }

  /** R-D8: nothing is written any more, and the next start trusts no page that is only in the cache. */
  fail(operation: 'write' | 'sync' | 'hardState' | 'cut', error: Error): void {
    if (this.#failure !== null || this.#closed) return
    this.#failure = error
    this.#watermark.stop()
    this.#queue.stop()
    this.#options.logger.error('The disk failed: the log takes nothing any more', {
      operation,
      error: error.message
    })
    this.#files.hardState.update({ bootId: '' }).catch(() => {}) // it may be the same disk
    this.#listener?.failed(operation, error)
  }

  /** Throws when the log is closed or has failed. */
  mustWork(): void {
    this.mustBeOpen()
    if (this.#failure !== null) throw new LogFailedError(this.#failure)
  }

  mustBeOpen(): void {
    if (this.#closed) throw new LogError('LMQ_LOG_CLOSED', 'the log is closed')
  }
}
