import t from 'tap'
import { CASES_HEAD, type Case, caseLine, doubt } from '../../bench/cases.ts'
import { chartsOf, cpuMicros, latencyPoints } from '../../bench/charts.ts'
import { LOADS, parseOptions } from '../../bench/options.ts'
import { producerLines } from '../../bench/peers/javaProducer.ts'
import { type Result, saved } from '../../bench/results.ts'
import { startLine } from '../../bench/start.ts'
import type { Report } from '../../bench/window.ts'

function report(messagesPerSecond: number, more: Partial<Report> = {}): Report {
  return { messagesPerSecond, cpuMicrosPerMessage: {}, residentMb: {}, ...more }
}

function caseOf(reports: Report[], base: Case | null = null, name = 'a case'): Case {
  return { row: 'half', system: 'ours', name, reports, base }
}

function cells(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map(cell => cell.trim())
}

t.test('a case shows medians, but the longest pause of all rounds', async t => {
  const rounds = [
    report(10, { p50Ms: 1, p99Ms: 2, p999Ms: 3, longestPauseMs: 7 }),
    report(30, { p50Ms: 3, p99Ms: 4, p999Ms: 5, longestPauseMs: 90 }),
    report(20, { p50Ms: 2, p99Ms: 3, p999Ms: 4, longestPauseMs: 8 })
  ]
  const line = cells(caseLine(caseOf(rounds)))
  t.equal(line.length, cells(CASES_HEAD[0]!).length)
  t.same(line, [
    ...['half', 'ours', 'a case', '20', '–', '2.00', '3.00', '–', '4.00', '90'],
    ...['–', '–', '–']
  ])
})

t.test('a case is compared with its base round by round', async t => {
  // The machine was ten times slower in the second round, for both.
  const base = caseOf([report(100, { p99Ms: 1 }), report(10, { p99Ms: 10 })])
  const line = cells(caseLine(caseOf([report(80, { p99Ms: 2 }), report(8, { p99Ms: 20 })], base)))
  t.equal(line[4], '0.80')
  t.equal(line[7], '2.00')
})

t.test('an open loop that falls behind its rate, and what was refused, are told', async t => {
  t.equal(doubt(caseOf([report(99, { targetPerSecond: 100 })])), null)
  t.match(doubt(caseOf([report(90, { targetPerSecond: 100 })])), /keep up in 1 of 1 rounds/)
  const refused = report(9, { refused: 3, lastRefusal: 'code 1' })
  t.match(doubt(caseOf([refused, report(9)])), /ours, half, a case: 3 refused, the last: code 1/)
})

t.test('a start shows the median, the extremes, and the largest broker', async t => {
  const round = (servedMs: number, n0: number): object => ({
    servedMs,
    residentMb: { n0, n1: 10 },
    peakMb: { n0: n0 + 5, n1: 10 }
  })
  const rounds = [round(1000, 20), round(3000, 40), round(1500, 30)] as never
  t.same(cells(startLine({ name: 'kill -9', logMib: 512, rounds })), [
    ...['kill -9', '512', '1.50', '1.00 – 3.00', '30', '35']
  ])
})

t.test('the lines of the Java producer are read, and nothing else that it prints', async t => {
  const output = `topic: T threadCount: 64 messageSize: 1024 keyEnable: false
Current Time: 2026-11-21 10:00:10,123 Send TPS: 8123 Max RT(ms): 412 Average RT(ms):   7.812 Send Failed: 0 Response Failed: 0
Current Time: 2026-11-21 10:00:20,123 Send TPS: 9001 Max RT(ms): 412 Average RT(ms):   7.100 Send Failed: 2 Response Failed: 1
[Complete] Send Total: 100 Send TPS: 9 Max RT(ms): 1 Average RT(ms):   7.100 Send Failed: 0 Response Failed: 0
Current Time: 2026-11-21 10:00:30,1`
  t.same(producerLines(output), [
    { sendsPerSecond: 8123, refused: 0 },
    { sendsPerSecond: 9001, refused: 3 }
  ])
})

const micros = { leader: 10, follower1: 5, follower2: 6, load: 1 }
const [load] = LOADS
const result: Result = {
  machine: '2 × a processor',
  loadAverage: 0,
  options: parseOptions(['--rows', '1k,half']),
  rows: [
    {
      load: load!,
      series: [
        {
          system: 'ours',
          space: 'warm',
          reports: [report(1000, { p99Ms: 20, cpuMicrosPerMessage: micros })]
        },
        { system: 'Java', space: 'fresh', reports: [report(500)] }
      ]
    }
  ],
  cases: [
    caseOf([report(900, { p99Ms: 15 })]),
    caseOf([report(500, { p99Ms: 5 })]),
    { ...caseOf([report(1, { p99Ms: 1 })]), row: 'groups' }
  ],
  starts: []
}

t.test('a plot has the open loops of a system, its closed loop, and no other cases', async t => {
  const points = latencyPoints(saved(result), load!)
  t.same([...points.keys()], ['ours'], 'what has no latencies is left out')
  t.same(
    points.get('ours')!.map(({ messagesPerSecond, p99Ms }) => [messagesPerSecond, p99Ms]),
    [
      [500, 5],
      [900, 15],
      [1000, 20]
    ]
  )
  t.same(latencyPoints(saved(result), LOADS[1]!), new Map())
})

t.test('CPU time is plotted by process, and is unknown where a report lacks it', async t => {
  const bars = cpuMicros(saved(result), load!)
  t.same(bars.get('ours'), [10, 5, 6, 1])
  t.ok(bars.get('Java')!.every(Number.isNaN))
})

t.test('plots are drawn without a browser and name the machine and the systems', async t => {
  const charts = chartsOf(JSON.parse(JSON.stringify(saved(result))))
  t.same(
    charts.map(({ name }) => name),
    ['latency-1k', 'cpu-1k']
  )
  for (const { svg } of charts) {
    t.match(svg, /^<svg [\s\S]*<\/svg>\s*$/)
    for (const text of ['2 × a processor', '1 KiB, 4 × 64', 'ours']) t.match(svg, text)
  }
})
