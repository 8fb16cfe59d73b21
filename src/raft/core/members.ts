import { Progress } from './progress.ts'
import type { Applicant, LeaderRole, RaftState } from './state.ts'
import type { HelloFacts, Member, NodeId } from './types.ts'

/** Who follows the leader, who asks to be let in, and what became of an operator's change. */

const APPLICANTS_MAX = 64

/** A node that is no member said Hello: the leader may let it in, by itself or when it is told to. */
export function noteApplicant(s: RaftState, id: NodeId, facts: Omit<Applicant, 'ticksAgo'>): void {
  s.applicants.delete(id)
  s.applicants.set(id, { ...facts, ticksAgo: 0 })
  if (s.applicants.size <= APPLICANTS_MAX) return
  for (const oldest of s.applicants.keys()) {
    s.applicants.delete(oldest)
    return
  }
}

export function ageApplicants(s: RaftState, count: number): void {
  if (s.applicants.size === 0) return
  for (const [id, applicant] of s.applicants) {
    applicant.ticksAgo += count
    if (applicant.ticksAgo >= s.ticks.applicant) s.applicants.delete(id)
  }
}

/** Whether a connection that began with this Hello may go on under the configuration as it is now. */
export function keepsConnection(s: RaftState, hello: ConnectionFacts): boolean {
  const { configuration } = s
  if (configuration === null || s.onlyFounded || s.beganOtherwise(hello.clusterId)) return true
  if (hello.configurationVersion > configuration.version && s.role.kind !== 'leader') return true
  return s.mayBeMember(hello.nodeId, hello.nodeUid)
}

export type ConnectionFacts = Pick<
  HelloFacts,
  'nodeId' | 'nodeUid' | 'clusterId' | 'configurationVersion'
>

/** The leader's own configuration is another one: who is new is followed, who is gone is forgotten. */
export function followMembers(s: RaftState, role: LeaderRole): void {
  const present = new Set<string>()
  for (const member of s.configuration?.members ?? []) {
    if (member.id === s.selfId) continue
    present.add(member.uid)
    s.applicants.delete(member.id)
    const known = role.progress.get(member.uid)
    if (known === undefined) role.progress.set(member.uid, newProgress(s, member))
    else known.voter = member.role === 'voter'
  }
  for (const uid of role.progress.keys()) if (!present.has(uid)) role.progress.delete(uid)
}

export function newProgress(s: RaftState, member: Member): Progress {
  const p = new Progress(member, s.log.lastIndex + 1)
  const link = s.links.get(member.id)
  p.linked = link?.linked === true && link.uid === member.uid
  p.incarnation = link?.incarnation ?? 0
  return p
}

/** The operator hears of it when it is committed. */
export function changeCommitted(s: RaftState, role: LeaderRole): void {
  const { change } = role
  if (change === null || s.commitIndex < change.index) return
  role.change = null
  const { requestId, text } = change
  const { leaderId } = s
  s.emit({ kind: 'membershipEnded', requestId, refusal: null, text, leaderId })
}

/** Leadership ends with a change on its way. */
export function changeLost(s: RaftState, role: LeaderRole): void {
  if (role.change === null) return
  const { requestId } = role.change
  role.change = null
  s.emit({
    kind: 'membershipEnded',
    requestId,
    refusal: 'lost',
    text: 'leadership ended before the change was committed, it may still happen: look at mqadmin raftStatus before you try again',
    leaderId: null
  })
}
