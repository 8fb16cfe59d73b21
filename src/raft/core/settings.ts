import type { Limits, Timings } from './types.ts'

const MIB = 1024 * 1024

/** Proposals of the design's timing table: failover below 1.7 s, no false election up to a stall of about 850 ms. */
export const defaultTimings: Timings = {
  tickMs: 50,
  heartbeatMs: 100,
  electionTimeoutMs: 1000,
  electionJitterMs: 300,
  priorityDelayMs: 150,
  applyLagDelayMs: 300,
  voteRoundMs: 250,
  voteRetryMinMs: 50,
  voteRetryMaxMs: 300,
  goneJitterMs: 150,
  transferTimeoutMs: 1000,
  preferredCheckMs: 1000,
  preferredFitMs: 5000,
  repairIntervalMs: 200,
  offerIntervalMs: 3000,
  offerRetryMs: 5000
}

export const defaultLimits: Limits = {
  windowBytes: 16 * MIB,
  windowFrames: 256,
  frameBytes: MIB,
  uncommittedBytes: 64 * MIB,
  uncommittedEntries: 10_000,
  applyLagLimitBytes: 64 * MIB,
  entryBytes: 16 * MIB,
  tailBytes: 128 * MIB,
  tailEntries: 65_536,
  waitingReads: 1024
}

/** The timings in ticks, each at least one. */
export interface TickTimings {
  readonly heartbeat: number
  readonly election: number
  /** From here on a voter takes its leader for silent: 0.8 T (R-E4). */
  readonly silence: number
  readonly jitter: number
  readonly priorityDelay: number
  readonly applyLagDelay: number
  readonly voteRound: number
  readonly voteRetryMin: number
  readonly voteRetryMax: number
  readonly goneJitter: number
  readonly transfer: number
  readonly preferredCheck: number
  readonly preferredFit: number
  readonly repair: number
  readonly offer: number
  readonly offerRetry: number
  /** An applicant that was not heard of for so long has gone. */
  readonly applicant: number
}

export function toTicks(t: Timings): TickTimings {
  const ticks = (ms: number): number => Math.max(1, Math.ceil(ms / t.tickMs))
  const from0 = (ms: number): number => Math.ceil(ms / t.tickMs)
  const election = ticks(t.electionTimeoutMs)
  return {
    heartbeat: ticks(t.heartbeatMs),
    election,
    silence: Math.max(1, Math.floor(election * 0.8)),
    jitter: from0(t.electionJitterMs),
    priorityDelay: from0(t.priorityDelayMs),
    applyLagDelay: from0(t.applyLagDelayMs),
    voteRound: ticks(t.voteRoundMs),
    voteRetryMin: ticks(t.voteRetryMinMs),
    voteRetryMax: ticks(t.voteRetryMaxMs),
    goneJitter: from0(t.goneJitterMs),
    transfer: ticks(t.transferTimeoutMs),
    preferredCheck: ticks(t.preferredCheckMs),
    preferredFit: ticks(t.preferredFitMs),
    repair: ticks(t.repairIntervalMs),
    offer: ticks(t.offerIntervalMs),
    offerRetry: ticks(t.offerRetryMs),
    applicant: 10 * election
  }
}
