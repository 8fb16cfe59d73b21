import { readFileSync, writeFileSync } from 'node:fs'
import { crc32, deflateSync } from 'node:zlib'
import t from 'tap'
import { NamesrvConfig } from '../../src/namesrv/index.ts'
import { createRealPlatform, type Disk } from '../../src/platform/index.ts'
import {
  ClusterInfo,
  DataVersion,
  encodePackedRegisterBrokerBody,
  KVTable,
  RegisterBrokerBody,
  RequestCode,
  ResponseCode,
  TopicList,
  TopicRouteData
} from '../../src/protocol/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import type { RawPeer } from '../helpers/rawPeer.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import { ask, recorded, register, registration, seen, startNameServer } from './helpers.ts'

/** Leader 0, followers 2 and 3 as they were recorded, over one connection each. */
async function replayRegistrations(connect: () => Promise<RawPeer>): Promise<RawPeer[]> {
  const exchanges = recorded('0103-REGISTER_BROKER')
  const peers: RawPeer[] = []
  for (const n of [2, 5, 0]) {
    const peer = await connect()
    peer.write(Buffer.from(exchanges[n]!.request.frame, 'base64'))
    // A one-way registration has no answer: something asked behind it has one.
    await ask(peer, RequestCode.GET_NAMESRV_CONFIG)
    peers.push(peer)
  }
  return peers
}

t.test('recorded registrations give the recorded routes and cluster, in kind', async t => {
  const { connect } = await startNameServer(t)
  const order = recorded('0100-PUT_KV_CONFIG')[0]!
  const brokers = await (async () => {
    const tool = await connect()
    tool.write(Buffer.from(order.request.frame, 'base64'))
    const [answer] = await tool.frames(1)
    t.equal(answer!.code, 0)
    return replayRegistrations(connect)
  })()
  const follower = brokers[2]!.received.find(one => one.opaque === 14_873)!
  t.same(follower.extFields, { haServerAddr: '192.0.2.2:30912', masterAddr: '127.0.0.1:30911' })
  t.equal(follower.body?.toString(), '{"table":{"CapTopic":"RaftNode00:4"}}')
  t.equal(brokers[1]!.received.length, 1, 'no answer to a one-way registration')

  const client = await connect()
  const registered = new Set(
    TopicList.decode((await ask(client, RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).body)
      .topicList
  )
  let compared = 0
  for (const { request, response, header } of recorded('0105-GET_ROUTEINFO_BY_TOPIC')) {
    const topic = request.header.extFields!['topic']!
    if ((response!.header.code === 0) !== registered.has(topic)) continue
    compared += 1
    const peer = await connect()
    peer.write(Buffer.from(request.frame, 'base64'))
    const [answer] = await peer.frames(1)
    t.equal(answer!.serializeType, header === 'binary' ? 1 : 0)
    t.equal(answer!.opaque, request.header.opaque)
    t.equal(answer!.code, response!.header.code)
    t.equal(answer!.remark ?? '', response!.header.remark ?? '')
    if (answer!.code !== 0) continue
    t.same(TopicRouteData.decode(answer!.body), TopicRouteData.decode(response!.bodyText!), topic)
    t.match(answer!.body!.toString(), /"brokerAddrs":\{"0":"127\.0\.0\.1:30911","2":/)
  }
  t.ok(compared >= 8, `${compared} recorded routes compared`)

  const [cluster] = recorded('0106-GET_BROKER_CLUSTER_INFO')
  client.write(Buffer.from(cluster!.request.frame, 'base64'))
  await client.until(() => client.received.some(one => one.opaque === 12))
  const info = client.received.find(one => one.opaque === 12)!
  t.same(ClusterInfo.decode(info.body), ClusterInfo.decode(cluster!.response!.bodyText!))
})

t.test('all other recorded requests are answered as recorded', async t => {
  const { connect } = await startNameServer(t)
  const brokers = await replayRegistrations(connect)
  const tool = await connect()
  const { topicList } = TopicList.decode(
    (await ask(tool, RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).body
  )
  for (const name of [
    '0100-PUT_KV_CONFIG',
    '0102-DELETE_KV_CONFIG',
    '0205-WIPE_WRITE_PERM_OF_BROKER',
    '0327-ADD_WRITE_PERM_OF_BROKER',
    '0216-DELETE_TOPIC_IN_NAMESRV',
    '0104-UNREGISTER_BROKER'
  ]) {
    for (const { request, response } of recorded(name)) {
      const peer = await connect()
      peer.write(Buffer.from(request.frame, 'base64'))
      const [answer] = await peer.frames(1)
      t.equal(answer!.code, response!.header.code, name)
      t.same(
        Object.keys(answer!.extFields ?? {}),
        Object.keys(response!.header.extFields ?? {}),
        name
      )
      const count = answer!.extFields?.['wipeTopicCount'] ?? answer!.extFields?.['addTopicCount']
      if (count !== undefined) t.equal(Number(count), topicList.length)
    }
  }
  t.equal(
    await seen(tool, 'TBW102'),
    '0=127.0.0.1:30911 3=127.0.0.1:30931 / perm 6 queues 8',
    'the second broker unregistered itself, write permission was given to all'
  )
  t.equal(await seen(tool, 'CapTopic2'), 'code 17')
  t.equal(brokers.length, 3)
})

t.test(
  'a broker is forgotten when its connection ends; topics stay while others of its name live',
  async t => {
    const logger = new RecordingLogger()
    const { connect } = await startNameServer(t, { logger })
    const [leader, follower, client] = [await connect(), await connect(), await connect()]
    await register(leader, { id: 0, addr: 'a:1', topics: { T: {} } })
    await register(follower, { id: 2, addr: 'b:1' })
    t.equal(await seen(client, 'T'), '0=a:1 2=b:1 / perm 6 queues 4')
    leader.destroy()
    await until(() => logger.messages('warn').includes('Broker channel destroyed'))
    t.equal(await seen(client, 'T'), '2=b:1 / perm 6 queues 4')
    follower.destroy()
    await until(() => logger.messages('warn').length === 2)
    t.equal(await seen(client, 'T'), 'code 17')
    const info = ClusterInfo.decode((await ask(client, RequestCode.GET_BROKER_CLUSTER_INFO)).body)
    t.equal(info.clusterAddrTable.size + info.brokerAddrTable.size, 0)
  }
)

t.test(
  'a broker that registered again over a new connection survives the end of the old one',
  async t => {
    const { connect } = await startNameServer(t)
    const [old, fresh, other, client] = [
      await connect(),
      await connect(),
      await connect(),
      await connect()
    ]
    await register(old, { id: 0, addr: 'a:1', topics: { T: {} } })
    await register(old, { id: 0, addr: 'x:1', name: 'gone', topics: { U: {} } })
    await register(other, { id: 2, addr: 'b:1' })
    await register(fresh, { id: 0, addr: 'a:1', topics: { T: {} } })
    old.destroy()
    await untilAsync(async () => (await seen(client, 'U')) === 'code 17')
    t.equal(await seen(client, 'T'), '0=a:1 2=b:1 / perm 6 queues 4')
  }
)

t.test(
  'a silent broker expires after 120 s or after the time it names; registrations and heartbeats keep it',
  async t => {
    const clock = new FakeClock()
    const logger = new RecordingLogger()
    const { connect } = await startNameServer(t, {
      clock,
      logger,
      settings: { serverChannelMaxIdleTimeSeconds: '3600' }
    })
    const [a, b, c, client] = [await connect(), await connect(), await connect(), await connect()]
    await register(a, { id: 0, addr: 'a:1', topics: { T: {} } })
    await register(b, { id: 2, addr: 'b:1', fields: { heartbeatTimeoutMillis: '20000' } })
    await register(c, { id: 3, addr: 'c:1' })
    clock.advance(20_000)
    t.equal(await seen(client, 'T'), '0=a:1 2=b:1 3=c:1 / perm 6 queues 4')
    clock.advance(5_000)
    t.equal(await seen(client, 'T'), '0=a:1 3=c:1 / perm 6 queues 4')
    await b.end()
    const heartbeat = { clusterName: 'C', brokerAddr: 'c:1', brokerName: 'b' }
    t.equal((await ask(c, RequestCode.BROKER_HEARTBEAT, heartbeat)).code, 0)
    clock.advance(95_000)
    t.equal(await seen(client, 'T'), '0=a:1 3=c:1 / perm 6 queues 4')
    clock.advance(5_000)
    t.equal(await seen(client, 'T'), '3=c:1 / perm 6 queues 4')
    t.equal(logger.lines.filter(line => line.message === 'Broker expired').length, 2)
    await register(c, { id: 3, addr: 'c:1' })
    clock.advance(120_000)
    t.equal(await seen(client, 'T'), '3=c:1 / perm 6 queues 4')
    clock.advance(5_000)
    t.equal(await seen(client, 'T'), 'code 17')
  }
)

t.test('a name server that stood still for minutes does not forget the brokers', async t => {
  const clock = new FakeClock()
  const { connect } = await startNameServer(t, { clock })
  const [broker, client] = [await connect(), await connect()]
  await register(broker, { id: 0, addr: 'a:1', topics: { T: {} } })
  clock.stall(300_000)
  t.equal(await seen(client, 'T'), '0=a:1 / perm 6 queues 4')
})

t.test(
  "a leader change moves id 0, and the new leader's table is taken at the same version",
  async t => {
    const { connect } = await startNameServer(t)
    const [a, b, client] = [await connect(), await connect(), await connect()]
    const version = { counter: 7, timestamp: 9, stateVersion: 3 }
    await register(a, { id: 0, addr: 'a:1', version, topics: { T: {} } })
    await register(b, { id: 2, addr: 'b:1', version, topics: { T: {}, U: {} } })
    t.equal(await seen(client, 'U'), 'code 17', 'a follower gives no topics')
    // A hangs: its connection stands, its entry too.
    const answer = await register(b, {
      id: 0,
      addr: 'b:1',
      version,
      topics: { T: { writeQueueNums: 8 }, U: {} }
    })
    t.same(answer.extFields, {}, 'a leader is told of no other')
    t.equal(await seen(client, 'T'), '0=b:1 / perm 6 queues 8')
    t.equal(await seen(client, 'U'), '0=b:1 / perm 6 queues 4')
    const returned = await register(a, { id: 1, addr: 'a:1', version })
    t.same(returned.extFields, { masterAddr: 'b:1', haServerAddr: 'b:10' })
    t.equal(await seen(client, 'T'), '0=b:1 1=a:1 / perm 6 queues 8')
  }
)

t.test('a deposed leader that wakes up does not take id 0 back, nor change topics', async t => {
  const logger = new RecordingLogger()
  const { connect } = await startNameServer(t, { logger })
  const [a, b, client] = [await connect(), await connect(), await connect()]
  const claim = (id: number, addr: string, stateVersion: number, queues = 4) => ({
    id,
    addr,
    version: { stateVersion },
    topics: { T: { readQueueNums: queues, writeQueueNums: queues } }
  })
  await register(a, claim(0, 'a:1', 5))
  await register(b, claim(0, 'b:1', 6))
  for (let n = 0; n < 3; n++) {
    const refused = await register(a, claim(0, 'a:1', 5, 16))
    t.equal(refused.code, ResponseCode.SUCCESS)
    t.same(refused.extFields, { masterAddr: 'b:1', haServerAddr: 'b:10' })
  }
  t.equal(await seen(client, 'T'), '0=b:1 / perm 6 queues 4')
  t.equal(logger.messages('warn').length, 1, 'said once, not at each registration')
  b.destroy()
  await until(() => logger.messages('warn').includes('Broker channel destroyed'))
  await register(a, claim(0, 'a:1', 7))
  t.equal(await seen(client, 'T'), '0=a:1 / perm 6 queues 4')
})

t.test(
  'without terms the newest claim on id 0 wins, as brokers of the original expect',
  async t => {
    const { connect } = await startNameServer(t)
    const [a, b, client] = [await connect(), await connect(), await connect()]
    await register(a, { id: 0, addr: 'a:1', topics: { T: {} } })
    await register(b, { id: 0, addr: 'b:1', topics: { T: {} } })
    t.equal(await seen(client, 'T'), '0=b:1 / perm 6 queues 4')
    await register(a, { id: 0, addr: 'a:1', topics: { T: {} } })
    t.equal(await seen(client, 'T'), '0=a:1 / perm 6 queues 4')
  }
)

t.test('write permission that was wiped stays wiped until the table changes', async t => {
  const { connect } = await startNameServer(t)
  const [broker, other, client] = [await connect(), await connect(), await connect()]
  const claim = { id: 0, addr: 'a:1', topics: { T: {}, U: {} } }
  await register(broker, claim)
  await register(other, { id: 0, addr: 'o:1', name: 'other', topics: { O: {} } })
  const wiped = await ask(client, RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'b' })
  t.same(wiped.extFields, { wipeTopicCount: '2' })
  await register(broker, claim)
  t.equal(await seen(client, 'T'), '0=a:1 / perm 4 queues 4')
  t.equal(await seen(client, 'O'), '0=o:1 / perm 6 queues 4')
  const added = await ask(client, RequestCode.ADD_WRITE_PERM_OF_BROKER, { brokerName: 'b' })
  t.same(added.extFields, { addTopicCount: '2' })
  t.equal(await seen(client, 'T'), '0=a:1 / perm 6 queues 4')
  await ask(client, RequestCode.WIPE_WRITE_PERM_OF_BROKER, { brokerName: 'b' })
  await register(broker, { ...claim, version: { counter: 2 } })
  t.equal(await seen(client, 'T'), '0=a:1 / perm 6 queues 4')
})

t.test(
  'a table of one topic is an increment; missing topics go only when the key says so',
  async t => {
    for (const [setting, expected] of [
      ['false', '0=a:1 / perm 6 queues 4'],
      ['true', 'code 17']
    ] as const) {
      const { connect } = await startNameServer(t, {
        settings: { deleteTopicWithBrokerRegistration: setting }
      })
      const peer = await connect()
      await register(peer, { id: 0, addr: 'a:1', topics: { T: {}, U: {}, V: {} } })
      await register(peer, { id: 0, addr: 'a:1', version: { counter: 2 }, topics: { W: {} } })
      t.equal(await seen(peer, 'T'), '0=a:1 / perm 6 queues 4')
      t.equal(await seen(peer, 'W'), '0=a:1 / perm 6 queues 4')
      await register(peer, {
        id: 0,
        addr: 'a:1',
        version: { counter: 3 },
        topics: { U: {}, V: {} }
      })
      t.equal(await seen(peer, 'T'), expected)
    }
  }
)

t.test(
  'the sum over the body is checked, and a compressed body is read whatever the header says',
  async t => {
    const { connect } = await startNameServer(t)
    const peer = await connect()
    const { fields, body } = registration({ id: 0, addr: 'a:1', topics: { T: {}, U: {} } })
    const wrong = { ...fields, bodyCrc32: '12345' }
    const refused = await ask(peer, RequestCode.REGISTER_BROKER, wrong, body)
    t.same([refused.code, refused.remark], [1, 'crc32 not match'])
    const packed = encodePackedRegisterBrokerBody(RegisterBrokerBody.decode(body), 409)
    const sum = String(crc32(packed) & 0x7fff_ffff)
    for (const [addr, compressed] of [
      ['b:1', 'true'],
      ['c:1', 'false']
    ] as const) {
      const packedFields = {
        ...fields,
        brokerName: addr,
        brokerAddr: addr,
        bodyCrc32: sum,
        compressed
      }
      const command = { ...packedFields }
      peer.send({
        code: RequestCode.REGISTER_BROKER,
        language: 0,
        version: 409,
        opaque: compressed === 'true' ? 1 : 2,
        flag: 0,
        remark: null,
        extFields: command,
        body: packed,
        serializeType: 0
      })
    }
    await peer.until(() => peer.received.some(one => one.opaque === 2))
    t.equal(await seen(peer, 'T'), '0=b:1 / perm 6 queues 4')
    const { topicList } = TopicList.decode(
      (await ask(peer, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS)).body
    )
    t.strictSame(topicList, ['C', 'b:1', 'c:1'])
    const bomb = deflateSync(Buffer.alloc(100_000_000))
    const tooMuch = await ask(
      peer,
      RequestCode.REGISTER_BROKER,
      { ...fields, compressed: 'true' },
      bomb
    )
    t.equal(tooMuch.code, 1)
    t.match(tooMuch.remark, /zlib stream is broken or has over/)
  }
)

t.test('bad registrations get an answer that names the field', async t => {
  const { connect } = await startNameServer(t)
  const peer = await connect()
  const { fields, body } = registration({ id: 0, addr: 'a:1', topics: { T: {} } })
  const remarkOf = async (change: Record<string, string>, with_: Buffer | string = body) => {
    const answer = await ask(peer, RequestCode.REGISTER_BROKER, { ...fields, ...change }, with_)
    return `${answer.code} ${answer.remark}`
  }
  t.match(await remarkOf({ brokerId: 'x' }), /^1 .*brokerId/)
  t.match(await remarkOf({ brokerId: '-1' }), /^1 brokerId is -1, allowed are 0 and above/)
  t.match(await remarkOf({ brokerName: '' }), /^1 brokerName has 0 characters/)
  t.match(await remarkOf({ brokerAddr: 'a'.repeat(300) }), /^1 brokerAddr has 300 characters/)
  t.match(await remarkOf({}, '{"topicConfigSerializeWrapper":'), /^1 /)
  const missing = await ask(peer, RequestCode.REGISTER_BROKER, { brokerName: 'b' }, body)
  t.match(missing.remark, /brokerId is missing/)
  t.equal(await seen(peer, 'T'), 'code 17')
})

t.test('a broker learns whether its table is known', async t => {
  const { connect } = await startNameServer(t)
  const peer = await connect()
  const identity = { brokerName: 'b', brokerAddr: 'a:1', clusterName: 'C', brokerId: '0' }
  const version = { counter: 4, timestamp: 5, stateVersion: 6 }
  const query = async (asked: DataVersion): Promise<[string, DataVersion | null]> => {
    const body = DataVersion.encode(asked)
    const answer = await ask(peer, RequestCode.QUERY_DATA_VERSION, identity, body)
    return [
      answer.extFields!['changed']!,
      answer.body === null ? null : DataVersion.decode(answer.body)
    ]
  }
  t.same(await query(version), ['true', null])
  await register(peer, { id: 0, addr: 'a:1', version })
  t.same(await query(version), ['false', version])
  t.same(await query({ ...version, stateVersion: 7 }), ['true', version])
})

t.test(
  'topics are listed by cluster and by unit flags, registered and deleted by tools',
  async t => {
    const { connect } = await startNameServer(t)
    const peer = await connect()
    await register(peer, {
      id: 0,
      addr: 'a:1',
      topics: {
        plain: {},
        unit: { topicSysFlag: 1 },
        sub: { topicSysFlag: 2 },
        both: { topicSysFlag: 3 }
      }
    })
    await register(peer, {
      id: 0,
      addr: 'd:1',
      name: 'd',
      cluster: 'D',
      topics: { plain: {}, far: {} }
    })
    const list = async (code: number, fields: Record<string, string> | null = null) =>
      TopicList.decode((await ask(peer, code, fields)).body).topicList.sort()
    t.same(await list(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER), [
      'both',
      'far',
      'plain',
      'sub',
      'unit'
    ])
    t.same(await list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'D' }), ['far', 'plain'])
    t.same(await list(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster: 'none' }), [])
    t.same(await list(RequestCode.GET_UNIT_TOPIC_LIST), ['both', 'unit'])
    t.same(await list(RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST), ['both', 'sub'])
    t.same(await list(RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST), ['sub'])
    const system = TopicList.decode(
      (await ask(peer, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS)).body
    )
    t.same([system.topicList.sort(), system.brokerAddr], [['C', 'D', 'b', 'd'], 'a:1'])

    await ask(peer, RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 'plain', clusterName: 'C' })
    t.equal(await seen(peer, 'plain'), '0=d:1 / perm 6 queues 4')
    await ask(peer, RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic: 'plain' })
    t.equal(await seen(peer, 'plain'), 'code 17')

    const queueDatas = [
      { brokerName: 'd', perm: 6, readQueueNums: 2, writeQueueNums: 2, topicSysFlag: 0 }
    ]
    const route = TopicRouteData.encode(TopicRouteData.of({ queueDatas }))
    await ask(peer, RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: 'made' }, route)
    t.equal(await seen(peer, 'made'), '0=d:1 / perm 6 queues 2')
    queueDatas[0]!.brokerName = 'unknown'
    const unknown = TopicRouteData.encode(TopicRouteData.of({ queueDatas }))
    await ask(peer, RequestCode.REGISTER_TOPIC_IN_NAMESRV, { topic: 'nowhere' }, unknown)
    t.equal(await seen(peer, 'nowhere'), 'code 17')
  }
)

t.test('KV entries are durable when answered, and are there after a restart', async t => {
  const directory = t.testdir()
  const first = await startNameServer(t, { directory })
  const peer = await first.connect()
  const put = (namespace: string, key: string, value: string) =>
    ask(peer, RequestCode.PUT_KV_CONFIG, { namespace, key, value })
  await Promise.all([
    put('n', 'k', 'v'),
    put('n', 'k2', 'ä'),
    put('m', 'k', 'w'),
    put('n', 'k', 'v2')
  ])
  const file = JSON.parse(readFileSync(`${directory}/kv/kvConfig.json`, 'utf8'))
  t.same(file, { configTable: { n: { k: 'v2', k2: 'ä' }, m: { k: 'w' } } })
  await ask(peer, RequestCode.DELETE_KV_CONFIG, { namespace: 'n', key: 'k2' })
  t.equal((await ask(peer, RequestCode.DELETE_KV_CONFIG, { namespace: 'x', key: 'k' })).code, 0)
  const nameless = await ask(peer, RequestCode.PUT_KV_CONFIG, { key: 'k', value: 'v' })
  t.same([nameless.code, nameless.remark], [1, 'namespace or key is null'])
  await first.stop()

  const second = await startNameServer(t, { directory })
  const again = await second.connect()
  const get = (key: string) => ask(again, RequestCode.GET_KV_CONFIG, { namespace: 'n', key })
  t.same((await get('k')).extFields, { value: 'v2' })
  const missing = await get('k2')
  t.same([missing.code, missing.remark], [22, 'No config item, Namespace: n Key: k2'])
  const list = await ask(again, RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: 'm' })
  t.same([...KVTable.decode(list.body).table], [['k', 'w']])
  const none = await ask(again, RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace: 'x' })
  t.same([none.code, none.remark], [22, 'No config item, Namespace: x'])
  await second.stop()

  writeFileSync(`${directory}/kv/kvConfig.json`, '{"configTable":')
  await t.rejects(startNameServer(t, { directory }), { message: /kvConfig.json does not parse/ })
})

t.test('the order of topics stands in routes when that is enabled', async t => {
  const { connect } = await startNameServer(t)
  const peer = await connect()
  await register(peer, { id: 0, addr: 'a:1', topics: { T: {} } })
  const order = { namespace: 'ORDER_TOPIC_CONFIG', key: 'T', value: 'b:4' }
  await ask(peer, RequestCode.PUT_KV_CONFIG, order)
  const orderSeen = async () =>
    TopicRouteData.decode(
      (await ask(peer, RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'T' })).body
    ).orderTopicConf
  t.equal(await orderSeen(), undefined)
  const update = await ask(peer, RequestCode.UPDATE_NAMESRV_CONFIG, null, 'orderMessageEnable=true')
  t.equal(update.code, 0)
  t.equal(await orderSeen(), 'b:4')
  const registered = await register(peer, { id: 0, addr: 'a:1', topics: { T: {} } })
  t.same([...KVTable.decode(registered.body).table], [['T', 'b:4']])
  await ask(peer, RequestCode.UPDATE_NAMESRV_CONFIG, null, 'returnOrderTopicConfigToBroker=false')
  t.equal((await register(peer, { id: 0, addr: 'a:1', topics: { T: {} } })).body, null)
})

t.test(
  'settings are changed, shown and stored; what may not change or does not fit is refused',
  async t => {
    const logger = new RecordingLogger()
    const { connect, directory } = await startNameServer(t, { logger })
    const peer = await connect()
    const update = async (body: string) => {
      const answer = await ask(peer, RequestCode.UPDATE_NAMESRV_CONFIG, null, body)
      return `${answer.code} ${answer.remark ?? ''}`.trim()
    }
    t.equal(await update('enableTopicList=false\nstrange=1\n'), '0')
    t.equal(await update('strange=2'), '0')
    t.equal(logger.lines.filter(line => line.fields['key'] === 'strange').length, 1)
    const disabled = await ask(peer, RequestCode.GET_UNIT_TOPIC_LIST)
    t.same([disabled.code, disabled.remark], [1, 'disable'])
    for (const key of ['kvConfigPath', 'configStorePath', 'configBlackList', 'rocketmqHome']) {
      t.equal(await update(`${key}=/x`), '16 Can not update config in black list.')
    }
    t.equal(
      await update('orderMessageEnable=true\nscanNotActiveBrokerInterval=soon'),
      '1 scanNotActiveBrokerInterval = soon: use a whole number from 100 to 3600000'
    )
    t.equal(
      await update('clusterTest=true'),
      '1 clusterTest = true: use only false: it is not supported'
    )
    const shown = (await ask(peer, RequestCode.GET_NAMESRV_CONFIG)).body!.toString()
    t.match(shown, /^orderMessageEnable=false$/m)
    t.match(shown, /^enableTopicList=false$/m)
    t.match(shown, /^rocketmqHome=\/opt\/rmq$/m)
    t.match(shown, /^listenPort=0$/m)
    t.match(readFileSync(`${directory}/namesrv.conf`, 'latin1'), /^enableTopicList=false$/m)
  }
)

t.test(
  'a large table that comes again is taken as it was read, and a changed one is read',
  async t => {
    const { connect } = await startNameServer(t)
    const peer = await connect()
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`T${i}`, {}]))
    const version = (counter: number) => ({ counter, timestamp: 1, stateVersion: 1 })
    const first = { id: 0, addr: 'a:1', topics: many, version: version(1) }
    await register(peer, first)
    await register(peer, first)
    t.match(await seen(peer, 'T7'), /^0=a:1/)
    const changed = { ...first, topics: { ...many, T7: { perm: 4 } }, version: version(2) }
    await register(peer, changed)
    t.match(await seen(peer, 'T7'), /perm 4/)
    await register(peer, changed)
    const identity = { brokerName: 'b', brokerAddr: 'a:1', clusterName: 'C', brokerId: '0' }
    await ask(peer, RequestCode.UNREGISTER_BROKER, identity)
    await register(peer, changed)
    t.match(await seen(peer, 'T7'), /^0=a:1.*perm 4/)
  }
)

t.test('changes of settings that come together share a write, and each is in the file', async t => {
  const { disk } = createRealPlatform()
  let writes = 0
  const counting: Disk = {
    ...disk,
    async writeFileAtomic(path, data) {
      writes += 1
      await disk.writeFileAtomic(path, data)
    }
  }
  const { connect, directory } = await startNameServer(t, { disk: counting })
  const peers = await Promise.all(Array.from({ length: 20 }, () => connect()))
  const answers = await Promise.all(
    peers.map((peer, n) =>
      ask(peer, RequestCode.UPDATE_NAMESRV_CONFIG, null, `waitSecondsForService=${n + 1}`)
    )
  )
  t.ok(answers.every(answer => answer.code === 0))
  t.ok(writes >= 1 && writes < 20, `${writes} writes`)
  const shown = (await ask(peers[0]!, RequestCode.GET_NAMESRV_CONFIG)).body!.toString()
  const seconds = /^waitSecondsForService=(\d+)$/m.exec(shown)?.[1]
  const stored = readFileSync(`${directory}/namesrv.conf`, 'latin1')
  t.match(stored, new RegExp(`^waitSecondsForService=${seconds}$`, 'm'))
})

t.test('with needWaitForService routes are answered only after a while', async t => {
  const clock = new FakeClock()
  const { connect } = await startNameServer(t, {
    clock,
    settings: { needWaitForService: 'true', waitSecondsForService: '45' }
  })
  const peer = await connect()
  await register(peer, { id: 0, addr: 'a:1', topics: { T: {} } })
  const early = await ask(peer, RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'T' })
  t.same([early.code, early.remark], [1, 'name server not ready'])
  clock.advance(45_000)
  t.equal(await seen(peer, 'T'), '0=a:1 / perm 6 queues 4')
})

t.test(
  'acting masters of 5.3: the smallest id gives topics and is shown as 0 when that is enabled',
  async t => {
    const { connect } = await startNameServer(t, { settings: { supportActingMaster: 'true' } })
    const [leader, follower, client] = [await connect(), await connect(), await connect()]
    const fields = { enableActingMaster: 'true', __ZONE_NAME: 'z1' }
    await register(leader, { id: 0, addr: 'a:1', topics: { T: {} }, fields })
    await register(follower, { id: 2, addr: 'b:1', topics: { T: {} }, fields })
    t.equal(await seen(client, 'T'), '0=a:1 2=b:1 / perm 6 queues 4')
    const identity = { brokerName: 'b', brokerAddr: 'a:1', clusterName: 'C', brokerId: '0' }
    await ask(leader, RequestCode.UNREGISTER_BROKER, identity)
    t.equal(await seen(client, 'T'), '0=b:1 / perm 4 queues 4')
    await register(follower, { id: 2, addr: 'b:1', topics: { T: {}, U: {} }, fields })
    t.equal(await seen(client, 'U'), '0=b:1 / perm 4 queues 4')
    const route = await ask(client, RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic: 'T' })
    const [data] = TopicRouteData.decode(route.body).brokerDatas
    t.same([data!.enableActingMaster, data!.zoneName], [true, 'z1'])
  }
)

t.test('two name servers live in one process and know nothing of each other', async t => {
  const [one, two] = [await startNameServer(t), await startNameServer(t)]
  const [first, second] = [await one.connect(), await two.connect()]
  await register(first, { id: 0, addr: 'a:1', topics: { T: {} } })
  t.equal(await seen(first, 'T'), '0=a:1 / perm 6 queues 4')
  t.equal(await seen(second, 'T'), 'code 17')
})

t.test('many clients at once get the same route', async t => {
  const { connect } = await startNameServer(t)
  const broker = await connect()
  await register(broker, { id: 0, addr: 'a:1', topics: { T: {} } })
  const clients = await Promise.all(Array.from({ length: 30 }, connect))
  const routes = await Promise.all(clients.map(client => seen(client, 'T')))
  t.same(new Set(routes), new Set(['0=a:1 / perm 6 queues 4']))
})

function until(condition: () => boolean): Promise<void> {
  return untilAsync(() => Promise.resolve(condition()))
}

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(setImmediate)
}

t.test("every key of the original's name server is known", async t => {
  const names = readFileSync('test/vectors/config/namesrv-keys-5.3.3.txt', 'utf8')
    .trim()
    .split('\n')
  t.ok(names.length > 50)
  const home = { userHome: '/home/me', rocketmqHome: '' }
  // 0 is a number, a text, and no flag: what is refused for its value is known by its name.
  for (const name of names) {
    try {
      t.strictSame(NamesrvConfig.parse(new Map([[name, '0']]), home).unknownKeys, [], name)
    } catch (error) {
      t.match(error, { code: 'LMQ_BAD_CONFIG', key: name })
    }
  }
  t.strictSame(NamesrvConfig.parse(new Map([['listenport', '1']]), home).unknownKeys, [
    'listenport'
  ])
})
