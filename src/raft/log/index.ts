export {
  decodeEntry,
  ENTRY_BYTES_MAX,
  ENTRY_HEADER_BYTES,
  type Entry,
  type EntryHeader,
  EntryKind,
  entryBytesMax,
  entryHeaderCrc,
  entryIsSound,
  entryPrevCrc,
  entrySize,
  positionAfter,
  sealEntry
} from './entry.ts'
export {
  DamagedEntryError,
  LogError,
  LogFailedError,
  RepairError,
  TrimmedError,
  UnusableLogError
} from './errors.ts'
export { openLog } from './open.ts'
export type {
  Fault,
  FlushMode,
  Founder,
  HardState,
  HardStatePatch,
  LatencySummary,
  LogListener,
  LogOptions,
  LogStart,
  LogStatistics,
  PrepareOptions,
  RaftLog,
  Recovery,
  SegmentInfo,
  TermStart,
  WriteDone
} from './types.ts'
