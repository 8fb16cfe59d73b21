export type { Fault, LogInspection, SegmentReport } from '../raft/index.ts'
export {
  APPEND_TIMEOUT_MS,
  type AppendFailure,
  type AppendRefusal,
  type AppendWaiter,
  type BatchAppendWaiter,
  type MessageInput,
  PENDING_SENDS_MAX,
  type PendingVisitor,
  QUEUE_ID_MAX
} from './append.ts'
export type {
  Command,
  CommandResult,
  ConsumerOffset,
  GroupSettings,
  QueueRef,
  TopicSettings
} from './commands.ts'
export { PUT_LATENCY_BUCKETS, StoreCounters } from './counters.ts'
export {
  type KeyValueChange,
  type KeyValueStore,
  StateDamagedError,
  StateOpenError
} from './keyValueStore.ts'
export {
  type CheckOptions,
  type CheckPart,
  checkStore,
  type QueueReport,
  type StoreReport
} from './offline/checkStore.ts'
export { type RebuildOptions, type RebuildReport, rebuildStore } from './offline/rebuildStore.ts'
export {
  planRestore,
  type RestoreOptions,
  type RestorePlan,
  restoreGroup
} from './offline/restoreGroup.ts'
export { openStore } from './openStore.ts'
export {
  POP_MESSAGES_MAX,
  type PopAck,
  type PopCheckpoint,
  type PopCheckpointRef,
  type PopQueueRef
} from './pop.ts'
export { orderFreeMs, type PopOrder } from './popOrders.ts'
export {
  type MessageFilter,
  type PullRequest,
  type PullResult,
  PullStatus,
  REPAIR_PATIENCE_MS
} from './pull.ts'
export type { DataVersion, StoreTables } from './tables.ts'
export { compareTimers, type TimerRef } from './timers.ts'
export type { TransactionCheck, TransactionInDoubt } from './transactions.ts'
export {
  type Arrival,
  type InheritedMessage,
  type KeyQuery,
  type KeyQueryResult,
  type PullLimits,
  type QueueUnit,
  type Store,
  StoreError,
  type StoreOptions,
  type StoreRuntime,
  type TablesChange
} from './types.ts'
