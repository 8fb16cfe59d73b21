import type { Effect, RaftCore, SnapshotFacts } from '../core/index.ts'
import type { Entry, RaftLog } from '../log/index.ts'
import type { ProposalSource, RaftOptions, RaftTimings, SavedState } from '../types.ts'

/** What the log says of a new role. */
export const ROLE_LINES = {
  follower: 'Follows',
  preCandidate: 'Hears no leader and asks whether it could win an election',
  candidate: 'Asks for votes',
  leader: 'Was elected',
  stopped: 'Takes part no more'
} as const

export type Role = Extract<Effect, { kind: 'roleChanged' }>
export type TransferEnd = Extract<Effect, { kind: 'transferEnded' }>

export type MembershipEnd = Extract<Effect, { kind: 'membershipEnded' }>

export interface DriverHost {
  apply(entries: readonly Entry[]): void
  roleChanged(role: Role): void
  committed(index: number): void
  transferEnded(end: TransferEnd): void
  membershipEnded(end: MembershipEnd): void
  /** Members, or this node's own part among them. */
  configurationChanged(): void
  /** The leader's address became known after the role change. */
  peerAddressChanged(peerId: string): void
  /** The node has ended: the copy is to take the place of the log, and everything to be opened again. */
  switchLog(snapshot: SnapshotFacts): void
  mustWait(): boolean
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
