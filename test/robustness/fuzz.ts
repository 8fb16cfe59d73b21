import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { FuzzRun } from './fuzzRun.ts'
import { judge } from './judge.ts'

/**
 * `node build/test/robustness/fuzz.js [--seconds N] [--seed S] [--members 1|3]`: fuzzes a name server and a group of three
 * brokers, or one alone, until it is interrupted, or for N seconds.
 * Prints its seed, how it goes, and at the end what it found; the exit status is 1 when there is something to complain about.
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    seed: { type: 'string' },
    members: { type: 'string', default: '3' }
  }
})
const seed = Number(values.seed ?? Date.now() % 1_000_000)
const seconds = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds)
const members = Number(values.members)
if (!Number.isSafeInteger(seed) || !(seconds > 0) || (members !== 1 && members !== 3)) {
  console.error('Usage: fuzz.js [--seconds N] [--seed S] [--members 1|3]')
  process.exit(2)
}
console.log(`seed ${seed}`)
const directory = await mkdtemp(join(tmpdir(), 'ledgermq-fuzz-'))
const run = new FuzzRun({ seconds, seed, members, directory, progress: text => console.log(text) })
process.on('SIGINT', () => run.stop())
process.on('SIGTERM', () => run.stop())
try {
  const report = await run.run()
  const { findings, health, end } = report
  const codes = [...findings.codes].sort((a, b) => a[0] - b[0])
  console.log(`answers by code: ${codes.map(([code, count]) => `${code}: ${count}`).join(', ')}`)
  console.log(
    `well-behaved client: ${health.sent} sent, ${health.received} received, send ms p50 ${health.send.p50.toFixed(1)} p99 ${health.send.p99.toFixed(1)} max ${health.send.max.toFixed(1)}`
  )
  console.log(`warnings:\n${end.warnings.join('\n')}`)
  const complaints = judge(report)
  console.log(complaints.length === 0 ? 'nothing to complain about' : complaints.join('\n'))
  process.exitCode = complaints.length === 0 ? 0 : 1
} finally {
  await rm(directory, { recursive: true, force: true })
}
