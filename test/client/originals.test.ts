import { readFileSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { compressorOf, unpackBody } from '../../src/client/compression.ts'
import {
  type AllocationStrategy,
  allocateQueues,
  averageAllocation,
  circleAllocation,
  consistentHashAllocation,
  type MessageQueue,
  machineRoomAllocation,
  nearbyAllocation,
  splitBatch
} from '../../src/client/index.ts'
import { LatencyFaults } from '../../src/client/latency.ts'
import { decodeLz4Frame } from '../../src/client/lz4.ts'
import { Namespace } from '../../src/client/namespace.ts'
import { roundRobin } from '../../src/client/sender.ts'
import {
  afterConsumeRecord,
  beforeConsumeRecord,
  endTransactionRecord,
  publishRecord,
  recallRecord,
  TraceMessageKind,
  TraceOutcome
} from '../../src/client/traceRecords.ts'
import { MessageSysFlag } from '../../src/protocol/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'

/** Made with RocketMQ's Java client 5.3.3; 4.9.8 divides queues in the same way. */
const FOLDER = 'test/vectors/client'

interface Allocation {
  readonly strategy: string
  readonly brokers: readonly string[]
  /** Of each broker. */
  readonly queues: number
  readonly clients: readonly string[]
  /** Of each client, as `broker:queue`. */
  readonly given: readonly string[]
}

const rooms = {
  ofQueue: ({ brokerName }: MessageQueue) => brokerName.split('@')[0]!,
  ofClient: (client: string) => client.split('-')[0]!
}
const STRATEGIES: Readonly<Record<string, AllocationStrategy>> = {
  AVG: averageAllocation,
  AVG_BY_CIRCLE: circleAllocation,
  CONSISTENT_HASH: consistentHashAllocation(),
  'CONSISTENT_HASH-3': consistentHashAllocation(3),
  MACHINE_ROOM: machineRoomAllocation(['roomA', 'roomC']),
  'MACHINE_ROOM_NEARBY-AVG': nearbyAllocation(rooms),
  'MACHINE_ROOM_NEARBY-AVG_BY_CIRCLE': nearbyAllocation(rooms, circleAllocation)
}

t.test('each strategy gives each member the queues that the original gives it', async t => {
  const all = JSON.parse(readFileSync(`${FOLDER}/allocations.json`, 'utf8')) as Allocation[]
  t.equal(new Set(all.map(each => each.strategy)).size, Object.keys(STRATEGIES).length)
  for (const { strategy, brokers, queues, clients, given } of all) {
    const every = brokers.flatMap(brokerName =>
      Array.from({ length: queues }, (_, queueId) => ({ topic: 'Topic-a1', brokerName, queueId }))
    )
    const ours = clients.map(self =>
      allocateQueues(STRATEGIES[strategy]!, self, every.toReversed(), clients.toReversed())
        .map(queue => `${queue.brokerName}:${queue.queueId}`)
        .join(' ')
    )
    t.strictSame(ours, given, `${strategy} ${brokers.join()} × ${queues}, ${clients.length}`)
  }
  t.equal(nearbyAllocation(rooms).name, 'MACHINE_ROOM_NEARBY-AVG')
  t.throws(() => consistentHashAllocation(0), { code: 'BAD_ARGUMENT' })
  const nowhere = nearbyAllocation({ ...rooms, ofClient: () => '' })
  t.throws(() => allocateQueues(nowhere, 'c', [{ topic: 'T', brokerName: 'b', queueId: 0 }], ['c']))
})

const encodings = JSON.parse(readFileSync(`${FOLDER}/encodings.json`, 'utf8')) as Record<
  string,
  string
> & { largeCrc: number }
const bytes = (name: string): Buffer => Buffer.from(encodings[name]!, 'base64')

t.test('trace records are those of the original', async t => {
  const common = { timeMs: 1795216628923, region: 'DefaultRegion', group: 'Group' }
  const message = { topic: 'Topic', messageId: '0A0B0C', tags: 'TagA', keys: 'k1 k2' }
  const bare = { ...message, tags: null, keys: null }
  const sent = {
    ...common,
    storeHost: '192.0.2.1:10911',
    bodyBytes: 11,
    costMs: 7,
    offsetMessageId: 'C0000201',
    success: true
  }
  const same = (text: string, name: string): void => {
    t.equal(text, bytes(name).toString(), name)
  }
  same(publishRecord({ ...sent, ...message, kind: TraceMessageKind.delay }), 'publish')
  same(publishRecord({ ...sent, ...bare, kind: TraceMessageKind.normal }), 'publishBare')
  const trace = { ...common, requestId: 'REQ' }
  const before = [message, bare].map(each => beforeConsumeRecord(trace, each, 2))
  same(before.join(''), 'beforeConsume')
  const end = { costMs: 7, success: false, outcome: TraceOutcome.exception }
  const after = [message, bare].map(each => afterConsumeRecord(trace, each, end))
  same(after.join(''), 'afterConsume')
  const transaction = { transactionId: 'TX', verdict: 'ROLLBACK_MESSAGE', fromCheck: true } as const
  same(endTransactionRecord({ ...sent, ...message, ...transaction }), 'endTransaction')
  same(recallRecord({ ...common, ...bare, success: true }), 'recall')
})

t.test('bodies are unpacked whichever of the compressions made them', async t => {
  const plain = bytes('plain')
  const flagOf = (kind: number): number => MessageSysFlag.compressed | kind
  const { compressionLz4, compressionZlib, compressionZstd } = MessageSysFlag
  t.strictSame(unpackBody(bytes('packedLZ4'), flagOf(compressionLz4)).body, plain)
  t.strictSame(unpackBody(bytes('packedZLIB'), flagOf(compressionZlib)).body, plain)
  t.strictSame(unpackBody(bytes('packedZLIB'), flagOf(0)).body, plain, 'as clients before 5.0')
  t.equal(crc32(unpackBody(bytes('largeLZ4'), flagOf(compressionLz4)).body), encodings.largeCrc)
  const zstd = unpackBody(bytes('packedZSTD'), flagOf(compressionZstd))
  const hasZstd = 'zstdDecompressSync' in (await import('node:zlib'))
  t.strictSame(zstd.body, hasZstd ? plain : bytes('packedZSTD'))
  t.equal(zstd.undecoded, hasZstd ? null : 'ZSTD')

  const zlib = compressorOf('zlib', 9)
  t.strictSame(unpackBody(zlib.pack(plain), zlib.sysFlag), { body: plain, undecoded: null })
  t.throws(() => compressorOf('zlib', 10), { code: 'BAD_ARGUMENT' })
  if (hasZstd) {
    const own = compressorOf('zstd', 3)
    t.strictSame(unpackBody(own.pack(plain), own.sysFlag), { body: plain, undecoded: null })
  } else t.throws(() => compressorOf('zstd', 3), { code: 'BAD_ARGUMENT' })
})

t.test('a damaged LZ4 frame is an error, whatever the damage', async t => {
  const whole = bytes('packedLZ4')
  for (let length = 0; length < whole.length - 4; length++) {
    t.throws(() => decodeLz4Frame(whole.subarray(0, length), 1_000_000), `${length} bytes`)
  }
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole)
    damaged[at] = damaged[at]! ^ 0xff
    // Some damage is only in text; none may hang or go past the limit.
    try {
      t.ok(decodeLz4Frame(damaged, 100_000).length <= 100_000)
    } catch (error) {
      t.type(error, RangeError, `byte ${at}`)
    }
  }
  t.throws(() => decodeLz4Frame(whole, 100), { message: /over 100 bytes/ })
  t.strictSame(unpackBody(whole.subarray(0, 50), 0x101).undecoded, 'LZ4')
})

t.test('names are wrapped in a namespace as the original wraps them', async t => {
  const space = new Namespace('NS')
  t.equal(space.full('T'), 'NS%T')
  t.equal(space.full('NS%T'), 'NS%T')
  t.equal(space.full('%RETRY%G'), '%RETRY%NS%G')
  t.equal(space.full('%DLQ%NS%G'), '%DLQ%NS%G')
  t.equal(space.full('RMQ_SYS_TRACE_TOPIC'), 'RMQ_SYS_TRACE_TOPIC')
  t.equal(space.plain('NS%T'), 'T')
  t.equal(space.plain('%RETRY%NS%G'), '%RETRY%G')
  t.equal(space.plain('OTHER%T'), 'OTHER%T')
  const none = new Namespace('')
  t.equal(none.full('T'), 'T')
  t.equal(none.plain('NS%T'), 'NS%T')
})

t.test('slow and failing broker groups are left out for a while', async t => {
  const clock = new FakeClock()
  const faults = new LatencyFaults(clock)
  const queues = ['a', 'b', 'c'].map(brokerName => ({ topic: 'T', brokerName, queueId: 0 }))
  const choose = roundRobin(0, faults)
  const chosen = (avoid: string | null = null): string => {
    const names = Array.from({ length: 6 }, () => choose(queues, avoid).brokerName)
    return [...new Set(names)].sort().join('')
  }
  t.equal(chosen(), 'abc')
  t.equal(chosen('a'), 'bc', 'not the one that just failed')
  faults.ended('a', 99, 'answered')
  faults.ended('b', 600, 'answered')
  t.equal(chosen(), 'ac', 'slow: out for 2 s')
  clock.advance(1_999)
  t.equal(chosen(), 'ac')
  clock.advance(1)
  t.equal(chosen(), 'abc')
  faults.ended('a', 5, 'unreachable')
  faults.ended('b', 3_000, 'answered')
  faults.ended('c', 5, 'failed')
  t.equal(chosen(), 'bc', 'none is good: the ones that can be reached')
  clock.advance(6_000)
  t.equal(chosen(), 'b', 'a failure counts as 10 s: out for 10 s')
  clock.advance(4_000)
  t.equal(chosen(), 'abc')
  for (const { brokerName } of queues) faults.ended(brokerName, 5, 'unreachable')
  t.equal(chosen(), 'abc', 'nothing is better than anything')
})

t.test('messages are cut into batches by bytes and by topic', async t => {
  const message = (topic: string, bytes: number): { topic: string; body: Buffer } => ({
    topic,
    body: Buffer.alloc(bytes)
  })
  const sizes = (
    given: readonly ReturnType<typeof message>[],
    bytesMax?: number
  ): readonly number[] => [...splitBatch(given, bytesMax)].map(batch => batch.length)
  const many = Array.from({ length: 5 }, () => message('A', 1_000))
  t.strictSame(sizes(many), [5])
  t.strictSame(sizes(many, 3_000), [2, 2, 1])
  t.strictSame(sizes(many, 1), [1, 1, 1, 1, 1], 'a large one goes alone')
  t.strictSame(
    sizes([message('A', 1), message('A', 1), message('B', 1), message('A', 1)]),
    [2, 1, 1]
  )
  t.strictSame(sizes([]), [])
  t.throws(() => [...splitBatch([], 0)], { code: 'BAD_ARGUMENT' })
})
