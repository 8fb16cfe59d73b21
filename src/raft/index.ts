export { DamagedEntryError, UnusableLogError } from './log/errors.ts'
export type { SegmentInfo, VerifiedRange } from './log/index.ts'
export {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  entryBytesMax,
  type PendingInstall,
  pendingInstall
} from './log/index.ts'
export {
  type InspectOptions,
  inspectLog,
  type LogInspection,
  openForReading,
  readHardState,
  type SegmentReport
} from './log/inspect.ts'
export type { Fault, RaftLog } from './log/types.ts'
export { makeNewGroup, type NewGroup } from './node/newGroup.ts'
export { openRaft } from './node/open.ts'
export type {
  ChangeAnswer,
  GroupAffairs,
  LogReader,
  MemberStatus,
  Membership,
  MembershipChange,
  PeerStatus,
  Proposal,
  ProposalSource,
  RaftCounters,
  RaftNode,
  RaftOptions,
  RaftPeer,
  RaftRole,
  RaftStatus,
  RaftTimings,
  SavedState,
  SnapshotProgress,
  StateMachine,
  StopOptions
} from './types.ts'
export { NotLeaderError, noCounters, RaftStartError } from './types.ts'
