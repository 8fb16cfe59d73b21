import { pumpAll } from './leaderSend.ts'
import { followMembers } from './members.ts'
import { panic } from './panic.ts'
import { BLANK_BYTES } from './place.ts'
import { countVoters } from './quorum.ts'
import { confirmReads } from './reads.ts'
import type { LeaderRole, RaftState } from './state.ts'
import {
  type Configuration,
  ENTRY_HEADER_BYTES,
  EntryKind,
  type Member,
  type ProposalRefusal
} from './types.ts'

/** Below this share of free disk a node takes commands only (level "refuse": more than 90 % used). */
export const ROOM_PERMILLE = 100

export function propose(s: RaftState, entryKind: 1 | 2, sizeBytes: number, token: number): void {
  const role = s.role
  const reason = role.kind === 'leader' ? refusal(s, role, entryKind, sizeBytes) : 'notLeader'
  if (reason !== null || role.kind !== 'leader') {
    s.emit({ kind: 'proposalRefused', token, reason: reason ?? 'notLeader', leaderId: s.leaderId })
    return
  }
  appendOwn(s, role, entryKind, sizeBytes, token, null)
}

function refusal(
  s: RaftState,
  role: LeaderRole,
  entryKind: 1 | 2,
  sizeBytes: number
): ProposalRefusal | null {
  if (sizeBytes < ENTRY_HEADER_BYTES) panic(`an entry of ${sizeBytes} bytes has no header`)
  if (!role.ready) return 'notReady'
  if (role.transfer !== null) return 'transferring'
  if (sizeBytes > Math.min(s.limits.entryBytes, s.options.segmentBytes - BLANK_BYTES))
    return 'tooLarge'
  if (s.diskLevel === 'full') return 'diskFull'
  if (entryKind === EntryKind.messages && !majorityHasRoom(s, role)) return 'diskFull'
  if (s.log.lastIndex - s.commitIndex >= s.limits.uncommittedEntries) return 'busy'
  const uncommittedBytes = s.log.nextPositionBytes - role.committedEndBytes
  if (uncommittedBytes > 0 && uncommittedBytes + sizeBytes > s.limits.uncommittedBytes)
    return 'busy'
  return null
}

/** Messages that most disks have no room for would only time out (disk full: commands only). */
function majorityHasRoom(s: RaftState, role: LeaderRole): boolean {
  if (s.diskLevel !== 'room') return false
  return countVoters(role, p => p.freePermille >= ROOM_PERMILLE) >= s.majority
}

/** Disk and followers get it at once and in parallel. */
function appendOwn(
  s: RaftState,
  role: LeaderRole,
  entryKind: EntryKind,
  sizeBytes: number,
  token: number,
  configuration: Configuration | null
): void {
  const positionBytes = s.log.placeFor(sizeBytes)
  if (positionBytes < 0) panic('a leader does not know where its log ends')
  s.log.add(s.term, positionBytes, sizeBytes, configuration)
  if (configuration !== null) {
    s.configurationChanged()
    followMembers(s, role)
  }
  s.emit({
    kind: 'appendOwn',
    writeSeq: s.log.writeIssued(),
    index: s.log.lastIndex,
    term: s.term,
    positionBytes,
    sizeBytes,
    entryKind,
    token,
    configuration
  })
  pumpAll(s, role)
}

/** The next configuration; in force at once (R-M3). One voter more or less at most (R-M1). */
export function appendConfiguration(
  s: RaftState,
  role: LeaderRole,
  members: readonly Member[]
): void {
  const { voters } = s
  const stays = (a: readonly Member[], b: readonly Member[]): number =>
    a.filter(x => x.role === 'voter' && b.some(y => y.uid === x.uid && y.role === 'voter')).length
  const kept = stays(voters, members)
  const added = members.filter(member => member.role === 'voter').length - kept
  if (voters.length - kept + added > 1) panic('a change of more than one voter')
  const configuration: Configuration = {
    version: (s.configuration?.version ?? 0) + 1,
    clusterId: s.configuration?.clusterId ?? '',
    members
  }
  const bodyBytes = s.options.configurationBodyBytes(configuration)
  const text = members.map(m => (m.role === 'voter' ? m.id : `${m.id} (learner)`)).join(', ')
  s.report('info', `proposing configuration ${configuration.version}: ${text}`)
  appendOwn(s, role, EntryKind.configuration, ENTRY_HEADER_BYTES + bodyBytes, 0, configuration)
  // A sole voter gets no answers that would confirm what waits.
  confirmReads(s, role)
}

/** R-C2: every term begins with an entry of its own; that of the first leader names the founders (R-D7). */
export function appendFirstOfTerm(s: RaftState, role: LeaderRole): void {
  role.ownFirstIndex = s.log.lastIndex + 1
  if (s.log.lastIndex > 0) {
    appendOwn(s, role, EntryKind.noop, ENTRY_HEADER_BYTES, 0, null)
    return
  }
  const configuration: Configuration = {
    version: 1,
    clusterId: s.options.newClusterId,
    members: s.founders ?? []
  }
  const bodyBytes = s.options.configurationBodyBytes(configuration)
  appendOwn(s, role, EntryKind.configuration, ENTRY_HEADER_BYTES + bodyBytes, 0, configuration)
}
