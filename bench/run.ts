/**
 * Measures a cluster of three real processes beside the floor and its peers, all on this machine, in rounds that take turns:
 *
 *   npm run bench -- [--quick] [--seconds 10] [--rounds 5] [--peers nats,rocketmq] [--space warm,fresh] [--no-floor] [--json FILE]
 *   npm run bench -- --guard
 *
 * bench/README.md says what the rows and columns are. Takes PORT_OFFSET (default 5000) for our cluster.
 */
import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import process from 'node:process'
import {
  GUARD_RATIO,
  guardVerdict,
  medianOf,
  ratio,
  type Series,
  TABLE_HEAD,
  tableLine
} from './figures.ts'
import { Floor } from './floor.ts'
import { LedgerMq } from './ledgermq.ts'
import { LOADS, type Load, type Options, type PeerName, parseOptions } from './options.ts'
import { Nats } from './peers/nats.ts'
import { RocketMq } from './peers/rocketmq.ts'
import type { System } from './system.ts'

const PEERS: Readonly<Record<PeerName, () => System[]>> = {
  nats: () => [new Nats('always'), new Nats('default')],
  rocketmq: () => [new RocketMq()]
}

/** Load on each system before the first round. */
const FIRST_LOAD_SECONDS = 10

interface Row {
  load: Load
  series: Series[]
}

const started: System[] = []
let ending: Promise<unknown> | null = null

/** Ends all systems, once. */
function stopAll(): Promise<unknown> {
  ending ??= Promise.allSettled(started.map(system => system.stop()))
  return ending
}

async function start(system: System): Promise<string | null> {
  started.push(system)
  return system.start()
}

/** Those of the peers that serve; a word about each other one. */
async function startPeers(peers: readonly System[]): Promise<System[]> {
  const serving: System[] = []
  for (const peer of peers) {
    const reason = await start(peer).catch((error: Error) => error.message)
    if (reason === null) serving.push(peer)
    else console.error(`Left out, ${peer.name}: ${reason}.`)
  }
  return serving
}

/** Nobody's first seconds count: a JVM and V8 compile in them. */
async function warmUp(systems: readonly System[]): Promise<void> {
  for (const system of systems) await system.measure(LOADS[0]!, FIRST_LOAD_SECONDS, 0)
}

/** All systems under one load: in each round every system once, each round beginning with another one. */
async function measureRow(load: Load, systems: readonly System[], options: Options): Promise<Row> {
  const series = systems.map(({ name, space }): Series => ({ system: name, space, reports: [] }))
  for (let round = 0; round < options.rounds; round += 1) {
    for (let turn = 0; turn < systems.length; turn += 1) {
      const i = (turn + round) % systems.length
      for (const system of systems) await system.rest?.()
      const report = await systems[i]!.measure(load, options.seconds, options.warmupSeconds)
      if (report !== null) series[i]!.reports.push(report)
    }
  }
  return { load, series: series.filter(({ reports }) => reports.length > 0) }
}

/** Each system is compared with the floor and with ours in the same space. */
function printRow({ load, series }: Row): void {
  for (const each of series) {
    const among = (kind: string): Series | undefined =>
      series.find(({ system, space }) => space === each.space && system.startsWith(kind))
    console.log(tableLine(load.name, each, among('floor'), among('LedgerMQ')))
  }
}

/** Refusals make a figure doubtful, so they are told. */
function printRefusals(rows: readonly Row[]): void {
  for (const { load, series } of rows) {
    for (const { system, reports } of series) {
      const refused = reports.reduce((sum, report) => sum + (report.refused ?? 0), 0)
      const why = reports.findLast(({ lastRefusal }) => lastRefusal !== undefined)?.lastRefusal
      if (refused > 0)
        console.log(`\n${system}, ${load.name}: ${refused} refused, the last: ${why}`)
    }
  }
}

function machine(): string {
  const cpus = os.cpus()
  const gib = Math.round(os.totalmem() / 1024 ** 3)
  return `${cpus.length} × ${cpus[0]?.model.trim()}, ${gib} GiB, Linux ${os.release()}, Node ${process.version}`
}

async function table(options: Options): Promise<void> {
  const loadAverage = os.loadavg()[0]!
  const ours = options.spaces.map(space => new LedgerMq(space))
  const floors = options.floor ? options.spaces.map(space => new Floor(space)) : []
  for (const system of [...ours, ...floors]) await start(system)
  const peers = await startPeers(options.peers.flatMap(peer => PEERS[peer]()))
  const systems = [...ours, ...floors, ...peers]
  console.log(
    `${machine()}; load on the same machine; medians of ${options.rounds} rounds of ${options.seconds} s`
  )
  console.log('Disk: "warm" writes to blocks that were written before, all others into new files')
  console.log(`Load average of the machine before the start: ${loadAverage.toFixed(2)}\n`)
  await warmUp(systems)

  for (const line of TABLE_HEAD) console.log(line)
  const rows: Row[] = []
  for (const load of LOADS) {
    const row = await measureRow(load, systems, options)
    rows.push(row)
    printRow(row)
  }
  for (const load of LOADS.filter(({ inflight }) => inflight > 1)) {
    const consumed = { ...load, name: `consume ${load.name}` }
    const [first] = ours
    if (first === undefined) break
    const reports = [await first.consume(load)]
    const row = { load: consumed, series: [{ system: first.name, space: first.space, reports }] }
    rows.push(row)
    printRow(row)
  }
  printRefusals(rows)
  if (options.jsonFile !== null) {
    const result = { machine: machine(), loadAverage, options, rows: rows.map(withMedians) }
    await writeFile(options.jsonFile, `${JSON.stringify(result, null, 1)}\n`)
  }
}

function withMedians({ load, series }: Row): object {
  return {
    load,
    systems: series.map(({ system, reports }) => ({
      system,
      messagesPerSecond: medianOf(reports, report => report.messagesPerSecond),
      reports
    }))
  }
}

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
