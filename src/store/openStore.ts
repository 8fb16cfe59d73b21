import { join } from 'node:path'
import {
  entryBytesMax,
  openRaft,
  pendingInstall,
  type RaftOptions,
  RaftStartError
} from '../raft/index.ts'
import { UNIT_BYTES } from './consumeQueue.ts'
import { StoreCounters } from './counters.ts'
import { KeyIndex } from './keyIndex.ts'
import { type KeyValueStore, StateDamagedError } from './keyValueStore.ts'
import { LedgerStore } from './ledgerStore.ts'
import { openLevelStore } from './levelStore.ts'
import { StoreEvents } from './listeners.ts'
import { LiveStore } from './liveStore.ts'
import { BlockGeometry, QueueChecks } from './queueChecks.ts'
import { QueueFiles } from './queueFiles.ts'
import { QueueTable } from './queueTable.ts'
import { DEFAULT_PULL_LIMITS } from './reader.ts'
import { discard, restore } from './restore.ts'
import { loadState } from './stateDump.ts'
import { lockStore, type StoreLock } from './storeLock.ts'
import { Tables } from './tables.ts'
import type { Store, StoreOptions } from './types.ts'

const HOUR_MS = 3_600_000
const CONSUME_QUEUE_FILE_BYTES = 6_000_000
const DISK_FULL_PERCENT = 90
const SCRUB_BYTES_PER_SECOND = 8 * 1024 * 1024
/** 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h (broker.md 5.1). */
const DELAY_LEVEL_SECONDS = [
  1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200
]

/**
 * Opens what lies below `options.directory` (made when missing) with the log's node on top. Nothing is applied and no
 * port is open before `start`. Rejects with RaftStartError, StateOpenError, or the disk's error.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { platform, logger } = options
  const lasting = {
    events: new StoreEvents(logger),
    counters: new StoreCounters(platform.clock.monotonicMs()),
    onInstall: () => live.reopen()
  }
  const live: LiveStore = new LiveStore(await openOnce(options, lasting), lasting.events, {
    open: () => openOnce(options, lasting),
    failed: reason => {
      logger.error('The store cannot go on', { reason })
      options.raft.onFatal?.(reason)
    }
  })
  return live
}

/** For tools, which need no store that opens itself anew. */
export function openOffline(options: StoreOptions): Promise<LedgerStore> {
  const { platform, logger } = options
  return openOnce(options, {
    events: new StoreEvents(logger),
    counters: new StoreCounters(platform.clock.monotonicMs()),
    onInstall: () => {}
  })
}

/** What is the same over all openings. */
interface Lasting {
  readonly events: StoreEvents
  readonly counters: StoreCounters
  onInstall(): void
}

async function openOnce(options: StoreOptions, lasting: Lasting): Promise<LedgerStore> {
  const { platform, directory } = options
  await platform.disk.makeDirectory(directory)
  const lock = options.openState === undefined ? await lockStore(platform.disk, directory) : null
  try {
    return await openLocked(options, lasting, lock)
  } catch (error) {
    await lock?.release()
    throw error
  }
}

async function openLocked(
  options: StoreOptions,
  lasting: Lasting,
  lock: StoreLock | null
): Promise<LedgerStore> {
  const { platform, logger, directory } = options
  const bootId = await platform.host.bootId()
  const state = await openState(options)
  try {
    await installState(options, state, bootId)
    return await openOn(options, lasting, state, bootId, lock)
  } catch (error) {
    if (!(error instanceof RaftStartError && error.reason === 'appliedBeyondLog')) {
      await state.close()
      throw error
    }
    logger.error('The derived state is thrown away and built anew from the log', {
      directory,
      reason: error.message
    })
  }
  try {
    await discard(state, platform.disk, directory)
    return await openOn(options, lasting, state, bootId, lock)
  } catch (error) {
    await state.close()
    throw error
  }
}

/** A damaged state database is put aside; the log builds a new one. */
async function openState(options: StoreOptions): Promise<KeyValueStore> {
  const { platform, logger } = options
  const directory = join(options.directory, 'state')
  const open = options.openState ?? ((path: string) => openLevelStore(path, platform, logger))
  try {
    return await open(directory)
  } catch (error) {
    if (!(error instanceof StateDamagedError)) throw error
    const aside = `${directory}.damaged`
    logger.error('The state database is damaged: it is put aside and built anew from the log', {
      directory,
      aside,
      reason: error.message
    })
    await platform.disk.remove(aside)
    await platform.disk.rename(directory, aside)
    await platform.disk.syncDirectory(options.directory)
  }
  return await open(directory)
}

/** R-S: a snapshot takes the place of the log, so its state takes that of ours; repeated by each start until the log is there. */
async function installState(
  { platform, logger, directory }: StoreOptions,
  state: KeyValueStore,
  bootId: string
): Promise<void> {
  const { disk, clock } = platform
  const install = await pendingInstall(disk, clock, join(directory, 'raft'))
  if (install === null) return
  const { snapshotId, index, firstIndex } = install
  logger.info(`Loads the state of snapshot ${snapshotId}`, { index })
  await discard(state, disk, directory)
  await loadState(disk, state, install, bootId)
  logger.info(`Snapshot ${snapshotId} is installed; queues and keys are built again from the log`, {
    firstIndex,
    index
  })
}

async function openOn(
  options: StoreOptions,
  lasting: Lasting,
  state: KeyValueStore,
  bootId: string,
  lock: StoreLock | null
): Promise<LedgerStore> {
  const { platform, logger, directory } = options
  const { events, counters } = lasting
  const tables = new Tables()
  const queues = new QueueTable()
  const restored = await restore(state, tables, queues, bootId, logger)
  const fileBytes =
    restored.queueFileUnits === null
      ? (options.consumeQueueFileBytes ?? CONSUME_QUEUE_FILE_BYTES)
      : restored.queueFileUnits * UNIT_BYTES
  const checks = new QueueChecks(state, new BlockGeometry(fileBytes))
  const files = new QueueFiles(platform, join(directory, 'consumequeue'), checks)
  let index: KeyIndex | null = null
  if (options.indexEnabled !== false) {
    index = new KeyIndex(platform.disk, join(directory, 'index'), state, logger)
    await index.open(restored.runs)
  }
  const store = new LedgerStore({
    platform,
    logger,
    directory,
    state,
    tables,
    queues,
    files,
    index,
    counters,
    events,
    restored,
    lock,
    bootId,
    delayLevelsMs:
      options.delayLevelsMs ??
      restored.delayLevelsMs ??
      DELAY_LEVEL_SECONDS.map(seconds => seconds * 1000),
    entryBytesMax: entryBytesMax(options.raft.segmentBytes),
    pullLimits: { ...DEFAULT_PULL_LIMITS, ...options.pullLimits },
    retention: {
      fileReservedMs: options.fileReservedMs ?? 72 * HOUR_MS,
      deleteWhenHours: options.deleteWhenHours ?? [4],
      diskMaxUsedPercent: options.diskMaxUsedPercent ?? 75,
      diskForcePercent: options.diskForcePercent ?? 85,
      diskFullPercent: options.diskFullPercent ?? DISK_FULL_PERCENT,
      cleanFileForcibly: options.cleanFileForcibly ?? true,
      cleanIntervalMs: options.cleanIntervalMs ?? 10_000
    },
    scrub: {
      bytesPerSecond: options.scrubBytesPerSecond ?? SCRUB_BYTES_PER_SECOND,
      intervalMs: options.scrubIntervalMs ?? 7 * 24 * HOUR_MS
    },
    checkpointIntervalMs: options.checkpointIntervalMs ?? 1_000,
    offsetCommitIntervalMs: options.offsetCommitIntervalMs ?? 100
  })
  const raftOptions: RaftOptions = {
    // One threshold for this node's own refusal and for what the log tells the others.
    diskRefuseRatio: (options.diskFullPercent ?? DISK_FULL_PERCENT) / 100,
    ...options.raft,
    platform,
    logger,
    directory: join(directory, 'raft'),
    appliedIndex: restored.appliedIndex,
    onInstall: lasting.onInstall
  }
  try {
    store.attach(await (options.openNode ?? openRaft)(raftOptions, store.appender, store))
    // Nothing in them counts, and all of it comes again.
    if (restored.isNew) await platform.disk.remove(join(directory, 'consumequeue'))
  } catch (error) {
    store.appender.close()
    throw error
  }
  return store
}
