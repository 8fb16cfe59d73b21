/**
 * Draws what `npm run bench -- --json FILE` has written: throughput against latency, and CPU time for each message by process.
 *
 *   npm run bench:plots -- FILE [DIRECTORY]
 *
 * Writes one SVG for each, and a page with all of them, into the directory (default: FILE without its ending, `-plots` behind it).
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { chartsOf } from './charts.ts'
import type { Saved } from './results.ts'

const [file, directory] = process.argv.slice(2)
if (file === undefined) {
  console.error(
    'npm run bench:plots -- FILE [DIRECTORY]: FILE is what "npm run bench" wrote with --json.'
  )
  process.exit(2)
}
const into = directory ?? `${file.replace(/\.json$/, '')}-plots`
const result = JSON.parse(await readFile(file, 'utf8')) as Partial<Saved>
if (result.rows === undefined || result.cases === undefined) {
  console.error(`${file} has no rows: give a file that a run without --guard wrote.`)
  process.exit(2)
}
const charts = chartsOf(result as Saved)
await mkdir(into, { recursive: true })
for (const { name, svg } of charts) await writeFile(join(into, `${name}.svg`), svg)
const page = `<!doctype html>
<meta charset="utf-8">
<title>LedgerMQ: benchmarks</title>
${charts.map(({ svg }) => svg).join('\n')}
`
await writeFile(join(into, 'index.html'), page)
console.log(`${charts.length} plots in ${into}`)
