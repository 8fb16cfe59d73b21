import { kindOf } from './coreRun.ts'
import type { Wanted } from './plan.ts'
import { type RunCut, type RunResult, runSeed, WHOLE_RUN } from './run.ts'
import { shrinkCount, shrinkList } from './shrink.ts'

/** A seed of the whole cluster again, whole or in part, and as short as it still fails (raft.md 5.6). */

export function clusterCommand(
  seed: number,
  { untilMs, faults, lanes }: RunCut,
  wanted: Wanted
): string {
  const until = untilMs === null ? '' : ` --until ${untilMs}`
  const kept = faults === null ? '' : ` --only-faults '${[...faults].join()}'`
  const working = lanes === null ? '' : ` --only-lanes '${[...lanes].join()}'`
  const asked = wanted.faults.length === 0 ? '' : ` --with ${wanted.faults.join()}`
  const flush = wanted.flush === null ? '' : ` --flush ${wanted.flush}`
  return `npm run sim -- --seed ${seed}${asked}${flush}${until}${kept}${working}`
}

/** The shortest disturbed time, then the fewest faults, then the fewest clients that still break the same thing. */
export async function minimizeCluster(
  seed: number,
  failed: RunResult,
  wanted: Wanted,
  print: (text: string) => void
): Promise<RunCut> {
  const broken = kindOf(failed.violations[0]!)
  let plays = 0
  const fails = async (cut: RunCut): Promise<boolean> => {
    plays += 1
    const { violations } = await runSeed(seed, undefined, cut, wanted)
    return violations[0] !== undefined && kindOf(violations[0]) === broken
  }
  const untilMs = await shrinkCount(Math.ceil(failed.faultyMs), ms =>
    fails({ ...WHOLE_RUN, untilMs: ms })
  )
  const short = { ...WHOLE_RUN, untilMs }
  const { happened, lanes } = await runSeed(seed, undefined, short, wanted)
  const keptFaults = await shrinkList([...new Set(happened)], kept =>
    fails({ ...short, faults: new Set(kept) })
  )
  const few = { ...short, faults: new Set(keptFaults) }
  const keptLanes = await shrinkList(lanes, kept => fails({ ...few, lanes: new Set(kept) }))
  print(
    `${plays} runs: ${keptFaults.length} of ${happened.length} faults and ${keptLanes.length} of ${lanes.length} clients are left`
  )
  return { ...few, lanes: new Set(keptLanes) }
}

/** Prints the run's plan, the end of its log and what came of it; true when it held. */
export async function replayCluster(
  seed: number,
  cut: RunCut,
  wanted: Wanted,
  minimize: boolean,
  lines: number,
  print: (text: string) => void
): Promise<boolean> {
  let chosen = cut
  let result = await runSeed(seed, undefined, chosen, wanted)
  if (minimize && result.violations.length > 0) {
    chosen = await minimizeCluster(seed, result, wanted, print)
    result = await runSeed(seed, undefined, chosen, wanted)
  }
  const { lines: log, violations, happened, ...rest } = result
  if (lines > 0) for (const line of log.slice(-lines)) print(line)
  console.log(rest)
  print(`faults in their order: ${happened.join(' ')}`)
  for (const violation of violations) print(`VIOLATION ${violation}`)
  if (violations.length > 0) print(`again: ${clusterCommand(seed, chosen, wanted)}`)
  return violations.length === 0
}
