export { CopyDamagedError, LogCopy, type MissingPart, removeCopy, STATE_NAME } from './copy.ts'
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
export {
  decodeManifest,
  encodeManifest,
  logPart,
  type Manifest,
  manifestBytes
} from './manifest.ts'
export { openLog, UNITS_PER_INDEX_FILE } from './open.ts'
export { type OldTail, type PendingInstall, pendingInstall, switchToCopy } from './switchLog.ts'
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
  SizeOf,
  TermStart,
  VerifiedRange,
  WriteDone
} from './types.ts'
