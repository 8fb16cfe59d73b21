import { describe, SimCluster } from './cluster.ts'
import { Dice } from './dice.ts'
import { Faults } from './faults.ts'
import { guardGlobals } from './guard.ts'
import { describePlan, drawPlan, NOTHING_WANTED, type Plan, type Wanted } from './plan.ts'
import { PopClients } from './pops.ts'
import { Steps } from './steps.ts'
import { Story } from './story.ts'
import { TimedClient } from './timers.ts'
import { Workload } from './workload.ts'

const LOOK_EVERY_EVENTS = 20
/** Runs in which clients consume by POP too. */
const POP_SHARE = 0.4
/** In which an offset is committed in every way that there is. */
const STEPS_SHARE = 0.4
/** In which messages name the time of their delivery. */
const TIMED_SHARE = 0.3
/** In which two members have to go on without the third when the faults are over. */
const ASIDE_SHARE = 0.3

export interface RunResult {
  readonly seed: number
  readonly plan: string
  readonly violations: readonly string[]
  readonly traceHash: string
  readonly events: number
  readonly virtualMs: number
  readonly faults: Readonly<Record<string, number>>
  /** Ids of the faults, in their order. */
  readonly happened: readonly string[]
  readonly lanes: readonly string[]
  readonly faultyMs: number
  readonly acknowledged: number
  readonly delivered: number
  readonly duplicates: number
  /** Messages that were gone by retention at the end. */
  readonly trimmed: number
  readonly committedEntries: number
  readonly statesCompared: number
  readonly elections: number
  readonly registerReads: number
  readonly fatals: readonly string[]
  /** The last lines of all processes' logs. */
  readonly lines: readonly string[]
}

/** What is left out of a run; the rest stays what it is. */
export interface RunCut {
  /** Faults end so soon, ms. */
  readonly untilMs: number | null
  readonly faults: ReadonlySet<string> | null
  readonly lanes: ReadonlySet<string> | null
}

export const WHOLE_RUN: RunCut = { untilMs: null, faults: null, lanes: null }

/** One whole life of a cluster, decided by the seed alone. `change` alters the plan, for tests. */
export async function runSeed(
  seed: number,
  change: (plan: Plan) => Plan = p => p,
  cut: RunCut = WHOLE_RUN,
  wanted: Wanted = NOTHING_WANTED
): Promise<RunResult> {
  const dice = new Dice(seed)
  const drawn = change(drawPlan(seed, dice.fork('plan'), wanted))
  const plan = { ...drawn, faultyMs: Math.min(drawn.faultyMs, cut.untilMs ?? drawn.faultyMs) }
  const cluster = new SimCluster(plan, dice.fork('cluster'))
  const faults = new Faults(cluster, dice.fork('faults'), cut.faults)
  const workload = new Workload(cluster, dice.fork('workload'), cut.lanes)
  const popDice = dice.fork('pops')
  const hasPops = popDice.chance(POP_SHARE) && cut.lanes?.has('pops') !== false
  const pops = hasPops ? new PopClients(cluster, popDice, workload.consumerProcess) : null
  const stepDice = dice.fork('steps')
  const hasSteps = stepDice.chance(STEPS_SHARE) && cut.lanes?.has('steps') !== false
  const steps = hasSteps ? new Steps(cluster, stepDice, workload.consumerProcess) : null
  const timedDice = dice.fork('timed')
  const hasTimed = timedDice.chance(TIMED_SHARE) && cut.lanes?.has('timed') !== false
  const timed = hasTimed ? new TimedClient(cluster, timedDice, workload.consumerProcess) : null
  const others = [hasPops ? 'pops' : '', hasSteps ? 'steps' : '', hasTimed ? 'timed' : '']
  const { scheduler, judge } = cluster
  const rejected = (error: unknown): void => {
    cluster.violation(`a rejection that nobody handled: ${describe(error)}`)
  }
  const release = guardGlobals(what => cluster.violation(what))
  process.on('unhandledRejection', rejected)
  let countdown = LOOK_EVERY_EVENTS
  scheduler.afterEvent = () => {
    if (--countdown > 0) return
    countdown = LOOK_EVERY_EVENTS
    judge.look()
  }
  const asideDice = dice.fork('aside')
  const mayStayDown = !plan.faults.has('members') && !plan.faults.has('wipe')
  const aside =
    asideDice.chance(ASIDE_SHARE) && mayStayDown ? asideDice.pick(cluster.brokers) : null
  const story = new Story(cluster, faults, workload, { pops, steps, timed }, aside)
  scheduler.after(0, null, 'sim', () => {
    story.tell().then(
      () => scheduler.stop(),
      (error: unknown) => {
        if (cluster.violations.length === 0) cluster.violation(describe(error))
      }
    )
  })
  try {
    const ended = await scheduler.run(Number.MAX_SAFE_INTEGER)
    if (ended !== 'stopped') cluster.violation(`the run came to nothing: ${ended}`)
  } finally {
    process.off('unhandledRejection', rejected)
    release()
  }
  return {
    seed,
    plan: describePlan(plan),
    violations: cluster.violations,
    traceHash: scheduler.traceHash,
    events: scheduler.events,
    virtualMs: scheduler.nowMs,
    faults: Object.fromEntries([...faults.counts, ...(steps?.counts ?? []), ...story.counts]),
    happened: faults.happened,
    lanes: [...workload.laneNames, ...others.filter(name => name !== '')],
    faultyMs: plan.faultyMs,
    acknowledged: workload.acknowledged.length,
    delivered: workload.delivered.length,
    duplicates: story.duplicates,
    trimmed: story.trimmed,
    committedEntries: judge.committedCount,
    statesCompared: judge.statesCompared,
    elections: judge.electionsWon,
    registerReads: workload.registerReads,
    fatals: cluster.fatals,
    lines: cluster.log.lines
  }
}
