import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import {
  decodeCommand,
  decodeStoredMessage,
  decodeStoredMessages,
  FrameReader,
  MessageProperty,
  parseOffsetMessageId,
  type RemotingCommand,
  type StoredMessage
} from '../../src/protocol/index.ts'
import { RawPeer } from '../helpers/rawPeer.ts'
import { serving, startBroker, TestClient } from './helpers.ts'

interface Exchange {
  from: string
  to: string
  header: string
  request: { header: RemotingCommand; frame: string }
  response: { header: RemotingCommand; frame: string } | null
}

/** Real frames of Java clients, sent as they are; what the original answered is what we compare with. */
const recorded = (name: string): Exchange[] =>
  JSON.parse(readFileSync(`test/vectors/remoting/${name}.json`, 'utf8')) as Exchange[]

const fieldsOf = (command: RemotingCommand): string[] =>
  Object.keys(command.extFields ?? {}).sort((a, b) => (a < b ? -1 : 1))

t.test('recorded requests of real clients', async t => {
  const broker = await startBroker(t, {
    brokerClusterName: 'RaftCluster',
    brokerName: 'RaftNode00'
  })
  await serving(broker)
  const client = new TestClient(t, broker.address)
  for (const topic of ['CapTopic', 'CapReq', 'Bench8']) await client.send(topic, 'x')

  const replay = async (
    t: Test,
    name: string,
    check: (answer: RemotingCommand, exchange: Exchange) => void
  ): Promise<void> => {
    const exchanges = recorded(name).filter(exchange => exchange.response !== null)
    t.ok(exchanges.length > 0)
    for (const exchange of exchanges) {
      const peer = await RawPeer.connect(broker.server.port)
      peer.write(Buffer.from(exchange.request.frame, 'base64'))
      const { opaque } = exchange.request.header
      await peer.until(() =>
        peer.received.some(one => (one.flag & 1) === 1 && one.opaque === opaque)
      )
      const answer = peer.received.find(one => one.opaque === opaque)!
      t.equal(answer.serializeType, exchange.header === 'binary' ? 1 : 0, 'answered in kind')
      check(answer, exchange)
      peer.socket.destroy()
    }
  }

  for (const name of ['0310-SEND_MESSAGE_V2', '0320-SEND_BATCH_MESSAGE']) {
    t.test(name, async t => {
      await replay(t, name, (answer, exchange) => {
        t.equal(answer.code, exchange.response!.header.code, answer.remark ?? '')
        t.strictSame(fieldsOf(answer), fieldsOf(exchange.response!.header))
        t.equal(answer.extFields?.['queueId'], exchange.response!.header.extFields?.['queueId'])
        t.equal(
          answer.extFields?.['msgId']?.length,
          exchange.response!.header.extFields?.['msgId']?.length
        )
      })
    })
  }

  for (const name of [
    '0034-HEART_BEAT',
    '0014-QUERY_CONSUMER_OFFSET',
    '0015-UPDATE_CONSUMER_OFFSET',
    '0029-SEARCH_OFFSET_BY_TIMESTAMP',
    '0030-GET_MAX_OFFSET',
    '0031-GET_MIN_OFFSET',
    '0041-LOCK_BATCH_MQ',
    '0042-UNLOCK_BATCH_MQ',
    '0035-UNREGISTER_CLIENT'
  ]) {
    t.test(name, async t => {
      await replay(t, name, (answer, exchange) => {
        t.equal(answer.code, exchange.response!.header.code, answer.remark ?? '')
        t.strictSame(fieldsOf(answer), fieldsOf(exchange.response!.header))
      })
    })
  }

  t.test(
    '0011-PULL_MESSAGE: a pull with its own expression is answered with all four fields',
    async t => {
      const sawSubscription = recorded('0011-PULL_MESSAGE').filter(
        exchange =>
          exchange.response?.header.code === 0 &&
          (Number(exchange.request.header.extFields?.['sysFlag']) & 4) !== 0
      )
      t.ok(sawSubscription.length > 0)
      for (const exchange of sawSubscription) {
        const peer = await RawPeer.connect(broker.server.port)
        // Something must be there, or it is held.
        const queueId = Number(exchange.request.header.extFields?.['queueId'])
        await client.send('CapTopic', 'x', { queueId })
        peer.write(Buffer.from(exchange.request.frame, 'base64'))
        const [answer] = await peer.frames(1)
        t.equal(answer!.code, 0)
        t.strictSame(fieldsOf(answer!), fieldsOf(exchange.response!.header))
        t.equal(answer!.remark, 'FOUND')
        peer.socket.destroy()
      }
    }
  )
})

/** The same message as the original and we store it; ours names region and trace, as 5.3 does. */
function sameMessage(t: Test, ours: StoredMessage, theirs: StoredMessage, originId: string): void {
  for (const field of ['topic', 'queueId', 'flag', 'sysFlag', 'reconsumeTimes'] as const)
    t.equal(ours[field], theirs[field], field)
  t.equal(ours.bornTimestamp, theirs.bornTimestamp)
  t.equal(ours.body.toString(), theirs.body.toString())
  t.strictSame(Object.fromEntries(ours.properties), {
    ...Object.fromEntries(theirs.properties),
    [MessageProperty.ORIGIN_MESSAGE_ID]: originId,
    MSG_REGION: 'DefaultRegion',
    TRACE_ON: 'true'
  })
}

t.test('0036-CONSUMER_SEND_MSG_BACK: what is stored is what the original stored', async t => {
  const broker = await startBroker(t, {
    brokerClusterName: 'RaftCluster',
    brokerName: 'RaftNode00',
    messageDelayLevel: '1s 1s 1s'
  })
  await serving(broker)
  const client = new TestClient(t, broker.address)
  const path = 'test/vectors/store/sentBack-4.9.7.json'
  const bytes = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>
  const stored = (name: string): StoredMessage =>
    decodeStoredMessage(Buffer.from(bytes[name]!, 'base64'))
  const sent = stored('sent')
  const { CLUSTER, WAIT, ...props } = Object.fromEntries(sent.properties)
  const answer = await client.send(sent.topic, sent.body, {
    queueId: sent.queueId,
    bornTimestamp: sent.bornTimestamp,
    flag: sent.flag,
    props
  })
  const originId = answer.extFields!['msgId']!
  const { physicalOffset } = parseOffsetMessageId(originId)!
  const [exchange] = recorded('0036-CONSUMER_SEND_MSG_BACK')
  const reader = new FrameReader()
  reader.push(Buffer.from(exchange!.request.frame, 'base64'))
  const command = decodeCommand(reader.next()!)
  // Where it lies with us.
  command.extFields = { ...command.extFields, offset: String(physicalOffset) }
  const peer = await RawPeer.connect(broker.server.port)
  t.teardown(() => peer.destroy())
  const back = await peer.ask(command)
  t.equal(back.code, 0, back.remark ?? '')
  t.strictSame(fieldsOf(back), fieldsOf(exchange!.response!.header))
  const [scheduled] = await client.read('SCHEDULE_TOPIC_XXXX', 2)
  sameMessage(t, scheduled!, stored('scheduled'), originId)
  const held = await client.pull('%RETRY%cap_group', 0, 0, { sysFlag: 2, suspendMs: 20_000 })
  sameMessage(t, decodeStoredMessages(held.body!)[0]!, stored('delivered'), originId)
})
