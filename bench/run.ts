/**
 * Measures a cluster of three real processes beside the floor and its peers, all on this machine, in rounds that take turns:
 *
 *   npm run bench -- [--quick] [--rows LIST] [--seconds 10] [--rounds 5] [--peers nats,rocketmq] [--space warm,fresh] [--no-floor] [--json FILE]
 *   npm run bench -- --guard
 *
 * bench/README.md says what the rows and columns are, and the other options. Takes PORT_OFFSET (default 5000) for our clusters.
 */
import { writeFile } from 'node:fs/promises'
import process from 'node:process'
import { GUARD_RATIO, guardVerdict, medianOf, ratio } from './figures.ts'
import { Floor } from './floor.ts'
import { LedgerMq } from './ledgermq.ts'
import { LOADS, type Options, parseOptions } from './options.ts'
import { measureRow, start, stopAll, warmUp } from './running.ts'
import { machine, table } from './table.ts'

/** Ours against the floor, short; false when ours is below what it must reach. */
async function guard(options: Options): Promise<boolean> {
  const [load] = LOADS
  const systems = [new LedgerMq('warm'), new Floor('warm')]
  for (const system of systems) await start(system)
  await warmUp(systems)
  const { series } = await measureRow(load!, systems, options)
  const [own, floor] = series
  for (const { system, reports } of series) {
    const rate = medianOf(reports, report => report.messagesPerSecond)
    console.log(`${system}, ${load!.name}: ${rate} messages/s`)
  }
  const value = ratio(own!.reports, floor!.reports)
  const verdict = guardVerdict(value)
  console.log(verdict.sentence)
  if (options.jsonFile !== null) {
    const result = { machine: machine(), ratio: value, required: GUARD_RATIO, series }
    await writeFile(options.jsonFile, `${JSON.stringify(result, null, 1)}\n`)
  }
  return verdict.passed
}

async function main(): Promise<number> {
  let options: Options
  try {
    options = parseOptions(process.argv.slice(2))
  } catch (error) {
    console.error((error as Error).message)
    return 2
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stopAll().then(() => process.exit(130)))
  }
  try {
    if (options.mode === 'guard') return (await guard(options)) ? 0 : 1
    await table(options)
    return 0
  } finally {
    await stopAll()
  }
}

process.exitCode = await main()
