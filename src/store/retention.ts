/**
 * When old messages go (broker.md 3.7, raft.md 4.10): the leader looks every 10 s and decides by age and by how full the
 * disk is, over whole segments; the decision is a command in the log, carried out by trimmer.ts on every replica.
 * Also watches whether sends can be taken at all.
 */
import type { Clock, Disk, Logger, Timer } from '../platform/index.ts'
import { NotLeaderError, type RaftNode, type SegmentInfo } from '../raft/index.ts'
import type { Command } from './commands.ts'
import type { Lookups } from './lookups.ts'
import type { QueueTable } from './queueTable.ts'
import type { Tables } from './tables.ts'
import { SCHEDULE_TOPIC } from './tagsCode.ts'
import type { Trimmer } from './trimmer.ts'

const SPACE_INTERVAL_MS = 1_000
/** Removed in one pass at most, as the original. */
const SEGMENTS_A_PASS = 10

export interface RetentionSettings {
  fileReservedMs: number
  deleteWhenHours: readonly number[]
  diskMaxUsedPercent: number
  diskForcePercent: number
  diskFullPercent: number
  cleanFileForcibly: boolean
  cleanIntervalMs: number
}

export interface RetentionHost {
  readonly clock: Clock
  readonly disk: Disk
  readonly logger: Logger
  readonly directory: string
  readonly tables: Tables
  readonly queues: QueueTable
  readonly lookups: Lookups
  readonly trimmer: Trimmer
  node(): RaftNode
  execute(command: Command): Promise<unknown>
}

export class Retention {
  readonly #host: RetentionHost
  readonly #settings: RetentionSettings
  #timer: Timer | null = null
  #busy = false
  #cleanDueMs: number
  /** Time of the last applied entry, and when it was seen first (monotonic). */
  #logTime = { timeMs: 0, seenMs: 0 }
  /** Share of the disk that is used, whole per cent rounded up, as the original compares it. */
  usedPercent = 0
  diskFull = false

  constructor(host: RetentionHost, settings: RetentionSettings) {
    this.#host = host
    this.#settings = settings
    this.#cleanDueMs = host.clock.monotonicMs() + settings.cleanIntervalMs
  }

  async start(): Promise<void> {
    await this.#lookAtDisk()
    this.#timer = this.#host.clock.every(SPACE_INTERVAL_MS, () => this.#tick())
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Expired segments go now, whatever the hour. False: there are none, or this node does not lead. */
  cleanExpired(): Promise<boolean> {
    return this.#clean(true)
  }

  #tick(): void {
    this.#nowMs()
    if (this.#busy) return
    this.#busy = true
    this.#pass()
      .catch((error: unknown) => {
        this.#host.logger.warn('The disk could not be looked after; it is tried again', { error })
      })
      .finally(() => {
        this.#busy = false
      })
  }

  /** The log's time, gone on since its last entry, if the wall clock is ahead of it: one that was set wrong must not let everything expire. */
  #nowMs(): number {
    const { clock, tables } = this.#host
    const monotonicMs = clock.monotonicMs()
    if (tables.timeMs !== this.#logTime.timeMs)
      this.#logTime = { timeMs: tables.timeMs, seenMs: monotonicMs }
    return Math.min(clock.wallMs(), tables.timeMs + monotonicMs - this.#logTime.seenMs)
  }

  get mustTrim(): boolean {
    return this.usedPercent > this.#settings.diskForcePercent && this.#settings.cleanFileForcibly
  }

  async #pass(): Promise<void> {
    await this.#lookAtDisk()
    const nowMs = this.#host.clock.monotonicMs()
    const urgent = this.usedPercent > this.#settings.diskForcePercent
    if (nowMs < this.#cleanDueMs && !urgent) return
    this.#cleanDueMs = nowMs + this.#settings.cleanIntervalMs
    this.#host.trimmer.look()
    await this.#clean(false)
  }

  async #lookAtDisk(): Promise<void> {
    const { disk, directory, logger } = this.#host
    const space = await disk.space(directory)
    this.#host.node().spaceSeen(space)
    const { totalBytes, freeBytes } = space
    this.usedPercent = totalBytes === 0 ? 0 : Math.ceil((1 - freeBytes / totalBytes) * 100)
    const full = this.usedPercent > this.#settings.diskFullPercent
    const cleared = this.usedPercent <= this.#settings.diskForcePercent
    if (full && !this.diskFull) {
      logger.error('The disk is full: sends are refused', { directory, percent: this.usedPercent })
    }
    // Between the two it stays as it was (broker.md 3.7).
    if (full) this.diskFull = true
    else if (cleared) {
      if (this.diskFull) logger.info('The disk has room again', { percent: this.usedPercent })
      this.diskFull = false
    }
  }

  async #clean(manual: boolean): Promise<boolean> {
    const { node, execute, tables, logger } = this.#host
    if (!node().ready) return false
    const segments = node().segments()
    const forced = this.mustTrim
    const first = segments[await this.#countToDrop(segments, forced, manual)]
    if (first === undefined || first.firstPosition <= tables.trim.position) return false
    const { firstIndex: index, firstPosition: position } = first
    logger.info('Old segments of the log go', {
      index,
      position,
      forced,
      percent: this.usedPercent
    })
    try {
      await execute.call(this.#host, { type: 'trimPrefix', index, position })
      return true
    } catch (error) {
      if (error instanceof NotLeaderError) return false
      throw error
    }
  }

  async #countToDrop(
    segments: readonly SegmentInfo[],
    forced: boolean,
    manual: boolean
  ): Promise<number> {
    const { clock } = this.#host
    const settings = this.#settings
    const nowMs = this.#nowMs()
    const byTime =
      manual ||
      this.usedPercent > settings.diskMaxUsedPercent ||
      settings.deleteWhenHours.includes(new Date(clock.wallMs()).getHours())
    if (!byTime && !forced) return 0
    const needed = forced ? null : await this.#firstNeeded()
    // Not even a full disk may take a half message away: nobody could commit it any more. It ends with its last check, or of age.
    const inDoubt = this.#host.tables.inDoubt.oldestPosition
    // Nor what waits for a time of its own: it was accepted, and nobody else has it.
    const waiting = this.#host.tables.timers.oldestPosition
    // Nor what a pop gave out: it may have to be given out again.
    const popped = this.#host.tables.pops.oldestPosition
    let count = 0
    while (count < SEGMENTS_A_PASS && count + 1 < segments.length) {
      const segment = segments[count]!
      const next = segments[count + 1]!
      const expired = segment.lastTimeMs + settings.fileReservedMs < nowMs
      if (!segment.sealed || !(expired || forced) || next.firstIndex === 0) break
      if (next.firstPosition > inDoubt || next.firstPosition > waiting) break
      if (next.firstPosition > popped) break
      // A member that lags is spared the copy of a whole log.
      if (needed !== null && next.firstIndex > needed.index) break
      if (needed !== null && next.firstPosition > needed.position) break
      count += 1
    }
    return count
  }

  /** What members still have to fetch, by appends or by a snapshot, and delayed messages that were not delivered yet. */
  async #firstNeeded(): Promise<{ index: number; position: number }> {
    const { node, queues, tables, lookups } = this.#host
    let index = Number.MAX_SAFE_INTEGER
    // A member that does not answer gets a snapshot when it comes back; so does one that is behind the beginning already.
    const start = node().segments()[0]?.firstIndex ?? 0
    for (const { active, matchIndex } of node().status().peers)
      if (active && matchIndex + 1 >= start) index = Math.min(index, matchIndex + 1)
    let position = node().snapshotFloor
    for (const queueId of queues.queueIds(SCHEDULE_TOPIC)) {
      const queue = queues.find(SCHEDULE_TOPIC, queueId)
      if (queue === undefined) continue
      const next = Math.max(queue.minOffset, tables.delayProgress(queueId + 1))
      const unit = next < queue.maxOffset ? await lookups.unit(queue, next) : null
      if (unit !== null) position = Math.min(position, unit.physicalOffset)
    }
    return { index, position }
  }
}
