import t from 'tap'
import {
  circleAllocation,
  Producer,
  PullConsumer,
  type PullConsumerOptions
} from '../../src/client/index.ts'
import { startCluster, until } from './cluster.ts'

/** Slow machines deliver late; nothing here waits for so long when all is well. */
const PATIENCE_MS = 30_000

t.test('a subscribing pull consumer', async t => {
  const cluster = await startCluster(t, 1, { enablePropertyFilter: 'true' })
  const leader = await cluster.settled()
  const producer = new Producer({ group: 'PG', nameServers: cluster.nameServer })
  t.teardown(() => producer.close())
  await producer.start()

  const open = (test: typeof t, given: Partial<PullConsumerOptions> = {}): PullConsumer => {
    const consumer = new PullConsumer({ group: 'G', nameServers: cluster.nameServer, ...given })
    test.teardown(() => consumer.close())
    return consumer
  }
  /** Polls until so many have come. */
  const texts = async (consumer: PullConsumer, count: number): Promise<string[]> => {
    const found: string[] = []
    const untilMs = Date.now() + PATIENCE_MS
    while (found.length < count && Date.now() < untilMs) {
      for (const message of await consumer.poll(1_000)) found.push(message.body.toString())
    }
    return found
  }
  const send = async (topic: string, count: number, name = 'm'): Promise<void> => {
    const [first] = await producer.queues(topic)
    const queues = await producer.queues(topic)
    for (let i = 0; i < count; i++) {
      const queue = queues[i % queues.length] ?? first!
      const message = { topic, body: `${name}${i}`, tag: i % 2 === 0 ? 'even' : 'odd' }
      await producer.send({ ...message, properties: { n: String(i) } }, { queue })
    }
  }

  t.test('shares the queues with the other members, and tells of it', async t => {
    await cluster.topic('Shared', 4)
    const changes: [number, number][] = []
    const one = open(t, { allocation: circleAllocation })
    one.onAssignment((added, removed) => changes.push([added.length, removed.length]))
    one.onAssignment(() => {
      throw new Error('a broken listener harms nobody else')
    })
    one.subscribe('Shared')
    await one.start()
    t.equal(one.assignment.length, 4)
    const two = open(t, { allocation: circleAllocation })
    two.subscribe('Shared')
    await two.start()
    await until(() => one.assignment.length === 2 && two.assignment.length === 2, PATIENCE_MS)
    t.strictSame(
      [one, two].map(each => each.assignment.map(queue => queue.queueId)).sort(byFirst),
      [
        [0, 2],
        [1, 3]
      ]
    )
    t.strictSame(changes, [
      [4, 0],
      [0, 2]
    ])
    await send('Shared', 8)
    const [mine, theirs] = await Promise.all([texts(one, 4), texts(two, 4)])
    t.equal(new Set([...mine, ...theirs]).size, 8)
    await two.close()
    await until(() => one.assignment.length === 4, PATIENCE_MS)
    await one.commit()
    one.unsubscribe('Shared')
    t.strictSame(one.assignment, [])
    t.throws(() => one.assign([]), { code: 'BAD_ARGUMENT' })
  })

  t.test('keeps its queues when the strategy fails', async t => {
    await cluster.topic('Failing', 2)
    let calls = 0
    const consumer = open(t, {
      group: 'G_failing',
      allocation: {
        name: 'fails later',
        allocate(self, queues, clients) {
          if (++calls > 1) throw new Error('no idea')
          return circleAllocation.allocate(self, queues, clients)
        }
      }
    })
    consumer.subscribe('Failing')
    await consumer.start()
    t.equal(consumer.assignment.length, 2)
    consumer.rebalance()
    await until(() => calls > 1, PATIENCE_MS)
    t.equal(consumer.assignment.length, 2)
  })

  t.test('stores its places by itself when asked to', async t => {
    await cluster.topic('Auto', 2)
    await send('Auto', 6)
    const first = open(t, { group: 'G_auto', autoCommit: true, autoCommitIntervalMs: 3_600_000 })
    first.subscribe('Auto')
    await first.start()
    t.equal((await texts(first, 6)).length, 6)
    await first.close()
    await send('Auto', 2, 'later')
    const second = open(t, { group: 'G_auto', autoCommit: true, autoCommitIntervalMs: 5 })
    second.subscribe('Auto')
    await second.start()
    t.strictSame((await texts(second, 2)).sort(byText), ['later0', 'later1'])
    const stored = async (): Promise<number> => {
      const queues = await second.queues('Auto')
      const offsets = await Promise.all(queues.map(queue => second.committed(queue)))
      return offsets.reduce<number>((sum, offset) => sum + (offset ?? 0), 0)
    }
    const untilMs = Date.now() + PATIENCE_MS
    while ((await stored()) !== 8 && Date.now() < untilMs) await second.poll(20)
    t.equal(await stored(), 8)
  })

  t.test('of a broadcasting group has all queues, and finds its own places again', async t => {
    await cluster.topic('Cast', 2)
    await send('Cast', 4)
    const offsetDirectory = t.testdir()
    const cast = async (instanceName: string): Promise<PullConsumer> => {
      const given = { group: 'G_cast', instanceName, offsetDirectory, autoCommit: true } as const
      const consumer = open(t, { ...given, messageModel: 'broadcasting' })
      consumer.subscribe('Cast')
      await consumer.start()
      t.equal(consumer.assignment.length, 2)
      return consumer
    }
    const all = ['m0', 'm1', 'm2', 'm3']
    const [one, two] = [await cast('one'), await cast('two')]
    t.strictSame((await texts(one, 4)).sort(byText), all)
    t.strictSame((await texts(two, 4)).sort(byText), all)
    const [queue, other] = one.assignment
    await two.commitOffset(queue!, 1)
    t.equal(await two.committed(queue!), 1)
    t.equal(await one.committed(queue!), null, 'another member’s is none of its own')
    await Promise.all([one.close(), two.close()])
    const asClustering = open(t, { group: 'G_cast' })
    await asClustering.start()
    t.notOk(await asClustering.committed(queue!), 'brokers know nothing of it')
    await send('Cast', 1, 'later')
    const again = await cast('one')
    t.equal(await again.committed(queue!), 2)
    t.equal(await again.committed(other!), 2)
    t.strictSame(await texts(again, 1), ['later0'])
    await t.rejects(again.commitOffset(queue!, -1), { code: 'BAD_ARGUMENT' })
    t.throws(() => open(t, { messageModel: 'broadcasting' }), { code: 'BAD_ARGUMENT' })
  })

  t.test('filters by tags and by SQL92', async t => {
    await cluster.topic('Filtered', 1)
    await send('Filtered', 8)
    const byTag = open(t, { group: 'G_tag' })
    byTag.subscribe('Filtered', 'odd')
    await byTag.start()
    t.strictSame(await texts(byTag, 4), ['m1', 'm3', 'm5', 'm7'])
    const bySql = open(t, { group: 'G_sql' })
    bySql.subscribeSql('Filtered', 'n BETWEEN 2 AND 4')
    await bySql.start()
    t.strictSame(await texts(bySql, 3), ['m2', 'm3', 'm4'])
    const [queue] = await bySql.queues('Filtered')
    const once = await bySql.fetch(queue!, 0, { sql: 'n = 6' })
    t.strictSame(
      once.messages.map(message => message.body.toString()),
      ['m6']
    )
    const bad = open(t, { group: 'G_bad' })
    bad.subscribeSql('Filtered', 'n ===')
    await t.rejects(bad.start(), { code: 'REFUSED', responseCode: 23 })
  })

  t.test('pauses, seeks to the ends, and begins where it is told to', async t => {
    await cluster.topic('Places', 2)
    await send('Places', 4)
    const consumer = open(t, { group: 'G_places' })
    consumer.subscribe('Places')
    await consumer.start()
    const [zero, one] = consumer.assignment
    consumer.pause([zero!])
    t.strictSame(await texts(consumer, 2), ['m1', 'm3'])
    t.strictSame(await consumer.poll(30), [])
    const waiting = consumer.poll(PATIENCE_MS)
    consumer.resume([zero!])
    const resumed = (await waiting).map(message => message.body.toString())
    while (resumed.length < 2) resumed.push(...(await texts(consumer, 1)))
    t.strictSame(resumed, ['m0', 'm2'])
    await consumer.seekToBegin(one!)
    t.strictSame(await texts(consumer, 2), ['m1', 'm3'])
    await consumer.seekToBegin(zero!)
    await consumer.seekToEnd(zero!)
    t.strictSame(await consumer.poll(30), [])
    t.equal(consumer.position(zero!), 2)
    t.throws(() => consumer.pause([{ ...zero!, queueId: 9 }]), { code: 'BAD_ARGUMENT' })
  })

  t.test('follows resets of operators and tells them where it is', async t => {
    await cluster.topic('Reset', 1)
    await send('Reset', 3)
    const consumer = open(t, { group: 'G_reset', autoCommit: true })
    consumer.subscribe('Reset')
    await consumer.start()
    t.equal((await texts(consumer, 3)).length, 3)
    const info = await cluster.admin.offsets.runningInfoText(
      leader.address,
      'G_reset',
      consumer.clientId
    )
    t.match(info, /CONSUME_ACTIVELY/)
    t.match(info, /"commitOffset":3/)
    await consumer.commit()
    const where = { topic: 'Reset', group: 'G_reset', timestamp: 0, isForce: true }
    await cluster.admin.offsets.reset(leader.address, where)
    t.strictSame(await texts(consumer, 3), ['m0', 'm1', 'm2'])
  })

  t.test('hears of queues that a topic gets', async t => {
    await cluster.topic('Growing', 1)
    const consumer = open(t, { group: 'G_growing', routePollIntervalMs: 50 })
    const heard: number[] = []
    consumer.onQueues('Growing', queues => heard.push(queues.length))
    consumer.subscribe('Growing')
    await consumer.start()
    t.equal(consumer.assignment.length, 1)
    const wider = { topicName: 'Growing', readQueueNums: 3, writeQueueNums: 3 }
    await cluster.admin.topics.put(leader.address, wider)
    await until(() => consumer.assignment.length === 3, PATIENCE_MS)
    t.strictSame(heard, [3])
  })

  t.test('keeps to its namespace', async t => {
    await cluster.topic('NS%Named', 1)
    const named = new Producer({ group: 'PG', nameServers: cluster.nameServer, namespace: 'NS' })
    t.teardown(() => named.close())
    await named.start()
    await named.send({ topic: 'Named', body: 'x' })
    const consumer = open(t, { group: 'G_named', namespace: 'NS' })
    consumer.subscribe('Named')
    await consumer.start()
    const [message] = await consumer.poll(PATIENCE_MS)
    t.match(message, { topic: 'Named', queue: { topic: 'Named' } })
    const [queue] = consumer.assignment
    t.equal(queue!.topic, 'Named')
    await consumer.commit(queue)
    t.equal(await consumer.committed(queue!), 1)
    const fetched = await consumer.fetch(queue!, 0)
    t.equal(fetched.messages[0]!.topic, 'Named')
  })
})

function byFirst(a: readonly number[], b: readonly number[]): number {
  return a[0]! - b[0]!
}

function byText(a: string, b: string): number {
  return a < b ? -1 : 1
}
