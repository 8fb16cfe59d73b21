import type { Logger, Platform } from '../platform/index.ts'
import type { StoreCounters } from './counters.ts'
import type { KeyIndex } from './keyIndex.ts'
import type { KeyValueStore } from './keyValueStore.ts'
import type { StoreEvents } from './listeners.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'
import type { Restored } from './restore.ts'
import type { RetentionSettings } from './retention.ts'
import type { ScrubSettings } from './scrubber.ts'
import type { StoreLock } from './storeLock.ts'
import type { Tables } from './tables.ts'
import type { PullLimits } from './types.ts'

/** What one opening of the store is made of (openStore.ts). */
export interface StoreParts {
  readonly platform: Platform
  readonly logger: Logger
  readonly directory: string
  readonly state: KeyValueStore
  readonly tables: Tables
  readonly queues: QueueTable
  readonly files: QueueFiles
  readonly index: KeyIndex | null
  readonly counters: StoreCounters
  /** Who is told. */
  readonly events: StoreEvents
  readonly restored: Restored
  /** null: nobody else can come to it. */
  readonly lock: StoreLock | null
  readonly bootId: string
  readonly delayLevelsMs: readonly number[]
  readonly entryBytesMax: number
  readonly pullLimits: PullLimits
  readonly retention: RetentionSettings
  readonly scrub: ScrubSettings
  readonly checkpointIntervalMs: number
  readonly offsetCommitIntervalMs: number
}
