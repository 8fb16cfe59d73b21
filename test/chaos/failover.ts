/**
 * A real cluster of real processes is disturbed again and again while a producer and a consumer work; then what they saw is checked.
 *
 *   node build/test/chaos/failover.js [--scenario kill-leader|pause-leader|kill-all|restart-leader] [--rounds 20] [--keep]
 *
 * Takes PORT_OFFSET (default 3000). Prints a line a round, the findings, and ends with status 1 when something does not hold.
 */
import process from 'node:process'
import { parseArgs } from 'node:util'
import {
  Admin,
  ClientError,
  type MessageQueue,
  Producer,
  PullConsumer,
  PushConsumer
} from '../../src/client/index.ts'
import { readCluster } from '../../src/launch/fastTry/cluster.ts'
import { run } from '../../src/launch/fastTry/commands.ts'
import { type Member, parsePortOffset, readLayout } from '../../src/launch/fastTry/layout.ts'
import { Processes } from '../../src/launch/fastTry/processes.ts'
import type { Session } from '../../src/launch/fastTry/session.ts'
import { createRealPlatform } from '../../src/platform/index.ts'
import { type Acknowledged, type CommittedSample, check, longestGap, type Seen } from './history.ts'

const SCENARIOS = ['kill-leader', 'pause-leader', 'kill-all', 'restart-leader'] as const
type Scenario = (typeof SCENARIOS)[number]

const CLUSTER = 'RaftCluster'
const TOPIC = 'Failover'
const GROUP = 'failover_group'
const LANES = 4
/** Undisturbed time before each fault. */
const CALM_MS = 2000
const PAUSE_MS = 30_000
const SAMPLE_MS = 200
const RETRY_PAUSE_MS = 20
/** A new leader takes writes within this after a kill -9 of the old one. */
const GAP_MAX_MS = 2000
const SETTLE_TIMEOUT_MS = 60_000

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'kill-leader' },
    rounds: { type: 'string', default: '20' },
    keep: { type: 'boolean', default: false }
  }
})
const scenario = SCENARIOS.find(name => name === values.scenario)
if (scenario === undefined) throw new Error(`--scenario: use one of ${SCENARIOS.join(', ')}`)

const platform = createRealPlatform()
const root = process.cwd()
const layout = await readLayout(
  root,
  parsePortOffset(process.env['PORT_OFFSET'] ?? '3000'),
  platform.disk
)
const session: Session = {
  platform,
  layout,
  processes: new Processes(root, platform),
  print: () => {},
  mqadmin: async () => 0
}
const client = { nameServers: layout.namesrvAddress, platform }

const nowMs = (): number => platform.clock.monotonicMs()
const pause = (ms: number): Promise<void> => session.processes.pause(ms)

async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadlineMs = nowMs() + SETTLE_TIMEOUT_MS
  while (!(await holds())) {
    if (nowMs() > deadlineMs) throw new Error(`${what}: not within ${SETTLE_TIMEOUT_MS} ms`)
    await pause(50)
  }
}

async function leader(): Promise<Member> {
  let found: Member | null = null
  await until('a leader', async () => {
    found = (await readCluster(session)).leader
    return found !== null
  })
  return found!
}

async function signal(member: Member, name: NodeJS.Signals): Promise<void> {
  const pid = await session.processes.pid(member)
  if (pid !== null) process.kill(pid, name)
}

/** Disturbs the cluster; resolves with the moment of the fault when every member runs again. */
async function disturb(kind: Scenario): Promise<number> {
  const victim = await leader()
  const faultMs = nowMs()
  switch (kind) {
    case 'kill-leader':
      await session.processes.kill(victim)
      await until('an acknowledgement after the fault', () => acknowledgedAfter(faultMs))
      await session.processes.start(victim)
      break
    case 'pause-leader':
      await signal(victim, 'SIGSTOP')
      await pause(PAUSE_MS)
      await signal(victim, 'SIGCONT')
      break
    case 'kill-all':
      await Promise.all(layout.brokers.map(member => session.processes.kill(member)))
      await Promise.all(layout.brokers.map(member => session.processes.start(member)))
      break
    case 'restart-leader':
      await session.processes.stop(victim)
      await session.processes.start(victim)
      break
  }
  return faultMs
}

function acknowledgedAfter(momentMs: number): boolean {
  return (acknowledged.at(-1)?.atMs ?? 0) > momentMs
}

const acknowledged: Acknowledged[] = []
const delivered: Seen[] = []
const committed: CommittedSample[] = []
let failures = 0
let working = true

/** One message after the other to one queue; the same again until it is acknowledged. */
async function lane(producer: Producer, number: number, queue: MessageQueue): Promise<void> {
  for (let sequence = 0; working; sequence += 1) {
    const body = `${number}:${sequence}`
    for (;;) {
      try {
        const { queueOffset } = await producer.send({ topic: TOPIC, body }, { queue })
        const atMs = nowMs()
        acknowledged.push({ lane: number, sequence, queueId: queue.queueId, queueOffset, atMs })
        break
      } catch (error) {
        if (!(error instanceof ClientError)) throw error
        failures += 1
        await pause(RETRY_PAUSE_MS)
      }
    }
  }
}

async function sampleOffsets(): Promise<void> {
  while (working) {
    try {
      const [address] = await admin.leaders(CLUSTER)
      if (address !== undefined) {
        const stats = await admin.offsets.consumeStats(address, GROUP, TOPIC)
        for (const [{ queueId }, { consumerOffset }] of stats.offsetTable) {
          if (consumerOffset >= 0) committed.push({ queueId, offset: consumerOffset })
        }
      }
    } catch (error) {
      if (!(error instanceof ClientError)) throw error // no leader just now, or the group has no offset yet
    }
    await pause(SAMPLE_MS)
  }
}

async function readAll(reader: PullConsumer, queue: MessageQueue): Promise<Seen[]> {
  const seen: Seen[] = []
  const end = await reader.maxOffset(queue)
  for (let offset = 0; offset < end; ) {
    const page = await reader.fetch(queue, offset, { maxMessages: 32 })
    for (const { queueOffset, body } of page.messages) {
      seen.push({ queueId: queue.queueId, queueOffset, body: body.toString() })
    }
    offset = page.nextOffset
  }
  return seen
}

await run(session, 'clean', null)
await run(session, 'start', null)
const admin = new Admin(client)
await admin.createTopic(CLUSTER, TOPIC, { queues: LANES })

const producer = new Producer({ ...client, group: 'failover_producer' })
await producer.start()
// Not in the consumer's group: as a member it would get half of the queues.
const reader = new PullConsumer({ ...client, group: 'failover_reader' })
await reader.start()
const consumer = new PushConsumer({
  ...client,
  group: GROUP,
  consumeFrom: 'first',
  persistIntervalMs: 1000,
  listener: messages => {
    for (const { queue, queueOffset, body } of messages) {
      delivered.push({ queueId: queue.queueId, queueOffset, body: body.toString() })
    }
  }
})
consumer.subscribe(TOPIC)
await consumer.start()
const queues = await producer.queues(TOPIC)
const lanes = queues.map((queue, number) => lane(producer, number, queue))
const sampling = sampleOffsets()

const gaps: number[] = []
for (let round = 1; round <= Number(values.rounds); round += 1) {
  await pause(CALM_MS)
  const faultMs = await disturb(scenario)
  await until('an acknowledgement after the fault', () => acknowledgedAfter(nowMs() - 100))
  const gap = Math.round(longestGap(acknowledged, faultMs))
  gaps.push(gap)
  const now = await leader()
  console.log(
    `round ${round}: ${scenario}, ${gap} ms without an acknowledgement, leader ${now.name}`
  )
}

working = false
await Promise.all([...lanes, sampling])
const stored = (await Promise.all(queues.map(queue => readAll(reader, queue)))).flat()
const everything = new Set(stored.map(seen => seen.body))
await until(
  'delivery of everything',
  () => new Set(delivered.map(seen => seen.body)).size >= everything.size
).catch((error: Error) => console.log(error.message))
await Promise.all([producer.close(), consumer.close(), reader.close(), admin.close()])

const findings = check({ acknowledged, stored, delivered, committed })
const { violations } = findings
if (scenario === 'kill-leader') {
  const slow = gaps.filter(gap => gap > GAP_MAX_MS)
  if (slow.length > 0) violations.push(`gaps above ${GAP_MAX_MS} ms: ${slow.join(', ')}`)
}
gaps.sort((a, b) => a - b)
console.log(
  `gaps in ms: least ${gaps[0]}, median ${gaps[gaps.length >> 1]}, most ${gaps.at(-1)}; ` +
    `${findings.acknowledged} acknowledged, ${findings.stored} stored, ${findings.delivered} delivered, ` +
    `${findings.duplicates} stored twice by a repeated send, ${failures} sends failed and were repeated, ` +
    `${committed.length} offsets looked at`
)
for (const violation of violations) console.log(`VIOLATION ${violation}`)
if (!values.keep) await run(session, 'clean', null)
process.exit(violations.length === 0 ? 0 : 1)
