import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { Producer } from '../../src/client/index.ts'
import { freePorts } from '../helpers/freePorts.ts'
import { mib } from './fuzzRun.ts'
import { HealthyClient, pause } from './healthyClient.ts'
import { FAT_MESSAGES, type Order, type Role } from './people.ts'
import { VictimProcess, type VictimReport } from './victimProcess.ts'

/**
 * `node build/test/robustness/crowd.js`: crowds of unpleasant clients, one kind after the other, beside a well-behaved one. Prints memory and
 * the well-behaved client's send latency before, with and after each crowd; the exit status is 1 when it was harmed. Needs `ulimit -n` of
 * 12 000.
 */
const PHASE_MS = 6_000
/** Longest growth of what is held after a crowd has left. */
const LEFT_BEHIND_MAX = 64 * 1_048_576
const CROWDS: [Role, string, number][] = [
  ['idle', '10 000 idle connections', 10_000],
  ['halfFrames', '5 000 connections that sent half a frame', 5_000],
  ['neverReading', '200 clients with 2 000 pulls of 1 MB each that read nothing', 200],
  ['holding', '10 connections with 10 000 held pulls each', 10],
  ['heartbeats', '5 000 clients of 20 groups each', 5_000]
]

const directory = await mkdtemp(join(tmpdir(), 'ledgermq-crowd-'))
const victim = await VictimProcess.start({ directory, raftPorts: await freePorts(1), broker: {} })
const nameServer = `127.0.0.1:${victim.nameServerPort}`
const people = fork(new URL('./people.js', import.meta.url), { stdio: 'inherit' })

async function tell(order: Order | 'leave'): Promise<string> {
  const answered = once(people, 'message')
  people.send(order)
  return String((await answered)[0])
}

function show(when: string, report: VictimReport, healthy: HealthyClient): void {
  const { count, p50, p99, max } = healthy.sinceLastAsked()
  console.log(
    `${when.padEnd(8)} rss ${mib(report.rssBytes)}, heap and buffers ${mib(report.heapBytes)}, ${report.connections} connections, ` +
      `${report.held} held pulls; send ms p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} max ${max.toFixed(1)} of ${count}`
  )
}

try {
  const producer = new Producer({ nameServers: nameServer, group: 'crowd' })
  await producer.start()
  const fat = Buffer.alloc(1_000_000, 'f')
  await producer.send({ topic: 'Fat', body: 'makes the topic' })
  const queue = (await producer.queues('Fat')).find(({ queueId }) => queueId === 0)!
  const there = await producer.send({ topic: 'Fat', body: fat }, { queue })
  for (let n = there.queueOffset + 1; n < FAT_MESSAGES; n++)
    await producer.send({ topic: 'Fat', body: fat }, { queue })
  await producer.close()
  const healthy = new HealthyClient(nameServer, 'healthy')
  await healthy.start()
  await pause(PHASE_MS)
  const complaints: string[] = []
  for (const [role, name, count] of CROWDS) {
    console.log(name)
    const before = await victim.report()
    show('before', before, healthy)
    const said = await tell({ role, port: victim.brokerPorts[0]!, count, topic: 'Fat' })
    if (said !== `${count} stand`) complaints.push(`${name}: ${said}`)
    await pause(PHASE_MS)
    show('with it', await victim.report(), healthy)
    await tell('leave')
    const endMs = performance.now() + 20_000
    while ((await victim.report()).connections > before.connections && performance.now() < endMs)
      await pause(100)
    await pause(1_000)
    const after = await victim.report()
    show('after', after, healthy)
    if (after.connections > before.connections) complaints.push(`${name}: connections stay`)
    if (after.heapBytes - before.heapBytes > LEFT_BEHIND_MAX)
      complaints.push(`${name}: ${mib(after.heapBytes - before.heapBytes)} stay`)
  }
  const health = await healthy.stop()
  const { lines, errors } = await victim.report()
  console.log(
    `well-behaved client: ${health.sent} sent, ${health.received} received; log lines: info ${lines.info}, warn ${lines.warn}, error ${lines.error}`
  )
  complaints.push(...health.complaints, ...errors)
  console.log(complaints.length === 0 ? 'nothing to complain about' : complaints.join('\n'))
  process.exitCode = complaints.length === 0 ? 0 : 1
} finally {
  people.disconnect()
  await victim.stop()
  await rm(directory, { recursive: true, force: true })
}
