import { deflateSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import {
  encodeBatch,
  encodeCommand,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request
} from '../../src/protocol/index.ts'
import { serving, startBroker, TestClient, until } from '../broker/helpers.ts'
import { freePorts } from '../helpers/freePorts.ts'
import { RawPeer } from '../helpers/rawPeer.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import { ask, startNameServer } from '../namesrv/helpers.ts'

/** 4.9.8 and 5.3.3. */
const OLD = 409
const NEW = 479

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex')
}

/** A frame around any header and body bytes; the length word can lie. */
function frame(header: string | Buffer, body = Buffer.alloc(0), type = 0): Buffer {
  const text = Buffer.from(header)
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + text.length + body.length, 0)
  head.writeUInt32BE((type << 24) | text.length, 4)
  return Buffer.concat([head, text, body])
}

async function startServing(t: Test, settings: Record<string, string> = {}): Promise<Broker> {
  const broker = await startBroker(t, settings)
  await serving(broker)
  return broker
}

/** What both servers do with bytes that are no frame: the connection ends, and nothing is answered. */
const noFrames: Record<string, Buffer> = {
  'a length beyond 16 MiB': hex('01000000'),
  'a negative length': hex('80000000'),
  'a length that has no room for the header length': hex('00000003'),
  'a header longer than its frame': hex('0000000800000020aaaaaaaa'),
  'a serialize type that does not exist': hex('0000000607000002aaaa'),
  'an empty header': hex('0000000400000000'),
  'a JSON header that does not parse': frame('{"code":'),
  'a JSON header that is a list': frame('[1,2,3]'),
  'a JSON header nested 100 000 levels deep': frame('['.repeat(100_000)),
  'extFields nested 100 000 levels deep': frame(
    `{"code":10,"extFields":{"a":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}}`
  ),
  'extFields that are a text': frame('{"code":34,"extFields":"x"}'),
  'a code that is no number': frame('{"code":"abc","opaque":1}'),
  'a code beyond 2^53': frame('{"code":1e300,"opaque":1}'),
  'a binary header that ends early': frame(hex('000a0001'), Buffer.alloc(0), 1),
  'a binary header whose remark runs past its end': frame(
    hex('0022000199000000010000000000ffffff00000000'),
    Buffer.alloc(0),
    1
  ),
  'a binary header whose fields run past its end': frame(
    hex('00220001990000000100000000000000000000ffff'),
    Buffer.alloc(0),
    1
  ),
  'a TLS greeting': hex('16030100c8010000c40303'),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  zeros: Buffer.alloc(4_096),
  ones: Buffer.alloc(4_096, 0xff)
}

async function checkNoFrames(t: Test, port: number): Promise<void> {
  for (const [what, bytes] of Object.entries(noFrames)) {
    const peer = await RawPeer.connect(port)
    peer.write(bytes)
    await peer.end()
    t.equal(peer.received.length, 0, what)
  }
}

t.test('bytes that are no frame cost their connection, at the broker', async t => {
  const broker = await startServing(t)
  const other = new TestClient(t, broker.address)
  t.equal((await other.send('T', 'before')).code, 0)
  await checkNoFrames(t, broker.server.port)
  await until(() => broker.server.connections.size === 1)
  t.equal((await other.send('T', 'after')).code, 0)
  t.equal((await other.read('T', 0)).length, 2)
})

t.test('bytes that are no frame cost their connection, at the name server', async t => {
  const { server, connect } = await startNameServer(t)
  const other = await connect()
  await checkNoFrames(t, server.port)
  t.equal((await ask(other, RequestCode.GET_BROKER_CLUSTER_INFO)).code, 0)
})

t.test('codes, languages and versions that nobody knows', async t => {
  const broker = await startServing(t)
  const { connect } = await startNameServer(t)
  for (const peer of [await RawPeer.connect(broker.server.port), await connect()]) {
    for (const code of [0, -1, 9, 999, 65_535, 200_999, 2_147_483_647]) {
      const answer = await ask(peer, code)
      t.equal(answer.code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
      t.equal(answer.remark, ` request type ${code} not supported`)
    }
    const odd = [
      '"language":"KLINGON","version":409',
      '"language":99,"version":32767',
      '"language":null,"version":-5',
      '"version":99999'
    ]
    for (const [n, fields] of odd.entries()) {
      peer.write(frame(`{"code":38,"opaque":${7_000 + n},"flag":0,${fields}}`))
      await peer.until(() => peer.received.some(one => one.opaque === 7_000 + n))
    }
    peer.destroy()
  }
})

t.test('half frames hurt nobody, and go when they are idle', async t => {
  const broker = await startServing(t, { serverChannelMaxIdleTimeSeconds: '1' })
  const client = new TestClient(t, broker.address)
  const whole = Buffer.concat(encodeCommand(client.command(RequestCode.GET_BROKER_RUNTIME_INFO)))
  const peers = await Promise.all(
    Array.from({ length: 100 }, () => RawPeer.connect(broker.server.port))
  )
  for (const [n, peer] of peers.entries()) peer.write(whole.subarray(0, n % whole.length))
  t.equal((await client.send('T', 'meanwhile')).code, 0)
  const whatRemains = async (): Promise<void> => {
    await Promise.all(peers.map(peer => peer.end()))
  }
  await whatRemains()
  t.ok(peers.every(peer => peer.received.length === 0))
})

t.test('a frame that comes byte by byte is answered', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  const command = { ...client.command(RequestCode.GET_MAX_OFFSET), opaque: 5 }
  command.extFields = { topic: 'TBW102', queueId: '0' }
  const peer = await RawPeer.connect(broker.server.port)
  for (const byte of Buffer.concat(encodeCommand(command))) {
    peer.write(Buffer.from([byte]))
    await new Promise(setImmediate)
  }
  t.equal((await peer.frames(1))[0]!.code, 0)
  peer.destroy()
})

t.test('sends that cannot be stored are answered with a code and a remark', async t => {
  const broker = await startServing(t, { maxMessageSize: '100000' })
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const illegal =
    'the message is illegal, maybe msg body or properties length not matched. msg body length limit 100000B, msg properties length limit 32KB.'
  const refusedWith = async (
    what: string,
    answer: Promise<RemotingCommand>,
    code: number,
    remark: string | RegExp
  ): Promise<void> => {
    const { code: got, remark: said, extFields } = await answer
    t.equal(got, code, what)
    if (typeof remark === 'string') t.equal(said, remark, what)
    else t.match(said, remark, what)
    t.equal(extFields?.['MSG_REGION'], 'DefaultRegion', `${what}: the region`)
  }
  for (const version of [OLD, NEW]) {
    client.version = version
    const bad = version === NEW ? ResponseCode.INVALID_PARAMETER : ResponseCode.SYSTEM_ERROR
    const { MESSAGE_ILLEGAL, NO_PERMISSION } = ResponseCode
    const body = Buffer.alloc(100_001)
    await refusedWith('body over the limit', client.send('T', body), MESSAGE_ILLEGAL, illegal)
    await refusedWith('no body', client.send('T', ''), MESSAGE_ILLEGAL, illegal)
    const long = 'p'.repeat(32_768)
    await refusedWith(
      'properties over 32 767 bytes',
      client.send('T', 'x', { properties: long }),
      MESSAGE_ILLEGAL,
      illegal
    )
    for (const queueId of [4, 65_536, 2_147_483_647])
      await refusedWith(
        `queue ${queueId}`,
        client.send('T', 'x', { queueId }),
        bad,
        /^request queueId\[\d+\] is illegal, TopicConfig \[topicName=T, .*\] Producer: 127\.0\.0\.1:\d+$/
      )
    await refusedWith('blank topic', client.send('', 'x'), bad, 'The specified topic is blank.')
    await refusedWith('topic of a path', client.send('../../x', 'x'), bad, /illegal characters/)
    await refusedWith('topic with a NUL', client.send('a\u0000b', 'x'), bad, /illegal characters/)
    await refusedWith('topic too long', client.send('t'.repeat(128), 'x'), bad, /longer than/)
    await refusedWith(
      'topic of the system',
      client.send('SCHEDULE_TOPIC_XXXX', 'x'),
      NO_PERMISSION,
      'Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden.'
    )
    await refusedWith(
      'topic without a template',
      client.send('Unknown', 'x', { defaultTopic: 'NoTemplate' }),
      ResponseCode.TOPIC_NOT_EXIST,
      /^topic\[Unknown\] not exist, apply first please!/
    )
  }
  t.equal((await client.send('T', 'x', { queueId: -1 })).code, 0, 'the broker chooses a queue')
  t.equal((await client.read('T', 0))[0]?.body.toString(), 'x')
})

t.test('numbers that are none, and fields that are missing, are answered', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const send = client.sendFields('T')
  for (const name of ['d', 'e', 'f', 'g', 'h', 'j']) {
    for (const value of ['', 'abc', '1.5', '1e3', '0x10', ' 7', '99999999999999999999999']) {
      const answer = await client.ask(
        RequestCode.SEND_MESSAGE_V2,
        { ...send, [name]: value },
        Buffer.from('x')
      )
      t.equal(answer.code, ResponseCode.SYSTEM_ERROR, `${name} = "${value}"`)
      t.match(answer.remark, /not an integer/)
    }
  }
  const pull = {
    consumerGroup: 'G',
    topic: 'T',
    queueId: '0',
    queueOffset: '0',
    maxMsgNums: '32',
    sysFlag: '4',
    commitOffset: '0',
    suspendTimeoutMillis: '0',
    subVersion: '0',
    subscription: '*'
  }
  for (const name of ['queueId', 'queueOffset', 'maxMsgNums', 'sysFlag']) {
    const answer = await client.ask(RequestCode.PULL_MESSAGE, { ...pull, [name]: 'abc' })
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR, name)
    t.match(answer.remark, /not an integer/)
  }
  const required: [number, string[]][] = [
    [RequestCode.SEND_MESSAGE_V2, ['b', 'e']],
    [RequestCode.PULL_MESSAGE, ['consumerGroup', 'topic']],
    [RequestCode.QUERY_CONSUMER_OFFSET, ['consumerGroup', 'topic', 'queueId']],
    [RequestCode.UPDATE_CONSUMER_OFFSET, ['consumerGroup', 'topic', 'queueId', 'commitOffset']],
    [RequestCode.GET_MAX_OFFSET, ['topic', 'queueId']],
    [RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, ['topic', 'queueId', 'timestamp']],
    [RequestCode.GET_CONSUMER_LIST_BY_GROUP, ['consumerGroup']],
    [RequestCode.VIEW_MESSAGE_BY_ID, ['offset']],
    [RequestCode.QUERY_MESSAGE, ['topic', 'key', 'maxNum']],
    [RequestCode.UPDATE_AND_CREATE_TOPIC, ['topic', 'readQueueNums']]
  ]
  for (const [code, names] of required) {
    const answer = await client.ask(code, null)
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR, `code ${code} without fields`)
    t.match(answer.remark, new RegExp(names.join('|')), `code ${code} names what is missing`)
  }
})

t.test('pulls from places that do not exist', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  for (let n = 0; n < 3; n++) await client.send('T', `m${n}`)
  const codeOf = async (answer: Promise<RemotingCommand>): Promise<number> => (await answer).code
  for (const version of [OLD, NEW]) {
    client.version = version
    const bad = version === NEW ? ResponseCode.INVALID_PARAMETER : ResponseCode.SYSTEM_ERROR
    for (const queueId of [-1, 4, 65_536, 2_147_483_647, -2_147_483_648]) {
      const answer = await client.pull('T', queueId, 0)
      t.equal(answer.code, bad)
      t.match(answer.remark, /^queueId\[-?\d+\] is illegal, topic:\[T\]/)
    }
  }
  t.equal(await codeOf(client.pull('Nowhere', 0, 0)), ResponseCode.TOPIC_NOT_EXIST)
  t.equal(await codeOf(client.pull('T', 0, 3)), ResponseCode.PULL_NOT_FOUND)
  for (const offset of [-1, 4, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    const answer = await client.pull('T', 0, offset)
    t.equal(answer.code, ResponseCode.PULL_OFFSET_MOVED, `offset ${offset}`)
    t.equal(answer.extFields?.['nextBeginOffset'], offset < 0 ? '0' : '3')
  }
  for (const max of [-1, 0, 1_000_000, 2_147_483_647, -2_147_483_648])
    t.equal(await codeOf(client.pull('T', 0, 0, { max })), 0, `${max} messages at most`)
  t.equal(await codeOf(client.pull('T', 0, 0, { subscription: '||' })), 23)
  t.equal(await codeOf(client.pull('T', 0, 0, { subscription: 'a||'.repeat(30_000) })), 23)
  t.equal(await codeOf(client.pull('T', 0, 0, { expressionType: 'SQL92' })), 1)
  t.equal(await codeOf(client.pull('T', 0, 0, { group: 'g'.repeat(256) })), 26)
})

t.test('batches that lie are refused whole', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  await client.send('T', 'x')
  const message = { flag: 0, body: Buffer.from('b'), properties: Buffer.alloc(0) }
  const good = encodeBatch([message, message])
  const lies: Record<string, Buffer> = {
    empty: Buffer.alloc(0),
    'cut off': good.subarray(0, good.length - 1),
    'one byte more': Buffer.concat([good, Buffer.from([1])]),
    noise: Buffer.alloc(100, 0x7f),
    zeros: Buffer.alloc(100),
    compressed: deflateSync(Buffer.alloc(100_000))
  }
  for (const [word, offset] of [
    ['total size', 0],
    ['body size', 16],
    ['properties size', 20]
  ] as const)
    for (const value of [-1, 0x7fff_ffff, 1_000]) {
      const lie = Buffer.from(good)
      if (word === 'properties size') lie.writeInt16BE(value === 0x7fff_ffff ? 32_767 : value, 21)
      else lie.writeInt32BE(value, offset)
      lies[`${word} ${value}`] = lie
    }
  const fields = client.sendFields('T', { batch: true })
  for (const [what, body] of Object.entries(lies)) {
    const answer = await client.ask(RequestCode.SEND_BATCH_MESSAGE, fields, body)
    t.equal(answer.code, ResponseCode.MESSAGE_ILLEGAL, what)
    t.ok(answer.remark, `${what}: ${answer.remark}`)
  }
  t.equal((await client.ask(RequestCode.SEND_BATCH_MESSAGE, fields, good)).code, 0)
  t.equal((await client.read('T', 0)).length, 3, 'nothing of the others is there')
})

t.test('JSON bodies of another shape are answered with what is wrong', async t => {
  const broker = await startServing(t)
  const client = new TestClient(t, broker.address)
  const bodies: Record<string, string | Buffer> = {
    'no JSON': '{"clientID":',
    'a number': '17',
    'a list': '[]',
    'a text': '"x"',
    'deep lists': '['.repeat(200_000),
    'invalid UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0xfe]),
    'object keys without end': `{${'{"a":1}:'.repeat(1_000)}`,
    'compressed noise': deflateSync(Buffer.alloc(10_000, 'x'))
  }
  const codes = [
    RequestCode.HEART_BEAT,
    RequestCode.LOCK_BATCH_MQ,
    RequestCode.UNLOCK_BATCH_MQ,
    RequestCode.CHECK_CLIENT_CONFIG,
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP
  ]
  for (const code of codes) {
    for (const [what, body] of Object.entries(bodies)) {
      const answer = await client.ask(code, null, Buffer.from(body as string))
      t.equal(answer.code, ResponseCode.SYSTEM_ERROR, `${code}: ${what}`)
      t.match(answer.remark, /is not|not readable|more than/, `${code}: ${what}: ${answer.remark}`)
    }
    const answer = await client.ask(code, null, null)
    t.match(answer.remark, /the body is missing, \w+ was expected/)
  }
  const wrong = [
    '{"clientID":{"a":1}}',
    '{"clientID":"c","consumerDataSet":{}}',
    '{"clientID":"c","consumerDataSet":[17]}',
    '{"clientID":"c","consumerDataSet":[{"groupName":[]}]}',
    '{"clientID":"c","consumerDataSet":[{"groupName":"g","subscriptionDataSet":"x"}]}',
    '{"clientID":"c","producerDataSet":[{"groupName":{}}]}'
  ]
  for (const body of wrong) {
    const answer = await client.ask(RequestCode.HEART_BEAT, null, Buffer.from(body))
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR, body)
    t.match(answer.remark, /^HeartbeatData\.\S+ is not/, answer.remark ?? '')
  }
})

t.test('noise at the port of the log costs its connection', async t => {
  const logger = new RecordingLogger()
  const directory = t.testdir()
  const raftPorts = await freePorts(3)
  const dLegerPeers = raftPorts.map((port, n) => `n${n}-127.0.0.1:${port}`).join(';')
  const brokers = await Promise.all(
    [0, 1, 2].map(n => {
      const settings = {
        storePathRootDir: `${directory}/n${n}`,
        enableDLegerCommitLog: 'true',
        dLegerGroup: 'g',
        dLegerPeers,
        dLegerSelfId: `n${n}`,
        shutdownGraceSeconds: '0'
      }
      return startBroker(t, settings, logger)
    })
  )
  const leads = (broker: Broker): boolean =>
    broker.isLeader() && broker.topics.find('TBW102') !== undefined
  await until(() => brokers.some(leads))
  const client = new TestClient(t, brokers.find(leads)!.address)
  const noises = [
    ...Object.values(noFrames),
    Buffer.concat(encodeCommand(client.command(RequestCode.HEART_BEAT))),
    Buffer.alloc(1_000_000, 0x41)
  ]
  for (const [n, noise] of noises.entries()) {
    const peer = await RawPeer.connect(raftPorts[n % 3]!)
    peer.socket.removeAllListeners('data')
    peer.socket.resume()
    peer.write(noise.length < 8 ? Buffer.concat([noise, Buffer.alloc(64)]) : noise)
    peer.socket.end()
    await peer.end()
  }
  t.equal((await client.send('T', 'x')).code, 0)
  t.equal(logger.messages('error').length, 0)
})

t.test('the same opaque twice is answered twice, an answer to nothing is dropped', async t => {
  const broker = await startServing(t)
  const peer = await RawPeer.connect(broker.server.port)
  const command = request(RequestCode.GET_MIN_OFFSET, { topic: 'TBW102', queueId: '0' })
  command.opaque = 9
  for (let n = 0; n < 3; n++) peer.send(command)
  peer.send({ ...command, flag: 1, opaque: 12_345 })
  peer.send({ ...command, flag: 2, opaque: 10 })
  peer.send({ ...command, opaque: 11 })
  await peer.until(() => peer.received.some(answer => answer.opaque === 11))
  t.strictSame(
    peer.received.map(answer => answer.opaque),
    [9, 9, 9, 11]
  )
  peer.destroy()
})
