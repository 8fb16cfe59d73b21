export type { SegmentInfo } from './log/index.ts'
export {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  entryBytesMax
} from './log/index.ts'
export { openRaft } from './node/open.ts'
export type {
  LogReader,
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
  StateMachine,
  StopOptions
} from './types.ts'
export { NotLeaderError, RaftStartError } from './types.ts'
