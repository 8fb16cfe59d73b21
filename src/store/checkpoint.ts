/**
 * Writes derived state: what changed in the tables, the new units of the queues, and the index up to which both
 * are true, in this order, so that the last write makes the rest count.
 *
 *   capture (at applied index A) → wait until entry A is durable here (R-D5) → files of removed queues
 *     → queue units → one batch of the state database with A in it
 *
 * A failed step is tried again with the same capture: the state in memory stays right, only a restart would take longer.
 * Every 10 s, before the log is trimmed, when a topic was deleted, and at a stop the files are synced too: a start
 * after a power loss goes back to the last such index, and no queue was removed since then.
 */
import type { Clock, Logger, Timer } from '../platform/index.ts'
import type { ConsumeQueue } from './consumeQueue.ts'
import type { StoreCounters } from './counters.ts'
import type { KeyIndex } from './keyIndex.ts'
import type { KeyValueChange, KeyValueStore } from './keyValueStore.ts'
import type { Machine } from './machine.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { Tables } from './tables.ts'
import {
  encodeMeta,
  encodeQueue,
  type MetaRecord,
  queueKey,
  takeDirtyRecords
} from './tablesCodec.ts'

const SYNC_INTERVAL_MS = 10_000
const DURABLE_POLL_MS = 10
/**
 * Work may take a twentieth of the time: with ten thousand active queues, each with a file of its own, it takes more than a second.
 * At a fifth of the time these cost sends two thirds (bench/README.md, row `queues`).
 */
const REST_FACTOR = 19
const REST_MAX_MS = 30_000
/** Queues that are built again from the log grow as fast as that can be read. */
const REBUILD_REST_MS = 100
const SAY_AGAIN_MS = 30_000
/** Units kept in memory behind what is flushed, over all active queues: 32 MiB. */
const HOT_UNITS_ALL = (32 * 1024 * 1024) / 20
/** 80 MB of units. */
const UNFLUSHED_MESSAGES_MAX = 4_000_000
/** With so many no checkpoint rests longer than its interval. */
const UNFLUSHED_MESSAGES_REST = UNFLUSHED_MESSAGES_MAX / 4
const HOT_UNITS_MIN = 32
const HOT_UNITS_MAX = 4096

export interface CheckpointHost {
  readonly clock: Clock
  readonly logger: Logger
  readonly state: KeyValueStore
  readonly files: QueueFiles
  readonly tables: Tables
  readonly machine: Machine
  readonly index: KeyIndex | null
  readonly counters: StoreCounters
  readonly bootId: string
  readonly delayLevelsMs: readonly number[]
  durableIndex(): number
}

interface Capture {
  readonly index: number
  readonly changes: KeyValueChange[]
  readonly queues: ConsumeQueue[]
  /** For each of `queues`: its end at the capture. */
  readonly ends: number[]
  readonly removed: readonly ConsumeQueue[]
  readonly meta: MetaRecord
  readonly putMessages: number
  /** Checksums of the blocks that it filled. */
  readonly checks: KeyValueChange[]
  /** Those of removed queues; null: not gathered yet. */
  removedChecks: KeyValueChange[] | null
  sync: boolean
}

export class Checkpoints {
  readonly #host: CheckpointHost
  readonly #intervalMs: number
  #timer: Timer | null = null
  #running: Promise<void> = Promise.resolve()
  #stopped = false
  #capture: Capture | null = null
  #removed: ConsumeQueue[] = []
  /** Flushed, and not fdatasynced yet. */
  readonly #unsynced = new Set<ConsumeQueue>()
  /** More in memory than an idle queue should have. */
  #warm = new Set<ConsumeQueue>()
  #syncDueMs: number
  #sayAgainMs = 0
  #syncedIndex: number
  #flushedMessages = 0
  /** Up to here the state database and the queues' files are. */
  checkpointIndex: number

  /** `restored`: what the state database says; `queues`: as they were restored from it. */
  constructor(
    host: CheckpointHost,
    intervalMs: number,
    restored: { readonly checkpointIndex: number; readonly syncedIndex: number },
    queues: Iterable<ConsumeQueue>
  ) {
    this.#host = host
    this.#intervalMs = intervalMs
    this.checkpointIndex = restored.checkpointIndex
    this.#syncedIndex = restored.syncedIndex
    // A process that was killed has left these to the page cache: the next power loss would take them.
    for (const queue of queues) {
      if (queue.flushedOffset <= queue.syncedOffset) continue
      this.#unsynced.add(queue)
      host.files.notSynced(queue, queue.syncedOffset, queue.flushedOffset)
    }
    this.#syncDueMs = host.clock.monotonicMs() + SYNC_INTERVAL_MS
    this.#flushedMessages = host.counters.putMessages
  }

  /** The disk does not follow: what is only in memory would outgrow it. */
  get isBehind(): boolean {
    return this.#unflushedMessages > UNFLUSHED_MESSAGES_MAX
  }

  get #unflushedMessages(): number {
    return this.#host.counters.putMessages - this.#flushedMessages
  }

  start(): void {
    this.#schedule(this.#intervalMs)
  }

  /** Files of these queues go with the next checkpoint. */
  queuesRemoved(queues: readonly ConsumeQueue[]): void {
    this.#removed.push(...queues)
  }

  /** Resolves when everything applied up to the call is on the disk (fdatasynced). Rejects when that failed. */
  async sync(): Promise<void> {
    const target = this.#host.machine.appliedIndex
    // A capture of before the call may be under way; at most one more covers it.
    for (let round = 0; round < 3; round++) {
      await this.#enqueue(true, false)
      if (this.#syncedIndex >= target) return
    }
    // Who trims the log relies on it: as long as older entries are applied once more, they are needed.
    throw new Error(`the state up to entry ${target} could not be written yet`)
  }

  /** Between two checkpoints: for who changes the files of queues. */
  exclusively(work: () => Promise<void>): Promise<void> {
    const done = this.#running.catch(() => {}).then(work)
    this.#running = done
    return done
  }

  /** The last one; `clean` = the node stopped orderly, and all is durable. */
  async stop(clean: boolean): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
    if (!clean) {
      await this.#running.catch(() => {})
      return
    }
    await this.#enqueue(true, false)
    await this.#enqueue(true, true)
  }

  #schedule(restMs: number): void {
    if (this.#stopped) return
    const waitMs = Math.min(restMs, this.#intervalMs)
    this.#timer = this.#host.clock.after(waitMs, () => {
      const isOver = restMs === waitMs || this.#unflushedMessages >= UNFLUSHED_MESSAGES_REST
      if (isOver) this.#runOnTime()
      else this.#schedule(restMs - waitMs)
    })
  }

  #runOnTime(): void {
    const { clock, machine } = this.#host
    const startedMs = clock.monotonicMs()
    const sync = startedMs >= this.#syncDueMs
    this.#enqueue(sync, false)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        const tookMs = clock.monotonicMs() - startedMs
        const restMs = Math.min(tookMs * REST_FACTOR, REST_MAX_MS)
        this.#schedule(machine.isRebuilding ? REBUILD_REST_MS : Math.max(this.#intervalMs, restMs))
      })
  }

  /** A disk may stay full for hours. */
  #failed(error: unknown): void {
    const nowMs = this.#host.clock.monotonicMs()
    if (nowMs < this.#sayAgainMs) return
    this.#sayAgainMs = nowMs + SAY_AGAIN_MS
    this.#host.logger.error('The checkpoint failed; it is tried again every second', { error })
  }

  /** One at a time. */
  #enqueue(sync: boolean, clean: boolean): Promise<void> {
    const next = this.#running.catch(() => {}).then(() => this.#run(sync, clean))
    this.#running = next
    return next
  }

  async #run(sync: boolean, clean: boolean): Promise<void> {
    const capture = this.#capture ?? this.#take(sync, clean)
    if (capture === null) return
    capture.sync ||= sync
    this.#capture = capture
    while (this.#host.durableIndex() < capture.index) {
      await new Promise<void>(resolve => this.#host.clock.after(DURABLE_POLL_MS, resolve))
      // A stopped log does not become more durable: the capture is given up, a start applies it again.
      if (this.#stopped && this.#host.durableIndex() < capture.index) return
    }
    await this.#write(capture)
    this.#capture = null
    this.checkpointIndex = capture.index
    this.#flushedMessages = capture.putMessages
    if (capture.sync) this.#syncedIndex = capture.index
    this.#host.index?.maintain(this.#host.durableIndex())
  }

  /** All that is to be written as of now; null when nothing changed. */
  #take(sync: boolean, clean: boolean): Capture | null {
    const { machine, tables, index, counters, bootId } = this.#host
    if (machine.isReplaying && !machine.isRebuilding) return null
    const applied = machine.appliedIndex
    const nothing = applied === this.checkpointIndex && machine.changedQueues.length === 0
    if (nothing && !clean && !(sync && this.#syncedIndex < applied)) return null
    const changes: KeyValueChange[] = []
    const removed = this.#removed
    this.#removed = []
    // Before the others: a topic may have come back under its name.
    for (const queue of removed) {
      changes.push({ key: queueKey(queue.topic, queue.queueId), value: null })
    }
    takeDirtyRecords(tables, changes)
    const queues = machine.changedQueues.filter(queue => !queue.removed)
    machine.changedQueues = []
    const ends = queues.map(queue => queue.maxOffset)
    for (const queue of queues) queue.changed = false
    const meta: MetaRecord = {
      version: 1,
      appliedIndex: machine.tablesIndex,
      ...(machine.isRebuilding ? { queuesIndex: applied } : {}),
      appliedPosition: machine.appliedPosition,
      syncedIndex: this.#syncedIndex,
      indexedIndex: index === null ? applied : index.completeIndex(applied),
      bootId,
      clean,
      queueFileUnits: this.#host.files.checks.geometry.fileUnits,
      delayLevelsMs: this.#host.delayLevelsMs,
      timeMs: tables.timeMs,
      topicsVersion: { ...tables.topicsVersion },
      groupsVersion: { ...tables.groupsVersion },
      brokerConfigVersion: { ...tables.brokerConfigVersion },
      trim: { ...tables.trim }
    }
    return {
      index: applied,
      changes,
      queues,
      ends,
      removed,
      meta,
      putMessages: counters.putMessages,
      checks: [],
      removedChecks: null,
      sync: sync || removed.length > 0
    }
  }

  async #write(capture: Capture): Promise<void> {
    const { files, state, clock } = this.#host
    for (const queue of capture.removed) {
      await files.remove(queue.topic, queue.queueId)
      this.#unsynced.delete(queue)
      this.#warm.delete(queue)
    }
    for (const topic of new Set(capture.removed.map(queue => queue.topic))) {
      await files.removeTopicDirectory(topic)
    }
    // Once, before there are any of queues that came back under the same names.
    capture.removedChecks ??= await this.#checksOf(capture.removed)
    for (let i = 0; i < capture.queues.length; i++) {
      const queue = capture.queues[i]!
      const end = capture.ends[i]!
      if (end <= queue.flushedOffset) continue
      const bytes = queue.unflushedBytes(queue.flushedOffset, end)
      await files.write(queue, queue.flushedOffset, bytes)
      files.checks.flushed(queue, bytes, capture.checks)
      this.#unsynced.add(queue)
    }
    if (capture.sync) {
      await files.syncAll()
      capture.meta.syncedIndex = capture.index
    }
    const records = new Set(capture.queues)
    const synced = capture.sync ? [...this.#unsynced] : []
    for (const queue of synced) records.add(queue)
    const changes = [...capture.removedChecks, ...capture.changes, ...capture.checks]
    // Also of a queue that was removed since the capture: as of the capture's entry it is there.
    for (const queue of records) {
      const { topic, queueId, minOffset, flushedOffset: maxOffset, flushedCrc: maxCrc } = queue
      const syncedOffset = capture.sync ? maxOffset : queue.syncedOffset
      const syncedCrc = capture.sync ? maxCrc : queue.syncedCrc
      const { checkedFrom } = queue
      changes.push(
        encodeQueue({
          topic,
          queueId,
          minOffset,
          maxOffset,
          syncedOffset,
          maxCrc,
          syncedCrc,
          checkedFrom
        })
      )
    }
    changes.push(encodeMeta(capture.meta))
    await state.write(changes, { sync: capture.sync })
    files.checks.committed()
    this.#host.tables.timers.flushed()
    this.#compactTimers()
    for (const queue of synced) {
      queue.syncedOffset = queue.flushedOffset
      queue.syncedCrc = queue.flushedCrc
      this.#unsynced.delete(queue)
    }
    if (capture.sync) this.#syncDueMs = clock.monotonicMs() + SYNC_INTERVAL_MS
    this.#cool(capture.queues)
  }

  /** Nothing waits for it. */
  #compactTimers(): void {
    const { state, tables, logger } = this.#host
    const range = tables.timers.takeBuried()
    if (range === null) return
    state.compact(range.from, range.to).catch((error: unknown) => {
      logger.warn('The state database could not be compacted', { error })
    })
  }

  async #checksOf(removed: readonly ConsumeQueue[]): Promise<KeyValueChange[]> {
    const changes: KeyValueChange[] = []
    for (const { topic, queueId } of removed) {
      await this.#host.files.checks.remove(topic, queueId, changes)
    }
    return changes
  }

  /** Gives memory back: active queues keep a share, idle ones a few units. */
  #cool(active: readonly ConsumeQueue[]): void {
    const share = Math.floor(HOT_UNITS_ALL / Math.max(1, active.length))
    const hotUnits = Math.max(HOT_UNITS_MIN, Math.min(HOT_UNITS_MAX, share))
    const warm = this.#warm
    this.#warm = new Set(active)
    for (const queue of active) queue.compact(hotUnits)
    for (const queue of warm) if (!this.#warm.has(queue)) queue.compact(HOT_UNITS_MIN)
  }
}
