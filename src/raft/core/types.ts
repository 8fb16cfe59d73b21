/**
 * What may be told to the consensus core (events), what it asks for (effects), and what it starts from. The messages that
 * travel between nodes are in messages.ts. Rules named R-… are those of the design of the Raft log.
 */

import type {
  AppendResult,
  Configuration,
  EntryKind,
  EntrySummary,
  HelloFacts,
  Member,
  Message,
  NodeId,
  RefuseCode,
  SnapshotFacts,
  Uid
} from './messages.ts'

export * from './messages.ts'

export type Event =
  /** Exactly once, first, after the log was verified and synced and the new incarnation was saved (R-E1, R-R1). */
  | { readonly kind: 'start' }
  /** `count` >= 1 periods of `tickMs` have passed; the driver caps it at 2 a callback and puts late ones off (stalls). */
  | { readonly kind: 'tick'; readonly count: number }
  /** `entries` are the summaries of the entries behind an append or a repair reply, in order; else empty. */
  | {
      readonly kind: 'receive'
      readonly from: NodeId
      readonly message: Message
      readonly entries: readonly EntrySummary[]
    }
  /** One sealed batch waits; `sizeBytes` counts the header too. Answered within the step by `appendOwn` or `proposalRefused`. */
  | {
      readonly kind: 'propose'
      readonly entryKind: 1 | 2
      readonly sizeBytes: number
      readonly token: number
    }
  /** Every write (append, cut, rewrite) up to and with `writeSeq` is durable under the flush mode. */
  | { readonly kind: 'storageDone'; readonly writeSeq: number }
  /** Every hard state up to and with `seq` is durable. */
  | { readonly kind: 'hardStateSaved'; readonly seq: number }
  /** A write or fsync failed for good (R-D8; not ENOSPC of a write). The node ends. */
  | { readonly kind: 'storageFailed'; readonly reason: string }
  /** A write or fsync is not done for 1 s, or it is again (R-D9). */
  | { readonly kind: 'storageSlow'; readonly slow: boolean }
  /** `room`: all goes on; `refuse`: commands only; `full`: the reserve is used up, nothing can be taken. */
  | {
      readonly kind: 'diskPressure'
      readonly level: 'room' | 'refuse' | 'full'
      readonly freePermille: number
    }
  /** The outgoing connection stands and the peer's HelloReply without refusal was read. Also after each reconnect. */
  | { readonly kind: 'linkUp'; readonly peer: NodeId; readonly hello: HelloFacts }
  | { readonly kind: 'linkDown'; readonly peer: NodeId }
  /** A peer connected to us and said Hello. No `refuseHello` in the effects: answer with `hello()` and serve it. */
  | { readonly kind: 'hello'; readonly peer: NodeId; readonly hello: HelloFacts }
  /** A peer refused our Hello. */
  | {
      readonly kind: 'helloRefused'
      readonly peer: NodeId
      readonly code: number
      readonly remark: string
    }
  /** Two refused reconnects 20 ms apart prove that the peer's process is gone (fast path). */
  | { readonly kind: 'peerGone'; readonly peer: NodeId }
  /** Entries asked for by `readEntries`, verified: `firstIndex … firstIndex + sizesBytes.length - 1`. Empty: could not be read. */
  | {
      readonly kind: 'entriesRead'
      readonly peer: NodeId
      readonly requestId: number
      readonly firstIndex: number
      readonly sizesBytes: readonly number[]
    }
  /** The state machine has applied up to `index`; `lagBytes` of committed entries still wait. */
  | { readonly kind: 'applied'; readonly index: number; readonly lagBytes: number }
  /** One call stands for all reads of a turn. Answered by `readReady` or `readFailed` with the same id, maybe later. */
  | { readonly kind: 'readIndex'; readonly id: number }
  /** Null: the best peer. Answered by `transferEnded`. */
  | { readonly kind: 'transfer'; readonly target: NodeId | null }
  /** Answered by `membershipEnded` with the same id: at once when refused, else when it is committed. */
  | {
      readonly kind: 'changeMembership'
      readonly requestId: number
      readonly change: MembershipChange
    }
  /** An operator's word: these voters need not answer in the way out of a wide power loss (R-D6w). Holds until a leader is heard. */
  | { readonly kind: 'forceRecover'; readonly without: readonly NodeId[] }
  /** A read found these entries damaged. */
  | { readonly kind: 'damaged'; readonly faults: readonly Fault[] }
  /** Answer to `offerSnapshot`: what may be offered to this peer. The driver keeps the files for a while. */
  | { readonly kind: 'snapshotReady'; readonly peer: NodeId; readonly snapshot: SnapshotFacts }
  /** Answer to `offerSnapshot`: not now. It is asked again later. */
  | { readonly kind: 'snapshotFailed'; readonly peer: NodeId; readonly reason: string }
  /** Answer to `installSnapshot`: the copy is whole, verified and on the disk. It counts for nothing yet. */
  | { readonly kind: 'snapshotCopied'; readonly snapshot: SnapshotFacts }
  /** Answer to `installSnapshot`: the copy cannot be finished. */
  | { readonly kind: 'snapshotAbandoned'; readonly snapshotId: string; readonly reason: string }
  /** The log now starts at `firstIndex` (whole segments were trimmed below the committed and applied index). */
  | { readonly kind: 'trimmed'; readonly firstIndex: number }
  | { readonly kind: 'stop' }

/** What an operator may ask for. Promotions and the return of a wiped node are the leader's own doing (R-M4, R-M6). */
export type MembershipChange =
  /** A node that asks to join becomes a learner, and a voter when it has caught up. Null: as it says itself; priority 0. */
  | {
      readonly op: 'add'
      readonly id: NodeId
      readonly raftAddress: string | null
      readonly priority: number | null
    }
  | { readonly op: 'remove'; readonly id: NodeId }
  /** Null: as it is. */
  | {
      readonly op: 'update'
      readonly id: NodeId
      readonly raftAddress: string | null
      readonly priority: number | null
    }

/**
 * - notLeader, notReady, transferring, diskFull: nothing was done, now is not the time.
 * - pending: the change before is not committed (R-M1).
 * - notAsked: no node of that id asked to join lately. isMember: it is one already.
 * - unknownMember, tooMany. isLeader: it hands over now, the next leader may remove it (R-M5). lastVoter.
 * - majorityLost: the voters that answer would not be a majority of what is left.
 * - lost: leadership ended before it was committed; it may still happen.
 */
export type MembershipRefusal =
  | 'notLeader'
  | 'notReady'
  | 'transferring'
  | 'diskFull'
  | 'pending'
  | 'notAsked'
  | 'isMember'
  | 'unknownMember'
  | 'tooMany'
  | 'isLeader'
  | 'lastVoter'
  | 'majorityLost'
  | 'lost'

/** What this node is in its group. `waiting`: it belongs to none yet. `removed`: it did once. */
export type Membership = 'voter' | 'learner' | 'waiting' | 'removed'

export type RoleName = 'follower' | 'preCandidate' | 'candidate' | 'leader' | 'stopped'

export type ProposalRefusal =
  | 'notLeader'
  | 'notReady'
  | 'transferring'
  | 'busy'
  | 'diskFull'
  | 'tooLarge'

/**
 * In the order given, each may be carried out at once: the core itself holds back what has to wait for a disk.
 * Nothing in here has to be kept by the driver beyond its execution, except the queue of writes.
 */
export type Effect =
  /** Goes ahead of all data writes, in its own file (R-D1); answered by `hardStateSaved` after its fdatasync. */
  | {
      readonly kind: 'saveHardState'
      readonly seq: number
      readonly term: number
      readonly vote: NodeId | null
      readonly founders: readonly Member[] | null
      readonly clusterId: string
    }
  /** Seal, cache and write the entry that was proposed with `token` (0: the core's own no-op or configuration). */
  | {
      readonly kind: 'appendOwn'
      readonly writeSeq: number
      readonly index: number
      readonly term: number
      readonly positionBytes: number
      readonly sizeBytes: number
      readonly entryKind: EntryKind
      readonly token: number
      readonly configuration: Configuration | null
    }
  /** Cache and write entries `firstIndex … lastIndex` of those that came with this event. */
  | {
      readonly kind: 'appendReceived'
      readonly writeSeq: number
      readonly firstIndex: number
      readonly lastIndex: number
    }
  /**
   * Remove `fromIndex` and all behind it from log, index and cache, in the queue of writes (R-L5). `forgets`: something of it
   * may have been acknowledged; before anything goes the hard state says that the node recovers (R-D6).
   */
  | {
      readonly kind: 'cut'
      readonly writeSeq: number
      readonly fromIndex: number
      readonly forgets: boolean
    }
  /** Write the entry `index` of those that came with this event over the faulty one in its place. */
  | { readonly kind: 'rewrite'; readonly writeSeq: number; readonly index: number }
  /** Requests (append, vote, timeoutNow, repair) go out on our connection, replies on the peer's. No connection: drop it. */
  | { readonly kind: 'send'; readonly to: NodeId; readonly message: Message }
  /** Read entries from `firstIndex` on, at least one, until `maxBytes` or `lastIndex`; one request a peer; throttled. */
  | {
      readonly kind: 'readEntries'
      readonly peer: NodeId
      readonly requestId: number
      readonly firstIndex: number
      readonly lastIndex: number
      readonly maxBytes: number
    }
  /** Everything up to `index` is committed and whole here: apply it. */
  | { readonly kind: 'committed'; readonly index: number }
  /** `ready`: leader whose own entry is committed and applied (R-E9). When leadership ends, all own pending proposals have an unknown fate. */
  | {
      readonly kind: 'roleChanged'
      readonly role: RoleName
      readonly term: number
      readonly leaderId: NodeId | null
      readonly ready: boolean
    }
  | {
      readonly kind: 'proposalRefused'
      readonly token: number
      readonly reason: ProposalRefusal
      readonly leaderId: NodeId | null
    }
  /** The answer may be given once `index` is applied. */
  | { readonly kind: 'readReady'; readonly id: number; readonly index: number }
  | {
      readonly kind: 'readFailed'
      readonly id: number
      readonly reason: 'notLeader' | 'busy'
      readonly leaderId: NodeId | null
    }
  | {
      readonly kind: 'transferEnded'
      readonly target: NodeId | null
      readonly ok: boolean
      readonly reason: string
    }
  /** `refusal` null: done. `text` says in a sentence what happened, or what to do. */
  | {
      readonly kind: 'membershipEnded'
      readonly requestId: number
      readonly refusal: MembershipRefusal | null
      readonly text: string
      readonly leaderId: NodeId | null
    }
  /** The configuration in force is another one, or was committed, or this node's part in it changed (`configuration`, `membership`). */
  | { readonly kind: 'configurationChanged' }
  /** Answer that Hello with the code and close. */
  | {
      readonly kind: 'refuseHello'
      readonly peer: NodeId
      readonly code: RefuseCode
      readonly remark: string
    }
  /** Read the own entry: HAVE when its header has this CRC, else LEADERS when `asLeader`, else NONE; then send the reply. */
  | {
      readonly kind: 'answerRepair'
      readonly to: NodeId
      readonly index: number
      readonly headerCrc: number
      readonly asLeader: boolean
      readonly term: number
      readonly prevTerm: number
    }
  /** This peer needs entries that are trimmed: make a snapshot ready, or take one that is; answered by `snapshotReady` or `snapshotFailed`. */
  | { readonly kind: 'offerSnapshot'; readonly peer: NodeId }
  /** Fetch what the manifest that came with this event names, or go on with it; the old log stays what counts meanwhile (R-S). */
  | {
      readonly kind: 'installSnapshot'
      readonly from: NodeId
      readonly snapshot: SnapshotFacts
    }
  /** The copy is of no use any more: remove it. */
  | { readonly kind: 'dropSnapshot'; readonly snapshotId: string }
  /**
   * The copy takes the place of the log: close the log, save a hard state that names the copy (what stands behind the snapshot's
   * entry in the old log stays, if that has this entry), and open everything again. The core has ended.
   */
  | { readonly kind: 'switchLog'; readonly snapshot: SnapshotFacts }
  /** Neither recovering nor damaged any more: save the machine's boot id (R-D6). */
  | { readonly kind: 'whole' }
  /** Something that an operator should find in the log. */
  | { readonly kind: 'report'; readonly level: 'info' | 'warn' | 'error'; readonly text: string }
  /** The node has ended and takes no events any more. `storage`: clear the boot id before closing (R-D8). */
  | { readonly kind: 'fatal'; readonly reason: string; readonly storage: boolean }

/** An entry that is damaged but must not be cut (log recovery). */
export interface Fault {
  readonly index: number
  /** 0: unknown (never so for the last entry of a log). */
  readonly term: number
  /** -1: unknown. */
  readonly headerCrc: number
  /** -1: unknown, as of all of several in a row that have lost their headers. */
  readonly positionBytes: number
  /**
   * End of the entry before it; only differs from `positionBytes` at the start of a segment. -1 or left out: unknown, as
   * behind an entry that has lost its header, until that one is repaired. Of the first fault above the commit index it must
   * be known: a node that does not know where its log would end does not lead by the way out (R-D6w).
   */
  readonly previousEndBytes?: number
}

export interface HardStateFacts {
  readonly term: number
  readonly vote: NodeId | null
  readonly founders: readonly Member[] | null
  /** '' until the first configuration is committed. */
  readonly clusterId: string
}

export interface LogFacts {
  /** First index that is there (1 for an untrimmed log, also when it is empty). */
  readonly firstIndex: number
  /** Term of the entry before `firstIndex`; 0 when there never was one. */
  readonly startTerm: number
  /** Last index that this node claims, damaged entries included; `firstIndex - 1` when empty. */
  readonly lastIndex: number
  /** First index of each term, rising in both; entries of unknown term continue the term before. */
  readonly terms: readonly { readonly term: number; readonly firstIndex: number }[]
  /** End of the last entry. */
  readonly nextPositionBytes: number
  /** All configuration entries that are there, oldest first. */
  readonly configurations: readonly {
    readonly index: number
    readonly configuration: Configuration
  }[]
  /**
   * Configurations that this disk had taken in and whose entries it lost, as by a power loss. It may have acknowledged what
   * was committed by their voters (R-D6).
   */
  readonly lostConfigurations: readonly Configuration[]
  /** Damaged entries, by rising index. */
  readonly faults: readonly Fault[]
}

export interface Timings {
  readonly tickMs: number
  /** After the last frame to a follower. */
  readonly heartbeatMs: number
  readonly electionTimeoutMs: number
  readonly electionJitterMs: number
  /** Extra patience of nodes that are not the preferred leader. */
  readonly priorityDelayMs: number
  /** Greatest extra patience by apply lag; reached at `applyLagLimitBytes`. */
  readonly applyLagDelayMs: number
  readonly voteRoundMs: number
  readonly voteRetryMinMs: number
  readonly voteRetryMaxMs: number
  /** Greatest random wait before a campaign against a leader that is proven gone. */
  readonly goneJitterMs: number
  readonly transferTimeoutMs: number
  readonly preferredCheckMs: number
  /** How long the preferred leader must have been fit before leadership goes to it. */
  readonly preferredFitMs: number
  readonly repairIntervalMs: number
  /** An offer that was not answered is repeated. */
  readonly offerIntervalMs: number
  /** After a snapshot that could not be made or was not taken. */
  readonly offerRetryMs: number
}

export interface Limits {
  /** Sent and not yet durable at one follower. */
  readonly windowBytes: number
  readonly windowFrames: number
  /** Entries of one append to a follower that catches up, except when a single entry is larger. */
  readonly frameBytes: number
  /** Own entries that are not committed yet. */
  readonly uncommittedBytes: number
  readonly uncommittedEntries: number
  readonly applyLagLimitBytes: number
  readonly entryBytes: number
  /** Newest entries whose sizes the core remembers and whose bytes the driver keeps in memory; older ones come by `readEntries`. */
  readonly tailBytes: number
  readonly tailEntries: number
  readonly waitingReads: number
}

export interface RaftCoreOptions {
  readonly selfId: NodeId
  readonly selfUid: Uid
  /** This start's number, already saved. */
  readonly incarnation: number
  /** All members by `dLegerPeers`, this one included; binding for the first start only (R-D7). */
  readonly peers: readonly {
    readonly id: NodeId
    readonly raftAddress: string
    readonly brokerAddress: string
  }[]
  readonly preferredLeaderId: NodeId | null
  readonly segmentBytes: number
  /** 32 bits for the generator of the jitter; the driver draws them. */
  readonly seed: number
  /** Becomes the group's id if this node leads first; hex, drawn by the driver. */
  readonly newClusterId: string
  /** Size of the body of a configuration entry as the driver encodes it; a pure function. */
  readonly configurationBodyBytes: (configuration: Configuration) => number
  readonly hardState: HardStateFacts
  readonly log: LogFacts
  /** Highest commit index that the hard state or the applied state bears witness to; may be beyond a lost tail. */
  readonly knownCommit: number
  readonly appliedIndex: number
  /** R-D6, and the other cases of log recovery that say "recovering". */
  readonly recovering: boolean
  /** An operator's word for one start: these voters need not answer in the way out of a wide power loss (R-D6w). */
  readonly forceRecoverWithout?: readonly NodeId[]
  readonly timings?: Partial<Timings>
  readonly limits?: Partial<Limits>
}

/** A peer as the leader sees it; for status pages. */
export interface PeerStatus {
  readonly id: NodeId
  readonly uid: Uid
  readonly voter: boolean
  readonly state: 'down' | 'probe' | 'replicate' | 'snapshot'
  readonly matchIndex: number
  readonly nextIndex: number
  readonly inFlightBytes: number
  readonly active: boolean
  readonly applied: number
  readonly freePermille: number
  readonly diskOk: boolean
  readonly result: AppendResult
}

/** The core's door. Created by `new Raft(options)`; the first event is `start`. */
export interface RaftCore {
  /**
   * Same state, same event: same effects. Never throws on what a peer sent; throws only when the driver breaks this contract.
   * The list is valid until the next call; carry it out in order before that.
   */
  step(event: Event): readonly Effect[]
  /** What Hello and HelloReply say of this node now. */
  hello(): HelloFacts
  /** To be asked for each connection, either way, after `configurationChanged`: false, it is to be closed. */
  keepsConnection(hello: HelloFacts): boolean
  readonly term: number
  readonly role: RoleName
  readonly leaderId: NodeId | null
  /** Leader, own entry committed and applied: takes writes (R-E9). */
  readonly ready: boolean
  readonly commitIndex: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastTerm: number
  /** Durable under the flush mode. */
  readonly durableIndex: number
  /** End of the last entry, in bytes; -1 in the moment between a cut and the append behind it. */
  readonly nextPositionBytes: number
  readonly recovering: boolean
  readonly damaged: boolean
  /** Nothing is to be applied: what the state lacks is trimmed here. Ends with a switch to a snapshot. */
  readonly lacksState: boolean
  /** In force: the newest in the log, committed or not (R-M3). Null: this node belongs to no group yet. */
  readonly configuration: Configuration | null
  /** The one that was in force when `index` was the last entry, and its own entry (0: the founders'); null: not known. */
  configurationAt(index: number): { index: number; configuration: Configuration } | null
  /** The newest one that is known to be committed; null: none is. */
  readonly committedConfiguration: Configuration | null
  readonly membership: Membership
  /** Whom to connect to: the members of all configurations that may be in force yet, newest last. */
  readonly possibleMembers: readonly Member[]
  /** One for each other member while leader, else empty. */
  peerStatuses(): PeerStatus[]
  /** Term of an entry that is there or stands before the first; 0: unknown. */
  termAt(index: number): number
}
