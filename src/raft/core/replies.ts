import { advanceLeaderCommit } from './commit.ts'
import { pump, tellCommitTo } from './leaderSend.ts'
import { becomeSnapshot, noteLackOfState } from './offers.ts'
import type { Progress } from './progress.ts'
import { confirmReads } from './reads.ts'
import { becomeFollower } from './roles.ts'
import type { LeaderRole, RaftState } from './state.ts'
import { tryTimeoutNow } from './transfer.ts'
import { type AppendReplyMessage, AppendResult, type NodeId } from './types.ts'

/** What a leader makes of the answers to its appends. */

export function receiveAppendReply(s: RaftState, from: NodeId, m: AppendReplyMessage): void {
  if (m.nodeId !== from) return
  if (m.term > s.term) {
    becomeFollower(s, m.term, null)
    return
  }
  if (m.term < s.term || s.role.kind !== 'leader') return
  const role = s.role
  const p = role.progress.get(m.nodeUid)
  // R-R1: an acknowledgement given before a crash, or by a disk that is gone, counts for nothing.
  if (p === undefined || p.id !== from || !p.linked || p.incarnation !== m.incarnation) return
  p.sinceContactTicks = 0
  p.applied = m.applied
  p.freePermille = m.freePermille
  p.diskOk = m.diskOk
  noteLackOfState(s, p, m.applied < m.logStart - 1)
  if (m.readSeq > p.readSeqAcked && m.readSeq <= role.readSeq) {
    p.readSeqAcked = m.readSeq
    confirmReads(s, role)
  }
  if (m.streamSeq < p.validFromSeq || m.streamSeq > p.streamSeq) return
  if (m.match > s.log.lastIndex) {
    s.report(
      'error',
      `${from} claims to match up to ${m.match}, this log ends at ${s.log.lastIndex}`
    )
    return
  }
  switch (m.result) {
    case AppendResult.ok:
      accepted(s, role, p, m)
      return
    case AppendResult.conflict:
      conflict(s, role, p, m)
      return
    case AppendResult.diskFull:
    case AppendResult.recovering:
    case AppendResult.corrupt:
    case AppendResult.busy:
      trouble(s, role, p, m)
      return
  }
}

function accepted(s: RaftState, role: LeaderRole, p: Progress, m: AppendReplyMessage): void {
  p.result = AppendResult.ok
  const moved = p.acknowledged(m.match)
  p.settled(m.settled)
  p.lastMatch = m.match
  // One that has a damaged entry takes what follows it, and still cannot get it back from here.
  if (p.state === 'snapshot' && p.lastMatch < s.log.firstIndex - 1) return
  if (p.state !== 'replicate')
    p.becomeReplicate(Math.max(p.matchIndex, Math.min(m.received, s.log.lastIndex)) + 1)
  if (moved) advanceLeaderCommit(s, role)
  pump(s, role, p)
  tellCommitTo(s, role, p)
  tryTimeoutNow(s, role)
}

/** R-L3: the same search in the own log, from the hint; never below what is known to match. */
function conflict(s: RaftState, role: LeaderRole, p: Progress, m: AppendReplyMessage): void {
  p.result = AppendResult.ok
  if (p.state === 'snapshot') return
  if (m.lastIndex + 1 < s.log.firstIndex) {
    becomeSnapshot(s, p, m.lastIndex + 1)
    return
  }
  const found = s.log.terms.findAtMost(Math.min(m.hintIndex, s.log.lastIndex), m.hintTerm)
  const below = p.state === 'probe' ? p.nextIndex - 1 : p.nextIndex
  p.becomeProbe(Math.max(p.matchIndex + 1, Math.min(found + 1, below)))
  pump(s, role, p)
}

const troubleNames: Record<AppendResult, string> = {
  [AppendResult.ok]: 'ok',
  [AppendResult.conflict]: 'conflict',
  [AppendResult.diskFull]: 'its disk is full',
  [AppendResult.recovering]: 'it is recovering',
  [AppendResult.corrupt]: 'the entry before them is damaged there',
  [AppendResult.busy]: 'it is busy'
}

/** R-R2: the peer is paused and asked again with each heartbeat. What it did not take is sent again later. */
function trouble(s: RaftState, role: LeaderRole, p: Progress, m: AppendReplyMessage): void {
  if (p.result !== m.result)
    s.report('warn', `${p.id} takes no entries now: ${troubleNames[m.result]}`)
  const moved = p.acknowledged(m.match)
  // A corrupt entry does not move the stream back (R-L2); all else is asked again from what is safe.
  p.becomeProbe(m.result === AppendResult.corrupt ? p.nextIndex : p.matchIndex + 1)
  p.result = m.result
  if (moved) advanceLeaderCommit(s, role)
}
