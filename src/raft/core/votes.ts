import { becomeCandidate, becomeFollower, becomeLeader, becomePreCandidate } from './roles.ts'
import type { CampaignRole, RaftState } from './state.ts'
import {
  type NodeId,
  type TimeoutNowMessage,
  type VoteMessage,
  VoteReason,
  type VoteReplyMessage
} from './types.ts'
import {
  intactLast,
  isAtLeast,
  knowsVoters,
  noteSurvey,
  othersToAnswer,
  wayOutCampaign,
  wayOutGreatest
} from './wayOut.ts'

/** Campaigns, and how others' campaigns are answered. */

/** R-E8, without what the way out of R-D6w excepts. */
function mayLead(s: RaftState): boolean {
  return s.isVoter && !s.removed && !s.lacksState && !s.storageSlow && s.diskLevel !== 'full'
}

/** Patience is over. */
export function campaign(s: RaftState): void {
  if (!mayLead(s)) {
    // Whoever led is silent: nobody is sent there any more.
    if (s.leaderId !== null) becomeFollower(s, s.term, null)
    // Its vote may be needed all the same (R-E7), and to give it, it has to ask first.
    if (!s.whole && knowsVoters(s) && !s.removed) askSurvey(s)
    else s.waitFullTimeout()
    return
  }
  if (s.whole) {
    askPreVotes(s, s.log.lastIndex, s.log.lastTerm)
    return
  }
  const last = wayOutCampaign(s)
  if (last === null) {
    askSurvey(s)
    return
  }
  s.report(
    'error',
    `no majority is whole after a power loss or damage; this log (last ${last.index} of term ${last.term}) is the greatest: campaigning, acknowledged messages may be missing`
  )
  askPreVotes(s, last.index, last.term)
}

function askPreVotes(s: RaftState, lastIndex: number, lastTerm: number): void {
  becomePreCandidate(s, lastIndex, lastTerm)
  askAll(s)
  tally(s)
}

/** A question only: who is whole, who hears a leader (R-D6w). */
function askSurvey(s: RaftState): void {
  const last = intactLast(s)
  for (const { id, uid } of othersToAnswer(s)) {
    if (s.isLinked(id) && s.links.get(id)?.uid === uid)
      s.send(id, voteMessage(s, s.term + 1, last.index, last.term, true, false))
  }
  s.waitTicks(s.ticks.voteRound + s.random.between(s.ticks.voteRetryMin, s.ticks.voteRetryMax))
}

function startVote(s: RaftState, lastIndex: number, lastTerm: number, force: boolean): void {
  becomeCandidate(s, lastIndex, lastTerm, force)
  askAll(s)
}

function voteMessage(
  s: RaftState,
  term: number,
  lastIndex: number,
  lastTerm: number,
  pre: boolean,
  force: boolean
): VoteMessage {
  const { selfId: candidateId } = s
  const { selfUid: candidateUid } = s.options
  return { type: 'vote', term, candidateId, candidateUid, lastIndex, lastTerm, pre, force }
}

function askAll(s: RaftState): void {
  if (s.role.kind !== 'preCandidate' && s.role.kind !== 'candidate') return
  for (const voter of s.voters) if (voter.id !== s.selfId) askVote(s, s.role, voter.id)
}

function askVote(s: RaftState, role: CampaignRole, to: NodeId): void {
  if (!s.isLinked(to)) return
  const pre = role.kind === 'preCandidate'
  const term = pre ? s.term + 1 : s.term
  s.send(to, voteMessage(s, term, role.lastIndex, role.lastTerm, pre, role.force))
}

/** A voter became reachable in the middle of a campaign. */
export function askNewLink(s: RaftState, peer: NodeId): void {
  const role = s.role
  if (role.kind !== 'preCandidate' && role.kind !== 'candidate') return
  if (!role.votes.has(peer) && s.voters.some(voter => voter.id === peer)) askVote(s, role, peer)
}

/** The own vote counts from its save on, and only a saved vote makes a leader (table of what must be durable). */
export function ownVoteSaved(s: RaftState): void {
  const role = s.role
  if (role.kind !== 'candidate' || s.savedSeq < role.ownVoteSeq || role.votes.has(s.selfId)) return
  role.votes.set(s.selfId, true)
  tally(s)
}

function tally(s: RaftState): void {
  const role = s.role
  if (role.kind !== 'preCandidate' && role.kind !== 'candidate') return
  let granted = 0
  for (const voter of s.voters) if (role.votes.get(voter.id) === true) granted++
  if (granted < s.majority) return
  if (role.kind === 'preCandidate') startVote(s, role.lastIndex, role.lastTerm, false)
  else if (role.votes.get(s.selfId) === true) becomeLeader(s)
}

export function campaignTick(s: RaftState, role: CampaignRole, count: number): void {
  role.roundTicks += count
  // R-E6: the next round waits a time drawn anew.
  if (role.roundTicks >= s.ticks.voteRound) becomeFollower(s, s.term, null)
}

export function receiveVote(s: RaftState, from: NodeId, m: VoteMessage): void {
  if (m.candidateId !== from) return
  const reason = judge(s, m)
  if (reason !== VoteReason.none) {
    answerVote(s, from, m, reason)
    return
  }
  if (!m.pre) {
    if (s.vote !== m.candidateId) {
      s.vote = m.candidateId
      s.saveHardState()
    }
    if (s.role.kind === 'preCandidate') becomeFollower(s, s.term, null)
    s.waitFullTimeout()
  }
  answerVote(s, from, m, reason)
}

function judge(s: RaftState, m: VoteMessage): VoteReason {
  // R-D7: who has an entry is of the group that came about, whose log says who its voters are.
  if (s.configuration === null && m.lastIndex === 0) return VoteReason.notFounded
  if (!mayBeVoter(s, m)) return VoteReason.unknownCandidate
  if (m.pre ? m.term <= s.term : m.term < s.term) return VoteReason.olderTerm
  // R-E3, R-E4: a leader in office is not voted out, unless it hands over itself.
  if (!m.force && s.heardLeaderId !== null) return VoteReason.hearsLeader
  if (!m.pre && m.term > s.term) becomeFollower(s, m.term, null)
  if (!m.pre && s.vote !== null && s.vote !== m.candidateId) return VoteReason.votedForAnother
  return judgeLog(s, m)
}

/**
 * A voter that lags may not know the configuration that made the candidate one, and its vote may be needed: it asks only
 * whether the candidate's log is ahead. With an equal log it knows as much as the candidate.
 */
function mayBeVoter(s: RaftState, m: VoteMessage): boolean {
  if (s.isVoterWith(m.candidateId, m.candidateUid)) return true
  const own = { index: s.log.lastIndex, term: s.log.lastTerm }
  return !isAtLeast(own, { index: m.lastIndex, term: m.lastTerm })
}

/** R-E2, with the exceptions for nodes that may have lost what they acknowledged (R-D6, R-D6w). */
function judgeLog(s: RaftState, m: VoteMessage): VoteReason {
  const candidate = { index: m.lastIndex, term: m.lastTerm }
  if (!s.recovering && isAtLeast(candidate, { index: s.log.lastIndex, term: s.log.lastTerm }))
    return VoteReason.none
  const greatest = wayOutGreatest(s)
  if (greatest !== null && isAtLeast(candidate, greatest) && m.lastIndex >= s.committedFloor) {
    if (!m.pre)
      s.report(
        'error',
        `no majority is whole after a power loss or damage; voting for ${m.candidateId}, whose log (last ${m.lastIndex} of term ${m.lastTerm}) is the greatest: acknowledged messages may be missing`
      )
    return VoteReason.none
  }
  return s.recovering ? VoteReason.recovering : VoteReason.notUpToDate
}

function answerVote(s: RaftState, to: NodeId, m: VoteMessage, reason: VoteReason): void {
  const granted = reason === VoteReason.none
  const intact = intactLast(s)
  const reply: VoteReplyMessage = {
    type: 'voteReply',
    term: granted && m.pre ? m.term : s.term,
    voterId: s.selfId,
    granted,
    pre: m.pre,
    reason,
    leaderId: s.heardLeaderId ?? '',
    voterUid: s.options.selfUid,
    // One that was never founded has nothing and may not vote: whoever waits for it as a whole one waits for ever (R-D6w).
    recovering: s.recovering || s.configuration === null,
    damaged: s.damaged,
    intactIndex: intact.index,
    intactTerm: intact.term
  }
  // A pre-vote promises nothing and waits for nothing.
  if (m.pre) s.send(to, reply)
  else s.reply(to, reply)
}

export function receiveVoteReply(s: RaftState, from: NodeId, m: VoteReplyMessage): void {
  if (m.voterId !== from) return
  // Of the disk behind the present connection: one that is gone promised nothing for the disk in its place (R-D7).
  if (!s.isLinked(from) || s.links.get(from)?.uid !== m.voterUid) return
  if (m.pre && !s.whole) noteSurvey(s, m)
  if (!s.isVoterWith(m.voterId, m.voterUid)) return
  if (!m.granted && m.term > s.term) {
    becomeFollower(s, m.term, null)
    return
  }
  const role = s.role
  if (role.kind !== (m.pre ? 'preCandidate' : 'candidate')) return
  if (role.kind !== 'preCandidate' && role.kind !== 'candidate') return
  const expected = m.pre && m.granted ? s.term + 1 : s.term
  if (m.term !== expected) return
  role.votes.set(from, m.granted)
  tally(s)
}

/** The leader hands over: no pre-vote, and the voters' own leader is no obstacle. */
export function receiveTimeoutNow(s: RaftState, from: NodeId, m: TimeoutNowMessage): void {
  if (m.term !== s.term || s.role.kind !== 'follower' || s.role.leaderId !== from) return
  if (!mayLead(s) || !s.whole) {
    s.report('warn', `${from} offers leadership of the group; this node may not campaign now`)
    return
  }
  startVote(s, s.log.lastIndex, s.log.lastTerm, true)
}
