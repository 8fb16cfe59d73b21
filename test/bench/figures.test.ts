import t from 'tap'
import {
  GUARD_RATIO,
  guardVerdict,
  median,
  medianOf,
  ratio,
  type Series,
  tableLine
} from '../../bench/figures.ts'
import type { Report } from '../../bench/window.ts'

function report(messagesPerSecond: number, more: Partial<Report> = {}): Report {
  return { messagesPerSecond, cpuMicrosPerMessage: {}, residentMb: {}, ...more }
}

function series(system: string, ...rates: number[]): Series {
  return { system, space: 'warm', reports: rates.map(rate => report(rate)) }
}

function cells(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim())
}

t.test('the median is the middle by size, not by order', async t => {
  t.equal(median([10, 9, 100]), 10)
  t.equal(median([7]), 7)
})

t.test('the median of an even number lies between the two in the middle', async t => {
  t.equal(median([4, 1, 100, 2]), 3)
})

t.test('the median of nothing is not a number, and leaves its input as it was', async t => {
  t.ok(Number.isNaN(median([])))
  const numbers = [3, 1, 2]
  median(numbers)
  t.same(numbers, [3, 1, 2])
})

t.test('a ratio is taken within each round, then over the rounds', async t => {
  // The machine was ten times slower in the second round, for both.
  const ours = [report(500), report(60), report(400)]
  const theirs = [report(1000), report(100), report(1000)]
  t.equal(ratio(ours, theirs), 0.5)
})

t.test('rounds that one side lacks do not count', async t => {
  t.equal(ratio([report(1), report(9)], [report(2)]), 0.5)
  t.ok(Number.isNaN(ratio([report(1)], [])))
})

t.test('a figure that one report lacks is unknown', async t => {
  const reports = [report(1, { p50Ms: 2 }), report(1)]
  t.ok(Number.isNaN(medianOf(reports, ({ p50Ms }) => p50Ms)))
  t.equal(
    medianOf(reports.slice(0, 1), ({ p50Ms }) => p50Ms),
    2
  )
})

t.test('a line shows medians, spread, both ratios and the mean of the followers', async t => {
  const ours: Series = {
    system: 'ours',
    space: 'warm',
    reports: [
      report(50, {
        p50Ms: 1.234,
        p99Ms: 5,
        p999Ms: 6.5,
        cpuMicrosPerMessage: { leader: 8.04, follower1: 2, follower2: 4, load: 5 },
        residentMb: { leader: 321 }
      })
    ]
  }
  const floor = series('floor', 200)
  const peer = series('peer', 20, 30, 25)
  t.same(cells(tableLine('1 KiB', ours, floor, ours)), [
    ...['1 KiB', 'ours', '50', '50 – 50', '25 %', '–'],
    ...['1.23', '5.00', '6.50', '8.0', '3.0', '5.0', '321']
  ])
  t.same(cells(tableLine('1 KiB', peer, floor, ours)), [
    ...['1 KiB', 'peer', '25', '20 – 30', '10 %', '2.50 ×'],
    ...['–', '–', '–', '–', '–', '–', '–']
  ])
  t.equal(cells(tableLine('1 KiB', floor, floor, ours))[4], '–')
})

t.test('the guard passes at its ratio, fails below it and when there is no ratio', async t => {
  t.equal(guardVerdict(GUARD_RATIO).passed, true)
  t.match(guardVerdict(GUARD_RATIO).sentence, 'passed')
  t.equal(guardVerdict(GUARD_RATIO - 0.001).passed, false)
  t.match(guardVerdict(GUARD_RATIO - 0.001).sentence, 'FAILED')
  t.equal(guardVerdict(Number.NaN).passed, false)
})
