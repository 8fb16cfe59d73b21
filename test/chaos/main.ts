/**
 * Real processes on real disks and sockets are disturbed while clients work; then what the clients saw is judged (docs/durability.md).
 * `npm run chaos -- --help` shows the options.
 *
 * Leaves histories and report.html in the directory. Ends with status 1 when something does not hold, with 2 when it cannot run here.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { Command, InvalidArgumentError, Option } from 'commander'
import { check } from './check.ts'
import { readHistory } from './events.ts'
import { FAULTS } from './faults.ts'
import { healthyEpisodes } from './healthy.ts'
import { isInside, missing, runInside } from './isolation.ts'
import { openChaosLines } from './openChaos.ts'
import { runChaos } from './run.ts'
import { RULES } from './topics.ts'

/** Small, so that a run has several. */
const SEGMENT_BYTES = 4_194_304
const EPISODE_FAULTS = 12
const FULL_LOAD_SEGMENT_BYTES = 268_435_456

interface Options {
  minutes: number
  seed?: number
  only: typeof FAULTS
  flush: 'SYNC_FLUSH' | 'ASYNC_FLUSH'
  system: 'ledgermq' | 'rocketmq'
  directory?: string
  tap?: string
  list?: true
  once?: true
  healthy?: true
  check?: string
  openchaos?: string
}

const values = new Command('chaos')
  .description('Disturbs a cluster of real processes while clients work, and judges what they saw.')
  .option('--minutes <number>', 'how long', minutes, 3)
  .option('--seed <number>', 'decides the faults; it is told when it is left out', seed)
  .addOption(
    new Option('--only <faults>', 'these, with commas').argParser(chosen).default(FAULTS, 'all')
  )
  .option('--list', 'show the faults')
  .option('--once', 'each fault once; the minutes are a limit')
  .option('--healthy', 'full load and stalls of one loop, no other fault')
  .addOption(
    new Option('--flush <mode>').choices(['SYNC_FLUSH', 'ASYNC_FLUSH']).default('SYNC_FLUSH')
  )
  .addOption(new Option('--system <name>').choices(['ledgermq', 'rocketmq']).default('ledgermq'))
  .option('--directory <directory>', 'for histories and report.html')
  .option('--tap <file>', 'what held, as TAP')
  .option('--check <history>', 'judge a history that was kept')
  .option('--openchaos <file>', 'with --check: write it as OpenChaos does')
  .parse()
  .opts<Options>()

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
  const { seed = 0, minutes } = values
  const directory = resolve(values.directory ?? join(tmpdir(), `ledgermq-chaos-${seed}`))
  await rm(directory, { recursive: true, force: true })
  await mkdir(directory, { recursive: true })
  const own = values.system === 'ledgermq'
  return runChaos({
    ...{ seed, minutes, directory, system: values.system, flush: values.flush },
    faults: values.healthy
      ? healthyEpisodes(minutes)
      : values.only.filter(fault => own || fault.ownOnly !== true),
    episodeFaults: values.healthy ? 1 : EPISODE_FAULTS,
    limited: values.healthy !== true,
    segmentBytes: values.healthy ? FULL_LOAD_SEGMENT_BYTES : SEGMENT_BYTES,
    once: values.once === true || values.healthy === true,
    tapFile: values.tap ?? null
  })
}

function chosen(only: string): typeof FAULTS {
  return only.split(',').map(name => {
    const fault = FAULTS.find(one => one.name === name)
    if (fault === undefined)
      throw new InvalidArgumentError(`There is no fault ${name}: --list shows them.`)
    return fault
  })
}

function seed(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value >= 2 ** 32)
    throw new InvalidArgumentError('Use a whole number below 4294967296.')
  return value
}

function minutes(text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new InvalidArgumentError('Use a number above 0.')
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
