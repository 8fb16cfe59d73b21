/**
 * What it costs to tell a repeated send from another (src/broker/send/openSends.ts), ns for each message of 1 KiB: while nothing is open,
 * and while a thousand sends are. `node build/bench/repeatedSends.js [messages]`; one thread, nothing is stored.
 */
import process from 'node:process'
import { OpenSends } from '../src/broker/send/openSends.ts'
import { createRealPlatform, silentLogger } from '../src/platform/index.ts'
import {
  encodeProperties,
  type MessageFields,
  SendHeader,
  storedMessageSize,
  writeStoredMessage
} from '../src/protocol/index.ts'
import type { Connection } from '../src/remoting/index.ts'
import type { InheritedMessage, Store } from '../src/store/index.ts'

const messages = Number(process.argv[2] ?? 2_000_000)
const { clock } = createRealPlatform()
const body = Buffer.alloc(1_024, 'x')
const host = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f])

function properties(key: string): Buffer {
  return encodeProperties([
    ['UNIQ_KEY', `7F000001000018B4AAC2${key.padStart(12, '0')}`],
    ['WAIT', 'true'],
    ['TAGS', 'TagA']
  ])
}

function stored(key: string): Buffer {
  const fields: MessageFields = {
    topicBytes: Buffer.from('BenchmarkTest'),
    queueId: 0,
    flag: 0,
    queueOffset: 0,
    sysFlag: 0,
    bornTimestamp: 1,
    bornHost: host,
    storeTimestamp: 1,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body,
    properties: properties(key)
  }
  const bytes = Buffer.alloc(storedMessageSize(fields))
  writeStoredMessage(bytes, 0, fields)
  return bytes
}

let inherit: (message: InheritedMessage) => void = () => {}
const store = {
  timeMs: () => 1,
  onInherited: (listener: typeof inherit) => {
    inherit = listener
  }
} as unknown as Store
const open = new OpenSends({
  clock,
  logger: silentLogger,
  store,
  outcome: { answer: () => {}, fail: () => {}, recallHandle: () => null },
  windowMs: () => 600_000
})
const connection = {} as Connection
const header = new SendHeader()
header.topic = 'BenchmarkTest'
header.propertiesSource = properties('ffff')
header.propertiesBytes = header.propertiesSource.length

function measure(): number {
  const startedMs = clock.monotonicMs()
  let taken = 0
  for (let i = 0; i < messages; i++)
    if (open.size > 0 && open.take(header, body, connection)) taken += 1
  if (taken > 0) throw new Error(`${taken} sends were taken for repeated ones`)
  return ((clock.monotonicMs() - startedMs) * 1e6) / messages
}

measure()
const idle = measure()
for (let i = 0; i < 1_000; i++) inherit({ bytes: stored(String(i)), at: 0, timeMs: 1 })
measure()
const busy = measure()
open.clear()
process.stdout.write(
  `nothing open: ${idle.toFixed(1)} ns a message; 1000 open: ${busy.toFixed(0)} ns a message\n`
)
