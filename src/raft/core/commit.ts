import { tellCommit } from './leaderSend.ts'
import { changeCommitted } from './members.ts'
import { panic } from './panic.ts'
import { quorumValue } from './quorum.ts'
import { releaseWaitingReads } from './reads.ts'
import { type FollowerRole, type LeaderRole, type RaftState, REMOVED_ADVICE } from './state.ts'
import type { Configuration } from './types.ts'

/** Where the commit index moves, and what follows from it. */

function commitTo(s: RaftState, index: number): void {
  if (index < s.commitIndex) panic(`commit would fall from ${s.commitIndex} to ${index}`)
  if (index > s.log.soundIndex) panic(`commit ${index} is beyond the sound log ${s.log.soundIndex}`)
  s.commitIndex = index
  s.emit({ kind: 'committed', index })
  learnClusterId(s)
  configurationCommitted(s)
}

function configurationCommitted(s: RaftState): void {
  const committed = s.committedConfiguration
  if (committed === null || committed.index <= s.toldConfigurationIndex) return
  s.toldConfigurationIndex = committed.index
  const before = s.log.configurations[0]
  s.log.forgetConfigurationsBefore(committed.index)
  noteOwnPart(s, before?.configuration ?? null, committed.configuration)
  s.emit({ kind: 'configurationChanged' })
}

/**
 * The cluster id is the group's once its configuration is committed (R-D7). A node that never heard of the founding saves
 * the members with it: the log may be trimmed behind that entry later.
 */
function learnClusterId(s: RaftState): void {
  if (s.clusterId !== '') return
  const first = s.log.configurations[0]
  if (first === undefined || first.index > s.commitIndex) return
  s.clusterId = first.configuration.clusterId
  s.founders ??= first.configuration.members
  s.saveHardState()
}

/** A node that catches up meets configurations from before its time: it is out only by one that follows one with it. */
function noteOwnPart(s: RaftState, before: Configuration | null, now: Configuration): void {
  const listed = lists(s, now)
  if (listed || !lists(s, before)) {
    if (listed) s.removed = false
    return
  }
  // A later one takes it back, and is here already.
  if (s.removed || s.memberRole !== 'none') return
  s.removed = true
  s.report('error', `configuration ${now.version} removes this node: ${REMOVED_ADVICE}`)
}

function lists(s: RaftState, configuration: Configuration | null): boolean {
  const { selfUid } = s.options
  return configuration?.members.some(m => m.id === s.selfId && m.uid === selfUid) === true
}

/** R-C1: on a majority, and of the current term. The leader counts itself by its own durable log. */
export function advanceLeaderCommit(s: RaftState, role: LeaderRole): void {
  // A configuration counts when the leader's disk has it: else nobody might remember by which voters it was committed.
  if (s.log.countedIndex < s.configurationIndex) return
  const index = Math.min(
    quorumValue(s, role, s.log.countedIndex, p => p.matchIndex),
    s.log.soundIndex
  )
  if (index <= s.commitIndex || s.log.terms.termAt(index) !== s.term) return
  commitTo(s, index)
  if (s.log.tail.has(index)) role.committedEndBytes = s.log.tail.endAt(index)
  changeCommitted(s, role)
  checkRecovered(s)
  becomeReadyWhenApplied(s, role)
  releaseWaitingReads(s, role)
  tellCommit(s, role)
}

/** R-C3: never beyond what this leader's appends proved, nor beyond a fault. */
export function advanceFollowerCommit(s: RaftState, role: FollowerRole): void {
  const index = Math.min(role.provedCommit, s.log.soundIndex)
  if (index > s.commitIndex) commitTo(s, index)
  checkRecovered(s)
}

/**
 * R-D6: whole again when the durable log reaches the commit of the current leader, as said to this process, and that
 * lies in the leader's own term: everything that was acknowledged before the power loss lies below it.
 */
export function checkRecovered(s: RaftState): void {
  if (!s.recovering) return
  const { role, log } = s
  if (role.kind === 'follower') {
    const commit = role.leaderCommit
    if (role.leaderId === null || commit === 0 || log.terms.termAt(commit) !== s.term) return
    if (s.provedIndex < commit || log.countedIndex < commit) return
  } else if (role.kind === 'leader') {
    if (s.commitIndex < role.ownFirstIndex || log.countedIndex < s.commitIndex) return
  } else {
    return
  }
  s.recovering = false
  s.lostConfigurations = []
  s.report('info', `recovered: the log is whole up to commit ${s.commitIndex} of term ${s.term}`)
}

/** R-E9. */
export function becomeReadyWhenApplied(s: RaftState, role: LeaderRole): void {
  if (role.ready || s.commitIndex < role.ownFirstIndex || s.appliedIndex < role.ownFirstIndex)
    return
  role.ready = true
  s.roleEffect()
}
