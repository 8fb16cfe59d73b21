import t from 'tap'
import {
  type MessageQueue,
  Producer,
  PullConsumer,
  PushConsumer,
  type PushConsumerOptions,
  type ReceivedMessage
} from '../../src/client/index.ts'
import { type Cluster, Collector, startCluster, until } from './cluster.ts'

async function producerOf(test: Tap, cluster: Cluster): Promise<Producer> {
  const producer = new Producer({ group: 'PG', nameServers: cluster.nameServer })
  await producer.start()
  test.teardown(() => producer.close())
  return producer
}

type Tap = Pick<typeof t, 'teardown'>

interface Consuming {
  readonly consumer: PushConsumer
  readonly got: Collector<ReceivedMessage>
}

async function consume(
  test: Tap,
  cluster: Cluster,
  topic: string,
  given: Partial<PushConsumerOptions> & { expression?: string } = {}
): Promise<Consuming> {
  const got = new Collector<ReceivedMessage>()
  const { expression, ...options } = given
  const consumer = new PushConsumer({
    group: 'G',
    nameServers: cluster.nameServer,
    consumeFrom: 'first',
    listener: messages => {
      for (const message of messages) got.add(message)
    },
    ...options
  })
  test.teardown(() => consumer.close())
  consumer.subscribe(topic, expression)
  await consumer.start()
  return { consumer, got }
}

function texts(messages: readonly ReceivedMessage[]): string[] {
  return messages.map(message => message.body.toString())
}

t.test('with one broker', async t => {
  const cluster = await startCluster(t, 1)
  await cluster.settled()
  const producer = await producerOf(t, cluster)

  t.test('what was sent is consumed once, with all that was given along', async t => {
    await cluster.topic('Basic', 4)
    const sent = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        producer.send({
          topic: 'Basic',
          body: `m${i}`,
          tag: 'A',
          keys: ['k', `k${i}`],
          properties: { n: String(i) }
        })
      )
    )
    t.ok(sent.every(result => result.status === 'SEND_OK'))
    t.equal(new Set(sent.map(result => result.messageId)).size, 20)
    const { got, consumer } = await consume(t, cluster, 'Basic', { group: 'G_basic' })
    const messages = await got.reach(20)
    t.strictSame(new Set(texts(messages)), new Set(sent.map((_, i) => `m${i}`)))
    const seventh = messages.find(message => message.body.toString() === 'm7')!
    t.match(seventh, { topic: 'Basic', tag: 'A', keys: ['k', 'k7'], reconsumeTimes: 0 })
    t.equal(seventh.properties.get('n'), '7')
    t.equal(seventh.messageId, sent[7]!.messageId)
    t.equal(seventh.offsetMessageId, sent[7]!.offsetMessageId)
    await consumer.close()
    t.equal(got.items.length, 20)
    const second = await consume(t, cluster, 'Basic', { group: 'G_basic' })
    await producer.send({ topic: 'Basic', body: 'last' })
    t.strictSame(texts(await second.got.reach(1)), ['last'], 'goes on where close() stored it')
  })

  t.test('a topic comes to life with its first message', async t => {
    const result = await producer.send({ topic: 'Fresh', body: 'x' })
    t.equal(result.status, 'SEND_OK')
    const { got } = await consume(t, cluster, 'Fresh', { group: 'G_fresh' })
    t.strictSame(texts(await got.reach(1)), ['x'])
  })

  t.test('only the wanted tags come, and the group moves past the others', async t => {
    await cluster.topic('Tags', 1)
    const { got, consumer } = await consume(t, cluster, 'Tags', {
      group: 'G_tags',
      expression: 'A || B',
      // A held pull is not woken by what it does not want: how far it is shows when its time is over.
      pullSuspendMs: 200
    })
    for (const tag of ['A', 'X', 'B', 'X']) {
      await producer.send({ topic: 'Tags', body: tag, tag })
    }
    t.strictSame(texts(await got.reach(2)), ['A', 'B'])
    const broker = cluster.leader().address
    await until(() => consumer.assignment.length > 0)
    for (;;) {
      await consumer.commit()
      const stats = await cluster.admin.offsets.consumeStats(broker, 'G_tags', 'Tags')
      if (stats.offsetTable[0]?.[1].consumerOffset === 4) break
    }
    t.equal(got.items.length, 2)
  })

  t.test(
    'a failed message comes again after a while, with its topic and a higher count',
    async t => {
      await cluster.topic('Retry', 1)
      const { got } = await consume(t, cluster, 'Retry', {
        group: 'G_retry',
        listener: (messages, context) => {
          got_.add(messages[0]!)
          context.delayLevel = 1
          if (messages[0]!.reconsumeTimes === 0) throw new Error('not this time')
        }
      })
      t.equal(got.items.length, 0)
      await producer.send({ topic: 'Retry', body: 'again', keys: 'k' })
      const [first, second] = await got_.reach(2, 15_000)
      t.equal(first!.reconsumeTimes, 0)
      t.match(second, { topic: 'Retry', reconsumeTimes: 1, messageId: first!.messageId })
      t.equal(second!.queue.topic, '%RETRY%G_retry')
    }
  )
  const got_ = new Collector<ReceivedMessage>()

  t.test(
    'an orderly consumer gets each queue in order, one at a time, also across failures',
    async t => {
      await cluster.topic('Order', 2)
      const running = new Map<number, number>()
      const failedOnce = new Set<string>()
      let overlaps = 0
      const got = new Collector<ReceivedMessage>()
      const { consumer } = await consume(t, cluster, 'Order', {
        group: 'G_order',
        orderly: true,
        listener: async ([message], context) => {
          const queueId = message!.queue.queueId
          const now = (running.get(queueId) ?? 0) + 1
          running.set(queueId, now)
          if (now > 1) overlaps++
          await new Promise(resolve => setImmediate(resolve))
          running.set(queueId, now - 1)
          context.suspendMs = 10
          const text = message!.body.toString()
          if (text.endsWith('3') && !failedOnce.has(text)) {
            failedOnce.add(text)
            return 'later'
          }
          got.add(message!)
          return 'done'
        }
      })
      for (let i = 0; i < 10; i++) {
        for (const queueId of [0, 1]) {
          const queue = { topic: 'Order', brokerName: 'b', queueId }
          await producer.send({ topic: 'Order', body: `${queueId}-${i}` }, { queue })
        }
      }
      const messages = await got.reach(20)
      for (const queueId of [0, 1]) {
        const ofQueue = texts(messages.filter(message => message.queue.queueId === queueId))
        t.strictSame(
          ofQueue,
          Array.from({ length: 10 }, (_, i) => `${queueId}-${i}`)
        )
      }
      t.equal(overlaps, 0)
      t.equal(failedOnce.size, 2)
      await consumer.close()
    }
  )

  t.test('an orderly consumer may hold its place, and go back to it', async t => {
    await cluster.topic('Held', 1)
    const got = new Collector<string>()
    const open = (): Promise<Consuming> =>
      consume(t, cluster, 'Held', {
        group: 'G_held',
        orderly: true,
        listener: ([message], context) => {
          context.suspendMs = 10
          const text = message!.body.toString()
          got.add(text)
          const isFirst = got.items.filter(each => each === text).length === 1
          if (text === 'back' && isFirst) return 'rollback'
          return text.startsWith('hold') || text === 'back' ? 'hold' : 'done'
        }
      })
    for (const body of ['done0', 'hold1', 'back', 'done2', 'hold3'])
      await producer.send({ topic: 'Held', body })
    const first = await open()
    await got.reach(7, 25_000)
    t.strictSame(got.items, ['done0', 'hold1', 'back', 'hold1', 'back', 'done2', 'hold3'])
    await first.consumer.close()
    const stats = await cluster.admin.offsets.consumeStats(
      cluster.leader().address,
      'G_held',
      'Held'
    )
    const [, progress] = stats.offsetTable[0]!
    t.equal(progress.consumerOffset, 4, 'what is held is not stored')
    await open()
    await got.reach(8, 25_000)
    t.equal(got.items.at(-1), 'hold3', 'whoever has the queue next gets it again')
  })

  t.test('two members share the queues, and when one leaves the other has them all', async t => {
    await cluster.topic('Share', 4)
    const first = await consume(t, cluster, 'Share', { group: 'G_share' })
    await until(() => countOf(first.consumer, 'Share') === 4)
    const changes: [number, number][] = []
    first.consumer.onAssignment((added, removed) => {
      if ([...added, ...removed].every(queue => queue.topic !== 'Share')) return
      changes.push([added.length, removed.length])
      throw new Error('a broken listener harms nobody')
    })
    const second = await consume(t, cluster, 'Share', { group: 'G_share' })
    await until(() => countOf(first.consumer, 'Share') === 2)
    await until(() => countOf(second.consumer, 'Share') === 2)
    await Promise.all(
      Array.from({ length: 40 }, (_, i) => producer.send({ topic: 'Share', body: `s${i}` }))
    )
    await until(() => first.got.items.length + second.got.items.length >= 40)
    const all = [...texts(first.got.items), ...texts(second.got.items)]
    t.equal(new Set(all).size, 40)
    t.ok(first.got.items.length > 0 && second.got.items.length > 0)
    await second.consumer.close()
    await until(() => countOf(first.consumer, 'Share') === 4)
    t.strictSame(changes, [
      [0, 2],
      [2, 0]
    ])
  })

  t.test(
    'every member of a broadcasting group gets everything, and finds its place again',
    async t => {
      await cluster.topic('Cast', 2)
      const offsetDirectory = t.testdir()
      const cast = (instanceName: string): Promise<Consuming> =>
        consume(t, cluster, 'Cast', {
          group: 'G_cast',
          messageModel: 'broadcasting',
          instanceName,
          offsetDirectory
        })
      const one = await cast('one')
      const two = await cast('two')
      await producer.send({ topic: 'Cast', body: 'all' })
      t.strictSame(texts(await one.got.reach(1)), ['all'])
      t.strictSame(texts(await two.got.reach(1)), ['all'])
      await one.consumer.close()
      const again = await cast('one')
      await producer.send({ topic: 'Cast', body: 'more' })
      t.strictSame(texts(await again.got.reach(1)), ['more'])
      t.strictSame(texts(await two.got.reach(2)), ['all', 'more'])
    }
  )

  t.test('an operator can reset, watch and feed a running consumer', async t => {
    await cluster.topic('Ops', 1)
    const { got, consumer } = await consume(t, cluster, 'Ops', { group: 'G_ops' })
    const sent = await producer.send({ topic: 'Ops', body: 'one', tag: 'T' })
    await got.reach(1)
    await consumer.commit()
    const broker = cluster.leader().address
    const { offsets, topics } = cluster.admin
    const connection = await topics.consumerConnection(broker, 'G_ops')
    t.equal(connection.connectionSet[0]?.clientId, consumer.clientId)
    t.equal(connection.consumeType, 'CONSUME_PASSIVELY')

    const info = await offsets.runningInfoText(broker, 'G_ops', consumer.clientId)
    t.match(info, /"mqTable":\{\{"brokerName":"b","queueId":0,"topic":"Ops"\}:\{"cachedMsgCount":0/)
    const status = await offsets.consumerStatus(broker, 'Ops', 'G_ops')
    t.strictSame(status.get(consumer.clientId), [
      [{ topic: 'Ops', brokerName: 'b', queueId: 0 }, 1]
    ])

    const direct = await offsets.consumeDirectly(
      broker,
      'G_ops',
      consumer.clientId,
      sent.offsetMessageId
    )
    t.equal(direct.consumeResult, 'CR_SUCCESS')
    t.strictSame(texts(await got.reach(2)), ['one', 'one'])

    const reset = { topic: 'Ops', group: 'G_ops', timestamp: 0, isForce: true }
    const table = await offsets.reset(broker, reset)
    t.strictSame(table, [[{ topic: 'Ops', brokerName: 'b', queueId: 0 }, 0]])
    t.strictSame(texts(await got.reach(3)), ['one', 'one', 'one'])
  })

  t.test('compressed and batched messages arrive as they were given', async t => {
    await cluster.topic('Sizes', 1)
    const { got } = await consume(t, cluster, 'Sizes', { group: 'G_sizes' })
    const big = 'long '.repeat(4_000)
    await producer.send({ topic: 'Sizes', body: big })
    const batch = await producer.sendBatch(
      ['b0', 'b1', 'b2'].map(body => ({ topic: 'Sizes', body, tag: body }))
    )
    t.equal(batch.queueOffset, 1)
    const messages = await got.reach(4)
    t.strictSame(texts(messages), [big, 'b0', 'b1', 'b2'])
    t.ok(messages[0]!.storeSizeBytes < 1_000, 'stored compressed')
    t.strictSame(
      messages.slice(1).map(message => message.messageId),
      batch.messageId.split(',')
    )
    t.strictSame(
      messages.slice(1).map(message => message.offsetMessageId),
      batch.offsetMessageId.split(',')
    )
  })

  t.test('a pull consumer reads, seeks and commits at its own will', async t => {
    await cluster.topic('Pull', 2)
    const queue: MessageQueue = { topic: 'Pull', brokerName: 'b', queueId: 1 }
    for (const body of ['p0', 'p1', 'p2', 'p3']) {
      await producer.send({ topic: 'Pull', body }, { queue })
    }
    const consumer = new PullConsumer({ group: 'G_pull', nameServers: cluster.nameServer })
    t.teardown(() => consumer.close())
    await consumer.start()
    const queues = await consumer.queues('Pull')
    t.strictSame(
      queues.map(each => each.queueId),
      [0, 1]
    )
    t.equal(await consumer.minOffset(queue), 0)
    t.equal(await consumer.maxOffset(queue), 4)
    const fetched = await consumer.fetch(queue, 1, { maxMessages: 2 })
    t.strictSame(texts(fetched.messages), ['p1', 'p2'])
    t.equal(fetched.nextOffset, 3)
    consumer.assign(queues)
    t.strictSame(texts(await consumer.poll(5_000, 3)), ['p0', 'p1', 'p2'])
    t.equal(consumer.position(queue), 3)
    await consumer.commit()
    t.equal(await consumer.committed(queue), 3)
    consumer.seek(queue, 1)
    t.strictSame(texts(await consumer.poll(5_000, 1)), ['p1'])
    consumer.seek(queue, 4)
    t.strictSame(await consumer.poll(50), [], 'nothing new within 50 ms')
    const waiting = consumer.poll(5_000)
    await producer.send({ topic: 'Pull', body: 'p4' }, { queue })
    t.strictSame(texts(await waiting), ['p4'])
    t.equal(await consumer.offsetByTime(queue, 0), 0)
    await t.rejects(consumer.queues('NoSuchTopic'), { code: 'NO_ROUTE' })
    t.throws(() => consumer.seek({ ...queue, queueId: 7 }, 0), { code: 'BAD_ARGUMENT' })
  })

  t.test('a delayed message comes after its time', async t => {
    await cluster.topic('Delay', 1)
    const { got } = await consume(t, cluster, 'Delay', { group: 'G_delay' })
    await producer.send({ topic: 'Delay', body: 'late', delayLevel: 1 })
    const [message] = await got.reach(1)
    t.ok(message!.storeTimestamp - message!.bornTimestamp >= 1_000)
  })

  t.test('close() of a consumer waits for its listener and stores the offset', async t => {
    await cluster.topic('Close', 1)
    let release: () => void = () => {}
    const entered = new Collector<string>()
    const { consumer } = await consume(t, cluster, 'Close', {
      group: 'G_close',
      listener: async () => {
        entered.add('in')
        await new Promise<void>(resolve => {
          release = resolve
        })
      }
    })
    await producer.send({ topic: 'Close', body: 'x' })
    await entered.reach(1)
    const closing = consumer.close()
    release()
    await closing
    const stats = await cluster.admin.offsets.consumeStats(
      cluster.leader().address,
      'G_close',
      'Close'
    )
    t.equal(stats.offsetTable[0]?.[1].consumerOffset, 1)
  })
})

function countOf(consumer: PushConsumer, topic: string): number {
  return consumer.assignment.filter(queue => queue.topic === topic).length
}
