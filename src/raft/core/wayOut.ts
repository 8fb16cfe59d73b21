import type { RaftState } from './state.ts'
import type { NodeId, VoteReplyMessage } from './types.ts'

/**
 * The way out of a wide power loss (R-D6w): when every voter has answered, none leads or hears a leader, and the whole
 * ones are no majority, those that are recovering or damaged vote and campaign for the greatest log of all.
 */

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
  if (s.repairIndex !== s.log.faults[0]?.index) return false
  return othersToAnswer(s).every(id => s.repairNone.has(id))
}

/** Other voters, without those that an operator declared gone for this start. */
function othersToAnswer(s: RaftState): NodeId[] {
  const gone = s.options.forceRecoverWithout ?? []
  const ids: NodeId[] = []
  for (const voter of s.voters) {
    if (voter.id !== s.selfId && !gone.includes(voter.id)) ids.push(voter.id)
  }
  return ids
}

export function noteSurvey(s: RaftState, m: VoteReplyMessage): void {
  s.survey.set(m.voterId, {
    ticksAgo: 0,
    whole: !m.recovering && !m.damaged,
    hearsLeader: m.leaderId !== '',
    intactIndex: m.intactIndex,
    intactTerm: m.intactTerm
  })
}

export function ageSurvey(s: RaftState, count: number): void {
  for (const answer of s.survey.values()) answer.ticksAgo += count
}

/** The greatest log of all when the way out is open to this node, else null. */
export function wayOutGreatest(s: RaftState): LastEntry | null {
  if (s.whole || s.heardLeaderId !== null || s.configuration === null) return null
  let greatest = intactLast(s)
  let whole = 0
  for (const id of othersToAnswer(s)) {
    const answer = s.survey.get(id)
    if (answer === undefined || answer.ticksAgo >= s.ticks.election || answer.hearsLeader)
      return null
    if (answer.whole) whole++
    const last = { index: answer.intactIndex, term: answer.intactTerm }
    if (isAtLeast(last, greatest)) greatest = last
  }
  return whole < s.majority ? greatest : null
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
