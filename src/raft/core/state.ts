import { Generator } from './generator.ts'
import { type ConfigurationAt, LogState } from './logState.ts'
import type { Progress } from './progress.ts'
import { defaultLimits, defaultTimings, type TickTimings, toTicks } from './settings.ts'
import type {
  AppendReplyMessage,
  Configuration,
  Effect,
  HelloFacts,
  Limits,
  Member,
  MemberRole,
  Membership,
  Message,
  NodeId,
  RaftCoreOptions,
  Uid,
  VoteReplyMessage
} from './types.ts'

export interface FollowerRole {
  readonly kind: 'follower'
  /** Who leads this term; null: not heard of one. */
  leaderId: NodeId | null
  /** Of the leader's process when it was heard last; 0: unknown. */
  leaderIncarnation: number
  /** Its process is proven gone; ends with the next append (fast path). */
  leaderGone: boolean
  /** The stream came by here, over entries that have lost their headers; nothing shows yet that they are the leader's. */
  passedIndex: number
  /** The leader's commit as far as it was proved. */
  provedCommit: number
  /** The leader's commit as it said it to this process: covers all that was acknowledged before the start (R-D6). */
  leaderCommit: number
  lastStreamSeq: number
  lastReadSeq: number
  /** Entries were taken whose write has not been answered for. */
  replyOwed: boolean
  sinceReplyTicks: number
}

export interface CampaignRole {
  readonly kind: 'preCandidate' | 'candidate'
  readonly votes: Map<NodeId, boolean>
  readonly force: boolean
  /** Hard state that holds the own vote; the own vote counts from its save on. 0 for a pre-vote. */
  readonly ownVoteSeq: number
  /** Last entry that the campaign stands on: the claimed one, or the sound one in the way out (R-D6w). */
  readonly lastIndex: number
  readonly lastTerm: number
  roundTicks: number
}

export interface PendingRead {
  readonly id: number
  readonly index: number
  readonly seq: number
}

export interface Transfer {
  readonly target: NodeId
  ticks: number
  sent: boolean
}

export interface LeaderRole {
  readonly kind: 'leader'
  /** By uid: an old and a new disk of one id are two (R-M6). */
  readonly progress: Map<Uid, Progress>
  /** The no-op or first configuration of this term (R-C2). */
  ownFirstIndex: number
  /** End of the committed part of the own entries. */
  committedEndBytes: number
  ready: boolean
  readSeq: number
  readonly reads: PendingRead[]
  /** Asked before the own first entry was committed. */
  readonly waitingReads: number[]
  transfer: Transfer | null
  /** To whom leadership was to go last because of this node's disk. */
  troubleTarget: NodeId | null
  /** Since when a damaged entry that is not committed holds everything up. */
  stuckTicks: number
  preferredCheckTicks: number
  preferredFitTicks: number
  /** Doubles with every transfer to the preferred leader that failed. */
  preferredBackoffTicks: number
  preferredWaitTicks: number
  /** An operator's change on its way to commit. */
  change: { readonly requestId: number; readonly index: number; readonly text: string } | null
  /** Counts up to the next look at learners and applicants. */
  membershipTicks: number
}

export type Role = FollowerRole | CampaignRole | LeaderRole | { readonly kind: 'stopped' }

/** What was last heard of another voter by a reply to a pre-vote (R-D6w). */
export interface Survey {
  ticksAgo: number
  whole: boolean
  hearsLeader: boolean
  intactIndex: number
  intactTerm: number
}

/** What is known of a peer from its Hellos, whoever leads. */
export interface PeerLink {
  uid: string
  incarnation: number
  linked: boolean
  empty: boolean
  /** Last facts, for the leader's first guess at its log. */
  hello: HelloFacts | null
}

/** A node that asked to be let in and is no member. */
export interface Applicant {
  readonly uid: Uid
  /** By its own configuration, and of this group for certain. */
  readonly wasVoter: boolean
  readonly raftAddress: string
  readonly brokerAddress: string
  ticksAgo: number
}

export function followerRole(leaderId: NodeId | null): FollowerRole {
  return {
    kind: 'follower',
    leaderId,
    leaderIncarnation: 0,
    leaderGone: false,
    passedIndex: 0,
    provedCommit: 0,
    leaderCommit: 0,
    lastStreamSeq: 0,
    lastReadSeq: 0,
    replyOwed: false,
    sinceReplyTicks: 0
  }
}

export const REMOVED_ADVICE =
  'it serves nobody and takes no part; stop it, or bring it back with mqadmin raftAddMember'

/** Highest priority above 0, then the smaller id. */
function preferredOf(voters: readonly Member[]): NodeId | null {
  let best: Member | null = null
  for (const voter of voters) {
    if (voter.priority === 0) continue
    if (
      best === null ||
      voter.priority > best.priority ||
      (voter.priority === best.priority && voter.id < best.id)
    )
      best = voter
  }
  return best?.id ?? null
}

type SaveHardState = Extract<Effect, { kind: 'saveHardState' }>

/** Everything that the core remembers, and the few things that all rules do: emit, save, count a majority. */
export class RaftState {
  readonly options: RaftCoreOptions
  readonly limits: Limits
  readonly ticks: TickTimings
  readonly tickMs: number
  readonly selfId: NodeId
  readonly random: Generator
  readonly log: LogState
  readonly effects: Effect[] = []
  #saveOfThisStep: SaveHardState | null = null

  /** Invariant: never falls; saved before anything that depends on it leaves. */
  term: number
  vote: NodeId | null
  founders: readonly Member[] | null
  clusterId: string
  /** Highest index that appends of this term's leader proved equal; what came between does not change it. */
  provedIndex = 0
  /** Written by roles.ts only. */
  role: Role = followerRole(null)
  started: boolean = false

  #hardStateSeq = 0
  #hardStateSaved = 0
  /** Replies that wait for the hard state, the newest for each peer and type. */
  readonly #held = new Map<string, { to: NodeId; message: AppendReplyMessage | VoteReplyMessage }>()

  /** Whom the first start was last said to wait for. */
  waitedFor = ''
  configuration: Configuration | null = null
  /** Of the configuration in force; 0: the founders', which stand in no entry. */
  configurationIndex = 0
  /** Of the newest committed one that the driver was told of. */
  toldConfigurationIndex = 0
  voters: readonly Member[] = []
  /** Null: nobody is preferred. By the members' priorities, without any by this node's own file. */
  preferredLeaderId: NodeId | null = null
  /** The group has told this node that it is no member any more, or a committed configuration has. */
  removed: boolean = false
  /** It was said in the log that this node waits to be added. */
  saidWaiting: boolean = false
  readonly applicants = new Map<NodeId, Applicant>()
  /** While this node recovers: what it may have acknowledged to (R-D6). */
  lostConfigurations: readonly Configuration[]
  /** Voters that an operator declared gone (R-D6w). */
  goneForGood: readonly NodeId[]
  readonly links = new Map<NodeId, PeerLink>()

  /** Ticks since a leader was heard, whatever this node did since. */
  sinceLeaderTicks: number
  electionTicks = 0
  /** `electionTicks` at which the next campaign starts. */
  patienceTicks = 0

  /** Invariant: never falls, never beyond `log.soundIndex` when it moves (R-C4). */
  commitIndex: number
  readonly knownCommit: number
  appliedIndex: number
  applyLagBytes = 0
  /** The derived state ends before the log begins: nothing can be applied until a snapshot brings another one (R-S). */
  readonly lacksState: boolean

  recovering: boolean
  /** What the driver was last told of `whole`. */
  knownWhole: boolean
  readonly survey = new Map<Uid, Survey>()
  /** So long all voters answer this node, which is not whole, and none hears a leader. */
  leaderlessTicks = 0
  repairTicks = 0
  /** Peers that do not have the deciding fault whole; starts again when that is another one. */
  readonly repairNone = new Set<NodeId>()
  repairIndex = 0

  storageSlow: boolean = false
  diskLevel: 'room' | 'refuse' | 'full' = 'room'
  freePermille = 1000
  #requestSeq = 0

  constructor(options: RaftCoreOptions) {
    this.options = options
    this.limits = { ...defaultLimits, ...options.limits }
    const timings = { ...defaultTimings, ...options.timings }
    this.ticks = toTicks(timings)
    this.tickMs = timings.tickMs
    this.selfId = options.selfId
    this.random = new Generator(options.seed)
    this.log = new LogState(options.log, options.segmentBytes, this.limits)
    this.term = options.hardState.term
    this.vote = options.hardState.vote
    this.founders = options.hardState.founders
    this.clusterId = options.hardState.clusterId
    if (this.log.lastTerm > this.term) {
      // The entries of a term reached the disk before its hard state: no vote in it can have left.
      this.term = this.log.lastTerm
      this.vote = null
    }
    this.sinceLeaderTicks = this.ticks.election
    this.knownCommit = Math.max(options.knownCommit, options.appliedIndex)
    this.commitIndex = Math.min(this.knownCommit, this.log.soundIndex)
    this.appliedIndex = Math.min(options.appliedIndex, this.commitIndex)
    this.lacksState = options.appliedIndex < this.log.firstIndex - 1
    this.recovering = options.recovering || this.knownCommit > this.log.lastIndex
    this.knownWhole = this.whole
    this.lostConfigurations = this.recovering ? options.log.lostConfigurations : []
    this.goneForGood = options.forceRecoverWithout ?? []
    this.configurationChanged()
    this.effects.length = 0
    this.toldConfigurationIndex = this.committedConfiguration?.index ?? 0
    this.log.forgetConfigurationsBefore(this.toldConfigurationIndex)
  }

  emit(effect: Effect): void {
    this.effects.push(effect)
  }

  report(level: 'info' | 'warn' | 'error', text: string): void {
    this.effects.push({ kind: 'report', level, text })
  }

  send(to: NodeId, message: Message): void {
    this.effects.push({ kind: 'send', to, message })
  }

  /** Replies depend on the hard state: they leave when the newest one asked for is saved (table of what must be durable). */
  reply(to: NodeId, message: AppendReplyMessage | VoteReplyMessage): void {
    if (this.#hardStateSaved === this.#hardStateSeq) this.send(to, message)
    else this.#held.set(`${message.type} ${to}`, { to, message })
  }

  /** Asks for the present hard state to be saved; one write a step, whatever changed in it. Returns its number. */
  saveHardState(): number {
    const content = {
      term: this.term,
      vote: this.vote,
      founders: this.founders,
      clusterId: this.clusterId
    }
    const last = this.#saveOfThisStep
    if (last !== null) {
      const { seq } = last
      this.effects[this.effects.indexOf(last)] = this.#saveOfThisStep = {
        kind: 'saveHardState',
        seq,
        ...content
      }
      return seq
    }
    this.#hardStateSeq++
    this.#saveOfThisStep = { kind: 'saveHardState', seq: this.#hardStateSeq, ...content }
    this.emit(this.#saveOfThisStep)
    return this.#hardStateSeq
  }

  /** Empties the list of effects for the next event. */
  beginStep(): void {
    this.effects.length = 0
    this.#saveOfThisStep = null
  }

  /** Lets the held replies go. Those of an older term are of no use to anyone any more. */
  hardStateSaved(seq: number): void {
    this.#hardStateSaved = Math.max(this.#hardStateSaved, seq)
    if (this.#hardStateSaved < this.#hardStateSeq) return
    for (const { to, message } of this.#held.values()) {
      if (message.term === this.term) this.send(to, message)
    }
    this.#held.clear()
  }

  get savedSeq(): number {
    return this.#hardStateSaved
  }

  nextRequestId(): number {
    return ++this.#requestSeq
  }

  /** What of the own log is known to be committed, damaged or not: no way out gives it up (R-D6w). */
  get committedFloor(): number {
    return Math.max(this.commitIndex, Math.min(this.knownCommit, this.log.lastIndex))
  }

  get damaged(): boolean {
    return this.log.faults.length > 0
  }

  get whole(): boolean {
    return !this.recovering && !this.damaged
  }

  /** To be called when the log's configurations or the founders changed (R-M3). */
  configurationChanged(): void {
    const last = this.log.configurations[this.log.configurations.length - 1]
    this.configurationIndex = last?.index ?? 0
    if (last !== undefined) this.configuration = last.configuration
    else if (this.founders !== null)
      this.configuration = { version: 1, clusterId: this.clusterId, members: this.founders }
    else this.configuration = null
    this.voters = this.configuration?.members.filter(member => member.role === 'voter') ?? []
    this.preferredLeaderId = preferredOf(this.voters) ?? this.options.preferredLeaderId
    this.emit({ kind: 'configurationChanged' })
  }

  /** Null: none is known to be committed. */
  get committedConfiguration(): ConfigurationAt | null {
    return this.log.configurationAt(this.commitIndex)
  }

  /** It saved founders and has no entry yet. */
  get onlyFounded(): boolean {
    return this.log.configurations.length === 0 && this.clusterId === ''
  }

  /**
   * The peer knows of a group whose first entry is committed, and the beginning that this node knows of, founders or an entry, is not
   * that one. If a disk was lost at that moment, others have founded with another one: theirs is the group that came about, and
   * whoever is of it is let in (R-D7).
   */
  beganOtherwise(clusterId: string): boolean {
    return this.clusterId === '' && clusterId !== '' && clusterId !== this.configuration?.clusterId
  }

  /**
   * Members of the configurations that are or may yet be in force: a leader that is none by an entry which is going to be
   * cut must be heard all the same, and who is being removed is one until that is committed.
   */
  get possibleMembers(): readonly Member[] {
    const known = this.log.configurations.map(({ configuration }) => configuration)
    const all = [...this.lostConfigurations, ...known].flatMap(({ members }) => members)
    return this.committedConfiguration === null ? [...all, ...(this.founders ?? [])] : all
  }

  mayBeMember(id: NodeId, uid: Uid): boolean {
    const lists = (members: readonly Member[] | null | undefined): boolean =>
      members?.some(member => member.id === id && member.uid === uid) === true
    for (const { configuration } of this.log.configurations) {
      if (lists(configuration.members)) return true
    }
    if (this.lostConfigurations.some(({ members }) => lists(members))) return true
    return this.committedConfiguration === null && lists(this.founders)
  }

  get memberRole(): MemberRole | 'none' {
    const { selfUid } = this.options
    const self = this.configuration?.members.find(m => m.id === this.selfId && m.uid === selfUid)
    return self?.role ?? 'none'
  }

  get membership(): Membership {
    if (this.removed) return 'removed'
    return this.memberRole === 'none' ? 'waiting' : this.memberRole
  }

  get majority(): number {
    return (this.voters.length >> 1) + 1
  }

  get isVoter(): boolean {
    return this.isVoterWith(this.selfId, this.options.selfUid)
  }

  /** Whether (id, uid) is a voter of the own configuration; everything else counts for nothing (R-E4). */
  isVoterWith(id: NodeId, uid: string): boolean {
    for (const voter of this.voters) if (voter.id === id && voter.uid === uid) return true
    return false
  }

  isLinked(id: NodeId): boolean {
    return this.links.get(id)?.linked === true
  }

  get leaderId(): NodeId | null {
    if (this.role.kind === 'leader') return this.selfId
    return this.role.kind === 'follower' ? this.role.leaderId : null
  }

  /** The leader in office as far as this node knows: itself, or one that is neither silent nor proven gone (R-E4). */
  get heardLeaderId(): NodeId | null {
    if (this.role.kind === 'leader') return this.selfId
    if (this.role.kind !== 'follower' || this.role.leaderGone) return null
    return this.sinceLeaderTicks < this.ticks.silence ? this.role.leaderId : null
  }

  /** Patience by rank and by how far application lags: they stagger campaigns and never refuse one. */
  get campaignDelayTicks(): number {
    const { preferredLeaderId } = this
    const rank =
      preferredLeaderId !== null && preferredLeaderId !== this.selfId ? this.ticks.priorityDelay : 0
    const share = Math.min(1, this.applyLagBytes / this.limits.applyLagLimitBytes)
    return rank + Math.ceil(share * this.ticks.applyLagDelay)
  }

  /** Starts the wait for the next campaign from now. */
  waitTicks(patience: number): void {
    this.electionTicks = 0
    this.patienceTicks = patience
  }

  waitFullTimeout(): void {
    this.waitTicks(
      this.ticks.election + this.random.between(0, this.ticks.jitter) + this.campaignDelayTicks
    )
  }

  waitForRetry(): void {
    this.waitTicks(this.random.between(this.ticks.voteRetryMin, this.ticks.voteRetryMax))
  }

  roleEffect(): void {
    this.emit({
      kind: 'roleChanged',
      role: this.role.kind,
      term: this.term,
      leaderId: this.leaderId,
      ready: this.role.kind === 'leader' && this.role.ready
    })
  }
}
