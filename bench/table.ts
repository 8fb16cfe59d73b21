import os from 'node:os'
import process from 'node:process'
import { CASES_HEAD, type Case, caseLine, doubt, lastRefusal } from './cases.ts'
import { fillBacklog, readBacklog, readDuring, sendToGroups } from './consume.ts'
import { type Series, TABLE_HEAD, tableLine } from './figures.ts'
import { longBacklog, manyClients, manyQueues } from './flat.ts'
import { Floor } from './floor.ts'
import { LedgerMq } from './ledgermq.ts'
import { openLoop } from './openLoop.ts'
import { LOADS, type Load, type Options, type PeerName, type RowName } from './options.ts'
import { measureProducer, resolveProducer } from './peers/javaProducer.ts'
import { Nats } from './peers/nats.ts'
import { RocketMq } from './peers/rocketmq.ts'
import { type Result, type Row, save } from './results.ts'
import { takeTurns } from './rounds.ts'
import { measureRow, start, startPeers, stop, warmUp } from './running.ts'
import { STARTS_HEAD, startLine, startTimes } from './start.ts'
import type { System } from './system.ts'

const PEERS: Readonly<Record<PeerName, () => System[]>> = {
  nats: () => [new Nats('always'), new Nats('default')],
  rocketmq: () => [new RocketMq()]
}

/** Rows that have clusters of their own. */
const FLAT_ROWS = ['queues', 'clients', 'backlog'] as const
const OWN_ROWS: readonly RowName[] = [...FLAT_ROWS, 'start']

export function machine(): string {
  const cpus = os.cpus()
  const gib = Math.round(os.totalmem() / 1024 ** 3)
  return `${cpus.length} × ${cpus[0]?.model.trim()}, ${gib} GiB, Linux ${os.release()}, Node ${process.version}`
}

/** Measures and prints all rows that were asked for. */
export async function table(options: Options): Promise<void> {
  const loadAverage = os.loadavg()[0]!
  const result: Result = {
    machine: machine(),
    loadAverage,
    options,
    rows: [],
    cases: [],
    starts: []
  }
  console.log(
    `${machine()}; load on the same machine; medians of ${options.rounds} rounds of ${options.seconds} s`
  )
  console.log('Disk: "warm" writes to blocks that were written before, all others into new files')
  console.log(`Load average of the machine before the start: ${loadAverage.toFixed(2)}\n`)
  if (options.rows.some(row => !OWN_ROWS.includes(row))) await besidePeers(options, result)
  if (FLAT_ROWS.some(row => options.rows.includes(row))) await flatness(options, result)
  if (options.rows.includes('start')) await starting(options, result)
  printDoubts(result)
}

/** Rows in which all systems stand beside each other, and those that need the same cluster of ours. */
async function besidePeers(options: Options, result: Result): Promise<void> {
  const asked = (row: RowName): boolean => options.rows.includes(row)
  const ours = options.spaces.map(space => new LedgerMq(space))
  const floors = options.floor ? options.spaces.map(space => new Floor(space)) : []
  for (const system of [...ours, ...floors]) await start(system)
  const peers = await startPeers(options.peers.flatMap(peer => PEERS[peer]()))
  const systems = [...ours, ...floors, ...peers]
  await warmUp(systems)

  for (const line of TABLE_HEAD) console.log(line)
  const add = async (row: Row): Promise<void> => {
    result.rows.push(row)
    printRow(row)
    await save(result)
  }
  const loads = LOADS.filter(({ row }) => asked(row))
  for (const load of loads) await add(await measureRow(load, systems, options))
  if (asked('java')) {
    const row = await javaRow(systems, options)
    if (row !== null) await add(row)
  }
  const [first] = ours
  if (first === undefined) return stop(systems)
  for (const load of loads.filter(({ inflight }) => asked('consume') && inflight > 1)) {
    const reports = [await first.consume(load)]
    const series = [{ system: first.name, space: first.space, reports }]
    await add({ load: { ...load, row: 'consume', name: `consume ${load.name}` }, series })
  }

  const closed = result.rows.find(({ load }) => load.row === '1k')?.series ?? []
  const sends = closed.find(({ system }) => system === first.name)?.reports ?? []
  await printCases(result, [
    ...(asked('half') || asked('curve')
      ? [() => openLoop(LOADS[0]!, closed, systems, options)]
      : []),
    ...(asked('groups') ? [() => sendToGroups(first, options)] : []),
    ...(asked('backlog-read') || asked('read-during')
      ? [() => fillBacklog(first, options).then(() => [])]
      : []),
    ...(asked('read-during') ? [() => readDuring(first, sends, options)] : []),
    ...(asked('backlog-read') ? [() => readBacklog(first, sends, options)] : [])
  ])
  await stop(systems)
}

/** The same program for ours and for RocketMQ. Null, with a word, where it cannot be had. */
async function javaRow(systems: readonly System[], options: Options): Promise<Row | null> {
  const producer = await resolveProducer()
  if ('reason' in producer) {
    console.error(`Left out, the Java producer: ${producer.reason}.`)
    return null
  }
  const load: Load = { ...LOADS[0]!, row: 'java', name: '1 KiB, Java producer, 64 threads' }
  const able = systems.filter(system => system.target !== undefined)
  const measures = able.map(
    system => async () =>
      measureProducer(
        producer.text,
        await system.target!(),
        load.topic,
        load.sizeBytes,
        options.seconds
      )
  )
  const reports = await takeTurns(options.rounds, systems, measures)
  const series = able.map(({ name, space }, i) => ({ system: name, space, reports: reports[i]! }))
  return { load, series }
}

/** Each row has a full cluster of its own beside the same empty one. */
async function flatness(options: Options, result: Result): Promise<void> {
  const [space = 'fresh'] = options.spaces
  const empty = new LedgerMq(space, 'empty')
  await start(empty)
  await warmUp([empty])
  const besideFull =
    (measure: typeof manyQueues): (() => Promise<Case[]>) =>
    async () => {
      const full = new LedgerMq(space, 'full')
      await start(full)
      await warmUp([full])
      const cases = await measure(empty, full, options)
      await stop([full])
      return cases
    }
  const rows: Record<(typeof FLAT_ROWS)[number], () => Promise<Case[]>> = {
    queues: besideFull(manyQueues),
    clients: () => manyClients(empty, options),
    backlog: besideFull(longBacklog)
  }
  await printCases(
    result,
    FLAT_ROWS.filter(row => options.rows.includes(row)).map(row => rows[row])
  )
  await stop([empty])
}

async function starting(options: Options, result: Result): Promise<void> {
  const ours = new LedgerMq('fresh', 'start')
  await start(ours)
  result.starts = await startTimes(ours, options)
  await stop([ours])
  await save(result)
  console.log('')
  for (const line of STARTS_HEAD) console.log(line)
  for (const each of result.starts) console.log(startLine(each))
}

/** Each system is compared with the floor and with ours in the same space. */
function printRow({ load, series }: Row): void {
  for (const each of series) {
    const among = (kind: string): Series | undefined =>
      series.find(({ system, space }) => space === each.space && system.startsWith(kind))
    console.log(tableLine(load.name, each, among('floor'), among('LedgerMQ')))
  }
}

/** Measures one group of cases after the other, and prints each. */
async function printCases(
  result: Result,
  measures: readonly (() => Promise<Case[]>)[]
): Promise<void> {
  if (measures.length === 0) return
  console.log('')
  for (const line of CASES_HEAD) console.log(line)
  for (const measure of measures) {
    const cases = await measure()
    for (const each of cases) console.log(caseLine(each))
    result.cases.push(...cases)
    await save(result)
  }
}

/** What makes a figure doubtful is told. */
function printDoubts({ rows, cases }: Result): void {
  for (const { load, series } of rows) {
    for (const { system, reports } of series) {
      const refused = reports.reduce((sum, report) => sum + (report.refused ?? 0), 0)
      const why = lastRefusal(reports)
      if (refused > 0)
        console.log(`\n${system}, ${load.name}: ${refused} refused, the last: ${why}`)
    }
  }
  for (const each of cases) {
    const sentence = doubt(each)
    if (sentence !== null) console.log(`\n${sentence}`)
  }
}
