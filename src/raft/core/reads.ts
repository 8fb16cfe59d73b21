import { sendEmpty } from './leaderSend.ts'
import { quorumValue } from './quorum.ts'
import type { LeaderRole, RaftState } from './state.ts'

/** Read index: the commit index of the question, confirmed by a majority that still follows (counter in `readSeq`). */

export function readIndex(s: RaftState, id: number): void {
  const role = s.role
  if (role.kind !== 'leader') {
    s.emit({ kind: 'readFailed', id, reason: 'notLeader', leaderId: s.leaderId })
    return
  }
  if (role.reads.length + role.waitingReads.length >= s.limits.waitingReads) {
    s.emit({ kind: 'readFailed', id, reason: 'busy', leaderId: s.selfId })
    return
  }
  // Before an own entry is committed the commit index may be older than what the last leader answered.
  if (s.commitIndex < role.ownFirstIndex) {
    role.waitingReads.push(id)
    return
  }
  startRound(s, role, [id])
}

/** The own first entry is committed: the questions that waited share one round. */
export function releaseWaitingReads(s: RaftState, role: LeaderRole): void {
  if (role.waitingReads.length === 0 || s.commitIndex < role.ownFirstIndex) return
  startRound(s, role, role.waitingReads.splice(0))
}

function startRound(s: RaftState, role: LeaderRole, ids: readonly number[]): void {
  role.readSeq++
  for (const id of ids) role.reads.push({ id, index: s.commitIndex, seq: role.readSeq })
  for (const p of role.progress.values()) sendEmpty(s, role, p)
  confirmReads(s, role)
}

export function confirmReads(s: RaftState, role: LeaderRole): void {
  if (role.reads.length === 0) return
  const confirmed = quorumValue(s, role, role.readSeq, p => p.readSeqAcked)
  let done = 0
  for (const read of role.reads) {
    if (read.seq > confirmed) break
    s.emit({ kind: 'readReady', id: read.id, index: read.index })
    done++
  }
  if (done > 0) role.reads.splice(0, done)
}

/** Leadership ends: no question that waits is answered with a value. */
export function failReads(s: RaftState, role: LeaderRole): void {
  for (const read of role.reads)
    s.emit({ kind: 'readFailed', id: read.id, reason: 'notLeader', leaderId: null })
  for (const id of role.waitingReads)
    s.emit({ kind: 'readFailed', id, reason: 'notLeader', leaderId: null })
}
