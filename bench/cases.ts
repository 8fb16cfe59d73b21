import { followerMicros, known, medianOf, medianRatio } from './figures.ts'
import type { RowName } from './options.ts'
import type { Report } from './window.ts'

/** Something that was measured in rounds, beside another case that it is compared with. */
export interface Case {
  row: RowName
  system: string
  name: string
  reports: Report[]
  /** Null: it is itself what others are compared with, or there is nothing to compare. */
  base: Case | null
}

export const CASES_HEAD: readonly string[] = [
  '| row | system | case | messages/s | of the base | p50 ms | p99 ms | of the base | p99.9 ms | longest pause ms | leader µs | follower µs | leader MiB |',
  '|---|---|---|---|---|---|---|---|---|---|---|---|---|'
]

/** One line of the table: medians of the rounds, but the longest pause of all of them. */
export function caseLine({ row, system, name, reports, base }: Case): string {
  const number = (pick: (report: Report) => number | undefined, digits: number): string =>
    known(medianOf(reports, pick), value => value.toFixed(digits))
  const ofBase = (pick: (report: Report) => number | undefined): string =>
    known(base === null ? Number.NaN : medianRatio(reports, base.reports, pick), value =>
      value.toFixed(2)
    )
  const cells = [
    row,
    system,
    name,
    number(report => report.messagesPerSecond, 0),
    ofBase(report => report.messagesPerSecond),
    number(report => report.p50Ms, 2),
    number(report => report.p99Ms, 2),
    ofBase(report => report.p99Ms),
    number(report => report.p999Ms, 2),
    known(longestPauseMs(reports), value => value.toFixed(0)),
    number(report => report.cpuMicrosPerMessage['leader'], 1),
    number(followerMicros, 1),
    number(report => report.residentMb['leader'], 0)
  ]
  return `| ${cells.join(' | ')} |`
}

/** Of all rounds; NaN where one does not know. */
function longestPauseMs(reports: readonly Report[]): number {
  const pauses = reports.map(report => report.longestPauseMs ?? Number.NaN)
  return pauses.length === 0 ? Number.NaN : Math.max(...pauses)
}

/** An open loop that did not reach its rate says nothing about latencies at that rate. */
const KEPT_UP = 0.98

/** What makes a case doubtful; null for nothing. */
export function doubt({ row, system, name, reports }: Case): string | null {
  const late = reports.filter(
    ({ targetPerSecond, messagesPerSecond }) =>
      targetPerSecond !== undefined && messagesPerSecond < KEPT_UP * targetPerSecond
  )
  const refused = reports.reduce((sum, report) => sum + (report.refused ?? 0), 0)
  const doubts = [
    ...(late.length > 0 ? [`did not keep up in ${late.length} of ${reports.length} rounds`] : []),
    ...(refused > 0 ? [`${refused} refused, the last: ${lastRefusal(reports)}`] : [])
  ]
  return doubts.length === 0 ? null : `${system}, ${row}, ${name}: ${doubts.join('; ')}`
}

/** Of the last report that has one. */
export function lastRefusal(reports: readonly Report[]): string | undefined {
  return reports.findLast(report => report.lastRefusal !== undefined)?.lastRefusal
}
