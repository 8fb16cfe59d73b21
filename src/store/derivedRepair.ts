/**
 * Builds again, from the log, what is damaged of the files that were made from it: blocks of consume queues and runs of
 * the key index (raft.md 4.9: derived data is rebuilt). Reads tell of damage; one pass over the log serves all blocks
 * that are known by then. A part of the log that is damaged itself is repaired by the peers, and the pass tried again.
 */
import { crc32 } from 'node:zlib'
import type { Clock, Logger, Timer } from '../platform/index.ts'
import { putInt32, putInt64 } from '../protocol/index.ts'
import type { LogReader } from '../raft/index.ts'
import type { Checkpoints } from './checkpoint.ts'
import { type ConsumeQueue, UNIT_BYTES, UnitSpan, unitPosition } from './consumeQueue.ts'
import type { RunRecord } from './indexRun.ts'
import { topicSeed } from './keyHash.ts'
import type { KeyIndex } from './keyIndex.ts'
import { addKeys } from './keySink.ts'
import type { KeyValueStore } from './keyValueStore.ts'
import { type ScanVisitor, scanMessages } from './logScan.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'
import { belongsToQueue, type StoredMessageView } from './storedMessageView.ts'
import { tagsCodeOf } from './tagsCode.ts'

/** 40 MiB of units for one pass. */
const BLOCKS_A_PASS = 2048
/** A lost segment is repaired entry by entry: each that was not known to be damaged is met by a read of its own. */
const READ_RETRY_MS = 100
const READ_RETRIES_MAX = 100
const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 60_000

export interface DerivedRepairHost {
  readonly clock: Clock
  readonly logger: Logger
  readonly state: KeyValueStore
  readonly files: QueueFiles
  readonly queues: QueueTable
  readonly index: KeyIndex | null
  readonly checkpoints: Checkpoints
  readonly delayLevelsMs: readonly number[]
  log(): LogReader
  appliedPosition(): number
  /** The queue's record must be written again. */
  noteChanged(queue: ConsumeQueue): void
}

export interface DerivedDamage {
  /** Waiting to be built again. */
  readonly queueBlocks: number
  readonly indexRuns: number
  /** Built again since the start. */
  readonly rebuiltBlocks: number
  readonly rebuiltRuns: number
}

/** One block that is built again. */
interface Job {
  readonly queue: ConsumeQueue
  readonly first: number
  readonly units: number
  readonly bytes: Buffer
  readonly found: Uint8Array
  fromPosition: number
  endPosition: number
}

export class DerivedRepair {
  readonly #host: DerivedRepairHost
  readonly #blocks = new Map<ConsumeQueue, Set<number>>()
  readonly #runs = new Set<RunRecord>()
  #blockCount = 0
  #rebuiltBlocks = 0
  #rebuiltRuns = 0
  #running: Promise<void> | null = null
  #timer: Timer | null = null
  #retryMs = RETRY_MIN_MS
  /** When a failed pass may be repeated because somebody reads what it is for, monotonic ms. */
  #wantedFromMs = 0
  #started = false
  #stopped = false

  constructor(host: DerivedRepairHost) {
    this.#host = host
    host.files.onDamage = (queue, first) => this.queueDamaged(queue, first)
    if (host.index === null) return
    host.index.onDamage = run => this.runDamaged(run)
    for (const run of host.index.lost) this.runDamaged(run)
  }

  get damage(): DerivedDamage {
    return {
      queueBlocks: this.#blockCount,
      indexRuns: this.#runs.size,
      rebuiltBlocks: this.#rebuiltBlocks,
      rebuiltRuns: this.#rebuiltRuns
    }
  }

  queueDamaged(queue: ConsumeQueue, first: number): void {
    let blocks = this.#blocks.get(queue)
    if (blocks === undefined) {
      blocks = new Set()
      this.#blocks.set(queue, blocks)
    }
    if (blocks.has(first)) {
      this.#wanted()
      return
    }
    blocks.add(first)
    this.#blockCount += 1
    this.#host.files.forgetBlock(queue, first)
    // One line for a queue: a lost file has many blocks.
    if (blocks.size === 1) {
      const { topic, queueId } = queue
      this.#host.logger.error('Units of a queue are damaged; they are built again from the log', {
        topic,
        queueId,
        firstUnit: first
      })
    }
    this.#wake()
  }

  runDamaged(run: RunRecord): void {
    if (this.#runs.has(run)) {
      this.#wanted()
      return
    }
    this.#runs.add(run)
    this.#host.logger.error('A run of the key index is damaged; it is built again from the log', {
      run: run.sequence,
      records: run.records
    })
    this.#wake()
  }

  /** The log can be read from now on. */
  start(): void {
    this.#started = true
    this.#wake()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
    await this.#running
  }

  /** Resolves when everything is built again, or a pass has failed. */
  async settle(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  /** A reader waits for it: the pause after a failure need not go to its end, which may be a minute away. */
  #wanted(): void {
    if (this.#timer === null || this.#host.clock.monotonicMs() < this.#wantedFromMs) return
    this.#timer.cancel()
    this.#timer = null
    this.#wake()
  }

  #wake(delayMs = 0): void {
    if (!this.#started || this.#stopped || this.#running !== null || this.#timer !== null) return
    if (this.#blockCount + this.#runs.size === 0) return
    if (delayMs > 0) {
      this.#timer = this.#host.clock.after(delayMs, () => {
        this.#timer = null
        this.#wake()
      })
      return
    }
    const { clock } = this.#host
    const beganMs = clock.monotonicMs()
    this.#running = this.#pass().then(
      () => {
        this.#retryMs = RETRY_MIN_MS
        this.#ended(0)
      },
      (error: unknown) => {
        if (!this.#stopped) {
          this.#host.logger.warn('Damaged files could not be built again yet', {
            queueBlocks: this.#blockCount,
            indexRuns: this.#runs.size,
            error
          })
        }
        const nowMs = clock.monotonicMs()
        // Passes that fail late read much: at most half of the time.
        this.#wantedFromMs = nowMs + Math.max(RETRY_MIN_MS, nowMs - beganMs)
        this.#ended(this.#retryMs)
        this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
      }
    )
  }

  #ended(delayMs: number): void {
    this.#running = null
    this.#wake(delayMs)
  }

  async #pass(): Promise<void> {
    const jobs = await this.#jobs()
    if (jobs.length > 0) {
      await this.#scan(jobs)
      await this.#host.checkpoints.exclusively(async () => {
        for (const job of jobs) await this.#write(job)
      })
      this.#host.logger.info('Units of queues were built again', {
        blocks: jobs.length,
        left: this.#blockCount
      })
    }
    const [run] = this.#runs
    if (run !== undefined) await this.#rebuildRun(run)
  }

  /** What the next pass is for; blocks that are not needed any more are forgotten. */
  async #jobs(): Promise<Job[]> {
    const { files, log } = this.#host
    const { geometry } = files.checks
    const jobs: Job[] = []
    for (const [queue, blocks] of [...this.#blocks]) {
      for (const first of [...blocks].sort((a, b) => a - b)) {
        const end = Math.min(geometry.blockEnd(first), queue.flushedOffset)
        if (queue.removed || end <= queue.minOffset || end <= first) {
          this.#forget(queue, first)
          continue
        }
        if (jobs.length === BLOCKS_A_PASS) return jobs
        const units = end - first
        const before = jobs.at(-1)
        const continues = before?.queue === queue && before.first + before.units === first
        const fromPosition = continues
          ? before.fromPosition
          : await this.#positionBefore(queue, first)
        const endPosition = await this.#positionBehind(queue, end)
        if (continues) before.endPosition = Math.max(before.endPosition, endPosition)
        jobs.push({
          queue,
          first,
          units,
          bytes: Buffer.alloc(units * UNIT_BYTES),
          found: new Uint8Array(units),
          fromPosition: Math.max(fromPosition, log().startPosition),
          endPosition
        })
      }
    }
    return jobs
  }

  /** Of the nearest unit before that can be believed; the log's start when there is none. */
  async #positionBefore(queue: ConsumeQueue, first: number): Promise<number> {
    const { files } = this.#host
    const damaged = this.#blocks.get(queue)
    let before = first - 1
    while (before >= queue.minOffset) {
      const block = files.checks.geometry.blockFirst(before)
      const bytes = damaged?.has(block) ? null : await files.readBlock(queue, block)
      const at = (before - block) * UNIT_BYTES
      if (bytes !== null && at < bytes.length) return unitPosition(bytes, at)
      before = block - 1
    }
    return 0
  }

  /** Of the unit, if it can be believed; else the end of what is applied. */
  async #positionBehind(queue: ConsumeQueue, unit: number): Promise<number> {
    const { files } = this.#host
    const span = new UnitSpan()
    if (queue.spanInMemory(unit, span)) return unitPosition(span.bytes, span.at)
    const block = files.checks.geometry.blockFirst(unit)
    if (unit < queue.flushedOffset && !this.#blocks.get(queue)?.has(block)) {
      const bytes = await files.readBlock(queue, block)
      const at = (unit - block) * UNIT_BYTES
      if (bytes !== null && at < bytes.length) return unitPosition(bytes, at)
    }
    return this.#host.appliedPosition()
  }

  async #scan(jobs: readonly Job[]): Promise<void> {
    const { queues, delayLevelsMs, files, log } = this.#host
    const byQueue = new Map<ConsumeQueue, Map<number, Job>>()
    let fromPosition = Number.MAX_SAFE_INTEGER
    let endPosition = 0
    for (const job of jobs) {
      const blocks = byQueue.get(job.queue) ?? new Map<number, Job>()
      byQueue.set(job.queue, blocks.set(job.first, job))
      fromPosition = Math.min(fromPosition, job.fromPosition)
      endPosition = Math.max(endPosition, job.endPosition)
    }
    const message = (view: StoredMessageView): void => {
      if (!belongsToQueue(view.sysFlag)) return
      const queue = queues.findByBytes(view.bytes, view.topicStart, view.topicEnd, view.queueId)
      const blocks = queue === null ? undefined : byQueue.get(queue)
      if (queue === null || blocks === undefined) return
      const job = blocks.get(files.checks.geometry.blockFirst(view.queueOffset))
      const unit = view.queueOffset - (job?.first ?? 0)
      if (job === undefined || unit >= job.units) return
      if (view.physicalOffset < job.fromPosition || view.physicalOffset >= job.endPosition) return
      view.scanProperties()
      // Of a topic that was deleted and made again the log has several: the last is the one that counts.
      const at = unit * UNIT_BYTES
      putInt64(job.bytes, at, view.physicalOffset)
      putInt32(job.bytes, at + 8, view.size)
      putInt64(job.bytes, at + 12, tagsCodeOf(view, queue, delayLevelsMs))
      job.found[unit] = 1
    }
    await scanMessages(log(), { fromPosition, endPosition }, this.#visitor(message))
  }

  async #write(job: Job): Promise<void> {
    const { queue, first, units } = job
    const { files, logger } = this.#host
    if (queue.removed || first + units <= queue.minOffset) {
      this.#forget(queue, first)
      return
    }
    const missing = job.found.findIndex((found, i) => found === 0 && first + i >= queue.minOffset)
    if (missing !== -1) {
      const { topic, queueId } = queue
      logger.error('The log does not have the message of a queue unit', {
        topic,
        queueId,
        unit: first + missing
      })
      throw new Error(`queue ${topic}/${queueId} cannot be built again: unit ${first + missing}`)
    }
    const end = Math.min(files.checks.geometry.blockEnd(first), queue.flushedOffset)
    const behind = await this.#behind(job, end)
    const bytes = Buffer.concat([job.bytes, behind.bytes])
    const isWhole = end === files.checks.geometry.blockEnd(first)
    const crc = crc32(bytes)
    const expected = isWhole ? await files.checks.expected(queue, first) : queue.flushedCrc
    const isAsBefore = crc === expected || first < queue.checkedFrom
    if (!isAsBefore && !behind.isCertain) throw new Error('more was written meanwhile')
    await files.rewrite(queue, first, bytes)
    if (!isAsBefore) await this.#adopt(queue, first, bytes, isWhole)
    this.#forget(queue, first)
    this.#rebuiltBlocks += 1
  }

  /** The units of the block that were written since the pass began. */
  async #behind(
    { queue, first, units }: Job,
    end: number
  ): Promise<{ bytes: Uint8Array; isCertain: boolean }> {
    const from = first + units
    if (from >= end) return { bytes: new Uint8Array(0), isCertain: true }
    const span = new UnitSpan()
    if (queue.spanInMemory(from, span)) {
      const bytes = span.bytes.slice(span.at, span.at + (end - from) * UNIT_BYTES)
      return { bytes, isCertain: true }
    }
    const block = await this.#host.files.rawBlock(queue, first, end - first)
    if (block === null) throw new Error(`units from ${from} on cannot be read`)
    return { bytes: block.subarray(units * UNIT_BYTES), isCertain: false }
  }

  /** Units whose messages were trimmed are zeros now, and due times follow the levels of today: another checksum. */
  async #adopt(
    queue: ConsumeQueue,
    first: number,
    bytes: Uint8Array,
    isWhole: boolean
  ): Promise<void> {
    const { files, state } = this.#host
    const crc = crc32(bytes)
    if (isWhole) await state.write([files.checks.record(queue, first, crc)], { sync: false })
    else queue.flushedCrc = crc
    const synced = queue.syncedOffset - first
    if (synced > 0 && synced * UNIT_BYTES < bytes.length) {
      queue.syncedCrc = crc32(bytes.subarray(0, synced * UNIT_BYTES))
    }
    this.#host.noteChanged(queue)
  }

  async #rebuildRun(run: RunRecord): Promise<void> {
    const { index, log, logger } = this.#host
    await index?.replace(run, async (sink, room) => {
      const range = {
        fromPosition: Math.max(run.firstPosition, log().startPosition),
        endPosition: run.lastPosition + 1
      }
      const message = (view: StoredMessageView, entryIndex: number): void => {
        if (view.physicalOffset < run.firstPosition) return
        view.scanProperties()
        const topic = view.bytes.subarray(view.topicStart, view.topicEnd)
        addKeys(sink, view, topicSeed(topic), entryIndex)
      }
      await scanMessages(log(), range, this.#visitor(message, room))
    })
    this.#runs.delete(run)
    this.#rebuiltRuns += 1
    logger.info('A run of the key index was built again', { run: run.sequence })
  }

  #visitor(message: ScanVisitor['message'], room?: () => Promise<void>): ScanVisitor {
    let failures = 0
    return {
      message,
      pieceDone: async () => {
        failures = 0
        this.#mustGoOn()
        await room?.()
      },
      readFailed: async error => {
        this.#mustGoOn()
        failures += 1
        if (failures > READ_RETRIES_MAX) throw error
        await new Promise<void>(resolve => this.#host.clock.after(READ_RETRY_MS, resolve))
        this.#mustGoOn()
      }
    }
  }

  #mustGoOn(): void {
    if (this.#stopped) throw new Error('the store is being stopped')
  }

  #forget(queue: ConsumeQueue, first: number): void {
    const blocks = this.#blocks.get(queue)
    if (blocks?.delete(first) !== true) return
    this.#blockCount -= 1
    if (blocks.size === 0) this.#blocks.delete(queue)
  }
}
