/**
 * Starts a cluster of three real processes, measures it, and ends it:
 *
 *   npm run bench -- [--seconds 10] [--rounds 3] [--bare PATH-OF-A-BARE-PIPELINE]
 *
 * Sends of 1 KiB and 128 B with 4 connections and 64 open on each, one at a time, batches of 32; then all of it is consumed.
 * Takes PORT_OFFSET (default 5000). Prints a table of medians. With `--bare` a program that measures a pipeline without
 * parsing and store (SIZE, SYNC, SECS in its environment, one line of JSON with `tps`) runs between the rounds, for ratios.
 */
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Admin } from '../src/client/index.ts'
import { readCluster } from '../src/launch/fastTry/cluster.ts'
import { run } from '../src/launch/fastTry/commands.ts'
import { parsePortOffset, readLayout } from '../src/launch/fastTry/layout.ts'
import { Processes } from '../src/launch/fastTry/processes.ts'
import type { Session } from '../src/launch/fastTry/session.ts'
import { createRealPlatform } from '../src/platform/index.ts'

interface Report {
  messagesPerSecond: number
  p50Ms?: number
  p99Ms?: number
  p999Ms?: number
  cpuMicrosPerMessage: Record<string, number>
  residentMb: Record<string, number>
}

interface Row {
  name: string
  topic: string
  args: string[]
  /** Body size for the bare pipeline of the same round. */
  size: number
}

const QUEUES = 4
const ROWS: readonly Row[] = [
  { name: '1 KiB, 4 × 64', topic: 'Bench1024', size: 1024, args: ['--size', '1024'] },
  { name: '128 B, 4 × 64', topic: 'Bench128', size: 128, args: ['--size', '128'] },
  {
    name: '1 KiB, one at a time',
    topic: 'BenchSingle',
    size: 1024,
    args: ['--size', '1024', '--connections', '1', '--inflight', '1']
  },
  {
    name: '1 KiB in batches of 32',
    topic: 'BenchBatch',
    size: 1024,
    args: ['--size', '1024', '--batch', '32', '--inflight', '8']
  }
]

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    bare: { type: 'string' }
  }
})
const platform = createRealPlatform()
const root = process.cwd()
const offset = parsePortOffset(process.env['PORT_OFFSET'] ?? '5000')
const layout = await readLayout(root, offset, platform.disk)
const session: Session = {
  platform,
  layout,
  processes: new Processes(root, platform),
  print: () => {},
  mqadmin: async () => 0
}
const here = dirname(fileURLToPath(import.meta.url))

function measure(program: string, args: readonly string[]): Report {
  const output = execFileSync('node', [join(here, program), ...args], { encoding: 'utf8' })
  return JSON.parse(output) as Report
}

/** `--address` of the leader and `--pid` of every broker. */
async function target(): Promise<string[]> {
  const { leader } = await readCluster(session)
  if (leader === null) throw new Error('the cluster has no leader')
  const words = ['--address', `127.0.0.1:${leader.port}`]
  const followers = layout.brokers.filter(member => member !== leader)
  for (const member of layout.brokers) {
    const name = member === leader ? 'leader' : `follower${followers.indexOf(member) + 1}`
    words.push('--pid', `${name}=${await session.processes.pid(member)}`)
  }
  return words
}

function bare(path: string, size: number): number {
  const env = { ...process.env, SIZE: String(size), SYNC: '1', SECS: '5' }
  const output = execFileSync('node', [path], { encoding: 'utf8', env })
  return (JSON.parse(output) as { tps: number }).tps
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN
}

function line(name: string, reports: readonly Report[], bareTps: readonly number[]): string {
  const of = (pick: (report: Report) => number): number => median(reports.map(pick))
  const rate = of(report => report.messagesPerSecond)
  const ratio = bareTps.length === 0 ? '–' : `${Math.round((100 * rate) / median(bareTps))} %`
  const cells = [
    name,
    String(rate),
    ratio,
    ...(['p50Ms', 'p99Ms', 'p999Ms'] as const).map(key =>
      reports[0]![key] === undefined ? '–' : of(report => report[key]!).toFixed(2)
    ),
    ...['leader', 'follower1', 'load'].map(who =>
      of(report => report.cpuMicrosPerMessage[who]!).toFixed(1)
    ),
    String(of(report => report.residentMb['leader']!))
  ]
  return `| ${cells.join(' | ')} |`
}

await run(session, 'clean', null)
await run(session, 'start', null)
const admin = new Admin({ nameServers: layout.namesrvAddress, platform })
for (const row of ROWS) await admin.createTopic('RaftCluster', row.topic, { queues: QUEUES })
await admin.close()

console.log(
  '| load | messages/s | of bare | p50 ms | p99 ms | p99.9 ms | leader µs | follower µs | load µs | leader MiB |'
)
console.log('|---|---|---|---|---|---|---|---|---|---|')
for (const row of ROWS) {
  const reports: Report[] = []
  const bareTps: number[] = []
  for (let round = 0; round < Number(values.rounds); round += 1) {
    const args = ['--topic', row.topic, '--seconds', values.seconds!, ...row.args]
    reports.push(measure('sendLoad.js', [...(await target()), ...args]))
    if (values.bare !== undefined && !row.args.includes('--inflight')) {
      bareTps.push(bare(values.bare, row.size))
    }
  }
  console.log(line(row.name, reports, bareTps))
}
for (const row of ROWS) {
  if (row.topic === 'BenchSingle') continue
  const args = ['--topic', row.topic, '--queues', String(QUEUES)]
  const report = measure('pullLoad.js', [...(await target()), ...args])
  console.log(line(`consume ${row.name}`, [report], []))
}
await run(session, 'clean', null)
