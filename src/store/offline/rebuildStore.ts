/** Builds what was made from the log again, without the group: as far as this node knows its log to be committed. */
import { join } from 'node:path'
import type { Logger, Platform } from '../../platform/index.ts'
import { openForReading, readHardState, UnusableLogError } from '../../raft/index.ts'
import { openOffline } from '../openStore.ts'
import { lockStore } from '../storeLock.ts'
import { mustBeStore } from './checkStore.ts'
import { OfflineNode } from './offlineNode.ts'

/** Below the store's: what the log makes. */
export const DERIVED_DIRECTORIES = ['state', 'consumequeue', 'index'] as const

export interface RebuildOptions {
  readonly platform: Platform
  readonly logger: Logger
  readonly directory: string
  /** Also what looks whole: everything is thrown away first. */
  readonly everything: boolean
  /** An entry was applied; the last one that will be. */
  progress?(index: number, lastIndex: number): void
}

export interface RebuildReport {
  readonly appliedIndex: number
  readonly rebuiltBlocks: number
  readonly rebuiltRuns: number
  /** Could not be built again: the log is damaged where they come from. */
  readonly leftBlocks: number
  readonly leftRuns: number
  /** A damaged entry that ended it; null: none. */
  readonly stoppedAt: number | null
}

/** Rejects with a sentence when it cannot be done; nothing is thrown away then. */
export async function rebuildStore(options: RebuildOptions): Promise<RebuildReport> {
  const { platform, logger, directory, progress } = options
  const { disk, clock, random } = platform
  await mustBeStore(platform, directory)
  const bootId = await platform.host.bootId()
  const inspect = { disk, clock, random, directory: join(directory, 'raft'), bootId }
  const hardState = await readHardState(inspect)
  if (hardState === null) throw new UnusableLogError(`${inspect.directory} has no hard state`)
  if (options.everything) {
    if (hardState.start.index > 0) {
      throw new UnusableLogError(
        `the log begins with entry ${hardState.start.index + 1}: topics, groups, offsets and what else the entries before it made are in the state database only. Without --all what is damaged of queues and key index is built again from what is left`
      )
    }
    const lock = await lockStore(disk, directory)
    try {
      for (const name of DERIVED_DIRECTORIES) await disk.remove(join(directory, name))
      await disk.syncDirectory(directory)
    } finally {
      await lock.release()
    }
  }
  let node: OfflineNode | null = null
  const store = await openOffline({
    platform,
    logger,
    directory,
    raft: {
      group: '',
      selfId: '',
      peers: [],
      segmentBytes: hardState.segmentBytes,
      flushMode: 'sync',
      flushIntervalMs: 1000,
      preferredLeaderId: null,
      brokerAddress: '',
      tailCacheBytes: 1024 * 1024
    },
    scrubBytesPerSecond: 0,
    cleanFileForcibly: false,
    openNode: async (raft, _source, machine) => {
      const log = await openForReading(inspect, hardState.segmentBytes)
      log.listen({ written() {}, synced() {}, failed() {}, diskFull() {}, damaged() {} })
      try {
        node = new OfflineNode(log, raft, machine, progress ?? (() => {}))
        return node
      } catch (error) {
        await log.close({ orderly: false })
        throw error
      }
    }
  })
  try {
    await store.start()
    await store.repairDerived()
    const { damage, appliedIndex } = store.runtime()
    return {
      appliedIndex,
      rebuiltBlocks: damage.rebuiltBlocks,
      rebuiltRuns: damage.rebuiltRuns,
      leftBlocks: damage.queueBlocks,
      leftRuns: damage.indexRuns,
      stoppedAt: (node as OfflineNode | null)?.stoppedAt ?? null
    }
  } finally {
    await store.stop({ transfer: false })
  }
}
