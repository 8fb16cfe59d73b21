/**
 * What travels between the nodes of a group, as the core sees it. Field names are those of the protobuf table.
 *
 * Node ids are the short names of the configuration ("n0"). A uid is the random identity of one data directory, written
 * as lower-case hex; it is compared, never parsed. Indexes start at 1; 0 means "none". Terms start at 1.
 */

export type NodeId = string
export type Uid = string

/** Kind byte of an entry (log format). */
export const EntryKind = { messages: 1, commands: 2, configuration: 3, noop: 4 } as const
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind]

export const ENTRY_HEADER_BYTES = 64

export type MemberRole = 'voter' | 'learner'

/** One member of the group, keyed by (id, uid). The addresses are carried for others, the core does not read them. */
export interface Member {
  readonly id: NodeId
  readonly uid: Uid
  readonly role: MemberRole
  readonly raftAddress: string
  readonly brokerAddress: string
  /** The voter with the highest one above 0 is the preferred leader. */
  readonly priority: number
}

/**
 * Body of a configuration entry (kind 3). The first one of a group names the founders and the cluster id (R-D7).
 * An id stands in it twice only while a wiped node comes back: its old uid as a voter, its new one as a learner (R-M6).
 */
export interface Configuration {
  readonly version: number
  /** Hex; '' only where none has been drawn. */
  readonly clusterId: string
  readonly members: readonly Member[]
}

/** What the core knows of an entry that came from a peer; the bytes stay with the driver, which has checked both CRCs. */
export interface EntrySummary {
  readonly index: number
  readonly term: number
  /** Position of the header in the log, in bytes; equal on all replicas. */
  readonly positionBytes: number
  /** Header and body, in bytes. */
  readonly sizeBytes: number
  readonly headerCrc: number
  /** `headerCrc` of the entry before. */
  readonly prevCrc: number
  readonly kind: EntryKind
  /** Decoded body when `kind` is configuration, else null. */
  readonly configuration: Configuration | null
}

/**
 * Entries `prevIndex + 1 … prevIndex + count` follow as bytes. Outgoing: the driver attaches them. Incoming: the driver
 * passes their summaries with the event. `count` 0 is a heartbeat, a probe, or news of a commit.
 */
export interface AppendMessage {
  readonly type: 'append'
  readonly term: number
  readonly leaderId: NodeId
  readonly prevIndex: number
  readonly prevTerm: number
  readonly commit: number
  readonly count: number
  readonly payloadBytes: number
  /** The highest read round that an answer to this message confirms (R-E9, read index). */
  readonly readSeq: number
  /** First index that the leader still has. */
  readonly logStart: number
  /** Counts the appends of this leader to this peer; never starts again while the process lives. */
  readonly streamSeq: number
  /** The process that the leader knew when it decided this; a late one may come to its next (R-D6). */
  readonly toIncarnation: number
  readonly toUid: Uid
}

export const AppendResult = {
  ok: 0,
  conflict: 1,
  diskFull: 2,
  recovering: 3,
  corrupt: 4,
  busy: 5
} as const
export type AppendResult = (typeof AppendResult)[keyof typeof AppendResult]

export interface AppendReplyMessage {
  readonly type: 'appendReply'
  readonly term: number
  readonly nodeId: NodeId
  readonly result: AppendResult
  /** Highest index that is durable here under the flush mode and equal to the leader's log. */
  readonly match: number
  /** Highest index that is equal to the leader's log, durable or not. */
  readonly received: number
  /** Up to here nothing is in flight any more: durable, and equal to the leader's log or, damaged, not known to differ. */
  readonly settled: number
  readonly hintIndex: number
  readonly hintTerm: number
  readonly readSeq: number
  readonly lastIndex: number
  readonly logStart: number
  readonly applied: number
  readonly freePermille: number
  readonly diskOk: boolean
  /** Of the newest append that this answers. */
  readonly streamSeq: number
  readonly incarnation: number
  readonly nodeUid: Uid
}

export interface VoteMessage {
  readonly type: 'vote'
  /** Of a pre-vote: the proposed term. */
  readonly term: number
  readonly candidateId: NodeId
  readonly candidateUid: Uid
  readonly lastIndex: number
  readonly lastTerm: number
  readonly pre: boolean
  /** Campaign of a leadership transfer: beats the voter's leader (R-E4). */
  readonly force: boolean
}

export const VoteReason = {
  none: 0,
  olderTerm: 1,
  votedForAnother: 2,
  notUpToDate: 3,
  hearsLeader: 4,
  recovering: 5,
  notFounded: 6,
  unknownCandidate: 7,
  stopped: 8
} as const
export type VoteReason = (typeof VoteReason)[keyof typeof VoteReason]

export interface VoteReplyMessage {
  readonly type: 'voteReply'
  /** The proposed term when a pre-vote is granted, else the voter's own. */
  readonly term: number
  readonly voterId: NodeId
  readonly granted: boolean
  readonly pre: boolean
  readonly reason: VoteReason
  /** The leader that the voter is or hears; '' for none. */
  readonly leaderId: NodeId
  readonly voterUid: Uid
  readonly recovering: boolean
  readonly damaged: boolean
  /** Last entry below the first fault that no peer could repair (R-D6w). */
  readonly intactIndex: number
  readonly intactTerm: number
}

export interface TimeoutNowMessage {
  readonly type: 'timeoutNow'
  readonly term: number
  readonly leaderId: NodeId
  readonly lastIndex: number
}

/** Asks for exactly the entry whose header has this CRC (log recovery). `headerCrc` -1: unknown, only LEADERS can answer. */
export interface RepairMessage {
  readonly type: 'repair'
  readonly index: number
  /** 0: unknown. */
  readonly term: number
  readonly headerCrc: number
}

export const RepairAnswer = { have: 0, none: 1, leaders: 2 } as const
export type RepairAnswer = (typeof RepairAnswer)[keyof typeof RepairAnswer]

/** `have` and `leaders` are followed by the entry; the driver passes its summary with the event. */
export interface RepairReplyMessage {
  readonly type: 'repairReply'
  readonly index: number
  readonly answer: RepairAnswer
  /** The sender's current term. */
  readonly term: number
  /** Term of the sender's entry before it. */
  readonly prevTerm: number
}

/** A committed entry with all that was applied up to it: what a snapshot stands for (R-S). */
export interface SnapshotFacts {
  /** Of one manifest; names the files that belong to it. */
  readonly snapshotId: string
  /** Last entry that it holds, and whose application its state ends with. */
  readonly index: number
  readonly indexTerm: number
  /** Header CRC of that entry: by the chain it stands for the whole log before it. */
  readonly headerCrc: number
}

/** The leader's log starts behind what the receiver has: it is to fetch a copy. The manifest follows; the driver attaches it. */
export interface SnapshotOfferMessage extends SnapshotFacts {
  readonly type: 'snapshotOffer'
  readonly term: number
  readonly leaderId: NodeId
}

/** `ok`: it has everything up to the offered entry, go on from there by appends. Else: it gave up, the remark says why. */
export interface SnapshotDoneMessage {
  readonly type: 'snapshotDone'
  readonly snapshotId: string
  readonly ok: boolean
  readonly remark: string
}

export type Message =
  | AppendMessage
  | AppendReplyMessage
  | VoteMessage
  | VoteReplyMessage
  | TimeoutNowMessage
  | RepairMessage
  | RepairReplyMessage
  | SnapshotOfferMessage
  | SnapshotDoneMessage

/** What the core wants to know of a peer's Hello or HelloReply, and what it tells of itself (`Raft.hello()`). */
export interface HelloFacts {
  readonly nodeId: NodeId
  readonly nodeUid: Uid
  /** '' while none is committed. */
  readonly clusterId: string
  readonly incarnation: number
  readonly term: number
  readonly lastIndex: number
  readonly lastTerm: number
  readonly logStart: number
  /** No entry and no cluster id (R-D7). */
  readonly empty: boolean
  readonly recovering: boolean
  /** Of the configuration in force at the sender; 0: it has none. */
  readonly configurationVersion: number
  /** By its own configuration. Who is no voter has promised nothing to the group as one (R-M6). */
  readonly memberRole: MemberRole | 'none'
  /** Where its peers reach it, as its own file says. */
  readonly raftAddress: string
  readonly brokerAddress: string
}

/** `refuse_code` of a HelloReply. */
export const RefuseCode = {
  none: 0,
  clusterId: 1,
  unknownMember: 2,
  /** A known id with another uid: a wiped disk, or a copy of a configuration (R-D7, R-M6). */
  otherUid: 3,
  self: 4,
  /** It was a member, and a committed configuration that is not older than its own does not list it any more. */
  removed: 5
} as const
export type RefuseCode = (typeof RefuseCode)[keyof typeof RefuseCode]
