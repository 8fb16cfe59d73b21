import t from 'tap'
import { NameServer, NamesrvConfig } from '../../src/namesrv/index.ts'
import { silentLogger } from '../../src/platform/index.ts'
import {
  decodeStoredMessages,
  encodeBatch,
  encodeProperties,
  LockBatchRequestBody,
  MessageProperty,
  parseOffsetMessageId,
  RequestCode,
  ResponseCode,
  TopicRouteData
} from '../../src/protocol/index.ts'
import { NotLeaderError } from '../../src/raft/index.ts'
import { halt, newDirectory, platform, serving, startBroker, TestClient, until } from './helpers.ts'

/** What a broker puts into every message. */
const ofBroker = { CLUSTER: 'C', MSG_REGION: 'DefaultRegion', TRACE_ON: 'true' }

t.test('sends', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)

  t.test(
    'a send to an unknown topic makes it with four queues, and the message comes back whole',
    async t => {
      const sent = await client.send('Fresh', 'hello', {
        queueId: 2,
        flag: 77,
        tags: 'a',
        props: { KEYS: 'k', WAIT: 'true' }
      })
      t.equal(sent.code, ResponseCode.SUCCESS)
      t.match(sent.extFields, {
        queueId: '2',
        queueOffset: '0',
        MSG_REGION: 'DefaultRegion',
        TRACE_ON: 'true'
      })
      t.equal(broker.topics.find('Fresh')?.writeQueueNums, 4)
      t.equal(broker.topics.find('Fresh')?.perm, 6)
      const [message] = await client.read('Fresh', 2)
      t.equal(message?.body.toString(), 'hello')
      t.equal(message?.flag, 77)
      t.equal(message?.bornTimestamp, 1_700_000_000_000)
      t.equal(message?.bornHost.address, '127.0.0.1')
      t.strictSame(Object.fromEntries(message!.properties), {
        TAGS: 'a',
        KEYS: 'k',
        ...ofBroker
      })
      const id = parseOffsetMessageId(sent.extFields!['msgId']!)
      t.equal(id?.physicalOffset, message?.physicalOffset)
      t.equal(`${id?.host.address}:${id?.host.port}`, broker.address)
    }
  )

  t.test('binary headers are answered in kind', async t => {
    const binary = new TestClient(t, broker.address)
    binary.serializeType = 1
    const sent = await binary.send('Binary', 'x')
    t.equal(sent.serializeType, 1)
    t.equal(sent.extFields?.['queueOffset'], '0')
    const again = await binary.send('Binary', 'y')
    t.equal(again.extFields?.['queueOffset'], '1')
    const pulled = await binary.pull('Binary', 0, 0)
    t.equal(pulled.serializeType, 1)
    t.equal(pulled.remark, 'FOUND')
    t.strictSame(
      decodeStoredMessages(pulled.body!).map(m => m.body.toString()),
      ['x', 'y']
    )
  })

  t.test('long header names of code 10 are understood', async t => {
    const sent = await client.ask(
      RequestCode.SEND_MESSAGE,
      {
        producerGroup: 'PG',
        topic: 'Fresh',
        defaultTopic: 'TBW102',
        defaultTopicQueueNums: 4,
        queueId: 1,
        sysFlag: 0,
        bornTimestamp: 5,
        flag: 0,
        properties: '',
        reconsumeTimes: 0,
        unitMode: false,
        batch: false
      },
      Buffer.from('long')
    )
    t.equal(sent.code, 0, sent.remark ?? '')
    t.equal((await client.read('Fresh', 1))[0]?.body.toString(), 'long')
  })

  t.test('a batch is stored whole, with the properties of its header behind its own', async t => {
    const body = encodeBatch(
      ['one', 'two', 'three'].map((text, i) => ({
        flag: i,
        body: Buffer.from(text),
        properties: encodeProperties([
          ['UNIQ_KEY', `K${i}`],
          ['WAIT', 'true']
        ])
      }))
    )
    await client.send('Batched', 'makes the topic')
    const sent = await client.ask(
      RequestCode.SEND_BATCH_MESSAGE,
      client.sendFields('Batched', {
        queueId: 3,
        batch: true,
        props: { TRACE: 'x', UNIQ_KEY: 'BATCH' }
      }),
      body
    )
    t.equal(sent.code, 0, sent.remark ?? '')
    t.equal(sent.extFields?.['msgId']?.split(',').length, 3)
    const messages = await client.read('Batched', 3)
    t.strictSame(
      messages.map(m => [m.queueOffset, m.flag, m.body.toString()]),
      [
        [0, 0, 'one'],
        [1, 1, 'two'],
        [2, 2, 'three']
      ]
    )
    t.strictSame(Object.fromEntries(messages[1]!.properties), {
      UNIQ_KEY: 'K1',
      TRACE: 'x',
      ...ofBroker
    })
    const broken = await client.ask(
      RequestCode.SEND_BATCH_MESSAGE,
      client.sendFields('Batched', { queueId: 3, batch: true }),
      body.subarray(0, body.length - 1)
    )
    t.equal(broken.code, ResponseCode.MESSAGE_ILLEGAL)
    t.equal((await client.read('Batched', 3)).length, 3, 'nothing of it is stored')
  })

  t.test('the handle of a received message is not stored with one that is sent on', async t => {
    const props = { A: '1', POP_CK: '0 1 2 0 0 b 0 0', POP_CKS: 'kept', PGROUP: 'PG' }
    await client.send('SentOn', 'x', { props })
    const [message] = await client.read('SentOn', 0)
    const { POP_CK, ...kept } = props
    t.strictSame(Object.fromEntries(message!.properties), { ...kept, ...ofBroker })
  })

  t.test('a body that its client compressed is stored as it came, and said to be so', async t => {
    // Bits of zlib, LZ4 and zstd.
    for (const [i, sysFlag] of [0x301, 0x101, 0x201].entries()) {
      const body = Buffer.from(`packed ${i}`)
      await client.send('Packed', body, { sysFlag })
      const [message] = await client.read('Packed', 0, i)
      t.equal(message?.sysFlag, sysFlag)
      t.strictSame(message?.body, body)
    }
  })

  t.test('a one-way send is stored and not answered', async t => {
    await client.send('OneWay', 'first')
    const fields = client.sendFields('OneWay')
    const command = client.command(RequestCode.SEND_MESSAGE_V2, fields, Buffer.from('second'))
    await client.remoting.oneway(broker.address, command)
    await until(() => broker.store.maxOffset('OneWay', 0) === 2)
    t.equal((await client.read('OneWay', 0))[1]?.body.toString(), 'second')
  })

  t.test('refusals have the codes and remarks of the original', async t => {
    await client.send('Known', 'x')
    const code = async (
      topic: string,
      body: string | Buffer,
      given: Parameters<TestClient['send']>[2] = {}
    ): Promise<[number, string]> => {
      const answer = await client.send(topic, body, given)
      t.equal(answer.extFields?.['MSG_REGION'], 'DefaultRegion', 'also with errors')
      return [answer.code, answer.remark ?? '']
    }
    t.match(await code('Known', 'x', { queueId: 99 }), [1, /queueId\[99\] is illegal/])
    t.match(await code('bad topic', 'x'), [1, /illegal characters/])
    t.match(await code('x'.repeat(128), 'x'), [1, /longer than topic max length/])
    t.match(await code('SELF_TEST_TOPIC', 'x'), [16, /topic\[SELF_TEST_TOPIC\] is forbidden/])
    t.match(await code('SCHEDULE_TOPIC_XXXX', 'x'), [16, /forbidden/])
    t.match(await code('Unknown', 'x', { defaultTopic: 'NoTemplate' }), [17, /not exist/])
    t.match(await code('Known', Buffer.alloc(4_194_305)), [13, /4194304B/])
    t.match(await code('Known', Buffer.alloc(0)), [13, /illegal/])
    t.match(await code('Known', 'x', { props: { K: 'v'.repeat(32_767) } }), [13, /32KB/])
    broker.config.update([['rejectTransactionMessage', 'true']])
    t.match(await code('Known', 'x', { props: { TRAN_MSG: 'true' } }), [
      16,
      /^the broker\[127\.0\.0\.1\] sending transaction message is forbidden$/
    ])
    broker.config.update([['rejectTransactionMessage', 'false']])
    t.match(await code('%RETRY%no group!', 'x'), [1, /illegal characters/])
    const newer = new TestClient(t, broker.address)
    newer.version = 479
    t.equal((await newer.send('Known', 'x', { queueId: 99 })).code, ResponseCode.INVALID_PARAMETER)
    t.equal(broker.store.maxOffset('Known', 0), 1, 'none of them is stored')
  })

  t.test('a request that nobody handles is answered with 3', async t => {
    for (const code of [RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, 31_999]) {
      const answer = await client.ask(code, {})
      t.equal(answer.code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
      t.equal(answer.remark, ` request type ${code} not supported`)
    }
  })

  t.test('changed limits and permissions hold for the next send', async t => {
    broker.config.update([['maxMessageSize', '10']])
    t.equal((await client.send('Known', 'x'.repeat(11))).code, ResponseCode.MESSAGE_ILLEGAL)
    broker.config.update([
      ['maxMessageSize', '4194304'],
      ['regionId', 'R2'],
      ['autoCreateTopicEnable', 'false']
    ])
    t.equal((await client.send('Known', 'x')).extFields?.['MSG_REGION'], 'R2')
    t.equal((await client.send('Unknown', 'x')).code, ResponseCode.TOPIC_NOT_EXIST)
    broker.config.update([['autoCreateTopicEnable', 'true']])
  })
})

t.test('pulls', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  for (const [i, tags] of ['a', 'b', 'a', 'c'].entries())
    await client.send('P', `m${i}`, { queueId: 0, tags })

  t.test('statuses and next offsets are those of the original', async t => {
    const at = async (
      queueId: number,
      offset: number,
      given: Parameters<TestClient['pull']>[3] = {}
    ): Promise<unknown[]> => {
      const { code, remark, extFields } = await client.pull('P', queueId, offset, given)
      const { nextBeginOffset, minOffset, maxOffset } = extFields ?? {}
      return [code, remark, Number(nextBeginOffset), Number(minOffset), Number(maxOffset)]
    }
    t.strictSame(await at(0, 0), [0, 'FOUND', 4, 0, 4])
    t.strictSame(await at(0, 1, { max: 2 }), [0, 'FOUND', 3, 0, 4])
    t.strictSame(await at(0, 4), [19, 'OFFSET_OVERFLOW_ONE', 4, 0, 4])
    t.strictSame(await at(0, 9), [21, 'OFFSET_OVERFLOW_BADLY', 4, 0, 4])
    t.strictSame(await at(1, 0), [19, 'NO_MESSAGE_IN_QUEUE', 0, 0, 0])
    t.strictSame(await at(1, 5), [21, 'NO_MESSAGE_IN_QUEUE', 0, 0, 0])
    t.strictSame(await at(0, 0, { subscription: 'zzz' }), [20, 'NO_MATCHED_MESSAGE', 4, 0, 4])
    t.equal(broker.store.maxOffset('OFFSET_MOVED_EVENT', 0), 0, 'told to the client only')
  })

  t.test('tags are filtered by their hash', async t => {
    const bodies = async (subscription: string): Promise<string[]> => {
      const { body } = await client.pull('P', 0, 0, { subscription })
      return decodeStoredMessages(body!).map(message => message.body.toString())
    }
    t.strictSame(await bodies('a'), ['m0', 'm2'])
    t.strictSame(await bodies(' b || c '), ['m1', 'm3'])
  })

  t.test('refusals have the codes of the original', async t => {
    const code = async (given: Parameters<TestClient['pull']>[3], topic = 'P', queueId = 0) =>
      (await client.pull(topic, queueId, 0, given)).code
    t.equal(await code({}, 'NoSuchTopic'), ResponseCode.TOPIC_NOT_EXIST)
    t.equal(await code({}, 'P', 4), ResponseCode.SYSTEM_ERROR)
    t.equal(await code({ subscription: '||' }), ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(
      await code({ subscription: 'a > 1', expressionType: 'SQL92' }),
      ResponseCode.SYSTEM_ERROR
    )
    t.equal(
      await code({ subscription: null, group: 'Nobody' }),
      ResponseCode.SUBSCRIPTION_NOT_EXIST
    )
    t.equal(await code({ group: 'bad group' }), ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST)
    broker.config.update([['autoCreateSubscriptionGroup', 'false']])
    t.equal(await code({ group: 'Unmade' }), ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST)
    broker.config.update([
      ['autoCreateSubscriptionGroup', 'true'],
      ['brokerPermission', '2']
    ])
    t.equal(await code({}), ResponseCode.NO_PERMISSION)
    broker.config.update([['brokerPermission', '6']])
  })

  t.test("without an expression the group's subscription decides", async t => {
    const member = new TestClient(t, broker.address, 'member')
    const pull = (subVersion: number) =>
      member.pull('P', 0, 0, { group: 'GS', subscription: null, subVersion })
    t.equal((await pull(1)).code, ResponseCode.SUBSCRIPTION_NOT_EXIST)
    await member.heartbeat('GS', { Other: {} })
    t.equal((await pull(1)).code, ResponseCode.SUBSCRIPTION_NOT_EXIST)
    await member.heartbeat('GS', { P: { expression: 'b', version: 5 } })
    const found = await pull(5)
    t.strictSame(
      decodeStoredMessages(found.body!).map(m => m.body.toString()),
      ['m1']
    )
    t.equal((await pull(6)).code, ResponseCode.SUBSCRIPTION_NOT_LATEST)
    await member.heartbeat('GS', { P: { expression: 'c', version: 6 } })
    t.strictSame(
      decodeStoredMessages((await pull(6)).body!).map(m => m.body.toString()),
      ['m3']
    )
    // Its heartbeat was lost, and the pull says what it would have said.
    const newer = await member.ask(RequestCode.PULL_MESSAGE, {
      consumerGroup: 'GS',
      topic: 'P',
      queueId: 0,
      queueOffset: 0,
      maxMsgNums: 32,
      sysFlag: 0,
      commitOffset: 0,
      suspendTimeoutMillis: 0,
      subscription: 'b',
      subVersion: 7,
      expressionType: 'TAG'
    })
    t.strictSame(
      decodeStoredMessages(newer.body!).map(m => m.body.toString()),
      ['m1']
    )
  })

  t.test('a pull at the end is held until a message of its tags comes', async t => {
    const held = client.pull('P', 2, 0, { sysFlag: 2, suspendMs: 20_000, subscription: 'want' })
    await until(() => broker.holds.size === 1)
    const other = new TestClient(t, broker.address)
    await other.send('P', 'not this', { queueId: 2, tags: 'other' })
    t.equal(broker.holds.size, 1, 'still held')
    await other.send('P', 'this', { queueId: 2, tags: 'want' })
    const answer = await held
    t.equal(answer.code, 0)
    t.strictSame(
      decodeStoredMessages(answer.body!).map(m => m.body.toString()),
      ['this']
    )
    t.equal(answer.extFields?.['nextBeginOffset'], '2')
    t.equal(broker.holds.size, 0)
  })

  t.test('a hold ends with its time', async t => {
    const answer = await client.pull('P', 3, 0, { sysFlag: 2, suspendMs: 50 })
    t.equal(answer.code, ResponseCode.PULL_NOT_FOUND)
    t.equal(broker.holds.size, 0)
  })

  t.test('a hold ends with its connection', async t => {
    const leaver = new TestClient(t, broker.address)
    const held = leaver.pull('P', 3, 0, { sysFlag: 2, suspendMs: 600_000 })
    await until(() => broker.holds.size === 1)
    await Promise.all([t.rejects(held), leaver.remoting.close()])
    await until(() => broker.holds.size === 0)
  })

  t.test('a hold ends with its topic, and one of the same name is read from its start', async t => {
    for (let i = 0; i < 3; i++) await client.send('PD', `old ${i}`)
    const held = client.pull('PD', 0, 3, { sysFlag: 2, suspendMs: 600_000 })
    await until(() => broker.holds.size === 1)
    await client.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'PD' })
    t.equal((await held).code, ResponseCode.TOPIC_NOT_EXIST)
    await client.send('PD', 'new', { queueId: 1 })
    const again = await client.pull('PD', 0, 3, { sysFlag: 2, suspendMs: 600_000 })
    t.equal(again.code, ResponseCode.PULL_OFFSET_MOVED)
    t.equal(again.extFields?.['nextBeginOffset'], '0')
  })

  t.test('the table of holds is bounded: beyond it a pull is answered at once', async t => {
    broker.config.update([['pullThreadPoolQueueCapacity', '1']])
    const one = client.pull('P', 3, 0, { sysFlag: 2, suspendMs: 600 })
    await until(() => broker.holds.size === 1)
    const two = await client.pull('P', 3, 0, { sysFlag: 2, suspendMs: 600_000 })
    t.equal(two.code, ResponseCode.PULL_NOT_FOUND)
    t.equal((await one).code, ResponseCode.PULL_NOT_FOUND)
  })

  t.test('lite pull has a code of its own and can be switched off', async t => {
    const code = RequestCode.LITE_PULL_MESSAGE
    t.equal((await client.pull('P', 0, 0, { code })).code, 0)
    broker.config.update([['litePullMessageEnable', 'false']])
    t.equal((await client.pull('P', 0, 0, { code })).code, ResponseCode.NO_PERMISSION)
  })
})

t.test('what its group allows a pull', async t => {
  // Of 2 000 bytes 40 per cent are recent.
  const machine = { ...platform, host: { ...platform.host, memoryBytes: () => 2_000 } }
  const broker = await startBroker(t, { maxFilterMessageSize: '20' }, silentLogger, machine)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  const group = async (more: Record<string, unknown>): Promise<void> => {
    const body = Buffer.from(JSON.stringify({ groupName: 'G', ...more }))
    const { code } = await client.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, body)
    t.equal(code, 0)
  }
  for (let i = 0; i < 12; i++) await client.send('T', Buffer.alloc(100, 'x'))

  t.test('consumeEnable', async t => {
    await group({ consumeEnable: false })
    t.match(await client.pull('T', 0, 0), {
      code: ResponseCode.NO_PERMISSION,
      remark: 'subscription group no permission, G'
    })
    await group({ consumeEnable: true })
    t.equal((await client.pull('T', 0, 0)).code, 0)
  })
  t.test('consumeBroadcastEnable', async t => {
    await group({ consumeBroadcastEnable: false })
    await client.heartbeat('G', { T: {} }, { messageModel: 'BROADCASTING' })
    t.match(await client.pull('T', 0, 0, { subscription: null }), {
      code: ResponseCode.NO_PERMISSION,
      remark: 'the consumer group[G] can not consume by broadcast way'
    })
    await group({ consumeBroadcastEnable: true })
    t.equal((await client.pull('T', 0, 0, { subscription: null })).code, 0)
  })
  t.test('rejectPullConsumerEnable', async t => {
    await client.heartbeat('Pushed', { T: {} })
    const before = new TestClient(t, broker.address, 'before')
    await before.heartbeat('Before', { T: {} }, { consumeType: 'CONSUME_ACTIVELY' })
    broker.config.update([['rejectPullConsumerEnable', 'true']])
    const code = async (group: string, by = client): Promise<number> =>
      (await by.pull('T', 0, 0, { group })).code
    t.match(await client.pull('T', 0, 0, { group: 'Pulling' }), {
      code: ResponseCode.SUBSCRIPTION_NOT_EXIST,
      remark: /the pull consumer is rejected by server/
    })
    await client.heartbeat('Pulling', { T: {} }, { consumeType: 'CONSUME_ACTIVELY' })
    t.equal(broker.consumers.find('Pulling'), undefined)
    t.equal(await code('Pushed'), 0)
    t.equal(await code('Before', before), 0, 'until it is gone')
    t.equal(await code('Before'), ResponseCode.SUBSCRIPTION_NOT_EXIST)
    t.equal(await code('TOOLS_CONSUMER'), 0)
    broker.config.update([['rejectPullConsumerEnable', 'false']])
    t.equal(await code('Pulling'), 0)
  })
  t.test('where to pull next: with slaveReadEnable, by how far behind it is', async t => {
    await group({ brokerId: 0, whichBrokerWhenConsumeSlowly: 3 })
    const suggested = async (offset: number, subscription = '*'): Promise<string | undefined> =>
      (await client.pull('T', 0, offset, { max: 1, subscription })).extFields?.[
        'suggestWhichBrokerId'
      ]
    t.equal(await suggested(0), '0')
    broker.config.update([['slaveReadEnable', 'true']])
    t.equal(await suggested(0), '3')
    await client.send('T', 'the newest')
    t.equal(await suggested(12), '0')
    t.equal(await suggested(0, 'none'), '3', 'also when nothing matched')
    t.equal(await suggested(12, 'none'), '0')
  })
})

t.test('delays and retries', async t => {
  const broker = await startBroker(t, { messageDelayLevel: '1s 2s 1s 1s' })
  await serving(broker)
  const client = new TestClient(t, broker.address)

  t.test('a delayed message comes at its time, with its marks, and not before', async t => {
    const startMs = platform.clock.monotonicMs()
    await client.send('D', 'makes the topic', { queueId: 1 })
    const sent = await client.send('D', 'later', { queueId: 1, props: { DELAY: '1', KEYS: 'k' } })
    t.equal(sent.extFields?.['queueId'], '1')
    const held = await client.pull('D', 1, 1, { sysFlag: 2, suspendMs: 10_000 })
    const tookMs = platform.clock.monotonicMs() - startMs
    t.ok(tookMs > 950 && tookMs < 1_600, `after ${tookMs} ms`)
    const [message] = decodeStoredMessages(held.body!)
    t.equal(message?.body.toString(), 'later')
    t.strictSame(Object.fromEntries(message!.properties), {
      DELAY: '1',
      KEYS: 'k',
      ...ofBroker,
      REAL_TOPIC: 'D',
      REAL_QID: '1'
    })
    t.equal(broker.store.tables.delayProgress(1), 1)
  })

  t.test('what cannot be read at its time is repaired first, not dropped', async t => {
    const offset = broker.store.maxOffset('D', 1)
    const messageAt = broker.store.messageAt
    let reads = 0
    broker.store.messageAt = async position => {
      reads += 1
      return reads > 2 ? await messageAt.call(broker.store, position) : null
    }
    await client.send('D', 'damaged for a while', { queueId: 1, props: { DELAY: '1' } })
    const held = await client.pull('D', 1, offset, { sysFlag: 2, suspendMs: 10_000 })
    broker.store.messageAt = messageAt
    t.equal(decodeStoredMessages(held.body!)[0]?.body.toString(), 'damaged for a while')
    t.ok(reads > 2)
  })

  t.test('a level above the highest is the highest', async t => {
    await client.send('D', 'x', { queueId: 2, props: { DELAY: '99' } })
    t.equal(broker.store.maxOffset('SCHEDULE_TOPIC_XXXX', 3), 1)
  })

  t.test('a message that was sent back comes again in %RETRY%, and at last in %DLQ%', async t => {
    const sent = await client.send('R', 'failing', { tags: 'x' })
    const offset = parseOffsetMessageId(sent.extFields!['msgId']!)!.physicalOffset
    const back = (at: number, more: Record<string, string | number> = {}) =>
      client.ask(RequestCode.CONSUMER_SEND_MSG_BACK, {
        offset: at,
        group: 'RG',
        delayLevel: 1,
        originTopic: 'R',
        ...more
      })
    t.equal((await back(offset)).code, 0)
    t.equal(broker.topics.find('%RETRY%RG')?.writeQueueNums, 1)
    const again = await client.pull('%RETRY%RG', 0, 0, { sysFlag: 2, suspendMs: 10_000 })
    const [message] = decodeStoredMessages(again.body!)
    t.equal(message?.reconsumeTimes, 1)
    t.equal(message?.properties.get(MessageProperty.RETRY_TOPIC), 'R')
    t.equal(message?.properties.get(MessageProperty.ORIGIN_MESSAGE_ID), sent.extFields!['msgId'])
    t.equal(message?.properties.get('TAGS'), 'x')
    t.equal((await back(message!.physicalOffset, { maxReconsumeTimes: 1 })).code, 0)
    const [dead] = await client.read('%DLQ%RG', 0)
    t.equal(dead?.body.toString(), 'failing')
    t.equal(dead?.reconsumeTimes, 2)
    t.equal(dead?.properties.get(MessageProperty.ORIGIN_MESSAGE_ID), sent.extFields!['msgId'])
    const missing = await back(offset + 1)
    t.equal(missing.code, ResponseCode.SYSTEM_ERROR)
    t.equal(missing.remark, `look message by offset failed, ${offset + 1}`)
    t.equal((await back(offset, { delayLevel: -1 })).code, 0)
    t.equal(broker.store.maxOffset('%DLQ%RG', 0), 2, 'at once with level -1')
  })

  t.test('what is sent back is counted as in the original: as such, not as a put', async t => {
    const sent = await client.send('BT', 'failing')
    const offset = parseOffsetMessageId(sent.extFields!['msgId']!)!.physicalOffset
    const puts = broker.stats.find('BROKER_PUT_NUMS', broker.stats.clusterName)!
    const waiting = broker.stats.find('TOPIC_PUT_NUMS', 'SCHEDULE_TOPIC_XXXX')?.value ?? 0
    const before = puts.value
    const back = async (delayLevel: number, owner: string): Promise<number> => {
      const fields = { offset, group: 'BG', delayLevel, originTopic: 'BT', Owner: owner }
      return (await client.ask(RequestCode.CONSUMER_SEND_MSG_BACK, fields)).code
    }
    const count = (name: string, key: string): number | undefined =>
      broker.stats.find(name, key)?.value
    t.equal(await back(18, 'me'), 0)
    t.equal(count('TOPIC_PUT_NUMS', 'SCHEDULE_TOPIC_XXXX'), waiting + 1, 'waits there')
    t.equal(count('SNDBCK2DLQ_TIMES', 'me@BT@BG@SEND_BACK_TO_DLQ'), undefined)
    t.equal(await back(-1, 'me'), 0)
    t.equal(await back(-1, 'o'.repeat(256)), 0)
    t.equal(count('SNDBCK_PUT_NUMS', 'BT@BG'), 3)
    t.equal(count('SNDBCK2DLQ_TIMES', 'me@BT@BG@SEND_BACK_TO_DLQ'), 1)
    t.equal(count('SNDBCK2DLQ_TIMES', 'null@BT@BG@SEND_BACK_TO_DLQ'), 1, 'no names without end')
    t.equal(count('TOPIC_PUT_NUMS', '%DLQ%BG'), undefined)
    t.equal(puts.value, before)
    const own = { reconsumeTimes: 17, maxReconsumeTimes: 16 }
    t.equal((await client.send('%RETRY%BG', 'by itself', own)).code, 0)
    t.equal(count('TOPIC_PUT_NUMS', '%DLQ%BG'), 1, 'a send of its own is one')
    t.equal(puts.value, before + 1)
    t.equal(count('SNDBCK2DLQ_TIMES', 'me@BT@BG@SEND_BACK_TO_DLQ'), 1)
    broker.stats.forgetGroup('BG')
    t.equal(count('SNDBCK2DLQ_TIMES', 'me@BT@BG@SEND_BACK_TO_DLQ'), undefined)
  })

  t.test('a consumer that sends a message back itself is dead-lettered at its maximum', async t => {
    const given = { reconsumeTimes: 3, maxReconsumeTimes: 3, props: { DELAY: '2' } }
    t.equal((await client.send('%RETRY%SG', 'x', given)).code, 0)
    t.equal((await client.read('%DLQ%SG', 0))[0]?.body.toString(), 'x')
    t.equal((await client.send('%RETRY%SG', 'y', { ...given, reconsumeTimes: 2 })).code, 0)
    t.equal(broker.store.maxOffset('%DLQ%SG', 0), 1)
    client.version = 479
    t.equal((await client.send('%RETRY%SG', 'of 5.x', given)).code, 0)
    t.equal(broker.store.maxOffset('%DLQ%SG', 0), 1, 'clients of 5.x count one more')
    const mqSet = [{ topic: 'SGT', brokerName: 'b', queueId: 0 }]
    const body = { consumerGroup: 'SG', clientId: 'c', mqSet, onlyThisBroker: false }
    await client.send('SGT', 'makes the topic')
    await client.ask(RequestCode.LOCK_BATCH_MQ, null, LockBatchRequestBody.encode(body))
    t.equal((await client.send('%RETRY%SG', 'in order', given)).code, 0)
    t.equal(broker.store.maxOffset('%DLQ%SG', 0), 2, 'not those that consume in order')
    client.version = 409
  })

  t.test('the group says how often and where to it is tried again', async t => {
    const group = (more: Record<string, unknown>) =>
      client.ask(
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        {},
        Buffer.from(JSON.stringify({ groupName: 'GG', ...more }))
      )
    const sent = await client.send('GT', 'failing')
    const offset = parseOffsetMessageId(sent.extFields!['msgId']!)!.physicalOffset
    const back = async (): Promise<number> => {
      const fields = { offset, group: 'GG', delayLevel: 0, originTopic: 'GT' }
      return (await client.ask(RequestCode.CONSUMER_SEND_MSG_BACK, fields)).code
    }
    await group({ retryQueueNums: 0 })
    t.equal(await back(), 0)
    t.equal(broker.topics.find('%RETRY%GG'), undefined, 'no retries: it is over')
    await group({ retryQueueNums: 3, retryMaxTimes: 0 })
    await client.heartbeat('GG', { GT: {} })
    t.match(broker.topics.find('%RETRY%GG'), { readQueueNums: 3, writeQueueNums: 3, perm: 6 })
    t.equal(await back(), 0)
    const [dead] = await client.read('%DLQ%GG', 0)
    t.match(dead, { reconsumeTimes: 1, queueId: 0 })
    t.match(Object.fromEntries(dead!.properties), { DELAY: '0', RETRY_TOPIC: 'GT' })
    t.match(broker.topics.find('%DLQ%GG'), { readQueueNums: 1, writeQueueNums: 1, perm: 6 })
  })

  t.test('a group with more retry queues than its retry topic loses nothing', async t => {
    const sent = await client.send('Q', 'failing')
    const offset = parseOffsetMessageId(sent.extFields!['msgId']!)!.physicalOffset
    const fields = { offset, group: 'QG', delayLevel: 1, originTopic: 'Q' }
    await client.ask(RequestCode.CONSUMER_SEND_MSG_BACK, fields)
    const group = Buffer.from(JSON.stringify({ groupName: 'QG', retryQueueNums: 64 }))
    await client.ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, group)
    for (let i = 0; i < 9; i++)
      t.equal((await client.ask(RequestCode.CONSUMER_SEND_MSG_BACK, fields)).code, 0)
    t.equal(broker.topics.find('%RETRY%QG')?.readQueueNums, 1)
    await until(() => broker.store.maxOffset('%RETRY%QG', 0) === 10)
  })
})

t.test('delayed messages that are larger together than an entry come one by one', async t => {
  const broker = await startBroker(t, {
    messageDelayLevel: '1s',
    mappedFileSizeCommitLog: '524288',
    maxMessageSize: '300000'
  })
  await serving(broker)
  const client = new TestClient(t, broker.address)
  await client.send('D', 'makes the topic')
  for (let i = 0; i < 3; i++) {
    const sent = await client.send('D', `${i}`.repeat(200_000), { props: { DELAY: '1' } })
    t.equal(sent.code, 0, sent.remark ?? '')
  }
  await until(() => broker.store.maxOffset('D', 0) === 4)
  t.equal(broker.store.tables.delayProgress(1), 3)
  const bodies = await client.read('D', 0)
  t.equal(bodies[1]?.body.toString().slice(0, 3), '000')
})

t.test('consumer offsets in trouble', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  await client.send('O', 'makes the topic')
  const queue = { consumerGroup: 'G', topic: 'O', queueId: 0 }

  t.test(
    'a question that cannot be asked now is not answered: any error means "no offset"',
    async t => {
      const { store } = broker
      const { readIndex } = store
      store.readIndex = () => Promise.reject(new Error('10000 reads are waiting already'))
      await t.rejects(client.ask(RequestCode.QUERY_CONSUMER_OFFSET, queue, null, 300), {
        code: 'LMQ_REQUEST_TIMEOUT'
      })
      store.readIndex = readIndex
      t.equal((await client.ask(RequestCode.QUERY_CONSUMER_OFFSET, queue)).code, 0)
    }
  )

  t.test('what waited for a lost leadership is that old at the next leader', async t => {
    const { store } = broker
    const { commitOffsetAndWait } = store
    const agesMs: number[] = []
    store.commitOffsetAndWait = async (offset, options) => {
      agesMs.push(options?.ageMs ?? 0)
      if (agesMs.length > 1) return await commitOffsetAndWait.call(store, offset, options)
      await new Promise<void>(resolve => {
        platform.clock.after(200, resolve)
      })
      throw new NotLeaderError(null)
    }
    const update = { ...queue, commitOffset: 1 }
    t.equal((await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, update)).code, 0)
    store.commitOffsetAndWait = commitOffsetAndWait
    t.equal(agesMs.length, 2)
    t.equal(agesMs[0], 0)
    t.ok(agesMs[1]! >= 190, `${agesMs[1]} ms`)
  })
})

t.test('a broker that starts again has everything it had', async t => {
  const storePathRootDir = newDirectory()
  const first = await startBroker(t, { storePathRootDir, messageDelayLevel: '1s 2s' })
  await serving(first)
  const client = new TestClient(t, first.address)
  await client.send('Kept', 'one')
  await client.send('Kept', 'two', { props: { DELAY: '1' } })
  await client.send('Fewer', 'of a level that is no more', { props: { DELAY: '2' } })
  await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
    consumerGroup: 'G',
    topic: 'Kept',
    queueId: 0,
    commitOffset: 1
  })
  await halt(first)
  const second = await startBroker(t, { storePathRootDir, messageDelayLevel: '1s' })
  await serving(second)
  client.address = second.address
  const held = await client.pull('Kept', 0, 1, { sysFlag: 2, suspendMs: 10_000 })
  t.equal(
    decodeStoredMessages(held.body!)[0]?.body.toString(),
    'two',
    'delivered after the restart'
  )
  t.equal((await client.read('Kept', 0))[0]?.body.toString(), 'one')
  const offset = await client.ask(RequestCode.QUERY_CONSUMER_OFFSET, {
    consumerGroup: 'G',
    topic: 'Kept',
    queueId: 0
  })
  t.equal(offset.extFields?.['offset'], '1')
  const fewer = await client.pull('Fewer', 0, 0, { sysFlag: 2, suspendMs: 20_000 })
  t.equal(decodeStoredMessages(fewer.body!)[0]?.body.toString(), 'of a level that is no more')
})

t.test(
  'a name server that was restarted is told of the broker at once, not with the next period',
  async t => {
    const directory = newDirectory()
    const start = async (port: number): Promise<NameServer> => {
      const entries = { listenPort: String(port), bindAddress: '127.0.0.1' }
      const nameServer = new NameServer(
        NamesrvConfig.parse(
          new Map(Object.entries({ ...entries, kvConfigPath: `${directory}/kv` })),
          {
            userHome: directory,
            rocketmqHome: directory,
            configFile: `${directory}/namesrv.conf`
          }
        ),
        platform,
        silentLogger
      )
      await nameServer.start()
      t.teardown(() => nameServer.stop())
      return nameServer
    }
    const first = await start(0)
    const { port } = first
    const broker = await startBroker(t, { namesrvAddr: `127.0.0.1:${port}` })
    await serving(broker)
    const client = new TestClient(t, `127.0.0.1:${port}`)
    const isKnown = async (): Promise<boolean> => {
      const answer = await client
        .ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'TBW102' })
        .catch(() => null)
      return answer?.code === ResponseCode.SUCCESS
    }
    const untilKnown = async (): Promise<void> => {
      while (!(await isKnown())) await new Promise(resolve => setTimeout(resolve, 20))
    }
    await untilKnown()
    await first.stop()
    await start(port)
    const restartedMs = platform.clock.monotonicMs()
    await untilKnown()
    t.ok(platform.clock.monotonicMs() - restartedMs < 20_000, 'the period is 30 s')
  }
)

t.test('registration', async t => {
  const directory = newDirectory()
  const nameServer = new NameServer(
    NamesrvConfig.parse(
      new Map([
        ['listenPort', '0'],
        ['bindAddress', '127.0.0.1'],
        ['kvConfigPath', `${directory}/kv.json`]
      ]),
      { userHome: directory, rocketmqHome: directory, configFile: `${directory}/namesrv.conf` }
    ),
    platform,
    silentLogger
  )
  await nameServer.start()
  t.teardown(() => nameServer.stop())
  const address = `127.0.0.1:${nameServer.port}`
  const broker = await startBroker(t, { namesrvAddr: address })
  await serving(broker)
  const client = new TestClient(t, address)
  const route = async (topic: string): Promise<TopicRouteData | null> => {
    const answer = await client.ask(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
    return answer.code === 0 ? TopicRouteData.decode(answer.body) : null
  }
  const routed = async (topic: string): Promise<TopicRouteData> => {
    for (;;) {
      const found = await route(topic)
      if (found !== null) return found
    }
  }

  t.test('the topics that clients look for first have a route at once', async t => {
    const template = await routed('TBW102')
    t.match(template.queueDatas[0], { brokerName: 'b', perm: 7, writeQueueNums: 8 })
    t.strictSame([...template.brokerDatas[0]!.brokerAddrs.values()], [broker.address])
    t.match((await route('C'))?.queueDatas[0], { perm: 7, readQueueNums: 16 })
    t.match((await route('b'))?.queueDatas[0], { perm: 7, readQueueNums: 1 })
    t.match((await route('C_REPLY_TOPIC'))?.queueDatas[0], { perm: 6 })
  })

  t.test('a new topic has a route without waiting for the period', async t => {
    await new TestClient(t, broker.address).send('Brand', 'x')
    t.equal((await routed('Brand')).queueDatas[0]?.writeQueueNums, 4)
  })

  t.test('a broker that is made read-only is so in the routes', async t => {
    broker.config.update([['brokerPermission', '4']])
    for (;;) if ((await routed('Brand')).queueDatas[0]?.perm === 4) break
    t.equal((await route('Brand'))?.queueDatas[0]?.perm, 4)
  })

  t.test('a broker that stops leaves the routes', async t => {
    await halt(broker)
    t.equal(await route('Brand'), null)
  })
})
