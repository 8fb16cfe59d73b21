import type { Clock, DiskFile, Timer } from '../../platform/index.ts'
import type { AcknowledgedMark } from './acknowledgedMark.ts'
import { BLANK_HEADER_BYTES, BLANK_MAGIC, ENTRY_HEADER_BYTES, type Entry } from './entry.ts'
import { Latency } from './latency.ts'
import { isNoSpace, RETRY_NO_SPACE_MS } from './noSpace.ts'
import type { Segment, Segments } from './segments.ts'
import type { FlushMode, WriteDone } from './types.ts'

/** Entries that wait are written together up to this many bytes. */
const WRITE_BYTES_MAX = 8 * 1024 * 1024
const ZERO_CHUNK_BYTES = 1024 * 1024
const NO_HEADER = Buffer.alloc(ENTRY_HEADER_BYTES)

interface WriteOperation {
  readonly kind: 'write'
  entries: readonly Entry[]
  readonly writeSeq: number
}

export interface CutOperation {
  readonly kind: 'cut'
  readonly fromIndex: number
  readonly writeSeq: number
  /** Of the entry before `fromIndex`. */
  readonly lastTerm: number
  /** End of the entry before `fromIndex`. */
  readonly end: number
  /** Where the entries that are cut begin, in order. */
  readonly positions: readonly number[]
  /** The hard state is to say first that the node recovers (R-D6). */
  readonly forgets: boolean
}

/** What one write or sync will be the proof of; a cut moves it down. */
interface Claim {
  writeSeq: number
  lastIndex: number
  term: number
}

/** Pieces of one write that go to one segment. */
interface Group {
  readonly segmentPosition: number
  readonly at: number
  readonly buffers: Buffer[]
  bytes: number
}

export interface QueueOptions {
  readonly clock: Clock
  readonly segments: Segments
  readonly acknowledged: AcknowledgedMark
  readonly flushMode: FlushMode
  readonly flushIntervalMs: number
  /** End of what is on the disk when the queue starts. */
  readonly end: number
}

export interface QueueEvents {
  /** Durable under the flush mode. */
  written(done: WriteDone): void
  synced(index: number): void
  diskFull(full: boolean): void
  failed(operation: 'write' | 'sync' | 'cut', error: Error): void
  /** A write has returned. */
  progressed(): void
  /** What must be on the disk before the entries; null: nothing. */
  beforeWrite(): Promise<void> | null
  /** Before zeros are put over the entries: watermark and index units (R-L5). */
  beforeCut(operation: CutOperation): Promise<void>
}

/**
 * Everything that is written to the segments, in order: one write at a time, made of all that waits; cuts between them
 * (R-L5). For SYNC_FLUSH a write returns when it is on the disk: one hand-over to the thread pool instead of two. For
 * ASYNC_FLUSH one fdatasync at a time runs beside the writes (R-D4) and covers what had returned when it was issued.
 */
export class StorageQueue {
  readonly writes: Latency
  readonly syncs: Latency
  bytesWritten = 0
  entriesWritten = 0
  queuedBytes = 0
  readonly #o: QueueOptions
  readonly #events: QueueEvents
  #queue: (WriteOperation | CutOperation)[] = []
  /** Operations that the write under way is made of. */
  #current: WriteOperation[] = []
  #diskEnd: number
  #busy = false
  #cutting = false
  #stopped = false
  #running: Claim | null = null
  #unsynced: Claim | null = null
  #syncing: Claim | null = null
  #syncDone: Promise<void> | null = null
  #runDone: Promise<void> | null = null
  /** No byte from here on was ever handed to the disk, not even by a write that failed. */
  #touchedEnd: number
  #rolled = false
  #syncTimer: Timer | null = null
  #retry: { timer: Timer; wake: () => void } | null = null
  #full = false
  #drained: (() => void)[] = []

  constructor(options: QueueOptions, events: QueueEvents) {
    this.#o = options
    this.#events = events
    this.#diskEnd = options.end
    this.#touchedEnd = options.end
    this.writes = new Latency(options.clock)
    this.syncs = new Latency(options.clock)
  }

  write(entries: readonly Entry[], writeSeq: number): void {
    for (const entry of entries) this.queuedBytes += entry.bytes.length
    this.#queue.push({ kind: 'write', entries, writeSeq })
    this.#pump()
  }

  cut(operation: CutOperation): void {
    for (const waiting of this.#queue) {
      if (waiting.kind === 'write') this.#keepBelow(waiting, operation.fromIndex)
    }
    for (const claim of [this.#running, this.#unsynced, this.#syncing]) {
      if (claim === null || claim.lastIndex < operation.fromIndex) continue
      claim.lastIndex = operation.fromIndex - 1
      claim.term = operation.lastTerm
    }
    this.#queue.push(operation)
    this.#retry?.wake()
    this.#pump()
  }

  #keepBelow(operation: WriteOperation, fromIndex: number): void {
    const last = operation.entries.at(-1)
    if (last === undefined || last.index < fromIndex) return
    for (const entry of operation.entries) {
      if (entry.index >= fromIndex) this.queuedBytes -= entry.bytes.length
    }
    operation.entries = operation.entries.filter(entry => entry.index < fromIndex)
  }

  oldestMs(): number {
    return Math.max(this.writes.runningMs(), this.syncs.runningMs())
  }

  #pump(): void {
    if (this.#busy || this.#stopped) return
    const head = this.#queue[0]
    if (head === undefined) {
      if (this.#syncing === null) this.#tellDrained()
      return
    }
    this.#busy = true
    const run = head.kind === 'cut' ? this.#runCut(head) : this.#runWrites()
    this.#runDone = run
      .catch(error => this.#fail(head.kind, error as Error))
      .finally(() => {
        this.#busy = false
        this.#pump()
      })
  }

  #takeWrites(): void {
    let bytes = 0
    let count = 0
    for (const operation of this.#queue) {
      if (operation.kind === 'cut' || (count > 0 && bytes >= WRITE_BYTES_MAX)) break
      for (const entry of operation.entries) bytes += entry.bytes.length
      count += 1
    }
    const taken = this.#queue.splice(0, count)
    this.#current = taken.filter(operation => operation.kind === 'write')
  }

  async #runWrites(): Promise<void> {
    this.#takeWrites()
    const claim = await this.#withSpace(() => this.#writeCurrent())
    if (claim !== null) {
      const { acknowledged } = this.#o
      await this.#withSpace(async () => acknowledged.raise(claim.lastIndex))
      if (!this.#stopped) this.#returned(claim)
    }
    this.#running = null
    this.#current = []
  }

  /** Null: there is nothing left of it. */
  async #writeCurrent(): Promise<Claim | null> {
    // A write that is tried again leaves out what was cut while it waited.
    for (const later of this.#queue) {
      if (later.kind !== 'cut') continue
      for (const operation of this.#current) this.#keepBelow(operation, later.fromIndex)
    }
    const claim = this.#claimOf(this.#current)
    this.#running = claim
    if (claim === null) return null
    const before = this.#events.beforeWrite()
    if (before !== null) await before
    await this.#writeAll(this.#current)
    return claim
  }

  /** Tries again whenever there may be room; null: the queue was stopped meanwhile. */
  async #withSpace<T>(write: () => Promise<T>): Promise<T | null> {
    for (;;) {
      try {
        const result = await write()
        this.#setFull(false)
        return result
      } catch (error) {
        if (!isNoSpace(error)) throw error
      }
      this.#setFull(true)
      await this.#waitForSpace()
      if (this.#stopped) return null
    }
  }

  #claimOf(operations: readonly WriteOperation[]): Claim | null {
    for (let i = operations.length - 1; i >= 0; i--) {
      const last = operations[i]!.entries.at(-1)
      if (last === undefined) continue
      return { writeSeq: operations.at(-1)!.writeSeq, lastIndex: last.index, term: last.term }
    }
    return null
  }

  async #writeAll(operations: readonly WriteOperation[]): Promise<void> {
    const { segments } = this.#o
    const durably = this.#o.flushMode === 'sync'
    const groups = this.#groups(operations)
    this.#touchedEnd = Math.max(this.#touchedEnd, endOf(operations))
    for (const group of groups) {
      if (segments.at(group.segmentPosition) === null) {
        await segments.growTo(group.segmentPosition)
        this.#rolled = true
      }
      const segment = segments.at(group.segmentPosition) as Segment
      const end = group.at + group.bytes
      // The zeros that are being written ahead must not come down on these bytes.
      if (segment.zeroingFrom !== null && segment.zeroingFrom < end) await segment.zeroing
      const file = await segments.acquire(segment)
      try {
        this.writes.begin()
        if (durably) this.syncs.begin()
        if (durably) await segments.append(file, group.buffers, group.at)
        else await file.write(group.buffers, group.at)
      } finally {
        this.writes.end()
        if (durably) this.syncs.end()
        segments.release(segment)
      }
      if (!durably) segment.dirty = true
      segment.preparedBytes = Math.max(segment.preparedBytes, end)
      this.bytesWritten += group.bytes
    }
    for (const operation of operations) {
      const last = operation.entries.at(-1)
      if (last === undefined) continue
      for (const entry of operation.entries) {
        const segment = segments.at(entry.position) as Segment
        if (entry.position === segment.firstPosition) segment.firstIndex = entry.index
        segment.lastTimeMs = entry.timeMs
        this.queuedBytes -= entry.bytes.length
      }
      this.entriesWritten += operation.entries.length
      this.#diskEnd = last.position + last.bytes.length
    }
  }

  /** One piece for each segment; the blank that ends a segment belongs to its piece. */
  #groups(operations: readonly WriteOperation[]): Group[] {
    const { segmentBytes } = this.#o.segments
    const groups: Group[] = []
    let end = this.#diskEnd
    let group: Group | null = null
    const open = (position: number): Group => {
      const at = position % segmentBytes
      const opened: Group = { segmentPosition: position - at, at, buffers: [], bytes: 0 }
      groups.push(opened)
      return opened
    }
    for (const { entries } of operations) {
      for (const { position, bytes } of entries) {
        if (position !== end) {
          group ??= open(end)
          group.buffers.push(blank(position - end))
          group.bytes += BLANK_HEADER_BYTES
          group = null
        }
        group ??= open(position)
        group.buffers.push(bytes)
        group.bytes += bytes.length
        end = position + bytes.length
      }
    }
    return groups
  }

  #returned(claim: Claim): void {
    this.#events.written({ ...claim })
    if (this.#o.flushMode === 'async') {
      this.#unsynced = claim
      if (this.#rolled) this.#startSync()
      this.#rolled = false
      this.#syncLater()
    } else {
      this.#events.synced(claim.lastIndex)
    }
    this.#events.progressed()
  }

  #syncLater(): void {
    this.#syncTimer ??= this.#o.clock.after(this.#o.flushIntervalMs, () => {
      this.#syncTimer = null
      this.#startSync()
    })
  }

  #startSync(): void {
    if (this.#syncing !== null || this.#cutting || this.#stopped) return
    const claim = this.#unsynced
    if (claim === null) return
    this.#unsynced = null
    this.#syncing = claim
    this.#syncDone = this.#sync(claim)
      .catch(error => this.#fail('sync', error as Error))
      .finally(() => {
        this.#syncing = null
        this.#syncDone = null
        // What returned meanwhile was not covered by this one.
        if (this.#unsynced !== null && !this.#stopped) this.#syncLater()
        if (this.#syncing === null) this.#pump()
      })
  }

  async #sync(claim: Claim): Promise<void> {
    await this.#syncSegments()
    if (!this.#stopped) this.#events.synced(claim.lastIndex)
  }

  async #syncSegments(): Promise<void> {
    const { segments } = this.#o
    const dirty = segments.list.filter(segment => segment.dirty)
    for (const segment of dirty) segment.dirty = false
    for (const segment of dirty) {
      const file = await segments.acquire(segment)
      try {
        this.syncs.begin()
        await file.datasync()
      } finally {
        this.syncs.end()
        segments.release(segment)
      }
    }
  }

  async #runCut(operation: CutOperation): Promise<void> {
    this.#cutting = true
    try {
      while (this.#syncDone !== null) await this.#syncDone
      if (this.#stopped) return
      const wasCut = await this.#withSpace(async () => {
        await this.#events.beforeCut(operation)
        await this.#o.acknowledged.lower(operation.fromIndex - 1)
        await this.#zeroFrom(operation)
      })
      if (wasCut === null) return
      // Entries below the cut may be waiting for their sync.
      await this.#syncSegments()
      this.#unsynced = null
      this.#diskEnd = operation.end
      this.#touchedEnd = operation.end
      this.#queue.shift()
      // Later cuts that wait have taken away more already.
      let lowest = operation
      for (const later of this.#queue) {
        if (later.kind === 'cut' && later.fromIndex < lowest.fromIndex) lowest = later
      }
      const lastIndex = lowest.fromIndex - 1
      this.#events.written({ writeSeq: operation.writeSeq, lastIndex, term: lowest.lastTerm })
      this.#events.synced(lastIndex)
    } finally {
      this.#cutting = false
    }
  }

  async #zeroFrom({ end, positions }: CutOperation): Promise<void> {
    const { segments } = this.#o
    while (segments.last().firstPosition > end) await segments.retireLast()
    await segments.disk.syncDirectory(segments.directory)
    const segment = segments.last()
    if (segment.zeroing !== null) await segment.zeroing
    const file = await segments.acquire(segment)
    try {
      const used = Math.min(await file.size(), this.#touchedEnd - segment.firstPosition)
      // The headers first: a kill in the middle of a larger piece must not leave a good entry behind a gap.
      for (let i = positions.length - 1; i >= 0; i--) {
        const at = positions[i]! - segment.firstPosition
        if (at + ENTRY_HEADER_BYTES <= used) await file.write([NO_HEADER], at)
      }
      await this.#zeroSegment(file, end - segment.firstPosition, used)
    } finally {
      segments.release(segment)
    }
  }

  async #zeroSegment(file: DiskFile, from: number, to: number): Promise<void> {
    let end = to
    while (end > from) {
      const start = Math.max(from, end - ZERO_CHUNK_BYTES)
      await file.write([Buffer.alloc(end - start)], start)
      end = start
    }
    await file.datasync()
  }

  #setFull(full: boolean): void {
    if (this.#full === full) return
    this.#full = full
    this.#events.diskFull(full)
  }

  #waitForSpace(): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise(resolve => {
      const wake = (): void => {
        this.#retry?.timer.cancel()
        this.#retry = null
        resolve()
      }
      this.#retry = { timer: this.#o.clock.after(RETRY_NO_SPACE_MS, wake), wake }
    })
  }

  #fail(operation: 'write' | 'sync' | 'cut', error: Error): void {
    if (this.#stopped) return
    this.stop()
    this.#events.failed(operation, error)
  }

  /** Starts nothing any more; what is under way ends unheard. */
  stop(): void {
    this.#stopped = true
    this.#syncTimer?.cancel()
    this.#syncTimer = null
    this.#retry?.wake()
    this.#tellDrained()
  }

  #tellDrained(): void {
    const drained = this.#drained
    this.#drained = []
    for (const resolve of drained) resolve()
  }

  /** Resolves when nothing waits or is under way, at once after `stop`, and when the disk is full. */
  async drain(): Promise<void> {
    while (
      !this.#stopped &&
      !this.#full &&
      (this.#busy || this.#queue.length > 0 || this.#syncing !== null)
    ) {
      await new Promise<void>(resolve => this.#drained.push(resolve))
    }
  }

  /** Resolves when the operation under way has ended; after `stop`. */
  async settle(): Promise<void> {
    await this.#runDone
    while (this.#syncDone !== null) await this.#syncDone
  }

  /** After `drain`: syncs what is not. */
  async syncNow(): Promise<void> {
    await this.#syncSegments()
    const claim = this.#unsynced
    this.#unsynced = null
    if (claim !== null) this.#events.synced(claim.lastIndex)
  }
}

function blank(length: number): Buffer {
  const header = Buffer.alloc(BLANK_HEADER_BYTES)
  header.writeUInt32BE(BLANK_MAGIC, 0)
  header.writeUInt32BE(length, 4)
  return header
}

function endOf(operations: readonly WriteOperation[]): number {
  let end = 0
  for (const { entries } of operations) {
    const last = entries.at(-1)
    if (last !== undefined) end = last.position + last.bytes.length
  }
  return end
}
