/**
 * Finds messages by key (broker.md 3.4): one record for UNIQ_KEY and for each word of KEYS.
 *
 *   apply → chunk (memory, unsorted) → sorted chunks → run on the disk → merged runs of higher levels
 *                                    ^ four at a time, when their entries are durable here (R-D5)
 *
 * Derived: after a start everything behind the last run is indexed again from the log.
 */
import { join } from 'node:path'
import type { Disk, DiskFile, Logger } from '../platform/index.ts'
import { putUint48 } from '../protocol/index.ts'
import { FileCache } from './fileCache.ts'
import { CHUNK_RECORDS, IndexChunk, type SortedChunk, searchSorted } from './indexChunk.ts'
import {
  mergeRuns,
  RecordStream,
  RunDamagedError,
  type RunRecord,
  runBytes,
  runFileName,
  searchRun,
  verifyRun
} from './indexRun.ts'
import type { KeySink } from './keySink.ts'
import type { KeyValueChange, KeyValueStore } from './keyValueStore.ts'
import { RecordKind } from './tablesCodec.ts'

const RUN_CHUNKS = 4
/** That many runs of a level become one of the next. */
const LEVEL_RUNS = 4
/** Runs of this level are not merged any more: they go as a whole when the log is trimmed. 16 million records. */
const LEVEL_MAX = 3
/** A run is written at the latest when its messages span this: bounds what a start indexes again. */
const RUN_LOG_BYTES = 256 * 1024 * 1024
/** Beyond, the disk does not follow: sends are refused. */
const SORTED_CHUNKS_MAX = 64
const OPEN_RUNS_MAX = 32

export class KeyIndex implements KeySink {
  /** Told of each damaged run that a read meets. */
  onDamage: (run: RunRecord) => void = () => {}
  readonly #disk: Disk
  readonly #directory: string
  readonly #state: KeyValueStore
  readonly #logger: Logger
  readonly #files: FileCache
  readonly #chunkRecords: number
  #chunk: IndexChunk
  #sorted: SortedChunk[] = []
  /** Oldest first. */
  #runs: RunRecord[] = []
  /** Their files were missing or cut when the index was opened. */
  readonly #lost = new Set<RunRecord>()
  #nextSequence = 1
  #startPosition = 0
  #work: Promise<void> = Promise.resolve()
  #working = false
  #currentIndex = 0
  lastTimestamp = 0
  lastPosition = 0

  constructor(
    disk: Disk,
    directory: string,
    state: KeyValueStore,
    logger: Logger,
    chunkRecords = CHUNK_RECORDS
  ) {
    this.#disk = disk
    this.#directory = directory
    this.#state = state
    this.#logger = logger
    this.#chunkRecords = chunkRecords
    this.#chunk = new IndexChunk(chunkRecords)
    this.#files = new FileCache(disk, OPEN_RUNS_MAX)
  }

  /** `runs` as the state database has them; files that it does not know are left from an interrupted write. */
  async open(runs: readonly RunRecord[]): Promise<void> {
    await this.#disk.makeDirectory(this.#directory)
    this.#runs = [...runs].sort((a, b) => a.firstPosition - b.firstPosition)
    const known = new Map(runs.map(run => [runFileName(run.sequence), run]))
    for (const info of await this.#disk.list(this.#directory)) {
      const run = known.get(info.name)
      if (run === undefined) await this.#disk.remove(join(this.#directory, info.name))
      else if (info.bytes === runBytes(run)) known.delete(info.name)
    }
    for (const run of known.values()) this.#lost.add(run)
    for (const run of this.#runs) {
      this.#nextSequence = Math.max(this.#nextSequence, run.sequence + 1)
      this.lastTimestamp = Math.max(this.lastTimestamp, run.endTime)
      this.lastPosition = Math.max(this.lastPosition, run.lastPosition)
    }
  }

  /** Damaged runs that were found by `open`. */
  get lost(): readonly RunRecord[] {
    return [...this.#lost]
  }

  get runs(): readonly RunRecord[] {
    return this.#runs
  }

  /** Knows the runs, without a look at the files and without removing any: for tools. */
  look(runs: readonly RunRecord[]): void {
    this.#runs = [...runs]
  }

  get runCount(): number {
    return this.#runs.length
  }

  /** More is waiting for the disk than should. */
  get isBehind(): boolean {
    return this.#sorted.length >= SORTED_CHUNKS_MAX
  }

  /** Everything up to here is in the runs; `appliedIndex` when nothing is in memory only. */
  completeIndex(appliedIndex: number): number {
    if (this.#sorted.length === 0 && this.#chunk.records === 0) return appliedIndex
    return this.#runs.at(-1) === undefined ? 0 : this.#completeOnDisk()
  }

  add(hash: number, position: number, time: number, entryIndex: number): void {
    if (this.#chunk.isFull) this.#seal(entryIndex - 1)
    this.#currentIndex = entryIndex
    this.#chunk.add(hash, position, time)
    this.lastPosition = position
    this.lastTimestamp = time
  }

  /** Writes a run when there is enough for one, merges when there are enough runs. In the background; once at a time. */
  maintain(durableIndex: number): void {
    if (this.#working) return
    const chunk = this.#chunk
    if (chunk.records > 0 && chunk.range.lastPosition - chunk.range.firstPosition > RUN_LOG_BYTES) {
      this.#seal(this.#currentIndex)
    }
    this.#working = true
    this.#work = this.#maintain(durableIndex)
      .catch((error: unknown) => {
        this.#logger.error('The key index could not be written; it is tried again', {
          directory: this.#directory,
          error
        })
      })
      .finally(() => {
        this.#working = false
      })
  }

  /** Resolves when what `maintain` began is done. */
  idle(): Promise<void> {
    return this.#work
  }

  /** Everything in memory goes to the disk. Only when all of it is durable in the log. */
  async flush(): Promise<void> {
    await this.#work
    if (this.#chunk.records > 0) this.#seal(this.#currentIndex)
    while (this.#sorted.length > 0) await this.#writeRun(Math.min(RUN_CHUNKS, this.#sorted.length))
  }

  /** The same at a stop. False: the keys stay to be applied again by the next start. */
  async tryFlush(): Promise<boolean> {
    try {
      await this.flush()
      return true
    } catch (error) {
      this.#logger.error('The key index could not be written at the stop', { error })
      return false
    }
  }

  /** Positions that may have the key, the last in the log first, without repeats. */
  async search(
    hash: number,
    beginTime: number,
    endTime: number,
    max: number,
    belowPosition: number
  ): Promise<number[]> {
    const found: number[] = []
    this.#chunk.search(hash, beginTime, endTime, max, found)
    for (const chunk of this.#sorted) {
      searchSorted(chunk.bytes, chunk.records, hash, beginTime, endTime, max, found)
    }
    for (const run of [...this.#runs].reverse()) {
      if (run.endTime < beginTime || run.beginTime > endTime) continue
      const path = join(this.#directory, runFileName(run.sequence))
      try {
        await this.#files.use(path, false, file =>
          searchRun(file, run, hash, beginTime, endTime, max, found)
        )
      } catch (error) {
        // Merged away in the meantime: its records are in another run. Anything else is told.
        if (this.#runs.includes(run)) throw this.#damageOf(run, error)
        return await this.search(hash, beginTime, endTime, max, belowPosition)
      }
    }
    const unique = new Set(found.filter(position => position < belowPosition))
    return [...unique].sort((a, b) => b - a)
  }

  /** Reads a whole run; resolves to false when it is damaged (`onDamage` was told), true also when it is gone meanwhile. */
  async verify(run: RunRecord, paused: (bytes: number) => Promise<void>): Promise<boolean> {
    const path = join(this.#directory, runFileName(run.sequence))
    try {
      await this.#files.use(path, false, file => verifyRun(file, run, paused))
      return true
    } catch (error) {
      if (!this.#runs.includes(run)) return true
      const damage = this.#damageOf(run, error)
      if (damage instanceof RunDamagedError) return false
      throw damage
    }
  }

  /**
   * Puts runs in the place of a damaged one: `fill` adds its keys again, of all messages between its positions, and may
   * wait; `room` is to be awaited now and then, it writes what is full. New runs are written and merged meanwhile.
   */
  async replace(
    damaged: RunRecord,
    fill: (sink: KeySink, room: () => Promise<void>) => Promise<void>
  ): Promise<void> {
    if (!this.#runs.includes(damaged)) return
    // From now on no merge takes it.
    this.#lost.add(damaged)
    const runs: RunRecord[] = []
    try {
      await this.#fill(damaged, runs, fill)
      while (this.#working) await this.#work
      this.#working = true
      const put = this.#put(damaged, runs).finally(() => {
        this.#working = false
      })
      this.#work = put.catch(() => {})
      await put
    } catch (error) {
      if (!runs.some(run => this.#runs.includes(run))) await this.#removeFiles(runs).catch(() => {})
      throw error
    }
  }

  async #fill(
    damaged: RunRecord,
    runs: RunRecord[],
    fill: (sink: KeySink, room: () => Promise<void>) => Promise<void>
  ): Promise<void> {
    let sorted: SortedChunk[] = []
    let chunk = new IndexChunk(this.#chunkRecords)
    const seal = (): void => {
      if (chunk.records > 0) sorted.push(chunk.sort(0, 0))
      chunk = new IndexChunk(this.#chunkRecords)
    }
    const write = async (): Promise<void> => {
      const streams = sorted.map(({ bytes }) => RecordStream.ofMemory(bytes))
      sorted = []
      runs.push(await this.#write(streams, 0, damaged.completeIndex))
    }
    const sink: KeySink = {
      add: (hash, position, time) => {
        if (chunk.isFull) seal()
        chunk.add(hash, position, time)
      }
    }
    await fill(sink, async () => {
      if (sorted.length >= RUN_CHUNKS) await write()
    })
    seal()
    // One at least, for it says up to where the index is complete.
    if (sorted.length > 0 || runs.length === 0) await write()
  }

  async #put(damaged: RunRecord, runs: readonly RunRecord[]): Promise<void> {
    if (!this.#runs.includes(damaged)) {
      // Trimmed meanwhile.
      await this.#removeFiles(runs)
      return
    }
    const changes: KeyValueChange[] = runs.map(runChange)
    changes.push({ key: runKey(damaged.sequence), value: null })
    await this.#state.write(changes, { sync: false })
    this.#runs = [...this.#runs.filter(run => run !== damaged), ...runs].sort(
      (a, b) => a.firstPosition - b.firstPosition
    )
    this.#lost.delete(damaged)
    await this.#removeFiles([damaged])
  }

  #damageOf(run: RunRecord, error: unknown): unknown {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    if (!isMissing && !(error instanceof RunDamagedError)) return error
    this.onDamage(run)
    return isMissing ? new RunDamagedError(run.sequence, 'is missing') : error
  }

  /** The log begins at this position now: runs wholly below go. */
  async trim(position: number): Promise<void> {
    this.#startPosition = position
    await this.#work
    const gone = this.#runs.filter(run => run.lastPosition < position)
    // The last one says up to where the index is complete.
    if (gone.length > 0 && gone.length === this.#runs.length) gone.pop()
    if (gone.length === 0) return
    await this.#state.write(
      gone.map(run => ({ key: runKey(run.sequence), value: null })),
      { sync: false }
    )
    this.#runs = this.#runs.filter(run => !gone.includes(run))
    await this.#removeFiles(gone)
  }

  async close(): Promise<void> {
    await this.#work
    await this.#files.closeAll()
  }

  #completeOnDisk(): number {
    let complete = 0
    for (const run of this.#runs) complete = Math.max(complete, run.completeIndex)
    return complete
  }

  #seal(completeIndex: number): void {
    this.#sorted.push(this.#chunk.sort(completeIndex, this.#currentIndex))
    this.#chunk = new IndexChunk(this.#chunkRecords)
  }

  async #maintain(durableIndex: number): Promise<void> {
    const ready = this.#sorted.filter(chunk => chunk.lastIndex <= durableIndex)
    const spanBytes =
      ready.length === 0 ? 0 : ready.at(-1)!.range.lastPosition - ready[0]!.range.firstPosition
    if (ready.length >= RUN_CHUNKS || spanBytes >= RUN_LOG_BYTES) {
      await this.#writeRun(Math.min(RUN_CHUNKS, ready.length))
    }
    for (let level = 0; level < LEVEL_MAX; level++) {
      const runs = this.#runs.filter(run => run.level === level && !this.#lost.has(run))
      if (runs.length >= LEVEL_RUNS) await this.#merge(runs.slice(0, LEVEL_RUNS), level + 1)
    }
  }

  async #writeRun(count: number): Promise<void> {
    const chunks = this.#sorted.slice(0, count)
    const streams = chunks.map(chunk => RecordStream.ofMemory(chunk.bytes))
    const run = await this.#write(streams, 0, chunks.at(-1)!.completeIndex)
    await this.#state.write([runChange(run)], { sync: false })
    this.#sorted = this.#sorted.slice(count)
    this.#runs.push(run)
  }

  async #merge(runs: readonly RunRecord[], level: number): Promise<void> {
    const files: { close(): Promise<void> }[] = []
    let merged: RunRecord
    try {
      const streams: RecordStream[] = []
      for (const run of runs) {
        const file = await this.#openRun(run)
        files.push(file)
        streams.push(RecordStream.ofFile(file, run))
      }
      const completeIndex = Math.max(...runs.map(run => run.completeIndex))
      merged = await this.#write(streams, level, completeIndex)
    } catch (error) {
      if (!(error instanceof RunDamagedError)) throw error
      const damaged = runs.find(run => run.sequence === error.sequence) as RunRecord
      this.#lost.add(damaged)
      this.onDamage(damaged)
      return
    } finally {
      for (const file of files) await file.close()
    }
    const changes: KeyValueChange[] = [runChange(merged)]
    for (const run of runs) changes.push({ key: runKey(run.sequence), value: null })
    await this.#state.write(changes, { sync: false })
    const at = this.#runs.indexOf(runs[0]!)
    this.#runs = this.#runs.filter(run => !runs.includes(run))
    this.#runs.splice(Math.max(at, 0), 0, merged)
    await this.#removeFiles(runs)
  }

  async #openRun(run: RunRecord): Promise<DiskFile> {
    const path = join(this.#directory, runFileName(run.sequence))
    if (!(await this.#disk.exists(path))) throw new RunDamagedError(run.sequence, 'is missing')
    return await this.#disk.open(path)
  }

  async #write(streams: RecordStream[], level: number, completeIndex: number): Promise<RunRecord> {
    const sequence = this.#nextSequence++
    const path = join(this.#directory, runFileName(sequence))
    const merged = await mergeRuns(this.#disk, streams, path, sequence, this.#startPosition)
    await this.#disk.syncDirectory(this.#directory)
    const { firstPosition, lastPosition, beginTime, endTime } = merged.range
    return {
      sequence,
      level,
      records: merged.records,
      completeIndex,
      firstPosition,
      lastPosition,
      beginTime,
      endTime,
      checked: true
    }
  }

  async #removeFiles(runs: readonly RunRecord[]): Promise<void> {
    for (const run of runs) {
      const path = join(this.#directory, runFileName(run.sequence))
      await this.#files.drop(path)
      await this.#disk.remove(path)
    }
  }
}

function runKey(sequence: number): Buffer {
  const key = Buffer.from(`${RecordKind.run}......`)
  putUint48(key, 1, sequence)
  return key
}

function runChange(run: RunRecord): KeyValueChange {
  return { key: runKey(run.sequence), value: Buffer.from(JSON.stringify(run)) }
}
