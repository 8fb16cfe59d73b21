import type { LogReader } from '../raft/index.ts'
import type { StoreCounters } from './counters.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'

/** What pulls read from, with a filter and without. */
export interface ReaderHost {
  readonly queues: QueueTable
  readonly files: QueueFiles
  readonly counters: StoreCounters
  log(): LogReader
}
