import { join } from 'node:path'
import t from 'tap'
import type { PopAck, Store, TopicSettings } from '../../src/store/index.ts'
import { message, openFake, openLeader, send } from './helpers.ts'

const topic = (topicName: string): TopicSettings => ({
  topicName,
  readQueueNums: 1,
  writeQueueNums: 1,
  perm: 6,
  topicFilterType: 'SINGLE_TAG',
  topicSysFlag: 0,
  order: false
})
const queue = { group: 'G', topic: 'T', queueId: 0 }

async function prepare(store: Store): Promise<void> {
  await store.execute({ type: 'putTopic', topic: topic('T') })
  const group = {
    groupName: 'G',
    consumeEnable: true,
    consumeFromMinEnable: true,
    consumeBroadcastEnable: true,
    retryQueueNums: 1,
    retryMaxTimes: 16,
    brokerId: 0,
    whichBrokerWhenConsumeSlowly: 1,
    notifyConsumerIdsChangedEnable: true
  }
  await store.execute({ type: 'putGroup', group })
}

/** A take of these offsets; the group's offset goes from `expectedOffset` behind the last of them. */
const take = (
  offsets: readonly number[],
  expectedOffset: number,
  more: { popTime?: number; startOffset?: number; position?: number; invisibleMs?: number } = {}
) =>
  ({
    type: 'popTake',
    take: {
      ...queue,
      startOffset: offsets[0] ?? 0,
      popTime: 1_000,
      invisibleMs: 500,
      expectedOffset,
      nextOffset: (offsets.at(-1) ?? 0) + 1,
      offsets,
      position: 0,
      ...more
    }
  }) as const

const acks = (offsets: readonly number[], startOffset = offsets[0]!, popTime = 1_000) =>
  ({
    type: 'popAcks',
    acks: [{ ...queue, startOffset, popTime, offsets } satisfies PopAck]
  }) as const

/** What is in flight, as a replica may be compared with another. */
const table = (store: Store): string[] =>
  [...store.tables.pops.all()]
    .map(each => `${JSON.stringify(each.record)} left ${each.remainingOffsets()}`)
    .sort((a, b) => (a < b ? -1 : 1))

t.test('a batch is in flight until all of it is acknowledged', async t => {
  const { store } = await openLeader(t.testdir())
  await prepare(store)
  const added: number[] = []
  store.onPops(pops => added.push(...pops.map(pop => pop.dueMs)))
  // With gaps, as a filter leaves them.
  t.equal((await store.execute(take([0, 3, 900], -1))).changed, true)
  t.equal(store.tables.consumerOffset('G', 'T', 0), 901)
  t.strictSame(added, [1_500])
  const ref = { ...queue, startOffset: 0, popTime: 1_000 }
  const batch = store.tables.pops.find(ref)!
  t.strictSame(batch.offsets(), [0, 3, 900])
  t.equal(batch.has(1), false)
  t.equal((await store.execute(acks([3], 0))).changed, true)
  t.equal((await store.execute(acks([3], 0))).changed, false, 'once')
  t.equal((await store.execute(acks([1], 0))).changed, false, 'not of the batch')
  t.equal((await store.execute(acks([0], 0, 999))).changed, false, 'of no batch')
  t.strictSame(batch.remainingOffsets(), [0, 900])
  t.equal(store.tables.pops.inFlight(queue), 2)
  await store.execute(acks([0, 900], 0))
  t.equal(store.tables.pops.count, 0)
  t.equal(store.tables.pops.find(ref), undefined)

  const full = Array.from({ length: 32 }, (_, i) => 901 + i)
  await store.execute(take(full, 901))
  t.equal(store.tables.pops.inFlight(queue), 32)
  await store.execute(acks(full.slice(1), 901))
  t.strictSame(store.tables.pops.find({ ...ref, startOffset: 901 })?.remainingOffsets(), [901])
  await store.stop()
})

t.test('an offset that somebody set in the meantime stands', async t => {
  const { store } = await openLeader(t.testdir())
  await prepare(store)
  await store.execute({ type: 'setOffsets', offsets: [{ ...queue, offset: 7 }] })
  t.equal((await store.execute(take([0, 1], -1))).changed, true, 'what was given out is in flight')
  t.equal(store.tables.consumerOffset('G', 'T', 0), 7)
  t.equal(store.tables.pops.inFlight(queue), 2)
  t.equal((await store.execute(take([], 7, { startOffset: 9 }))).changed, true)
  t.equal(store.tables.consumerOffset('G', 'T', 0), 1, 'a take of nothing moves it')
  await store.execute({ type: 'deleteGroup', group: 'G' })
  t.equal(store.tables.pops.count, 0, 'a group takes what it has along')
  t.equal((await store.execute(take([5], 1))).changed, false, 'nothing is given to none')
  await store.stop()
})

t.test('a changed message is a batch of its own', async t => {
  const { store } = await openLeader(t.testdir())
  await prepare(store)
  await store.execute(take([4, 5], -1))
  const change = (offset: number, startOffset: number, popTime: number, newPopTime: number) =>
    store.execute({
      type: 'popChange',
      change: { ...queue, startOffset, popTime, offset, newPopTime, newInvisibleMs: 9_000 }
    })
  t.equal((await change(5, 4, 1_000, 2_000)).changed, true)
  t.equal((await change(5, 4, 1_000, 3_000)).changed, false, 'under its old name it is gone')
  t.equal((await store.execute(acks([5], 4))).changed, false)
  const own = { ...queue, startOffset: 5, popTime: 2_000 }
  t.equal(store.tables.pops.find(own)?.dueMs, 11_000)
  // Twice in one millisecond: old and new name are the same.
  t.equal((await change(5, 5, 2_000, 2_000)).changed, true)
  t.equal(store.tables.pops.count, 2)
  t.equal((await store.execute(acks([5], 5, 2_000))).changed, true)
  t.equal(store.tables.pops.inFlight(queue), 1)
  await store.stop()
})

t.test('batches of one name keep what either has', async t => {
  const { store } = await openLeader(t.testdir())
  await prepare(store)
  await store.execute(take([0, 1, 2], -1))
  await store.execute(acks([0]))
  await store.execute({ type: 'setOffsets', offsets: [{ ...queue, offset: 0 }] })
  await store.execute(take([0, 1], 0, { invisibleMs: 100 }))
  const [batch] = [...store.tables.pops.all()]
  t.equal(store.tables.pops.count, 1)
  t.strictSame(batch?.remainingOffsets(), [0, 1, 2])
  t.equal(batch?.dueMs, 1_500, 'the later time counts')
  t.equal(store.tables.pops.inFlight(queue), 3)
  await store.execute(acks([0, 1, 2]))
  t.equal(store.tables.pops.inFlight(queue), 0)
  await store.stop()
})

t.test(
  'a batch in order: acknowledged in any order, counted, forgotten when the offset is set',
  async t => {
    const { store } = await openLeader(t.testdir())
    await prepare(store)
    const order = (
      offsets: number[],
      expectedOffset: number,
      popTime: number,
      attemptId: string | null
    ) =>
      store.execute({
        type: 'popOrderTake',
        take: {
          ...queue,
          popTime,
          invisibleMs: 500,
          expectedOffset,
          startOffset: offsets[0]!,
          offsets,
          attemptId
        }
      })
    const ack = (offsets: number[], popTime: number) =>
      store.execute({ type: 'popOrderAck', ack: { ...queue, popTime, offsets } })
    await order([0, 1, 2], -1, 1_000, 'a')
    t.equal(store.tables.consumerOffset('G', 'T', 0), 0)
    await ack([1], 1_000)
    t.equal(store.tables.consumerOffset('G', 'T', 0), 0, 'the first is not acknowledged')
    await ack([0], 1_000)
    t.equal(store.tables.consumerOffset('G', 'T', 0), 2)
    t.equal((await ack([2], 999)).changed, false, 'of another batch')
    await order([2, 3], 2, 2_000, 'a')
    t.strictSame(
      store.tables.popOrder(queue)?.messages.map(each => each.consumed),
      [0, 0],
      'the same attempt does not count'
    )
    await order([2, 3, 4], 2, 3_000, null)
    t.strictSame(
      store.tables.popOrder(queue)?.messages.map(each => each.consumed),
      [1, 1, 0]
    )
    t.equal((await order([0], 1, 4_000, null)).changed, false, 'not from another offset')
    await store.execute({ type: 'setOffsets', offsets: [{ ...queue, offset: 0 }] })
    t.equal(store.tables.popOrder(queue), undefined)
    t.equal((await ack([2], 3_000)).changed, false)
    t.equal(store.tables.consumerOffset('G', 'T', 0), 0)
    await store.stop()
  }
)

t.test('every replica and every start has the same in flight', async t => {
  const directory = t.testdir()
  const { store, log, state } = await openLeader(join(directory, 'leader'))
  await prepare(store)
  for (let i = 0; i < 20; i++)
    await store.execute(
      take([i * 10, i * 10 + 1, i * 10 + 5], i === 0 ? -1 : i * 10 - 4, { popTime: i })
    )
  for (let i = 0; i < 20; i += 3) await store.execute(acks([i * 10 + 1], i * 10, i))
  await store.execute(acks([190, 191, 195], 190, 19))
  await store.execute({
    type: 'popOrderTake',
    take: {
      ...queue,
      topic: 'T',
      popTime: 5,
      invisibleMs: 500,
      expectedOffset: 196,
      startOffset: 196,
      offsets: [196, 197],
      attemptId: null
    }
  })
  const expected = table(store)
  t.equal(expected.length, 19)

  const replica = await openFake(join(directory, 'replica'), { log: log.fork() })
  replica.log.learn(log)
  replica.node.apply()
  t.strictSame(table(replica.store), expected)
  await Promise.all([store.stop(), replica.store.stop()])

  const restarted = await openLeader(join(directory, 'leader'), { log, state })
  t.strictSame(table(restarted.store), expected, 'from the state database')
  t.strictSame(restarted.store.tables.popOrder(queue)?.messages.length, 2)
  await restarted.store.execute(acks([0, 5], 0, 0))
  await restarted.store.execute({ type: 'setOffsets', offsets: [{ ...queue, offset: 3 }] })
  const left = table(restarted.store)
  t.equal(left.length, 18)
  await restarted.store.stop()
  const again = await openLeader(join(directory, 'leader'), { log, state })
  t.strictSame(table(again.store), left, 'what went away stays away')
  t.equal(again.store.tables.popOrder(queue), undefined)
  await again.store.stop()

  // The state database lost what makes the rest count: it is built anew from the log.
  state.pairs.delete(Buffer.from('M').toString('hex'))
  const rebuilt = await openLeader(join(directory, 'rebuilt'), { log, state })
  t.strictSame(table(rebuilt.store), left)
  await rebuilt.store.stop()
})

t.test('what comes and goes between two checkpoints leaves no record', async t => {
  const { store, state } = await openLeader(t.testdir(), { checkpointIntervalMs: 20 })
  await prepare(store)
  const records = (): number =>
    [...state.pairs.keys()].filter(key => key.startsWith(Buffer.from('P').toString('hex'))).length
  await store.execute(take([0], -1))
  while (records() === 0) await new Promise(resolve => setImmediate(resolve))
  await store.execute(acks([0]))
  while (records() > 0) await new Promise(resolve => setImmediate(resolve))
  t.equal(store.tables.pops.count, 0)
  await store.stop()
})

t.test('the log is not trimmed under what is in flight', async t => {
  const { store } = await openLeader(t.testdir())
  await prepare(store)
  const first = await send(store, message('T', 0, 'a'))
  await send(store, message('T', 0, 'b'))
  await store.execute(take([0], -1, { position: first.physicalOffset }))
  const trim = { type: 'trimPrefix', index: 3, position: first.physicalOffset + 10 } as const
  t.equal((await store.execute(trim)).changed, false)
  await store.execute(acks([0]))
  t.equal((await store.execute(trim)).changed, true)
  await store.stop()
})

t.test('a batch in order is known however long its group says nothing', async t => {
  const directory = t.testdir()
  const { store, log, state } = await openLeader(directory)
  await prepare(store)
  const popTime = log.timeMs
  await store.execute({
    type: 'popOrderTake',
    take: {
      ...queue,
      popTime,
      invisibleMs: 500,
      expectedOffset: -1,
      startOffset: 0,
      offsets: [0, 1],
      attemptId: 'a'
    }
  })
  log.timeMs += 30 * 86_400_000
  await send(store, message('T', 0, 'a month later'))
  t.equal(store.tables.popOrder(queue)?.messages.length, 2)
  await store.stop()
  const again = await openLeader(directory, { log, state })
  t.match(again.store.tables.popOrder(queue), { popTime, attemptId: 'a' })
  await again.store.execute({ type: 'popOrderAck', ack: { ...queue, popTime, offsets: [0, 1] } })
  t.equal(again.store.tables.consumerOffset('G', 'T', 0), 2, 'and may still be acknowledged')
  await again.store.execute({ type: 'setOffsets', offsets: [{ ...queue, offset: 0 }] })
  t.equal(again.store.tables.popOrder(queue), undefined, 'it goes with the offset')
  await again.store.stop()
})
