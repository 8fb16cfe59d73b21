import t from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import {
  ConsumerConnection,
  ConsumerOffsetSerializeWrapper,
  ConsumeStats,
  ConsumeStatsList,
  GetConsumerStatusBody,
  LanguageCode,
  type OffsetWrapper,
  offsetMessageId,
  ProducerConnection,
  ProducerTableInfo,
  parsePropertiesFile,
  QueryConsumeTimeSpanBody,
  QueryCorrectionOffsetBody,
  QuerySubscriptionResponseBody,
  type RemotingCommand,
  RequestCode,
  ResetOffsetBody,
  ResetOffsetBodyForC,
  ResponseCode,
  response,
  TopicConfigSerializeWrapper,
  TopicList
} from '../../src/protocol/index.ts'
import { freePorts } from '../helpers/freePorts.ts'
import { newDirectory, serving, startBroker, TestClient, until } from './helpers.ts'

const newTopic = (topic: string): Record<string, string | number | boolean> => ({
  topic,
  defaultTopic: 'TBW102',
  readQueueNums: 2,
  writeQueueNums: 2,
  perm: 6,
  topicFilterType: 'SINGLE_TAG',
  order: false
})

const commit = (
  client: TestClient,
  consumerGroup: string,
  queueId: number,
  commitOffset: number,
  topic = 'T'
): Promise<RemotingCommand> =>
  client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, { consumerGroup, topic, queueId, commitOffset })

t.test('progress of groups', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address, 'tool')
  await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, newTopic('T'))
  await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, newTopic('Other'))
  for (let i = 0; i < 6; i++) await client.send('T', `m${i}`, { queueId: i % 2 })
  await commit(client, 'G', 0, 2)
  await commit(client, 'G', 1, 0)
  await commit(client, 'G', 0, 0, 'Other')
  const stats = async (fields: Record<string, string>): Promise<ConsumeStats> =>
    ConsumeStats.decode(
      (await client.ask(RequestCode.GET_CONSUME_STATS, { consumerGroup: 'G', ...fields })).body
    )
  const topicsIn = (table: ConsumeStats): string[] => [
    ...new Set(table.offsetTable.map(([queue]) => queue.topic))
  ]

  t.test('of a group: every queue of its topics', async t => {
    const all = await stats({})
    t.strictSame(new Set(topicsIn(all)), new Set(['Other', 'T']))
    const [, first] = all.offsetTable.find(([queue]) => queue.topic === 'T')!
    t.match(first, { brokerOffset: 3, consumerOffset: 2, pullOffset: 2 })
    t.ok(first.lastTimestamp >= broker.startedMs)
    const [, second] = all.offsetTable.find(
      ([queue]) => queue.topic === 'T' && queue.queueId === 1
    )!
    t.match(second, { brokerOffset: 3, consumerOffset: 0, lastTimestamp: 0 })
    t.strictSame(topicsIn(await stats({ topic: 'T' })), ['T'])
    t.strictSame(topicsIn(await stats({ topicList: 'Other;' })), ['Other'])
    t.strictSame(topicsIn(await stats({ topic: 'None' })), [])
  })

  t.test('a group that is online shows what it subscribes', async t => {
    const member = new TestClient(t, broker.address, 'member')
    await member.heartbeat('G', { T: {} })
    t.strictSame(topicsIn(await stats({})), ['T'])
    await member.remoting.close()
    await until(() => broker.consumers.find('G') === undefined)
  })

  t.test('what was given out and is not committed yet is in flight', async t => {
    const first = async (): Promise<Partial<OffsetWrapper>> => {
      const { offsetTable } = await stats({ topic: 'T' })
      return offsetTable.find(([queue]) => queue.queueId === 0)![1]
    }
    await client.pull('T', 0, 0, { max: 3 })
    t.match(await first(), { consumerOffset: 2, pullOffset: 3 })
    const all = await client.ask(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: false })
    t.equal(ConsumeStatsList.decode(all.body).totalInflightDiff, 1)
    await commit(client, 'G', 0, 1)
    t.match(await first(), { consumerOffset: 1, pullOffset: 1 }, 'set back: it is pulled again')
    await client.pull('T', 0, 1, { max: 1 })
    t.match(await first(), { consumerOffset: 1, pullOffset: 2 })
    await commit(client, 'G', 0, 2)
    t.match(await first(), { consumerOffset: 2, pullOffset: 2 })
  })

  t.test('of all groups, with the total they are behind', async t => {
    const answer = await client.ask(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: false })
    const list = ConsumeStatsList.decode(answer.body)
    t.equal(list.brokerAddr, broker.address)
    t.equal(list.totalDiff, 1 + 3)
    t.equal(list.totalInflightDiff, 0)
    const member = new TestClient(t, broker.address, 'member')
    await member.heartbeat('G', { Other: {} })
    const live = await client.ask(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: false })
    t.equal(ConsumeStatsList.decode(live.body).totalDiff, 0, 'not behind in what it unsubscribed')
    await member.remoting.close()
    await until(() => broker.consumers.find('G') === undefined)
    const names = list.consumeStatsList.flatMap(entry => [...entry.keys()])
    t.ok(names.includes('TOOLS_CONSUMER'), 'groups without offsets too')
    const ordered = await client.ask(RequestCode.GET_BROKER_CONSUME_STATS, { isOrder: true })
    t.equal(ConsumeStatsList.decode(ordered.body).totalDiff, 0)
  })

  t.test('times, corrections, tables and topics by group', async t => {
    const ask = async (code: number, fields: Record<string, string>): Promise<RemotingCommand> => {
      const answer = await client.ask(code, fields)
      t.equal(answer.code, ResponseCode.SUCCESS)
      return answer
    }
    const spans = QueryConsumeTimeSpanBody.decode(
      (await ask(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: 'T', group: 'G' })).body
    ).consumeTimeSpanSet
    t.equal(spans.length, 2)
    t.ok(spans[0]!.maxTimeStamp >= spans[0]!.consumeTimeStamp)
    t.ok(spans[0]!.delayTime >= 0)
    await commit(client, 'H', 0, 1)
    const corrections = async (fields: Record<string, string>): Promise<Map<number, number>> =>
      QueryCorrectionOffsetBody.decode(
        (await ask(RequestCode.QUERY_CORRECTION_OFFSET, { topic: 'T', ...fields })).body
      ).correctionOffsets
    t.equal((await corrections({ compareGroup: 'X' })).get(0), 1)
    t.equal((await corrections({ compareGroup: 'X', filterGroups: 'H' })).get(0), 2)
    t.equal(broker.store.tables.consumerOffset('H', 'T', 0), 1, 'filtering deletes nothing')
    const table = ConsumerOffsetSerializeWrapper.decode(
      (await ask(RequestCode.GET_ALL_CONSUMER_OFFSET, {})).body
    ).offsetTable
    t.equal(table.get('T@G')?.get(0), 2)
    const topics = TopicList.decode(
      (await ask(RequestCode.QUERY_TOPICS_BY_CONSUMER, { group: 'G' })).body
    )
    t.strictSame(topics.topicList.sort(), ['Other', 'T'])
    t.equal(
      (await client.ask(RequestCode.QUERY_CONSUME_TIME_SPAN, { topic: 'None', group: 'G' })).code,
      ResponseCode.TOPIC_NOT_EXIST
    )
  })

  t.test('offsets are cloned to another group', async t => {
    const clone = (fields: Record<string, string | boolean>): Promise<RemotingCommand> =>
      client.ask(RequestCode.CLONE_GROUP_OFFSET, { srcGroup: 'G', ...fields })
    t.equal((await clone({ destGroup: 'One', topic: 'T', offline: true })).code, 0)
    t.equal(broker.store.tables.consumerOffset('One', 'T', 0), 2)
    t.equal(broker.store.tables.consumerOffset('One', 'Other', 0), -1)
    t.equal((await clone({ destGroup: 'All', offline: true })).code, 0)
    t.equal(broker.store.tables.consumerOffset('All', 'Other', 0), 0)
  })
})

t.test('clients that are connected', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const tool = new TestClient(t, broker.address, 'tool')
  await tool.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, newTopic('T'))

  t.test('lists of consumers and producers', async t => {
    const consumers = (consumerGroup: string): Promise<RemotingCommand> =>
      tool.ask(RequestCode.GET_CONSUMER_CONNECTION_LIST, { consumerGroup })
    const producers = (producerGroup: string): Promise<RemotingCommand> =>
      tool.ask(RequestCode.GET_PRODUCER_CONNECTION_LIST, { producerGroup })
    t.match(await consumers('CG'), { code: 206, remark: 'the consumer group[CG] not online' })
    t.match(await producers('PG'), { code: 1, remark: 'the producer group[PG] not exist' })
    const member = new TestClient(t, broker.address, 'member')
    await member.heartbeat('CG', { T: { expression: 'a || b' } }, { producers: ['PG'] })
    const group = ConsumerConnection.decode((await consumers('CG')).body)
    t.match(group, {
      connectionSet: [{ clientId: 'member', version: 409 }],
      consumeType: 'CONSUME_PASSIVELY',
      messageModel: 'CLUSTERING'
    })
    t.match(group.connectionSet[0]?.clientAddr, /^127\.0\.0\.1:\d+$/)
    t.strictSame(group.subscriptionTable.get('T')?.tagsSet, ['a', 'b'])
    const [producer] = ProducerConnection.decode((await producers('PG')).body).connectionSet
    t.equal(producer?.clientId, 'member')
    const all = ProducerTableInfo.decode((await tool.ask(RequestCode.GET_ALL_PRODUCER_INFO)).body)
    t.equal(all.data.get('PG')?.[0]?.clientId, 'member')
    const wanted = await tool.ask(RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER, {
      group: 'CG',
      topic: 'T'
    })
    t.equal(QuerySubscriptionResponseBody.decode(wanted.body).subscriptionData?.subString, 'a || b')
  })

  t.test('running info and direct consumption are relayed as bytes', async t => {
    const member = new TestClient(t, broker.address, 'relayed')
    const notJson = Buffer.from('{{"queueId":0}:{dropped')
    let asked: RemotingCommand | null = null
    member.remoting.onRequest(RequestCode.GET_CONSUMER_RUNNING_INFO, request => {
      asked = request
      return response(ResponseCode.SUCCESS, null, null, notJson)
    })
    member.remoting.onRequest(RequestCode.CONSUME_MESSAGE_DIRECTLY, request =>
      response(
        ResponseCode.SUCCESS,
        request.extFields?.['brokerName'] ?? null,
        null,
        Buffer.from(request.body!)
      )
    )
    const info = (clientId: string): Promise<RemotingCommand> =>
      tool.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, {
        consumerGroup: 'RG',
        clientId,
        jstackEnable: true
      })
    t.match(await info('relayed'), { code: 1, remark: 'The Consumer <RG> <relayed> not online' })
    await member.heartbeat('RG', { T: {} })
    const answer = await info('relayed')
    t.equal(answer.code, ResponseCode.SUCCESS)
    t.ok(answer.body?.equals(notJson))
    t.match(asked, { extFields: { jstackEnable: 'true' } })
    await tool.send('T', 'to be consumed')
    const [stored] = await tool.read('T', 0)
    const directly = (msgId: string): Promise<RemotingCommand> =>
      tool.ask(RequestCode.CONSUME_MESSAGE_DIRECTLY, {
        consumerGroup: 'RG',
        clientId: 'relayed',
        msgId
      })
    const consumed = await directly(offsetMessageId(broker.storeHost, stored!.physicalOffset))
    t.ok(consumed.body?.includes('to be consumed'))
    t.equal(consumed.remark, 'b', 'the broker tells its name')
    t.equal((await directly('nonsense')).code, ResponseCode.SYSTEM_ERROR)
    t.equal(
      (await directly(offsetMessageId(broker.storeHost, stored!.physicalOffset + 4))).code,
      ResponseCode.SYSTEM_ERROR
    )
    const old = new TestClient(t, broker.address, 'old')
    old.version = 61
    await old.heartbeat('RG', { T: {} })
    t.match((await info('old')).remark, /too low to finish, please upgrade it to V3_1_8_SNAPSHOT/)
  })

  t.test('a member that goes away while it is asked costs an error, not the tool', async t => {
    const member = new TestClient(t, broker.address, 'leaving')
    member.remoting.onRequest(RequestCode.GET_CONSUMER_RUNNING_INFO, () => {
      void member.remoting.close()
      return null
    })
    await member.heartbeat('LG', { T: {} })
    const answer = await tool.ask(RequestCode.GET_CONSUMER_RUNNING_INFO, {
      consumerGroup: 'LG',
      clientId: 'leaving'
    })
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
    t.match(answer.remark, /invoke consumer <LG> <leaving> Exception/)
  })

  t.test('status is asked of every member, or of one', async t => {
    const members = ['one', 'two'].map(id => new TestClient(t, broker.address, id))
    for (const [i, member] of members.entries()) {
      member.remoting.onRequest(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, () =>
        response(
          ResponseCode.SUCCESS,
          null,
          null,
          GetConsumerStatusBody.encode({
            consumerTable: new Map(),
            messageQueueTable: [[{ brokerName: 'b', queueId: i, topic: 'T' }, 10 + i]]
          })
        )
      )
    }
    const status = (clientAddr?: string): Promise<RemotingCommand> =>
      tool.ask(RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, {
        topic: 'T',
        group: 'SG',
        ...(clientAddr === undefined ? {} : { clientAddr })
      })
    t.match(await status(), {
      code: 1,
      remark: 'No Any Consumer online in the consumer group: [SG]'
    })
    for (const member of members) await member.heartbeat('SG', { T: {} })
    const all = GetConsumerStatusBody.decode((await status()).body).consumerTable
    t.strictSame(all.get('one')?.[0]?.[1], 10)
    t.strictSame(all.get('two')?.[0]?.[1], 11)
    const one = GetConsumerStatusBody.decode((await status('two')).body).consumerTable
    t.strictSame([...one.keys()], ['two'])
  })
})

t.test('offsets are reset', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const tool = new TestClient(t, broker.address, 'tool')
  await tool.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, newTopic('T'))
  await tool.ask(
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    {},
    Buffer.from('{"groupName":"G"}')
  )
  for (let i = 0; i < 6; i++) await tool.send('T', `m${i}`, { queueId: i % 2 })
  const reset = (fields: Record<string, string | number | boolean>): Promise<RemotingCommand> =>
    tool.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, {
      topic: 'T',
      group: 'G',
      timestamp: 0,
      isForce: true,
      ...fields
    })
  const offsets = (answer: RemotingCommand): number[] =>
    ResetOffsetBody.decode(answer.body).offsetTable.map(([, offset]) => offset)

  t.test('refused with the codes that tools decide by', async t => {
    t.match(await reset({ topic: 'None' }), { code: 1, remark: /no topic in this broker/ })
    tool.version = 479
    t.equal((await reset({ topic: 'None' })).code, ResponseCode.TOPIC_NOT_EXIST)
    tool.version = 409
    t.match(await reset({}), { code: 1, remark: 'THe consumer group <G> not exist' })
    for (const queueId of [0, 1]) await commit(tool, 'G', queueId, 3)
    t.match(await reset({}), {
      code: ResponseCode.CONSUMER_NOT_ONLINE,
      remark: 'Consumer not online, so can not reset offset, Group: G Topic: T Timestamp: 0'
    })
    t.equal(broker.store.tables.consumerOffset('G', 'T', 0), 3)
  })

  t.test('of one queue of a group that is not online: in the log', async t => {
    t.strictSame(offsets(await reset({ queueId: 1, offset: 2 })), [2])
    t.equal(broker.store.tables.consumerOffset('G', 'T', 1), 2)
    t.match(await reset({ queueId: 1, offset: 9 }), {
      code: 1,
      remark: 'Target offset 9 not in consume queue range [0-3]'
    })
    t.equal((await reset({ queueId: 7, offset: 0 })).code, ResponseCode.SYSTEM_ERROR)
    t.equal((await reset({ group: 'No', queueId: 1, offset: 0 })).code, 26)
  })

  t.test('members are told, each in the form of its language', async t => {
    const told = new Map<string, Buffer>()
    const join = async (id: string): Promise<TestClient> => {
      const member = new TestClient(t, broker.address, id)
      member.remoting.onRequest(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, request => {
        told.set(id, Buffer.from(request.body!))
        return null
      })
      await member.heartbeat('G', { T: {} })
      return member
    }
    await join('java')
    await join('cpp')
    const cpp = broker.consumers.findMember('G', 'cpp')
    cpp!.language = LanguageCode.CPP
    t.strictSame(offsets(await reset({})), [0, 0])
    await until(() => told.size === 2)
    const mq = '{"brokerName":"b","queueId":0,"topic":"T"}'
    t.match(told.get('java')?.toString(), `{"offsetTable":{${mq}:0,`)
    t.strictSame(
      ResetOffsetBodyForC.decode(told.get('cpp')!).offsetTable.map(entry => entry.offset),
      [0, 0]
    )
    t.strictSame(offsets(await reset({ timestamp: -1 })), [3, 3], 'to the end')
    t.strictSame(
      offsets(await reset({ timestamp: -1, isForce: false })),
      [3, 2],
      'without force never forwards'
    )
    t.equal(broker.store.tables.consumerOffset('G', 'T', 0), 3, 'the members commit themselves')
  })
})

t.test('offsets are reset at the broker', async t => {
  const broker = await startBroker(t, { useServerSideResetOffset: 'true' })
  await serving(broker)
  const tool = new TestClient(t, broker.address, 'tool')
  tool.version = 479
  await tool.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, newTopic('T'))
  const group = Buffer.from('{"groupName":"G"}')
  await tool.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, group)
  for (let i = 0; i < 6; i++) await tool.send('T', `m${i}`, { queueId: 0 })
  const reset = (fields: Record<string, string | number | boolean>): Promise<RemotingCommand> =>
    tool.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, {
      topic: 'T',
      group: 'G',
      timestamp: 0,
      isForce: false,
      ...fields
    })
  t.test('refusals', async t => {
    t.match(await reset({ topic: 'None' }), { code: 17, remark: 'Topic None does not exist' })
    t.match(await reset({ group: 'None' }), { code: 26, remark: 'Group None does not exist' })
    t.match(await reset({ queueId: 0, offset: 9 }), {
      code: 1,
      remark: 'Target offset 9 not in consume queue range [0-6]'
    })
    t.match(await reset({ queueId: 99 }), { code: 1, remark: 'No queues to reset.' })
  })
  t.test('also of a group that never consumed, and forwards', async t => {
    const answer = await reset({ timestamp: -1 })
    t.equal(answer.code, 0, answer.remark ?? '')
    const [first] = ResetOffsetBody.decode(answer.body).offsetTable
    t.strictSame(first, [{ brokerName: 'b', queueId: 0, topic: 'T' }, 6])
    t.equal(broker.store.tables.consumerOffset('G', 'T', 0), 6)
  })
  t.test('a pull that waits is told at once, again and again until it follows', async t => {
    const held = tool.pull('T', 0, 6, { sysFlag: 2, suspendMs: 20_000 })
    await until(() => broker.store.tables.values('resetOffsets').get('T@G@0') === undefined)
    await until(() => broker.holds.size === 1)
    t.equal((await reset({ queueId: 0, offset: 2 })).code, 0)
    t.match(await held, { code: 21, remark: 'OFFSET_RESET', extFields: { nextBeginOffset: '2' } })
    t.match(await tool.pull('T', 0, 6), { code: 21, remark: 'OFFSET_RESET' })
    await commit(tool, 'G', 0, 5)
    t.equal(broker.store.tables.consumerOffset('G', 'T', 0), 2, 'what it says meanwhile is old')
    t.equal((await tool.pull('T', 0, 2)).code, 0)
    t.equal((await tool.pull('T', 0, 6)).code, ResponseCode.PULL_NOT_FOUND)
    await until(() => broker.store.tables.values('resetOffsets').get('T@G@0') === undefined)
    await commit(tool, 'G', 0, 6)
    t.equal(broker.store.tables.consumerOffset('G', 'T', 0), 6)
  })
  t.test('goes with its topic, or its group', async t => {
    await reset({ queueId: 0, offset: 1 })
    t.ok(broker.store.tables.values('resetOffsets').size > 0)
    await tool.ask(RequestCode.DELETE_SUBSCRIPTIONGROUP, { groupName: 'G', cleanOffset: true })
    await until(() => broker.store.tables.values('resetOffsets').size === 0)
  })
  t.test('by default a tool of 5.x sets the offsets of who is offline', async t => {
    broker.config.update([['useServerSideResetOffset', 'false']])
    await tool.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, group)
    for (let queueId = 0; queueId < 8; queueId++) await commit(tool, 'G', queueId, 0)
    const answer = await reset({ timestamp: -1, isForce: true })
    t.equal(answer.code, 0, answer.remark ?? '')
    t.equal(broker.store.tables.consumerOffset('G', 'T', 0), 6)
  })
})

t.test('members of a group answer alike', async t => {
  const ports = await freePorts(3)
  const directory = newDirectory()
  const brokers = await Promise.all(
    ports.map((_, i) =>
      startBroker(t, {
        storePathRootDir: `${directory}/n${i}`,
        enableDLegerCommitLog: 'true',
        dLegerGroup: 'g',
        dLegerPeers: ports.map((port, id) => `n${id}-127.0.0.1:${port}`).join(';'),
        dLegerSelfId: `n${i}`
      })
    )
  )
  const leads = (): Broker | undefined => brokers.find(broker => broker.isLeader())
  await until(
    () =>
      leads() !== undefined &&
      brokers.every(
        broker =>
          broker.topics.find('TBW102') !== undefined &&
          broker.store.status().leaderBrokerAddress === leads()?.address
      ),
    20_000
  )
  const leader = leads()!
  const follower = brokers.find(broker => broker !== leader)!
  const atFollower = new TestClient(t, follower.address, 'f')
  const atLeader = new TestClient(t, leader.address, 'l')
  await t.test('changes at a follower are the leader’s', async t => {
    t.equal((await atFollower.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, newTopic('F'))).code, 0)
    t.equal(leader.topics.find('F')?.writeQueueNums, 2)
    const group = Buffer.from('{"groupName":"FG"}')
    await atFollower.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, group)
    t.ok(leader.groups.find('FG'))
    t.equal((await atFollower.ask(RequestCode.CLEAN_UNUSED_TOPIC)).code, 0)
    t.equal((await atFollower.ask(RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)).code, 0)
  })
  await t.test('each shows its own role, and all show the same topics and messages', async t => {
    const role = async (client: TestClient): Promise<string | undefined> =>
      parsePropertiesFile(
        (await client.ask(RequestCode.GET_BROKER_CONFIG)).body!.toString()
      ).entries.get('brokerRole')
    t.equal(await role(atLeader), 'SYNC_MASTER')
    t.equal(await role(atFollower), 'SLAVE')
    await atLeader.send('F', 'seen everywhere')
    await until(() => follower.store.maxOffset('F', 0) === 1)
    const [stored] = await atLeader.read('F', 0)
    const viewed = await atFollower.ask(RequestCode.VIEW_MESSAGE_BY_ID, {
      offset: stored!.physicalOffset
    })
    t.ok(viewed.body?.includes('seen everywhere'))
    const table = await atFollower.ask(RequestCode.GET_ALL_TOPIC_CONFIG)
    t.ok(TopicConfigSerializeWrapper.decode(table.body).topicConfigTable.has('F'))
    t.equal((await atFollower.ask(RequestCode.GET_BROKER_RUNTIME_INFO)).code, 0)
  })
  await t.test('a topic deleted at a follower is gone everywhere', async t => {
    t.equal((await atFollower.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'F' })).code, 0)
    t.equal(leader.topics.find('F'), undefined)
    await until(() => brokers.every(broker => broker.topics.find('F') === undefined))
    t.ok(brokers.every(broker => broker.store.maxOffset('F', 0) === 0))
    await atFollower.ask(RequestCode.DELETE_SUBSCRIPTIONGROUP, { groupName: 'FG' })
    t.equal(leader.groups.find('FG'), undefined)
  })
})
