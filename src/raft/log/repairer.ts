import type { Clock, Logger } from '../../platform/index.ts'
import {
  entryBodyCrc,
  entryHeaderCrc,
  entryIndex,
  entryIsSound,
  entryPosition,
  entryPrevCrc,
  entryTerm,
  entryTimeMs,
  positionAfter
} from './entry.ts'
import { RepairError } from './errors.ts'
import type { IndexFile } from './indexFile.ts'
import { isNoSpace, RETRY_NO_SPACE_MS } from './noSpace.ts'
import type { EntryReader } from './reader.ts'
import { RepairWaits } from './repairWaits.ts'
import type { Segment, Segments } from './segments.ts'
import type { EntryMeta, TailCache } from './tailCache.ts'
import type { TermMap } from './termMap.ts'
import type { Fault } from './types.ts'

/** What the repairer changes in the log it belongs to. */
export interface RepairHost {
  readonly segmentFiles: Segments
  readonly index: IndexFile
  readonly tail: TailCache
  readonly terms: TermMap
  readonly faults: Map<number, Fault>
  readonly firstIndex: number
  readonly startPosition: number
  readonly lastIndex: number
  readonly endPosition: number
  headerCrcAt(index: number): Promise<number | null>
  mustWork(): void
  fail(operation: 'write', error: Error): void
}

/** Puts damaged entries back in place, one at a time (raft.md 4.9). */
export class Repairer {
  readonly waits: RepairWaits
  readonly #host: RepairHost
  readonly #reader: EntryReader
  readonly #clock: Clock
  readonly #logger: Logger
  #last: Promise<unknown> = Promise.resolve()

  constructor(host: RepairHost, reader: EntryReader, clock: Clock, logger: Logger) {
    this.waits = new RepairWaits(clock, host.faults)
    this.#clock = clock
    this.#logger = logger
    this.#host = host
    this.#reader = reader
  }

  write(index: number, bytes: Buffer): Promise<void> {
    if (index < this.#host.firstIndex) return Promise.resolve() // trimmed while the bytes were on their way
    if (!this.#host.faults.has(index))
      return Promise.reject(new RepairError(index, 'it is not damaged'))
    const repair = this.#last.then(() => this.#repair(index, bytes))
    this.#last = repair.catch(() => {})
    return repair
  }

  async settle(): Promise<void> {
    await this.#last
  }

  async #repair(index: number, bytes: Buffer): Promise<void> {
    this.#host.mustWork()
    const fault = this.#host.faults.get(index)
    if (fault === undefined) return // cut or trimmed while this one waited
    try {
      await this.#mustBe(fault, bytes)
    } catch (error) {
      if (!this.#isGone(fault)) throw error
    }
    let isTold = false
    while (!this.#isGone(fault)) {
      this.#host.mustWork()
      try {
        await this.#put(fault, bytes)
        return
      } catch (error) {
        if (!isNoSpace(error)) throw error
      }
      if (!isTold) this.#logger.error('A repair waits until the disk has space', { index })
      isTold = true
      await new Promise<void>(resolve => this.#clock.after(RETRY_NO_SPACE_MS, resolve))
    }
  }

  /** In its place, with its unit. */
  async #put(fault: Fault, bytes: Buffer): Promise<void> {
    const { index } = fault
    const position = entryPosition(bytes)
    const segment = this.#host.segmentFiles.at(position) as Segment
    const file = await this.#host.segmentFiles.acquire(segment)
    try {
      await file.write([bytes], position - segment.firstPosition)
      await file.datasync()
      segment.preparedBytes = Math.max(
        segment.preparedBytes,
        position - segment.firstPosition + bytes.length
      )
    } catch (error) {
      if (!isNoSpace(error)) this.#host.fail('write', error as Error)
      throw error
    } finally {
      this.#host.segmentFiles.release(segment)
    }
    if (this.#isGone(fault)) return
    const meta: EntryMeta = {
      index,
      term: entryTerm(bytes),
      position,
      sizeBytes: bytes.length,
      headerCrc: entryHeaderCrc(bytes),
      timeMs: entryTimeMs(bytes)
    }
    await this.#host.index.rewrite(index, { ...meta, bodyCrc: entryBodyCrc(bytes) })
    this.#host.faults.delete(index)
    this.#host.tail.replaceMeta(meta)
    this.#host.terms.correct(index, meta.term)
    if (position === segment.firstPosition) segment.firstIndex = index
    const before = this.#host.faults.get(index - 1)
    if (before?.headerCrc === null) {
      this.#host.faults.set(index - 1, { ...before, headerCrc: entryPrevCrc(bytes) })
    }
    this.waits.changed()
    this.#logger.info('A damaged entry was repaired', { index, left: this.#host.faults.size })
  }

  /** Cut or trimmed: what is found of the log now says nothing of it. */
  #isGone(fault: Fault): boolean {
    const { faults, firstIndex } = this.#host
    return faults.get(fault.index) !== fault || fault.index < firstIndex
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
    const fits =
      positionAfter(position, bytes.length, this.#host.segmentFiles.segmentBytes) === position
    if (
      !fits ||
      position < room.from ||
      end > room.to ||
      this.#host.segmentFiles.at(position) === null
    ) {
      throw new RepairError(
        index,
        `they go from ${position} to ${end}, free is ${room.from} to ${room.to}`
      )
    }
    const prevCrc = this.#host.faults.has(index - 1)
      ? null
      : await this.#host.headerCrcAt(index - 1)
    if (prevCrc !== null && prevCrc !== entryPrevCrc(bytes)) {
      throw new RepairError(index, `they do not continue entry ${index - 1}`)
    }
  }

  /** Between the nearest entries before and behind that are whole. */
  async #roomOf(index: number): Promise<{ from: number; to: number }> {
    let before = index - 1
    while (this.#host.faults.has(before)) before -= 1
    let behind = index + 1
    while (this.#host.faults.has(behind)) behind += 1
    const from =
      before < this.#host.firstIndex
        ? this.#host.startPosition
        : await this.#reader.place(before).then(place => place.position + place.sizeBytes)
    const to =
      behind > this.#host.lastIndex
        ? this.#host.endPosition
        : (await this.#reader.place(behind)).position
    return { from, to }
  }
}
