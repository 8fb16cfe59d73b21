import { followLeader } from './follower.ts'
import { pump } from './leaderSend.ts'
import { inNeed } from './offers.ts'
import { becomeStopped } from './roles.ts'
import type { LeaderRole, RaftState } from './state.ts'
import type { NodeId, SnapshotDoneMessage, SnapshotFacts, SnapshotOfferMessage } from './types.ts'

/**
 * What happens with a follower whose next entry is trimmed (R-S): it is offered a snapshot, copies it beside its log, and
 * then changes over to it. Until then its old log is what it votes and acknowledges by.
 */

export function receiveSnapshotDone(s: RaftState, from: NodeId, m: SnapshotDoneMessage): void {
  if (s.role.kind !== 'leader') return
  const p = inNeed(s, from)
  if (p === null || p.snapshot?.snapshotId !== m.snapshotId) return
  if (m.ok && p.state === 'snapshot') {
    p.becomeProbe(Math.max(p.matchIndex, p.snapshot.index) + 1)
    pump(s, s.role as LeaderRole, p)
    return
  }
  if (!m.ok) s.report('warn', `${from} does not take snapshot ${m.snapshotId}: ${m.remark}`)
  p.snapshot = null
  p.offerTicks = s.ticks.offerRetry
}

export function receiveSnapshotOffer(s: RaftState, from: NodeId, m: SnapshotOfferMessage): void {
  if (m.leaderId !== from || m.term < s.term) return
  const role = followLeader(s, from, m.term)
  if (role === null) return
  const { snapshotId, index, indexTerm, headerCrc } = m
  const snapshot: SnapshotFacts = { snapshotId, index, indexTerm, headerCrc }
  if (isNeeded(s, snapshot)) s.emit({ kind: 'installSnapshot', from, snapshot })
  else tellDone(s, from, snapshotId, true, '')
}

/**
 * A late offer must not take acknowledged entries away: what this node has committed, or has whole under the same term,
 * no snapshot brings back (R-S). One that lacks its state takes it from any entry of its log, and keeps what stands behind.
 */
function isNeeded(s: RaftState, { index, indexTerm }: SnapshotFacts): boolean {
  if (s.lacksState && index >= s.log.firstIndex - 1) return true
  if (index <= s.commitIndex) return false
  return index > s.log.soundIndex || s.log.terms.termAt(index) !== indexTerm
}

/** The copy is there: looked at once more, since the log went on meanwhile. */
export function snapshotCopied(s: RaftState, snapshot: SnapshotFacts): void {
  if (!isNeeded(s, snapshot)) {
    s.report('info', `snapshot ${snapshot.snapshotId} is not needed any more`)
    s.emit({ kind: 'dropSnapshot', snapshotId: snapshot.snapshotId })
    if (s.role.kind === 'follower' && s.role.leaderId !== null)
      tellDone(s, s.role.leaderId, snapshot.snapshotId, true, '')
    return
  }
  becomeStopped(s)
  s.emit({ kind: 'switchLog', snapshot })
}

export function snapshotAbandoned(s: RaftState, snapshotId: string, reason: string): void {
  if (s.role.kind === 'follower' && s.role.leaderId !== null)
    tellDone(s, s.role.leaderId, snapshotId, false, reason)
}

function tellDone(s: RaftState, to: NodeId, snapshotId: string, ok: boolean, remark: string): void {
  s.send(to, { type: 'snapshotDone', snapshotId, ok, remark })
}
