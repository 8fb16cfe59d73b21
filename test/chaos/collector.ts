/** The process that writes a run's history down and judges it: `collector.js SERVER`. */
import { createWriteStream, type WriteStream } from 'node:fs'
import process from 'node:process'
import { finished } from 'node:stream/promises'
import { BUCKET_MS, type Outage, outages } from './availability.ts'
import { Bus, Subject } from './bus.ts'
import { check, type Findings } from './check.ts'
import { readHistory, sharedNowMs } from './events.ts'
import { pause, RULES } from './topics.ts'

export type CollectorRequest =
  | { op: 'open'; file: string }
  /** Source → number of its batches; rejects when one is missing. */
  | { op: 'judge'; batches: Record<string, number> }

export interface Judgement {
  findings: Findings
  outages: Outage[]
  /** Acknowledged sends of each `BUCKET_MS` from the first send on. */
  buckets: number[]
  firstMs: number
}

const COMPLETE_TIMEOUT_MS = 20_000

const [server = ''] = process.argv.slice(2)
const bus = await Bus.open(server)
bus.exitWithServer()
let file = ''
let output: WriteStream | null = null
const received = new Map<string, number>()

bus.onText(`${Subject.history}.>`, (data, subject) => {
  const [source = '', number = ''] = subject.slice(Subject.history.length + 1).split('.')
  const expected = received.get(source) ?? 0
  if (Number(number) !== expected) {
    throw new Error(`history of ${source}: batch ${number} came when ${expected} was due`)
  }
  received.set(source, expected + 1)
  output?.write(`${data}\n`)
})

bus.serve<CollectorRequest>(Subject.collector, async request => {
  if (request.op === 'open') {
    file = request.file
    output = createWriteStream(file)
    received.clear()
    return null
  }
  await complete(request.batches)
  output?.end()
  if (output !== null) await finished(output)
  output = null
  return judge(file)
})

async function complete(batches: Record<string, number>): Promise<void> {
  const deadlineMs = sharedNowMs() + COMPLETE_TIMEOUT_MS
  for (const [source, count] of Object.entries(batches)) {
    while ((received.get(source) ?? 0) < count) {
      if (sharedNowMs() > deadlineMs) {
        throw new Error(
          `history of ${source}: ${received.get(source) ?? 0} of ${count} batches came`
        )
      }
      await pause(10)
    }
  }
}

function judge(history: string): Judgement {
  const events = readHistory(history)
  const acknowledged = events.filter(event => event.op === 'send' && event.kind === 'ok')
  const firstMs = events.find(event => event.op === 'send')?.at ?? 0
  const buckets: number[] = []
  for (const { at } of acknowledged) {
    const bucket = Math.max(0, Math.floor((at - firstMs) / BUCKET_MS))
    while (buckets.length <= bucket) buckets.push(0)
    buckets[bucket]! += 1
  }
  return { findings: check(events, RULES), outages: outages(events), buckets, firstMs }
}
