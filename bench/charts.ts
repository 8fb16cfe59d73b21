import { type EChartsOption, init } from 'echarts'
import { median, medianOf } from './figures.ts'
import type { Load } from './options.ts'
import type { Saved } from './results.ts'
import type { Report } from './window.ts'

const WIDTH = 900
const HEIGHT = 480
/** Without a browser the width of a text is only guessed. */
const LEGEND_GAP = 28
const PROCESSES = ['leader', 'follower1', 'follower2', 'load']

/** A picture that can stand by itself. */
export interface Chart {
  /** For a file, without an ending. */
  name: string
  svg: string
}

/** All that a run gives: for each load throughput against latency and CPU time for each message. */
export function chartsOf(result: Saved): Chart[] {
  return result.rows.flatMap(({ load }) => {
    const charts = { latency: latencyOption(result, load), cpu: cpuOption(result, load) }
    return Object.entries(charts).flatMap(([kind, option]) =>
      option === null ? [] : [{ name: `${kind}-${fileName(load)}`, svg: draw(option) }]
    )
  })
}

function fileName({ row, name }: Load): string {
  return row === 'consume' ? name.replaceAll(/\W+/g, '-') : row
}

interface Point {
  messagesPerSecond: number
  p99Ms: number
}

/**
 * Each system's points, from the lowest rate on: those of the open loop (rows `half` and `curve`, which have the load of `1k`),
 * and last what it took in the closed loop.
 */
export function latencyPoints({ rows, cases }: Saved, load: Load): Map<string, Point[]> {
  const points = new Map<string, Point[]>()
  const systems = rows.find(row => row.load.name === load.name)?.systems ?? []
  for (const { system, reports } of systems) {
    const open = cases.filter(
      each => load.row === '1k' && /^(half|curve)$/.test(each.row) && each.system === system
    )
    const known = [...open.map(each => pointOf(each.reports)), pointOf(reports)]
      .filter(({ p99Ms }) => !Number.isNaN(p99Ms))
      .sort((a, b) => a.messagesPerSecond - b.messagesPerSecond)
    if (known.length > 0) points.set(system, known)
  }
  return points
}

function pointOf(reports: readonly Report[]): Point {
  return {
    messagesPerSecond: medianOf(reports, report => report.messagesPerSecond),
    p99Ms: medianOf(reports, report => report.p99Ms)
  }
}

function latencyOption(result: Saved, load: Load): EChartsOption | null {
  const points = latencyPoints(result, load)
  if (points.size === 0) return null
  return {
    ...frameOf(result, `${load.name}: throughput against latency`),
    legend: { bottom: 0, itemGap: LEGEND_GAP },
    xAxis: { type: 'value', name: 'messages/s', nameLocation: 'middle', nameGap: 28, min: 0 },
    yAxis: { type: 'log', name: 'p99, ms', nameLocation: 'middle', nameGap: 48 },
    series: [...points].map(([name, line]) => ({
      type: 'line' as const,
      name,
      symbolSize: 8,
      data: line.map(({ messagesPerSecond, p99Ms }) => [messagesPerSecond, p99Ms])
    }))
  }
}

/** Microseconds for each message by system, in the order of `PROCESSES`; NaN for what a system does not have. */
export function cpuMicros({ rows }: Saved, load: Load): Map<string, number[]> {
  const systems = rows.find(row => row.load.name === load.name)?.systems ?? []
  return new Map(
    systems.map(({ system, reports }) => [
      system,
      PROCESSES.map(name =>
        median(reports.map(({ cpuMicrosPerMessage }) => cpuMicrosPerMessage[name] ?? Number.NaN))
      )
    ])
  )
}

function cpuOption(result: Saved, load: Load): EChartsOption | null {
  const micros = cpuMicros(result, load)
  if (micros.size === 0) return null
  const systems = [...micros.keys()].reverse()
  return {
    ...frameOf(result, `${load.name}: CPU time for each message`),
    grid: { left: 260, right: 40, top: 70, bottom: 80 },
    legend: { bottom: 0, itemGap: LEGEND_GAP },
    xAxis: { type: 'value', name: 'µs', nameLocation: 'middle', nameGap: 28 },
    yAxis: { type: 'category', data: systems },
    series: PROCESSES.map((name, i) => ({
      type: 'bar' as const,
      name,
      stack: 'message',
      data: systems.map(system => {
        const value = micros.get(system)![i]!
        return Number.isNaN(value) ? '-' : value
      })
    }))
  }
}

/** A figure without its machine is none. */
function frameOf({ machine, options }: Saved, text: string): EChartsOption {
  const subtext = `${machine}; medians of ${options.rounds} rounds of ${options.seconds} s`
  return {
    animation: false,
    backgroundColor: '#fff',
    title: { text, subtext, left: 'center' },
    grid: { left: 80, right: 40, top: 70, bottom: 80 }
  }
}

/** Without a browser and without a DOM. */
function draw(option: EChartsOption): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height: HEIGHT })
  try {
    chart.setOption(option)
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}
