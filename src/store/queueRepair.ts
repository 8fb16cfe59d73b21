/**
 * Blocks of consume queues, built again from the log. One pass over a part of the log serves all blocks that lie in it, and
 * each is written as soon as the pass is behind it: what stands in the way of one does not hold up the others.
 */
import type { Logger } from '../platform/index.ts'
import { putInt32, putInt64 } from '../protocol/index.ts'
import type { LogReader } from '../raft/index.ts'
import type { Checkpoints } from './checkpoint.ts'
import { type ConsumeQueue, UNIT_BYTES, UnitSpan, unitPosition } from './consumeQueue.ts'
import type { KeyValueStore } from './keyValueStore.ts'
import { type ScanVisitor, scanMessages } from './logScan.ts'
import { checkedCrc } from './queueChecks.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'
import { belongsToQueue } from './storedMessageView.ts'
import { tagsCodeOf } from './tagsCode.ts'

/** 40 MiB of units at a time. */
const BLOCKS_AT_ONCE = 2048

export interface QueueRepairHost {
  readonly logger: Logger
  readonly state: KeyValueStore
  readonly files: QueueFiles
  readonly queues: QueueTable
  readonly checkpoints: Checkpoints
  readonly delayLevelsMs: readonly number[]
  log(): LogReader
  appliedPosition(): number
  /** The queue's record must be written again. */
  noteChanged(queue: ConsumeQueue): void
  /** Whether the block is to be built again, and not to be believed. */
  isDamaged(queue: ConsumeQueue, first: number): boolean
  /** The block is whole, or not needed any more. */
  done(queue: ConsumeQueue, first: number, rebuilt: boolean): void
  failed(queue: ConsumeQueue, first: number, error: unknown): void
}

/** One block that is built again. */
export interface Job {
  readonly queue: ConsumeQueue
  readonly first: number
  readonly units: number
  readonly bytes: Buffer
  readonly found: Uint8Array
  readonly fromPosition: number
  endPosition: number
  /** Units that were not found yet. */
  missing: number
  /** It was compared with its checksum as it is now, and was another. */
  refuted: boolean
}

export class QueueRepair {
  readonly #host: QueueRepairHost

  constructor(host: QueueRepairHost) {
    this.#host = host
  }

  /** What is to be done for these blocks; those that are not needed any more are done. */
  async jobs(blocks: Iterable<readonly [ConsumeQueue, readonly number[]]>): Promise<Job[]> {
    const { files, log } = this.#host
    const { geometry } = files.checks
    const jobs: Job[] = []
    for (const [queue, firsts] of blocks) {
      for (const first of firsts) {
        const end = Math.min(geometry.blockEnd(first), queue.flushedOffset)
        if (queue.removed || end <= queue.minOffset || end <= first) {
          this.#host.done(queue, first, false)
          continue
        }
        if (jobs.length === BLOCKS_AT_ONCE) return withKnownEnds(jobs)
        const units = end - first
        const before = jobs.at(-1)
        const fromPosition =
          before !== undefined && isNext(before, queue, first)
            ? before.fromPosition
            : await this.#positionBefore(queue, first)
        jobs.push({
          queue,
          first,
          units,
          bytes: Buffer.alloc(units * UNIT_BYTES),
          found: new Uint8Array(units),
          fromPosition: Math.max(fromPosition, log().startPosition),
          endPosition: await this.#positionBehind(queue, end),
          missing: units - Math.max(0, queue.minOffset - first),
          refuted: false
        })
      }
    }
    return withKnownEnds(jobs)
  }

  /** Ends all jobs, by `done` or `failed`, but those behind a place where the log cannot be read: at least one. */
  async rebuild(
    jobs: readonly Job[],
    visit: (message: ScanVisitor['message']) => ScanVisitor
  ): Promise<void> {
    for (const group of groupsOf(jobs)) await this.#rebuildGroup(group, visit)
  }

  async #rebuildGroup(
    group: readonly Job[],
    visit: (message: ScanVisitor['message']) => ScanVisitor
  ): Promise<void> {
    const fromPosition = group[0]!.fromPosition
    const endPosition = Math.max(...group.map(job => job.endPosition))
    let open = group
    let seenPosition = fromPosition
    const take = this.#collector(group)
    const visitor = visit((view, index) => {
      seenPosition = view.physicalOffset + view.size
      take(view, index)
    })
    const pieceDone = async (bytes: number): Promise<boolean> => {
      await visitor.pieceDone(bytes)
      const ready = new Set<Job>()
      for (const job of open) {
        if (job.endPosition <= seenPosition || (await this.#isProved(job))) ready.add(job)
      }
      if (ready.size === 0) return true
      open = open.filter(job => !ready.has(job))
      await this.#writeAll([...ready])
      return open.length > 0
    }
    try {
      await scanMessages(this.#host.log(), { fromPosition, endPosition }, { ...visitor, pieceDone })
    } catch (error) {
      for (const { queue, first, fromPosition: from } of open) {
        if (from <= seenPosition) this.#host.failed(queue, first, error)
      }
      return
    }
    if (open.length > 0) await this.#writeAll(open)
  }

  /** All of its units are there, and make the checksum that they must have: nothing behind can change it. */
  async #isProved(job: Job): Promise<boolean> {
    const { queue, first, units, bytes } = job
    if (job.missing > 0 || job.refuted) return false
    if (Math.max(first, queue.minOffset) < queue.checkedFrom) return false
    const { checks } = this.#host.files
    const blockEnd = checks.geometry.blockEnd(first)
    if (first + units !== Math.min(blockEnd, queue.flushedOffset)) return false
    const isWhole = first + units === blockEnd
    const expected = isWhole ? await checks.expected(queue, first) : queue.flushedCrc
    job.refuted = checkedCrc(queue, first, bytes) !== expected
    return !job.refuted
  }

  /** Puts the units of messages into the blocks that they belong to. */
  #collector(jobs: readonly Job[]): ScanVisitor['message'] {
    const { queues, delayLevelsMs, files } = this.#host
    const byQueue = new Map<ConsumeQueue, Map<number, Job>>()
    for (const job of jobs) {
      const blocks = byQueue.get(job.queue) ?? new Map<number, Job>()
      byQueue.set(job.queue, blocks.set(job.first, job))
    }
    return view => {
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
      if (job.found[unit] === 0 && view.queueOffset >= queue.minOffset) job.missing -= 1
      job.found[unit] = 1
      job.refuted = false
    }
  }

  async #writeAll(jobs: readonly Job[]): Promise<void> {
    await this.#host.checkpoints.exclusively(async () => {
      for (const job of jobs) {
        const { queue, first } = job
        try {
          await this.#write(job)
        } catch (error) {
          this.#host.failed(queue, first, error)
        }
      }
    })
  }

  /** Of the nearest unit before that can be believed; the log's start when there is none. */
  async #positionBefore(queue: ConsumeQueue, first: number): Promise<number> {
    const { files } = this.#host
    let before = first - 1
    while (before >= queue.minOffset) {
      const block = files.checks.geometry.blockFirst(before)
      const bytes = this.#host.isDamaged(queue, block) ? null : await files.readBlock(queue, block)
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
    if (unit < queue.flushedOffset && !this.#host.isDamaged(queue, block)) {
      const bytes = await files.readBlock(queue, block)
      const at = (unit - block) * UNIT_BYTES
      if (bytes !== null && at < bytes.length) return unitPosition(bytes, at)
    }
    return this.#host.appliedPosition()
  }

  async #write(job: Job): Promise<void> {
    const { queue, first, units } = job
    const { files, logger } = this.#host
    if (queue.removed || first + units <= queue.minOffset) {
      this.#host.done(queue, first, false)
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
    const crc = checkedCrc(queue, first, bytes)
    const expected = isWhole ? await files.checks.expected(queue, first) : queue.flushedCrc
    const isAsBefore = crc === expected || end <= queue.checkedFrom
    if (!isAsBefore && !behind.isCertain) throw new Error('more was written meanwhile')
    await files.rewrite(queue, first, bytes)
    if (!isAsBefore) await this.#adopt(queue, first, bytes, isWhole)
    this.#host.done(queue, first, true)
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
    const crc = checkedCrc(queue, first, bytes)
    if (isWhole) await state.write([files.checks.record(queue, first, crc)], { sync: false })
    else queue.flushedCrc = crc
    const synced = queue.syncedOffset - first
    if (synced > 0 && synced * UNIT_BYTES < bytes.length) {
      queue.syncedCrc = checkedCrc(queue, first, bytes.subarray(0, synced * UNIT_BYTES))
    }
    this.#host.noteChanged(queue)
  }
}

function isNext(before: Job, queue: ConsumeQueue, first: number): boolean {
  return before.queue === queue && before.first + before.units === first
}

/** Behind a damaged block the unit is not known, but that behind all of several in a row may be. */
function withKnownEnds(jobs: Job[]): Job[] {
  for (let at = jobs.length - 2; at >= 0; at--) {
    const job = jobs[at]!
    const next = jobs[at + 1]!
    if (isNext(job, next.queue, next.first)) job.endPosition = next.endPosition
  }
  return jobs
}

/** Those whose parts of the log overlap belong together; by their places in the log. */
function groupsOf(jobs: readonly Job[]): Job[][] {
  const groups: Job[][] = []
  let endPosition = -1
  for (const job of [...jobs].sort((a, b) => a.fromPosition - b.fromPosition)) {
    if (job.fromPosition < endPosition) groups.at(-1)!.push(job)
    else groups.push([job])
    endPosition = Math.max(endPosition, job.endPosition)
  }
  return groups
}
