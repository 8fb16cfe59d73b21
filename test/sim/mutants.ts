/**
 * Plants the bugs of mutantList.ts, one at a time, in a copy of the build, and hunts each with the simulation that it is
 * meant for: the cores' schedules or the whole cluster's, or the golden scripts where a schedule cannot tell. One that is not
 * found is a hole in the simulation.
 *
 *   npm run sim:mutants -- [--only M10,M12] [--seeds 1..60] [--core-seeds 1..20000] [--workers 2]
 *
 * Ends with a table in Markdown: bug, found by, seeds needed, what was broken.
 */
import { spawn } from 'node:child_process'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { HARMLESS, MUTANTS, type Mutant } from './mutantList.ts'

const COPY = `build-mutant-${process.pid}`
const TEXT_MAX = 110

function plant({ edits }: Mutant): void {
  rmSync(COPY, { recursive: true, force: true })
  for (const folder of [
    'src',
    'test/sim',
    'test/helpers',
    'test/chaos',
    'test/raft',
    'test/store'
  ]) {
    cpSync(`build/${folder}`, `${COPY}/${folder}`, { recursive: true })
  }
  for (const { file, from, to } of edits) {
    const path = `${COPY}/src/${file}`
    const text = readFileSync(path, 'utf8')
    const places = text.split(from).length - 1
    if (places !== 1) throw new Error(`${file} has ${places} times: ${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to)
    )
  }
}

interface Hunt {
  readonly found: boolean
  readonly seeds: string
  readonly how: string
}

/** Output and exit code. */
function play(command: readonly string[]): Promise<{ output: string; code: number | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, command, { env: { ...process.env, TZ: 'UTC' } })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
    child.on('error', reject)
    child.on('close', code => resolve({ output, code }))
  })
}

async function hunt(mutant: Mutant, seeds: string, workers: string): Promise<Hunt> {
  if (mutant.by === 'golden') {
    const { output, code } = await play([`${COPY}/test/raft/core/golden.test.js`])
    const how = /^ *not ok \d+ - (.*)$/m.exec(output)?.[1] ?? ''
    return { found: code !== 0, seeds: '–', how: `golden script: ${how}` }
  }
  if (mutant.by === 'test') {
    const { output, code } = await play([`${COPY}/test/${mutant.test}`])
    const how = /^ *not ok \d+ - (.*)$/m.exec(output)?.[1] ?? ''
    return { found: code !== 0, seeds: '–', how: `${mutant.test}: ${how}` }
  }
  const command = [`${COPY}/test/sim/main.js`, '--seeds', seeds, '--workers', workers, '--first']
  if (mutant.by === 'core') command.push('--depth', 'core')
  if (mutant.with !== undefined) command.push('--with', mutant.with.join())
  if (mutant.flush !== undefined) command.push('--flush', mutant.flush)
  const { output } = await play(command)
  // Of all that were under way when the first one failed, the lowest: what a run one after the other would have met.
  const failed = [...output.matchAll(/^seed (\d+)(?: FAILED|: its process)/gm)].map(m =>
    Number(m[1])
  )
  const first = Math.min(...failed)
  const how = /FAILED.*\n\s+(?:at [\d.]+ ms: )?(.*)/.exec(output)?.[1] ?? output.slice(-200)
  const firstSeed = Number(/^\d+/.exec(seeds)?.[0] ?? 1)
  return { found: failed.length > 0, seeds: String(first - firstSeed + 1), how }
}

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seeds: { type: 'string', default: '1..60' },
    'core-seeds': { type: 'string', default: '1..20000' },
    workers: { type: 'string', default: '2' }
  }
})
const chosen = values.only?.split(',')
const missed: string[] = []
const rows: string[] = []
for (const mutant of MUTANTS) {
  const { id, bug, by } = mutant
  if (chosen !== undefined && !chosen.includes(id)) continue
  plant(mutant)
  const seeds = by === 'core' ? values['core-seeds'] : values.seeds
  const { found, seeds: needed, how } = await hunt(mutant, seeds, values.workers)
  if (!found) missed.push(id)
  const what = how
    .replace(/^Error: /, '')
    .replaceAll('|', '/')
    .slice(0, TEXT_MAX)
  const row = `| ${id} | ${bug} | ${by} | ${found ? needed : `**not found** in ${seeds}`} | ${found ? what : ''} |`
  rows.push(row)
  console.log(row)
}
rmSync(COPY, { recursive: true, force: true })
console.log(
  `\n| bug | planted | found by | seeds needed | what was broken |\n|---|---|---|---|---|\n${rows.join('\n')}`
)
for (const [id, why] of Object.entries(HARMLESS)) console.log(`${id}: ${why}`)
if (missed.length > 0) console.log(`missed: ${missed.join(' ')}`)
process.exit(missed.length === 0 ? 0 : 1)
