import t from 'tap'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import { decodeStoredMessage } from '../../src/protocol/index.ts'
import { NotLeaderError } from '../../src/raft/index.ts'
import { PENDING_SENDS_MAX, StoreError } from '../../src/store/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { bodies, HOST, message, openFake, openLeader, pull, send, Waiter } from './helpers.ts'

t.test('a stored message decodes to what was sent, with its places filled in', async t => {
  const { store, log } = await openLeader(t.testdir())
  await send(store, message('Other', 3, 'before'))
  const input = {
    ...message('T', 2, 'hello', { TAGS: 'A', KEYS: 'k1 k2' }),
    flag: 77,
    reconsumeTimes: 3,
    preparedTransactionOffset: 5_000_000_000
  }
  const waiter = await send(store, input)
  const stored = decodeStoredMessage((await store.messageAt(waiter.physicalOffset))!)
  t.equal(stored.topic, 'T')
  t.equal(stored.queueId, 2)
  t.equal(stored.queueOffset, 0)
  t.equal(waiter.queueOffset, 0)
  t.equal(stored.physicalOffset, waiter.physicalOffset)
  t.equal(stored.storeTimestamp, log.timeMs)
  t.equal(waiter.storeTimestamp, log.timeMs)
  t.equal(stored.flag, 77)
  t.equal(stored.reconsumeTimes, 3)
  t.equal(stored.preparedTransactionOffset, 5_000_000_000)
  t.equal(stored.bornTimestamp, 1_700_000_000_123)
  t.match(stored.bornHost, { address: '127.0.0.1', port: 10911 })
  t.equal(stored.body.toString(), 'hello')
  t.strictSame(
    [...stored.properties],
    [
      ['TAGS', 'A'],
      ['KEYS', 'k1 k2']
    ]
  )
  await store.stop()
})

t.test('an IPv6 born host moves what is behind it, and is stored whole', async t => {
  const { store } = await openLeader(t.testdir())
  const bornHost = Buffer.concat([
    Buffer.from('20010db8000000000000000000000001', 'hex'),
    HOST.subarray(4)
  ])
  const waiter = await send(store, { ...message('T', 0, 'six'), sysFlag: 0x10, bornHost })
  const stored = decodeStoredMessage((await store.messageAt(waiter.physicalOffset))!)
  t.equal(stored.bornHost.address, '2001:db8::1')
  t.equal(stored.storeTimestamp, waiter.storeTimestamp)
  t.equal(stored.body.toString(), 'six')
  t.strictSame(bodies(await pull(store, {})), ['six'])
  await store.stop()
})

t.test('messages of a turn become one entry, and are told only when it is applied', async t => {
  const { store, node, log } = await openFake(t.testdir())
  node.lead()
  const entries = log.entries.length
  const waiters = [0, 1, 2, 3, 4].map(() => new Waiter())
  for (const [i, waiter] of waiters.entries()) {
    t.equal(store.append(message('T', i % 2, `m${i}`), waiter), null)
  }
  t.equal(node.propose(), 1)
  t.equal(log.entries.length, entries + 1)
  t.equal(log.entries.at(-1)?.count, 5)
  t.ok(
    waiters.every(waiter => waiter.result === null),
    'nobody is told before the commit'
  )
  t.equal(store.maxOffset('T', 0), 0, 'nothing is shown before the commit')
  node.commit()
  t.ok(waiters.every(waiter => waiter.result === 'stored'))
  t.strictSame(
    waiters.map(waiter => waiter.queueOffset),
    [0, 0, 1, 1, 2]
  )
  t.strictSame(bodies(await pull(store, { queueId: 1 })), ['m1', 'm3'])
  await store.stop()
})

t.test('an entry ends near 1 MiB, and a larger message has one of its own', async t => {
  const { store, node, log } = await openFake(t.testdir())
  node.lead()
  const body = 'x'.repeat(300_000)
  const waiters = Array.from({ length: 7 }, () => new Waiter())
  for (const waiter of waiters) t.equal(store.append(message('T', 0, body), waiter), null)
  const big = new Waiter()
  t.equal(store.append(message('T', 0, 'y'.repeat(4_194_304)), big), null)
  const small = new Waiter()
  t.equal(store.append(message('T', 0, 'after'), small), null)
  node.commit()
  t.strictSame(
    log.entries.slice(1).map(entry => entry.count),
    [3, 3, 1, 1, 1]
  )
  t.equal(small.queueOffset, 8)
  t.strictSame(bodies(await pull(store, { offset: 7, maxBytes: 10 })), ['y'.repeat(4_194_304)])
  await store.stop()
})

t.test('what cannot be stored is refused, and nothing of it is seen', async t => {
  const { store, node } = await openFake(t.testdir())
  const waiter = new Waiter()
  t.equal(store.append(message('T', 0, 'x'), waiter), 'notLeader', 'before it leads')
  node.lead()
  const refusals: [string, Parameters<typeof store.append>[0]][] = [
    ['illegal', message('', 0, 'x')],
    ['illegal', message('../../etc', 0, 'x')],
    ['illegal', message('..', 0, 'x')],
    ['illegal', message('T', -1, 'x')],
    ['illegal', message('T', 65_536, 'x')],
    ['illegal', { ...message('T', 0, 'x'), bornHost: Buffer.alloc(7) }],
    ['tooLarge', message('t'.repeat(256), 0, 'x')],
    ['tooLarge', { ...message('T', 0, 'x'), properties: Buffer.alloc(32_768, 0x61) }],
    ['tooLarge', { ...message('T', 0, ''), body: Buffer.alloc(12 * 1024 * 1024) }]
  ]
  for (const [refusal, input] of refusals) t.equal(store.append(input, waiter), refusal)
  t.equal(store.appendBatch([], waiter), 'illegal')
  t.equal(store.appendBatch([message('T', 0, 'ok'), message('T', -1, 'x')], waiter), 'illegal')
  t.equal(node.propose(), 0)
  t.equal(waiter.result, null)
  t.equal(store.counters.putRefused, refusals.length + 3)
  await store.stop()
  t.equal(store.append(message('T', 0, 'x'), waiter), 'stopped')
})

t.test('more than 10 000 sends do not wait at once; commits make room', async t => {
  const { store, node } = await openFake(t.testdir())
  node.lead()
  for (let i = 0; i < PENDING_SENDS_MAX; i++) {
    if (store.append(message('T', 0, 'x'), new Waiter()) !== null) return t.fail(`refused at ${i}`)
  }
  const waiter = new Waiter()
  t.equal(store.append(message('T', 0, 'x'), waiter), 'busy')
  node.commit()
  t.equal(store.append(message('T', 0, 'x'), waiter), null)
  t.equal(waiter.queueOffset, PENDING_SENDS_MAX)
  node.commit()
  t.equal(store.runtime().pendingSends, 0)
  t.equal(store.runtime().pendingBytes, 0)
  return await store.stop()
})

t.test('64 MiB wait at most, also when nobody waits for them any more', async t => {
  const clock = new FakeClock()
  const { store, node } = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock }
  })
  node.lead()
  const body = 'x'.repeat(8 * 1024 * 1024)
  const waiters = Array.from({ length: 8 }, () => new Waiter())
  const results = waiters.map(waiter => store.append(message('T', 0, body), waiter))
  t.strictSame(results, [...Array(7).fill(null), 'busy'])
  node.propose()
  clock.advance(2_800)
  t.ok(waiters.slice(0, 7).every(waiter => waiter.result === 'timeout'))
  t.equal(store.runtime().pendingSends, 0)
  t.equal(store.append(message('T', 0, body), new Waiter()), 'busy')
  node.commit()
  t.equal(store.append(message('T', 0, body), new Waiter()), null)
  node.commit()
  t.equal(store.maxOffset('T', 0), 8, 'who timed out may be stored all the same')
  clock.advance(0)
  await store.stop()
})

t.test('a send that is not committed within 2.5 s fails, one that is younger does not', async t => {
  const clock = new FakeClock()
  const { store, node } = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock }
  })
  node.lead()
  const old = new Waiter()
  store.append(message('T', 0, 'old'), old)
  node.propose()
  const command = store.execute({ type: 'putValue', room: 'r', key: 'k', value: 'v' })
  node.propose()
  clock.advance(1_500)
  const young = new Waiter()
  store.append(message('T', 0, 'young'), young)
  clock.advance(1_250)
  t.equal(old.result, 'timeout')
  await t.rejects(command, /not committed in time/)
  t.equal(young.result, null)
  node.commit()
  t.equal(young.result, 'stored')
  t.equal(young.queueOffset, 1)
  await store.stop()
})

t.test(
  'offsets given are remembered while an entry may still come, also with many topics',
  async t => {
    const clock = new FakeClock()
    const { store, node } = await openFake(t.testdir(), {
      platform: { ...createRealPlatform(), clock }
    })
    node.lead()
    // Topics that are only looked at: nobody may send a message with a negative queue.
    for (let i = 0; i < 20_000; i++) store.append(message(`T${i}`, -1, ''), new Waiter())
    const slow = new Waiter()
    t.equal(store.append(message('T0', 0, 'slow'), slow), null)
    node.propose()
    clock.advance(3_000)
    t.equal(slow.result, 'timeout')
    store.append(message('one more topic', 0, 'x'), new Waiter())
    const next = new Waiter()
    store.append(message('T0', 0, 'next'), next)
    node.commit()
    t.equal(next.result, 'stored')
    t.equal(next.queueOffset, 1)
    t.equal(store.maxOffset('T0', 0), 2)
    // With nothing on its way they are looked up again, the topics of one entry all together.
    const both = new Waiter()
    t.equal(store.appendBatch([message('T1', 0, 'a'), message('yet another', 0, 'b')], both), null)
    node.commit()
    t.strictSame([both.result, both.queueOffsets], ['stored', [0, 0]])
    await store.stop()
  }
)

t.test('losing the leadership fails everything at once and forgets the offsets given', async t => {
  const { store, node } = await openFake(t.testdir())
  node.lead()
  await t.test('one message is committed', async t => {
    const waiter = new Waiter()
    store.append(message('T', 0, 'kept'), waiter)
    node.commit()
    t.equal(waiter.result, 'stored')
  })
  const inLog = [new Waiter(), new Waiter()]
  for (const waiter of inLog) store.append(message('T', 0, 'lost'), waiter)
  node.propose()
  const open = new Waiter()
  store.append(message('T', 0, 'never'), open)
  const command = store.execute({ type: 'putValue', room: 'r', key: 'k', value: 'v' })
  node.follow()
  t.strictSame(
    inLog.map(waiter => waiter.result),
    ['notLeader', 'notLeader']
  )
  t.equal(open.result, 'notStarted')
  await t.rejects(command, NotLeaderError)
  t.equal(store.append(message('T', 0, 'x'), new Waiter()), 'notLeader')
  node.loseTail()
  node.lead()
  const again = new Waiter()
  store.append(message('T', 0, 'again'), again)
  node.commit()
  t.equal(again.queueOffset, 1, 'the lost ones gave their offsets back')
  t.strictSame(bodies(await pull(store, {})), ['kept', 'again'])
  t.equal(store.runtime().pendingBytes, 0)
  await store.stop()
})

t.test(
  'a tail that another leader commits is applied, and the next leadership goes on behind it',
  async t => {
    const { store, node } = await openFake(t.testdir())
    node.lead()
    const waiter = new Waiter()
    store.append(message('T', 0, 'in doubt'), waiter)
    node.propose()
    node.follow()
    t.equal(waiter.result, 'notLeader')
    node.commit()
    t.equal(store.maxOffset('T', 0), 1)
    node.lead()
    const next = new Waiter()
    store.append(message('T', 0, 'next'), next)
    node.commit()
    t.equal(next.queueOffset, 1)
    await store.stop()
  }
)

t.test('a role report without a change leaves what is pending alone', async t => {
  const { store, node } = await openFake(t.testdir())
  node.lead()
  const waiter = new Waiter()
  store.append(message('T', 0, 'x'), waiter)
  node.propose()
  node.reportRole()
  t.equal(waiter.result, null)
  node.commit()
  t.equal(waiter.result, 'stored')
  await store.stop()
})

t.test('a batch has consecutive offsets and stands in one entry', async t => {
  const { store, node, log } = await openFake(t.testdir())
  node.lead()
  store.append(message('T', 0, 'single'), new Waiter())
  const waiter = new Waiter()
  const batch = ['a', 'b', 'c'].map(body => message('T', 0, body))
  t.equal(store.appendBatch(batch, waiter), null)
  t.equal(node.propose(), 1)
  node.commit()
  t.equal(waiter.result, 'stored')
  t.equal(waiter.queueOffset, 1)
  t.strictSame(waiter.queueOffsets, [1, 2, 3])
  t.equal(waiter.physicalOffset, waiter.physicalOffsets[0])
  for (const [i, position] of waiter.physicalOffsets.entries()) {
    const stored = decodeStoredMessage((await store.messageAt(position))!)
    t.equal(stored.body.toString(), 'abc'[i])
  }
  t.equal(log.entries.length, 2)
  await store.stop()
})

t.test('messages and marks of one entry are applied together, or not at all', async t => {
  const { store, node, log } = await openFake(t.testdir())
  node.lead()
  const waiter = new Waiter()
  const inputs = [message('A', 0, 'one'), message('B', 1, 'two')]
  const refusal = store.appendAtomic(
    inputs,
    [
      { type: 'delayProgress', level: 3, offset: 42 },
      { type: 'putValue', room: 'r', key: 'k', value: 'v' }
    ],
    waiter
  )
  t.equal(refusal, null)
  // Joins the same entry: the trailer goes behind all messages.
  store.append(message('A', 0, 'three'), new Waiter())
  node.propose()
  t.equal(log.entries.length, 2)
  t.equal(log.entries[1]?.flags, 1)
  t.equal(log.entries[1]?.count, 3)
  t.equal(store.tables.delayProgress(3), 0)
  node.commit()
  t.equal(store.tables.delayProgress(3), 42)
  t.equal(store.tables.values('r').get('k'), 'v')
  t.strictSame(bodies(await pull(store, { topic: 'A' })), ['one', 'three'])
  t.strictSame(bodies(await pull(store, { topic: 'B', queueId: 1 })), ['two'])
  const lost = new Waiter()
  store.appendAtomic(
    [message('A', 0, 'lost')],
    [{ type: 'delayProgress', level: 3, offset: 43 }],
    lost
  )
  node.propose()
  node.follow()
  node.loseTail()
  node.lead()
  t.equal(lost.result, 'notLeader')
  t.equal(store.tables.delayProgress(3), 42)
  t.equal(store.maxOffset('A', 0), 2)
  await store.stop()
})

t.test(
  'a trailer that does not fit behind the messages moves the entry, not its content',
  async t => {
    const { store, node } = await openFake(t.testdir())
    node.lead()
    const value = 'v'.repeat(3 * 1024 * 1024)
    const waiter = new Waiter()
    const big = message('T', 0, 'x'.repeat(3_000_000))
    t.equal(
      store.appendAtomic([big], [{ type: 'putValue', room: 'r', key: 'k', value }], waiter),
      null
    )
    t.equal(store.append(message('T', 0, 'next'), new Waiter()), null)
    node.commit()
    t.equal(store.tables.values('r').get('k'), value)
    t.equal(store.maxOffset('T', 0), 2)
    t.strictSame(bodies(await pull(store, { offset: 1 })), ['next'])
    await store.stop()
  }
)

t.test('half and rolled back messages are in the log and in no queue', async t => {
  const { store, node } = await openLeader(t.testdir())
  const half = await send(store, { ...message('T', 0, 'half'), sysFlag: 0x4 })
  const rolledBack = await send(store, { ...message('T', 0, 'back'), sysFlag: 0xc })
  const committed = await send(store, { ...message('T', 0, 'done'), sysFlag: 0x8 })
  t.strictSame([half.queueOffset, rolledBack.queueOffset, committed.queueOffset], [0, 0, 0])
  t.strictSame(bodies(await pull(store, {})), ['done'])
  t.ok(await store.messageAt(half.physicalOffset))
  node.follow()
  await store.stop()
})

t.test('a deleted topic begins again at 0, whatever is still on its way', async t => {
  const { store, node } = await openFake(t.testdir())
  node.lead()
  const topic = {
    topicName: 'T',
    readQueueNums: 1,
    writeQueueNums: 1,
    perm: 6,
    topicFilterType: 'SINGLE_TAG' as const,
    topicSysFlag: 0,
    order: false
  }
  const put = store.execute({ type: 'putTopic', topic })
  const before = [new Waiter(), new Waiter()]
  for (const waiter of before) store.append(message('T', 0, 'old'), waiter)
  const offsets = store.execute({
    type: 'setOffsets',
    offsets: [
      { group: 'G', topic: 'T', queueId: 0, offset: 2 },
      { group: 'G', topic: 'TT', queueId: 0, offset: 7 }
    ]
  })
  const deleted = store.execute({ type: 'deleteTopic', topic: 'T' })
  const after = new Waiter()
  // What the broker itself delivers; a producer would be refused.
  store.appendAtomic([message('T', 0, 'new')], [], after)
  node.commit()
  t.match(await put, { changed: true })
  await offsets
  t.match(await deleted, { changed: true })
  t.strictSame(
    before.map(waiter => waiter.queueOffset),
    [0, 1]
  )
  t.equal(after.queueOffset, 0)
  t.strictSame(bodies(await pull(store, {})), ['new'])
  t.equal(store.tables.topics.has('T'), false)
  t.equal(store.tables.consumerOffset('G', 'T', 0), -1)
  t.equal(
    store.tables.consumerOffset('G', 'TT', 0),
    7,
    'a topic whose name begins alike is left alone'
  )
  t.equal(
    store.appendAtomic([message('T', 0, 'x')], [{ type: 'deleteTopic', topic: 'T' }], after),
    'illegal'
  )
  await store.stop()
})

t.test('a full disk refuses sends and takes commands', async t => {
  const platform = createRealPlatform()
  const disk = Object.create(platform.disk) as typeof platform.disk
  let freeBytes = 5
  disk.space = async () => ({ totalBytes: 100, freeBytes })
  const clock = new FakeClock()
  const { store, node } = await openFake(t.testdir(), {
    platform: { ...platform, disk, clock },
    diskFullPercent: 90,
    diskForcePercent: 85
  })
  node.lead()
  t.equal(store.append(message('T', 0, 'x'), new Waiter()), 'diskFull')
  t.equal(store.runtime().diskRatio, 0.95)
  const command = store.execute({ type: 'putValue', room: 'r', key: 'k', value: 'v' })
  node.commit()
  t.match(await command, { changed: true })
  for (const [free, refused] of [
    [12, 'diskFull'],
    [20, null]
  ] as const) {
    freeBytes = free
    clock.advance(1_000)
    await new Promise(resolve => setImmediate(resolve))
    t.equal(store.append(message('T', 0, 'x'), new Waiter()), refused, `${free} % free`)
  }
  node.commit()
  node.diskRoom = false
  t.equal(store.append(message('T', 0, 'x'), new Waiter()), 'diskFull', 'as the log says it')
  t.equal(store.runtime().diskFull, true)
  await store.stop()
})

t.test('one listener call tells all queues that got messages, with their tags', async t => {
  const { store, node } = await openFake(t.testdir())
  const calls: unknown[] = []
  store.onArrival(arrivals =>
    calls.push(
      arrivals.map(({ topic, queueId, arrivedFrom, maxOffset }, i) => [
        topic,
        queueId,
        arrivedFrom,
        maxOffset,
        arrivals[i]!.arrivedMatches(new Set([65])),
        arrivals[i]!.arrivedMatches(new Set([67]))
      ])
    )
  )
  node.lead()
  for (const [queueId, tag] of [
    [0, 'A'],
    [1, 'B'],
    [0, 'C']
  ] as const) {
    store.append(message('T', queueId, 'x', { TAGS: tag }), new Waiter())
  }
  node.commit()
  store.append(message('T', 0, 'x', { TAGS: 'A' }), new Waiter())
  node.commit()
  t.strictSame(calls, [
    [
      ['T', 0, 0, 2, true, true],
      ['T', 1, 0, 1, false, false]
    ],
    [['T', 0, 2, 3, true, false]]
  ])
  await store.stop()
})

t.test('a command larger than an entry is refused with a sentence', async t => {
  const { store } = await openLeader(t.testdir())
  const value = 'v'.repeat(13 * 1024 * 1024)
  await t.rejects(store.execute({ type: 'putValue', room: 'r', key: 'k', value }), StoreError)
  await store.stop()
})

t.test('what is sent behind a deletion is refused, until the topic is made anew', async t => {
  const { store, node } = await openFake(t.testdir())
  node.lead()
  const settings = {
    topicName: 'T',
    readQueueNums: 4,
    writeQueueNums: 4,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false
  } as const
  const before = new Waiter()
  t.equal(store.append(message('T', 0, 'before'), before), null)
  const deleted = store.execute({ type: 'deleteTopic', topic: 'T' })
  t.equal(store.append(message('T', 0, 'x'), new Waiter()), 'topicDeleted')
  t.equal(store.appendBatch([message('T', 0, 'x')], new Waiter()), 'topicDeleted')
  t.equal(store.append(message('U', 0, 'x'), new Waiter()), null)
  node.commit()
  t.equal((await before.ended) === 'stored', true)
  await deleted
  t.equal(store.append(message('T', 0, 'x'), new Waiter()), 'topicDeleted')
  const made = store.execute({ type: 'putTopic', topic: settings, ifAbsent: true })
  const after = new Waiter()
  t.equal(store.append(message('T', 0, 'after'), after), null)
  node.commit()
  await made
  await after.ended
  t.equal(after.queueOffset, 0)
  t.equal(store.maxOffset('T', 0), 1)
  await store.stop()
})

t.test('a waiter or a listener that throws costs nobody else anything', async t => {
  const errors: string[] = []
  const logger = { ...silentLogger, error: (text: string) => errors.push(text) }
  const { store, node } = await openFake(t.testdir(), { logger })
  let arrivals = 0
  store.onArrival(() => {
    throw new Error('listener')
  })
  store.onArrival(() => {
    arrivals += 1
  })
  store.onRole(() => {
    throw new Error('role')
  })
  node.lead()
  const waiters = Array.from({ length: 5 }, () => new Waiter())
  waiters[1]!.stored = () => {
    throw new Error('waiter')
  }
  waiters[3]!.stored = waiters[1]!.stored
  for (const waiter of waiters) store.append(message('T', 0, 'x'), waiter)
  node.commit()
  t.strictSame(
    waiters.map(waiter => waiter.result),
    ['stored', null, 'stored', null, 'stored']
  )
  t.equal(errors.length, 5, 'the role that changes twice among them')
  store.append(message('T', 0, 'x'), new Waiter())
  node.commit()
  t.equal(arrivals, 2)
  t.equal(store.maxOffset('T', 0), 6)
  await store.stop()
})
