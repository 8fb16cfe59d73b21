import t from 'tap'
import { distributionText, latencyAt } from '../../src/broker/admin/stats/latency.ts'
import { bytesText, runtimeText } from '../../src/broker/admin/stats/texts.ts'
import type { Broker } from '../../src/broker/index.ts'
import { RuntimeRates } from '../../src/broker/stats/index.ts'
import {
  BrokerStatsData,
  CreateTopicListRequestBody,
  decodeStoredMessages,
  encodeBatch,
  GroupForbidden,
  GroupList,
  KVTable,
  MessageProperty,
  parsePropertiesFile,
  QueryConsumeQueueResponseBody,
  RequestCode,
  ResponseCode,
  SubscriptionGroupConfig,
  SubscriptionGroupList,
  SubscriptionGroupWrapper,
  TopicConfigAndQueueMapping,
  TopicConfigSerializeWrapper,
  TopicList,
  TopicStatsTable
} from '../../src/protocol/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { serving, startBroker, TestClient } from './helpers.ts'

const topicFields = (
  topic: string,
  given: Record<string, string | number | boolean> = {}
): Record<string, string | number | boolean> => ({
  topic,
  defaultTopic: 'TBW102',
  readQueueNums: 2,
  writeQueueNums: 2,
  perm: 6,
  topicFilterType: 'SINGLE_TAG',
  topicSysFlag: 0,
  order: false,
  ...given
})

async function started(t: Tap, settings: Record<string, string> = {}): Promise<Started> {
  const broker = await startBroker(t, settings)
  await serving(broker)
  return { broker, client: new TestClient(t, broker.address) }
}
type Tap = Parameters<typeof startBroker>[0]
interface Started {
  broker: Broker
  client: TestClient
}

t.test('topics', async t => {
  const { broker, client } = await started(t)
  const make = (
    topic: string,
    given?: Record<string, string | number | boolean>
  ): ReturnType<TestClient['ask']> =>
    client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, topicFields(topic, given))
  const stats = async (topic: string): Promise<TopicStatsTable> => {
    const answer = await client.ask(RequestCode.GET_TOPIC_STATS_INFO, { topic })
    t.equal(answer.code, ResponseCode.SUCCESS)
    return TopicStatsTable.decode(answer.body)
  }

  t.test('a new topic shows all its queues at once, and is changed in place', async t => {
    t.equal((await make('T', { readQueueNums: 3 })).code, ResponseCode.SUCCESS)
    const empty = await stats('T')
    t.strictSame(
      empty.offsetTable.map(([queue]) => queue),
      [0, 1, 2].map(queueId => ({ brokerName: 'b', queueId, topic: 'T' }))
    )
    t.strictSame(empty.offsetTable[0]?.[1], { lastUpdateTimestamp: 0, maxOffset: 0, minOffset: 0 })
    await client.send('T', 'x', { queueId: 1 })
    const [, used] = (await stats('T')).offsetTable[1]!
    t.equal(used.maxOffset, 1)
    t.ok(used.lastUpdateTimestamp >= broker.startedMs)
    const before = broker.store.tables.topicsVersion.counter
    await make('T', { readQueueNums: 3 })
    t.equal(broker.store.tables.topicsVersion.counter, before, 'no change is no version')
    await make('T', { perm: 4 })
    t.equal(broker.topics.find('T')?.perm, 4)
    t.equal((await client.ask(RequestCode.GET_TOPIC_STATS_INFO, { topic: 'None' })).code, 17)
  })

  t.test('what cannot be is refused with the code of the client’s time', async t => {
    const refusals: [
      topic: string,
      given: Record<string, string | number | boolean>,
      remark: RegExp
    ][] = [
      ['a b', {}, /illegal characters/],
      ['', {}, /blank/],
      ['x'.repeat(128), {}, /longer than/],
      ['TBW102', {}, /conflict with system topic/],
      ['b', {}, /conflict with system topic/],
      ['C', {}, /conflict with system topic/],
      ['Q', { readQueueNums: 65_537 }, /queues/],
      ['Q', { writeQueueNums: -1 }, /queues/],
      ['Q', { perm: 16 }, /perm 16/]
    ]
    for (const [topic, given, remark] of refusals) {
      client.version = 409
      const old = await make(topic, given)
      t.equal(old.code, ResponseCode.SYSTEM_ERROR, `${topic} ${JSON.stringify(given)}`)
      t.match(old.remark, remark)
      client.version = 479
      t.equal((await make(topic, given)).code, ResponseCode.INVALID_PARAMETER)
    }
    client.version = 409
    t.equal(broker.topics.find('Q'), undefined)
    const missing = await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, { topic: 'Q' })
    t.equal(missing.code, ResponseCode.SYSTEM_ERROR)
    t.match(missing.remark, /readQueueNums/)
  })

  t.test('attributes are set and removed by sign', async t => {
    await make('A', { attributes: '+message.type=FIFO,+reserve.time=5' })
    t.strictSame(broker.topics.find('A')?.attributes, {
      'message.type': 'FIFO',
      'reserve.time': '5'
    })
    await make('A', { attributes: '-reserve.time' })
    t.strictSame(broker.topics.find('A')?.attributes, { 'message.type': 'FIFO' })
    const refusals: [topic: string, attributes: string, remark: string][] = [
      ['Q', '+colour=red', 'unsupported key: colour'],
      [
        'Q',
        '-message.type',
        'only add attribute is supported while creating topic. key: message.type'
      ],
      ['Q', 'message.type=FIFO', 'add/alter attribute format is wrong: message.type'],
      ['Q', 'message.type', 'delete attribute format is wrong: message.type'],
      ['Q', '+message.type=A,+message.type=B', 'key duplication: +message.type'],
      ['Q', '+message+type=A', 'kv string format wrong.'],
      ['Q', '+cleanup.policy=COMPACTION', 'value is not in set: [DELETE]'],
      ['Q', '+queue.type=BatchCQ', 'value is not in set: [SimpleCQ]'],
      ['Q', '+reserve.time=-2', `value is not in range(-1, ${Number.MAX_SAFE_INTEGER})`],
      ['Q', '+reserve.time=x', 'For input string: "x"'],
      ['A', '-reserve.time', 'attempt to delete a nonexistent key: reserve.time'],
      ['A', '+queue.type=SimpleCQ', 'attempt to update an unchangeable attribute. key: queue.type'],
      ['A', '+message.type=FIFO,-message.type', 'alter duplication key. key: message.type']
    ]
    for (const version of [409, 479]) {
      client.version = version
      for (const [topic, attributes, remark] of refusals)
        t.match(await make(topic, { attributes }), { code: ResponseCode.SYSTEM_ERROR, remark })
    }
    client.version = 409
    t.equal(broker.topics.find('Q'), undefined)
    t.strictSame(broker.topics.find('A')?.attributes, { 'message.type': 'FIFO' })
    const isStatic = await client.ask(RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC, { topic: 'Q' })
    t.equal(isStatic.code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
    const shown = await client.ask(RequestCode.GET_TOPIC_CONFIG, { topic: 'A' })
    t.equal(TopicConfigAndQueueMapping.decode(shown.body).attributes.get('message.type'), 'FIFO')
    const none = await client.ask(RequestCode.GET_TOPIC_CONFIG, { topic: 'None' })
    t.equal(none.code, ResponseCode.TOPIC_NOT_EXIST)
  })

  t.test(
    'a topic that names a type of messages takes only those, where that is asked for',
    async t => {
      t.match(await make('Mixed', { attributes: '+message.type=MIXED' }), {
        code: ResponseCode.SYSTEM_ERROR,
        remark: 'MIXED message type is not supported.'
      })
      broker.config.update([['enableMixedMessageType', 'true']])
      for (const type of ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'MIXED'])
        t.equal((await make(type, { attributes: `+message.type=${type}` })).code, 0)
      const kinds: Record<string, Record<string, string>> = {
        NORMAL: {},
        FIFO: { __SHARDINGKEY: 'k' },
        DELAY: { DELAY: '18' },
        TRANSACTION: { TRAN_MSG: 'true', PGROUP: 'PG' }
      }
      const taken = async (topic: string): Promise<string[]> => {
        const names: string[] = []
        for (const [name, props] of Object.entries(kinds)) {
          const { code, remark } = await client.send(topic, 'x', { props })
          if (code === 0) names.push(name)
          else t.match(remark, `the expected type is ${topic}, but actual type is ${name}`)
        }
        return names
      }
      t.equal((await taken('FIFO')).length, 4, 'as in the original a broker does not ask')
      broker.config.update([['enableTopicMessageTypeCheck', 'true']])
      for (const type of Object.keys(kinds)) t.strictSame(await taken(type), [type])
      t.equal((await taken('MIXED')).length, 4)
      const batch = encodeBatch([{ flag: 0, body: Buffer.from('x'), properties: Buffer.alloc(0) }])
      const fields = client.sendFields('FIFO', { batch: true })
      t.match(await client.ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch), {
        code: ResponseCode.MESSAGE_ILLEGAL
      })
      broker.config.update([['enableTopicMessageTypeCheck', 'false']])
    }
  )

  t.test('a list is made whole or not at all', async t => {
    const body = (...names: string[]): Buffer =>
      CreateTopicListRequestBody.encode({
        topicConfigList: names.map(topicName => ({
          topicName,
          attributes: new Map(),
          order: false,
          perm: 6,
          readQueueNums: 1,
          writeQueueNums: 1,
          topicFilterType: 'SINGLE_TAG' as const,
          topicSysFlag: 0
        }))
      })
    const code = RequestCode.UPDATE_AND_CREATE_TOPIC_LIST
    t.not((await client.ask(code, {}, body('L1', 'TBW102'))).code, 0)
    t.equal(broker.topics.find('L1'), undefined)
    t.equal((await client.ask(code, {}, body('L1', 'L2'))).code, 0)
    t.ok(broker.topics.find('L1') && broker.topics.find('L2'))
  })

  t.test('a deleted topic takes queues and offsets with it, and starts anew', async t => {
    await make('D')
    await client.send('D', 'x')
    await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
      consumerGroup: 'G',
      topic: 'D',
      queueId: 0,
      commitOffset: 1
    })
    t.strictSame(broker.store.tables.groupsOf('D'), ['G'])
    t.equal((await client.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'D' })).code, 0)
    t.equal(broker.topics.find('D'), undefined)
    t.strictSame(broker.store.tables.groupsOf('D'), [])
    await make('D')
    t.equal(broker.store.maxOffset('D', 0), 0)
    t.equal((await client.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'Gone' })).code, 0)
    const system = await client.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'TBW102' })
    t.equal(system.code, ResponseCode.SYSTEM_ERROR)
    t.ok(broker.topics.find('TBW102'))
    broker.config.update([['validateSystemTopicWhenUpdateTopic', 'false']])
    t.equal((await make('TBW102', { perm: 7, writeQueueNums: 3 })).code, 0)
    t.equal(broker.topics.find('TBW102')?.writeQueueNums, 3)
    const remove = (topic: string) => client.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic })
    t.equal((await remove('SELF_TEST_TOPIC')).code, ResponseCode.SYSTEM_ERROR)
    t.equal((await remove('BenchmarkTest')).code, 0)
    t.equal(broker.topics.find('BenchmarkTest'), undefined)
    broker.config.update([['validateSystemTopicWhenUpdateTopic', 'true']])
  })

  t.test('tables name all topics, and apart those of the broker itself', async t => {
    const all = await client.ask(RequestCode.GET_ALL_TOPIC_CONFIG)
    const table = TopicConfigSerializeWrapper.decode(all.body)
    t.equal(table.topicConfigTable.size, broker.store.tables.topics.size)
    t.equal(table.topicConfigTable.get('T')?.perm, 4)
    t.equal(table.dataVersion.counter, broker.store.tables.topicsVersion.counter)
    const own = await client.ask(RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER)
    const names = TopicList.decode(own.body).topicList
    for (const name of ['TBW102', 'SCHEDULE_TOPIC_XXXX', 'C', 'b', 'C_REPLY_TOPIC'])
      t.ok(names.includes(name), name)
    t.notOk(names.includes('T'))
  })

  t.test('groups of a topic: who subscribes it, and who has offsets for it', async t => {
    const member = new TestClient(t, broker.address, 'member')
    await member.heartbeat('Live', { T: {} })
    await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
      consumerGroup: 'Stored',
      topic: 'T',
      queueId: 0,
      commitOffset: 0
    })
    const answer = await client.ask(RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, { topic: 'T' })
    t.strictSame(GroupList.decode(answer.body).groupList.sort(), ['Live', 'Stored'])
  })

  t.test('maxTopics holds for administered topics too', async t => {
    for (let i = 0; i < 16; i++) await make(`Filler${i}`)
    broker.config.update([['maxTopics', '16']])
    const refused = await make('TooMany')
    t.equal(refused.code, ResponseCode.SYSTEM_ERROR)
    t.match(refused.remark, /maxTopics/)
    t.equal((await make('T', { perm: 6 })).code, 0, 'what is there can be changed')
    broker.config.update([['maxTopics', '1000']])
  })
})

t.test('groups', async t => {
  const { broker, client } = await started(t)
  const put = (group: Record<string, unknown>): ReturnType<TestClient['ask']> =>
    client.ask(
      RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
      {},
      Buffer.from(JSON.stringify(group))
    )

  t.test('what a request leaves out has the original’s defaults', async t => {
    t.equal((await put({ groupName: 'G', retryMaxTimes: 3 })).code, 0)
    t.equal(broker.topics.find('%RETRY%G'), undefined, 'the first heartbeat makes it')
    const shown = await client.ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'G' })
    const config = SubscriptionGroupConfig.decode(shown.body)
    t.equal(config.retryMaxTimes, 3)
    t.equal(config.consumeEnable, true)
    t.equal(config.consumeTimeoutMinute, 15)
    const unknown = await client.ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'No' })
    t.equal(SubscriptionGroupConfig.decode(unknown.body).retryMaxTimes, 16)
    t.equal(broker.groups.find('No'), undefined, 'asking makes nothing')
    t.match(await client.ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'a@b' }), {
      code: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
      remark: 'No group in this broker'
    })
  })

  t.test('all that a group of 5.x can be told is kept, its retry policy too', async t => {
    const groupRetryPolicy = {
      type: 'EXPONENTIAL' as const,
      exponentialRetryPolicy: { initial: 1_000, max: 9_000, multiplier: 3 }
    }
    const subscriptionDataSet = [{ topic: 'T', expression: 'a', expressionType: 'TAG', version: 7 }]
    const given = {
      groupName: 'Policy',
      groupRetryPolicy,
      subscriptionDataSet,
      consumeMessageOrderly: true,
      consumeFromMinEnable: false,
      consumeTimeoutMinute: 9,
      groupSysFlag: 1,
      notifyConsumerIdsChangedEnable: false
    }
    t.equal((await put(given)).code, 0)
    const shown = await client.ask(RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG, { group: 'Policy' })
    t.match(SubscriptionGroupConfig.decode(shown.body), given)
  })

  t.test('a group may be forbidden to read a topic', async t => {
    const code = RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN
    const ask = async (more: Record<string, string | boolean> = {}): Promise<boolean> => {
      const answer = await client.ask(code, { group: 'F', topic: 'FT', ...more })
      t.equal(answer.code, 0, answer.remark ?? '')
      return GroupForbidden.decode(answer.body).readable
    }
    t.equal((await client.ask(code, { group: 'F', topic: 'FT', readable: false })).code, 26)
    await put({ groupName: 'F' })
    t.equal((await client.ask(code, { group: 'F', topic: 'FT', readable: false })).code, 17)
    await client.send('FT', 'x')
    await client.heartbeat('F', { FT: {} })
    const pull = () => client.pull('FT', 0, 0, { group: 'F', subscription: null })
    t.equal((await pull()).code, 0)
    t.equal(await ask(), true)
    t.equal(await ask({ readable: false }), false)
    t.equal(await ask(), false)
    t.match(await pull(), {
      code: ResponseCode.NO_PERMISSION,
      remark: 'the consumer group[F] is forbidden for topic[FT]'
    })
    const all = await client.ask(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
    const { forbiddenTable } = SubscriptionGroupWrapper.decode(all.body)
    t.equal(forbiddenTable?.get('F')?.get('FT'), 4)
    t.equal(await ask({ readable: true }), true)
    t.equal((await pull()).code, 0)
    await ask({ readable: false })
    await client.ask(RequestCode.DELETE_SUBSCRIPTIONGROUP, { groupName: 'F' })
    t.equal(await ask(), true, 'it goes with the group')
  })

  t.test('bad names and numbers are refused', async t => {
    for (const bad of [
      { groupName: '' },
      { groupName: 'a@b' },
      { groupName: 'x'.repeat(256) },
      { groupName: 'Bad', retryQueueNums: -1 },
      { groupName: 'Bad', attributes: { '+colour': 'red' } }
    ])
      t.equal((await put(bad)).code, ResponseCode.SYSTEM_ERROR, JSON.stringify(bad).slice(0, 40))
    t.equal(broker.groups.find('Bad'), undefined)
    t.not((await put([] as never)).code, 0)
  })

  t.test('lists, the table, and deletion with or without offsets', async t => {
    const list = SubscriptionGroupList.encode({
      groupConfigList: ['G1', 'G2'].map(groupName => SubscriptionGroupConfig.of({ groupName }))
    })
    await client.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, {}, list)
    const all = await client.ask(RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
    const table = SubscriptionGroupWrapper.decode(all.body).subscriptionGroupTable
    t.ok(table.has('G1') && table.has('G2') && table.has('TOOLS_CONSUMER'))
    await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, topicFields('T'))
    const commit = (consumerGroup: string): ReturnType<TestClient['ask']> =>
      client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
        consumerGroup,
        topic: 'T',
        queueId: 0,
        commitOffset: 5
      })
    for (const [flag, kept] of [
      ['removeOffset', -1],
      ['cleanOffset', -1],
      ['other', 5]
    ] as const) {
      await put({ groupName: 'G1' })
      await commit('G1')
      await client.ask(RequestCode.DELETE_SUBSCRIPTIONGROUP, { groupName: 'G1', [flag]: true })
      t.equal(broker.groups.find('G1'), undefined)
      t.equal(broker.store.tables.consumerOffset('G1', 'T', 0), kept, flag)
    }
  })
})

t.test('messages are found by place, by key, by unique key and in their queue', async t => {
  const { client } = await started(t)
  await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, topicFields('T'))
  for (let i = 0; i < 5; i++)
    await client.send('T', `body ${i}`, {
      tags: i % 2 === 0 ? 'even' : 'odd',
      props: { KEYS: `k${i} all`, UNIQ_KEY: `FD0000000000000000000000000000000000000${i}` }
    })
  const [first] = await client.read('T', 0)
  const view = (offset: number): ReturnType<TestClient['ask']> =>
    client.ask(RequestCode.VIEW_MESSAGE_BY_ID, { offset })
  const found = await view(first!.physicalOffset)
  t.equal(decodeStoredMessages(found.body!)[0]?.body.toString(), 'body 0')
  const missed = await view(first!.physicalOffset + 1)
  t.equal(missed.code, ResponseCode.SYSTEM_ERROR)
  t.match(missed.remark, /can not find message by the offset, \d+/)
  t.equal((await view(-1)).code, ResponseCode.SYSTEM_ERROR)

  const query = (key: string, more: Record<string, string> = {}): ReturnType<TestClient['ask']> =>
    client.ask(RequestCode.QUERY_MESSAGE, {
      topic: 'T',
      key,
      maxNum: 3,
      beginTimestamp: 0,
      endTimestamp: '9223372036854775807',
      ...more
    })
  const byKey = await query('all')
  t.equal(decodeStoredMessages(byKey.body!).length, 3, 'no more than asked for')
  t.ok(Number(byKey.extFields?.['indexLastUpdatePhyoffset']) > first!.physicalOffset)
  const unique = await query('FD00000000000000000000000000000000000003', {
    _UNIQUE_KEY_QUERY: 'true'
  })
  const messages = decodeStoredMessages(unique.body!)
  t.strictSame(
    messages.map(message => message.body.toString()),
    ['body 3']
  )
  t.equal(messages[0]?.properties.get(MessageProperty.KEYS), 'k3 all')
  const none = await query('nothing')
  t.equal(none.code, ResponseCode.QUERY_NOT_FOUND)
  t.ok(none.extFields?.['indexLastUpdateTimestamp'])

  const cq = (fields: Record<string, string | number>): ReturnType<TestClient['ask']> =>
    client.ask(RequestCode.QUERY_CONSUME_QUEUE, {
      topic: 'T',
      queueId: 0,
      index: 1,
      count: 2,
      ...fields
    })
  const units = QueryConsumeQueueResponseBody.decode((await cq({})).body)
  t.equal(units.maxQueueIndex, 5)
  t.equal(units.queueData?.length, 2)
  t.equal(units.queueData?.[0]?.eval, false)
  const offline = QueryConsumeQueueResponseBody.decode((await cq({ consumerGroup: 'G' })).body)
  t.equal(offline.filterData, 'G@T is not online!')
  await client.heartbeat('G', { T: { expression: 'odd' } })
  const live = QueryConsumeQueueResponseBody.decode((await cq({ consumerGroup: 'G' })).body)
  t.strictSame(
    live.queueData?.map(unit => unit.eval),
    [true, false],
    'as the filter decides'
  )
  t.equal(live.subscriptionData?.subString, 'odd')
  t.equal(live.filterData, 'null')
  const outside = await cq({ index: 5 })
  t.equal(outside.code, ResponseCode.SUCCESS)
  t.equal(outside.remark, 'Index 5 of 0@T is not exist!')
  t.equal(outside.body, null)
  t.equal((await cq({ queueId: 2 })).code, ResponseCode.SYSTEM_ERROR)
  t.equal((await cq({ topic: 'None' })).remark, '0@None is not exist!')
})

t.test('settings', async t => {
  const { broker, client } = await started(t)
  const shown = async (): Promise<Map<string, string>> => {
    const answer = await client.ask(RequestCode.GET_BROKER_CONFIG)
    t.match(answer.extFields?.['version'], /^\{"counter":\d+,/)
    return parsePropertiesFile(answer.body!.toString()).entries
  }
  const change = (lines: string): ReturnType<TestClient['ask']> =>
    client.ask(RequestCode.UPDATE_BROKER_CONFIG, null, Buffer.from(lines))

  t.test('are shown, and changed while the broker runs', async t => {
    t.equal((await shown()).get('brokerName'), 'b')
    t.equal((await change('defaultQueryMaxNum=33\n')).code, 0)
    t.equal((await shown()).get('defaultQueryMaxNum'), '33')
    t.equal(broker.config.values.defaultQueryMaxNum, 33)
  })

  t.test('all of a request or nothing', async t => {
    const bad = await change('defaultQueryMaxNum=40\nmaxMessageSize=much\n')
    t.equal(bad.code, ResponseCode.SYSTEM_ERROR)
    t.match(bad.remark, /maxMessageSize = much/)
    t.equal(broker.config.values.defaultQueryMaxNum, 33)
    const forbidden = await change('defaultQueryMaxNum=40\nbrokerConfigPath=/etc/passwd\n')
    t.equal(forbidden.code, ResponseCode.NO_PERMISSION)
    t.equal(broker.config.values.defaultQueryMaxNum, 33)
    t.equal((await change('x'.repeat(70_000))).code, ResponseCode.SYSTEM_ERROR)
  })
})

t.test('figures', async t => {
  const { broker, client } = await started(t)
  await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, topicFields('T'))

  t.test('the runtime table has what tools read, numbers where they parse them', async t => {
    for (let i = 0; i < 10; i++) await client.send('T', 'x')
    await client.send('T', 'later', { props: { DELAY: '18' } })
    await client.read('T', 0)
    broker.rates.sample()
    const answer = await client.ask(RequestCode.GET_BROKER_RUNTIME_INFO)
    const { table } = KVTable.decode(answer.body)
    for (const name of [
      'putTps',
      'getFoundTps',
      'getMissTps',
      'getTotalTps',
      'getTransferedTps',
      'getTransferredTps'
    ])
      t.match(table.get(name), /^\d+\.\d+(E-?\d+)? \d+\.\d+(E-?\d+)? \d+\.\d+(E-?\d+)?$/, name)
    t.ok(Number(table.get('putTps')?.split(' ')[0]) > 0)
    t.match(table.get('runtime'), /^\[ 0 days, 0 hours, \d+ minutes, \d+ seconds \]$/)
    t.match(table.get('commitLogDirCapacity'), /^Total : \d.* [KMGTP]iB, Free : \d.* [KMGTP]iB\.$/)
    t.equal(table.get('putMessageDistributeTime')?.match(/\[[^\]]+\]:\d+ /g)?.length, 13)
    t.equal(table.get('putMessageTimesTotal'), '11')
    t.equal(table.get('msgGetTotalTodayNow'), '10')
    t.equal(table.get('scheduleMessageOffset_18'), '0,1')
    t.equal(table.get('brokerVersionDesc'), 'V5_3_3')
    t.ok(Number(table.get('earliestMessageTimeStamp')) >= broker.startedMs)
    t.ok(Number(table.get('commitLogMaxOffset')) > 0)
    t.ok(Number(table.get('putLatency99')) <= Number(table.get('putLatency999')))
    for (const pool of ['send', 'pull', 'query', 'litePull', 'ack'])
      for (const what of ['Size', 'Capacity', 'HeadWaitTimeMills'])
        t.match(table.get(`${pool}ThreadPoolQueue${what}`), /^\d+$/)
  })

  t.test('statistics by name and key', async t => {
    const view = (statsName: string, statsKey: string): ReturnType<TestClient['ask']> =>
      client.ask(RequestCode.VIEW_BROKER_STATS_DATA, { statsName, statsKey })
    broker.stats.sample()
    const data = BrokerStatsData.decode((await view('TOPIC_PUT_NUMS', 'T')).body)
    t.equal(data.statsMinute.sum, 10)
    const sum = async (name: string, key: string): Promise<number> =>
      BrokerStatsData.decode((await view(name, key)).body).statsMinute.sum
    t.equal(await sum('TOPIC_PUT_NUMS', 'SCHEDULE_TOPIC_XXXX'), 1, 'not delivered yet')
    t.equal(await sum('QUEUE_PUT_NUMS', 'SCHEDULE_TOPIC_XXXX@17'), 1)
    let bytes = 0
    for (const { totalSize } of await client.read('T', 0)) bytes += totalSize
    t.equal(await sum('TOPIC_PUT_SIZE', 'T'), bytes, 'as they are stored')
    t.equal(await sum('GROUP_GET_SIZE', 'T@G'), bytes)
    t.ok(data.statsMinute.tps > 0)
    t.equal(data.statsDay.sum, 0, 'no sample of the day yet')
    const none = await view('TOPIC_PUT_NUMS', 'None')
    t.equal(none.code, ResponseCode.SYSTEM_ERROR)
    t.equal(none.remark, 'The stats <TOPIC_PUT_NUMS> <None> not exist')
    t.equal((await view('__proto__', 'T')).code, ResponseCode.SYSTEM_ERROR)
  })

  t.test('cleaning keeps what is used and drops queues without a topic', async t => {
    t.equal((await client.ask(RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)).code, 0)
    t.equal((await client.ask(RequestCode.CLEAN_UNUSED_TOPIC)).code, 0)
    t.equal((await client.ask(RequestCode.DELETE_EXPIRED_COMMITLOG)).code, 0)
    t.equal((await client.read('T', 0)).length, 10)
    t.ok(broker.store.topicsWithQueues().includes('SCHEDULE_TOPIC_XXXX'))
  })
})

t.test('rates, latencies and texts of the runtime table', async t => {
  const clock = new FakeClock()
  const counters = { putMessages: 0, getFound: 0, getMissed: 0, getMessages: 0 }
  const rates = new RuntimeRates(clock, counters)
  t.strictSame(rates.perSecond('putMessages'), [0, 0, 0], 'three numbers before the first sample')
  rates.start()
  const seconds = (count: number, perSecond: number): void => {
    for (let i = 0; i < count; i++) {
      counters.putMessages += perSecond
      counters.getFound += 2
      counters.getMissed += 1
      clock.advance(1_000)
    }
  }
  seconds(5, 4)
  t.strictSame(rates.perSecond('putMessages'), [4, 4, 4], 'over what there is')
  seconds(895, 10)
  t.strictSame(rates.perSecond('putMessages'), [10, 10, 10], 'the ring has gone round')
  seconds(30, 20)
  t.strictSame(rates.perSecond('putMessages'), [20, 15, 10.5])
  t.strictSame(rates.perSecond('getFound', 'getMissed'), [3, 3, 3])
  rates.stop()
  seconds(10, 0)
  t.strictSame(rates.perSecond('putMessages'), [20, 15, 10.5], 'no samples after the stop')

  const buckets = new Float64Array(13)
  t.equal(latencyAt(0.99, buckets, 0), 0)
  buckets[0] = 98
  buckets[2] = 2
  t.equal(latencyAt(0.49, buckets, 30), 0.5)
  t.equal(latencyAt(0.99, buckets, 30), 20, 'half way through 10 to 30 ms')
  t.equal(latencyAt(1, buckets, 30), 30)
  buckets[12] = 900
  t.equal(latencyAt(0.999, buckets, 20_000) > 10_000, true, 'the last bucket ends with the longest')
  t.match(distributionText(buckets), /^\[<=0ms\]:98 \[0~10ms\]:0 .*\[10s~\]:900 $/)

  t.equal(bytesText(0), '0 B')
  t.equal(bytesText(1_536), '1.5 KiB')
  t.equal(bytesText(252 * 2 ** 30), '252.0 GiB')
  t.equal(
    runtimeText(((26 * 60 + 3) * 60 + 4) * 1_000 + 999),
    '[ 1 days, 2 hours, 3 minutes, 4 seconds ]'
  )
})
