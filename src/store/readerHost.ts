import type { Blocks } from '../platform/index.ts'
import type { LogReader } from '../raft/index.ts'
import type { ConsumeQueue } from './consumeQueue.ts'
import type { StoreCounters } from './counters.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'

/** What pulls read from, with a filter and without. */
export interface ReaderHost {
  readonly blocks: Blocks
  readonly queues: QueueTable
  readonly files: QueueFiles
  readonly counters: StoreCounters
  log(): LogReader
  /** Resolves when the queue's damaged block is built again (true), or the time is over. */
  whenBack(queue: ConsumeQueue, first: number, patienceMs: number): Promise<boolean>
}
