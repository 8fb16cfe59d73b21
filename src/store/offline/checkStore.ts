/** A look at everything that a stopped node has on its disk. Nothing is changed. */
import { join } from 'node:path'
import { type Platform, silentLogger } from '../../platform/index.ts'
import { inspectLog, type LogInspection } from '../../raft/index.ts'
import { UNIT_BYTES } from '../consumeQueue.ts'
import type { RunRecord } from '../indexRun.ts'
import { KeyIndex } from '../keyIndex.ts'
import { StateOpenError } from '../keyValueStore.ts'
import { checkLevel, type LevelReport } from '../levelCheck.ts'
import { openLevelStore } from '../levelStore.ts'
import { BlockGeometry, QueueChecks } from '../queueChecks.ts'
import { QueueFiles } from '../queueFiles.ts'
import { QueueTable } from '../queueTable.ts'
import { restore } from '../restore.ts'
import { lockStore } from '../storeLock.ts'
import { Tables } from '../tables.ts'

const QUEUE_FILE_UNITS = 300_000

export type CheckPart = 'log' | 'state' | 'queues' | 'keys'

export interface CheckOptions {
  readonly platform: Platform
  /** [storePathRootDir] */
  readonly directory: string
  /** Whole per cent of a part. */
  progress?(part: CheckPart, percent: number): void
}

export interface QueueReport {
  readonly topic: string
  readonly queueId: number
  readonly minOffset: number
  readonly maxOffset: number
  readonly blocks: number
  /** First units of those that are not what was written. */
  readonly damagedBlocks: readonly number[]
}

export interface StoreReport {
  /** null: see `logProblem`. */
  readonly log: LogInspection | null
  /** Why a start would refuse the log. */
  readonly logProblem: string | null
  readonly state: LevelReport
  /** Not known when the state database is damaged: it is built anew with them. */
  readonly derived: {
    readonly appliedIndex: number
    readonly queues: readonly QueueReport[]
    readonly runs: readonly { readonly run: RunRecord; readonly isWhole: boolean }[]
  } | null
  readonly isWhole: boolean
}

/** Rejects with StateOpenError while a broker runs on the store, or when there is none. */
export async function checkStore(options: CheckOptions): Promise<StoreReport> {
  const { platform, directory, progress } = options
  const { disk } = platform
  await mustBeStore(platform, directory)
  const lock = await lockStore(disk, directory)
  try {
    const { log, logProblem } = await checkLog(options)
    progress?.('state', 0)
    const state = await checkLevel(disk, join(directory, 'state'))
    const hasState = !state.isEmpty && state.faults.length === 0 && state.cut === null
    const derived = hasState ? await checkDerived(options) : null
    return { log, logProblem, state, derived, isWhole: isWhole(log, state, derived) }
  } finally {
    await lock.release()
  }
}

export async function mustBeStore({ disk }: Platform, directory: string): Promise<void> {
  if (await disk.exists(join(directory, 'raft'))) return
  throw new StateOpenError(
    `${directory} is no store: it has no directory raft. Give storePathRootDir of the broker's configuration`
  )
}

async function checkLog({
  platform,
  directory,
  progress
}: CheckOptions): Promise<Pick<StoreReport, 'log' | 'logProblem'>> {
  try {
    const log = await inspectLog({
      disk: platform.disk,
      clock: platform.clock,
      random: platform.random,
      directory: join(directory, 'raft'),
      bootId: await platform.host.bootId(),
      progress: (done, all) => progress?.('log', percentOf(done, all))
    })
    return { log, logProblem: null }
  } catch (error) {
    return { log: null, logProblem: (error as Error).message }
  }
}

async function checkDerived({
  platform,
  directory,
  progress
}: CheckOptions): Promise<StoreReport['derived']> {
  const { disk } = platform
  const state = await openLevelStore(join(directory, 'state'), platform, silentLogger)
  try {
    const queues = new QueueTable()
    const bootId = await platform.host.bootId()
    const restored = await restore(state, new Tables(), queues, bootId, silentLogger)
    const fileUnits = restored.queueFileUnits ?? QUEUE_FILE_UNITS
    const checks = new QueueChecks(state, new BlockGeometry(fileUnits * UNIT_BYTES))
    const files = new QueueFiles(platform, join(directory, 'consumequeue'), checks)
    const index = new KeyIndex(disk, join(directory, 'index'), state, silentLogger)
    const queueReports: QueueReport[] = []
    const all = [...queues.all()]
    for (const [i, queue] of all.entries()) {
      const damagedBlocks: number[] = []
      let blocks = 0
      let first = checks.geometry.blockFirst(queue.minOffset)
      for (; first < queue.flushedOffset; first = checks.geometry.blockEnd(first)) {
        blocks += 1
        if ((await files.readBlock(queue, first)) === null) damagedBlocks.push(first)
      }
      const { topic, queueId, minOffset, maxOffset } = queue
      queueReports.push({ topic, queueId, minOffset, maxOffset, blocks, damagedBlocks })
      progress?.('queues', percentOf(i + 1, all.length))
    }
    await files.close()
    const runs: { run: RunRecord; isWhole: boolean }[] = []
    index.look(restored.runs)
    for (const [i, run] of restored.runs.entries()) {
      runs.push({ run, isWhole: await index.verify(run, async () => {}) })
      progress?.('keys', percentOf(i + 1, restored.runs.length))
    }
    await index.close()
    return { appliedIndex: restored.appliedIndex, queues: queueReports, runs }
  } finally {
    await state.close()
  }
}

function isWhole(
  log: LogInspection | null,
  state: LevelReport,
  derived: StoreReport['derived']
): boolean {
  if (log === null || log.badUnits > 0 || log.recovery.cutFrom > 0) return false
  if (log.segments.some(segment => segment.faults.length > 0)) return false
  if (state.faults.length > 0 || state.cut !== null) return false
  if (derived === null) return state.isEmpty
  if (derived.appliedIndex > log.lastIndex) return false
  return (
    derived.queues.every(queue => queue.damagedBlocks.length === 0) &&
    derived.runs.every(run => run.isWhole)
  )
}

function percentOf(done: number, all: number): number {
  return all <= 0 ? 100 : Math.floor((done * 100) / all)
}
