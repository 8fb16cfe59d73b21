import t from 'tap'
import { createRealPlatform } from '../../src/platform/index.ts'
import { ENTRY_HEADER_BYTES, EntryKind, NotLeaderError } from '../../src/raft/index.ts'
import type { Command, GroupSettings, Store, TopicSettings } from '../../src/store/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { openFake, openLeader } from './helpers.ts'

const topic = (topicName: string, perm = 6): TopicSettings => ({
  topicName,
  readQueueNums: 4,
  writeQueueNums: 4,
  perm,
  topicFilterType: 'SINGLE_TAG',
  topicSysFlag: 0,
  order: false,
  attributes: { 'queue.type': 'Simple' }
})

const group = (groupName: string): GroupSettings => ({
  groupName,
  consumeEnable: true,
  consumeFromMinEnable: true,
  consumeBroadcastEnable: true,
  retryQueueNums: 1,
  retryMaxTimes: 16,
  brokerId: 0,
  whichBrokerWhenConsumeSlowly: 1,
  notifyConsumerIdsChangedEnable: true,
  consumeTimeoutMinute: 15
})

const offset = (queueId: number, value: number, name = 'G') => ({
  group: name,
  topic: 'T',
  queueId,
  offset: value
})

t.test('topics and groups are kept as given, with a version that counts changes', async t => {
  const { store, log } = await openLeader(t.testdir())
  const changes: unknown[] = []
  store.onTables(change => changes.push(change))
  t.match(await store.execute({ type: 'putTopic', topic: topic('T') }), { changed: true })
  t.match(await store.execute({ type: 'putTopic', topic: topic('T', 4), ifAbsent: true }), {
    changed: false
  })
  t.strictSame(store.tables.topics.get('T'), topic('T'))
  t.match(await store.execute({ type: 'putTopic', topic: topic('T', 4) }), { changed: true })
  t.equal(store.tables.topics.get('T')?.perm, 4)
  t.strictSame({ ...store.tables.topicsVersion }, { counter: 2, timestamp: log.timeMs })
  await store.execute({ type: 'putGroup', group: group('G') })
  t.strictSame(store.tables.groups.get('G'), group('G'))
  await store.execute({ type: 'setOffsets', offsets: [offset(0, 5)] })
  await store.execute({ type: 'deleteGroup', group: 'G' })
  t.equal(store.tables.groups.has('G'), false)
  t.equal(store.tables.consumerOffset('G', 'T', 0), 5)
  await store.execute({ type: 'deleteGroup', group: 'G', cleanOffsets: true })
  t.equal(store.tables.consumerOffset('G', 'T', 0), -1)
  t.match(await store.execute({ type: 'deleteTopic', topic: 'nobody' }), { changed: false })
  await store.execute({ type: 'putBrokerConfig', entries: { a: '1', b: '2' } })
  await store.execute({ type: 'putBrokerConfig', entries: { a: null } })
  t.strictSame([...store.tables.brokerConfig], [['b', '2']])
  await store.execute({ type: 'deleteTopic', topic: 'T' })
  t.strictSame(changes, [
    { topics: true, deletedTopics: [], groups: false, brokerConfig: false },
    { topics: true, deletedTopics: [], groups: false, brokerConfig: false },
    { topics: false, deletedTopics: [], groups: true, brokerConfig: false },
    { topics: false, deletedTopics: [], groups: true, brokerConfig: false },
    { topics: false, deletedTopics: [], groups: true, brokerConfig: false },
    { topics: false, deletedTopics: [], groups: false, brokerConfig: true },
    { topics: false, deletedTopics: [], groups: false, brokerConfig: true },
    { topics: true, deletedTopics: ['T'], groups: false, brokerConfig: false }
  ])
  await store.stop()
})

t.test('offsets are found by group and by topic, and deleted by either', async t => {
  const { store } = await openLeader(t.testdir())
  const all = ['A', 'B'].flatMap(name =>
    ['T', 'U'].map(topic => ({ group: name, topic, queueId: 1, offset: 9 }))
  )
  await store.execute({ type: 'setOffsets', offsets: all })
  t.strictSame(store.tables.groupsOf('T'), ['A', 'B'])
  t.strictSame(store.tables.topicsOf('A'), ['T', 'U'])
  await store.execute({ type: 'deleteOffsets', group: 'A', topic: 'T' })
  t.strictSame(store.tables.groupsOf('T'), ['B'])
  await store.execute({ type: 'deleteOffsets', group: 'B' })
  t.strictSame(store.tables.topicsOf('B'), [])
  t.equal(store.tables.consumerOffset('A', 'U', 1), 9)
  await store.stop()
})

t.test('locks are granted when free, own or expired by the time of the log', async t => {
  const { store, log } = await openLeader(t.testdir())
  const queues = [0, 1, 2].map(queueId => ({ topic: 'T', queueId }))
  t.strictSame(await store.lockQueues('G', 'a', queues.slice(0, 2)), queues.slice(0, 2))
  t.strictSame(await store.lockQueues('G', 'b', queues), queues.slice(2))
  t.strictSame(await store.lockQueues('H', 'b', queues), queues, 'another group has its own')
  log.timeMs += 60_000
  t.strictSame(
    await store.lockQueues('G', 'a', queues),
    queues.slice(0, 2),
    'renewed at the last moment'
  )
  log.timeMs += 1
  t.strictSame(await store.lockQueues('G', 'c', queues), queues.slice(2), 'b let go')
  await store.execute({ type: 'unlockQueues', group: 'G', clientId: 'b', queues })
  t.strictSame(await store.lockQueues('G', 'b', queues), [], 'not its to unlock')
  await store.execute({ type: 'unlockQueues', group: 'G', clientId: 'a', queues })
  t.strictSame(await store.lockQueues('G', 'b', queues), queues.slice(0, 2))
  t.equal(store.tables.lockOwner('G', queues[2]!, log.timeMs), 'c')
  t.equal(store.tables.lockOwner('G', queues[2]!, log.timeMs + 60_001), null)
  await store.stop()
})

t.test('a command of a type from the future stops the node with a sentence', async t => {
  const { store, node, log } = await openFake(t.testdir())
  node.lead()
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + 8)
  bytes.writeUInt16BE(9_999, ENTRY_HEADER_BYTES)
  bytes.writeUInt32BE(2, ENTRY_HEADER_BYTES + 2)
  log.append(EntryKind.commands, 0, 1, bytes)
  t.throws(() => node.commit(), /type 9999.*upgrade this broker/)
  await store.stop()
})

t.test('an entry that is not what it says stops the node', async t => {
  const { store, node, log } = await openFake(t.testdir())
  node.lead()
  log.append(EntryKind.messages, 0, 1, Buffer.alloc(ENTRY_HEADER_BYTES + 200))
  t.throws(() => node.commit(), /no message/)
  await store.stop()
})

function offsetsIn(store: Store, queues: number): number[] {
  return Array.from({ length: queues }, (_, queueId) =>
    store.tables.consumerOffset('G', 'T', queueId)
  )
}

t.test('consumer offsets of 100 ms go as one command, the last value for each queue', async t => {
  const clock = new FakeClock()
  const { store, node, log } = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock }
  })
  t.equal(store.commitOffset(offset(0, 1)), false, 'not while it does not lead')
  node.lead()
  const entries = log.entries.length
  for (let i = 1; i <= 50; i++) {
    t.equal(store.commitOffset(offset(0, i)), true)
    store.commitOffset(offset(1, i * 2))
  }
  node.commit()
  t.equal(log.entries.length, entries)
  clock.advance(100)
  node.commit()
  t.equal(log.entries.length, entries + 1)
  t.equal(log.entries.at(-1)?.count, 1)
  t.strictSame(offsetsIn(store, 2), [50, 100])
  store.commitOffset(offset(0, 50))
  store.commitOffset(offset(1, 7))
  clock.advance(1_000)
  node.commit()
  t.equal(log.entries.length, entries + 1, 'unchanged ones and steps back are no entry')
  await store.stop()
})

t.test('an explicit commit may go back, one that rides on a pull does not', async t => {
  const clock = new FakeClock()
  const { store, node } = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock }
  })
  node.lead()
  store.commitOffset(offset(0, 50))
  clock.advance(100)
  node.commit()
  store.commitOffset(offset(0, 20), { mayGoBack: true })
  store.commitOffset(offset(0, 10))
  clock.advance(100)
  node.commit()
  t.strictSame(offsetsIn(store, 1), [20])
  store.commitOffset(offset(0, 5), { mayGoBack: true })
  store.commitOffset(offset(0, 8))
  clock.advance(100)
  node.commit()
  t.strictSame(offsetsIn(store, 1), [8])
  await store.stop()
})

t.test('an offset whose entry took too long is not proposed again behind a newer one', async t => {
  const clock = new FakeClock()
  const { store, node } = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock }
  })
  node.lead()
  clock.advance(160)
  for (const value of [10, 20, 30]) {
    store.commitOffset(offset(0, value), { mayGoBack: true })
    clock.advance(100)
    node.propose()
  }
  store.commitOffset(offset(1, 7), { mayGoBack: true })
  clock.advance(100)
  node.propose()
  // All of them time out, at one look; what is tried again is the newest value of each queue.
  clock.advance(2_500)
  node.commit()
  clock.advance(200)
  node.commit()
  t.strictSame(offsetsIn(store, 2), [30, 7])
  await store.stop()
})

t.test(
  'who asks for an offset waits for what was taken before, not for what comes later',
  async t => {
    const clock = new FakeClock()
    const { store, node, log } = await openFake(t.testdir(), {
      platform: { ...createRealPlatform(), clock }
    })
    node.lead()
    store.commitOffset(offset(0, 1))
    let settled = false
    const before = store.flushOffsets().then(() => {
      settled = true
    })
    node.propose()
    const firstIndex = log.entries.length
    store.commitOffset(offset(0, 2))
    clock.advance(100)
    node.propose()
    await new Promise(resolve => setImmediate(resolve))
    t.equal(settled, false)
    t.ok(log.entries.length > firstIndex)
    node.commit(firstIndex)
    await new Promise(resolve => setImmediate(resolve))
    t.equal(settled, true, 'an offset is always on its way somewhere')
    node.commit()
    await before
    await store.stop()
  }
)

t.test('who asks for an offset waits for what took too long and is tried again', async t => {
  const clock = new FakeClock()
  const { store, node } = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock }
  })
  node.lead()
  store.commitOffset(offset(0, 10), { mayGoBack: true })
  let settled = false
  const asked = store.flushOffsets().then(() => {
    settled = true
  })
  const proposed = node.propose()
  t.equal(proposed, 1)
  clock.advance(3_000)
  await new Promise(resolve => setImmediate(resolve))
  t.equal(settled, false, 'the table does not have it yet')
  node.commit()
  clock.advance(200)
  node.commit()
  await asked
  t.strictSame(offsetsIn(store, 1), [10])
  store.commitOffset(offset(0, 20), { mayGoBack: true })
  const lost = store.flushOffsets()
  node.propose()
  clock.advance(3_000)
  node.follow()
  await lost
  await store.stop()
})

t.test(
  'what a forwarder has held since before the offset was moved back comes too late',
  async t => {
    const clock = new FakeClock()
    const { store, node } = await openFake(t.testdir(), {
      platform: { ...createRealPlatform(), clock }
    })
    node.lead()
    clock.advance(5_000)
    store.commitOffset(offset(0, 50))
    store.commitOffset(offset(0, 30), { mayGoBack: true })
    store.commitOffset(offset(1, 30), { mayGoBack: true })
    clock.advance(500)
    t.equal(store.commitOffset(offset(0, 99), { ageMs: 600 }), true)
    // Held for longer than a smaller one is here, which says nothing of when they were asked for.
    store.commitOffset(offset(1, 99), { ageMs: 600 })
    clock.advance(100)
    node.commit()
    t.strictSame(offsetsIn(store, 2), [30, 99])
    store.commitOffset(offset(0, 31), { ageMs: 50 })
    clock.advance(100)
    node.commit()
    t.strictSame(offsetsIn(store, 1), [31])
    await store.stop()
  }
)

t.test(
  'of two that two members held and that only move forward the larger holds, whichever seems older',
  async t => {
    const clock = new FakeClock()
    const { store, node } = await openFake(t.testdir(), {
      platform: { ...createRealPlatform(), clock }
    })
    node.lead()
    clock.advance(5_000)
    store.commitOffset(offset(0, 63), { ageMs: 462 })
    clock.advance(10)
    // On its way for longer than its forwarder knows of, the first one seems to be the newer.
    const waits = store.commitOffsetAndWait(offset(0, 64), { ageMs: 484 })
    clock.advance(100)
    node.commit()
    await waits
    t.strictSame(offsetsIn(store, 1), [64])
    await store.stop()
  }
)

t.test(
  'who waits for an offset is told when it is applied, or when the leadership is lost',
  async t => {
    const clock = new FakeClock()
    const { store, node } = await openFake(t.testdir(), {
      platform: { ...createRealPlatform(), clock }
    })
    await t.rejects(store.commitOffsetAndWait(offset(0, 1)), NotLeaderError)
    node.lead()
    let done = 0
    const waits = [10, 10].map(value =>
      store.commitOffsetAndWait(offset(0, value)).then(() => done++)
    )
    clock.advance(100)
    node.propose()
    const unchanged = store.commitOffsetAndWait(offset(0, 10)).then(() => done++)
    await new Promise(resolve => setImmediate(resolve))
    t.equal(done, 0)
    node.commit()
    await Promise.all(waits)
    clock.advance(100)
    node.commit()
    await unchanged
    await store.commitOffsetAndWait(offset(0, 10))
    t.equal(done, 3)
    const flushed = store.commitOffsetAndWait(offset(0, 11))
    const settled = store.flushOffsets()
    node.commit()
    await Promise.all([flushed, settled])
    t.strictSame(offsetsIn(store, 1), [11])
    const waiting = store.commitOffsetAndWait(offset(0, 12))
    const inFlight = store.commitOffsetAndWait(offset(1, 12))
    const lost = [t.rejects(waiting, NotLeaderError), t.rejects(inFlight, NotLeaderError)]
    node.follow()
    await Promise.all(lost)
    node.lead()
    t.strictSame(offsetsIn(store, 2), [11, -1])
    await store.flushOffsets()
    await store.stop()
  }
)

t.test('every kind of command is written and read back as it was', async t => {
  const { encodeCommand, decodeCommands } = await import('../../src/store/commandCodec.ts')
  const commands: Command[] = [
    { type: 'putTopic', topic: topic('Tö|%-_1'), ifAbsent: true },
    { type: 'deleteTopic', topic: 'T' },
    { type: 'putGroup', group: group('G') },
    { type: 'deleteGroup', group: 'G', cleanOffsets: true },
    {
      type: 'commitOffsets',
      offsets: [offset(0, 2 ** 40), { ...offset(65_535, 0), group: '%RETRY%ü' }]
    },
    { type: 'setOffsets', offsets: [] },
    { type: 'deleteOffsets', group: 'G' },
    { type: 'delayProgress', level: 18, offset: 2 ** 33 },
    { type: 'lockQueues', group: 'G', clientId: '1@2#3', queues: [{ topic: 'T', queueId: 1 }] },
    { type: 'unlockQueues', group: 'G', clientId: '1@2#3', queues: [] },
    { type: 'putBrokerConfig', entries: { a: null, b: 'c' } },
    { type: 'putValue', room: 'r', key: 'k', value: null },
    { type: 'trimPrefix', index: 2 ** 35, position: 2 ** 45 }
  ]
  const bytes = Buffer.concat([Buffer.alloc(3), ...commands.map(encodeCommand)])
  t.strictSame(decodeCommands(bytes, 3, bytes.length), commands)
  for (const end of [4, 8, bytes.length - 1]) t.throws(() => decodeCommands(bytes, 3, end))
})
