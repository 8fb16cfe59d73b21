import t from 'tap'
import {
  decodeProperties,
  decodeStoredMessages,
  HeartbeatData,
  propertiesText,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response,
  sendExtFields
} from '../../src/protocol/index.ts'
import { halt, serving, startBroker, TestClient, until } from './helpers.ts'
import { Group } from './threeMembers.ts'

const replyTopic = 'C_REPLY_TOPIC'

/** Announces a producer as the Java client does: one heartbeat with its group. */
async function registered(client: TestClient, group = 'askers'): Promise<void> {
  const heartbeat = HeartbeatData.of({
    clientID: client.id,
    producerDataSet: [{ groupName: group }]
  })
  const answer = await client.ask(RequestCode.HEART_BEAT, null, HeartbeatData.encode(heartbeat))
  if (answer.code !== 0) throw new Error(answer.remark ?? 'heartbeat refused')
}

/** Notes what is pushed to the client, and answers it with `code`. */
function pushes(client: TestClient, code = 0): RemotingCommand[] {
  const received: RemotingCommand[] = []
  client.remoting.onRequest(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, push => {
    received.push({ ...push, body: Buffer.from(push.body ?? '') })
    return response(code)
  })
  return received
}

function reply(
  client: TestClient,
  to: string | null,
  body = 'pong',
  given: Parameters<TestClient['sendFields']>[1] = {}
): Promise<RemotingCommand> {
  const props = {
    MSG_TYPE: 'reply',
    CORRELATION_ID: 'c-1',
    TTL: '3000',
    ...(to === null ? {} : { REPLY_TO_CLIENT: to })
  }
  const fields = client.sendFields(replyTopic, { props, ...given })
  return client.ask(RequestCode.SEND_REPLY_MESSAGE_V2, fields, Buffer.from(body))
}

t.test('a reply is pushed to the client that asked', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const asker = new TestClient(t, broker.address, 'asker@1')
  const replier = new TestClient(t, broker.address, 'replier@1')
  const received = pushes(asker)
  await registered(asker)

  t.test('with all that the client needs, and stored', async t => {
    const answer = await reply(replier, asker.id, 'pong', {
      flag: 7,
      bornTimestamp: 1_700_000_000_321
    })
    t.equal(answer.code, 0, answer.remark ?? '')
    t.match(answer.extFields, {
      queueId: '0',
      queueOffset: '0',
      MSG_REGION: 'DefaultRegion',
      TRACE_ON: 'true'
    })
    t.match(answer.extFields?.['msgId'], /^7F000001[0-9A-F]{24}$/)
    t.equal(received.length, 1)
    const push = received.pop()!
    t.equal(push.body?.toString(), 'pong')
    t.match(push.extFields, {
      producerGroup: 'PG',
      topic: replyTopic,
      defaultTopic: 'TBW102',
      defaultTopicQueueNums: '4',
      queueId: '0',
      sysFlag: '0',
      bornTimestamp: '1700000000321',
      flag: '7',
      reconsumeTimes: '0',
      unitMode: 'false',
      bornHost: /^127\.0\.0\.1:\d+$/,
      storeHost: broker.address,
      storeTimestamp: /^\d{13}$/
    })
    const properties = decodeProperties(Buffer.from(push.extFields!['properties']!))
    t.equal(properties.get('CORRELATION_ID'), 'c-1')
    t.equal(properties.get('REPLY_TO_CLIENT'), asker.id)
    t.match(properties.get('PUSH_REPLY_TIME'), /^\d{13}$/)
    const [stored] = await replier.read(replyTopic, 0)
    t.equal(stored?.body.toString(), 'pong')
    t.equal(stored?.properties.get('CORRELATION_ID'), 'c-1')
    t.notOk(stored?.properties.has('PUSH_REPLY_TIME'), 'which is for the push only')
  })

  t.test('the long form of the request does the same', async t => {
    const short = replier.sendFields(replyTopic, { props: { REPLY_TO_CLIENT: asker.id } })
    const fields = {
      producerGroup: short['a']!,
      topic: short['b']!,
      defaultTopic: short['c']!,
      defaultTopicQueueNums: short['d']!,
      queueId: short['e']!,
      sysFlag: short['f']!,
      bornTimestamp: short['g']!,
      flag: short['h']!,
      properties: short['i']!
    }
    const answer = await replier.ask(RequestCode.SEND_REPLY_MESSAGE, fields, Buffer.from('long'))
    t.equal(answer.code, 0, answer.remark ?? '')
    t.equal(received.pop()?.body?.toString(), 'long')
  })

  t.test('without storing, the answer names no message', async t => {
    const before = broker.store.maxOffset(replyTopic, 0)
    broker.config.update([['storeReplyMessageEnable', 'false']])
    const answer = await reply(replier, asker.id)
    t.match(answer.extFields, { msgId: '0', queueId: '0', queueOffset: '0' })
    t.equal(received.pop()?.body?.toString(), 'pong')
    t.equal(broker.store.maxOffset(replyTopic, 0), before)
    broker.config.update([['storeReplyMessageEnable', 'true']])
  })

  t.test('the newest of its connections gets it', async t => {
    const again = new TestClient(t, broker.address, asker.id)
    const later = pushes(again)
    await registered(again, 'other')
    t.equal((await reply(replier, asker.id)).code, 0)
    t.same([later.length, received.length], [1, 0])
    await again.remoting.close()
    await until(() => broker.producers.members('other').length === 0)
    t.equal((await reply(replier, asker.id)).code, 0)
    t.equal(received.splice(0).length, 1)
  })

  t.test('refusals', async t => {
    const none = await reply(replier, null)
    t.equal(none.code, ResponseCode.SYSTEM_ERROR)
    t.equal(none.remark, 'reply message properties[REPLY_TO_CLIENT] is null')
    t.ok(none.extFields?.['msgId'], 'stored all the same')

    const absent = await reply(replier, 'nobody@1')
    t.equal(absent.code, ResponseCode.SYSTEM_ERROR)
    t.equal(absent.remark, 'push reply message fail, channel of <nobody@1> not found.')

    const grumpy = new TestClient(t, broker.address, 'grumpy@1')
    pushes(grumpy, 1)
    await registered(grumpy)
    const refused = await reply(replier, grumpy.id)
    t.equal(refused.code, ResponseCode.SYSTEM_ERROR)
    t.equal(refused.remark, 'push reply message to grumpy@1fail.')

    const forbidden = await replier.ask(
      RequestCode.SEND_REPLY_MESSAGE_V2,
      sendExtFields({
        producerGroup: 'PG',
        topic: 'SCHEDULE_TOPIC_XXXX',
        defaultTopic: 'TBW102',
        defaultTopicQueueNums: 1,
        queueId: 0,
        sysFlag: 0,
        bornTimestamp: 1,
        flag: 0,
        properties: propertiesText([['REPLY_TO_CLIENT', asker.id]]),
        reconsumeTimes: 0,
        unitMode: false,
        maxReconsumeTimes: null,
        batch: false,
        brokerName: 'b'
      }),
      Buffer.from('x')
    )
    t.equal(forbidden.code, ResponseCode.NO_PERMISSION)
    const queue = await reply(replier, asker.id, 'x', { queueId: 9 })
    t.equal(queue.code, ResponseCode.SYSTEM_ERROR)
    t.match(queue.remark, /queueId\[9\] is illegal/)
    const large = await reply(replier, asker.id, 'x'.repeat(4_194_305))
    t.equal(large.code, ResponseCode.MESSAGE_ILLEGAL)
    t.equal(received.length, 0, 'nothing of it was pushed')
  })

  t.test('askers that hang cost a bounded share of memory', async t => {
    const hanging = new TestClient(t, broker.address, 'hanging@1')
    let asked = 0
    const waiting: ((answer: RemotingCommand) => void)[] = []
    hanging.remoting.onRequest(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, () => {
      asked++
      return new Promise(resolve => waiting.push(resolve))
    })
    await registered(hanging)
    const body = 'x'.repeat(4_194_304)
    const first: Promise<RemotingCommand>[] = []
    for (let i = 1; i <= 16; i++) {
      first.push(reply(replier, hanging.id, body))
      await until(() => asked === i)
    }
    const refused = await reply(replier, asker.id, 'one more')
    t.equal(refused.code, ResponseCode.SYSTEM_ERROR)
    t.match(refused.remark, /broker busy/)
    t.equal(received.length, 0)
    for (const answer of waiting) answer(response(0))
    t.ok((await Promise.all(first)).every(answer => answer.code === 0))
    t.equal((await reply(replier, asker.id)).code, 0, 'and it goes on')
    t.equal(received.splice(0).length, 1)
  })

  t.test('a client may not push', async t => {
    const answer = await replier.ask(RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT, {
      replyToClient: asker.id
    })
    t.equal(answer.code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
    t.equal(received.length, 0)
  })
})

t.test('in a group the reply finds the member that has the asker', async t => {
  const group = await Group.start(t)
  const { leader, followers } = await group.settled()
  const [near, far] = followers as [typeof leader, typeof leader]

  t.test('from the leader, and from the other follower', async t => {
    const asker = new TestClient(t, near.address, 'asker@near')
    const received = pushes(asker)
    await registered(asker)
    for (const member of [leader, far, near]) {
      const answer = await reply(new TestClient(t, member.address), asker.id, member.address)
      t.equal(answer.code, 0, answer.remark ?? '')
      t.equal(received.length, 1)
      const push = received.pop()!
      t.equal(push.body?.toString(), member.address)
      t.notOk('replyToClient' in push.extFields!, 'what members tell each other stays among them')
    }
    t.equal(leader.store.maxOffset(replyTopic, 0), 3)
  })

  t.test('a refusal of the client comes back through the member', async t => {
    const asker = new TestClient(t, near.address, 'asker@grumpy')
    pushes(asker, 1)
    await registered(asker)
    const answer = await reply(new TestClient(t, leader.address), asker.id)
    t.equal(answer.remark, 'push reply message to asker@grumpyfail.')
    const nobody = await reply(new TestClient(t, near.address), 'nobody')
    t.equal(nobody.remark, 'push reply message fail, channel of <nobody> not found.')
  })

  t.test('after a failover too, before the asker knows the new leader', async t => {
    const asker = new TestClient(t, near.address, 'asker@left')
    const received = pushes(asker)
    await registered(asker)
    await halt(leader)
    await until(() => [near, far].some(member => member.isLeader()))
    for (const member of [near, far]) {
      const answer = await reply(new TestClient(t, member.address), asker.id, member.address)
      t.equal(answer.code, 0, answer.remark ?? '')
      t.equal(received.pop()?.body?.toString(), member.address)
    }
    const pulled = await new TestClient(t, near.address).pull(replyTopic, 0, 0)
    t.ok(decodeStoredMessages(pulled.body!).length >= 6)
  })
})
