import { advanceLeaderCommit, becomeReadyWhenApplied, checkRecovered } from './commit.ts'
import { followerStorageDone, receiveAppend } from './follower.ts'
import { helloRefused, helloSeen, leaderIsGone, linkOf, tryFound } from './founding.ts'
import { entriesRead, heartbeats, pump } from './leaderSend.ts'
import { ageApplicants, keepsConnection } from './members.ts'
import { changeMembership, membershipTick } from './membership.ts'
import { snapshotFailed, snapshotReady } from './offers.ts'
import { panic } from './panic.ts'
import { propose } from './proposals.ts'
import { countVoters, progressOf } from './quorum.ts'
import { readIndex } from './reads.ts'
import {
  noteDamage,
  receiveRepair,
  receiveRepairReply,
  repairGoesOn,
  repairTick
} from './repair.ts'
import { receiveAppendReply } from './replies.ts'
import { becomeFollower, becomeStopped, fatal } from './roles.ts'
import {
  receiveSnapshotDone,
  receiveSnapshotOffer,
  snapshotAbandoned,
  snapshotCopied
} from './snapshots.ts'
import { type LeaderRole, RaftState } from './state.ts'
import { leaveStuckLog, leaveTrouble, startTransfer, transferTick } from './transfer.ts'
import type {
  Configuration,
  Effect,
  EntrySummary,
  Event,
  HelloFacts,
  Member,
  Membership,
  Message,
  NodeId,
  PeerStatus,
  RaftCore,
  RaftCoreOptions,
  RoleName
} from './types.ts'
import {
  askNewLink,
  campaign,
  campaignTick,
  ownVoteSaved,
  receiveTimeoutNow,
  receiveVote,
  receiveVoteReply
} from './votes.ts'
import { ageSurvey } from './wayOut.ts'

/** More elections than a voter that is gone can have been ahead. */
const FORCED_TERMS = 1_000_000

/** One node's part in the group: events in, effects out, nothing else. */
export class Raft implements RaftCore {
  readonly #s: RaftState
  readonly #self: RaftCoreOptions['peers'][number]

  constructor(options: RaftCoreOptions) {
    const self = options.peers.find(peer => peer.id === options.selfId)
    if (self === undefined) panic(`${options.selfId} is not among its own peers`)
    this.#self = self
    this.#s = new RaftState(options)
  }

  step(event: Event): readonly Effect[] {
    const s = this.#s
    s.beginStep()
    if (s.role.kind === 'stopped') {
      this.#refuse(event)
      return s.effects
    }
    if (s.started === (event.kind === 'start')) panic(`${event.kind} before or after the start`)
    this.#handle(event)
    this.#tellWhole()
    return s.effects
  }

  #handle(event: Event): void {
    const s = this.#s
    switch (event.kind) {
      case 'start':
        this.#start()
        return
      case 'tick':
        this.#tick(event.count)
        return
      case 'receive':
        this.#receive(event.from, event.message, event.entries)
        return
      case 'propose':
        propose(s, event.entryKind, event.sizeBytes, event.token)
        return
      case 'storageDone':
        this.#storageDone(event.writeSeq)
        return
      case 'hardStateSaved':
        s.hardStateSaved(event.seq)
        ownVoteSaved(s)
        return
      case 'storageFailed':
        fatal(s, `storage failed: ${event.reason}`, true)
        return
      case 'storageSlow':
        s.storageSlow = event.slow
        this.#leaveTrouble()
        return
      case 'diskPressure':
        s.diskLevel = event.level
        s.freePermille = event.freePermille
        this.#leaveTrouble()
        return
      case 'linkUp':
        this.#linkUp(event.peer, event.hello)
        return
      case 'linkDown':
        this.#linkDown(event.peer)
        return
      case 'hello':
        helloSeen(s, event.peer, event.hello)
        this.#campaignAtOnce()
        return
      case 'helloRefused':
        helloRefused(s, event.peer, event.code, event.remark)
        return
      case 'peerGone':
        leaderIsGone(s, event.peer)
        return
      case 'entriesRead':
        entriesRead(s, event.peer, event.requestId, event.firstIndex, event.sizesBytes)
        return
      case 'applied':
        this.#applied(event.index, event.lagBytes)
        return
      case 'readIndex':
        readIndex(s, event.id)
        return
      case 'transfer':
        startTransfer(s, event.target)
        return
      case 'changeMembership':
        changeMembership(s, event.requestId, event.change)
        return
      case 'forceRecover':
        this.#forceRecover(event.without)
        return
      case 'damaged':
        noteDamage(s, event.faults)
        this.#leaveTrouble()
        return
      case 'snapshotReady':
        snapshotReady(s, event.peer, event.snapshot)
        return
      case 'snapshotFailed':
        snapshotFailed(s, event.peer, event.reason)
        return
      case 'snapshotCopied':
        snapshotCopied(s, event.snapshot)
        return
      case 'snapshotAbandoned':
        snapshotAbandoned(s, event.snapshotId, event.reason)
        return
      case 'trimmed':
        s.log.trimTo(event.firstIndex)
        return
      case 'stop':
        becomeStopped(s)
        return
    }
  }

  /** Faults end by repair or by a cut, recovery by a commit: here it is seen that nothing is left of either (R-D6). */
  #tellWhole(): void {
    const s = this.#s
    if (s.whole === s.knownWhole) return
    s.knownWhole = s.whole
    if (s.whole) s.emit({ kind: 'whole' })
  }

  /** A node that has ended still answers those who ask something of it. */
  #refuse(event: Event): void {
    const s = this.#s
    if (event.kind === 'propose') propose(s, event.entryKind, event.sizeBytes, event.token)
    else if (event.kind === 'readIndex') readIndex(s, event.id)
    else if (event.kind === 'transfer') startTransfer(s, event.target)
    else if (event.kind === 'changeMembership') changeMembership(s, event.requestId, event.change)
  }

  #start(): void {
    const s = this.#s
    s.started = true
    // Entries of a term that had no hard state yet (see the constructor of the state).
    if (s.term > s.options.hardState.term) s.saveHardState()
    s.waitFullTimeout()
    if (s.commitIndex > 0) s.emit({ kind: 'committed', index: s.commitIndex })
    s.roleEffect()
    tryFound(s)
    this.#campaignAtOnce()
  }

  /** A group of one has nobody to wait for. */
  #campaignAtOnce(): void {
    const s = this.#s
    if (s.role.kind !== 'follower' || s.voters.length !== 1 || !s.isVoter) return
    campaign(s)
  }

  #tick(count: number): void {
    const s = this.#s
    const role = s.role
    ageSurvey(s, count)
    ageApplicants(s, count)
    repairTick(s, count)
    switch (role.kind) {
      case 'follower':
        s.sinceLeaderTicks += count
        s.electionTicks += count
        role.sinceReplyTicks += count
        if (s.electionTicks >= s.patienceTicks) campaign(s)
        return
      case 'preCandidate':
      case 'candidate':
        s.sinceLeaderTicks += count
        campaignTick(s, role, count)
        return
      case 'leader':
        heartbeats(s, role, count)
        if (!this.#checkQuorum(role) || leaveStuckLog(s, role, count)) return
        transferTick(s, role, count)
        membershipTick(s, role, count)
        return
      case 'stopped':
        return
    }
  }

  /** R-E10. */
  #checkQuorum(role: LeaderRole): boolean {
    const s = this.#s
    const active = countVoters(role, p => p.sinceContactTicks < s.ticks.election)
    if (active >= s.majority) return true
    s.report(
      'warn',
      `${active} of ${s.voters.length} voters heard within the election timeout: stepping down`
    )
    becomeFollower(s, s.term, null)
    return false
  }

  #receive(from: NodeId, message: Message, entries: readonly EntrySummary[]): void {
    const s = this.#s
    switch (message.type) {
      case 'append':
        receiveAppend(s, from, message, entries)
        return
      case 'appendReply':
        receiveAppendReply(s, from, message)
        return
      case 'vote':
        receiveVote(s, from, message)
        return
      case 'voteReply':
        receiveVoteReply(s, from, message)
        return
      case 'timeoutNow':
        receiveTimeoutNow(s, from, message)
        return
      case 'repair':
        receiveRepair(s, from, message)
        return
      case 'repairReply':
        receiveRepairReply(s, from, message, entries)
        return
      case 'snapshotOffer':
        receiveSnapshotOffer(s, from, message)
        return
      case 'snapshotDone':
        receiveSnapshotDone(s, from, message)
        return
    }
  }

  #storageDone(writeSeq: number): void {
    const s = this.#s
    const faults = s.log.faults.length
    if (!s.log.writeDone(writeSeq)) return
    if (s.log.faults.length < faults) repairGoesOn(s)
    if (s.role.kind === 'leader') advanceLeaderCommit(s, s.role)
    else if (s.role.kind === 'follower') followerStorageDone(s, s.role)
    checkRecovered(s)
  }

  #linkUp(peer: NodeId, hello: HelloFacts): void {
    const s = this.#s
    if (!helloSeen(s, peer, hello)) return
    linkOf(s, peer).linked = true
    askNewLink(s, peer)
    if (s.role.kind !== 'leader') return
    const p = progressOf(s, s.role, peer)
    if (p === undefined) return
    const { log } = s
    // The first guess at what it has: the search of R-L3 from its last entry.
    const guess = log.terms.findAtMost(Math.min(hello.lastIndex, log.lastIndex), hello.lastTerm)
    p.linkUp(hello, guess + 1)
    pump(s, s.role, p)
  }

  #linkDown(peer: NodeId): void {
    const s = this.#s
    linkOf(s, peer).linked = false
    if (s.role.kind === 'leader') progressOf(s, s.role, peer)?.linkDown()
  }

  #forceRecover(without: readonly NodeId[]): void {
    const s = this.#s
    s.goneForGood = without
    s.report(
      'error',
      `by an operator's word ${without.join(', ')} need not answer: this node may vote and lead without them, acknowledged messages that only they have would be missing`
    )
    // A disk that was put back may have forgotten a vote, and who could say so is not asked: nobody leads a term that one of those led.
    becomeFollower(s, s.term + FORCED_TERMS, null)
  }

  #applied(index: number, lagBytes: number): void {
    const s = this.#s
    if (index > s.commitIndex) panic(`applied ${index}, committed is ${s.commitIndex}`)
    s.appliedIndex = Math.max(s.appliedIndex, index)
    s.applyLagBytes = lagBytes
    if (s.role.kind === 'leader') becomeReadyWhenApplied(s, s.role)
  }

  #leaveTrouble(): void {
    const s = this.#s
    if (s.role.kind === 'leader') leaveTrouble(s, s.role)
  }

  hello(): HelloFacts {
    const s = this.#s
    return {
      nodeId: s.selfId,
      nodeUid: s.options.selfUid,
      clusterId: s.clusterId,
      incarnation: s.options.incarnation,
      term: s.term,
      lastIndex: s.log.lastIndex,
      lastTerm: s.log.lastTerm,
      logStart: s.log.firstIndex,
      empty: s.log.lastIndex === 0 && s.clusterId === '',
      recovering: s.recovering,
      configurationVersion: s.configuration?.version ?? 0,
      memberRole: s.memberRole,
      raftAddress: this.#self.raftAddress,
      brokerAddress: this.#self.brokerAddress
    }
  }

  keepsConnection(hello: HelloFacts): boolean {
    return keepsConnection(this.#s, hello)
  }

  get term(): number {
    return this.#s.term
  }

  get role(): RoleName {
    return this.#s.role.kind
  }

  get leaderId(): NodeId | null {
    return this.#s.leaderId
  }

  get ready(): boolean {
    return this.#s.role.kind === 'leader' && this.#s.role.ready
  }

  get commitIndex(): number {
    return this.#s.commitIndex
  }

  get firstIndex(): number {
    return this.#s.log.firstIndex
  }

  get lastIndex(): number {
    return this.#s.log.lastIndex
  }

  get lastTerm(): number {
    return this.#s.log.lastTerm
  }

  get durableIndex(): number {
    return this.#s.log.durableIndex
  }

  get nextPositionBytes(): number {
    return this.#s.log.nextPositionBytes
  }

  get recovering(): boolean {
    return this.#s.recovering
  }

  get damaged(): boolean {
    return this.#s.damaged
  }

  get lacksState(): boolean {
    return this.#s.lacksState
  }

  get configuration(): Configuration | null {
    return this.#s.configuration
  }

  configurationAt(index: number): { index: number; configuration: Configuration } | null {
    const { log, configuration } = this.#s
    const known = log.configurations.findLast(at => at.index <= index)
    if (known !== undefined) return known
    return configuration === null || log.configurations.length > 0
      ? null
      : { index: 0, configuration }
  }

  get committedConfiguration(): Configuration | null {
    return this.#s.committedConfiguration?.configuration ?? null
  }

  get possibleMembers(): readonly Member[] {
    return this.#s.possibleMembers
  }

  get membership(): Membership {
    return this.#s.membership
  }

  peerStatuses(): PeerStatus[] {
    const s = this.#s
    if (s.role.kind !== 'leader') return []
    return [...s.role.progress.values()].map(p => p.status(s.ticks.election))
  }

  termAt(index: number): number {
    return this.#s.log.terms.termAt(index)
  }
}
