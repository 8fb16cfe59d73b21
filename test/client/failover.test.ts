import t from 'tap'
import {
  Producer,
  PullConsumer,
  PushConsumer,
  type ReceivedMessage
} from '../../src/client/index.ts'
import { Collector, startCluster } from './cluster.ts'

t.test('a failover passes unnoticed (3 brokers)', async t => {
  const cluster = await startCluster(t, 3)
  const leader = await cluster.settled()
  await cluster.topic('Moving', 4)
  const producer = new Producer({ group: 'PG', nameServers: cluster.nameServer })
  await producer.start()
  t.teardown(() => producer.close())
  const got = new Collector<ReceivedMessage>()
  const consumer = new PushConsumer({
    group: 'G',
    nameServers: cluster.nameServer,
    consumeFrom: 'first',
    listener: messages => {
      for (const message of messages) got.add(message)
    }
  })
  consumer.subscribe('Moving')
  t.teardown(() => consumer.close())
  await consumer.start()

  const sent: string[] = []
  const failures: unknown[] = []
  let longestMs = 0
  let stop = false
  let firstId: string | null = null
  const sending = (async () => {
    for (let i = 0; !stop; i++) {
      const startedMs = performance.now()
      try {
        const result = await producer.send({ topic: 'Moving', body: `m${i}` })
        firstId ??= result.offsetMessageId
        sent.push(`m${i}`)
      } catch (error) {
        failures.push(error)
      }
      longestMs = Math.max(longestMs, performance.now() - startedMs)
    }
  })()
  await got.reach(50)
  const before = leader.address
  await cluster.kill(leader)
  const after = await cluster.settled()
  t.not(after.address, before)
  const sentAtChange = sent.length
  await got.reach(sentAtChange + 50)
  stop = true
  await sending
  t.strictSame(failures, [])
  t.ok(longestMs < 3_000, `the longest send took ${Math.round(longestMs)} ms`)
  await got.reach(sent.length)
  const first = await cluster.admin.messages.byOffsetId(firstId!)
  t.equal(first.body.toString(), 'm0', 'an id of the former leader still leads to its message')
  t.equal(first.storeHost, before)
  const received = new Set(got.items.map(message => message.body.toString()))
  t.strictSame(
    sent.filter(text => !received.has(text)),
    [],
    'nothing acknowledged is missing'
  )
})

/** Slow machines elect and deliver late; nothing here waits for so long when all is well. */
const PATIENCE_MS = 30_000

t.test('requests, times and shared queues outlive a leader (3 brokers)', async t => {
  const cluster = await startCluster(t, 3, { recallMessageEnable: 'true' })
  const leader = await cluster.settled()
  for (const topic of ['Asked', 'Timed', 'Pulled']) await cluster.topic(topic, 2)
  const options = { group: 'PG', nameServers: cluster.nameServer, retryWithinMs: PATIENCE_MS }
  const producer = new Producer({ ...options, trace: { topic: 'Traces' } })
  const answerer = new Producer({ ...options, group: 'Answerers' })
  t.teardown(() => Promise.all([producer.close(), answerer.close()]))
  await Promise.all([producer.start(), answerer.start()])
  const timed = new Collector<string>()
  const consumer = new PushConsumer({
    ...options,
    group: 'G',
    consumeFrom: 'first',
    listener: async ([message]) => {
      if (message!.topic === 'Timed') timed.add(message!.body.toString())
      else await answerer.reply(message!, message!.body)
    }
  })
  t.teardown(() => consumer.close())
  consumer.subscribe('Asked')
  consumer.subscribe('Timed')
  const reader = new PullConsumer({ ...options, group: 'Readers', pullSuspendMs: 1_000 })
  t.teardown(() => reader.close())
  reader.subscribe('Pulled')
  await Promise.all([consumer.start(), reader.start()])
  const read = async (count: number): Promise<string[]> => {
    const found: string[] = []
    const untilMs = Date.now() + PATIENCE_MS
    while (found.length < count && Date.now() < untilMs) {
      for (const message of await reader.poll(500)) found.push(message.body.toString())
    }
    return found
  }
  const ask = async (body: string): Promise<string> =>
    (await producer.request({ topic: 'Asked', body }, { timeoutMs: PATIENCE_MS })).body.toString()

  t.equal(await ask('before'), 'before')
  await producer.send({ topic: 'Timed', body: 'soon', delayMs: 2_000 })
  const far = await producer.send({ topic: 'Timed', body: 'far', delayMs: 3_600_000 })
  const early = Array.from({ length: 10 }, (_, i) => `early ${i}`)
  for (const body of early) await producer.send({ topic: 'Pulled', body })
  t.strictSame(new Set(await read(10)), new Set(early))
  await reader.commit()

  await cluster.kill(leader)
  t.equal(await ask('after'), 'after', 'the reply finds its way from the new leader')
  t.equal(await producer.recall('Timed', far.recallHandle!), far.messageId)
  t.strictSame(await timed.reach(1, PATIENCE_MS), ['soon'])
  const late = Array.from({ length: 10 }, (_, i) => `late ${i}`)
  for (const body of late) await producer.send({ topic: 'Pulled', body })
  t.strictSame(new Set(await read(10)), new Set(late), 'and nothing of what was read before')
  await reader.commit()
  const [queue] = reader.assignment
  t.equal(await reader.committed(queue!), await reader.maxOffset(queue!))
  t.strictSame(timed.items, ['soon'])
})
