import type { Options } from './options.ts'
import type { System } from './system.ts'
import type { Report } from './window.ts'

/** One of those that are measured in turn. Null: it has nothing like that. */
export type Measure = () => Promise<Report | null>

/**
 * All reports of each, in the order of the rounds: in each round every one is measured once, each round beginning with another one.
 * Before each measurement the systems come to rest.
 */
export async function takeTurns(
  rounds: Options['rounds'],
  systems: readonly System[],
  measures: readonly Measure[]
): Promise<Report[][]> {
  const reports = measures.map((): Report[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < measures.length; turn += 1) {
      const i = (turn + round) % measures.length
      for (const system of systems) await system.rest?.()
      const report = await measures[i]!()
      if (report !== null) reports[i]!.push(report)
    }
  }
  return reports
}
