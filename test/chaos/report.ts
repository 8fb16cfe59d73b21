import { writeFile } from 'node:fs/promises'
import { BUCKET_MS, type Outage } from './availability.ts'
import type { Episode } from './episode.ts'
import { faultRows, seconds, totals } from './summary.ts'

const WIDTH = 1200
const HEIGHT = 180
const LEFT = 50
const TOP = 44
const BOTTOM = 22
const SECOND_MS = 1000
const TICK_SECONDS = 30
/** Names of neighbouring faults stand on these lines in turn. */
const LABEL_LINES = [10, 22, 34]

/** One page: the verdict, the table, and for each cluster its acknowledgements against the faults. */
export async function writeReport(
  file: string,
  episodes: readonly Episode[],
  run: { seed: number; system: string; flush: string; minutes: number }
): Promise<void> {
  const sum = totals(episodes)
  const wrong = episodes.flatMap(({ judgement, complaints }) => [
    ...judgement.findings.violations,
    ...complaints
  ])
  const rows = faultRows(episodes).map(
    row =>
      `<tr><td>${escaped(row.fault)}<td>${row.count}<td>${row.elections}<td>${seconds(row.p50Ms)}` +
      `<td>${seconds(row.p99Ms)}<td>${seconds(row.mostMs)}`
  )
  await writeFile(
    file,
    `<!doctype html><meta charset="utf-8"><title>Chaos ${run.seed}</title><style>${STYLE}</style>
<h1>${wrong.length === 0 ? 'Everything holds' : `${wrong.length} things do not hold`}</h1>
<p>${escaped(run.system)}, ${escaped(run.flush)}, seed ${run.seed}, ${run.minutes} minutes: ${sum.faults} faults,
${sum.acknowledged} of ${sum.sent} sends acknowledged, ${sum.lost} lost or changed, ${sum.duplicates} stored twice by a repeated send,
${sum.delivered} deliveries.</p>
${wrong.map(text => `<p class="wrong">${escaped(text)}</p>`).join('\n')}
<table><tr><th>fault<th>times<th>elections<th>gap p50<th>p99<th>most
${rows.join('\n')}</table>
${episodes.map(episode => `<h2>Cluster ${episode.number}</h2>\n${timeline(episode)}`).join('\n')}
`
  )
}

const STYLE = `body{font:14px system-ui,sans-serif;margin:24px;color:#222}h2{font-size:15px;margin:18px 0 4px}
table{border-collapse:collapse}td,th{padding:2px 12px;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}.wrong{color:#b00020}svg{max-width:100%;font:10px system-ui,sans-serif}`

/** Bars: acknowledgements of each quarter of a second. Bands: a fault while it lasts (red) and until the cluster is whole again (grey). */
function timeline({ judgement }: Episode): string {
  const { buckets, outages, firstMs } = judgement
  const lastMs = Math.max(
    ...outages.map(outage => outage.endMs),
    firstMs + buckets.length * BUCKET_MS
  )
  const spanMs = Math.max(SECOND_MS, lastMs - firstMs)
  const most = Math.max(1, ...buckets)
  const x = (ms: number): string => (LEFT + ((ms - firstMs) / spanMs) * (WIDTH - LEFT)).toFixed(1)
  const width = (fromMs: number, toMs: number): string =>
    Math.max(1, ((toMs - fromMs) / spanMs) * (WIDTH - LEFT)).toFixed(1)
  const floor = HEIGHT - BOTTOM
  const bars = buckets.map((count, bucket) => {
    const height = (count / most) * (floor - TOP)
    return rect(
      x(firstMs + bucket * BUCKET_MS),
      floor - height,
      width(0, BUCKET_MS),
      height,
      '#2b6cb0'
    )
  })
  const bands = outages.map((outage, i) =>
    band(outage, LABEL_LINES[i % LABEL_LINES.length]!, x, width)
  )
  const ticks: string[] = []
  for (let second = 0; second * SECOND_MS < spanMs; second += TICK_SECONDS) {
    ticks.push(`<text x="${x(firstMs + second * SECOND_MS)}" y="${HEIGHT - 8}">${second} s</text>`)
  }
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${bands.join('')}${bars.join('')}${ticks.join('')}` +
    `<text x="0" y="${TOP + 8}">${(most * SECOND_MS) / BUCKET_MS}/s</text><text x="0" y="${floor}">0</text>` +
    `<line x1="${LEFT}" y1="${floor}" x2="${WIDTH}" y2="${floor}" stroke="#888"/></svg>`
  )
}

function band(
  { fault, nodes, startMs, healedMs, endMs, gapMs, note }: Outage,
  labelY: number,
  x: (ms: number) => string,
  width: (fromMs: number, toMs: number) => string
): string {
  const floor = HEIGHT - BOTTOM
  const title = `${fault} ${nodes.join(' ')}: ${seconds(gapMs)} without an acknowledgement; ${note}`
  return (
    `<g><title>${escaped(title)}</title>${rect(x(startMs), TOP, width(startMs, healedMs), floor - TOP, '#fbc5c5')}` +
    `${rect(x(healedMs), TOP, width(healedMs, endMs), floor - TOP, '#e4e4e4')}` +
    `<line x1="${x(startMs)}" y1="${labelY}" x2="${x(startMs)}" y2="${floor}" stroke="#c53030" stroke-width="0.5"/>` +
    `<text x="${x(startMs)}" y="${labelY}">${escaped(fault)}</text></g>`
  )
}

function rect(x: string, y: number, width: string, height: number, fill: string): string {
  return `<rect x="${x}" y="${y.toFixed(1)}" width="${width}" height="${height.toFixed(1)}" fill="${fill}"/>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
