import { type Disk, type Random, silentLogger } from '../../../src/platform/index.ts'
import {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  type Fault,
  type LogOptions,
  openLog,
  positionAfter,
  type RaftLog,
  sealEntry,
  type WriteDone
} from '../../../src/raft/log/index.ts'
import { FakeClock } from '../../helpers/fakeClock.ts'
import { generator } from '../../helpers/generator.ts'
import type { MemoryDisk } from '../../helpers/memoryDisk.ts'

export const DIRECTORY = '/store/dledger-n0'
export const DATA = `${DIRECTORY}/data`
export const INDEX = `${DIRECTORY}/index`
export const HARD_STATE = `${DIRECTORY}/hardstate`
export const SEGMENT_BYTES = 8192
const TICKS_MAX = 200_000

export function seededRandom(seed: number): Random {
  const next = generator(seed)
  return {
    next,
    below: limit => Math.floor(next() * limit),
    bytes: length => Buffer.from(Array.from({ length }, () => Math.floor(next() * 256)))
  }
}

export function logOptions(disk: Disk, clock: FakeClock): LogOptions {
  return {
    disk,
    clock,
    random: seededRandom(7),
    logger: silentLogger,
    directory: DIRECTORY,
    segmentBytes: SEGMENT_BYTES,
    flushMode: 'sync',
    flushIntervalMs: 50,
    tailCacheBytes: 1_000_000,
    bootId: 'boot-1',
    indexDelayMs: 1,
    unitsPerIndexFile: 64,
    prepare: { aheadBytes: 2048, bytesPerSecond: 1_000_000, spare: true }
  }
}

/** What the log told its listener. */
export class Told {
  written: WriteDone = { writeSeq: 0, term: 0, lastIndex: 0 }
  readonly writes: WriteDone[] = []
  synced = 0
  readonly failures: string[] = []
  readonly full: boolean[] = []
  readonly damaged: Fault[] = []
}

/** One process with its log; time moves while something is waited for. */
export class Process {
  readonly log: RaftLog
  readonly told = new Told()
  readonly clock: FakeClock
  readonly #segmentBytes: number
  #writeSeq = 0

  constructor(log: RaftLog, clock: FakeClock, segmentBytes = SEGMENT_BYTES) {
    this.log = log
    this.clock = clock
    this.#segmentBytes = segmentBytes
    log.listen({
      written: done => {
        this.told.written = done
        this.told.writes.push(done)
      },
      synced: index => {
        this.told.synced = index
      },
      failed: operation => void this.told.failures.push(operation),
      diskFull: full => void this.told.full.push(full),
      damaged: fault => void this.told.damaged.push(fault)
    })
  }

  static async start(disk: MemoryDisk, options: Partial<LogOptions> = {}): Promise<Process> {
    const clock = new FakeClock()
    const opening = openLog({ ...logOptions(disk.mount(), clock), ...options })
    let done = false
    const finish = (): void => {
      done = true
    }
    opening.then(finish, finish)
    for (let i = 0; i < TICKS_MAX && !done; i++) await tick(clock)
    return new Process(await opening, clock, options.segmentBytes)
  }

  /** An entry that continues the log, not appended. */
  make(bodyBytes: number, { term = 0, fill = 0 } = {}): Entry {
    const segmentBytes = this.#segmentBytes
    const { log } = this
    return makeEntry(log, bodyBytes, term || Math.max(1, log.lastTerm), fill, segmentBytes)
  }

  append(bodyBytes: number, options: { term?: number; fill?: number } = {}): Entry {
    const entry = this.make(bodyBytes, options)
    this.#writeSeq += 1
    this.log.append([entry], this.#writeSeq)
    return entry
  }

  cut(fromIndex: number, forgets = false): void {
    this.#writeSeq += 1
    this.log.cut(fromIndex, this.#writeSeq, forgets)
  }

  /** Lets time pass until it is so. */
  async until(what: string, condition: () => boolean): Promise<void> {
    for (let i = 0; i < TICKS_MAX; i++) {
      if (condition()) return
      await tick(this.clock)
    }
    throw new Error(`it never came to this: ${what}`)
  }

  /** All that was appended is acknowledged. */
  written(): Promise<void> {
    return this.until('all is written', () => this.log.writtenIndex === this.log.lastIndex)
  }

  /** Enough time for everything in the background. */
  async rest(turns = 400): Promise<void> {
    for (let i = 0; i < turns; i++) await tick(this.clock)
  }

  async wait<T>(promise: Promise<T>): Promise<T> {
    let done = false
    const finish = (): void => {
      done = true
    }
    promise.then(finish, finish)
    await this.until('the promise is settled', () => done)
    return promise
  }

  async stop(): Promise<void> {
    await this.wait(this.log.close({ orderly: true }))
  }
}

async function tick(clock: FakeClock): Promise<void> {
  clock.advance(1)
  await new Promise<void>(resolve => setImmediate(resolve))
}

export function makeEntry(
  log: RaftLog,
  bodyBytes: number,
  term: number,
  fill = 0,
  segmentBytes = SEGMENT_BYTES
): Entry {
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + bodyBytes, fill || (log.lastIndex % 250) + 1)
  return sealEntry(bytes, {
    index: log.lastIndex + 1,
    term,
    position: positionAfter(log.endPosition, bytes.length, segmentBytes),
    kind: EntryKind.messages,
    flags: 0,
    count: 1,
    timeMs: 1000 + log.lastIndex,
    prevCrc: log.lastHeaderCrc
  })
}

/** All entries from the first one on, read the way a follower's catch-up does. */
export async function readAll(process: Process): Promise<Entry[]> {
  const entries: Entry[] = []
  for (let index = process.log.firstIndex; index <= process.log.lastIndex; ) {
    const read = await process.wait(process.log.readEntries(index, 3000))
    entries.push(...read)
    index += read.length
  }
  return entries
}
