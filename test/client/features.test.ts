import t from 'tap'
import {
  Producer,
  PushConsumer,
  type PushConsumerOptions,
  type ReceivedMessage,
  TransactionProducer
} from '../../src/client/index.ts'
import { type Cluster, Collector, startCluster, until } from './cluster.ts'

type Tap = Pick<typeof t, 'teardown'>

async function producerOf(
  test: Tap,
  cluster: Cluster,
  given: Partial<ConstructorParameters<typeof Producer>[0]> = {}
): Promise<Producer> {
  const producer = new Producer({ group: 'PG', nameServers: cluster.nameServer, ...given })
  test.teardown(() => producer.close())
  await producer.start()
  return producer
}

async function consume(
  test: Tap,
  cluster: Cluster,
  topic: string,
  given: Partial<PushConsumerOptions> = {}
): Promise<{ consumer: PushConsumer; got: Collector<ReceivedMessage> }> {
  const got = new Collector<ReceivedMessage>()
  const consumer = new PushConsumer({
    group: `G_${topic}`,
    nameServers: cluster.nameServer,
    consumeFrom: 'first',
    listener: messages => {
      for (const message of messages) got.add(message)
    },
    ...given
  })
  test.teardown(() => consumer.close())
  consumer.subscribe(topic)
  await consumer.start()
  return { consumer, got }
}

/** Slow machines deliver late; nothing here waits for so long when all is well. */
const PATIENCE_MS = 30_000

t.test('with one broker', async t => {
  const cluster = await startCluster(t, 1, {
    traceTopicEnable: 'true',
    recallMessageEnable: 'true'
  })
  await cluster.settled()

  t.test('a message comes at its time, or never when it is taken back', async t => {
    await cluster.topic('Timed', 1)
    const producer = await producerOf(t, cluster)
    const { got } = await consume(t, cluster, 'Timed')
    const beganMs = Date.now()
    const far = await producer.send({ topic: 'Timed', body: 'far', delayMs: 3_000 })
    const soon = await producer.send({ topic: 'Timed', body: 'at', deliverAtMs: beganMs + 1_000 })
    await producer.send({ topic: 'Timed', body: 'over', deliverAtMs: 1 })
    const plain = await producer.send({ topic: 'Timed', body: 'now' })
    t.equal(plain.recallHandle, null)
    t.equal(await producer.recall('Timed', far.recallHandle!), far.messageId)
    await t.rejects(producer.recall('Timed', 'nonsense'), { code: 'BAD_ARGUMENT' })
    await producer.send({ topic: 'Timed', body: 'last', delayMs: 3_500 })
    const messages = await got.reach(4, PATIENCE_MS)
    const bodies = new Set(messages.map(message => message.body.toString()))
    t.strictSame(bodies, new Set(['at', 'last', 'now', 'over']))
    const at = messages.find(message => message.body.toString() === 'at')!
    t.ok(at.storeTimestamp >= beganMs + 1_000, 'not before its time')
    await t.rejects(producer.recall('Timed', soon.recallHandle!), { code: 'REFUSED' }, 'too late')
    for (const bad of [
      { delayMs: 0 },
      { deliverAtMs: 1.5 },
      { delayMs: 5, delayLevel: 1 },
      { delayMs: 5, deliverAtMs: 7 }
    ]) {
      await t.rejects(producer.send({ topic: 'Timed', body: 'x', ...bad }), {
        code: 'BAD_ARGUMENT'
      })
    }
    await t.rejects(producer.sendBatch([{ topic: 'Timed', body: 'x', delayMs: 5 }]), {
      code: 'BAD_ARGUMENT'
    })
  })

  t.test('a request gets the reply of whoever consumed it', async t => {
    await cluster.topic('Asked', 2)
    const asker = await producerOf(t, cluster, { group: 'Askers' })
    const answerer = await producerOf(t, cluster, { group: 'Answerers' })
    const { got } = await consume(t, cluster, 'Asked', {
      listener: async ([message]) => {
        got.add(message!)
        if (message!.tag === 'silence') return
        await answerer.reply(message!, `${message!.body.toString()}!`.repeat(message!.body.length))
      }
    })
    const replies = await Promise.all(
      ['a', 'b', 'c'.repeat(100)].map(body =>
        asker.request({ topic: 'Asked', body }, { timeoutMs: PATIENCE_MS })
      )
    )
    const [, , long] = replies
    t.strictSame(
      replies.slice(0, 2).map(reply => reply.body.toString()),
      ['a!', 'b!']
    )
    t.equal(long!.body.toString(), `${'c'.repeat(100)}!`.repeat(100), 'compressed on its way')
    t.match(long!.topic, /_REPLY_TOPIC$/)
    const silent = { topic: 'Asked', body: 'x', tag: 'silence' }
    await t.rejects(asker.request(silent, { timeoutMs: 200 }), {
      code: 'TIMEOUT',
      message: /nobody replied within/
    })
    const noRequest = { ...long!, properties: new Map() }
    await t.rejects(answerer.reply(noRequest, 'x'), { code: 'BAD_ARGUMENT' })
    const waiting = asker.request(silent, { timeoutMs: PATIENCE_MS })
    const closed = t.rejects(waiting, { code: 'CLOSED' })
    await got.reach(5, PATIENCE_MS)
    await asker.close()
    await closed
  })

  t.test('what becomes of messages is told to the trace topic', async t => {
    await cluster.topic('Traced', 1)
    const reader = await consume(t, cluster, 'RMQ_SYS_TRACE_TOPIC', { group: 'TraceReaders' })
    const producer = await producerOf(t, cluster, { group: 'Tracers', trace: true })
    const sent = await producer.send({ topic: 'Traced', body: 'x', tag: 'A', keys: ['k1', 'k2'] })
    let fail = true
    const { consumer } = await consume(t, cluster, 'Traced', {
      trace: true,
      orderly: true,
      listener: (_, context) => {
        context.suspendMs = 10
        if (fail) {
          fail = false
          throw new Error('not yet')
        }
      }
    })
    const transactions = new TransactionProducer({
      group: 'TxTracers',
      nameServers: cluster.nameServer,
      trace: true,
      listener: { executeLocal: () => 'rollback', checkLocal: () => 'rollback' }
    })
    t.teardown(() => transactions.close())
    await transactions.start()
    const half = await transactions.sendInTransaction({ topic: 'Traced', body: 'half', keys: 'k3' })

    const records = (): string[][] =>
      reader.got.items
        .flatMap(message => message.body.toString().split('\u0002'))
        .filter(record => record !== '')
        .map(record => record.split('\u0001'))
    const of = (kind: string, id: string): string[][] =>
      records().filter(fields => fields[0] === kind && fields.includes(id))
    await until(
      () =>
        of('SubAfter', sent.messageId).length === 2 &&
        of('EndTransaction', half.messageId).length === 1,
      PATIENCE_MS
    )
    const [publish] = of('Pub', sent.messageId)
    t.strictSame(publish!.slice(2, 9), [
      'DefaultRegion',
      'Tracers',
      'Traced',
      sent.messageId,
      'A',
      'k1 k2',
      cluster.leader().address
    ])
    t.strictSame(publish!.slice(11), ['0', sent.offsetMessageId, 'true'])
    t.equal(of('Pub', half.messageId)[0]![11], '1', 'a half message')
    t.strictSame(
      of('SubAfter', sent.messageId).map(fields => [fields[4], fields[6], fields[8]]),
      [
        ['false', '2', 'G_Traced'],
        ['true', '0', 'G_Traced']
      ]
    )
    const pairs = new Set(of('SubBefore', sent.messageId).map(fields => fields[4]))
    t.strictSame(new Set(of('SubAfter', sent.messageId).map(fields => fields[1])), pairs)
    t.strictSame(of('EndTransaction', half.messageId)[0]!.slice(10), [
      half.messageId,
      'ROLLBACK_MESSAGE',
      'false'
    ])
    const found = await cluster.admin.messages.byKey({
      topic: 'RMQ_SYS_TRACE_TOPIC',
      key: 'k2',
      maxMessages: 32
    })
    t.ok(found.length > 0, 'found by the key of what was traced')
    await consumer.close()
  })

  t.test('a trace goes to a topic of its own when asked to', async t => {
    await cluster.topic('Traced2', 1)
    await cluster.topic('OwnTrace', 1)
    const producer = await producerOf(t, cluster, { trace: { topic: 'OwnTrace' } })
    const { messageId } = await producer.send({ topic: 'Traced2', body: 'x' })
    await producer.close()
    const { got } = await consume(t, cluster, 'OwnTrace')
    const [message] = await got.reach(1, PATIENCE_MS)
    t.match(message!.body.toString(), new RegExp(`^Pub\u0001.*${messageId}`))
    t.strictSame(message!.keys, [messageId])
    const batches = await producerOf(t, cluster, { trace: { topic: 'OwnTrace' } })
    const batch = ['y', 'z'].map(body => ({ topic: 'Traced2', body }))
    const { messageId: ids } = await batches.sendBatch(batch)
    await batches.close()
    const [, ofBatch] = await got.reach(2, PATIENCE_MS)
    t.equal(ofBatch!.keys.length, 2, 'found by the id of each message of a batch')
    t.strictSame(ofBatch!.keys, ids.split(','))
  })

  t.test('two namespaces share a cluster without meeting', async t => {
    for (const topic of ['One%Shared', 'Two%Shared']) await cluster.topic(topic, 2)
    const delivered: Record<string, Collector<ReceivedMessage>> = {}
    for (const namespace of ['One', 'Two']) {
      let refused = false
      const { consumer, got } = await consume(t, cluster, 'Shared', {
        namespace,
        listener: ([message], context) => {
          got.add(message!)
          t.equal(context.queue.topic === 'Shared' || message!.reconsumeTimes > 0, true)
          context.delayLevel = 1
          if (!refused) {
            refused = true
            return 'later'
          }
          return 'done'
        }
      })
      delivered[namespace] = got
      t.strictSame(
        consumer.assignment.map(queue => queue.topic).filter(topic => topic === 'Shared'),
        ['Shared', 'Shared']
      )
      const producer = await producerOf(t, cluster, { namespace })
      const queues = await producer.queues('Shared')
      t.strictSame(
        queues.map(queue => queue.topic),
        ['Shared', 'Shared']
      )
      const { queue } = await producer.send(
        { topic: 'Shared', body: namespace },
        { queue: queues[1]! }
      )
      t.strictSame(queue, queues[1])
      await producer.send(
        { topic: 'Shared', body: namespace },
        { selectQueue: all => all.find(each => each.queueId === 0)! }
      )
    }
    for (const [namespace, got] of Object.entries(delivered)) {
      // One of the two was given back once.
      const messages = await got.reach(3, PATIENCE_MS)
      t.ok(messages.every(message => message.body.toString() === namespace))
      t.ok(messages.every(message => message.topic === 'Shared'))
    }
    const broker = cluster.leader().address
    t.ok((await cluster.admin.topics.consumerIds(broker, 'One%G_Shared')).length === 1)
  })
})
