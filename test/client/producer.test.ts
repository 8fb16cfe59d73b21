import { inflateSync } from 'node:zlib'
import t from 'tap'
import {
  Producer,
  type ProducerOptions,
  PullConsumer,
  PushConsumer
} from '../../src/client/index.ts'
import {
  BatchReader,
  decodeProperties,
  isOneway,
  type RemotingCommand,
  RequestCode,
  response
} from '../../src/protocol/index.ts'
import { until } from '../broker/helpers.ts'
import { refuse, type ScriptedNameServer, scripted, stored } from './scriptedCluster.ts'

type Tap = Pick<typeof t, 'teardown'>

async function start(
  test: Tap,
  nameServer: ScriptedNameServer,
  given: Partial<ProducerOptions> = {}
): Promise<Producer> {
  const producer = new Producer({ group: 'PG', nameServers: nameServer.address, ...given })
  test.teardown(() => producer.close())
  await producer.start()
  return producer
}

function propertiesOf(request: RemotingCommand): Record<string, string> {
  return Object.fromEntries(decodeProperties(Buffer.from(request.extFields!['i']!)))
}

t.test(
  'a message goes out with all that was given along, in the short form of the header',
  async t => {
    for (const serialization of ['JSON', 'ROCKETMQ'] as const) {
      const { nameServer, brokers } = await scripted(t, 1)
      const producer = await start(t, nameServer, { serialization })
      const result = await producer.send({
        topic: 'T',
        body: 'héllo',
        tag: 'A',
        keys: ['k1', 'k2'],
        properties: { own: 'thing' },
        delayLevel: 3,
        shardingKey: 's',
        flag: 7
      })
      const [request] = brokers[0]!.sends
      t.equal(request!.code, RequestCode.SEND_MESSAGE_V2)
      t.equal(request!.body!.toString(), 'héllo')
      t.match(request!.extFields, {
        a: 'PG',
        b: 'T',
        c: 'TBW102',
        f: '0',
        h: '7',
        m: 'false',
        n: 'b'
      })
      t.strictSame(propertiesOf(request!), {
        own: 'thing',
        KEYS: 'k1 k2',
        UNIQ_KEY: result.messageId,
        WAIT: 'true',
        TAGS: 'A',
        __SHARDINGKEY: 's',
        DELAY: '3'
      })
      t.equal(result.queue.queueId, Number(request!.extFields!['e']))
      t.match(result.messageId, /^[0-9A-F]{32}$/)
    }
  }
)

t.test('messages go round the queues, or where the caller says', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  for (let i = 0; i < 8; i++) await producer.send({ topic: 'T', body: 'x' })
  const counts = new Map<string, number>()
  for (const { extFields } of brokers[0]!.sends) {
    counts.set(extFields!['e']!, (counts.get(extFields!['e']!) ?? 0) + 1)
  }
  t.strictSame([...counts].sort(), [
    ['0', 2],
    ['1', 2],
    ['2', 2],
    ['3', 2]
  ])
  const queue = { topic: 'T', brokerName: 'b', queueId: 2 }
  t.strictSame((await producer.send({ topic: 'T', body: 'x' }, { queue })).queue, queue)
  const selected = await producer.send(
    { topic: 'T', body: 'x', keys: '7' },
    { selectQueue: (queues, message) => queues[Number(message.keys) % queues.length]! }
  )
  t.equal(selected.queue.queueId, 3)
  await t.rejects(producer.send({ topic: 'T', body: 'x' }, { queue: { ...queue, queueId: 9 } }), {
    code: 'BAD_ARGUMENT',
    message: 'T has no queue 9 at b that can be written to'
  })
})

t.test('large bodies are compressed and marked so, small ones are not', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  const big = Buffer.alloc(4_096, 'b')
  await producer.send({ topic: 'T', body: big })
  await producer.send({ topic: 'T', body: big.subarray(1) })
  const [first, second] = brokers[0]!.sends
  t.equal(first!.extFields!['f'], String(0x301))
  t.strictSame(inflateSync(first!.body!), big)
  t.equal(second!.extFields!['f'], '0')
  t.equal(second!.body!.length, 4_095)
})

t.test('a batch is one request, and nothing of one message stands in its header', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  const result = await producer.sendBatch(
    ['a', 'b'].map(body => ({ topic: 'T', body, keys: `k${body}`, flag: 5 }))
  )
  const [request] = brokers[0]!.sends
  t.equal(request!.code, RequestCode.SEND_BATCH_MESSAGE)
  t.equal(request!.extFields!['m'], 'true')
  t.strictSame(propertiesOf(request!), { WAIT: 'true' })
  const reader = new BatchReader(request!.body!)
  const ids: string[] = []
  for (const body of ['a', 'b']) {
    t.ok(reader.next())
    t.equal(reader.body.toString(), body)
    t.equal(reader.flag, 5)
    const properties = decodeProperties(reader.properties)
    t.equal(properties.get('KEYS'), `k${body}`)
    ids.push(properties.get('UNIQ_KEY')!)
  }
  t.notOk(reader.next())
  t.equal(result.messageId, ids.join(','))
  await t.rejects(producer.sendBatch([]), { code: 'BAD_ARGUMENT' })
  for (const bad of [{ topic: 'U' }, { delayLevel: 1 }]) {
    const messages = [
      { topic: 'T', body: 'x' },
      { topic: 'T', body: 'x', ...bad }
    ]
    await t.rejects(producer.sendBatch(messages), { code: 'BAD_ARGUMENT' })
  }
})

t.test(
  'with batching, sends of one moment travel together and each learns of its own place',
  async t => {
    const { nameServer, brokers } = await scripted(t, 1)
    const producer = await start(t, nameServer, { batching: { messagesMax: 10 } })
    await producer.queues('T')
    const results = await Promise.all(
      Array.from({ length: 25 }, (_, i) => producer.send({ topic: 'T', body: `m${i}` }))
    )
    t.strictSame(
      brokers[0]!.sends.map(send => send.code),
      [
        RequestCode.SEND_BATCH_MESSAGE,
        RequestCode.SEND_BATCH_MESSAGE,
        RequestCode.SEND_BATCH_MESSAGE
      ]
    )
    for (const at of [0, 10, 20]) {
      const offsets = results.slice(at, at + 10).map(result => result.queueOffset)
      t.strictSame(
        offsets,
        offsets.map((_, i) => offsets[0]! + i)
      )
    }
    t.equal(new Set(results.map(result => result.messageId)).size, 25)
    t.equal(new Set(results.map(result => result.offsetMessageId)).size, 25)
    await producer.send({ topic: 'T', body: 'x', delayLevel: 1 })
    t.equal(brokers[0]!.sends[3]!.code, RequestCode.SEND_MESSAGE_V2, 'a delayed one goes alone')
  }
)

t.test('a one-way send asks for no answer', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  await producer.sendOneway({ topic: 'T', body: 'x' })
  await until(() => brokers[0]!.sends.length === 1)
  t.ok(isOneway(brokers[0]!.sends[0]!))
})

t.test('a broker that is not ready is asked again until it is, under the same key', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  const broker = brokers[0]!
  broker.answer = request => (broker.sends.length < 6 ? refuse(14)(request) : stored(request))
  const result = await producer.send({ topic: 'T', body: 'x' })
  t.equal(result.status, 'SEND_OK')
  t.equal(broker.sends.length, 6)
  const keys = new Set(broker.sends.map(send => propertiesOf(send)['UNIQ_KEY']))
  t.strictSame([...keys], [result.messageId])
})

t.test('what cannot succeed is not tried again; what might is, a few times', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer, { retries: 2 })
  const broker = brokers[0]!
  broker.answer = refuse(13, 'the message is illegal')
  await t.rejects(producer.send({ topic: 'T', body: 'x' }), {
    code: 'REFUSED',
    responseCode: 13,
    retryable: false,
    message: 'the message is illegal',
    address: broker.address
  })
  t.equal(broker.sends.length, 1)
  broker.answer = refuse(1, 'who knows')
  await t.rejects(producer.send({ topic: 'T', body: 'x' }), {
    code: 'REFUSED',
    responseCode: 1,
    retryable: true
  })
  t.equal(broker.sends.length, 4)
  broker.answer = refuse(14)
  await t.rejects(producer.send({ topic: 'T', body: 'x' }, { withinMs: 100 }), {
    code: 'REFUSED',
    responseCode: 14
  })
})

t.test('statuses that mean "stored, but" are results', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  const codes = { FLUSH_DISK_TIMEOUT: 10, SLAVE_NOT_AVAILABLE: 11, FLUSH_SLAVE_TIMEOUT: 12 }
  for (const [status, code] of Object.entries(codes)) {
    brokers[0]!.answer = () => response(code, null, { msgId: 'X', queueId: '1', queueOffset: '5' })
    const result = await producer.send({ topic: 'T', body: 'x' })
    t.match(result, { status, queueOffset: 5, queue: { queueId: 1 } })
  }
})

t.test('a send goes on at the new leader as soon as the name server knows it', async t => {
  t.test('when the old one is gone', async t => {
    const { nameServer, brokers } = await scripted(t, 2)
    const producer = await start(t, nameServer)
    await producer.send({ topic: 'T', body: 'x' })
    await brokers[0]!.server.stop()
    nameServer.leader = null
    const sending = producer.send({ topic: 'T', body: 'y' })
    const asked = nameServer.asked
    await until(() => nameServer.asked > asked + 2)
    nameServer.leader = brokers[1]!.address
    t.equal((await sending).status, 'SEND_OK')
    t.equal(brokers[1]!.sends.length, 1)
  })
  t.test('when the old one hangs', async t => {
    const { nameServer, brokers } = await scripted(t, 2)
    const producer = await start(t, nameServer, { sendTimeoutMs: 60_000, retryWithinMs: 60_000 })
    brokers[0]!.answer = () => null
    const sending = producer.send({ topic: 'T', body: 'y' })
    await until(() => brokers[0]!.sends.length === 1)
    nameServer.leader = brokers[1]!.address
    t.equal((await sending).status, 'SEND_OK')
    t.equal(brokers[1]!.sends.length, 1)
  })
  t.test('but not while the old one may still answer: it would be stored twice', async t => {
    const { nameServer, brokers } = await scripted(t, 2)
    const producer = await start(t, nameServer, { routePollIntervalMs: 20 })
    const held: (() => void)[] = []
    brokers[0]!.server.handle(RequestCode.SEND_MESSAGE_V2, request => {
      return new Promise(resolve => held.push(() => resolve(stored(request))))
    })
    const sending = producer.send({ topic: 'T', body: 'y' })
    await until(() => held.length === 1)
    const asked = nameServer.asked
    nameServer.leader = brokers[1]!.address
    await until(() => nameServer.asked > asked + 2)
    held[0]!()
    t.equal((await sending).status, 'SEND_OK')
    t.equal(brokers[1]!.sends.length, 0)
  })
})

t.test('no route, no leader and no name server each have an error of their own', async t => {
  const { nameServer } = await scripted(t, 1)
  nameServer.leader = null
  const producer = await start(t, nameServer)
  await t.rejects(producer.send({ topic: 'New', body: 'x' }, { withinMs: 50 }), {
    code: 'NO_LEADER',
    retryable: true
  })
  const lost = new Producer({ group: 'PG', nameServers: '127.0.0.1:1', callTimeoutMs: 500 })
  await t.rejects(lost.start(), { code: 'NO_NAME_SERVER' })
  await lost.close()
})

t.test('a second name server is asked when the first is gone', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = new Producer({ group: 'PG', nameServers: ['127.0.0.1:1', nameServer.address] })
  t.teardown(() => producer.close())
  await producer.start()
  await producer.send({ topic: 'T', body: 'x' })
  t.equal(brokers[0]!.sends.length, 1)
})

t.test('the number of messages in flight has a limit', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer, { inFlightMax: 3 })
  const held: (() => void)[] = []
  brokers[0]!.server.handle(RequestCode.SEND_MESSAGE_V2, request => {
    return new Promise(resolve => held.push(() => resolve(stored(request))))
  })
  const sends = [1, 2, 3].map(() => producer.send({ topic: 'T', body: 'x' }))
  await until(() => held.length === 3)
  t.equal(producer.inFlight, 3)
  await t.rejects(producer.send({ topic: 'T', body: 'x' }), {
    code: 'TOO_MANY_IN_FLIGHT',
    retryable: true
  })
  for (const release of held) release()
  await Promise.all(sends)
  t.equal(producer.inFlight, 0)
})

t.test('close() waits for what is in flight and says goodbye', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const producer = await start(t, nameServer)
  await until(() => brokers[0]!.requests.some(r => r.code === RequestCode.HEART_BEAT))
  let release: () => void = () => {}
  brokers[0]!.server.handle(RequestCode.SEND_MESSAGE_V2, request => {
    return new Promise(resolve => {
      release = () => resolve(stored(request))
    })
  })
  const sending = producer.send({ topic: 'T', body: 'x' })
  const entered = release
  await until(() => release !== entered)
  const closing = producer.close()
  release()
  t.equal((await sending).status, 'SEND_OK')
  await closing
  const goodbye = brokers[0]!.requests.find(r => r.code === RequestCode.UNREGISTER_CLIENT)
  t.match(goodbye?.extFields, { clientID: producer.clientId, producerGroup: 'PG' })
  await t.rejects(producer.send({ topic: 'T', body: 'x' }), { code: 'CLOSED' })
  await producer.close()
})

t.test('wrong arguments are refused before anything is sent', async t => {
  const { nameServer, brokers } = await scripted(t, 1)
  const options = { nameServers: nameServer.address, group: 'G' }
  for (const nameServers of ['', 'nowhere', 'host:0', 'host:99999', []]) {
    t.throws(() => new Producer({ group: 'G', nameServers }), { code: 'BAD_ARGUMENT' })
  }
  for (const group of ['', 'a b', 'x'.repeat(256)]) {
    t.throws(() => new Producer({ ...options, group }), { code: 'BAD_ARGUMENT' })
  }
  t.throws(() => new Producer({ ...options, inFlightMax: 0 }), { code: 'BAD_ARGUMENT' })
  t.throws(() => new PullConsumer({ ...options, messagesPerPull: 0.5 }), { code: 'BAD_ARGUMENT' })
  const listener = (): void => {}
  t.throws(() => new PushConsumer({ ...options, listener, messageModel: 'broadcasting' }), {
    code: 'BAD_ARGUMENT',
    message: /offsetDirectory/
  })
  const producer = await start(t, nameServer)
  for (const bad of [
    { topic: '' },
    { topic: 'a/b' },
    { topic: 'x'.repeat(128) },
    { body: '' },
    { body: Buffer.alloc(4 * 1_048_576 + 1) },
    { delayLevel: -1 },
    { properties: { KEYS: 'x' } },
    { properties: { own: '' } },
    { properties: { own: 'a\u0002b' } },
    { properties: { own: 'x'.repeat(32_768) } }
  ]) {
    await t.rejects(producer.send({ topic: 'T', body: 'x', ...bad }), { code: 'BAD_ARGUMENT' })
  }
  t.equal(brokers[0]!.sends.length, 0)
  const unstarted = new Producer(options)
  await t.rejects(unstarted.send({ topic: 'T', body: 'x' }), { code: 'NOT_STARTED' })
  await unstarted.close()
})
