import { becomeSnapshot, snapshotTick } from './offers.ts'
import type { Progress } from './progress.ts'
import { progressOf } from './quorum.ts'
import type { LeaderRole, RaftState } from './state.ts'
import { AppendResult, type NodeId } from './types.ts'

/** What a leader sends to its followers, and when. */

const PROBE_BYTES = 64 * 1024

function sendAppend(
  s: RaftState,
  role: LeaderRole,
  p: Progress,
  prevIndex: number,
  count: number,
  payloadBytes: number
): void {
  p.streamSeq++
  p.sinceSentTicks = 0
  p.sentCommit = s.commitIndex
  s.send(p.id, {
    type: 'append',
    term: s.term,
    leaderId: s.selfId,
    prevIndex,
    prevTerm: s.log.terms.termAt(prevIndex),
    commit: s.commitIndex,
    count,
    payloadBytes,
    readSeq: role.readSeq,
    logStart: s.log.firstIndex,
    streamSeq: p.streamSeq,
    toIncarnation: p.incarnation,
    toUid: p.uid
  })
}

/**
 * An append without entries: heartbeat, news of a commit, read round, and the only probe. It names the entry before
 * `nextIndex`, so that a lost window shows as a conflict.
 */
export function sendEmpty(s: RaftState, role: LeaderRole, p: Progress): void {
  if (!p.linked) return
  // The term before an entry that is trimmed is not known any more.
  if (p.nextIndex < s.log.firstIndex) {
    if (p.state === 'snapshot') p.nextIndex = s.log.firstIndex
    else becomeSnapshot(s, p, p.nextIndex)
  }
  if (p.state === 'probe') p.probeUnanswered = true
  sendAppend(s, role, p, p.nextIndex - 1, 0, 0)
}

/** Sends everything that the follower's state and window allow. */
export function pump(s: RaftState, role: LeaderRole, p: Progress): void {
  if (!p.linked) return
  if (p.state !== 'snapshot' && p.nextIndex < s.log.firstIndex) {
    becomeSnapshot(s, p, p.nextIndex)
    return
  }
  if (p.state === 'probe') {
    if (!p.probeUnanswered && p.result === AppendResult.ok) probe(s, role, p)
    return
  }
  if (p.state !== 'replicate' || p.readRequestId !== 0) return
  while (p.nextIndex <= s.log.lastIndex && hasRoom(s, p)) {
    if (!s.log.tail.has(p.nextIndex)) {
      requestRead(s, p)
      return
    }
    sendFromTail(s, role, p)
  }
}

/** A probe takes along what is small: a new leader's no-op then needs no second round trip. */
function probe(s: RaftState, role: LeaderRole, p: Progress): void {
  let bytes = 0
  let last = p.nextIndex - 1
  while (s.log.tail.has(last + 1) && bytes + s.log.tail.sizeAt(last + 1) <= PROBE_BYTES) {
    last++
    bytes += s.log.tail.sizeAt(last)
  }
  p.probeUnanswered = true
  sendAppend(s, role, p, p.nextIndex - 1, last - p.nextIndex + 1, bytes)
}

function hasRoom(s: RaftState, p: Progress): boolean {
  return p.inFlightBytes < s.limits.windowBytes && p.framesInFlight < s.limits.windowFrames
}

function sendFromTail(s: RaftState, role: LeaderRole, p: Progress): void {
  const first = p.nextIndex
  let last = first
  let bytes = s.log.tail.sizeAt(first)
  while (last < s.log.lastIndex && bytes + s.log.tail.sizeAt(last + 1) <= s.limits.frameBytes) {
    last++
    bytes += s.log.tail.sizeAt(last)
  }
  sendAppend(s, role, p, first - 1, last - first + 1, bytes)
  p.sent(last, bytes)
}

function requestRead(s: RaftState, p: Progress): void {
  p.readRequestId = s.nextRequestId()
  s.emit({
    kind: 'readEntries',
    peer: p.id,
    requestId: p.readRequestId,
    firstIndex: p.nextIndex,
    lastIndex: Math.min(s.log.lastIndex, s.log.tail.firstIndex - 1),
    maxBytes: s.limits.frameBytes
  })
}

/** Entries from the disk: they leave as one frame, if they are still what the follower needs next. */
export function entriesRead(
  s: RaftState,
  peer: NodeId,
  requestId: number,
  firstIndex: number,
  sizesBytes: readonly number[]
): void {
  if (s.role.kind !== 'leader') return
  const p = progressOf(s, s.role, peer)
  if (p === undefined || p.readRequestId !== requestId) return
  p.readRequestId = 0
  // Nothing could be read: the next heartbeat asks again, the damage is reported by its own event.
  if (sizesBytes.length === 0 || p.state !== 'replicate' || p.nextIndex !== firstIndex) return
  const last = Math.min(firstIndex + sizesBytes.length - 1, s.log.lastIndex)
  let bytes = 0
  for (let at = 0; at <= last - firstIndex; at++) bytes += sizesBytes[at] as number
  sendAppend(s, s.role, p, firstIndex - 1, last - firstIndex + 1, bytes)
  p.sent(last, bytes)
  pump(s, s.role, p)
}

export function pumpAll(s: RaftState, role: LeaderRole): void {
  for (const p of role.progress.values()) pump(s, role, p)
}

/** The commit moved: idle streams hear of it at once, busy ones with their next append. */
export function tellCommit(s: RaftState, role: LeaderRole): void {
  for (const p of role.progress.values()) tellCommitTo(s, role, p)
}

export function tellCommitTo(s: RaftState, role: LeaderRole, p: Progress): void {
  if (p.state !== 'replicate' || p.framesInFlight > 0 || p.sentCommit >= s.commitIndex) return
  sendEmpty(s, role, p)
}

/** Any frame is a heartbeat; followers in trouble and lost probes are asked again by it. */
export function heartbeats(s: RaftState, role: LeaderRole, count: number): void {
  for (const p of role.progress.values()) {
    p.sinceSentTicks += count
    p.sinceContactTicks += count
    snapshotTick(s, p, count)
    if (!p.linked || p.sinceSentTicks < s.ticks.heartbeat) continue
    sendEmpty(s, role, p)
    pump(s, role, p)
  }
}
