import { deflateSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { tagSubscription } from '../../src/broker/clients/index.ts'
import type { Broker } from '../../src/broker/index.ts'
import { RouteTable } from '../../src/namesrv/routeTable.ts'
import type { Registration, TopicQueues } from '../../src/namesrv/routeTypes.ts'
import {
  encodeBatch,
  encodeCommand,
  LockBatchRequestBody,
  LockBatchResponseBody,
  type RemotingCommand,
  RequestCode,
  ResponseCode
} from '../../src/protocol/index.ts'
import type { Connection } from '../../src/remoting/index.ts'
import { serving, startBroker, TestClient, until } from '../broker/helpers.ts'
import { RawPeer } from '../helpers/rawPeer.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import { ask, startNameServer } from '../namesrv/helpers.ts'

async function startServing(t: Test, settings: Record<string, string> = {}): Promise<Broker> {
  const broker = await startBroker(t, settings)
  await serving(broker)
  return broker
}

t.test('a batch does not multiply its properties beyond what a log entry holds', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const message = { flag: 0, body: Buffer.from('b'), properties: Buffer.alloc(0) }
  const body = encodeBatch(Array.from({ length: 30_000 }, () => message))
  const properties = `KEYS\u0001${'k'.repeat(32_000)}`
  const before = process.memoryUsage().rss
  const fields = client.sendFields('T', { batch: true, properties })
  const answer = await client.ask(RequestCode.SEND_BATCH_MESSAGE, fields, body)
  t.equal(answer.code, ResponseCode.MESSAGE_ILLEGAL)
  t.match(answer.remark, /the batch with its properties on each message has more than \d+ bytes/)
  const grown = (process.memoryUsage().rss - before) / 1_048_576
  t.ok(grown < 300, `${Math.round(grown)} MiB more for ${body.length} bytes`)
})

t.test('a heartbeat can not fill the tables', async t => {
  const logger = new RecordingLogger()
  const broker = await startBroker(t, {}, logger)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  const beat = (data: object): Promise<RemotingCommand> =>
    client.ask(RequestCode.HEART_BEAT, null, Buffer.from(JSON.stringify(data)))
  const groups = (count: number): object[] =>
    Array.from({ length: count }, (_, n) => ({ groupName: `g${n}` }))
  const huge = await beat({ clientID: 'c', producerDataSet: groups(100_000) })
  t.equal(huge.code, ResponseCode.SYSTEM_ERROR)
  t.match(huge.remark, /^the heartbeat has \d+ bytes, limit \d+$/)
  const many = await beat({ clientID: 'c', producerDataSet: groups(5_000) })
  t.equal(many.code, ResponseCode.SYSTEM_ERROR)
  t.match(many.remark, /4000 groups of this heartbeat were refused/)
  t.equal(broker.producers.groups().length, 1_000)
  const consumers = await beat({ clientID: 'c', consumerDataSet: groups(5_000) })
  t.equal(consumers.code, ResponseCode.SYSTEM_ERROR)
  t.equal(broker.consumers.groups().length, 1_000)
  const subscriptionDataSet = Array.from({ length: 5_000 }, (_, n) => ({
    topic: `t${n}`,
    subString: '*'
  }))
  const wide = { clientID: 'd', consumerDataSet: [{ groupName: 'wide', subscriptionDataSet }] }
  t.equal((await beat(wide)).code, ResponseCode.SYSTEM_ERROR)
  t.equal(broker.consumers.find('wide'), undefined)
  t.match((await beat({ clientID: 'c'.repeat(1_000) })).remark, /the client id has 1000 characters/)
  const long = { clientID: 'c', producerDataSet: [{ groupName: 'g'.repeat(256) }] }
  t.equal((await beat(long)).code, ResponseCode.SYSTEM_ERROR)
  // Another client is not affected.
  const other = new TestClient(t, broker.address, 'other')
  t.equal((await other.heartbeat('Fine', { T: {} }, { producers: ['P'] })).code, 0)
  t.strictSame(
    [...broker.consumers.find('Fine')!.members.values()].map(member => member.clientId),
    ['other']
  )
  t.equal(logger.messages('error').length, 0)
})

t.test('tags are taken apart in a time that grows with their number only', t => {
  const distinct = Array.from({ length: 999 }, (_, n) => `tag${n}`).join('||')
  const repeated = `${distinct}||${'tag998||'.repeat(7_000)}`
  const startMs = performance.now()
  for (let n = 0; n < 50; n++) tagSubscription('T', repeated, 1)
  const tookMs = performance.now() - startMs
  t.ok(tookMs < 1_000, `${Math.round(tookMs)} ms`)
  t.throws(() => tagSubscription('T', 'a||'.repeat(1_000_000), 1), {
    name: 'SubscriptionSyntaxError'
  })
  t.end()
})

t.test('offsets and locks of names that do not exist are not kept', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const commit = async (topic: string, group: string, queueId: number, offset: string) =>
    await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
      consumerGroup: group,
      topic,
      queueId,
      commitOffset: offset
    })
  const before = broker.store.tables.offsets.size
  t.equal((await commit('Nowhere', 'G', 0, '1')).code, ResponseCode.TOPIC_NOT_EXIST)
  const longGroup = 'g'.repeat(70_000)
  t.equal((await commit('T', longGroup, 0, '1')).code, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST)
  for (const queueId of [-1, 4, 65_536, 2_147_483_647]) {
    const answer = await commit('T', 'G', queueId, '1')
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
    t.equal(answer.remark, `queueId[${queueId}] is illegal`)
  }
  for (const offset of ['-1', '9223372036854775807'])
    t.match((await commit('T', 'G', 0, offset)).remark, /^commitOffset\[.*\] is illegal$/)
  t.equal(broker.store.tables.offsets.size, before)
  t.equal((await commit('T', 'G', 0, '1')).code, 0)
  const lock = async (group: string, mqSet: object[]): Promise<number> => {
    const body = LockBatchRequestBody.encode({
      clientId: 'c',
      consumerGroup: group,
      mqSet: mqSet as never,
      onlyThisBroker: false
    })
    const answer = await client.ask(RequestCode.LOCK_BATCH_MQ, null, body)
    t.equal(answer.code, 0)
    return LockBatchResponseBody.decode(answer.body).lockOKMQSet.length
  }
  const brokerName = 'b'
  const strange = [
    { brokerName, topic: 'Nowhere', queueId: 0 },
    { brokerName, topic: 'T', queueId: -1 },
    { brokerName, topic: 'T', queueId: 70_000 }
  ]
  t.equal(await lock('G', strange), 0)
  t.equal(await lock(longGroup, [{ brokerName, topic: 'T', queueId: 0 }]), 0)
  t.equal(await lock('G', [{ brokerName, topic: 'T', queueId: 0 }]), 1)
})

t.test('one connection cannot take all places of held pulls', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const peer = await RawPeer.connect(broker.server.port)
  const count = 17_000
  const pull = client.command(RequestCode.PULL_MESSAGE, {
    consumerGroup: 'G',
    topic: 'T',
    queueId: 0,
    queueOffset: 1,
    maxMsgNums: 32,
    sysFlag: 6,
    commitOffset: 0,
    suspendTimeoutMillis: 30_000,
    subscription: '*',
    subVersion: 0
  })
  for (let opaque = 0; opaque < count; opaque++)
    peer.write(Buffer.concat(encodeCommand({ ...pull, opaque })))
  await peer.frames(count - 16_384)
  t.equal(broker.holds.size, 16_384)
  t.ok(peer.received.every(answer => answer.code === ResponseCode.PULL_NOT_FOUND))
  const waiting = client.pull('T', 0, 1, { sysFlag: 2, suspendMs: 30_000 })
  await until(() => broker.holds.size === 16_385)
  await client.send('T', 'y')
  t.equal((await waiting).code, 0)
  await peer.frames(count)
  t.equal(broker.holds.size, 0)
  peer.destroy()
})

t.test('sending to a thousand new topics makes as many as are allowed', async t => {
  const broker = await startServing(t, { maxTopics: '200', maxGroups: '200' })
  const client = new TestClient(t, broker.address)
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) => client.send(`Topic-${n}`, 'x'))
  )
  const refused = answers.filter(answer => answer.code !== 0)
  t.equal(broker.store.tables.topics.size, 200)
  t.ok(refused.length > 700 && refused.length < 1_000)
  for (const answer of refused) {
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
    t.match(answer.remark, /was not made: maxTopics is 200/)
  }
  t.equal((await client.send('Topic-0', 'x')).code, 0)
})

t.test(
  'a name server keeps nothing that is too long, and no more than it has room for',
  async t => {
    const { connect } = await startNameServer(t)
    const peer = await connect()
    const fields = {
      brokerName: 'b',
      brokerAddr: '127.0.0.1:1',
      clusterName: 'C',
      haServerAddr: '127.0.0.1:2',
      brokerId: '0',
      compressed: 'false',
      bodyCrc32: '0'
    }
    const register = (given: Record<string, string>, body: string | Buffer | null) =>
      ask(peer, RequestCode.REGISTER_BROKER, { ...fields, ...given }, body)
    const refusals: [string, Promise<RemotingCommand>, RegExp][] = [
      ['id', register({ brokerId: '-1' }, null), /brokerId is -1/],
      ['name', register({ brokerName: 'n'.repeat(256) }, null), /brokerName has 256 characters/],
      ['no name', register({ clusterName: '' }, null), /clusterName has 0 characters/],
      ['ha', register({ haServerAddr: 'h'.repeat(10_000) }, null), /haServerAddr has 10000/],
      ['crc', register({ bodyCrc32: '17' }, '{}'), /^crc32 not match$/],
      ['garbage', register({ compressed: 'true' }, Buffer.alloc(100, 1)), /./],
      [
        'bomb',
        register({ compressed: 'true' }, deflateSync(Buffer.alloc(300_000_000))),
        /^the zlib stream is broken or has over \d+ bytes$/
      ],
      ['no JSON', register({}, '{"topicConfigSerializeWrapper":'), /not readable/],
      [
        'topic',
        register(
          {},
          JSON.stringify({
            topicConfigSerializeWrapper: { topicConfigTable: { ['t'.repeat(300)]: {} } }
          })
        ),
        /the name of a topic has 300 characters/
      ],
      [
        'filter servers',
        register({}, JSON.stringify({ filterServerList: Array(65).fill('f') })),
        /more than 64 filter servers/
      ]
    ]
    for (const [what, answer, remark] of refusals) {
      const { code, remark: said } = await answer
      t.equal(code, ResponseCode.SYSTEM_ERROR, what)
      t.match(said, remark, what)
    }
    const kv = await ask(peer, RequestCode.PUT_KV_CONFIG, { namespace: 'n' })
    t.equal(kv.remark, 'namespace or key is null')
    const route = await ask(peer, RequestCode.GET_ROUTEINFO_BY_TOPIC, {})
    t.match(route.remark, /the header field topic is missing/)
    const settings = await ask(
      peer,
      RequestCode.UPDATE_NAMESRV_CONFIG,
      null,
      'enableTopicList=maybe'
    )
    t.equal(settings.code, ResponseCode.SYSTEM_ERROR)
    t.match(settings.remark, /enableTopicList/)
    t.equal((await register({}, null)).code, 0)
  }
)

t.test('questions about all queues of a very wide topic keep nobody else waiting', async t => {
  const broker = await startServing(t)
  const [curious, other] = [
    new TestClient(t, broker.address, 'curious'),
    new TestClient(t, broker.address, 'other')
  ]
  for (const [topic, queues] of [
    ['Wide', 20_000],
    ['Wider', 65_536]
  ] as const) {
    const made = await curious.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, {
      topic,
      readQueueNums: queues,
      writeQueueNums: queues,
      perm: 6
    })
    t.equal(made.code, 0)
    const commit = { consumerGroup: 'G', topic, queueId: 0, commitOffset: 0 }
    t.equal((await curious.ask(RequestCode.UPDATE_CONSUMER_OFFSET, commit)).code, 0)
  }
  let answered = 0
  const questions = Array.from({ length: 6 }, async (_, n) => {
    const answer =
      n % 2 === 0
        ? await curious.ask(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'Wide' }, null, 60_000)
        : await curious.ask(
            RequestCode.GET_CONSUME_STATS,
            { consumerGroup: 'G', topicList: 'Wide;'.repeat(1_000) },
            null,
            60_000
          )
    answered += 1
    t.equal(answer.code, 0, answer.remark ?? '')
    t.ok(answer.body!.length > 20_000 * 50)
  })
  t.equal((await other.send('T', 'x')).code, 0)
  t.ok(answered < 3, `${answered} large answers before a send was answered`)
  await Promise.all(questions)
  for (const [code, fields] of [
    [RequestCode.GET_CONSUME_STATS, { consumerGroup: 'G' }],
    [RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: 'false' }]
  ] as const) {
    const refused = await curious.ask(code, fields)
    t.equal(refused.code, ResponseCode.SYSTEM_ERROR)
    t.match(refused.remark, /^85536 queues do not fit an answer, the limit is 80000$/)
  }
})

t.test('the end of a connection that registered many brokers costs what they had', t => {
  const table = new RouteTable({ deleteMissingTopics: () => true })
  const register = (brokerName: string, topics: string[], connection: Connection | null): void => {
    const queues: TopicQueues = {
      brokerName,
      readQueueNums: 4,
      writeQueueNums: 4,
      perm: 6,
      topicSysFlag: 0
    }
    const registration: Registration = {
      clusterName: 'C',
      brokerName,
      brokerAddr: `${brokerName}:1`,
      brokerId: 0,
      haServerAddr: '',
      zoneName: null,
      enableActingMaster: null,
      heartbeatTimeoutMs: null,
      version: { stateVersion: 0, timestamp: 1, counter: 1 },
      topics: new Map(topics.map(topic => [topic, queues])),
      filterServers: []
    }
    t.equal(table.register(registration, connection, 0).outcome, 'new')
  }
  const many = Array.from({ length: 200_000 }, (_, n) => `topic-${n}`)
  register('wide', many, null)
  const connection = { attachment: null } as Connection
  for (let n = 0; n < 2_000; n++) register(`b${n}`, ['shared', `own-${n}`], connection)
  const startMs = performance.now()
  t.equal(table.connectionLost(connection).length, 2_000)
  const tookMs = performance.now() - startMs
  t.ok(tookMs < 2_000, `${Math.round(tookMs)} ms`)
  t.equal(table.topics.size, 200_000)
  t.equal(table.topics.has('shared'), false)
  t.strictSame([...table.groups.keys()], ['wide'])
  t.equal(
    table.changePermissions('wide', () => 4),
    200_000
  )
  table.deleteTopic('topic-7', null)
  t.equal(
    table.changePermissions('wide', () => 6),
    199_999
  )
  t.end()
})
