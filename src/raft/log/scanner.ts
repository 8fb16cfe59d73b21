import {
  BLANK_HEADER_BYTES,
  BLANK_MAGIC,
  bodyIsSound,
  ENTRY_HEADER_BYTES,
  ENTRY_MAGIC,
  entryBodyCrc,
  entryHeaderCrc,
  entryIndex,
  entryPosition,
  entryPrevCrc,
  entrySize,
  entryTerm,
  entryTimeMs,
  getUint64,
  headerIsSound,
  positionAfter
} from './entry.ts'
import { UnusableLogError } from './errors.ts'
import { getUnit, type IndexFile, putUnit, UNIT_BYTES, type Unit } from './indexFile.ts'
import { LogBytes } from './logBytes.ts'
import { ignoreNoSpace } from './noSpace.ts'
import type { Segments } from './segments.ts'
import { type EntryMeta, TailCache } from './tailCache.ts'
import type { Fault, TermStart } from './types.ts'

/** How far a good record is looked for behind a bad one: more than the largest write. */
export const SEARCH_BYTES = 32 * 1024 * 1024
/** More damage than this is a lost disk: the node has to come back as a new one. */
const FAULTS_MAX = 65_536
const UNITS_PER_READ = 4096
const MAGIC = Buffer.alloc(4)
MAGIC.writeUInt32BE(ENTRY_MAGIC)

export interface ScanOptions {
  readonly segments: Segments
  readonly index: IndexFile
  /** Entry before the first one of the log. */
  readonly start: EntryMeta
  readonly watermark: number
  readonly powerLoss: boolean
  readonly weakestMode: 'sync' | 'async'
  /** Places of later entries are remembered. */
  readonly keepFrom: number
  readonly tailCacheBytes: number
}

interface Record {
  readonly kind: 'good' | 'bodyBad' | 'chainBroken' | 'bad'
  readonly position: number
  /** The header, if it is sound and of the right index and position. */
  readonly meta: EntryMeta | null
  readonly bodyCrc: number
}

/**
 * Goes through the log from its start to its end: by index units where the log is trusted (`walk`), by the bytes
 * themselves else (`scan`), and judges what is bad by the table of raft.md 4.9.
 */
export class Scanner {
  readonly bytes: LogBytes
  readonly faults = new Map<number, Fault>()
  readonly terms: TermStart[] = []
  /** Index of the next record. */
  nextIndex: number
  /** End of the record before. */
  end: number
  /** Where the first entry above the watermark begins; null: there is none. */
  aboveWatermark: number | null = null
  /** Faults at the end without an identity were dropped. */
  droppedUnknown = false
  readonly #o: ScanOptions
  #last: EntryMeta
  #tail: TailCache | null = null
  /** null: not known, the chain is not checked. */
  #prevCrc: number | null
  #prevTerm: number
  /** After a break of the chain that nothing explains, only entries whose unit says the same are believed. */
  #distrust = false
  /** Faults without identity that wait for something good behind them. */
  #unknown: { index: number; position: number }[] = []
  #unitsFirst = 0
  #units: Buffer = Buffer.alloc(0)
  #lastUnit: number | null = null
  #rewriteFirst = 0
  #rewriteCount = 0
  readonly #rewrite = Buffer.alloc(UNITS_PER_READ * UNIT_BYTES)

  constructor(options: ScanOptions) {
    this.#o = options
    this.bytes = new LogBytes(options.segments)
    this.nextIndex = options.start.index + 1
    this.end = options.start.position
    this.#last = options.start
    this.#prevCrc = options.start.headerCrc
    this.#prevTerm = options.start.term
  }

  /** The places of all entries above `keepFrom`. */
  tail(): TailCache {
    this.#tail ??= new TailCache(this.#last, this.#o.tailCacheBytes)
    return this.#tail
  }

  /** Takes entries below `untilIndex` from the index units; stops early at one that cannot be believed. */
  async walk(untilIndex: number): Promise<void> {
    const { segmentBytes } = this.#o.segments
    while (this.nextIndex < untilIndex) {
      const first = this.nextIndex
      const count = Math.min(UNITS_PER_READ * 8, untilIndex - first)
      const raw = await this.#o.index.readRaw(first, count)
      for (let i = 0; i < count; i++) {
        const at = i * UNIT_BYTES
        const position = getUint64(raw, at)
        const sizeBytes = raw.readUInt32BE(at + 16)
        const term = getUint64(raw, at + 8)
        const fits =
          sizeBytes >= ENTRY_HEADER_BYTES &&
          position === positionAfter(this.end, sizeBytes, segmentBytes) &&
          term >= this.#prevTerm
        if (!fits) return
        // Place and size are proved by the next unit, a term that stays by the one before; else it takes the CRC.
        const proved =
          i + 1 < count &&
          term === this.#prevTerm &&
          first + i < this.#o.keepFrom &&
          follows(raw, at + UNIT_BYTES, position + sizeBytes, segmentBytes)
        if (!proved && getUnit(raw, at, first + i) === null) return
        const headerCrc = raw.readUInt32BE(at + 20)
        this.#accept({ index: first + i, term, position, sizeBytes, headerCrc, timeMs: 0 })
      }
    }
  }

  /** Takes entries below `untilIndex` from the segments; returns at the end of the log. True: `untilIndex` was reached. */
  async scan(untilIndex: number): Promise<boolean> {
    while (this.nextIndex < untilIndex) {
      if (this.#takeHeld()) continue
      const record = await this.#record()
      const unit = await this.#unitAt(this.nextIndex)
      if (
        record.kind === 'good' &&
        (!this.#distrust || unit?.headerCrc === record.meta?.headerCrc)
      ) {
        await this.#takeGood(record, unit)
        continue
      }
      if (record.kind === 'chainBroken' && (await this.#blamePrevious(record, unit))) continue
      if (!(await this.#mayBeAcknowledged(record, unit))) break
      if (!(await this.#markFault(record, unit))) break
    }
    await this.#flushUnits()
    if (this.nextIndex >= untilIndex) {
      const next = { index: this.nextIndex, position: this.end }
      if (this.#unknown.length > 0) await this.#settleUnknown(next)
      return true
    }
    this.droppedUnknown ||= this.#unknown.length > 0
    const dropped = this.#unknown[0]
    if (dropped !== undefined) {
      this.nextIndex = dropped.index
      this.end = this.#last.position + this.#last.sizeBytes
      this.#unknown = []
    }
    return false
  }

  /** The usual case without a promise: the next entry and its unit are in memory, and nothing is wrong with them. */
  #takeHeld(): boolean {
    const header = this.bytes.held(this.end, ENTRY_HEADER_BYTES)
    if (header === null || this.#distrust || this.#unknown.length > 0) return false
    if (!headerIsSound(header) || entryPosition(header) !== this.end) return false
    if (entryIndex(header) !== this.nextIndex || entryPrevCrc(header) !== this.#prevCrc)
      return false
    const sizeBytes = entrySize(header)
    const term = entryTerm(header)
    const { segments } = this.#o
    if (positionAfter(this.end, sizeBytes, segments.segmentBytes) !== this.end) return false
    const whole = this.bytes.held(this.end, sizeBytes)
    if (term < this.#prevTerm || whole === null || !bodyIsSound(whole)) return false
    const unitAt = (this.nextIndex - this.#unitsFirst) * UNIT_BYTES
    if (unitAt < 0 || unitAt >= this.#units.length) return false
    const unit = getUnit(this.#units, unitAt, this.nextIndex)
    const headerCrc = entryHeaderCrc(header)
    if (unit?.headerCrc !== headerCrc || unit.position !== this.end) return false
    if (unit.bodyCrc !== entryBodyCrc(header)) return false
    const timeMs = entryTimeMs(header)
    const segment = segments.at(this.end)
    if (segment !== null) segment.lastTimeMs = timeMs
    this.#accept({ index: this.nextIndex, term, position: this.end, sizeBytes, headerCrc, timeMs })
    return true
  }

  async #record(): Promise<Record> {
    const { segmentBytes } = this.#o.segments
    const room = segmentBytes - (this.end % segmentBytes)
    if (room < ENTRY_HEADER_BYTES + BLANK_HEADER_BYTES) return this.#recordAt(this.end + room)
    const here = await this.bytes.view(this.end, ENTRY_HEADER_BYTES)
    const isBlank =
      here.length >= BLANK_HEADER_BYTES &&
      here.readUInt32BE(0) === BLANK_MAGIC &&
      here.readUInt32BE(4) === room
    if (isBlank) return this.#recordAt(this.end + room)
    const record = await this.#recordAt(this.end)
    if (record.kind !== 'bad') return record
    // The blank itself may be what is damaged.
    const over = await this.#recordAt(this.end + room)
    return over.kind === 'good' ? over : record
  }

  async #recordAt(position: number): Promise<Record> {
    const { segmentBytes } = this.#o.segments
    const header = await this.bytes.view(position, ENTRY_HEADER_BYTES)
    const bad: Record = { kind: 'bad', position, meta: null, bodyCrc: 0 }
    if (!headerIsSound(header) || entryPosition(header) !== position) return bad
    if (entryIndex(header) !== this.nextIndex) return bad
    const sizeBytes = entrySize(header)
    if ((position % segmentBytes) + sizeBytes + BLANK_HEADER_BYTES > segmentBytes) return bad
    const meta: EntryMeta = {
      index: this.nextIndex,
      term: entryTerm(header),
      position,
      sizeBytes,
      headerCrc: entryHeaderCrc(header),
      timeMs: entryTimeMs(header)
    }
    const bodyCrc = entryBodyCrc(header)
    const prevCrc = entryPrevCrc(header)
    const chained = this.#prevCrc === null || prevCrc === this.#prevCrc
    if (!chained || meta.term < this.#prevTerm)
      return { kind: 'chainBroken', position, meta, bodyCrc }
    const whole = await this.bytes.view(position, sizeBytes)
    return { kind: bodyIsSound(whole) ? 'good' : 'bodyBad', position, meta, bodyCrc }
  }

  async #takeGood(record: Record, unit: Unit | null): Promise<void> {
    const meta = record.meta as EntryMeta
    this.#distrust = false
    if (this.#unknown.length > 0) await this.#settleUnknown(meta)
    this.#accept(meta)
    const segment = this.#o.segments.at(meta.position)
    if (segment !== null) segment.lastTimeMs = meta.timeMs
    const known =
      unit !== null && unit.position === meta.position && unit.headerCrc === meta.headerCrc
    if (!known || unit.bodyCrc !== record.bodyCrc) {
      await this.#rewriteUnit(meta.index, { ...meta, bodyCrc: record.bodyCrc })
    }
  }

  /** What follows unidentified faults is good, so they are in the log; the last of them is named by the chain. */
  async #settleUnknown(next: { index: number; position: number }): Promise<void> {
    const header = await this.bytes.view(next.position, ENTRY_HEADER_BYTES)
    const named = headerIsSound(header) && entryIndex(header) === next.index
    const prevCrc = named && entryPosition(header) === next.position ? entryPrevCrc(header) : null
    let first = true
    for (const { index, position } of this.#unknown) {
      const isLast = index === next.index - 1
      this.#addFault({
        index,
        position,
        sizeBytes: null,
        term: null,
        headerCrc: isLast ? prevCrc : null
      })
      // The first one takes all the room, so that places stay in order.
      const room = first ? next.position - position : 0
      first = false
      this.#accept({
        index,
        term: this.#prevTerm,
        position: room > 0 ? position : next.position,
        sizeBytes: room,
        headerCrc: isLast ? (prevCrc ?? 0) : 0,
        timeMs: 0
      })
    }
    this.#unknown = []
    this.nextIndex = next.index
    this.end = next.position
  }

  #accept(accepted: EntryMeta): void {
    // A damaged entry keeps the time of the one before: time never falls.
    const meta = accepted.timeMs > 0 ? accepted : { ...accepted, timeMs: this.#last.timeMs }
    const { segments, watermark, keepFrom, tailCacheBytes } = this.#o
    if (meta.position % segments.segmentBytes === 0) {
      const segment = segments.at(meta.position)
      if (segment !== null) segment.firstIndex = meta.index
    }
    if (this.terms.length === 0 || meta.term > this.terms.at(-1)!.term) {
      this.terms.push({ term: meta.term, firstIndex: meta.index })
    }
    if (meta.index > watermark && this.aboveWatermark === null) this.aboveWatermark = meta.position
    if (meta.index > keepFrom) {
      this.#tail ??= new TailCache(this.#last, tailCacheBytes)
      this.#tail.pushMeta(meta)
    }
    this.#last = meta
    this.nextIndex = meta.index + 1
    this.end = meta.position + meta.sizeBytes
    this.#prevTerm = meta.term
    this.#prevCrc = meta.headerCrc
  }

  /** A stale entry before this one: unit and chain of this one agree against it. */
  async #blamePrevious(record: Record, unit: Unit | null): Promise<boolean> {
    const meta = record.meta as EntryMeta
    const last = this.#last
    if (unit === null || unit.headerCrc !== meta.headerCrc) return false
    if (last.index === this.#o.start.index || this.faults.has(last.index)) return false
    const prevCrc = entryPrevCrc(await this.bytes.view(record.position, ENTRY_HEADER_BYTES))
    const before = await this.#unitAt(last.index)
    const identified =
      before !== null && before.headerCrc === prevCrc && before.position === last.position
    this.#addFault({
      index: last.index,
      position: last.position,
      sizeBytes: identified ? before.sizeBytes : null,
      term: identified ? before.term : null,
      headerCrc: prevCrc
    })
    this.#prevCrc = prevCrc
    this.#prevTerm = Math.min(this.#prevTerm, meta.term)
    this.#last = { ...last, term: identified ? before.term : this.#prevTerm, headerCrc: prevCrc }
    this.#tail?.replaceMeta(this.#last)
    return true
  }

  /** raft.md 4.9: whether a bad record here may have been acknowledged, so that it must not be cut. */
  async #mayBeAcknowledged(record: Record, unit: Unit | null): Promise<boolean> {
    if (this.nextIndex <= this.#o.watermark) return true
    const hasUnit = unit !== null || (await this.#lastUnitIndex()) > this.nextIndex
    if (this.#o.powerLoss) return this.#o.weakestMode === 'sync' && hasUnit
    return hasUnit || (await this.#searchBehind(record)) !== null
  }

  /** False: the entry has no identity and nothing behind it has one: the log ends here. */
  async #markFault(record: Record, unit: Unit | null): Promise<boolean> {
    const index = this.nextIndex
    const identity = unit ?? (record.kind === 'bodyBad' ? record.meta : null)
    if (identity !== null && identity.term >= this.#prevTerm) {
      // The last segments may be gone as a whole: what is fetched again needs them.
      await this.#o.segments.growTo(identity.position)
      if (this.#unknown.length > 0)
        await this.#settleUnknown({ index, position: identity.position })
      this.#addFault({
        index,
        position: identity.position,
        sizeBytes: identity.sizeBytes,
        term: identity.term,
        headerCrc: identity.headerCrc
      })
      this.#accept({ ...identity, index, timeMs: record.meta?.timeMs ?? 0 })
      return true
    }
    if (record.kind === 'chainBroken') this.#distrust = true
    const next = await this.#nextKnown(record)
    if (next === null) {
      this.#unknown.push({ index, position: record.position })
      return false
    }
    for (let lost = index; lost < next.index; lost++) {
      if (this.#unknown.length + this.faults.size > FAULTS_MAX) this.#tooMany()
      this.#unknown.push({ index: lost, position: record.position })
    }
    if (next.index > index) this.#prevCrc = null
    this.nextIndex = next.index
    this.end = next.position
    return true
  }

  /** The next entry whose place is known, by its unit or its bytes. */
  async #nextKnown(record: Record): Promise<{ index: number; position: number } | null> {
    if (record.meta !== null) {
      const { segmentBytes } = this.#o.segments
      const end = record.position + record.meta.sizeBytes
      const header = await this.bytes.view(end, ENTRY_HEADER_BYTES)
      const follows = headerIsSound(header) && entryPosition(header) === end
      if (follows) return { index: this.nextIndex + 1, position: end }
      const boundary = end + segmentBytes - (end % segmentBytes)
      const over = await this.bytes.view(boundary, ENTRY_HEADER_BYTES)
      if (headerIsSound(over) && entryIndex(over) === this.nextIndex + 1) {
        return { index: this.nextIndex + 1, position: boundary }
      }
    }
    const lastUnit = await this.#lastUnitIndex()
    for (let index = this.nextIndex + 1; index <= lastUnit; index++) {
      const unit = await this.#unitAt(index)
      if (unit !== null) return { index, position: unit.position }
    }
    return this.#searchBehind(record)
  }

  /** A sound header behind `end` that stands where it says, of this index or a later one. */
  async #searchBehind(record: Record): Promise<{ index: number; position: number } | null> {
    const { segments } = this.#o
    const { segmentBytes } = segments
    const segmentEnd = this.end + segmentBytes - (this.end % segmentBytes)
    const limit = Math.min(segmentEnd, this.end + SEARCH_BYTES)
    const step = 1024 * 1024
    for (let from = this.end; from < limit; from += step) {
      const view = await this.bytes.view(
        from,
        Math.min(step + ENTRY_HEADER_BYTES, segmentEnd - from)
      )
      for (let at = view.indexOf(MAGIC); at !== -1 && at < step; at = view.indexOf(MAGIC, at + 1)) {
        if (!headerIsSound(view, at) || entryPosition(view, at) !== from + at) continue
        if (from + at === record.position && entryIndex(view, at) === this.nextIndex) continue
        if (entryIndex(view, at) >= this.nextIndex) {
          return { index: entryIndex(view, at), position: from + at }
        }
      }
      if (view.length < step) break
    }
    for (const segment of segments.list) {
      if (segment.firstPosition < segmentEnd || segment.firstIndex < this.nextIndex) continue
      if (segment.firstPosition === record.position && segment.firstIndex === this.nextIndex)
        continue
      return { index: segment.firstIndex, position: segment.firstPosition }
    }
    return null
  }

  #addFault(fault: Fault): void {
    this.faults.set(fault.index, fault)
    if (this.faults.size > FAULTS_MAX) this.#tooMany()
  }

  #tooMany(): never {
    throw new UnusableLogError(
      `more than ${FAULTS_MAX} entries of the log are damaged, beginning with entry ${this.faults.keys().next().value ?? this.nextIndex}: the disk has to be replaced, and this node joins as a new one`
    )
  }

  /** The unit of an index, if it can belong to an entry behind the last one. */
  async #unitAt(index: number): Promise<Unit | null> {
    if (index < this.#unitsFirst || (index - this.#unitsFirst) * UNIT_BYTES >= this.#units.length) {
      this.#unitsFirst = index
      this.#units = await this.#o.index.readRaw(index, UNITS_PER_READ)
    }
    const unit = getUnit(this.#units, (index - this.#unitsFirst) * UNIT_BYTES, index)
    if (unit === null) return null
    return index < this.nextIndex || unit.position >= this.end ? unit : null
  }

  async #lastUnitIndex(): Promise<number> {
    if (this.#lastUnit !== null) return this.#lastUnit
    let to = await this.#o.index.endIndex()
    while (to > this.nextIndex) {
      const from = Math.max(this.nextIndex, to - UNITS_PER_READ)
      const raw = await this.#o.index.readRaw(from, to - from)
      for (let index = to - 1; index >= from; index--) {
        if (getUnit(raw, (index - from) * UNIT_BYTES, index) === null) continue
        this.#lastUnit = index
        return index
      }
      to = from
    }
    this.#lastUnit = 0
    return 0
  }

  async #rewriteUnit(index: number, unit: Unit): Promise<void> {
    const isNext = index === this.#rewriteFirst + this.#rewriteCount
    if (!isNext || this.#rewriteCount === UNITS_PER_READ) await this.#flushUnits()
    if (this.#rewriteCount === 0) this.#rewriteFirst = index
    putUnit(this.#rewrite, this.#rewriteCount * UNIT_BYTES, index, unit)
    this.#rewriteCount += 1
  }

  async #flushUnits(): Promise<void> {
    if (this.#rewriteCount === 0) return
    const units = this.#rewrite.subarray(0, this.#rewriteCount * UNIT_BYTES)
    // On a full disk they are mended when they are needed.
    await this.#o.index.writeRaw(this.#rewriteFirst, units).catch(ignoreNoSpace)
    this.#rewriteCount = 0
  }
}

/** Whether the unit at `at` stands for an entry directly behind `end`. */
function follows(units: Buffer, at: number, end: number, segmentBytes: number): boolean {
  return getUint64(units, at) === positionAfter(end, units.readUInt32BE(at + 16), segmentBytes)
}
