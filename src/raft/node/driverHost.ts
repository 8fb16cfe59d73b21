import type { Effect, RaftCore, SnapshotFacts } from '../core/index.ts'
import type { Entry, RaftLog } from '../log/index.ts'
import type { ProposalSource, RaftOptions, RaftTimings, SavedState } from '../types.ts'

export type Role = Extract<Effect, { kind: 'roleChanged' }>
export type TransferEnd = Extract<Effect, { kind: 'transferEnded' }>

export interface DriverHost {
  apply(entries: readonly Entry[]): void
  roleChanged(role: Role): void
  committed(index: number): void
  transferEnded(end: TransferEnd): void
  /** The leader's address became known after the role change. */
  peerAddressChanged(peerId: string): void
  /** The node has ended: the copy is to take the place of the log, and everything to be opened again. */
  switchLog(snapshot: SnapshotFacts): void
  saveState: ((path: string) => Promise<SavedState>) | null
  /** The node has ended by itself; everything is to be closed. */
  fatal(reason: string): void
}

export interface DriverParts {
  options: RaftOptions
  timings: RaftTimings
  core: RaftCore
  log: RaftLog
  source: ProposalSource
  host: DriverHost
}
