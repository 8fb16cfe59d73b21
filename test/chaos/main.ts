/**
 * Real processes on real disks and sockets are disturbed while clients work; then what the clients saw is judged (docs/durability.md).
 *
 *   npm run chaos -- [--minutes 3] [--seed S] [--only kill-leader,hard-flip-log] [--flush ASYNC_FLUSH] [--system rocketmq]
 *                    [--once] [--directory DIR] [--tap FILE] [--list]
 *   npm run chaos -- --healthy [--minutes 60]
 *   npm run chaos -- --check history-1.ndjson [--openchaos FILE]
 *
 * With --once each fault comes once, and the minutes are only a limit. Leaves histories and report.html in the directory. Ends with status 1 when something does not hold, with 2 when it cannot run here.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { check } from './check.ts'
import { readHistory } from './events.ts'
import { FAULTS } from './faults.ts'
import { healthy } from './healthy.ts'
import { isInside, missing, runInside } from './isolation.ts'
import { openChaosLines } from './openChaos.ts'
import { runChaos } from './run.ts'
import { RULES } from './topics.ts'

/** Small, so that a run has several. */
const SEGMENT_BYTES = 4_194_304
const FULL_LOAD_SEGMENT_BYTES = 268_435_456

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string' },
    only: { type: 'string' },
    flush: { type: 'string', default: 'SYNC_FLUSH' },
    system: { type: 'string', default: 'ledgermq' },
    directory: { type: 'string' },
    tap: { type: 'string' },
    list: { type: 'boolean', default: false },
    once: { type: 'boolean', default: false },
    healthy: { type: 'boolean', default: false },
    check: { type: 'string' },
    openchaos: { type: 'string' }
  }
})

process.exitCode = await main()

async function main(): Promise<number> {
  if (values.list) {
    for (const { name } of FAULTS) console.log(name)
    return 0
  }
  if (values.check !== undefined) return checkFile(values.check)
  const lacking = isInside() ? null : await missing()
  if (lacking !== null) {
    console.error(lacking)
    return 2
  }
  // A seed that the user did not choose is chosen here, so that it is told and can be given again.
  if (!isInside()) {
    if (values.seed === undefined) process.argv.push('--seed', String(Date.now() % 1_000_000))
    return runInside()
  }
  const seed = whole('seed', values.seed ?? '')
  const minutes = Number(values.minutes)
  if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes}: use a number above 0`)
  if (values.system !== 'ledgermq' && values.system !== 'rocketmq') {
    throw new Error(`--system ${values.system}: use ledgermq or rocketmq`)
  }
  if (values.flush !== 'SYNC_FLUSH' && values.flush !== 'ASYNC_FLUSH') {
    throw new Error(`--flush ${values.flush}: use SYNC_FLUSH or ASYNC_FLUSH`)
  }
  const directory = resolve(values.directory ?? join(tmpdir(), `ledgermq-chaos-${seed}`))
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  const own = values.system === 'ledgermq'
  return runChaos({
    ...{ seed, minutes, directory, system: values.system, flush: values.flush },
    faults: values.healthy
      ? [healthy(minutes)]
      : chosen(values.only).filter(fault => own || fault.ownOnly !== true),
    segmentBytes: values.healthy ? FULL_LOAD_SEGMENT_BYTES : SEGMENT_BYTES,
    once: values.once || values.healthy,
    tapFile: values.tap ?? null
  })
}

function chosen(only: string | undefined): typeof FAULTS {
  if (only === undefined) return FAULTS
  return only.split(',').map(name => {
    const fault = FAULTS.find(one => one.name === name)
    if (fault === undefined) throw new Error(`--only ${name}: --list shows the faults`)
    return fault
  })
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value >= 2 ** 32) {
    throw new Error(`--${name} ${text}: use a whole number below 4294967296`)
  }
  return value
}

/** Judges a history that was kept. */
async function checkFile(file: string): Promise<number> {
  const events = readHistory(file)
  const findings = check(events, RULES)
  if (values.openchaos !== undefined) {
    await writeFile(values.openchaos, `${openChaosLines(events).join('\n')}\n`)
  }
  const { violations, ...counts } = findings
  console.log(JSON.stringify(counts))
  for (const violation of violations) console.log(`VIOLATION ${violation}`)
  return violations.length === 0 ? 0 : 1
}
