import type { Case } from './cases.ts'
import { medianOf, type Series } from './figures.ts'
import type { Load, Options, RowName } from './options.ts'
import { takeTurns } from './rounds.ts'
import type { System } from './system.ts'

/** What the rows `half` and `curve` send, as shares of what each system took in the closed loop of the same run. */
const SHARES: readonly { row: RowName; share: number }[] = [
  { row: 'half', share: 0.5 },
  { row: 'curve', share: 0.1 },
  { row: 'curve', share: 0.25 },
  { row: 'curve', share: 0.75 },
  { row: 'curve', share: 0.9 }
]

/** Rows `half` and `curve`; `closed` has the load's series of all systems. */
export async function openLoop(
  load: Load,
  closed: readonly Series[],
  systems: readonly System[],
  options: Options
): Promise<Case[]> {
  const cases: Case[] = []
  for (const { row, share } of SHARES.filter(({ row }) => options.rows.includes(row))) {
    const rates = systems.map(({ name }) => {
      const { reports } = closed.find(({ system }) => system === name)!
      return Math.max(
        1,
        Math.round(share * medianOf(reports, ({ messagesPerSecond }) => messagesPerSecond))
      )
    })
    const seconds = row === 'half' ? options.halfSeconds : options.seconds
    const { warmupSeconds } = options
    const measures = systems.map(
      (system, i) => () => system.measure(load, { seconds, warmupSeconds, rate: rates[i]! })
    )
    const reports = await takeTurns(options.rounds, systems, measures)
    for (const [i, { name }] of systems.entries()) {
      const percent = `${100 * share} % of its maximum, ${rates[i]}/s`
      cases.push({ row, system: name, name: percent, reports: reports[i]!, base: null })
    }
  }
  return cases
}
