import type { RaftState, Survey } from './state.ts'
import type { Member, Uid, VoteReplyMessage } from './types.ts'

/**
 * The way out of a wide power loss (R-D6w): when every voter has answered, none leads or hears a leader, and the whole
 * ones are no majority, those that are recovering or damaged vote and campaign for the greatest log of all.
 */

/** Election timeouts in which all voters answer and none hears a leader; for a node that only recovers. */
const PATIENCE_TIMEOUTS = 5

export interface LastEntry {
  readonly index: number
  readonly term: number
}

/** (term, index), in that order (R-E2). */
export function isAtLeast(a: LastEntry, b: LastEntry): boolean {
  return a.term > b.term || (a.term === b.term && a.index >= b.index)
}

/**
 * What this node's log counts as. Below the first fault, but only when all others said that they do not have that entry
 * whole; before, it counts as claimed, so that nobody goes on without what a repair may still bring.
 */
export function intactLast(s: RaftState): LastEntry {
  if (!s.damaged || !everyoneAnsweredNone(s))
    return { index: s.log.lastIndex, term: s.log.lastTerm }
  const index = s.log.soundIndex
  return { index, term: s.log.terms.termAt(index) }
}

function everyoneAnsweredNone(s: RaftState): boolean {
  if (s.repairIndex !== s.log.decidingFault?.index) return false
  return othersToAnswer(s).every(({ id }) => s.repairNone.has(id))
}

/**
 * The voters of every configuration by which something may have been committed that this node acknowledged and lost,
 * without those that an operator declared gone.
 */
export function othersToAnswer(s: RaftState): Member[] {
  const others = new Map<Uid, Member>()
  for (const members of configurationsToAsk(s)) {
    for (const member of members) {
      const { id, uid, role } = member
      if (role === 'voter' && id !== s.selfId && !s.goneForGood.includes(id))
        others.set(uid, member)
    }
  }
  return [...others.values()]
}

function configurationsToAsk(s: RaftState): (readonly Member[])[] {
  const known = s.log.configurations.map(({ configuration }) => configuration.members)
  if (known.length === 0) known.push(s.voters)
  return [...known, ...s.lostConfigurations.map(({ members }) => members)]
}

/**
 * Fewer than a majority are whole by some configuration. Or they are a majority and yet elect nobody: the configurations
 * that they go by may need this node's vote, and it may not know them.
 */
function needsWayOut(s: RaftState, whole: ReadonlySet<Uid>): boolean {
  if (!s.damaged && s.leaderlessTicks >= PATIENCE_TIMEOUTS * s.ticks.election) return true
  return configurationsToAsk(s).some(members => {
    const voters = members.filter(({ role }) => role === 'voter')
    return voters.filter(({ uid }) => whole.has(uid)).length < (voters.length >> 1) + 1
  })
}

export function noteSurvey(s: RaftState, m: VoteReplyMessage): void {
  if (!othersToAnswer(s).some(({ id, uid }) => id === m.voterId && uid === m.voterUid)) return
  s.survey.set(m.voterUid, {
    ticksAgo: 0,
    whole: !m.recovering && !m.damaged,
    hearsLeader: m.leaderId !== '',
    intactIndex: m.intactIndex,
    intactTerm: m.intactTerm
  })
}

export function ageSurvey(s: RaftState, count: number): void {
  for (const answer of s.survey.values()) answer.ticksAgo += count
  const leaderless = !s.whole && s.heardLeaderId === null && allAnswered(s)
  s.leaderlessTicks = leaderless ? s.leaderlessTicks + count : 0
}

/** Lately, and none of them hears a leader. */
function allAnswered(s: RaftState): boolean {
  return othersToAnswer(s).every(({ uid }) => {
    const answer = s.survey.get(uid)
    return answer !== undefined && answer.ticksAgo < s.ticks.election && !answer.hearsLeader
  })
}

/** It has a configuration, or had one and lost it: then it knows whom to ask. */
export function knowsVoters(s: RaftState): boolean {
  return s.configuration !== null || s.lostConfigurations.length > 0
}

/** The greatest log of all when the way out is open to this node, else null. */
export function wayOutGreatest(s: RaftState): LastEntry | null {
  if (s.whole || s.heardLeaderId !== null || !knowsVoters(s)) return null
  if (!allAnswered(s)) return null
  let greatest = intactLast(s)
  const whole = new Set<Uid>()
  for (const { uid } of othersToAnswer(s)) {
    const answer = s.survey.get(uid) as Survey
    if (answer.whole) whole.add(uid)
    const last = { index: answer.intactIndex, term: answer.intactTerm }
    if (isAtLeast(last, greatest)) greatest = last
  }
  return needsWayOut(s, whole) ? greatest : null
}

/** The entry to campaign with, when this node's log is the greatest and nothing known as committed would be cut. */
export function wayOutCampaign(s: RaftState): LastEntry | null {
  const greatest = wayOutGreatest(s)
  if (greatest === null) return null
  const own = intactLast(s)
  if (!isAtLeast(own, greatest)) return null
  if (!s.damaged) return own
  const mayCut = own.index === s.log.soundIndex && own.index >= s.committedFloor
  return mayCut && s.log.endBefore(own.index + 1) >= 0 ? own : null
}
