import type { Progress } from './progress.ts'
import { ROOM_PERMILLE } from './proposals.ts'
import { voterOf } from './quorum.ts'
import { becomeFollower } from './roles.ts'
import type { LeaderRole, RaftState } from './state.ts'
import { AppendResult, type NodeId } from './types.ts'

/** Handing leadership over: on request, to the preferred leader, or away from a node in trouble. */

export function startTransfer(s: RaftState, target: NodeId | null): void {
  const role = s.role
  if (role.kind !== 'leader') {
    transferEnded(s, target, false, 'this node does not lead')
    return
  }
  if (role.transfer !== null) {
    transferEnded(s, target, false, `leadership is already going to ${role.transfer.target}`)
    return
  }
  const chosen = target ?? bestPeer(s, role)?.id ?? null
  const p = chosen === null ? undefined : voterProgress(s, role, chosen)
  if (chosen === null || p === undefined || !p.voter || !p.linked) {
    transferEnded(s, target, false, 'no connected voter to hand over to')
    return
  }
  begin(s, role, chosen)
}

function begin(s: RaftState, role: LeaderRole, target: NodeId): void {
  role.transfer = { target, ticks: 0, sent: false }
  tryTimeoutNow(s, role)
}

function transferEnded(s: RaftState, target: NodeId | null, ok: boolean, reason: string): void {
  s.emit({ kind: 'transferEnded', target, ok, reason })
}

/** TimeoutNow leaves once, when the target has everything: its campaign would not win before. */
export function tryTimeoutNow(s: RaftState, role: LeaderRole): void {
  const { transfer } = role
  if (transfer === null || transfer.sent) return
  const p = voterProgress(s, role, transfer.target)
  if (p === undefined || !p.linked || p.matchIndex !== s.log.lastIndex) return
  transfer.sent = true
  s.send(transfer.target, {
    type: 'timeoutNow',
    term: s.term,
    leaderId: s.selfId,
    lastIndex: s.log.lastIndex
  })
}

/**
 * R-E11: a damaged entry of this leader's that is not committed may be nowhere else, and then nothing behind it is ever
 * committed, nor does a hand-over come about. After two timeouts without a repair the others elect one without it.
 */
export function leaveStuckLog(s: RaftState, role: LeaderRole, count: number): boolean {
  // There may be others before it that are committed and trimmed everywhere else: those alone do not bar a hand-over.
  const fault = s.log.faults.find(({ index }) => index > s.commitIndex)
  if (fault === undefined) {
    role.stuckTicks = 0
    return false
  }
  role.stuckTicks += count
  if (role.stuckTicks < 2 * s.ticks.election) return false
  s.report(
    'error',
    `entry ${fault.index} is damaged here, not committed, and nobody sent it: stepping down`
  )
  becomeFollower(s, s.term, null)
  return true
}

export function transferTick(s: RaftState, role: LeaderRole, count: number): void {
  if (role.transfer !== null) {
    role.transfer.ticks += count
    if (role.transfer.ticks < s.ticks.transfer) return
    const { target } = role.transfer
    role.transfer = null
    if (target === s.preferredLeaderId) {
      role.preferredWaitTicks = role.preferredBackoffTicks
      role.preferredBackoffTicks *= 2
    }
    transferEnded(s, target, false, 'the peer did not take over in time')
    return
  }
  role.preferredWaitTicks = Math.max(0, role.preferredWaitTicks - count)
  role.preferredCheckTicks += count
  if (role.preferredCheckTicks < s.ticks.preferredCheck) return
  const elapsed = role.preferredCheckTicks
  role.preferredCheckTicks = 0
  if (inTrouble(s)) leaveTrouble(s, role)
  else checkPreferred(s, role, elapsed)
}

function inTrouble(s: RaftState): boolean {
  return s.storageSlow || s.damaged || s.diskLevel !== 'room'
}

function voterProgress(s: RaftState, role: LeaderRole, id: NodeId): Progress | undefined {
  const voter = voterOf(s, id)
  return voter === undefined ? undefined : role.progress.get(voter.uid)
}

export function isFit(s: RaftState, p: Progress): boolean {
  return (
    p.linked &&
    p.state === 'replicate' &&
    !p.lacksState &&
    p.sinceContactTicks < s.ticks.election &&
    p.result === AppendResult.ok &&
    p.diskOk
  )
}

/** Match within one window of the end (in bytes where sizes are known). */
export function isCaughtUp(s: RaftState, p: Progress): boolean {
  if (p.matchIndex === s.log.lastIndex) return true
  const { tail } = s.log
  if (!tail.has(p.matchIndex + 1)) return false
  return s.log.nextPositionBytes - tail.positionAt(p.matchIndex + 1) <= s.limits.windowBytes
}

/** A slow or full disk, or damage: a caught-up peer without such trouble takes over (R-D9, disk full, log recovery). */
export function leaveTrouble(s: RaftState, role: LeaderRole): void {
  if (role.transfer !== null || !inTrouble(s)) return
  const fit = [...role.progress.values()].filter(
    p => p.voter && isFit(s, p) && isCaughtUp(s, p) && p.freePermille >= ROOM_PERMILLE
  )
  // Who did not take over may be unable to, and nothing here says so: it recovers, or is damaged itself.
  const p = fit[(fit.findIndex(({ id }) => id === role.troubleTarget) + 1) % fit.length]
  if (p === undefined) return
  role.troubleTarget = p.id
  s.report('warn', `this node's storage is in trouble: handing leadership to ${p.id}`)
  begin(s, role, p.id)
}

/** The preferred leader takes over when it was fit and caught up for a while. */
function checkPreferred(s: RaftState, role: LeaderRole, elapsedTicks: number): void {
  const { preferredLeaderId } = s
  if (preferredLeaderId === null || preferredLeaderId === s.selfId || !role.ready) return
  const p = voterProgress(s, role, preferredLeaderId)
  if (p === undefined || !isFit(s, p) || !isCaughtUp(s, p) || p.freePermille < ROOM_PERMILLE) {
    role.preferredFitTicks = 0
    return
  }
  role.preferredFitTicks += elapsedTicks
  if (role.preferredFitTicks < s.ticks.preferredFit || role.preferredWaitTicks > 0) return
  role.preferredFitTicks = 0
  s.report('info', `handing leadership to the preferred leader ${preferredLeaderId}`)
  begin(s, role, preferredLeaderId)
}

/** The preferred one if it is fit, else the one that has most; ties go to the smaller id. */
function bestPeer(s: RaftState, role: LeaderRole): Progress | null {
  let best: Progress | null = null
  for (const p of role.progress.values()) {
    if (!p.voter || !isFit(s, p)) continue
    if (p.id === s.preferredLeaderId && isCaughtUp(s, p)) return p
    if (
      best === null ||
      p.matchIndex > best.matchIndex ||
      (p.matchIndex === best.matchIndex && p.id < best.id)
    )
      best = p
  }
  return best
}
