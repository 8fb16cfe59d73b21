import t, { type Test } from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import { PopHolds } from '../../src/broker/pop/holds.ts'
import type { PopRequest } from '../../src/broker/pop/popRequest.ts'
import {
  MessageProperty,
  QueryAssignmentRequestBody,
  QueryAssignmentResponseBody,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SetMessageRequestModeRequestBody
} from '../../src/protocol/index.ts'
import { halt, newDirectory, platform, serving, startBroker, until } from './helpers.ts'
import { messagesOf, PopClient, type PopGiven } from './popClient.ts'

const { clock } = platform
const LONG = 60_000

async function start(t: Test, settings = {}): Promise<{ broker: Broker; client: PopClient }> {
  const broker = await startBroker(t, settings)
  await serving(broker)
  return { broker, client: new PopClient(t, broker.address) }
}

/** A topic with so many queues. */
async function topic(client: PopClient, name: string, queues = 1): Promise<void> {
  const answer = await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, {
    topic: name,
    defaultTopic: 'TBW102',
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false
  })
  if (answer.code !== 0) throw new Error(answer.remark ?? '')
}

async function sendAll(
  client: PopClient,
  name: string,
  bodies: readonly string[],
  queueId = 0
): Promise<void> {
  for (const body of bodies) {
    const answer = await client.send(name, body, { queueId })
    if (answer.code !== 0) throw new Error(answer.remark ?? '')
  }
}

function set(broker: Broker, values: Record<string, string>): void {
  broker.config.update(Object.entries(values))
}

/** How many pops and notifications of the group wait at the topic. */
async function polls(client: PopClient, name: string, group: string): Promise<string | undefined> {
  const info = { consumerGroup: group, topic: name, queueId: -1 }
  return (await client.ask(RequestCode.POLLING_INFO, info)).extFields?.['pollingNum']
}

async function untilPolled(
  client: PopClient,
  name: string,
  group: string,
  count: number
): Promise<void> {
  while ((await polls(client, name, group)) !== String(count))
    await new Promise<void>(resolve => clock.after(5, resolve))
}

const bodies = (batch: readonly { body: string }[]): string[] => batch.map(({ body }) => body)

t.test('pop, acknowledge, and what comes back', async t => {
  const { broker, client } = await start(t)

  t.test('a pop gives messages out once, with handles that acknowledge them', async t => {
    await topic(client, 'A', 2)
    await sendAll(client, 'A', ['a0', 'a1', 'a2'], 0)
    await sendAll(client, 'A', ['b0'], 1)
    const startedMs = clock.wallMs()
    const answer = await client.pop('A', { max: 32 })
    t.equal(answer.code, 0)
    t.equal(answer.remark, 'FOUND')
    t.match(answer.extFields, { invisibleTime: '60000', restNum: '0' })
    const { popTime, reviveQid, startOffsetInfo, msgOffsetInfo } = answer.extFields!
    t.ok(Number(popTime) >= startedMs && Number(popTime) <= clock.wallMs())
    t.ok(Number(reviveQid) >= 0 && Number(reviveQid) < 8)
    t.strictSame(new Set(startOffsetInfo!.split(';')), new Set(['0 0 0', '0 1 0']))
    t.strictSame(new Set(msgOffsetInfo!.split(';')), new Set(['0 0 0,1,2', '0 1 0']))
    t.equal('orderCountInfo' in answer.extFields!, false)
    t.equal(broker.store.tables.pops.count, 2)
    t.strictSame(await client.popped('A'), [], 'all are in flight')
    t.equal(broker.store.tables.consumerOffset('G', 'A', 0), 3)
    t.equal(broker.store.tables.consumerOffset('G', 'A', 1), 1)
  })

  t.test('a queue that cannot be read takes nothing away from the others', async t => {
    await topic(client, 'Part', 3)
    for (const queueId of [0, 1, 2]) await sendAll(client, 'Part', [`m${queueId}`], queueId)
    const store = broker.store as { pull: typeof broker.store.pull }
    const { pull } = store
    t.teardown(() => Object.assign(store, { pull }))
    store.pull = request =>
      request.topic === 'Part' && request.queueId === 1
        ? Promise.reject(new Error('units of the queue are damaged'))
        : pull(request)
    const given = await client.popped('Part')
    t.strictSame(
      bodies(given).sort((a, b) => (a < b ? -1 : 1)),
      ['m0', 'm2']
    )
    await t.rejects(client.popped('Part'), /damaged/, 'nothing else is there')
    store.pull = pull
    t.strictSame(bodies(await client.popped('Part')), ['m1'])
  })

  t.test('the number of messages is kept, and what is left is told', async t => {
    await topic(client, 'Rest')
    await sendAll(client, 'Rest', ['0', '1', '2', '3', '4'])
    const first = await client.pop('Rest', { max: 2, queueId: 0 })
    t.match(first.extFields, { msgOffsetInfo: '0 0 0,1', restNum: '3' })
    const second = await client.pop('Rest', { max: 2, queueId: 0 })
    t.match(second.extFields, { startOffsetInfo: '0 0 2', msgOffsetInfo: '0 0 2,3', restNum: '1' })
    const nothing = await client.pop('Rest', { max: 0 })
    t.equal(nothing.code, ResponseCode.POLLING_TIMEOUT)
    t.match(nothing.extFields, { restNum: '1', startOffsetInfo: '', msgOffsetInfo: '' })
  })

  t.test('of two pops at the same time neither misses what is there', async t => {
    await topic(client, 'Both')
    await sendAll(client, 'Both', ['0', '1'])
    const other = new PopClient(t, broker.address, 'client-2')
    const both = [client, other].map(each => each.popped('Both', { max: 1 }))
    t.strictSame((await Promise.all(both)).flatMap(bodies).sort(), ['0', '1'])
    const code = RequestCode.POP_ROLLBACK
    t.equal((await client.ask(code)).code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
  })

  t.test('what is acknowledged does not come back, what is not comes back once', async t => {
    await topic(client, 'Back')
    await sendAll(client, 'Back', ['0', '1', '2'])
    const batch = await client.popped('Back', { invisibleMs: 700 })
    t.strictSame(bodies(batch), ['0', '1', '2'])
    t.equal((await client.ack(batch[1]!)).code, 0)
    t.equal((await client.ack(batch[1]!)).code, 0, 'twice is as good as once')
    await until(() => broker.store.maxOffset('%RETRY%G_Back', 0) === 2)
    t.ok(clock.wallMs() >= Number(batch[0]!.handle.split(' ')[1]) + 700, 'not before its time')
    t.equal((await client.ack(batch[0]!)).code, 0, 'too late, and no error')
    const again = await client.popped('Back')
    t.strictSame(bodies(again), ['0', '2'])
    const { message, handle } = again[0]!
    t.equal(message.topic, 'Back', 'under its own topic')
    t.equal(message.reconsumeTimes, 1)
    t.equal(message.properties.get(MessageProperty.FIRST_POP_TIME), batch[0]!.handle.split(' ')[1])
    t.equal(
      message.properties.get(MessageProperty.UNIQ_KEY),
      batch[0]!.message.properties.get(MessageProperty.UNIQ_KEY)
    )
    t.match(handle, /^0 \d+ 60000 \d 1 b 0 0$/, 'its handle names the retry topic')
    t.equal((await client.ackAll('Back', again)).code, 0)
    t.equal(
      broker.store.tables.pops.inFlight({ group: 'G', topic: '%RETRY%G_Back', queueId: 0 }),
      0
    )
    t.strictSame(await client.popped('Back'), [])
  })

  t.test('another invisible time makes another handle, and the old one is void', async t => {
    await topic(client, 'Change')
    await sendAll(client, 'Change', ['0', '1'])
    const [first, second] = await client.popped('Change', { invisibleMs: LONG })
    const soon = await client.change(first!, 300)
    t.not(soon.handle, first!.handle)
    await client.ack(first!)
    await until(() => broker.store.maxOffset('%RETRY%G_Change', 0) === 1)
    const later = await client.change(second!, 120_000)
    t.equal((await client.ack(later)).code, 0)
    t.equal(broker.store.tables.pops.inFlight({ group: 'G', topic: 'Change', queueId: 0 }), 0)
    const [again] = await client.popped('Change')
    t.equal(again?.body, '0')
    t.equal(again?.message.reconsumeTimes, 1)
    const gone = await client.change(second!, 300)
    t.not(gone.handle, second!.handle, 'answered as if it were in flight')
    await client.ack(again!)
    t.equal(broker.store.maxOffset('%RETRY%G_Change', 0), 1, 'what is done with does not come back')
  })

  t.test(
    'a message that was delivered as often as its group allows goes to the dead letters',
    async t => {
      await topic(client, 'Dead')
      const config = { groupName: 'GD', consumeEnable: true, retryQueueNums: 1, retryMaxTimes: 1 }
      await client.ask(
        RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
        null,
        Buffer.from(JSON.stringify(config))
      )
      await client.send('Dead', 'x', { props: { KEYS: 'k', UNIQ_KEY: 'U1' } })
      const [first] = await client.popped('Dead', { group: 'GD', invisibleMs: 100 })
      t.equal(first?.message.reconsumeTimes, 0)
      await until(() => broker.store.maxOffset('%RETRY%GD_Dead', 0) === 1)
      const [second] = await client.popped('Dead', { group: 'GD', invisibleMs: 100 })
      t.equal(second?.message.reconsumeTimes, 1)
      await until(() => broker.store.maxOffset('%DLQ%GD', 0) === 1)
      const [dead] = await client.read('%DLQ%GD', 0)
      t.equal(dead?.body.toString(), 'x')
      t.equal(dead?.properties.get('UNIQ_KEY'), 'U1')
      t.equal(
        broker.store.tables.pops.inFlight({ group: 'GD', topic: '%RETRY%GD_Dead', queueId: 0 }),
        0
      )
      t.strictSame(await client.popped('Dead', { group: 'GD' }), [])
    }
  )

  t.test(
    'a group that starts at the end begins at a young queue’s first message, else at the last',
    async t => {
      await topic(client, 'Init')
      await sendAll(client, 'Init', ['0', '1', '2'])
      t.strictSame(bodies(await client.popped('Init', { group: 'G1', initMode: 1 })), [
        '0',
        '1',
        '2'
      ])
      set(broker, { initPopOffsetByCheckMsgInMem: 'false' })
      t.strictSame(bodies(await client.popped('Init', { group: 'G2', initMode: 1 })), ['2'])
      set(broker, { initPopOffsetByCheckMsgInMem: 'true' })
      await topic(client, 'Empty')
      t.strictSame(await client.popped('Empty', { initMode: 1 }), [])
      await until(() => broker.store.tables.consumerOffset('G', 'Empty', 0) === 0)
    }
  )

  t.test('tags and SQL92 filter, also what was not acknowledged', async t => {
    await topic(client, 'Tags')
    for (const [body, tags] of [
      ['0', 'x'],
      ['1', 'y'],
      ['2', 'x']
    ] as const)
      await client.send('Tags', body, { tags, props: { a: body } })
    const x = await client.popped('Tags', { expression: 'x', invisibleMs: 100 })
    t.strictSame(bodies(x), ['0', '2'])
    t.equal(broker.store.tables.consumerOffset('G', 'Tags', 0), 3, 'what does not match is passed')
    await until(() => broker.store.maxOffset('%RETRY%G_Tags', 0) === 2)
    t.strictSame(await client.popped('Tags', { expression: 'y' }), [])
    const sql = { group: 'GS', expression: 'a > 0', expressionType: 'SQL92' }
    t.strictSame(bodies(await client.popped('Tags', sql)), ['1', '2'])
    const wrong = await client.pop('Tags', { expression: 'a >', expressionType: 'SQL92' })
    t.equal(wrong.code, ResponseCode.SUBSCRIPTION_PARSE_FAILED)
  })

  t.test('long polls wait for a message, for one that matches, or for their time', async t => {
    await topic(client, 'Poll')
    const other = new PopClient(t, broker.address, 'client-2')
    const waiting = client.popped('Poll', { pollMs: 30_000 })
    await untilPolled(other, 'Poll', 'G', 1)
    await sendAll(other, 'Poll', ['now'])
    t.strictSame(bodies(await waiting), ['now'])
    t.equal(await polls(other, 'Poll', 'G'), '0')
    const picky = client.popped('Poll', { pollMs: 30_000, expression: 'x', queueId: 0 })
    await sendAll(other, 'Poll', ['no'])
    await other.send('Poll', 'yes', { tags: 'x' })
    t.strictSame(bodies(await picky), ['yes'])
    const startedMs = clock.monotonicMs()
    t.equal(
      (await client.pop('Poll', { pollMs: 300, queueId: 0 })).code,
      ResponseCode.POLLING_TIMEOUT
    )
    t.ok(clock.monotonicMs() - startedMs >= 200)
  })

  t.test('a poll is woken by what comes back, and by what another pop leaves', async t => {
    await topic(client, 'Wake')
    await sendAll(client, 'Wake', ['0'])
    const [first] = await client.popped('Wake', { invisibleMs: 300 })
    const [again] = await client.popped('Wake', { pollMs: 30_000, invisibleMs: 300 })
    t.equal(again?.body, '0')
    t.equal(first?.message.reconsumeTimes, 0)
    await client.ack(again!)
    const two = [client, new PopClient(t, broker.address, 'client-2')].map(each =>
      each.popped('Wake', { pollMs: 30_000, max: 1 })
    )
    await untilPolled(client, 'Wake', 'G', 2)
    await client.send('Wake', 'x')
    await client.send('Wake', 'y')
    t.strictSame((await Promise.all(two)).flatMap(bodies).sort(), ['x', 'y'])
  })

  t.test('notifications tell whether there is something, and take nothing', async t => {
    await topic(client, 'Note')
    const asked = { consumerGroup: 'G', topic: 'Note', queueId: -1, bornTime: 0 }
    const none = await client.ask(RequestCode.NOTIFICATION, { ...asked, pollTime: 0 })
    t.strictSame(none.extFields, { hasMsg: 'false', pollingFull: 'false' })
    const waiting = client.ask(
      RequestCode.NOTIFICATION,
      { ...asked, pollTime: 30_000 },
      null,
      40_000
    )
    await new PopClient(t, broker.address, 'client-2').send('Note', 'x')
    t.match((await waiting).extFields, { hasMsg: 'true' })
    t.strictSame(bodies(await client.popped('Note')), ['x'])
  })

  t.test('peeks show what a pop would find', async t => {
    await topic(client, 'Peek')
    const asked = { consumerGroup: 'G', topic: 'Peek', queueId: -1, maxMsgNums: 2 }
    t.equal((await client.ask(RequestCode.PEEK_MESSAGE, asked)).code, ResponseCode.PULL_NOT_FOUND)
    await sendAll(client, 'Peek', ['0', '1', '2'])
    for (let i = 0; i < 2; i++) {
      const answer = await client.ask(RequestCode.PEEK_MESSAGE, asked)
      t.match(answer, { code: 0, remark: 'FOUND', extFields: { restNum: '3' } })
      t.match(answer.body!.toString('latin1'), /0.*1/s)
    }
    t.equal((await client.popped('Peek')).length, 3)
  })

  t.test('what is not as it should be is refused with the original’s codes', async t => {
    await topic(client, 'Bad')
    await sendAll(client, 'Bad', ['0'])
    const code = async (given: Parameters<PopClient['pop']>[1], name = 'Bad'): Promise<number> =>
      (await client.pop(name, given)).code
    t.equal(await code({ max: 33 }), ResponseCode.INVALID_PARAMETER)
    t.equal(await code({ queueId: 1 }), ResponseCode.INVALID_PARAMETER)
    t.equal(await code({}, 'NoSuch'), ResponseCode.TOPIC_NOT_EXIST)
    t.equal(await code({ expression: '||' }), ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(await code({ bornMs: clock.wallMs() - 5_000 }), ResponseCode.POLLING_TIMEOUT)
    t.equal(await code({ invisibleMs: -1 }), ResponseCode.INVALID_PARAMETER)
    t.equal(await code({ invisibleMs: 2 ** 50 }), ResponseCode.INVALID_PARAMETER)
    t.equal(await code({ group: 'G'.repeat(250) }), ResponseCode.INVALID_PARAMETER)
    const [popped] = await client.popped('Bad')
    const ack = { ...popped!, offset: 5 }
    t.equal((await client.ack(ack)).code, ResponseCode.NO_MESSAGE)
    t.equal((await client.ack({ ...popped!, queueId: 7 })).code, ResponseCode.MESSAGE_ILLEGAL)
    t.equal((await client.ack({ ...popped!, realTopic: 'No' })).code, ResponseCode.TOPIC_NOT_EXIST)
    t.equal((await client.ack({ ...popped!, handle: 'x y' })).code, ResponseCode.SYSTEM_ERROR)
    const empty = Buffer.from('{"acks":[],"brokerName":"b"}')
    t.equal(
      (await client.ask(RequestCode.BATCH_ACK_MESSAGE, null, empty)).code,
      ResponseCode.NO_MESSAGE
    )
    t.equal((await client.ask(RequestCode.BATCH_ACK_MESSAGE)).code, ResponseCode.NO_MESSAGE)
    await t.rejects(client.change({ ...popped!, offset: 1 }, 5_000), /208/)
    t.equal((await client.ack(popped!)).code, 0)
  })

  t.test('a topic takes what is in flight of it along, and its retry topics', async t => {
    await topic(client, 'Gone')
    await sendAll(client, 'Gone', ['0', '1'])
    await client.popped('Gone', { invisibleMs: 200, max: 1 })
    await until(() => broker.store.maxOffset('%RETRY%G_Gone', 0) === 1)
    await client.popped('Gone', { invisibleMs: LONG })
    await client.ask(RequestCode.DELETE_TOPIC_IN_BROKER, { topic: 'Gone' })
    t.equal(broker.topics.find('%RETRY%G_Gone'), undefined)
    t.equal(broker.store.tables.pops.inFlight({ group: 'G', topic: 'Gone', queueId: 0 }), 0)
    t.equal((await client.pop('Gone')).code, ResponseCode.TOPIC_NOT_EXIST)
  })

  t.test('no more is in flight than the limits say', async t => {
    await topic(client, 'Limit')
    await sendAll(client, 'Limit', ['0', '1', '2'])
    set(broker, { enablePopMessageThreshold: 'true', popInflightMessageThreshold: '0' })
    const [first] = await client.popped('Limit', { max: 1 })
    t.strictSame(await client.popped('Limit', { max: 1 }), [])
    await client.ack(first!)
    const [second] = await client.popped('Limit', { max: 1 })
    t.equal(second?.body, '1')
    set(broker, {
      enablePopMessageThreshold: 'false',
      popCkMaxBufferSize: String(broker.store.tables.pops.count)
    })
    t.strictSame(await client.popped('Limit', { max: 1 }), [])
    await client.ack(second!)
    t.equal((await client.popped('Limit', { max: 1 }))[0]?.body, '2')
    set(broker, { popCkMaxBufferSize: '200000' })
  })
})

t.test('pops in order', async t => {
  const { broker, client } = await start(t)
  const order = { order: true, queueId: 0 }

  t.test('a queue is blocked until its batch is acknowledged, and goes on behind it', async t => {
    await topic(client, 'O')
    await sendAll(client, 'O', ['0', '1', '2'])
    const answer = await client.pop('O', { ...order, max: 2 })
    t.match(answer.extFields, {
      reviveQid: '999',
      orderCountInfo: '0 0 0',
      msgOffsetInfo: '0 0 0,1'
    })
    t.equal((await client.pop('O', order)).code, ResponseCode.POLLING_TIMEOUT)
    const waiting = client.popped('O', { ...order, pollMs: 30_000 })
    const [first, second] = messagesOf(answer, 'O', 'G')
    await client.ack(first!)
    t.equal(broker.store.tables.consumerOffset('G', 'O', 0), 1)
    await client.ack(second!)
    t.strictSame(bodies(await waiting), ['2'])
    t.equal(broker.store.tables.consumerOffset('G', 'O', 0), 2)
  })

  t.test('what is not acknowledged in time comes again from the same queue, counted', async t => {
    await topic(client, 'Again')
    await sendAll(client, 'Again', ['0', '1', '2'])
    const batch = await client.popped('Again', { ...order, invisibleMs: 300 })
    await client.ack(batch[1]!)
    const answer = await client.pop('Again', { ...order, invisibleMs: LONG, pollMs: 30_000 })
    const again = messagesOf(answer, 'Again', 'G')
    t.strictSame(bodies(again), ['0', '1', '2'], 'from the first that is not acknowledged on')
    t.strictSame(
      again.map(each => each.orderCount),
      [1, 1, 1]
    )
    t.equal(answer.extFields?.['orderCountInfo'], '0 qo0%0 1;0 qo0%1 1;0 qo0%2 1;0 0 1')
    t.equal((await client.ack(batch[0]!)).code, 0, 'of the former batch: no effect')
    t.equal(broker.store.tables.consumerOffset('G', 'Again', 0), 0)
    t.equal((await client.ackAll('Again', again)).code, 0)
    t.equal(broker.store.tables.consumerOffset('G', 'Again', 0), 3)
    t.equal(broker.store.maxOffset('%RETRY%G_Again', 0), 0)
  })

  t.test('the same attempt gets the same batch again, uncounted', async t => {
    await topic(client, 'Attempt')
    await sendAll(client, 'Attempt', ['0'])
    const given = { ...order, attemptId: 'one' }
    t.equal((await client.popped('Attempt', given)).length, 1)
    const [again] = await client.popped('Attempt', given)
    t.equal(again?.orderCount, 0)
    t.equal((await client.pop('Attempt', { ...order, attemptId: 'two' })).code, 210)
    await client.ack(again!)
  })

  t.test('another invisible time frees the queue at that time', async t => {
    await topic(client, 'Nack')
    await sendAll(client, 'Nack', ['0'])
    const [popped] = await client.popped('Nack', { ...order, invisibleMs: LONG })
    const startedMs = clock.monotonicMs()
    const waiting = client.popped('Nack', { ...order, pollMs: 30_000 })
    const changed = await client.change(popped!, 300)
    t.equal(changed.handle.split(' ')[1], popped!.handle.split(' ')[1], 'the pop time stays')
    const [again] = await waiting
    t.ok(clock.monotonicMs() - startedMs >= 250)
    t.equal(again?.orderCount, 1)
    await client.ack(again!)
  })

  t.test('an offset that is set ends the batch, and its acknowledgements move nothing', async t => {
    await topic(client, 'Reset')
    await sendAll(client, 'Reset', ['0', '1', '2'])
    await client.ack((await client.popped('Reset', { ...order, max: 1 }))[0]!)
    const [second] = await client.popped('Reset', { ...order, max: 1 })
    t.equal(second?.body, '1')
    const update = { consumerGroup: 'G', topic: 'Reset', queueId: 0, commitOffset: 0 }
    await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, update)
    await client.ack(second!)
    t.strictSame(bodies(await client.popped('Reset', order)), ['0', '1', '2'])
  })

  t.test('an offset that the batch does not have is refused', async t => {
    await topic(client, 'Illegal')
    await sendAll(client, 'Illegal', ['0', '1'])
    const [popped] = await client.popped('Illegal', { ...order, max: 1 })
    const answer = await client.ack({ ...popped!, offset: 1 })
    t.equal(answer.code, ResponseCode.MESSAGE_ILLEGAL)
    t.match(answer.remark, /^offset is illegal, key:/)
  })
})

t.test(
  'retry topics of the second version are written, and those of the first still read',
  async t => {
    const { broker, client } = await start(t, { popFromRetryProbability: '100' })
    await topic(client, 'T')
    await sendAll(client, 'T', ['old'])
    await client.popped('T', { invisibleMs: 100 })
    await until(() => broker.store.maxOffset('%RETRY%G_T', 0) === 1)
    set(broker, { enableRetryTopicV2: 'true' })
    await sendAll(client, 'T', ['new'])
    const [fresh] = await client
      .popped('T', { invisibleMs: 100, queueId: 0, max: 1 })
      .then(batch => (batch.length === 0 || batch[0]!.body === 'new' ? batch : []))
    if (fresh === undefined) await client.popped('T', { invisibleMs: 100, queueId: 0 })
    await until(() => broker.store.maxOffset('%RETRY%G+T', 0) > 0)
    const seen = new Map<string, string>()
    for (let i = 0; i < 200 && seen.size < 2; i++)
      for (const popped of await client.popped('T')) {
        seen.set(popped.body, popped.handle.split(' ')[4]!)
        await client.ack(popped)
      }
    t.equal(seen.get('new'), '2')
    t.ok(['1', '2'].includes(seen.get('old') ?? ''))
  }
)

t.test('keys of other ways to keep what is in flight change nothing', async t => {
  const { broker, client } = await start(t, {
    enablePopBufferMerge: 'true',
    popCkStayBufferTime: '60000',
    popCkStayBufferTimeOut: '60000',
    popCkOffsetMaxQueueSize: '1',
    popConsumerKVServiceEnable: 'true',
    popConsumerKVServiceInit: 'true',
    enableSkipLongAwaitingAck: 'true',
    reviveAckWaitMs: '1',
    reviveInterval: '60000',
    reviveMaxSlow: '60',
    reviveScanTime: '60000',
    popReviveMaxAttemptTimes: '1',
    skipWhenCKRePutReachMaxTimes: 'true',
    appendAckAsync: 'true',
    appendCkAsync: 'true'
  })
  t.strictSame(broker.config.unknown, [])
  await topic(client, 'K')
  await sendAll(client, 'K', ['0', '1'])
  const startedMs = clock.monotonicMs()
  const [first] = await client.popped('K', { invisibleMs: 500 })
  t.equal((await client.ack(first!)).code, 0)
  const queue = { group: 'G', topic: 'K', queueId: 0 }
  t.equal(broker.store.tables.pops.inFlight(queue), 1, 'committed when it was answered')
  const again = await client.popped('K', { pollMs: 30_000 })
  t.strictSame(bodies(again), ['1'])
  const tookMs = clock.monotonicMs() - startedMs
  t.ok(tookMs < 20_000, `${tookMs} ms, not an interval of a minute`)
})

t.test('a restart keeps what is in flight, and what is over comes back', async t => {
  const directory = newDirectory()
  const { broker, client } = await start(t, { storePathRootDir: directory })
  await topic(client, 'R')
  await sendAll(client, 'R', ['0', '1', '2', '3'])
  const batch = await client.popped('R', { max: 3, invisibleMs: LONG })
  await client.ack(batch[0]!)
  await client.change(batch[1]!, 10)
  const [ordered] = await client.popped('R', {
    group: 'GO',
    order: true,
    max: 1,
    invisibleMs: LONG
  })
  await halt(broker)
  const next = await startBroker(t, { storePathRootDir: directory })
  await serving(next)
  const again = new PopClient(t, next.address)
  await until(() => next.store.maxOffset('%RETRY%G_R', 0) === 1)
  t.strictSame(new Set(bodies(await again.popped('R'))), new Set(['1', '3']))
  t.equal((await again.ack(batch[2]!)).code, 0)
  t.equal(next.store.tables.pops.inFlight({ group: 'G', topic: 'R', queueId: 0 }), 1)
  t.equal((await again.pop('R', { group: 'GO', order: true })).code, 210, 'still blocked')
  await again.ack(ordered!, 'GO')
  t.strictSame(bodies(await again.popped('R', { group: 'GO', order: true, max: 1 })), ['1'])
})

t.test('a reset of offsets holds for pops, whether their clients are online or not', async t => {
  const { broker, client } = await start(t)
  await topic(client, 'Rs')
  await sendAll(client, 'Rs', ['0', '1', '2'])
  const mode = { consumerGroup: 'G', mode: 'POP' as const, popShareQueueNum: 0, topic: 'Rs' }
  await client.ask(
    RequestCode.SET_MESSAGE_REQUEST_MODE,
    null,
    SetMessageRequestModeRequestBody.encode(mode)
  )
  await client.heartbeat('G', { Rs: {} })
  for (const popped of await client.popped('Rs')) await client.ack(popped)
  const reset = { topic: 'Rs', group: 'G', timestamp: 0, isForce: true }
  t.equal((await client.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset)).code, 0)
  t.strictSame(bodies(await client.popped('Rs')), ['0', '1', '2'])
  set(broker, { useServerSideResetOffset: 'true' })
  t.equal((await client.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset)).code, 0)
  const again = await client.popped('Rs')
  t.strictSame(bodies(again), ['0', '1', '2'])
  await until(() => broker.resets.find('G', 'Rs', 0) === null)
  await client.ackAll('Rs', again)
  t.strictSame(await client.popped('Rs'), [])
})

t.test('an offset that is set while a pop looks is not missed', async t => {
  const store = { onArrival: () => {} }
  const holds = new PopHolds(clock, null as never, store as never, () => {})
  const pop = { topic: 'W', group: 'G', queueId: -1 } as PopRequest
  const set = async (topic: string, group: string): Promise<boolean> => {
    const { missed } = await holds.looking(pop, async () => holds.offsetSet(topic, group, 0))
    return missed
  }
  t.equal(await set('W', 'G'), true)
  t.equal(await set('%RETRY%G_W', 'G'), true)
  t.equal(await set('W', 'Other'), false)
  t.equal(await set('V', 'G'), false)
})

t.test('a poll that waits is woken by an offset that is set', async t => {
  const { client } = await start(t)
  await topic(client, 'W')
  await sendAll(client, 'W', ['0', '1', '2'])
  const waits = (given: PopGiven): Promise<RemotingCommand> =>
    client.pop('W', { pollMs: 30_000, bornMs: clock.wallMs(), invisibleMs: LONG, ...given })
  const bodiesOf = (answer: RemotingCommand, group = 'G'): string[] =>
    bodies(messagesOf(answer, 'W', group))
  const held = (group: string): Promise<void> => untilPolled(client, 'W', group, 1)

  await client.ackAll('W', await client.popped('W'))
  const asked = { consumerGroup: 'G', topic: 'W', queueId: -1, bornTime: 0, pollTime: 30_000 }
  const notified = client.ask(RequestCode.NOTIFICATION, asked, null, 40_000)
  const popped = waits({})
  const startedMs = clock.monotonicMs()
  await held('G')
  const reset = { topic: 'W', group: 'G', timestamp: 0, isForce: true }
  client.version = 479
  t.equal((await client.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, reset)).code, 0)
  t.strictSame(bodiesOf(await popped), ['0', '1', '2'])
  t.equal((await notified).extFields?.['hasMsg'], 'true')

  const [first] = await client.popped('W', { group: 'O', order: true, max: 1 })
  t.equal(first?.body, '0')
  const ordered = waits({ group: 'O', order: true })
  await held('O')
  const commit = { consumerGroup: 'O', topic: 'W', queueId: 0, commitOffset: 2 }
  t.equal((await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, commit)).code, 0)
  t.strictSame(bodiesOf(await ordered, 'O'), ['2'], 'the batch before it ended')
  t.ok(clock.monotonicMs() - startedMs < 25_000)
})

t.test('assignments', async t => {
  const { broker, client } = await start(t)
  await topic(client, 'As', 4)
  const ask = async (id: string, strategyName = 'AVG', name = 'As') => {
    const body = QueryAssignmentRequestBody.of({
      clientId: id,
      consumerGroup: 'G',
      messageModel: 'CLUSTERING',
      strategyName,
      topic: name
    })
    const answer = await client.ask(
      RequestCode.QUERY_ASSIGNMENT,
      null,
      QueryAssignmentRequestBody.encode(body)
    )
    return QueryAssignmentResponseBody.decode(answer.body).messageQueueAssignments?.map(
      ({ messageQueue, mode }) => `${mode} ${messageQueue.queueId}`
    )
  }
  const setMode = (mode: 'PULL' | 'POP', popShareQueueNum: number, name = 'As') =>
    client.ask(
      RequestCode.SET_MESSAGE_REQUEST_MODE,
      null,
      SetMessageRequestModeRequestBody.encode({
        consumerGroup: 'G',
        mode,
        popShareQueueNum,
        topic: name
      })
    )
  t.equal(await ask('c1'), undefined, 'nobody of the group is here')
  const clients = ['c1', 'c2', 'c3'].map(id => new PopClient(t, broker.address, id))
  for (const each of clients) await each.heartbeat('G', { As: {} })
  t.strictSame(await ask('c1'), ['PULL 0', 'PULL 1'])
  t.strictSame(await ask('c3'), ['PULL 3'])
  t.strictSame(await ask('c1', 'AVG_BY_CIRCLE'), ['PULL 0', 'PULL 3'])
  t.equal(await ask('c1', 'CONFIG'), undefined)
  t.equal(await ask('c1', 'AVG', 'None'), undefined)
  t.equal((await setMode('POP', 0)).code, 0)
  t.strictSame(await ask('c1'), ['POP -1'])
  t.equal((await setMode('POP', 1)).code, 0)
  t.strictSame(await ask('c1'), ['POP 0', 'POP 1', 'POP 2'])
  t.equal((await setMode('POP', 0, '%RETRY%G')).code, ResponseCode.NO_PERMISSION)
  t.equal((await setMode('POP', 0, 'None')).code, ResponseCode.TOPIC_NOT_EXIST)
  t.equal((await setMode('PULL', 0)).code, 0)
  t.strictSame(await ask('c2'), ['PULL 2'])
})
