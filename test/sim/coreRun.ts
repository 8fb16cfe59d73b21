import { Coverage, Simulation, USUAL_STEPS } from '../raft/core/simulate.ts'
import { showRanges, shrinkCount, shrinkList } from './shrink.ts'

/** Schedules of the bare cores as a campaign plays them: test/raft/core/simulate.ts says what one is. */

const TRACE_LINES = 200

export interface CoreRun {
  readonly seed: number
  readonly violation: string | null
}

export interface CoreOptions {
  readonly steps: number
  /** Only these steps; null: all. */
  readonly only: readonly number[] | null
}

export const usualCore: CoreOptions = { steps: USUAL_STEPS, only: null }

/** What is wrong, in one line, or null; with `trace` also what happened. */
export function playCore(
  seed: number,
  coverage: Coverage,
  { steps, only }: CoreOptions,
  trace: string[] | null = null
): string | null {
  const without = only === null ? undefined : complement(steps, only)
  const traced = trace !== null
  const simulation = new Simulation(
    { seed, steps, traced, ...(without === undefined ? {} : { without }) },
    coverage
  )
  try {
    simulation.run()
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    trace?.push(...simulation.trace)
  }
}

function complement(steps: number, only: readonly number[]): Set<number> {
  const kept = new Set(only)
  const without = new Set<number>()
  for (let step = 0; step < steps; step++) if (!kept.has(step)) without.add(step)
  return without
}

/** The same schedule with as few steps as still break the same invariant. */
export async function minimizeCore(seed: number, violation: string): Promise<CoreOptions> {
  const broken = kindOf(violation)
  const fails = (o: CoreOptions): boolean => {
    const found = playCore(seed, new Coverage(), o)
    return found !== null && kindOf(found) === broken
  }
  const steps = await shrinkCount(USUAL_STEPS, async n => fails({ steps: n, only: null }))
  const all = Array.from({ length: steps }, (_, step) => step)
  const only = await shrinkList(all, async kept => fails({ steps, only: kept }))
  return { steps, only }
}

/** Without the numbers and names of one run. */
export function kindOf(violation: string): string {
  return violation
    .replace(/^at [\d.]+ ms: /, '')
    .split('\n')[0]!
    .replace(/(\bn\d+'*|\d+)/g, '#')
    .slice(0, 40)
}

export function coreCommand(seed: number, { steps, only }: CoreOptions): string {
  const cut = steps === USUAL_STEPS ? '' : ` --steps ${steps}`
  const kept = only === null ? '' : ` --only-steps ${showRanges(only)}`
  return `npm run sim -- --depth core --seed ${seed}${cut}${kept}`
}

/** One schedule with all that happened at its end; true when it held. */
export async function replayCore(
  seed: number,
  options: CoreOptions,
  minimize: boolean,
  print: (text: string) => void
): Promise<boolean> {
  let chosen = options
  const first = playCore(seed, new Coverage(), options)
  if (first !== null && minimize) chosen = await minimizeCore(seed, first)
  const trace: string[] = []
  const violation = playCore(seed, new Coverage(), chosen, trace)
  for (const line of trace.slice(-TRACE_LINES)) print(line)
  if (violation === null) {
    print(`seed ${seed} holds`)
    return true
  }
  print(`VIOLATION ${violation}`)
  if (chosen.only !== null) print(`${chosen.only.length} steps are left of ${options.steps}`)
  print(`again: ${coreCommand(seed, chosen)}`)
  return false
}
