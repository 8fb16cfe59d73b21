import { join } from 'node:path'
import t from 'tap'
import { javaHash } from '../../src/protocol/index.ts'
import type { Store } from '../../src/store/index.ts'
import { bodies, message, messagesOf, openFake, openLeader, pull, send, Waiter } from './helpers.ts'

async function fill(store: Store, count: number, queueId = 0, tag = (i: number) => `t${i % 3}`) {
  const waiters = Array.from({ length: count }, () => new Waiter())
  for (const [i, waiter] of waiters.entries()) {
    const refusal = store.append(message('T', queueId, `m${i}`, { TAGS: tag(i) }), waiter)
    if (refusal !== null) throw new Error(refusal)
  }
  await Promise.all(waiters.map(waiter => waiter.ended))
  return waiters
}

t.test('a pull answers with the status and next offset of the original', async t => {
  const { store, node, log } = await openLeader(t.testdir())
  t.match(await pull(store, {}), { status: 'NO_MESSAGE_IN_QUEUE', nextBeginOffset: 0 })
  t.match(await pull(store, { offset: 5 }), { status: 'NO_MESSAGE_IN_QUEUE', nextBeginOffset: 0 })
  log.segmentEntries = 1
  for (let i = 0; i < 4; i++) await fill(store, 5)
  // Two entries of five messages go.
  const { firstIndex: index, firstPosition: position } = node.segments()[3]!
  await store.execute({ type: 'trimPrefix', index, position })
  while (node.trims.length === 0) await new Promise(resolve => setImmediate(resolve))
  const range = { minOffset: 10, maxOffset: 20 }
  const cases = [
    [Number.NaN, 'OFFSET_TOO_SMALL', 10],
    [-1, 'OFFSET_TOO_SMALL', 10],
    [9, 'OFFSET_TOO_SMALL', 10],
    [10, 'FOUND', 20],
    [20, 'OFFSET_OVERFLOW_ONE', 20],
    [21, 'OFFSET_OVERFLOW_BADLY', 20]
  ] as const
  for (const [offset, status, nextBeginOffset] of cases) {
    t.match(
      await pull(store, { offset }),
      { status, nextBeginOffset, ...range },
      `offset ${offset}`
    )
  }
  t.match(await pull(store, { offset: 10, tagHashes: new Set([1]) }), {
    status: 'NO_MATCHED_MESSAGE',
    nextBeginOffset: 20,
    chunks: []
  })
  for (const boundary of ['lower', 'upper'] as const)
    t.equal(
      await store.offsetByTime('T', 0, 0, boundary),
      10,
      `nothing before is named: ${boundary}`
    )
  await store.stop()
})

t.test('messages that lie side by side come as one view', async t => {
  const { store } = await openLeader(t.testdir())
  await fill(store, 10)
  await fill(store, 5)
  const result = await pull(store, {})
  t.equal(result.chunks.length, 2, 'one for each entry')
  t.equal(result.messageCount, 15)
  t.equal(result.bytes, result.chunks[0]!.length + result.chunks[1]!.length)
  t.strictSame(
    messagesOf(result).map(stored => stored.queueOffset),
    [...Array(15).keys()]
  )
  t.equal(result.lastStoreTimestamp, messagesOf(result).at(-1)!.storeTimestamp)
  t.equal(result.behindBytes, 0)
  await store.stop()
})

t.test('the answer ends at the number, the bytes and the limits of the store', async t => {
  const limits = { memoryCount: 12, memoryBytes: 3_000, diskBytes: 400, diskCount: 2 }
  const directory = t.testdir()
  const { store } = await openLeader(join(directory, 'near'), { pullLimits: limits })
  await fill(store, 40)
  const size = messagesOf(await pull(store, {}))[0]!.totalSize
  t.equal((await pull(store, { maxMessages: 5 })).messageCount, 5)
  t.equal((await pull(store, { maxMessages: 32 })).messageCount, 12)
  t.equal((await pull(store, { maxBytes: size * 3 })).messageCount, 3)
  t.equal((await pull(store, { maxBytes: 1 })).messageCount, 1, 'the first one always goes')
  t.equal((await pull(store, { maxMessages: 5 })).nextBeginOffset, 5)
  await store.stop()
  const far = await openLeader(join(directory, 'far'), {
    pullLimits: { ...limits, memoryReachBytes: 0 }
  })
  await fill(far.store, 40)
  t.equal((await pull(far.store, {})).messageCount, 2, 'old data in smaller pieces')
  t.equal(await far.store.isInDisk('T', 0, 0), true)
  await far.store.stop()
})

t.test('tags are compared by hash, and 800 units are looked at in one pull', async t => {
  const { store } = await openLeader(t.testdir())
  await fill(store, 1_000, 0, i => (i === 900 ? 'rare' : 'often'))
  const tagHashes = new Set([javaHash('rare')])
  const first = await pull(store, { tagHashes })
  t.match(first, { status: 'NO_MATCHED_MESSAGE', nextBeginOffset: 800 })
  const second = await pull(store, { tagHashes, offset: 800 })
  t.match(second, { status: 'FOUND', nextBeginOffset: 1_000, messageCount: 1 })
  t.strictSame(bodies(second), ['m900'])
  const every = await pull(store, {
    tagHashes: new Set([javaHash('often')]),
    offset: 899,
    maxMessages: 2
  })
  t.strictSame(bodies(every), ['m899', 'm901'])
  await store.stop()
})

t.test('what is not in memory comes from the files by a promise, and is the same', async t => {
  const directory = t.testdir()
  const { store, log, state } = await openLeader(directory, { consumeQueueFileBytes: 300 * 20 })
  for (let i = 0; i < 10; i++) await fill(store, 250)
  const whole: string[] = []
  for (let offset = 0; offset < 2_500; offset += 32)
    whole.push(...bodies(await pull(store, { offset })))
  await store.stop()
  log.inMemory = false
  const again = await openLeader(directory, { log, state, consumeQueueFileBytes: 300 * 20 })
  t.equal(again.store.maxOffset('T', 0), 2_500)
  const answer = again.store.pull({
    topic: 'T',
    queueId: 0,
    offset: 0,
    maxMessages: 32,
    tagHashes: null
  })
  t.ok(answer instanceof Promise, 'nothing is in memory')
  const cold: string[] = []
  let offset = 0
  while (offset < 2_500) {
    const result = await pull(again.store, { offset })
    t.equal(result.status, 'FOUND')
    cold.push(...bodies(result))
    offset = result.nextBeginOffset
  }
  t.strictSame(cold, whole)
  t.ok(again.store.counters.getFromDisk > 0)
  await again.store.stop()
})

t.test(
  'a topic made anew while its predecessor was read from the disk is read instead',
  async t => {
    const directory = t.testdir()
    const consumeQueueFileBytes = 300 * 20
    const settings = {
      topicName: 'T',
      readQueueNums: 1,
      writeQueueNums: 1,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: 0,
      order: false
    } as const
    for (const [name, filter] of [
      ['plain', null],
      ['filtered', { work: 0, matches: () => true }]
    ] as const) {
      const first = await openLeader(join(directory, name), { consumeQueueFileBytes })
      await fill(first.store, 1_000)
      await first.store.stop()
      const { log, state } = first
      log.inMemory = false
      const { store } = await openLeader(join(directory, name), {
        log,
        state,
        consumeQueueFileBytes
      })
      const wanted = { topic: 'T', queueId: 0, offset: 0, maxMessages: 32, tagHashes: null, filter }
      const asked = store.pull(wanted)
      t.ok(asked instanceof Promise)
      const deleted = store.execute({ type: 'deleteTopic', topic: 'T' })
      const made = store.execute({ type: 'putTopic', topic: settings })
      await Promise.all([deleted, made, send(store, message('T', 0, 'new'))])
      t.strictSame(bodies(await asked), ['new'], name)
      await store.stop()
    }
  }
)

t.test(
  'a trimmed place answers MESSAGE_WAS_REMOVING, a damaged one an error, and what is before it is served',
  async t => {
    const { store, log } = await openLeader(t.testdir())
    const first = await fill(store, 3)
    const second = await fill(store, 3)
    log.inMemory = false
    log.damagedFrom = second[0]!.physicalOffset
    const result = await pull(store, {})
    t.match(result, { status: 'FOUND', messageCount: 3, nextBeginOffset: 3 })
    await t.rejects(pull(store, { offset: 3 }), /nothing to read/)
    let repaired = (): void => {}
    log.repair = new Promise(resolve => {
      repaired = resolve
    })
    const served = await pull(store, { patienceMs: 1_000 })
    t.match(served, { messageCount: 3, nextBeginOffset: 3 }, 'what is there does not wait')
    await t.rejects(pull(store, { offset: 3 }), /nothing to read/, 'without patience')
    const patient = pull(store, { offset: 3, patienceMs: 1_000 })
    const found = store.messageAt(second[1]!.physicalOffset)
    repaired()
    t.match(await patient, { status: 'FOUND', messageCount: 3, nextBeginOffset: 6 })
    t.not(await found, null)
    log.startPosition = first[2]!.physicalOffset + 1
    t.match(await pull(store, { offset: 0, maxMessages: 1 }), {
      status: 'MESSAGE_WAS_REMOVING',
      nextBeginOffset: 1
    })
    log.startPosition = second[0]!.physicalOffset
    const passed = await pull(store, { offset: 1 })
    t.match(
      passed,
      { status: 'MESSAGE_WAS_REMOVING', nextBeginOffset: 3 },
      'what was chosen with it and is still there is not passed over'
    )
    t.match(await pull(store, { offset: 3 }), { status: 'FOUND', messageCount: 3 })
    await store.stop()
  }
)

t.test('a message is found by its place, and any other number finds none', async t => {
  const { store, log } = await openLeader(t.testdir())
  const [one, two] = await fill(store, 2)
  const stored = (await store.messageAt(two!.physicalOffset))!
  t.equal(messagesOf({ chunks: [stored] } as never)[0]!.queueOffset, 1)
  const none = [
    -1,
    0,
    1,
    one!.physicalOffset + 1,
    one!.physicalOffset + 91,
    log.endPosition,
    1e15,
    2 ** 60,
    0.5
  ]
  for (const position of none) t.equal(await store.messageAt(position), null, `at ${position}`)
  log.inMemory = false
  for (const position of none)
    t.equal(await store.messageAt(position), null, `at ${position}, disk`)
  await store.stop()
})

t.test('a message that is not committed is not shown by its place', async t => {
  const { store, node } = await openFake(t.testdir())
  node.lead()
  const waiter = new Waiter()
  store.append(message('T', 0, 'x'), waiter)
  node.propose()
  t.equal(await store.messageAt(waiter.physicalOffset), null)
  node.commit()
  t.ok(await store.messageAt(waiter.physicalOffset))
  await store.stop()
})

t.test('offsets by time are those of 5.3.3', async t => {
  const { store, log } = await openLeader(t.testdir())
  const start = log.timeMs
  t.equal(await store.offsetByTime('T', 0, start), 0, 'no queue')
  t.equal(await store.earliestStoreTime('T', 0), -1)
  for (const ms of [0, 100, 100, 200]) {
    log.timeMs = start + ms
    await fill(store, 5)
  }
  const lower = [
    [-1, 0],
    [0, 0],
    [1, 5],
    [100, 5],
    [101, 15],
    [200, 15],
    [201, 20]
  ] as const
  for (const [ms, offset] of lower) {
    t.equal(await store.offsetByTime('T', 0, start + ms), offset, `lower ${ms}`)
  }
  const upper = [
    [-1, 0],
    [0, 4],
    [1, 4],
    [99, 4],
    [100, 14],
    [200, 19],
    [201, 19]
  ] as const
  for (const [ms, offset] of upper) {
    t.equal(await store.offsetByTime('T', 0, start + ms, 'upper'), offset, `upper ${ms}`)
  }
  t.equal(await store.earliestStoreTime('T', 0), start)
  t.equal(await store.storeTimeAt('T', 0, 7), start + 100)
  t.equal(await store.storeTimeAt('T', 0, 20), -1)
  t.equal(await store.earliestLogTime(), start)
  await store.stop()
})

t.test(
  'messages are found by unique key and by each word of KEYS, within a time and a topic',
  async t => {
    const { store, log } = await openLeader(t.testdir())
    const start = log.timeMs
    for (let i = 0; i < 6; i++) {
      log.timeMs = start + i * 10
      const properties = { UNIQ_KEY: `ID${i}`, KEYS: `all  k${i % 2}` }
      await send(store, message('T', i % 2, `m${i}`, properties))
    }
    await send(store, message('U', 0, 'other', { UNIQ_KEY: 'ID0', KEYS: 'all' }))
    const query = async (key: string, more = {}) => {
      const result = await store.query({
        topic: 'T',
        key,
        maxMessages: 32,
        beginTimestamp: 0,
        endTimestamp: Number.MAX_SAFE_INTEGER,
        ...more
      })
      return bodies({ chunks: result.messages } as never)
    }
    t.strictSame(await query('ID3'), ['m3'])
    t.strictSame(await query('k1'), ['m1', 'm3', 'm5'])
    t.strictSame(await query('all'), ['m0', 'm1', 'm2', 'm3', 'm4', 'm5'])
    t.strictSame(await query('all', { maxMessages: 2 }), ['m4', 'm5'], 'the newest of too many')
    t.strictSame(await query('all', { beginTimestamp: start + 10, endTimestamp: start + 30 }), [
      'm1',
      'm2',
      'm3'
    ])
    t.strictSame(await query('k'), [])
    t.strictSame(await query('all  k1'), [])
    t.strictSame(await query('all', { topic: 'U' }), ['other'])
    const { lastUpdateTimestamp } = await store.query({
      topic: 'T',
      key: 'x',
      maxMessages: 1,
      beginTimestamp: 0,
      endTimestamp: 1
    })
    t.equal(lastUpdateTimestamp, log.timeMs)
    log.inMemory = false
    log.damagedFrom = log.entries[4]!.position
    const { messages, unreadable } = await store.query({
      topic: 'T',
      key: 'all',
      maxMessages: 32,
      beginTimestamp: 0,
      endTimestamp: Number.MAX_SAFE_INTEGER
    })
    t.equal(messages.length + unreadable, 6, 'what is damaged is counted')
    t.ok(messages.length > 0 && unreadable > 0)
    await store.stop()
  }
)

t.test('delayed messages carry their due time in the unit', async t => {
  const { store, log } = await openLeader(t.testdir())
  await send(store, message('SCHEDULE_TOPIC_XXXX', 2, 'x', { DELAY: '3', TAGS: 'A' }))
  await send(store, message('SCHEDULE_TOPIC_XXXX', 40, 'x', { DELAY: '41' }))
  t.equal((await store.unit('SCHEDULE_TOPIC_XXXX', 2, 0))?.tagsCode, log.timeMs + 10_000)
  t.equal((await store.unit('SCHEDULE_TOPIC_XXXX', 40, 0))?.tagsCode, log.timeMs + 7_200_000)
  t.equal(await store.unit('SCHEDULE_TOPIC_XXXX', 2, 1), null)
  t.equal(await store.unit('SCHEDULE_TOPIC_XXXX', 2, -1), null)
  await store.stop()
})
