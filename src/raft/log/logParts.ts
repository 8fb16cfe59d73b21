import type { AcknowledgedMark } from './acknowledgedMark.ts'
import type { ConfigurationFile } from './configurationFile.ts'
import type { HardStateFile } from './hardState.ts'
import type { IndexFile } from './indexFile.ts'
import type { Segments } from './segments.ts'
import type { StorageQueue } from './storageQueue.ts'
import type { TailCache } from './tailCache.ts'
import type { Fault, LogStatistics, PrepareOptions, Recovery } from './types.ts'

const prepare: PrepareOptions = {
  aheadBytes: 64 * 1024 * 1024,
  bytesPerSecond: 128 * 1024 * 1024,
  spare: true,
  warm: false
}

export const logDefaults = { watermarkIntervalMs: 100, readCacheBytes: 16 * 1024 * 1024, prepare }

/** What lies on the disk. */
export interface LogFiles {
  readonly hardState: HardStateFile
  readonly segments: Segments
  readonly index: IndexFile
  readonly configurations: ConfigurationFile
  readonly acknowledged: AcknowledgedMark
}

/** What recovery hands over to the log. */
export interface LogParts extends LogFiles {
  readonly recovery: Recovery
  readonly tail: TailCache
  readonly faults: Map<number, Fault>
}

export function logStatistics(
  queue: StorageQueue,
  hardState: HardStateFile,
  tail: TailCache
): LogStatistics {
  return {
    writes: queue.writes.summary(),
    syncs: queue.syncs.summary(),
    hardStateSaves: hardState.latency.summary(),
    bytesWritten: queue.bytesWritten,
    entriesWritten: queue.entriesWritten,
    cachedBytes: tail.bytes,
    cachedEntries: tail.entries,
    queuedBytes: queue.queuedBytes
  }
}
