import type { Dice } from './dice.ts'

export const FAULTS = [
  'kill',
  'killAll',
  'killLeader',
  'powerLoss',
  'powerLossAll',
  'isolate',
  'split',
  'oneWay',
  'flap',
  'cut',
  'slowLink',
  'slowDisk',
  'diskStall',
  'stall',
  'stallClient',
  'clockJump',
  'restart',
  'failWrite',
  'failSync',
  'failRead',
  'failState',
  'diskFull',
  'bitRot',
  'rotAtStart',
  'hardCase',
  'wipe',
  'killNameServer',
  'transfer',
  'trim',
  'members',
  'killInElection'
] as const
export type FaultKind = (typeof FAULTS)[number]

/** What a seed decides before the start: each run draws its own subset of faults and its own rates (swarm). */
export interface Plan {
  readonly seed: number
  readonly syncFlush: boolean
  readonly flushIntervalMs: number
  readonly segmentBytes: number
  /** Age at which a segment may go; null: nothing goes. */
  readonly reservedMs: number | null
  readonly queueFileBytes: number
  readonly latencyMs: number
  readonly windowBytes: number
  readonly diskMs: number
  readonly syncMs: number
  readonly clockDrift: boolean
  /** Mean time between two faults of the kind, ms of virtual time; 0 for what comes with an event. */
  readonly faults: ReadonlyMap<FaultKind, number>
  /** How long a fault lasts at most. */
  readonly spanMaxMs: number
  readonly faultyMs: number
  /** Short elections, for runs with many of them; null: the usual ones. */
  readonly raftTimings: Readonly<Record<string, number>> | null
  readonly lanes: number
  readonly batchLanes: number
  readonly delayLanes: number
  readonly transactionLanes: number
  /** Share of deliveries that the shared group sends back to be delivered again. */
  readonly laterShare: number
  readonly pauseMs: number
  readonly bodyBytesMax: number
  readonly orderly: boolean
}

const FAULT_SHARE = 0.25
const ROT_SHARE = 0.5
const LATER_FAULTS: readonly FaultKind[] = ['trim', 'members', 'rotAtStart']
/** What takes acknowledged entries from a disk. */
const HARMS: readonly FaultKind[] = [
  'powerLoss',
  'failWrite',
  'failSync',
  'failRead',
  'bitRot',
  'rotAtStart',
  'hardCase'
]
/** The smallest that there may be. */
const SEGMENT_BYTES_MIN = 65_536
const TRIMMED_PAUSE_MS_MAX = 50
const BODY_BYTES = [20, 20, 200, 200, 200, 2_000, 2_000, 2_000, 20_000]
/** Runs with few messages and many elections. */
const STORM_SHARE = 0.35
const STORM_TIMINGS = {
  electionTimeoutMs: 300,
  electionJitterMs: 100,
  heartbeatMs: 50,
  voteRoundMs: 100,
  voteRetryMinMs: 20,
  voteRetryMaxMs: 100
}

export function drawPlan(seed: number, dice: Dice, wanted: Wanted = NOTHING_WANTED): Plan {
  const drawnSync = dice.chance(0.6)
  const syncFlush = wanted.flush === null ? drawnSync : wanted.flush === 'sync'
  const storm = dice.chance(STORM_SHARE)
  const faults = new Map<FaultKind, number>()
  const draw = (kind: FaultKind, from: Dice): void => {
    const meanMs = storm ? from.skewed(300, 5_000) : from.skewed(1_500, 20_000)
    if (from.chance(FAULT_SHARE) || wanted.faults.includes(kind)) faults.set(kind, meanMs)
  }
  for (const kind of FAULTS) if (!LATER_FAULTS.includes(kind)) draw(kind, dice)
  // Chance of their own: the seeds of before them mean what they meant.
  const later = dice.fork('later')
  draw('trim', later)
  draw('members', later)
  // What comes with a start needs starts, and a log that others do not have yet.
  const rot = dice.fork('rotAtStart')
  const mayRot = faults.has('killAll') && rot.chance(ROT_SHARE)
  if (mayRot || wanted.faults.includes('rotAtStart')) faults.set('rotAtStart', 0)
  // What one disk has lost for good, no other may lose for a time: those that are not whole would need its vote (R-D6w).
  if (faults.has('wipe')) {
    for (const kind of [...HARMS, 'powerLossAll', 'killInElection', 'members'] as const) {
      faults.delete(kind)
    }
  }
  // Each disk may lose what it had: nobody could tell what a majority of which members has left.
  if (!syncFlush && faults.has('powerLossAll')) faults.delete('members')
  // Without fsync a power loss of all takes acknowledged messages: only what is left then has to agree, so no other harm.
  if (!syncFlush && faults.has('powerLossAll')) for (const kind of HARMS) faults.delete(kind)
  const segmentBytes = dice.pick([65_536, 262_144, 1_048_576])
  const plan: Plan = {
    seed,
    syncFlush,
    flushIntervalMs: dice.pick([10, 50, 500]),
    segmentBytes,
    reservedMs: null,
    queueFileBytes: dice.pick([200, 2_000, 20_000]),
    latencyMs: dice.skewed(0.05, 10),
    windowBytes: dice.pick([16_384, 262_144, 4_194_304]),
    diskMs: dice.skewed(0.02, 1),
    syncMs: dice.skewed(0.1, 10),
    clockDrift: dice.chance(0.3),
    faults,
    spanMaxMs: storm ? 2_000 : 15_000,
    faultyMs: dice.between(5_000, 30_000),
    raftTimings: storm ? STORM_TIMINGS : null,
    lanes: 1 + dice.below(storm ? 2 : 4),
    batchLanes: dice.below(3),
    delayLanes: dice.below(2),
    transactionLanes: dice.below(2),
    laterShare: dice.chance(0.3) ? 0.1 : 0,
    // Few runs have much traffic: it costs the most time and meets the least.
    pauseMs: storm ? dice.skewed(20, 200) : dice.skewed(dice.chance(0.1) ? 1 : 8, 200),
    // A batch must fit into a segment.
    bodyBytesMax: Math.min(dice.pick(BODY_BYTES), segmentBytes / 16),
    orderly: dice.chance(0.3)
  }
  return faults.has('trim') ? { ...plan, ...trimmed(later) } : plan
}

/** Where the log's beginning goes there must be several segments, made of few messages. */
function trimmed(dice: Dice): Partial<Plan> {
  const segmentBytes = SEGMENT_BYTES_MIN
  return {
    segmentBytes,
    bodyBytesMax: segmentBytes / 16,
    reservedMs: dice.skewed(100, 3_000),
    pauseMs: dice.skewed(8, TRIMMED_PAUSE_MS_MAX),
    // What waits keeps the log: often nothing does.
    ...(dice.chance(0.5) ? { delayLanes: 0, transactionLanes: 0, laterShare: 0 } : {})
  }
}

/** What a hunt asks of every run: these faults, this flush mode. */
export interface Wanted {
  readonly faults: readonly FaultKind[]
  readonly flush: 'sync' | 'async' | null
}

export const NOTHING_WANTED: Wanted = { faults: [], flush: null }

export function isFaultKind(name: string): name is FaultKind {
  return (FAULTS as readonly string[]).includes(name)
}

export function describePlan(plan: Plan): string {
  const { faults, raftTimings, ...rest } = plan
  const kinds = [...faults].map(([kind, ms]) => `${kind}/${Math.round(ms)}`)
  const rounded = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`
  )
  return `${rounded.join(' ')} ${raftTimings === null ? '' : 'storm '}faults=${kinds.join(',') || 'none'}`
}
