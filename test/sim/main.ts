/**
 * The simulations (raft.md 5.2): the whole cluster in one thread, on simulated time, chance, disks and wires, and the bare
 * cores, of which there are far more schedules.
 *
 * `npm run sim -- --help` shows the options.
 *
 * Many seeds: a progress line, faults by kind and role, how often each rule decided something, and for each seed that fails
 * the command that plays it again. One seed: its plan, its log, and what came of it; the trace hash is the same each time.
 * `--minimize` leaves out what is not needed to fail and prints the command for the rest (--steps, --only-steps; --until,
 * --only-faults, --only-lanes). Ends with status 1 when something does not hold, or a long campaign never came to something.
 */
import process from 'node:process'
import { Command, InvalidArgumentError, Option } from 'commander'
import { Campaign, type Depth } from './campaign.ts'
import { replayCore, usualCore } from './coreRun.ts'
import { CLUSTER_EXPECTED, CORE_EXPECTED } from './expected.ts'
import { replayCluster } from './minimize.ts'
import { type FaultKind, isFaultKind, type Wanted } from './plan.ts'
import type { RunCut } from './run.ts'
import { parseRanges } from './shrink.ts'

interface Options {
  depth: Depth
  seed?: number
  seeds: string
  workers: number
  minutes?: number
  lines: number
  first?: true
  minimize?: true
  with?: FaultKind[]
  flush?: 'sync' | 'async'
  steps?: number
  until?: number
  onlyFaults?: ReadonlySet<string>
  onlyLanes?: ReadonlySet<string>
  onlySteps?: readonly number[]
}

const values = new Command('sim')
  .description(
    'Plays schedules of faults: whole clusters, or bare cores, on simulated time, disks and wires.'
  )
  .addOption(
    new Option('--depth <depth>', 'what is played').choices(['cluster', 'core']).default('cluster')
  )
  .option('--seeds <first..last>', 'these, one after the other', '1..100')
  .option('--workers <number>', 'processes that share them', wholeNumber, 1)
  .option('--minutes <number>', 'at most', wholeNumber)
  .option('--first', 'end with the first seed that fails')
  .option('--with <faults>', 'these faults in every run, with commas', faultKinds)
  .addOption(
    new Option('--flush <mode>', 'this flush mode in every run').choices(['sync', 'async'])
  )
  .option('--seed <number>', 'one, with its log', wholeNumber)
  .option('--lines <number>', 'of its log', wholeNumber, 100)
  .option(
    '--minimize',
    'leave out what it does not need to fail, and print the command for the rest'
  )
  .option('--steps <number>', 'core: no more than these', wholeNumber)
  .option('--only-steps <ranges>', 'core: these alone', parseRanges)
  .option('--until <ms>', 'cluster: disturbed no longer', wholeNumber)
  .option('--only-faults <names>', 'cluster: these of its faults', names)
  .option('--only-lanes <names>', 'cluster: these of its clients', names)
  .parse()
  .opts<Options>()
const { depth } = values
const wanted: Wanted = { faults: values.with ?? [], flush: values.flush ?? null }
const print = (text: string): void => console.log(text)

function wholeNumber(text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0)
    throw new InvalidArgumentError('Use a whole number.')
  return number
}

function faultKinds(text: string): FaultKind[] {
  return text.split(',').map(name => {
    if (!isFaultKind(name)) throw new InvalidArgumentError(`There is no fault ${name}.`)
    return name
  })
}

function names(text: string): ReadonlySet<string> {
  return new Set(text.split(',').filter(name => name !== ''))
}

async function playOne(seed: number): Promise<boolean> {
  const minimize = values.minimize === true
  if (depth === 'core') {
    const { steps = usualCore.steps, onlySteps: only = null } = values
    return replayCore(seed, { steps, only }, minimize, print)
  }
  const cut: RunCut = {
    untilMs: values.until ?? null,
    faults: values.onlyFaults ?? null,
    lanes: values.onlyLanes ?? null
  }
  return replayCluster(seed, cut, wanted, minimize, values.lines, print)
}

async function playMany(range: string): Promise<boolean> {
  const [first = '', last = first] = range.split('..')
  const campaign = new Campaign({
    depth,
    expected: depth === 'core' ? CORE_EXPECTED : CLUSTER_EXPECTED,
    firstSeed: wholeNumber(first),
    lastSeed: wholeNumber(last),
    workers: Math.max(1, values.workers),
    timeMs: values.minutes === undefined ? null : values.minutes * 60_000,
    first: values.first === true,
    wanted,
    print
  })
  return campaign.run()
}

const whole = values.seed === undefined ? await playMany(values.seeds) : await playOne(values.seed)
process.exit(whole ? 0 : 1)
