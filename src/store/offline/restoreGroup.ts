/** A new group from one node's store, when the other disks are gone for good. */
import { join } from 'node:path'
import type { Logger } from '../../platform/index.ts'
import { type Fault, makeNewGroup, type NewGroup, UnusableLogError } from '../../raft/index.ts'
import { lockStore } from '../storeLock.ts'
import { type CheckOptions, checkStore, type StoreReport } from './checkStore.ts'
import { DERIVED_DIRECTORIES } from './rebuildStore.ts'

export interface RestoreOptions extends CheckOptions {
  readonly logger: Logger
  /** [dLegerSelfId] */
  readonly selfId: string
  /** host:port of the group's own traffic, as in dLegerPeers. */
  readonly raftAddress: string
  /** The plan that the operator agreed to. */
  readonly plan: RestorePlan
}

export interface RestorePlan {
  readonly report: StoreReport
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastTerm: number
  readonly knownCommit: number
  /** Why acknowledged entries may be missing at the end although nothing of it is damaged; null: no sign of it. */
  readonly doubt: string | null
  readonly faults: readonly Fault[]
  /** Entries from here on have to be given up; null: none. */
  readonly cutFrom: number | null
}

/** What a new group would have; nothing is changed. Rejects with a sentence when there can be none from this store. */
export async function planRestore(options: CheckOptions): Promise<RestorePlan> {
  const report = await checkStore(options)
  const { log } = report
  if (log === null) {
    throw new UnusableLogError(`no group can be made from this store: ${report.logProblem}`)
  }
  if (log.hardState === null || log.lastIndex === 0) {
    throw new UnusableLogError('no group can be made from this store: its log is empty')
  }
  const faults = log.segments.flatMap(segment => segment.faults)
  const cutFrom = faults.length === 0 ? null : Math.min(...faults.map(fault => fault.index))
  const plan: RestorePlan = {
    report,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
    knownCommit: log.hardState.commit,
    doubt: log.recovery.recovering,
    faults,
    cutFrom
  }
  mustHaveState(plan)
  return plan
}

/** What the entries before the log's start made is in the state database only. */
function mustHaveState({ report, firstIndex, cutFrom }: RestorePlan): void {
  if (firstIndex === 1) return
  const { derived } = report
  if (derived === null) {
    throw new UnusableLogError(
      `no group can be made from this store: its log begins with entry ${firstIndex}, and the state database that has what came before is damaged`
    )
  }
  if (cutFrom !== null && derived.appliedIndex >= cutFrom) {
    throw new UnusableLogError(
      `no group can be made from this store: entries from ${cutFrom} on would have to be given up, the state database has them up to ${derived.appliedIndex}, and it cannot be built again because the log begins with entry ${firstIndex}`
    )
  }
}

export async function restoreGroup(options: RestoreOptions): Promise<NewGroup> {
  const { platform, directory, logger, selfId, raftAddress, plan } = options
  const { disk, clock, random } = platform
  const lock = await lockStore(disk, directory)
  try {
    const { derived } = plan.report
    if (plan.cutFrom !== null && (derived === null || derived.appliedIndex >= plan.cutFrom)) {
      // It has what is given up, and other entries will stand at those indexes: a start could not see the difference.
      for (const name of DERIVED_DIRECTORIES) await disk.remove(join(directory, name))
      await disk.syncDirectory(directory)
    }
    return await makeNewGroup({
      disk,
      clock,
      random,
      logger,
      directory: join(directory, 'raft'),
      bootId: await platform.host.bootId(),
      selfId,
      raftAddress,
      cutFrom: plan.cutFrom
    })
  } finally {
    await lock.release()
  }
}
