import { panic } from './panic.ts'
import { entryPosition } from './place.ts'
import { Tail } from './tail.ts'
import { TermMap } from './termMap.ts'
import type { Configuration, EntrySummary, Fault, Limits, LogFacts } from './types.ts'

interface PendingWrite {
  readonly seq: number
  /** What is durable when it is done; lowered by a later cut, 0 for writes that add nothing. */
  lastIndex: number
  /** Fault that it heals; 0 for none. */
  readonly rewrittenIndex: number
  readonly rewrittenEndBytes: number
  /** Header CRC of the entry before the one that it heals. */
  readonly rewrittenPrevCrc: number
}

const NO_REWRITE = { rewrittenIndex: 0, rewrittenEndBytes: -1, rewrittenPrevCrc: -1 } as const

export interface ConfigurationAt {
  readonly index: number
  readonly configuration: Configuration
}

/**
 * What the core knows of its own log: terms, ends, what is durable, what is damaged, which configurations are in it.
 * Invariants: durableIndex <= lastIndex; writes end in the order in which they were issued.
 */
export class LogState {
  readonly terms: TermMap
  readonly tail: Tail
  readonly configurations: ConfigurationAt[]
  /** By rising index. */
  readonly faults: Fault[]
  readonly #segmentBytes: number
  #nextPositionBytes: number
  #durableIndex: number
  #writeSeq = 0
  readonly #pending: PendingWrite[] = []

  constructor(facts: LogFacts, segmentBytes: number, limits: Limits) {
    this.terms = new TermMap(facts.firstIndex - 1, facts.startTerm)
    facts.terms.forEach((span, at) => {
      const next = facts.terms[at + 1]
      const last = next === undefined ? facts.lastIndex : next.firstIndex - 1
      if (last > this.terms.lastIndex) this.terms.append(last, span.term)
    })
    if (this.terms.lastIndex !== facts.lastIndex) panic('the terms given do not cover the log')
    this.tail = new Tail(facts.lastIndex + 1, limits.tailBytes, limits.tailEntries)
    this.configurations = [...facts.configurations]
    this.faults = [...facts.faults]
    this.#segmentBytes = segmentBytes
    this.#nextPositionBytes = facts.nextPositionBytes
    this.#durableIndex = facts.lastIndex
  }

  get firstIndex(): number {
    return this.terms.startIndex + 1
  }

  get lastIndex(): number {
    return this.terms.lastIndex
  }

  get lastTerm(): number {
    return this.terms.lastTerm
  }

  get durableIndex(): number {
    return this.#durableIndex
  }

  get nextPositionBytes(): number {
    return this.#nextPositionBytes
  }

  get writesPending(): boolean {
    return this.#pending.length > 0
  }

  /** Last index below the first fault, `lastIndex` when nothing is damaged. */
  get soundIndex(): number {
    const first = this.faults[0]
    return first === undefined ? this.lastIndex : first.index - 1
  }

  /** What this node may count itself for: durable and below the first fault. */
  get countedIndex(): number {
    return Math.min(this.#durableIndex, this.soundIndex)
  }

  /**
   * By which it is known whether the first fault is whole anywhere: that one itself, or when it has lost its header the first
   * behind it that is named, for with that the ones before are named one after the other.
   */
  get decidingFault(): Fault | null {
    const { faults } = this
    let at = 0
    while (
      faults[at]?.headerCrc === -1 &&
      faults[at + 1]?.index === (faults[at] as Fault).index + 1
    )
      at++
    return faults[at] ?? null
  }

  faultAt(index: number): Fault | null {
    for (const fault of this.faults) if (fault.index === index) return fault
    return null
  }

  /**
   * End of the entry before `index`, which is the recent, damaged or first one; -1 when it is not known. The position of a
   * fault is that end, unless it is not known either or begins a segment: then there may be a blank between.
   */
  endBefore(index: number): number {
    if (index === 1) return 0
    if (this.tail.has(index - 1)) return this.tail.endAt(index - 1)
    const fault = this.faultAt(index)
    if (fault === null) return -1
    if (fault.previousEndBytes !== undefined && fault.previousEndBytes >= 0)
      return fault.previousEndBytes
    if (fault.positionBytes < 0) return -1
    if (fault.positionBytes % this.#segmentBytes !== 0) return fault.positionBytes
    return -1
  }

  /** Where an entry of this size will stand; -1 when the end is not known. */
  placeFor(sizeBytes: number): number {
    if (this.#nextPositionBytes < 0) return -1
    return entryPosition(this.#nextPositionBytes, sizeBytes, this.#segmentBytes)
  }

  add(
    term: number,
    positionBytes: number,
    sizeBytes: number,
    configuration: Configuration | null
  ): void {
    this.terms.append(this.lastIndex + 1, term)
    this.tail.push(positionBytes, sizeBytes)
    this.#nextPositionBytes = positionBytes + sizeBytes
    if (configuration !== null) this.configurations.push({ index: this.lastIndex, configuration })
  }

  addReceived(entry: EntrySummary): void {
    this.add(entry.term, entry.positionBytes, entry.sizeBytes, entry.configuration)
  }

  /** A write of all entries up to the present last one; returns its number. */
  writeIssued(): number {
    this.#pending.push({ seq: ++this.#writeSeq, lastIndex: this.lastIndex, ...NO_REWRITE })
    return this.#writeSeq
  }

  /** A faulty entry is written again; a configuration that could not be read comes back with it. */
  rewriteIssued(entry: EntrySummary): number {
    const { index, term, configuration } = entry
    if (this.faultAt(index)?.term === 0) this.terms.correct(index, term)
    const at = this.configurations.findIndex(known => known.index === index)
    if (at >= 0) this.configurations.splice(at, 1)
    if (configuration !== null) {
      this.configurations.push({ index, configuration })
      this.configurations.sort((a, b) => a.index - b.index)
    }
    const seq = ++this.#writeSeq
    this.#pending.push({
      seq,
      lastIndex: 0,
      rewrittenIndex: index,
      rewrittenEndBytes: entry.positionBytes + entry.sizeBytes,
      rewrittenPrevCrc: entry.prevCrc
    })
    return seq
  }

  /**
   * Cuts `fromIndex` and all behind it; returns the number of the write. Writes still under way lose what is cut of
   * them, so that their end never counts for entries that came later under the same indexes (R-L5, ABA).
   */
  cutIssued(fromIndex: number): number {
    this.#nextPositionBytes = this.endBefore(fromIndex)
    this.terms.cutFrom(fromIndex)
    this.tail.cutFrom(fromIndex)
    this.#durableIndex = Math.min(this.#durableIndex, fromIndex - 1)
    for (const write of this.#pending) write.lastIndex = Math.min(write.lastIndex, fromIndex - 1)
    while (
      this.faults.length > 0 &&
      (this.faults[this.faults.length - 1] as Fault).index >= fromIndex
    )
      this.faults.pop()
    while ((this.configurations[this.configurations.length - 1]?.index ?? 0) >= fromIndex)
      this.configurations.pop()
    this.#pending.push({ seq: ++this.#writeSeq, lastIndex: 0, ...NO_REWRITE })
    return this.#writeSeq
  }

  /** All writes up to `seq` are durable. Returns whether anything came of it. */
  writeDone(seq: number): boolean {
    let moved = false
    while (this.#pending.length > 0 && (this.#pending[0] as PendingWrite).seq <= seq) {
      const write = this.#pending.shift() as PendingWrite
      if (write.lastIndex > this.#durableIndex) {
        this.#durableIndex = write.lastIndex
        moved = true
      }
      const at = this.faults.findIndex(fault => fault.index === write.rewrittenIndex)
      if (at >= 0) {
        this.faults.splice(at, 1)
        this.#placeNextFault(at, write)
        this.#nameFaultBefore(at, write)
        moved = true
      }
    }
    return moved
  }

  /** The fault behind one that is healed: where the log would end without it. */
  #placeNextFault(at: number, { rewrittenIndex, rewrittenEndBytes }: PendingWrite): void {
    const next = this.faults[at]
    if (next?.index === rewrittenIndex + 1)
      this.faults[at] = { ...next, previousEndBytes: rewrittenEndBytes }
  }

  /** The fault before one that is healed: by its header CRC a peer knows whether it has it. */
  #nameFaultBefore(at: number, { rewrittenIndex, rewrittenPrevCrc }: PendingWrite): void {
    const before = this.faults[at - 1]
    if (before?.index === rewrittenIndex - 1 && before.headerCrc === -1)
      this.faults[at - 1] = { ...before, headerCrc: rewrittenPrevCrc }
  }

  /** True while a write that heals this fault is under way. */
  isBeingRewritten(index: number): boolean {
    return this.#pending.some(write => write.rewrittenIndex === index)
  }

  /** The newest configuration that is not behind `index`; null: none is known. */
  configurationAt(index: number): ConfigurationAt | null {
    const { configurations } = this
    for (let at = configurations.length - 1; at >= 0; at--) {
      const known = configurations[at] as ConfigurationAt
      if (known.index <= index) return known
    }
    return null
  }

  /** Older ones than the committed one are never in force again. */
  forgetConfigurationsBefore(committedIndex: number): void {
    while ((this.configurations[1]?.index ?? committedIndex + 1) <= committedIndex)
      this.configurations.shift()
  }

  addFault(fault: Fault): boolean {
    if (fault.index < this.firstIndex || fault.index > this.lastIndex) return false
    if (this.faultAt(fault.index) !== null) return false
    this.faults.push(fault)
    this.faults.sort((a, b) => a.index - b.index)
    return true
  }

  /** Configurations stay: the newest one is in force wherever the log starts. */
  trimTo(firstIndex: number): void {
    this.terms.trimTo(firstIndex - 1)
    while (this.faults.length > 0 && (this.faults[0] as Fault).index < firstIndex)
      this.faults.shift()
  }
}
