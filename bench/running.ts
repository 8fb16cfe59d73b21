import type { Series } from './figures.ts'
import { LOADS, type Load, type Options } from './options.ts'
import type { Row } from './results.ts'
import { takeTurns } from './rounds.ts'
import type { System } from './system.ts'

/** Load on each system before the first round. */
const FIRST_LOAD_SECONDS = 10

const running = new Set<System>()
let ending: Promise<unknown> | null = null

/** Ends all systems that run, once. */
export function stopAll(): Promise<unknown> {
  ending ??= Promise.allSettled([...running].map(system => system.stop()))
  return ending
}

/** Ends these, so that what comes next has the machine for itself. */
export async function stop(systems: readonly System[]): Promise<void> {
  await Promise.all(systems.map(system => system.stop()))
  for (const system of systems) running.delete(system)
}

/** Resolves to null when the system serves, otherwise to the reason why it is left out. */
export async function start(system: System): Promise<string | null> {
  running.add(system)
  return system.start()
}

/** Those of the peers that serve; a word about each other one. */
export async function startPeers(peers: readonly System[]): Promise<System[]> {
  const serving: System[] = []
  for (const peer of peers) {
    const reason = await start(peer).catch((error: Error) => error.message)
    if (reason === null) serving.push(peer)
    else console.error(`Left out, ${peer.name}: ${reason}.`)
  }
  return serving
}

/** Nobody's first seconds count: a JVM and V8 compile in them. */
export async function warmUp(systems: readonly System[]): Promise<void> {
  const timing = { seconds: FIRST_LOAD_SECONDS, warmupSeconds: 0, rate: null }
  for (const system of systems) await system.measure(LOADS[0]!, timing)
}

/** One load in a closed loop, in rounds. */
export async function measureRow(
  load: Load,
  systems: readonly System[],
  { seconds, warmupSeconds, rounds }: Options
): Promise<Row> {
  const timing = { seconds, warmupSeconds, rate: null }
  const measures = systems.map(system => () => system.measure(load, timing))
  const reports = await takeTurns(rounds, systems, measures)
  const series = systems.map(
    ({ name, space }, i): Series => ({ system: name, space, reports: reports[i]! })
  )
  return { load, series: series.filter(each => each.reports.length > 0) }
}
