/**
 * The simulations (raft.md 5.2): the whole cluster in one thread, on simulated time, chance, disks and wires, and the bare
 * cores, of which there are far more schedules.
 *
 *   npm run sim -- --seeds 1..1000 [--depth core] [--workers 2] [--minutes 10] [--first]
 *   npm run sim -- --seeds 1..60 --with bitRot,kill --flush sync     (these faults in every run)
 *   npm run sim -- --seed 17 [--depth core] [--lines 200] [--minimize]
 *
 * Many seeds: a progress line, faults by kind and role, how often each rule decided something, and for each seed that fails
 * the command that plays it again. One seed: its plan, its log, and what came of it; the trace hash is the same each time.
 * `--minimize` leaves out what is not needed to fail and prints the command for the rest (--steps, --only-steps; --until,
 * --only-faults, --only-lanes). Ends with status 1 when something does not hold, or a long campaign never came to something.
 */
import process from 'node:process'
import { parseArgs } from 'node:util'
import { Campaign, type Depth } from './campaign.ts'
import { replayCore, usualCore } from './coreRun.ts'
import { CLUSTER_EXPECTED, CORE_EXPECTED } from './expected.ts'
import { replayCluster } from './minimize.ts'
import { isFaultKind, type Wanted } from './plan.ts'
import type { RunCut } from './run.ts'
import { parseRanges } from './shrink.ts'

const { values } = parseArgs({
  options: {
    depth: { type: 'string', default: 'cluster' },
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1..100' },
    workers: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    lines: { type: 'string', default: '100' },
    first: { type: 'boolean', default: false },
    minimize: { type: 'boolean', default: false },
    with: { type: 'string' },
    flush: { type: 'string' },
    steps: { type: 'string' },
    until: { type: 'string' },
    'only-faults': { type: 'string' },
    'only-lanes': { type: 'string' },
    'only-steps': { type: 'string' }
  }
})
const depth: Depth = values.depth === 'core' ? 'core' : 'cluster'
const flush = values.flush === 'sync' || values.flush === 'async' ? values.flush : null
const wanted: Wanted = { faults: (values.with ?? '').split(',').filter(isFaultKind), flush }
const print = (text: string): void => console.log(text)

function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new Error(`--${name} ${text}: use a whole number`)
  }
  return number
}

function playCore(seed: number): Promise<boolean> {
  const steps = values.steps === undefined ? usualCore.steps : wholeNumber('steps', values.steps)
  const kept = values['only-steps']
  const only = kept === undefined ? null : parseRanges(kept)
  return replayCore(seed, { steps, only }, values.minimize, print)
}

function names(text: string | undefined): ReadonlySet<string> | null {
  return text === undefined ? null : new Set(text.split(',').filter(name => name !== ''))
}

async function playOne(seed: number): Promise<boolean> {
  if (depth === 'core') return playCore(seed)
  const cut: RunCut = {
    untilMs: values.until === undefined ? null : wholeNumber('until', values.until),
    faults: names(values['only-faults']),
    lanes: names(values['only-lanes'])
  }
  return replayCluster(
    seed,
    cut,
    wanted,
    values.minimize,
    wholeNumber('lines', values.lines),
    print
  )
}

async function playMany(range: string): Promise<boolean> {
  const [first = '', last = first] = range.split('..')
  const campaign = new Campaign({
    depth,
    expected: depth === 'core' ? CORE_EXPECTED : CLUSTER_EXPECTED,
    firstSeed: wholeNumber('seeds', first),
    lastSeed: wholeNumber('seeds', last),
    workers: Math.max(1, wholeNumber('workers', values.workers)),
    timeMs: values.minutes === undefined ? null : Number(values.minutes) * 60_000,
    first: values.first,
    wanted,
    print
  })
  return campaign.run()
}

const whole =
  values.seed === undefined
    ? await playMany(values.seeds)
    : await playOne(wholeNumber('seed', values.seed))
process.exit(whole ? 0 : 1)
