/**
 * The shapes of the room's door: what the store hands in, what it gets back.
 * Entry layout: log/ (raft.md 4.2). Everything here is data; the work is done in node/.
 */
import type { DiskSpace, Logger, Platform } from '../platform/index.ts'
import type { Timings } from './core/index.ts'
import type { Entry, EntryKind, SegmentInfo, SizeOf, VerifiedRange } from './log/index.ts'

/**
 * One entry in the making. `bytes` has ENTRY_HEADER_BYTES of room in front of the body, so that
 * the disk write and the frames to the followers need no copy; from `take()` on it belongs to the log.
 */
export interface Proposal {
  readonly kind: typeof EntryKind.messages | typeof EntryKind.commands
  /** Written to the header as they are; 16 bits. */
  readonly flags: number
  readonly count: number
  readonly bytes: Buffer
  /** Called once, before the CRCs: patch what depends on the place and the time. `bodyPosition` = the entry's position + ENTRY_HEADER_BYTES. */
  seal(bodyPosition: number, timeMs: number): void
  /**
   * Called once, right after `seal`, when the entry stands in the leader's log, which holds the block of its bytes from then on. It may still be
   * lost: a commit is told by `apply`.
   */
  appended(index: number, term: number): void
}

/** Where the leader pulls its entries from. Asked only while this node leads and is ready (R-E9). */
export interface ProposalSource {
  /** No larger than `entryBytesMax(segmentBytes)`: a larger one ends the node. What was collected so far as one entry (about 1 MiB at most), or null. Called again until null or the budget is used. */
  take(): Proposal | null
}

/** What stands on the log. Both are synchronous; a throw stops the node (it would diverge). */
export interface StateMachine {
  /** Committed entries, each once, in order, on every replica, from `appliedIndex + 1` on; kinds 3 and 4 too. The array is reused after the call, and so may be the entries' bytes. */
  apply(entries: readonly Entry[]): void
  /** Role, leader or readiness changed. Speculative state is thrown away when `ready` turns false. */
  roleChanged(status: RaftStatus): void
  /**
   * Writes all of the state, as of one applied and durable entry, to the file `path`, for a member whose log ends before this
   * one's begins. Without it no snapshot can be given. Entries are applied meanwhile.
   */
  saveState?(path: string): Promise<SavedState>
  /** True: what was applied has to reach the disk first. Asked between pieces of a long way to catch up; nothing of a live log waits for it. */
  mustWait?(): boolean
}

export interface SavedState {
  /** Last entry that is in it. */
  readonly index: number
  readonly bytes: number
  /** CRC-32 of the file. */
  readonly crc: number
}

/** A snapshot on its way. */
export interface SnapshotProgress {
  readonly direction: 'sending' | 'receiving'
  readonly peerId: string
  readonly snapshotId: string
  /** Last entry in it. */
  readonly index: number
  readonly doneBytes: number
  readonly totalBytes: number
}

export type RaftRole = 'leader' | 'follower' | 'candidate' | 'preCandidate' | 'stopped'

/** What this node is in its group. `waiting`: it belongs to none yet. `removed`: it did once, and serves nobody. */
export type Membership = 'voter' | 'learner' | 'waiting' | 'removed'

/** A member by the configuration in force. Twice under one id while a wiped node comes back: old disk and new (R-M6). */
export interface MemberStatus {
  readonly id: string
  readonly uid: string
  readonly role: 'voter' | 'learner'
  /** host:port of the group's own traffic. */
  readonly raftAddress: string
  /** Where its clients connect, as it told; '' when not heard of. */
  readonly brokerAddress: string
  /** The voter with the highest one above 0 is the preferred leader. */
  readonly priority: number
  /** A stream to it stands; of this node itself true. */
  readonly connected: boolean
  /** Known to the leader only, else 0: its highest durable index, and how many entries it is behind. */
  readonly matchIndex: number
  readonly lagEntries: number
  /** It answered the leader within the last election timeout; false when not leading. */
  readonly active: boolean
}

/** How the group's members may be changed; `raftAddress` and `priority` null: as it is, or as the node says itself. */
export type MembershipChange =
  | {
      readonly op: 'add' | 'update'
      readonly id: string
      readonly raftAddress: string | null
      readonly priority: number | null
    }
  | { readonly op: 'remove'; readonly id: string }

/** `refusal` null: done. `text` is a sentence for the operator. */
export interface ChangeAnswer {
  readonly refusal: string | null
  readonly text: string
  readonly leaderId: string | null
}

export interface PeerStatus {
  readonly id: string
  /** The stream to it stands (this node's side). */
  readonly connected: boolean
  /** Highest index known to be durable there; 0 when unknown or not leading. */
  readonly matchIndex: number
  /** It answered within the last election timeout; false when not leading. */
  readonly active: boolean
  /** As it told in its Hello; null before. */
  readonly brokerAddress: string | null
}

/** Counters since the start of the node; sums in ms, sizes in bytes. */
export interface RaftCounters {
  readonly entriesProposed: number
  readonly entriesWritten: number
  readonly writtenBytes: number
  readonly writes: number
  readonly writeMsSum: number
  readonly writeMsMax: number
  /** With SYNC_FLUSH a write and its sync are one operation, which counts as both. */
  readonly syncs: number
  readonly syncMsSum: number
  readonly syncMsMax: number
  /** Own entries that were committed, and their time from append to commit. */
  readonly commits: number
  readonly commitMsSum: number
  readonly commitMsMax: number
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Times that this node asked for votes. */
  readonly elections: number
}

/** Of a node that has done nothing yet. */
export const noCounters: RaftCounters = {
  entriesProposed: 0,
  entriesWritten: 0,
  writtenBytes: 0,
  writes: 0,
  writeMsSum: 0,
  writeMsMax: 0,
  syncs: 0,
  syncMsSum: 0,
  syncMsMax: 0,
  commits: 0,
  commitMsSum: 0,
  commitMsMax: 0,
  sentBytes: 0,
  receivedBytes: 0,
  elections: 0
}

export interface RaftStatus {
  readonly group: string
  readonly selfId: string
  readonly term: number
  readonly role: RaftRole
  /** Leads, and its own no-op is committed and applied: takes proposals (R-E9). */
  readonly ready: boolean
  readonly leaderId: string | null
  /** As told by the leader in its Hello; null when not known. The own one when leading. */
  readonly leaderBrokerAddress: string | null
  readonly commitIndex: number
  readonly lastIndex: number
  readonly appliedIndex: number
  readonly durableIndex: number
  /** Came up after a power loss or with damage and does not campaign yet (R-D6, 4.9); null when whole. */
  readonly trouble: string | null
  /** What its state lacks is trimmed: nothing is applied, and nobody can be served, until a snapshot has come. */
  readonly lacksState: boolean
  /** Why the node stopped; null while it runs. */
  readonly stopReason: string | null
  /** One for each other id of the configuration in force; before there is one, of the own file. */
  readonly peers: readonly PeerStatus[]
  readonly membership: Membership
  /** 0: there is none. */
  readonly configurationVersion: number
  /** The configuration in force is committed as far as this node knows. */
  readonly configurationCommitted: boolean
  readonly members: readonly MemberStatus[]
  readonly snapshots: readonly SnapshotProgress[]
  readonly counters: RaftCounters
}

/** The core's timings and those of the connections, in ms (raft.md 4.5, 4.6). */
export interface RaftTimings extends Timings {
  /** Backoff between two attempts to connect. Default 20. */
  readonly reconnectMinMs: number
  /** Default 500. */
  readonly reconnectMaxMs: number
  /** For the connection, and again for the answer to the Hello. Default 1000. */
  readonly connectTimeoutMs: number
}

export interface RaftPeer {
  /** As in `dLegerPeers`: n0, n1, … */
  id: string
  host: string
  port: number
}

export interface RaftOptions {
  platform: Platform
  logger: Logger
  /** `dLegerGroup`; nodes of another group are refused at the handshake. */
  group: string
  selfId: string
  /** All members, this node too. One = a group of one. */
  peers: readonly RaftPeer[]
  /** Log, index and hard state lie below it. */
  directory: string
  /** `mappedFileSizeCommitLog`, bytes. */
  segmentBytes: number
  flushMode: 'sync' | 'async'
  /** `flushIntervalCommitLog`, ms; async mode only. */
  flushIntervalMs: number
  /** `warmMapedFileEnable`: segments are filled with zeros before they are used, whatever the load. Default false. */
  warmSegments?: boolean
  preferredLeaderId: string | null
  /** Told to the peers, so that each knows where the leader's clients connect. */
  brokerAddress: string
  /** Up to where the state machine's persisted state is; applied from the next on. */
  appliedIndex: number
  /** Newest entries kept in memory, bytes. */
  tailCacheBytes: number
  /** Share of the disk in use from which only commands are taken (raft.md 4.11). Default 0.9. */
  diskRefuseRatio?: number
  timings?: Partial<RaftTimings>
  /** Snapshots leave this node no faster, in all; a quarter of it while commits are slow. Default 64 MiB. */
  snapshotBytesPerSecond?: number
  /**
   * The node has closed itself because a snapshot takes the place of its log (R-S): load the state that `pendingInstall`
   * names, then open the node again.
   */
  onInstall?: () => void
  /** The node stopped by itself and does not come back: disk failure, broken invariant, refused identity. A sentence. */
  onFatal?: (reason: string) => void
}

/** Reads of the log by position. Only bytes below `committedPosition` are the truth. */
export interface LogReader {
  /** First position that is still there. */
  readonly startPosition: number
  /** Index of the entry there. */
  readonly firstIndex: number
  /** End of the last committed entry. */
  readonly committedPosition: number
  /**
   * Bytes inside one entry from memory, a view; null when not in memory. `hold`: its block in `platform.blocks` has one hold more, and whoever
   * asked lets it go. Without, it stays as it is for as long as somebody looks at it.
   */
  peek(position: number, length: number, hold?: boolean): Buffer | null
  /** The same from memory or disk; the whole entry's CRC is verified. Rejects when the position is trimmed or damaged. */
  read(position: number, length: number, hold?: boolean): Promise<Buffer>
  /**
   * What begins at `position` and says in its first `headLength` bytes how long it is. For reads here and there: the neighbours come along
   * only when it goes on where the last such read ended. Rejects as `read`.
   */
  readSized(position: number, headLength: number, sizeOf: SizeOf): Promise<Buffer>
  /** What one of these reads gives; a damaged entry is waited for until a peer has given it back, `patienceMs` at most. */
  patiently<T>(read: () => Promise<T>, patienceMs: number): Promise<T>
  /** The entry that `position` lies in, committed or not. Rejects as `read`. */
  indexAt(position: number): Promise<number>
  /** Entries from `fromIndex` on, committed or not, as many as fit into `maxBytes` and at least one; empty behind the last. Rejects as `read`. */
  readEntries(fromIndex: number, maxBytes: number): Promise<readonly Entry[]>
}

export interface StopOptions {
  /** Hand leadership over first (R-T). Default true. */
  transfer?: boolean
  /** How long the pipeline may take to commit and the transfer to succeed, ms. */
  graceMs?: number
}

/** What an operator asks of a node. */
export interface GroupAffairs {
  /** Leadership goes to this member, null: to the best; with the reason. */
  handOver(targetId: string | null): Promise<{ readonly ok: boolean; readonly reason: string }>
  /** By the leader only. Answered when it is committed, or refused with what to do. */
  changeMembership(change: MembershipChange): Promise<ChangeAnswer>
  /** An operator's word for the next decision: these voters need not answer after a power loss of many (R-D6w). A sentence. */
  forceRecover(withoutIds: readonly string[]): ChangeAnswer
}

export interface RaftNode extends GroupAffairs {
  /** Listens, connects to the peers, ticks. Rejects when the port cannot be had. */
  start(): Promise<void>
  /** Proposals wait. Cheap: may be called for each message. */
  wake(): void
  status(): RaftStatus
  /** Leads and takes proposals; the same as `status().ready`, without building a status. */
  readonly ready: boolean
  readonly term: number
  readonly leaderId: string | null
  /** False: the disks of this node or of most others have no room for messages (raft.md 4.11). Refuse sends; commands go on. */
  readonly diskRoom: boolean
  /** What the disk has now: who looks at it more often than the node does by itself tells it. */
  spaceSeen(space: DiskSpace): void
  /** The log's own time (raft.md 4.2), ms: what an entry would have if it were written now. A wall clock that is set moves it slowly only. */
  timeMs(): number
  /** An index that a majority confirmed and this node has applied; rejects with NotLeaderError. */
  readIndex(): Promise<number>
  /** True when another node leads then. */
  transferLeadership(targetId?: string): Promise<boolean>
  readonly log: LogReader
  /** Fdatasynced here up to this index: derived state may be persisted up to it (R-D5). */
  readonly durableIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  /** Drops whole segments below `position`, the first byte of entry `index`; only after the state is checkpointed at or behind it. */
  trimPrefix(index: number, position: number): Promise<void>
  segments(): readonly SegmentInfo[]
  /** First byte that a snapshot on its way to a member still needs; trimming beyond it costs that member a new start. Infinite: none. */
  readonly snapshotFloor: number
  /**
   * Reads entries from `fromIndex` on and their index units from the disk, whatever is in memory, about `maxBytes`. What
   * is damaged is repaired as if a reader had met it.
   */
  verify(fromIndex: number, maxBytes: number): Promise<VerifiedRange>
  stop(options?: StopOptions): Promise<void>
}

/** The call needs the leader, or the leader of before is none any more. Try again at `leaderId`. */
export class NotLeaderError extends Error {
  override readonly name = 'NotLeaderError'
  readonly leaderId: string | null
  constructor(leaderId: string | null) {
    super(leaderId === null ? 'no leader is known' : `the leader is ${leaderId}`)
    this.leaderId = leaderId
  }
}

type RaftStartReason = 'options' | 'appliedBeyondLog' | 'stateBehindLog' | 'otherNode'

/**
 * The node does not start. The message says what to do.
 * - options: they contradict each other.
 * - appliedBeyondLog: the state is ahead of the log; it may be thrown away and built anew with `appliedIndex` 0.
 * - stateBehindLog: entries that the state lacks were trimmed, and there is no other member that could have it.
 * - otherNode: the directory is that of another member.
 */
export class RaftStartError extends Error {
  override readonly name = 'RaftStartError'
  readonly reason: RaftStartReason
  constructor(reason: RaftStartReason, message: string) {
    super(message)
    this.reason = reason
  }
}
