import t from 'tap'
import { Producer, PushConsumer, type ReceivedMessage } from '../../src/client/index.ts'
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
