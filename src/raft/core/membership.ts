import { appendConfiguration } from './proposals.ts'
import type { Applicant, LeaderRole, RaftState } from './state.ts'
import { isCaughtUp, isFit, startTransfer } from './transfer.ts'
import type { Member, MembershipChange, MembershipRefusal, NodeId } from './types.ts'

/**
 * Changing the members: one voter at a time (R-M1), by a leader with a committed entry of its own term (R-M2). Learners
 * are promoted, and wiped nodes brought back, by the leader itself (R-M4, R-M6).
 */

/** Voters, learners and old disks together. */
const MEMBERS_MAX = 16
/** R-M4. */
const CAUGHT_UP_BEATS = 10

interface Refused {
  readonly refusal: MembershipRefusal
  readonly text: string
}

/** `members` null: nothing is to be changed. */
interface Accepted {
  readonly members: readonly Member[] | null
  readonly text: string
}

export function changeMembership(s: RaftState, requestId: number, change: MembershipChange): void {
  const { role } = s
  const answer =
    role.kind === 'leader'
      ? (notNow(s, role) ?? judge(s, role, change))
      : { refusal: 'notLeader' as const, text: 'this node does not lead' }
  if (role.kind !== 'leader' || 'refusal' in answer || answer.members === null) {
    const refusal = 'refusal' in answer ? answer.refusal : null
    const { leaderId } = s
    s.emit({ kind: 'membershipEnded', requestId, refusal, text: answer.text, leaderId })
    if (refusal === 'isLeader') startTransfer(s, null)
    return
  }
  appendConfiguration(s, role, answer.members)
  role.change = { requestId, index: s.log.lastIndex, text: answer.text }
}

/** What stands against any change now. */
function notNow(s: RaftState, role: LeaderRole): Refused | null {
  if (s.commitIndex < role.ownFirstIndex)
    return {
      refusal: 'notReady',
      text: 'this leader has not committed an entry of its term yet: try again in a moment'
    }
  if (s.configurationIndex > s.commitIndex)
    return {
      refusal: 'pending',
      text: `configuration ${s.configuration?.version} is not committed yet, one change goes at a time: try again in a moment`
    }
  if (role.transfer !== null)
    return {
      refusal: 'transferring',
      text: `leadership is going to ${role.transfer.target}: try again in a moment`
    }
  if (s.diskLevel === 'full')
    return { refusal: 'diskFull', text: `the disk of ${s.selfId} is full: make room first` }
  return null
}

function judge(s: RaftState, role: LeaderRole, change: MembershipChange): Refused | Accepted {
  switch (change.op) {
    case 'add':
      return judgeAdd(s, role, change)
    case 'remove':
      return judgeRemove(s, role, change.id)
    case 'update':
      return judgeUpdate(s, change)
  }
}

function membersOf(s: RaftState, id: NodeId): Member[] {
  return s.configuration?.members.filter(member => member.id === id) ?? []
}

function isActive(s: RaftState, role: LeaderRole, member: Member): boolean {
  if (member.id === s.selfId) return true
  const p = role.progress.get(member.uid)
  return p?.linked === true && p.sinceContactTicks < s.ticks.election
}

function judgeAdd(
  s: RaftState,
  role: LeaderRole,
  change: Extract<MembershipChange, { op: 'add' }>
): Refused | Accepted {
  const { id } = change
  const applicant = s.applicants.get(id)
  const known = membersOf(s, id)
  if (known.some(member => isActive(s, role, member)) || (known.length > 0 && !applicant))
    return {
      refusal: 'isMember',
      text: `${id} is a ${known.at(-1)?.role} of the group already; mqadmin raftStatus shows it`
    }
  if (applicant === undefined)
    return {
      refusal: 'notAsked',
      text: `no node ${id} asked the leader to join within the last ${Math.round(applicantSeconds(s))} s: start it first, with an empty directory and a configuration file whose dLegerPeers lists the leader ${s.selfId} and ${id} itself`
    }
  const twin = s.configuration?.members.find(member => member.uid === applicant.uid)
  if (twin !== undefined)
    return {
      refusal: 'isMember',
      text: `${id} runs on a copy of the directory of ${twin.id}: start it with an empty directory`
    }
  if ((s.configuration?.members.length ?? 0) >= MEMBERS_MAX)
    return { refusal: 'tooMany', text: `a group has at most ${MEMBERS_MAX} members` }
  return {
    members: withLearner(s, id, applicant, change.raftAddress, change.priority ?? 0),
    text: `${id} is a learner now, and becomes a voter by itself when it has caught up; mqadmin raftStatus shows how far it is`
  }
}

function applicantSeconds(s: RaftState): number {
  return (s.ticks.applicant * s.tickMs) / 1000
}

/** A learner that waits under this id with another disk is given up for it: it counted for nothing. */
function withLearner(
  s: RaftState,
  id: NodeId,
  applicant: Applicant,
  raftAddress: string | null,
  priority: number
): readonly Member[] {
  const others = (s.configuration?.members ?? []).filter(m => m.id !== id || m.role === 'voter')
  const { uid, brokerAddress } = applicant
  const learner: Member = {
    id,
    uid,
    role: 'learner',
    raftAddress: raftAddress ?? applicant.raftAddress,
    brokerAddress,
    priority
  }
  return [...others, learner]
}

function judgeRemove(s: RaftState, role: LeaderRole, id: NodeId): Refused | Accepted {
  const known = membersOf(s, id)
  if (known.length === 0)
    return {
      refusal: 'unknownMember',
      text: `${id} is no member; members are ${s.configuration?.members.map(m => m.id).join(', ')}`
    }
  const isVoter = known.some(member => member.role === 'voter')
  if (isVoter && s.voters.length === 1)
    return { refusal: 'lastVoter', text: `${id} is the last voter: without it there is no group` }
  // R-M5.
  if (id === s.selfId)
    return {
      refusal: 'isLeader',
      text: `${id} leads and is handing over now: the next leader may remove it, try again in a moment`
    }
  if (isVoter && !mayDrop(s, role, id))
    return {
      refusal: 'majorityLost',
      text: `without ${id} there are ${s.voters.length - 1} voters, and too few of them answer for a majority: bring them back first`
    }
  return {
    members: (s.configuration?.members ?? []).filter(member => member.id !== id),
    text: `${id} was removed; it serves nobody any more and may be stopped, its directory is of no use`
  }
}

/** The voters that are left and answer are a majority of what is left. */
function mayDrop(s: RaftState, role: LeaderRole, id: NodeId): boolean {
  const left = s.voters.filter(voter => voter.id !== id)
  const active = left.filter(voter => isActive(s, role, voter)).length
  return active >= (left.length >> 1) + 1
}

function judgeUpdate(
  s: RaftState,
  change: Extract<MembershipChange, { op: 'update' }>
): Refused | Accepted {
  const { id } = change
  if (membersOf(s, id).length === 0)
    return { refusal: 'unknownMember', text: `${id} is no member of the group` }
  let changed = false
  const members = (s.configuration?.members ?? []).map(member => {
    if (member.id !== id) return member
    const raftAddress = change.raftAddress ?? member.raftAddress
    const priority = change.priority ?? member.priority
    changed ||= raftAddress !== member.raftAddress || priority !== member.priority
    return { ...member, raftAddress, priority }
  })
  return changed
    ? { members, text: `${id} was updated` }
    : { members: null, text: `${id} has that address and priority already` }
}

/** Once a heartbeat: what a leader changes by itself. */
export function membershipTick(s: RaftState, role: LeaderRole, count: number): void {
  role.membershipTicks += count
  if (role.membershipTicks < s.ticks.heartbeat) return
  role.membershipTicks = 0
  for (const p of role.progress.values()) {
    if (p.voter) continue
    p.caughtUpBeats = isFit(s, p) && isCaughtUp(s, p) ? p.caughtUpBeats + 1 : 0
  }
  const members = s.configuration?.members ?? []
  if (members.length === s.voters.length && s.applicants.size === 0) return
  if (notNow(s, role) !== null) return
  for (const learner of members) {
    if (learner.role === 'learner' && settleLearner(s, role, members, learner)) return
  }
  for (const [id, applicant] of s.applicants) if (takeBack(s, role, id, applicant)) return
}

/** Caught up: first the old disk of its id goes, then it becomes a voter (R-M4, R-M6). True: a change was proposed. */
function settleLearner(
  s: RaftState,
  role: LeaderRole,
  members: readonly Member[],
  learner: Member
): boolean {
  const p = role.progress.get(learner.uid)
  if (p === undefined || p.caughtUpBeats < CAUGHT_UP_BEATS) return false
  const old = s.voters.find(voter => voter.id === learner.id)
  if (old !== undefined) {
    if (!mayDrop(s, role, old.id)) return false
    s.report('info', `${old.id} has caught up on its new disk: the old one is no voter any more`)
    appendConfiguration(
      s,
      role,
      members.filter(member => member !== old)
    )
    return true
  }
  const active = s.voters.filter(voter => isActive(s, role, voter)).length + 1
  if (active < ((s.voters.length + 1) >> 1) + 1) return false
  s.report('info', `${learner.id} has caught up: it becomes a voter`)
  const promoted: Member = { ...learner, role: 'voter' }
  appendConfiguration(
    s,
    role,
    members.map(member => (member === learner ? promoted : member))
  )
  return true
}

/**
 * A member's id with another disk, which has promised nothing as a voter, while the disk that the group knows is silent:
 * the node was wiped (R-M6).
 */
function takeBack(s: RaftState, role: LeaderRole, id: NodeId, applicant: Applicant): boolean {
  if (applicant.wasVoter || applicant.ticksAgo >= s.ticks.election) return false
  const known = membersOf(s, id)
  const first = known[0]
  if (first === undefined || known.length > 2) return false
  for (const member of known) {
    const p = role.progress.get(member.uid)
    if (p === undefined || p.linked || p.sinceContactTicks < s.ticks.election) return false
  }
  if (s.configuration?.members.some(member => member.uid === applicant.uid)) return false
  s.report('warn', `${id} came back with an empty disk: it is brought up to date as a learner`)
  const { priority, raftAddress } = first
  appendConfiguration(s, role, withLearner(s, id, applicant, raftAddress, priority))
  return true
}
