import { advanceFollowerCommit } from './commit.ts'
import { healInPlace, isNameless, takeEntries } from './follower.ts'
import { becomeFollower } from './roles.ts'
import type { RaftState } from './state.ts'
import {
  AppendResult,
  type EntrySummary,
  type Fault,
  type NodeId,
  RepairAnswer,
  type RepairMessage,
  type RepairReplyMessage
} from './types.ts'

/** Damaged entries that may have been acknowledged: asked for at the peers and written back in place. */

/** Faults asked for in one round. */
const REPAIRS_A_ROUND = 8

export function repairTick(s: RaftState, count: number): void {
  if (!s.damaged) return
  s.repairTicks += count
  if (s.repairTicks < s.ticks.repair) return
  s.repairTicks = 0
  const decidingIndex = s.log.decidingFault?.index ?? 0
  if (s.repairIndex !== decidingIndex) {
    s.repairIndex = decidingIndex
    s.repairNone.clear()
  }
  for (const fault of openFaults(s)) ask(s, fault)
}

/** The first ones; and when the last of them have lost their headers, the one that is named and by which they will be. */
function openFaults({ log }: RaftState): Fault[] {
  const { faults } = log
  const asked = faults.slice(0, REPAIRS_A_ROUND)
  if (asked.at(-1)?.headerCrc === -1) {
    const named = faults.slice(REPAIRS_A_ROUND).find(({ headerCrc }) => headerCrc !== -1)
    if (named !== undefined) asked.push(named)
  }
  return asked.filter(({ index }) => !log.isBeingRewritten(index))
}

/** One is back: the next takes its place at once, so that a damaged block does not cost a round for each entry. */
export function repairGoesOn(s: RaftState): void {
  const open = openFaults(s)
  // The first may have been refused for want of the one that is back now; the last has not been asked for yet.
  for (const fault of new Set([open[0], open.at(-1)])) if (fault !== undefined) ask(s, fault)
}

function ask(s: RaftState, { index, term, headerCrc }: Fault): void {
  for (const [id, link] of s.links) {
    if (link.linked) s.send(id, { type: 'repair', index, term, headerCrc })
  }
}

/** Any node answers, whatever its role or state: what counts is that it has exactly this entry whole. */
export function receiveRepair(s: RaftState, from: NodeId, m: RepairMessage): void {
  const { log } = s
  const { index } = m
  const prevTerm = log.terms.termAt(index - 1)
  if (index < log.firstIndex || index > log.lastIndex || log.faultAt(index) !== null) {
    s.send(from, { type: 'repairReply', index, answer: RepairAnswer.none, term: s.term, prevTerm })
    return
  }
  s.emit({
    kind: 'answerRepair',
    to: from,
    index,
    headerCrc: m.headerCrc,
    asLeader: s.role.kind === 'leader',
    term: s.term,
    prevTerm
  })
}

export function receiveRepairReply(
  s: RaftState,
  from: NodeId,
  m: RepairReplyMessage,
  entries: readonly EntrySummary[]
): void {
  const { log, role } = s
  const fault = log.faultAt(m.index)
  if (fault === null) return
  if (m.answer === RepairAnswer.none) {
    if (m.index === s.repairIndex) s.repairNone.add(from)
    return
  }
  const entry = entries[0]
  if (entry === undefined || entry.index !== m.index) return
  if (m.answer === RepairAnswer.have) {
    if (fault.headerCrc !== entry.headerCrc) return
    if (fault.positionBytes >= 0 && fault.positionBytes !== entry.positionBytes) return
    healInPlace(s, entry)
    return
  }
  // LEADERS: as an append of that one entry, from the leader of this term only (R-L2).
  if (role.kind !== 'follower' || role.leaderId !== from || m.term !== s.term) return
  const prevIndex = m.index - 1
  if (isNameless(s, prevIndex) || entry.term > s.term) return
  if (log.faultAt(prevIndex)?.term !== 0 && log.terms.termAt(prevIndex) !== m.prevTerm) return
  if (takeEntries(s, role, prevIndex, 1, entries) === AppendResult.ok)
    advanceFollowerCommit(s, role)
}

/**
 * A read met damage in an entry that was whole at the start. A campaign that counts on that entry is over (R-E8): its
 * winner would cut what the votes were given for.
 */
export function noteDamage(s: RaftState, faults: readonly Fault[]): void {
  for (const fault of faults) {
    if (!s.log.addFault(fault)) continue
    s.report('error', `entry ${fault.index} is damaged on this disk`)
    // Somebody reads it just now.
    if (s.log.faults.length <= REPAIRS_A_ROUND) ask(s, fault)
  }
  const { role } = s
  const campaigns = role.kind === 'preCandidate' || role.kind === 'candidate'
  if (campaigns && s.log.soundIndex < role.lastIndex) becomeFollower(s, s.term, null)
}
