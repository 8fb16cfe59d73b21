export type {
  Entry,
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
  SegmentInfo,
  StateMachine,
  StopOptions
} from './types.ts'
export {
  ENTRY_BYTES_MAX,
  ENTRY_HEADER_BYTES,
  EntryKind,
  NotLeaderError,
  RaftStartError
} from './types.ts'
