import type { Progress } from './progress.ts'
import { progressOf } from './quorum.ts'
import type { RaftState } from './state.ts'
import type { NodeId, SnapshotFacts } from './types.ts'

/** What a leader does for a follower whose next entry is trimmed here: a snapshot is made ready, offered, and offered again (R-S). */

/** The peer's next entry is gone here. Heartbeats keep it from campaigning meanwhile. */
export function becomeSnapshot(s: RaftState, p: Progress, neededIndex: number): void {
  s.report(
    'warn',
    `${p.id} needs entries from ${neededIndex} on, the log starts at ${s.log.firstIndex}: it gets a snapshot`
  )
  p.becomeSnapshot(s.log.firstIndex)
  s.emit({ kind: 'offerSnapshot', peer: p.id })
}

export function snapshotReady(s: RaftState, peer: NodeId, snapshot: SnapshotFacts): void {
  const p = inNeed(s, peer)
  if (p === null) return
  p.snapshot = snapshot
  sendOffer(s, p)
}

export function snapshotFailed(s: RaftState, peer: NodeId, reason: string): void {
  const p = inNeed(s, peer)
  if (p === null) return
  s.report('warn', `no snapshot for ${peer} yet: ${reason}`)
  p.snapshot = null
  p.offerTicks = s.ticks.offerRetry
}

/**
 * The peer's state database is lost, and the entries that made it are trimmed there. It takes entries, acknowledges and votes
 * meanwhile, for its log is whole.
 */
export function noteLackOfState(s: RaftState, p: Progress, lacksState: boolean): void {
  if (p.lacksState === lacksState) return
  p.lacksState = lacksState
  if (!lacksState || p.state === 'snapshot') return
  s.report('warn', `${p.id} has lost the state that its log begins with: it gets a snapshot`)
  p.snapshot = null
  p.offerTicks = 0
  s.emit({ kind: 'offerSnapshot', peer: p.id })
}

/** The peer's progress, if it is waiting for a snapshot of this leader. */
export function inNeed(s: RaftState, peer: NodeId): Progress | null {
  if (s.role.kind !== 'leader') return null
  const p = progressOf(s, s.role, peer)
  return p !== undefined && (p.state === 'snapshot' || p.lacksState) ? p : null
}

function sendOffer(s: RaftState, p: Progress): void {
  if (p.snapshot === null) return
  p.offerTicks = s.ticks.offer
  if (!p.linked) return
  s.send(p.id, {
    type: 'snapshotOffer',
    term: s.term,
    leaderId: s.selfId,
    ...p.snapshot
  })
}

/** Offers that went lost are made again; snapshots that could not be made are asked for again. */
export function snapshotTick(s: RaftState, p: Progress, count: number): void {
  if (p.state === 'replicate' && !p.lacksState && p.lastMatch < s.log.firstIndex - 1) {
    // A damaged entry that it cannot get back from anyone: everybody has trimmed it. It may have been whole before.
    p.stuckTicks += count
    if (p.stuckTicks >= s.ticks.offer) becomeSnapshot(s, p, p.lastMatch + 1)
    return
  }
  p.stuckTicks = 0
  if (!(p.state === 'snapshot' || p.lacksState) || !p.linked || p.offerTicks <= 0) return
  p.offerTicks -= count
  if (p.offerTicks > 0) return
  // The driver knows whether the snapshot of before is still good.
  p.offerTicks = 0
  s.emit({ kind: 'offerSnapshot', peer: p.id })
}
