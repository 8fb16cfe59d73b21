import { advanceFollowerCommit } from './commit.ts'
import { becomeFollower, fatal } from './roles.ts'
import type { FollowerRole, RaftState } from './state.ts'
import {
  type AppendMessage,
  type AppendReplyMessage,
  AppendResult,
  type EntrySummary,
  type NodeId
} from './types.ts'

const GIVEN_UP_ADVICE =
  'The group went on without what is committed here, as raftForceRecover makes it: keep this directory, it has what the others lack, and start this node with an empty one'
const NOBODY: readonly NodeId[] = []

/** Appends as a follower takes them (R-L1 to R-L5, R-C3), and what it answers. */

export function receiveAppend(
  s: RaftState,
  from: NodeId,
  m: AppendMessage,
  entries: readonly EntrySummary[]
): void {
  if (m.leaderId !== from) return
  if (m.term < s.term) {
    s.reply(from, answer(s, AppendResult.conflict, m.prevIndex, m.streamSeq, 0))
    return
  }
  if (!isWellFormed(m, entries)) {
    s.report('error', `${from} sent an append whose entries do not follow ${m.prevIndex}: dropped`)
    return
  }
  const role = followLeader(s, from, m.term)
  if (role === null) return
  role.lastStreamSeq = m.streamSeq
  role.lastReadSeq = Math.max(role.lastReadSeq, m.readSeq)
  if (isForThisProcess(s, m)) role.leaderCommit = Math.max(role.leaderCommit, m.commit)
  const result = check(s, role, m)
  if (result === null) return
  if (result !== AppendResult.ok) {
    replyTo(s, role, result, m)
    return
  }
  if (m.count > 0 && s.diskLevel === 'full') {
    replyTo(s, role, AppendResult.diskFull, m)
    return
  }
  const taken = takeEntries(s, role, m.prevIndex, m.count, entries)
  if (taken === null) return
  if (taken !== AppendResult.ok) {
    replyTo(s, role, taken, m)
    return
  }
  const proved = Math.min(m.prevIndex + m.count, s.provedIndex)
  role.provedCommit = Math.max(role.provedCommit, Math.min(m.commit, proved))
  advanceFollowerCommit(s, role)
  answerAppend(s, role, m)
}

/**
 * What a leader says to this process it says after it has given up counting on what former ones acknowledged: its commit
 * covers all that was committed with them (R-R1). What it had said to them may come late, and does not.
 */
function isForThisProcess(
  { options }: RaftState,
  { toIncarnation, toUid }: AppendMessage
): boolean {
  return toIncarnation === options.incarnation && toUid === options.selfUid
}

function isWellFormed(m: AppendMessage, entries: readonly EntrySummary[]): boolean {
  if (entries.length !== m.count) return false
  let term = m.prevTerm
  for (let at = 0; at < entries.length; at++) {
    const entry = entries[at] as EntrySummary
    if (entry.index !== m.prevIndex + 1 + at || entry.term < term || entry.term > m.term)
      return false
    term = entry.term
  }
  return true
}

/** The sender leads this term: follow it. Null when the message is not to be taken. */
export function followLeader(s: RaftState, from: NodeId, term: number): FollowerRole | null {
  if (term === s.term && s.role.kind === 'leader') {
    fatal(s, `${from} leads term ${term}, and so does this node`, false)
    return null
  }
  if (term > s.term || s.role.kind !== 'follower' || s.role.leaderId === null)
    becomeFollower(s, term, from)
  const role = s.role
  if (role.kind !== 'follower') return null
  if (role.leaderId !== from) {
    fatal(s, `${from} and ${role.leaderId} both lead term ${term}`, false)
    return null
  }
  s.sinceLeaderTicks = 0
  s.electionTicks = 0
  if (s.removed) letIn(s, from)
  if (s.patienceTicks < s.ticks.election) s.waitFullTimeout()
  role.leaderGone = false
  s.goneForGood = NOBODY
  role.leaderIncarnation = s.links.get(from)?.incarnation ?? 0
  return role
}

/** A leader serves a node that was told that it is out: it is in again, or that leader does not know better yet. */
function letIn(s: RaftState, from: NodeId): void {
  if (s.memberRole === 'none') return
  s.removed = false
  s.report('info', `${from} leads and counts this node among the members again`)
  s.emit({ kind: 'configurationChanged' })
}

/** R-L1. Null: the node ended (R-L4). */
function check(s: RaftState, role: FollowerRole, m: AppendMessage): AppendResult | null {
  const { log } = s
  // What is trimmed here is committed, hence equal to what any leader has.
  if (m.prevIndex < log.firstIndex - 1) return AppendResult.ok
  if (m.prevIndex > log.lastIndex) return AppendResult.conflict
  if (isNameless(s, m.prevIndex))
    return m.prevIndex <= role.passedIndex ? AppendResult.ok : AppendResult.conflict
  if (log.faultAt(m.prevIndex)?.term === 0) return AppendResult.ok
  const ownTerm = log.terms.termAt(m.prevIndex)
  if (ownTerm === m.prevTerm) return AppendResult.ok
  if (m.prevIndex > s.commitIndex) return AppendResult.conflict
  fatal(
    s,
    `conflict below the commit index ${s.commitIndex}: entry ${m.prevIndex} has term ${ownTerm} here and ${m.prevTerm} at the leader ${m.leaderId}. ${GIVEN_UP_ADVICE}`,
    false
  )
  return null
}

/** Up to here this log is the leader's, also where an entry is damaged beyond recognition. */
function certainIndex(s: RaftState): number {
  return Math.max(s.committedFloor, s.provedIndex)
}

/** Whether the entry has lost its header, and nothing shows yet that it is the leader's. */
export function isNameless(s: RaftState, index: number): boolean {
  return s.log.faultAt(index)?.term === 0 && index > certainIndex(s)
}

/**
 * Takes what is new of entries that follow a matching `prevIndex`: skips what is there, heals faults in place, cuts from
 * the first conflict only (R-L2). Null: the node ended.
 */
export function takeEntries(
  s: RaftState,
  role: FollowerRole,
  prevIndex: number,
  count: number,
  entries: readonly EntrySummary[]
): AppendResult | null {
  const { log } = s
  const from = Math.max(0, log.firstIndex - 1 - prevIndex)
  // The entry before them may be one that the stream only went over.
  let proved = isNameless(s, prevIndex) ? 0 : prevIndex + Math.min(from, count)
  let at = from
  let conflict: EntrySummary | null = null
  for (; at < count && conflict === null; at++) {
    const entry = entries[at] as EntrySummary
    if (entry.index > log.lastIndex) break
    const same = isSame(s, entry)
    if (same === null) role.passedIndex = Math.max(role.passedIndex, entry.index)
    else if (same) proved = entry.index
    else conflict = entry
  }
  s.provedIndex = Math.max(s.provedIndex, Math.min(proved, log.lastIndex))
  if (s.damaged) healFaults(s, entries, from)
  if (conflict !== null) {
    const result = cutConflict(s, role, conflict)
    if (result !== AppendResult.ok) return result
    // More is gone than these bring back.
    if (log.lastIndex < prevIndex) return AppendResult.conflict
    at = log.lastIndex - prevIndex
  }
  if (at < count) {
    if (!append(s, entries, at)) return null
    s.provedIndex = prevIndex + count
  }
  return AppendResult.ok
}

/** Null: it may be, what stands here has lost its header and what names it comes later. */
function isSame(s: RaftState, entry: EntrySummary): boolean | null {
  const { log } = s
  const fault = log.faultAt(entry.index)
  if (fault === null) return log.terms.termAt(entry.index) === entry.term
  if (fault.headerCrc !== -1) return fault.headerCrc === entry.headerCrc
  if (entry.index <= certainIndex(s)) return true
  return fits(s, entry) ? null : false
}

/** Whether the entry may be what an unknown one was: terms do not fall along a log, and what follows it here is known. */
function fits({ log }: RaftState, { index, term }: EntrySummary): boolean {
  let known = index + 1
  while (log.faultAt(known)?.term === 0) known++
  return known > log.lastIndex || term <= log.terms.termAt(known)
}

/** Only what is certain to be the entry that stood there is written over a fault. */
function healFaults(s: RaftState, entries: readonly EntrySummary[], from: number): void {
  const certain = certainIndex(s)
  for (let at = from; at < entries.length; at++) {
    const entry = entries[at] as EntrySummary
    if (entry.index > certain) return
    if (s.log.faultAt(entry.index) !== null) healInPlace(s, entry)
  }
}

export function healInPlace(s: RaftState, entry: EntrySummary): void {
  if (s.log.isBeingRewritten(entry.index)) return
  s.emit({ kind: 'rewrite', writeSeq: s.log.rewriteIssued(entry), index: entry.index })
  if (entry.configuration !== null) s.configurationChanged()
}

/**
 * Cuts from `entry` on. Which of the entries before it that have lost their headers are the leader's nobody can say: they go
 * too, and as one of them may have been acknowledged, the node recovers. Busy: it must be known first where the log would
 * end. Null: the node ended.
 */
function cutConflict(s: RaftState, role: FollowerRole, entry: EntrySummary): AppendResult | null {
  const { log } = s
  if (entry.index <= s.commitIndex) {
    fatal(
      s,
      `conflict below the commit index ${s.commitIndex}: entry ${entry.index} has term ${log.terms.termAt(entry.index)} here and ${entry.term} (position ${entry.positionBytes}, header CRC ${entry.headerCrc}) at the leader. ${GIVEN_UP_ADVICE}`,
      false
    )
    return null
  }
  let fromIndex = entry.index
  while (isNameless(s, fromIndex - 1)) fromIndex--
  if (log.faultAt(fromIndex - 1)?.term === 0) {
    // The leader's for certain, and not back yet: until then its end is not known.
    role.passedIndex = 0
    return AppendResult.busy
  }
  s.report('info', `entries ${fromIndex} to ${log.lastIndex} are not the leader's: cut`)
  const forgets = fromIndex < entry.index
  if (forgets) forget(s, fromIndex)
  role.passedIndex = Math.min(role.passedIndex, fromIndex - 1)
  s.emit({ kind: 'cut', writeSeq: log.cutIssued(fromIndex), fromIndex, forgets })
  s.configurationChanged()
  return AppendResult.ok
}

/** What goes may have been acknowledged, to those of its own configurations too: as after a power loss (R-D6). */
function forget(s: RaftState, fromIndex: number): void {
  const lost = s.log.configurations.filter(({ index }) => index >= fromIndex)
  s.lostConfigurations = [
    ...s.lostConfigurations,
    ...lost.map(({ configuration }) => configuration)
  ]
  s.recovering = true
  s.report(
    'warn',
    `entries from ${fromIndex} on are damaged beyond recognition where they part from the leader's log: this node neither votes nor campaigns until it has that log`
  )
}

function append(s: RaftState, entries: readonly EntrySummary[], from: number): boolean {
  const { log } = s
  const firstIndex = log.lastIndex + 1
  let configured = false
  for (let at = from; at < entries.length; at++) {
    const entry = entries[at] as EntrySummary
    const place = log.placeFor(entry.sizeBytes)
    if (place >= 0 && place !== entry.positionBytes) {
      fatal(
        s,
        `entry ${entry.index} of term ${entry.term} stands at ${entry.positionBytes} in the leader's log and would stand at ${place} here, behind term ${log.lastTerm}`,
        false
      )
      return false
    }
    log.addReceived(entry)
    configured ||= entry.configuration !== null
  }
  if (configured) s.configurationChanged()
  s.emit({
    kind: 'appendReceived',
    writeSeq: log.writeIssued(),
    firstIndex,
    lastIndex: log.lastIndex
  })
  return true
}

/** At once when nothing is left to be written, else with the end of the write; but never silent for a heartbeat long. */
function answerAppend(s: RaftState, role: FollowerRole, m: AppendMessage): void {
  const durable = s.log.countedIndex >= Math.min(s.provedIndex, s.log.soundIndex)
  if (m.count === 0 || durable || role.sinceReplyTicks >= s.ticks.heartbeat) {
    replyTo(s, role, s.diskLevel === 'full' ? AppendResult.diskFull : AppendResult.ok, m)
  }
  role.replyOwed = !durable
}

function replyTo(s: RaftState, role: FollowerRole, result: AppendResult, m: AppendMessage): void {
  role.sinceReplyTicks = 0
  s.reply(m.leaderId, answer(s, result, m.prevIndex, m.streamSeq, role.lastReadSeq, m.prevTerm))
}

/** A write or a repair ended: the leader hears of it once for all that it brought. */
export function followerStorageDone(s: RaftState, role: FollowerRole): void {
  advanceFollowerCommit(s, role)
  if (!role.replyOwed || role.leaderId === null) return
  role.replyOwed = s.log.countedIndex < Math.min(s.provedIndex, s.log.soundIndex)
  role.sinceReplyTicks = 0
  s.reply(role.leaderId, answer(s, AppendResult.ok, 0, role.lastStreamSeq, role.lastReadSeq))
}

function answer(
  s: RaftState,
  result: AppendResult,
  prevIndex: number,
  streamSeq: number,
  readSeq: number,
  prevTerm = 0
): AppendReplyMessage {
  const { log, role } = s
  const proved = role.kind === 'follower' ? s.provedIndex : 0
  const passed = role.kind === 'follower' ? role.passedIndex : 0
  const conflict = result === AppendResult.conflict && prevTerm > 0
  // R-L3: greatest index not behind prevIndex with a term not above prevTerm. Nothing shows what a nameless one is.
  let hintIndex = conflict ? log.terms.findAtMost(Math.min(prevIndex, log.lastIndex), prevTerm) : 0
  while (isNameless(s, hintIndex)) hintIndex--
  return {
    type: 'appendReply',
    term: s.term,
    nodeId: s.selfId,
    result,
    match: Math.min(proved, log.countedIndex),
    // Neither is lowered by a fault: that is fetched by Repair, the stream does not wait or go back for it (R-L2).
    received: proved,
    settled: Math.min(Math.max(proved, passed), log.durableIndex),
    hintIndex,
    hintTerm: conflict ? log.terms.termAt(hintIndex) : 0,
    readSeq,
    lastIndex: log.lastIndex,
    logStart: log.firstIndex,
    applied: s.appliedIndex,
    freePermille: s.freePermille,
    diskOk: !s.storageSlow,
    streamSeq,
    incarnation: s.options.incarnation,
    nodeUid: s.options.selfUid
  }
}
