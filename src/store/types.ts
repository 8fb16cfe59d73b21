import type { Logger, Platform } from '../platform/index.ts'
import type {
  GroupAffairs,
  ProposalSource,
  RaftNode,
  RaftOptions,
  RaftStatus,
  StateMachine
} from '../raft/index.ts'
import type {
  AppendRefusal,
  AppendWaiter,
  BatchAppendWaiter,
  MessageInput,
  PendingVisitor
} from './append.ts'
import type { Command, CommandResult, ConsumerOffset, QueueRef } from './commands.ts'
import type { StoreCounters } from './counters.ts'
import type { DerivedDamage } from './derivedRepair.ts'
import type { KeyValueStore } from './keyValueStore.ts'
import type { OffsetCommitOptions } from './offsetCommits.ts'
import type { PopCheckpoint } from './pop.ts'
import type { MessageFilter, PullRequest, PullResult } from './pull.ts'
import type { ScrubStatus } from './scrubber.ts'
import type { StoreTables } from './tables.ts'
import type { TimerRef } from './timers.ts'
import type { TransactionInDoubt } from './transactions.ts'

/** Times in ms, sizes in bytes. Names of RocketMQ's keys stand in brackets (broker.md 2.5). */
export interface StoreOptions {
  platform: Platform
  logger: Logger
  /** [storePathRootDir] Below it: `raft`, `consumequeue`, `index`, `state`. */
  directory: string
  /** What the node of the log needs; directory, appliedIndex, platform and logger are the store's to fill in. */
  raft: Omit<RaftOptions, 'platform' | 'logger' | 'directory' | 'appliedIndex'>
  /** [mappedFileSizeConsumeQueue] Rounded up to a multiple of 20. Default 6 000 000. */
  consumeQueueFileBytes?: number
  /** [messageDelayLevel] resolved; index 0 is level 1. Default: the original's 18 levels. */
  delayLevelsMs?: readonly number[]
  /** [messageIndexEnable] Default true. */
  indexEnabled?: boolean
  /** [fileReservedTime] Default 72 h. */
  fileReservedMs?: number
  /** [deleteWhen] Hours of the local day. Default [4]. */
  deleteWhenHours?: readonly number[]
  /** [diskMaxUsedSpaceRatio] Per cent. Default 75. */
  diskMaxUsedPercent?: number
  /** [diskSpaceCleanForciblyRatio] Default 85. */
  diskForcePercent?: number
  /** [diskSpaceWarningLevelRatio] Sends are refused above it. Default 90. */
  diskFullPercent?: number
  /** [cleanFileForciblyEnable] Default true. */
  cleanFileForcibly?: boolean
  /** [cleanResourceInterval] Default 10 000. */
  cleanIntervalMs?: number
  /** [scrubBytesPerSecond] How fast the whole disk is read in the background; 0 = never. Default 8 MiB. */
  scrubBytesPerSecond?: number
  /** [scrubIntervalHours] Between the beginnings of two such rounds. Default a week. */
  scrubIntervalMs?: number
  /** [flushIntervalConsumeQueue] Period of the checkpoints. Default 1000. */
  checkpointIntervalMs?: number
  /** [maxTransferBytesOnMessageInMemory, maxTransferCountOnMessageInMemory, …InDisk; maxFilterMessageSize / 20] */
  pullLimits?: Partial<PullLimits>
  /** Coalescing of consumer offsets (R-A2). Default 100. */
  offsetCommitIntervalMs?: number
  /** Opens the state database; default: LevelDB below `state`. */
  openState?: (directory: string) => Promise<KeyValueStore>
  /** Opens the node of the log; default: raft's openRaft. */
  openNode?: (
    options: RaftOptions,
    source: ProposalSource,
    machine: StateMachine
  ) => Promise<RaftNode>
}

export interface PullLimits {
  memoryBytes: number
  memoryCount: number
  diskBytes: number
  diskCount: number
  /** A message further than this behind the log's end counts as old (40 % of the machine's memory in the original). */
  memoryReachBytes: number
  /** Units of the queue that one pull looks at, or more when it wants more messages. */
  filterUnits: number
}

/** Queues that got messages in one apply; valid during the call only. */
export interface Arrival {
  readonly topic: string
  readonly queueId: number
  /** First new queue offset of this batch. */
  readonly arrivedFrom: number
  /** Now the queue's end: one behind the last message. */
  readonly maxOffset: number
  /** True when one of the new messages has one of these tag hashes. */
  arrivedMatches(tagHashes: ReadonlySet<number>): boolean
}

/** A message with a UNIQ_KEY that an earlier leader put into the log and may not have answered for; valid during the call only. */
export interface InheritedMessage {
  readonly bytes: Uint8Array
  /** Where the stored message begins in them. */
  readonly at: number
  /** Of its entry. */
  readonly timeMs: number
}

/** A consume queue unit (broker.md 3.3). */
export interface QueueUnit {
  physicalOffset: number
  size: number
  /** The tag's hash, or the due time of a delayed message. */
  tagsCode: number
}

export interface KeyQuery {
  topic: string
  key: string
  /** Most messages of the answer, from 1. */
  maxMessages: number
  beginTimestamp: number
  endTimestamp: number
}

export interface KeyQueryResult {
  /** Stored messages, by physical offset ascending. */
  messages: Buffer[]
  /** Those that may have the key and cannot be read now: damaged, and nobody has given them back yet. */
  unreadable: number
  /** Store time and place of the newest indexed message; 0 when none. */
  lastUpdateTimestamp: number
  lastUpdatePhysicalOffset: number
}

export interface StoreRuntime {
  /** 0…1 of the disk that holds the directory. */
  diskRatio: number
  diskFull: boolean
  /** Log bytes and their range. */
  logStartPosition: number
  logEndPosition: number
  appliedIndex: number
  /** Up to here the derived state is on the disk. */
  checkpointIndex: number
  queueCount: number
  pendingSends: number
  pendingBytes: number
  indexRuns: number
  /** Files made from the log that are damaged and being built again, or were since the start. */
  damage: DerivedDamage
  scrub: ScrubStatus
  counters: StoreCounters
}

/** The door of the room. Everything but the asynchronous reads is synchronous and allocates nothing per message where it can. */
export interface Store {
  /** Starts the log's node: from here on entries are applied and roles change. */
  start(): Promise<void>
  /**
   * Takes one message. null: accepted; the waiter is told when it is committed and applied, or failed.
   * A refusal: nothing happened, the waiter is not told.
   */
  append(message: MessageInput, waiter: AppendWaiter): AppendRefusal | null
  /** Messages of one topic and queue, all or nothing, consecutive offsets, one entry (broker.md 3.1, batch). */
  appendBatch(messages: readonly MessageInput[], waiter: BatchAppendWaiter): AppendRefusal | null
  /** Messages of any queues and commands in one entry: all of it happens, or nothing (R-A3). At least one message. */
  appendAtomic(
    messages: readonly MessageInput[],
    commands: readonly Command[],
    waiter: BatchAppendWaiter
  ): AppendRefusal | null
  /** So many commands are on their way that `execute` would refuse the next one as busy. */
  readonly isFullOfCommands: boolean
  /** Resolves when committed and applied here. Rejects with NotLeaderError, or StoreError ('busy', 'timeout', 'stopped', 'tooLarge'). */
  execute(command: Command): Promise<CommandResult>
  /**
   * A consumer's progress; coalesced, proposed within 100 ms, the last value for a queue wins (R-A2).
   * False: not taken (not the ready leader, or full).
   */
  commitOffset(offset: ConsumerOffset, options?: OffsetCommitOptions): boolean
  /** The same, told when it is committed and applied (two-way UPDATE_CONSUMER_OFFSET). Rejects as execute. */
  commitOffsetAndWait(offset: ConsumerOffset, options?: OffsetCommitOptions): Promise<void>
  /** Proposes what is coalesced, and resolves when all that was taken so far is applied (or can no longer be: leadership lost). */
  flushOffsets(): Promise<void>
  /** LOCK_BATCH_MQ: the queues that the client owns after it. */
  lockQueues(
    group: string,
    clientId: string,
    queues: readonly QueueRef[]
  ): Promise<readonly QueueRef[]>

  /** From memory at once, else a promise. Rejects when the log is damaged there (it is repaired meanwhile: try again). */
  pull(request: PullRequest): PullResult | Promise<PullResult>
  /** During an arrival: whether one of the new messages passes the filter (true when that cannot be said at once). */
  arrivedMatches(arrival: Arrival, filter: MessageFilter): boolean
  /** 0 for a queue that was never written. */
  minOffset(topic: string, queueId: number): number
  maxOffset(topic: string, queueId: number): number
  /** 5.3.3's answers (broker.md 3.3): past the end = the end (lower) or the last (upper); nothing there = 0. */
  offsetByTime(
    topic: string,
    queueId: number,
    timestamp: number,
    boundary?: 'lower' | 'upper'
  ): Promise<number>
  /** Of the first message that is still there; -1 for an empty queue. */
  earliestStoreTime(topic: string, queueId: number): Promise<number>
  /** Store time of the message at this queue offset; -1 when it is not there. */
  storeTimeAt(topic: string, queueId: number, offset: number): Promise<number>
  /** Of the whole log; -1 when it is empty. */
  earliestLogTime(): Promise<number>
  /** The stored message that begins at this byte of the log; null when none does, or it is not committed, or trimmed. */
  messageAt(physicalOffset: number): Promise<Buffer | null>
  unit(topic: string, queueId: number, offset: number): Promise<QueueUnit | null>
  /** Several units from `offset` on (at least one unless at the end); fewer when the rest is elsewhere. For delay levels and stats. */
  units(topic: string, queueId: number, offset: number, maxUnits: number): Promise<QueueUnit[]>
  /** True when the message lies further behind the log's end than memory reaches (broker.md 4.5, query of a new group). */
  isInDisk(topic: string, queueId: number, offset: number): Promise<boolean>
  query(query: KeyQuery): Promise<KeyQueryResult>
  /** Queue ids of a topic that have a queue here, ascending. */
  queueIds(topic: string): number[]
  /** Topics that have queues here, with settings or without (left over ones are what DELETE_UNUSED_TOPIC and cleanExpiredCQ look for). */
  topicsWithQueues(): string[]

  /** Applied, replicated state; read only. */
  readonly tables: StoreTables
  /**
   * Messages that wait for their time (broker.md 5.3): the first from `from` (inclusive) on that are due by `untilMs`, by due time and
   * place; `max` of them, or all.
   */
  timers(from: TimerRef, untilMs: number, max: number): Promise<TimerRef[]>
  /** One call for each apply that brought such messages, with the earliest of their due times. */
  onTimers(listener: (earliestDueMs: number) => void): void
  /** One call for each apply that brought messages. */
  onArrival(listener: (arrivals: readonly Arrival[]) => void): void
  /** One call for each apply that brought messages into flight; valid during the call only. */
  onPops(listener: (added: readonly PopCheckpoint[]) => void): void
  /** One call for each apply that set offsets of groups back, or ended a batch in order by setting one. */
  onOffsetsBack(listener: (moved: readonly ConsumerOffset[]) => void): void
  onRole(listener: (status: RaftStatus) => void): void
  /** After commands were applied: what changed (for registration and notices). One call for each apply. */
  onTables(listener: (change: TablesChange) => void): void
  /** Half messages were applied: one call for each apply that brought some. */
  onTransactions(listener: (opened: readonly TransactionInDoubt[]) => void): void
  /** While this node takes the leadership over: each message that its predecessor may not have answered for. */
  onInherited(listener: (message: InheritedMessage) => void): void
  /** Shows every sender that waits for its answer, and those that waited too long. */
  visitPending(visitor: PendingVisitor): void
  status(): RaftStatus
  /** The log's own time, ms since 1970: what a message would be stored with now (raft.md 4.2). */
  timeMs(): number
  /** Leads and takes writes. */
  readonly ready: boolean
  readIndex(): Promise<number>
  transferLeadership(targetId?: string): Promise<boolean>
  /** What an operator may ask of the log's node. */
  readonly group: GroupAffairs
  runtime(): StoreRuntime
  readonly counters: StoreCounters
  /** The expired part of the log goes now, whatever the hour (DELETE_EXPIRED_COMMITLOG 329). Leader only; false: nothing to do. */
  cleanExpired(): Promise<boolean>
  /** Drains what was accepted, hands leadership over, checkpoints, closes. */
  stop(options?: { transfer?: boolean; graceMs?: number }): Promise<void>
}

export interface TablesChange {
  topics: boolean
  /** Names of topics that went, with their queues; one may have been made again since. */
  deletedTopics: readonly string[]
  groups: boolean
  brokerConfig: boolean
}

/** Why a command was not done. `timeout` and a lost leadership leave it open whether it will be. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly reason: 'busy' | 'timeout' | 'stopped' | 'tooLarge'
  constructor(
    reason: 'busy' | 'timeout' | 'stopped' | 'tooLarge',
    message: string,
    options?: ErrorOptions
  ) {
    super(message, options)
    this.reason = reason
  }
}
