import { changeLost, newProgress } from './members.ts'
import { panic } from './panic.ts'
import type { Progress } from './progress.ts'
import { appendFirstOfTerm } from './proposals.ts'
import { failReads } from './reads.ts'
import { followerRole, type LeaderRole, type RaftState } from './state.ts'
import type { NodeId, Uid } from './types.ts'

/** The only writers of `role`, `term` and `vote`. */

function leaveRole(s: RaftState, nextTerm: number): void {
  const role = s.role
  if (role.kind !== 'leader') return
  failReads(s, role)
  changeLost(s, role)
  if (role.transfer === null) return
  const ok = role.transfer.sent && nextTerm > s.term
  const reason = ok ? 'leadership went on' : 'leadership ended before the transfer'
  s.emit({ kind: 'transferEnded', target: role.transfer.target, ok, reason })
}

/** Of `term` (>= the own one, R-E5), under `leaderId` if it is known. A follower's patience goes on. */
export function becomeFollower(s: RaftState, term: number, leaderId: NodeId | null): void {
  if (term < s.term) panic(`term would fall from ${s.term} to ${term}`)
  if (s.role.kind === 'stopped') panic('stopped for good')
  leaveRole(s, term)
  const previous = s.role.kind
  if (term > s.term) {
    s.term = term
    s.provedIndex = 0
    s.vote = null
    s.saveHardState()
  }
  s.role = followerRole(leaderId)
  s.role.leaderIncarnation = leaderId === null ? 0 : (s.links.get(leaderId)?.incarnation ?? 0)
  if (previous === 'leader') {
    // Nobody was heard while leading; the next one gets the time of a whole timeout.
    s.sinceLeaderTicks = s.ticks.election
    s.waitFullTimeout()
  } else if (previous !== 'follower') {
    s.waitForRetry()
  }
  s.roleEffect()
}

/** A question only: nothing changes that others could see (R-E3). */
export function becomePreCandidate(s: RaftState, lastIndex: number, lastTerm: number): void {
  if (s.role.kind !== 'follower') panic(`a ${s.role.kind} does not ask for pre-votes`)
  const votes = new Map<NodeId, boolean>([[s.selfId, true]])
  s.role = {
    kind: 'preCandidate',
    votes,
    force: false,
    ownVoteSeq: 0,
    lastIndex,
    lastTerm,
    roundTicks: 0
  }
  s.roleEffect()
}

/** The own vote counts when it is saved; the votes of others may be asked for meanwhile. */
export function becomeCandidate(
  s: RaftState,
  lastIndex: number,
  lastTerm: number,
  force: boolean
): void {
  if (s.role.kind !== 'follower' && s.role.kind !== 'preCandidate')
    panic(`a ${s.role.kind} does not campaign`)
  s.term++
  s.provedIndex = 0
  s.vote = s.selfId
  const ownVoteSeq = s.saveHardState()
  s.role = {
    kind: 'candidate',
    votes: new Map(),
    force,
    ownVoteSeq,
    lastIndex,
    lastTerm,
    roundTicks: 0
  }
  s.roleEffect()
}

export function becomeLeader(s: RaftState): void {
  if (s.role.kind !== 'candidate') panic(`a ${s.role.kind} does not become leader`)
  if (s.damaged) cutAtFirstFault(s)
  const progress = new Map<Uid, Progress>()
  for (const member of s.configuration?.members ?? []) {
    if (member.id === s.selfId) continue
    progress.set(member.uid, newProgress(s, member))
  }
  const role: LeaderRole = {
    kind: 'leader',
    progress,
    ownFirstIndex: 0,
    committedEndBytes: s.log.nextPositionBytes,
    ready: false,
    readSeq: 0,
    reads: [],
    waitingReads: [],
    transfer: null,
    troubleTarget: null,
    stuckTicks: 0,
    preferredCheckTicks: 0,
    preferredFitTicks: 0,
    preferredBackoffTicks: s.ticks.preferredFit,
    preferredWaitTicks: 0,
    change: null,
    membershipTicks: 0
  }
  s.role = role
  s.goneForGood = []
  s.roleEffect()
  appendFirstOfTerm(s, role)
  // Who is no member may have been let in while this node could have been behind.
  s.emit({ kind: 'configurationChanged' })
}

/** Only a winner of the way out gets here with damage: what no voter has whole is given up (R-D6w). */
function cutAtFirstFault(s: RaftState): void {
  const fault = s.log.faults[0]
  if (fault === undefined) return
  if (fault.index <= s.committedFloor)
    panic(`would cut at ${fault.index}, committed is ${s.committedFloor}`)
  s.report(
    'error',
    `entries ${fault.index} to ${s.log.lastIndex} are damaged here and whole nowhere, they are cut: acknowledged messages may be missing`
  )
  const { index: fromIndex } = fault
  s.emit({ kind: 'cut', writeSeq: s.log.cutIssued(fromIndex), fromIndex, forgets: false })
  s.configurationChanged()
}

/** The end of this node's part: the process closes, or its state cannot be trusted any more. */
export function becomeStopped(s: RaftState): void {
  if (s.role.kind === 'stopped') return
  leaveRole(s, s.term)
  s.role = { kind: 'stopped' }
  s.roleEffect()
}

export function fatal(s: RaftState, reason: string, storage: boolean): void {
  becomeStopped(s)
  s.emit({ kind: 'fatal', reason, storage })
}
