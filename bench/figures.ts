import type { Space } from './options.ts'
import type { Report } from './window.ts'

/** All reports of one system under one load, in the order of the rounds. */
export interface Series {
  system: string
  space: Space
  reports: Report[]
}

/** The middle one; of an even number the mean of the two in the middle. NaN for none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]!
  return sorted.length === 0 ? Number.NaN : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * How `ours` stands to `theirs` in throughput: the median of the rounds' own ratios. What slows the whole machine in one round
 * slows both sides of that round's ratio. NaN when there is nothing to compare.
 */
export function ratio(ours: readonly Report[], theirs: readonly Report[]): number {
  return medianRatio(ours, theirs, report => report.messagesPerSecond)
}

/** The same of any figure. NaN where one of the reports lacks it. */
export function medianRatio(
  some: readonly Report[],
  others: readonly Report[],
  pick: (report: Report) => number | undefined
): number {
  const rounds = Math.min(some.length, others.length)
  const ratios = Array.from(
    { length: rounds },
    (_, i) => (pick(some[i]!) ?? Number.NaN) / (pick(others[i]!) ?? Number.NaN)
  )
  return ratios.some(Number.isNaN) ? Number.NaN : median(ratios)
}

/** A missing figure of one report makes the median of all of them unknown. */
export function medianOf(
  reports: readonly Report[],
  pick: (report: Report) => number | undefined
): number {
  const numbers = reports.map(pick)
  return numbers.includes(undefined) ? Number.NaN : median(numbers as number[])
}

export const TABLE_HEAD: readonly string[] = [
  '| load | system | messages/s | lowest – highest | of the floor | ours is | p50 ms | p99 ms | p99.9 ms | leader µs | follower µs | load µs | leader MiB |',
  '|---|---|---|---|---|---|---|---|---|---|---|---|---|'
]

/** One line of the table; `floor` and `ours` are the series of the same load, where there are such. */
export function tableLine(
  load: string,
  series: Series,
  floor: Series | undefined,
  ours: Series | undefined
): string {
  const { reports } = series
  const rates = reports.map(report => report.messagesPerSecond)
  const number = (pick: (report: Report) => number | undefined, digits: number): string =>
    known(medianOf(reports, pick), value => value.toFixed(digits))
  const ofFloor =
    floor === undefined || floor === series ? Number.NaN : ratio(reports, floor.reports)
  const oursIs = ours === undefined || ours === series ? Number.NaN : ratio(ours.reports, reports)
  const cells = [
    load,
    series.system,
    number(report => report.messagesPerSecond, 0),
    `${Math.min(...rates)} – ${Math.max(...rates)}`,
    known(ofFloor, value => `${Math.round(100 * value)} %`),
    known(oursIs, value => `${value.toFixed(2)} ×`),
    number(report => report.p50Ms, 2),
    number(report => report.p99Ms, 2),
    number(report => report.p999Ms, 2),
    number(report => report.cpuMicrosPerMessage['leader'], 1),
    number(followerMicros, 1),
    number(report => report.cpuMicrosPerMessage['load'], 1),
    number(report => report.residentMb['leader'], 0)
  ]
  return `| ${cells.join(' | ')} |`
}

/** Mean of the two followers: which of them is asked first is chance. */
export function followerMicros({ cpuMicrosPerMessage: micros }: Report): number | undefined {
  const [first, second] = [micros['follower1'], micros['follower2']]
  return first === undefined || second === undefined ? undefined : (first + second) / 2
}

/** The value as `show` writes it; a dash for NaN. */
export function known(value: number, show: (value: number) => string): string {
  return Number.isNaN(value) ? '–' : show(value)
}

/**
 * What ours must reach of the floor's throughput (1 KiB, 4 × 64) in the short run. Two cores alone gave medians from 0.32 to 0.44 in slow and
 * fast hours of the host, 0.42 beside a chaos run; what falls a third below the lowest of them is no longer noise.
 */
export const GUARD_RATIO = 0.2

/** Passed, and the sentence to print. A ratio that is not known does not pass. */
export function guardVerdict(value: number): { passed: boolean; sentence: string } {
  const passed = value >= GUARD_RATIO
  const percent = (part: number): string => `${Math.round(100 * part)} %`
  return {
    passed,
    sentence: `ours reaches ${percent(value)} of the floor; the guard asks for ${percent(GUARD_RATIO)}: ${passed ? 'passed' : 'FAILED'}`
  }
}
