/**
 * What the store costs for each message of 1 KiB, without network and disk: append, entry, apply, answer.
 * `node build/bench/storeAppend.js [seconds] [bodyBytes]`; one thread, an in-memory log that commits at once.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { collectedBlocks, createRealPlatform, silentLogger } from '../src/platform/index.ts'
import { encodeProperties } from '../src/protocol/index.ts'
import type { Entry, ProposalSource, RaftNode, StateMachine } from '../src/raft/index.ts'
import { ENTRY_HEADER_BYTES } from '../src/raft/index.ts'
import { type AppendWaiter, openStore } from '../src/store/index.ts'

const seconds = Number(process.argv[2] ?? 3)
const bodyBytes = Number(process.argv[3] ?? 1024)
/** 4 connections with 64 in flight. */
const IN_FLIGHT = 256
const QUEUES = 16

class Waiter implements AppendWaiter {
  queueOffset = 0
  physicalOffset = 0
  storeTimestamp = 0
  stored(): void {
    told += 1
  }
  failed(reason: string): void {
    throw new Error(reason)
  }
}

let told = 0
let source!: ProposalSource
let machine!: StateMachine
let index = 0
let position = 0
let encodeMs = 0
let applyMs = 0
const node = {
  ready: true,
  diskRoom: true,
  timeMs: () => 1_700_000_000_000 + index,
  durableIndex: 0,
  term: 1,
  leaderId: 'n0',
  log: { startPosition: 0, committedPosition: 0, peek: () => null, read: () => Promise.reject() },
  start: async () => {},
  stop: async () => {},
  wake: () => {},
  segments: () => [],
  status: () => ({ ready: true, term: 1, peers: [] })
} as unknown as RaftNode & { durableIndex: number }

function commitAll(): void {
  const entries: Entry[] = []
  for (;;) {
    const proposal = source.take()
    if (proposal === null) break
    index += 1
    proposal.seal(position + ENTRY_HEADER_BYTES, 1_700_000_000_000 + index)
    proposal.appended(index, 1)
    const { kind, flags, count, bytes } = proposal
    entries.push({
      index,
      term: 1,
      position,
      kind,
      flags,
      count,
      timeMs: 1_700_000_000_000 + index,
      bytes
    })
    position += bytes.length
  }
  const started = performance.now()
  machine.apply(entries)
  applyMs += performance.now() - started
  node.durableIndex = index
}

const directory = mkdtempSync(join(tmpdir(), 'ledgermq-bench-'))
const store = await openStore({
  platform: { ...createRealPlatform(), blocks: collectedBlocks },
  logger: silentLogger,
  directory,
  raft: { segmentBytes: 1024 ** 3 } as never,
  openNode: async (_options, proposals, applied) => {
    source = proposals
    machine = applied
    return node
  },
  diskFullPercent: 100
})
await store.start()
machine.roleChanged(node.status())

const body = Buffer.alloc(bodyBytes, 'x')
const host = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f])
const properties = Array.from({ length: IN_FLIGHT }, (_, i) =>
  encodeProperties([
    ['UNIQ_KEY', `7F000001A2B418B4AAC2${String(i).padStart(12, '0')}`],
    ['WAIT', 'true'],
    ['TAGS', 'TagA'],
    ['CLUSTER', 'RaftCluster']
  ])
)
const messages = properties.map((text, i) => ({
  topic: 'BenchmarkTopic',
  queueId: i % QUEUES,
  flag: 0,
  sysFlag: 0,
  bornTimestamp: 1_700_000_000_000,
  bornHost: host,
  storeHost: host,
  reconsumeTimes: 0,
  preparedTransactionOffset: 0,
  body,
  properties: text
}))

/** As many as in flight, one turn of the event loop each 50 rounds, so that checkpoints and runs are written meanwhile. */
async function run(forMs: number): Promise<number> {
  const started = performance.now()
  let sent = 0
  while (performance.now() - started < forMs) {
    for (let round = 0; round < 50; round++) {
      const before = performance.now()
      for (const message of messages) {
        const refusal = store.append(message, new Waiter())
        if (refusal !== null) throw new Error(refusal)
      }
      encodeMs += performance.now() - before
      sent += messages.length
      commitAll()
    }
    await new Promise(resolve => setImmediate(resolve))
  }
  return sent
}

await run(500)
told = encodeMs = applyMs = 0
const cpu = process.cpuUsage()
const started = performance.now()
const sent = await run(seconds * 1000)
const wallMs = performance.now() - started
const used = process.cpuUsage(cpu)
if (told !== sent) throw new Error(`${sent} sent, ${told} told`)
const micro = (ms: number): string => ((ms * 1000) / sent).toFixed(2)
console.log(
  `${sent} messages of ${bodyBytes} B: ${micro(wallMs)} µs a message (append ${micro(encodeMs)}, apply and answer ${micro(applyMs)}), ` +
    `CPU of all threads ${micro((used.user + used.system) / 1000)} µs, ${Math.round((sent / wallMs) * 1000)} messages/s, Node ${process.version}`
)
await store.stop()
rmSync(directory, { recursive: true })
