import t from 'tap'
import {
  type ClientError,
  PopConsumer,
  type PopConsumerOptions,
  type PoppedMessage,
  Producer,
  type SendOptions
} from '../../src/client/index.ts'
import { createRealPlatform, type Platform, type Timer } from '../../src/platform/index.ts'
import { popRetryTopic } from '../../src/protocol/index.ts'
import { startCluster, until } from './cluster.ts'

const PATIENCE_MS = 30_000
const texts = (messages: readonly PoppedMessage[]): string[] =>
  messages.map(message => message.body.toString())

/** The real one, and the long timers that are set. */
function watchedPlatform(): { platform: Platform; live: Set<Timer> } {
  const real = createRealPlatform()
  const live = new Set<Timer>()
  const after = (delayMs: number, callback: () => void): Timer => {
    const timer = real.clock.after(delayMs, () => {
      live.delete(watched)
      callback()
    })
    const watched: Timer = {
      cancel: () => {
        live.delete(watched)
        timer.cancel()
      }
    }
    if (delayMs > PATIENCE_MS / 2) live.add(watched)
    return watched
  }
  const { wallMs, monotonicMs, every, turnEnd } = real.clock
  return { platform: { ...real, clock: { wallMs, monotonicMs, every, turnEnd, after } }, live }
}

t.test('a consumer by POP', async t => {
  const cluster = await startCluster(t, 1, { popFromRetryProbability: '100' })
  const leader = await cluster.settled()
  const producer = new Producer({ group: 'PG', nameServers: cluster.nameServer })
  t.teardown(() => producer.close())
  await producer.start()
  const open = async (
    test: typeof t,
    topics: readonly string[],
    given: Partial<PopConsumerOptions> = {}
  ): Promise<PopConsumer> => {
    const consumer = new PopConsumer({ group: 'G', nameServers: cluster.nameServer, ...given })
    test.teardown(() => consumer.close())
    for (const topic of topics) consumer.subscribe(topic)
    await consumer.start()
    return consumer
  }
  /** Receives until so many have come. */
  const receive = async (consumer: PopConsumer, count: number): Promise<PoppedMessage[]> => {
    const found: PoppedMessage[] = []
    const untilMs = Date.now() + PATIENCE_MS
    while (found.length < count && Date.now() < untilMs)
      found.push(...(await consumer.receive({ waitMs: 1_000 })))
    return found
  }
  const send = async (topic: string, count: number): Promise<void> => {
    for (let i = 0; i < count; i++)
      await producer.send({ topic, body: String(i), tag: i % 2 === 0 ? 'even' : 'odd' })
  }

  t.test('receives each message once, and what is acknowledged is gone', async t => {
    await cluster.topic('Pop', 4)
    await send('Pop', 20)
    const one = await open(t, ['Pop'])
    const two = await open(t, ['Pop'])
    const messages = [...(await receive(one, 1)), ...(await receive(two, 1))]
    while (messages.length < 20) messages.push(...(await receive(one, 1)))
    t.equal(new Set(texts(messages)).size, 20)
    t.ok(messages.every(({ deliveryAttempt, topic }) => deliveryAttempt === 1 && topic === 'Pop'))
    // Whoever of the group has the handles may give them back.
    await two.ack(messages)
    t.equal(leader.store.tables.pops.count, 0)
    t.strictSame(await one.receive({ waitMs: 0 }), [])
  })

  t.test('what is not acknowledged comes again, sooner or later as one likes', async t => {
    await cluster.topic('Again', 1)
    await send('Again', 3)
    const consumer = await open(t, ['Again'], { invisibleMs: 60_000 })
    const [soon, later, done] = await receive(consumer, 3)
    await consumer.changeInvisible(soon!, 100)
    const held = await consumer.changeInvisible(later!, 120_000)
    await consumer.ack(done!)
    const [again] = await receive(consumer, 1)
    t.equal(again?.body.toString(), '0')
    t.equal(again?.deliveryAttempt, 2)
    t.equal(again?.messageId, soon?.messageId)
    await consumer.ack([again!, held])
    t.equal(leader.store.tables.pops.count, 0)
  })

  t.test(
    'a retry and a new message of one place, in one answer, have handles of their own',
    async t => {
      await cluster.topic('Twice', 2)
      const consumer = await open(t, ['Twice'], { invisibleMs: 60_000 })
      const queues = await producer.queues('Twice')
      const queue = (id: number): SendOptions => ({ queue: queues.find(q => q.queueId === id)! })
      await producer.send({ topic: 'Twice', body: 'old' }, queue(1))
      const [old] = await receive(consumer, 1)
      await consumer.changeInvisible(old!, 1)
      await until(() => leader.store.maxOffset(popRetryTopic('Twice', 'G', false), 0) === 1)
      await producer.send({ topic: 'Twice', body: 'new' }, queue(0))
      const messages = await receive(consumer, 2)
      t.strictSame(texts(messages), ['old', 'new'])
      const places = messages.map(({ queueOffset, queue }) => [queue.queueId, queueOffset])
      t.strictSame(places, [
        [0, 0],
        [0, 0]
      ])
      const marks = messages.map(({ handle }) => handle.split(' ')[4])
      t.strictSame(marks, ['1', '0'])
      await consumer.ack(messages[1]!)
      t.equal(leader.store.tables.pops.count, 1)
      await consumer.ack(messages[0]!)
      t.equal(leader.store.tables.pops.count, 0)
    }
  )

  t.test('several topics, tags, SQL92 and a namespace', async t => {
    await cluster.topic('ns%First', 1)
    await cluster.topic('ns%Second', 1)
    const { platform, live } = watchedPlatform()
    const consumer = await open(t, ['First'], { namespace: 'ns', platform })
    consumer.subscribe('Second', 'odd')
    const waiting = consumer.receive({ waitMs: PATIENCE_MS })
    await send('ns%Second', 4)
    const odd = await waiting
    while (odd.length < 2) odd.push(...(await receive(consumer, 1)))
    t.strictSame(texts(odd), ['1', '3'])
    t.equal(odd[0]?.topic, 'Second')
    await consumer.ack(odd)
    const waitingFirst = consumer.receive({ waitMs: PATIENCE_MS })
    await send('ns%First', 1)
    const first = await waitingFirst
    t.strictSame(texts(first), ['0'])
    await consumer.ack(first)
    consumer.unsubscribe('First')
    consumer.subscribeSql('Second', "TAGS = 'even'")
    await send('ns%Second', 1)
    const sql = await receive(consumer, 1)
    t.strictSame(texts(sql), ['0'])
    await consumer.ack(sql)
    await consumer.close()
    t.equal(live.size, 0, 'no timer of a wait that is over keeps the process')
    t.equal(leader.store.tables.pops.count, 0)
  })

  t.test('in order: the next come when those before are acknowledged', async t => {
    await cluster.topic('Order', 1)
    await send('Order', 4)
    const consumer = await open(t, ['Order'], { group: 'GO', orderly: true, messagesPerReceive: 2 })
    const first = await receive(consumer, 2)
    t.strictSame(texts(first), ['0', '1'])
    t.strictSame(await consumer.receive({ waitMs: 0 }), [], 'blocked')
    await consumer.ack(first[0]!)
    const held = await consumer.changeInvisible(first[1]!, 100)
    t.equal(held.handle.split(' ')[0], first[1]!.handle.split(' ')[0])
    const again = await receive(consumer, 2)
    t.strictSame(texts(again), ['1', '2'])
    t.strictSame(
      again.map(message => message.deliveryAttempt),
      [2, 1]
    )
    await consumer.ack(again)
    t.strictSame(texts(await receive(consumer, 1)), ['3'])
  })

  t.test('what cannot be is refused', async t => {
    const consumer = new PopConsumer({ group: 'G', nameServers: cluster.nameServer })
    await t.rejects(consumer.receive(), { code: 'NOT_STARTED' })
    await consumer.start()
    await t.rejects(consumer.receive(), { code: 'BAD_ARGUMENT' })
    t.throws(() => consumer.subscribe(''), { code: 'BAD_ARGUMENT' })
    await t.rejects(consumer.ack({ handle: 'none' } as PoppedMessage), { code: 'BAD_ARGUMENT' })
    await consumer.close()
    await consumer.close()
    await t.rejects(consumer.receive(), { code: 'CLOSED' })
    t.throws(
      () => new PopConsumer({ group: 'G', nameServers: cluster.nameServer, invisibleMs: -1 }),
      { code: 'BAD_ARGUMENT' }
    )
  })
})

t.test('goes on with the next leader', async t => {
  const cluster = await startCluster(t, 3)
  const leader = await cluster.settled()
  await cluster.topic('Fail', 2)
  const producer = new Producer({ group: 'PG', nameServers: cluster.nameServer })
  t.teardown(() => producer.close())
  await producer.start()
  for (let i = 0; i < 40; i++) await producer.send({ topic: 'Fail', body: String(i) })
  const consumer = new PopConsumer({
    group: 'G',
    nameServers: cluster.nameServer,
    messagesPerReceive: 4,
    retryWithinMs: PATIENCE_MS,
    invisibleMs: 60_000
  })
  t.teardown(() => consumer.close())
  consumer.subscribe('Fail')
  await consumer.start()
  const before = await consumer.receive()
  t.ok(before.length > 0)
  await cluster.kill(leader)
  const seen = new Set(texts(before))
  await consumer.ack(before)
  const untilMs = Date.now() + PATIENCE_MS
  while (seen.size < 40 && Date.now() < untilMs) {
    const messages = await consumer.receive({ waitMs: 500 }).catch((error: ClientError) => {
      t.ok(error.retryable, error.message)
      return []
    })
    for (const text of texts(messages)) {
      t.notOk(seen.has(text), `${text} comes once`)
      seen.add(text)
    }
    await consumer.ack(messages)
  }
  t.equal(seen.size, 40)
  await until(() => cluster.leader().store.tables.pops.count === 0, PATIENCE_MS)
})
