import { readFileSync } from 'node:fs'
import { deflateSync } from 'node:zlib'
import t from 'tap'
import {
  BrokerStatsData,
  CheckClientRequestBody,
  ClusterInfo,
  ConsumeMessageDirectlyResult,
  ConsumerConnection,
  ConsumerOffsetSerializeWrapper,
  ConsumerRunningInfo,
  ConsumeStats,
  ConsumeStatsList,
  configText,
  DelayOffsetSerializeWrapper,
  decodeCommand,
  decodeRegisterBrokerBody,
  EpochEntryCache,
  encodePackedRegisterBrokerBody,
  encodeRegistration,
  type Form,
  GetConsumerListByGroupResponseBody,
  GetConsumerStatusBody,
  GroupList,
  groupProblem,
  HeartbeatData,
  isForbiddenForSending,
  isSystemTopic,
  type JsonValue,
  javaDouble,
  KVTable,
  LockBatchRequestBody,
  LockBatchResponseBody,
  ObjectKeyed,
  ProducerConnection,
  ProtocolError,
  parseLenientJson,
  parsePropertiesFile,
  QueryConsumeQueueResponseBody,
  RegisterBrokerBody,
  ResetOffsetBody,
  ResetOffsetBodyForC,
  registrationText,
  SubscriptionData,
  SubscriptionGroupConfig,
  SubscriptionGroupWrapper,
  TopicConfig,
  TopicConfigAndQueueMapping,
  TopicConfigSerializeWrapper,
  TopicList,
  TopicRouteData,
  TopicStatsTable,
  topicProblem,
  topicProblemText,
  Version,
  writePropertiesFile
} from '../../src/protocol/index.ts'
import { frameOf, recordedFrames } from './recorded.ts'

interface AnyBean extends Form<unknown> {
  decode(body: Buffer): unknown
  encode(value: unknown): Buffer
}

/** Which form the bodies of a request code have. */
const bodies: Record<string, AnyBean> = {
  '21 response': TopicConfigSerializeWrapper,
  '28 response': KVTable,
  '34 request': HeartbeatData,
  '38 response': GetConsumerListByGroupResponseBody,
  '41 request': LockBatchRequestBody,
  '41 response': LockBatchResponseBody,
  '42 request': LockBatchRequestBody,
  '43 response': ConsumerOffsetSerializeWrapper,
  '45 response': DelayOffsetSerializeWrapper,
  '46 request': CheckClientRequestBody,
  '103 request': RegisterBrokerBody,
  '103 response': KVTable,
  '105 response': TopicRouteData,
  '106 response': ClusterInfo,
  '200 request': SubscriptionGroupConfig,
  '201 response': SubscriptionGroupWrapper,
  '202 response': TopicStatsTable,
  '206 response': TopicList,
  '208 response': ConsumeStats,
  '300 response': GroupList,
  '305 response': TopicList,
  '315 response': BrokerStatsData,
  '317 response': ConsumeStatsList,
  '321 response': QueryConsumeQueueResponseBody
}

/** Everything in `part` stands equally in `whole`, which may have more keys; names the first place where it does not. */
function missing(part: JsonValue, whole: JsonValue, path = '$'): string | null {
  if (typeof part !== 'object' || part === null || typeof whole !== 'object' || whole === null)
    return part === whole
      ? null
      : `${path}: ${JSON.stringify(part)} became ${JSON.stringify(whole)}`
  if (Array.isArray(part) || Array.isArray(whole)) {
    if (!Array.isArray(part) || !Array.isArray(whole) || part.length !== whole.length) return path
    return (
      part
        .map((item, i) => missing(item, whole[i]!, `${path}[${i}]`))
        .find(found => found !== null) ?? null
    )
  }
  const entries = (value: object): [string, JsonValue][] =>
    value instanceof ObjectKeyed
      ? value.entries.map(([key, entry]): [string, JsonValue] => [
          typeof key === 'string' ? key : JSON.stringify(key),
          entry
        ])
      : Object.entries(value as Record<string, JsonValue>)
  const wholeEntries = new Map(entries(whole))
  for (const [key, value] of entries(part)) {
    const found = wholeEntries.get(key)
    if (found === undefined) return `${path}.${key}`
    const inner = missing(value, found, `${path}.${key}`)
    if (inner !== null) return inner
  }
  return null
}

t.test('every recorded JSON body is read, and written again with all it said', async t => {
  const seen = new Set<string>()
  for (const { file, requestCode, kind, bytes } of recordedFrames()) {
    const form = bodies[`${requestCode} ${kind}`]
    const body = decodeCommand(frameOf(bytes)).body
    if (form === undefined || body === null) continue
    const value = form.decode(body)
    const written = form.encode(value)
    t.equal(
      missing(parseLenientJson(body.toString()), parseLenientJson(written.toString())),
      null,
      file
    )
    t.strictSame(form.decode(written), value, file)
    seen.add(`${requestCode} ${kind}`)
  }
  t.strictSame(seen, new Set(Object.keys(bodies)))
})

t.test('bodies of the original without later additions are written byte for byte', async t => {
  const same: [number, AnyBean][] = [
    [38, GetConsumerListByGroupResponseBody],
    [43, ConsumerOffsetSerializeWrapper],
    [45, DelayOffsetSerializeWrapper],
    [300, GroupList],
    [315, BrokerStatsData],
    [321, QueryConsumeQueueResponseBody]
  ]
  for (const [code, form] of same) {
    let compared = 0
    for (const { file, requestCode, kind, bytes } of recordedFrames()) {
      const body = decodeCommand(frameOf(bytes)).body
      if (requestCode !== code || kind !== 'response' || body === null) continue
      t.equal(form.encode(form.decode(body)).toString(), body.toString(), file)
      compared++
    }
    t.ok(compared > 0, `code ${code}`)
  }
})

const queue = { brokerName: 'b-a', queueId: 0, topic: 'T' }
const queueText = '{"brokerName":"b-a","queueId":0,"topic":"T"}'

t.test('samples of the original classes are written byte for byte', async t => {
  const cases: [AnyBean, string][] = [
    [ResetOffsetBody, `{"offsetTable":{${queueText}:3}}`],
    [
      TopicStatsTable,
      `{"offsetTable":{${queueText}:{"lastUpdateTimestamp":0,"maxOffset":5,"minOffset":0}},"topicPutTps":0.0}`
    ],
    [
      ConsumeStats,
      `{"consumeTps":1.5,"offsetTable":{${queueText}:{"brokerOffset":9,"consumerOffset":0,"lastTimestamp":0,"pullOffset":0}}}`
    ],
    [
      GetConsumerStatusBody,
      `{"consumerTable":{"clientId":{${queueText}:3}},"messageQueueTable":{${queueText}:3}}`
    ],
    [
      ResetOffsetBodyForC,
      '{"offsetTable":[{"brokerName":"b-a","offset":7,"queueId":1,"topic":"T"}]}'
    ],
    [
      LockBatchRequestBody,
      `{"clientId":"c","consumerGroup":"G","mqSet":[${queueText}],"onlyThisBroker":false}`
    ],
    [
      HeartbeatData,
      '{"clientID":"10.0.0.9@4711#1234","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"G","messageModel":"CLUSTERING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[65],"expressionType":"TAG","subString":"A || B","subVersion":1,"tagsSet":["A"],"topic":"T"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"PG"}],"withoutSub":false}'
    ],
    [
      TopicConfigSerializeWrapper,
      '{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},"mappingDataVersion":{"counter":0,"stateVersion":0,"timestamp":1700000000000},"topicConfigTable":{"T":{"attributes":{},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":4}},"topicQueueMappingDetailMap":{},"topicQueueMappingInfoMap":{}}'
    ],
    [
      SubscriptionGroupConfig,
      '{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"G","groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}'
    ],
    [
      ConsumeMessageDirectlyResult,
      '{"autoCommit":true,"consumeResult":"CR_SUCCESS","order":false,"spentTimeMills":0}'
    ],
    [
      TopicRouteData,
      '{"brokerDatas":[{"brokerAddrs":{"0":"10.0.0.1:10911","1":"10.0.0.2:10911"},"brokerName":"b-a","cluster":"DefaultCluster","enableActingMaster":false}],"filterServerTable":{},"queueDatas":[{"brokerName":"b-a","perm":6,"readQueueNums":4,"topicSysFlag":0,"writeQueueNums":4}]}'
    ],
    [
      ConsumerConnection,
      '{"connectionSet":[{"clientAddr":"1.1.1.1:5","clientId":"c@1","language":"JAVA","version":478}],"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","messageModel":"CLUSTERING","subscriptionTable":{}}'
    ],
    [
      ProducerConnection,
      '{"connectionSet":[{"clientAddr":"1.1.1.1:5","clientId":"c","language":"GO","version":317}]}'
    ],
    [
      EpochEntryCache,
      '{"brokerId":0,"brokerName":"b","clusterName":"c","epochList":[{"epoch":1,"startOffset":0}],"maxOffset":9}'
    ],
    [
      TopicConfigAndQueueMapping,
      '{"attributes":{},"order":false,"perm":6,"readQueueNums":4,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":4}'
    ],
    [
      ConsumerRunningInfo,
      `{"mqTable":{${queueText}:{"cachedMsgCount":0,"cachedMsgMaxOffset":0,"cachedMsgMinOffset":0,"cachedMsgSizeInMiB":0,"commitOffset":0,"droped":false,"lastConsumeTimestamp":0,"lastLockTimestamp":0,"lastPullTimestamp":0,"locked":false,"transactionMsgCount":0,"transactionMsgMaxOffset":0,"transactionMsgMinOffset":0,"tryUnlockTimes":0}},"properties":{"PROP_CONSUME_TYPE":"CONSUME_PASSIVELY"},"statusTable":{"T":{"consumeFailedMsgs":0,"consumeFailedTPS":0.0,"consumeOKTPS":0.0,"consumeRT":0.0,"pullRT":0.0,"pullTPS":0.0}},"subscriptionSet":[]}`
    ]
  ]
  for (const [form, text] of cases)
    t.equal(form.encode(form.decode(Buffer.from(text))).toString(), text)
})

t.test('defaults are the original’s when a body says nothing', async t => {
  t.strictSame(TopicConfig.decode('{}'), TopicConfig.of())
  t.match(TopicConfig.of({ topicName: 'T' }), {
    topicName: 'T',
    perm: 6,
    readQueueNums: 16,
    writeQueueNums: 16,
    order: false
  })
  t.match(SubscriptionGroupConfig.decode('{"groupName":"G"}'), {
    groupName: 'G',
    consumeEnable: true,
    consumeFromMinEnable: true,
    retryMaxTimes: 16,
    retryQueueNums: 1,
    notifyConsumerIdsChangedEnable: true
  })
  t.equal(SubscriptionData.of().expressionType, 'TAG')
  const first = TopicConfig.of()
  first.attributes.set('a', 'b')
  t.equal(TopicConfig.of().attributes.size, 0, 'defaults are not shared')
})

t.test('maps keyed by queues are read in every form that clients write', async t => {
  const forms = [
    `{"offsetTable":{${queueText}:3}}`,
    `{"offsetTable":{${JSON.stringify(queueText)}:3}}`,
    `{"offsetTable":[[${queueText},3]]}`,
    `{ "offsetTable" : { {"topic":"T", "queueId":0, "brokerName":"b-a"} : "3" } }`
  ]
  for (const text of forms)
    t.strictSame(ResetOffsetBody.decode(text), { offsetTable: [[queue, 3]] }, text)
  const cluster =
    '{"brokerAddrTable":{"b":{"brokerAddrs":{0:"h:1",2:"h:2"},"brokerName":"b","cluster":"c"}},"clusterAddrTable":{"c":["b"]}}'
  t.strictSame(
    [...ClusterInfo.decode(cluster).brokerAddrTable.get('b')!.brokerAddrs],
    [
      [0, 'h:1'],
      [2, 'h:2']
    ]
  )
  t.strictSame(
    ClusterInfo.decode(cluster.replace('{0:', '{"0":').replace(',2:', ',"2":')),
    ClusterInfo.decode(cluster)
  )
})

t.test('references to values written before are resolved', async t => {
  const value = parseLenientJson(
    '{"a":{"b":[{"x":1},{"$ref":"$.a.b[0]"}]},"c":{"$ref":"$.a"},"up":{"in":{"$ref":".."}},"lost":{"$ref":"$.nowhere.x"},"odd\\\\key":2}'
  ) as Record<string, JsonValue>
  const a = value['a'] as { b: JsonValue[] }
  t.strictSame({ ...(a.b[1] as object) }, { x: 1 })
  t.equal(value['c'], value['a'])
  t.equal((value['up'] as Record<string, JsonValue>)['in'], value)
  t.equal(value['lost'], null)
  const status = GetConsumerStatusBody.decode(
    `{"consumerTable":{"c":{${queueText}:3}},"messageQueueTable":{"$ref":"$.consumerTable.c"}}`
  )
  t.strictSame(status.messageQueueTable, [[queue, 3]])
  const keyed = GetConsumerStatusBody.decode(
    `{"consumerTable":{"c":{${queueText}:3}},"messageQueueTable":{{"$ref":"$.consumerTable.c.MessageQueue\\\\ \\\\[topic\\\\=T,\\\\ brokerName\\\\=b-a,\\\\ queueId\\\\=0\\\\]"}:4}}`
  )
  t.strictSame(keyed.messageQueueTable, [[queue, 4]])
  t.equal(parseLenientJson('{"$ref":"$"}'), null, 'a circle leads nowhere')
})

t.test('references that stand for millions of values are a bad body', t => {
  const many = (item: string, times: number): string => `[${Array(times).fill(item).join(',')}]`
  const bombs = {
    wide: `{"a":${many('1', 2_000)},"b":${many('{"$ref":"$.a"}', 2_000)}}`,
    // The last list is resolved before those that it refers to.
    deep: `{"c":${many('{"$ref":"$.b"}', 200)},"b":${many('{"$ref":"$.a"}', 200)},"a":${many('1', 200)}}`,
    lookups: `{"k":{{"x":1}:1${',{"x":1}:1'.repeat(3_000)}},"r":${many('{"$ref":"$.k.lost"}', 3_000)}}`,
    circles: `{"a":${many('{"$ref":"$"}', 100)}}`
  }
  for (const [name, text] of Object.entries(bombs))
    t.throws(() => parseLenientJson(text), { code: 'LMQ_BAD_BODY', message: /values/ }, name)
  t.end()
})

t.test('what is not readable, or of another kind, is a bad body', async t => {
  for (const text of [
    '',
    '{',
    '{"a"}',
    '[1',
    '"x',
    '{"a":tru}',
    '{"a":1}x',
    '"\\u12"',
    '\\',
    '{"a":}'
  ]) {
    t.throws(() => parseLenientJson(text), { code: 'LMQ_BAD_BODY' }, text)
  }
  t.throws(() => parseLenientJson('['.repeat(100_000)), /more than 64 levels/)
  t.throws(() => TopicConfig.decode(null), /body is missing, TopicConfig/)
  t.throws(() => TopicConfig.decode('[]'), /TopicConfig is not an object/)
  t.throws(() => TopicConfig.decode('{"perm":"six"}'), /TopicConfig.perm is not a number/)
  t.throws(() => TopicConfig.decode('{"order":"maybe"}'), /TopicConfig.order is not a boolean/)
  t.throws(() => TopicConfig.decode('{"topicFilterType":[]}'), /one of SINGLE_TAG, MULTI_TAG/)
  t.throws(
    () => HeartbeatData.decode('{"consumerDataSet":{"a":1}}'),
    /consumerDataSet is not a list/
  )
})

t.test(
  'enumerations are read by name in any case and by ordinal, and unknown words count as missing',
  async t => {
    const model = (text: string): string =>
      ConsumerConnection.decode(`{"messageModel":${text}}`).messageModel
    t.equal(model('"BROADCASTING"'), 'BROADCASTING')
    t.equal(model('"BroadCasting"'), 'BROADCASTING')
    t.equal(model('0'), 'BROADCASTING')
    t.equal(model('"LITE_SELECTIVE"'), 'CLUSTERING')
  }
)

t.test('doubles always have a fraction, as Java prints them', async t => {
  const cases: [number, string][] = [
    [0, '0.0'],
    [-0, '-0.0'],
    [1.5, '1.5'],
    [100, '100.0'],
    [0.001, '0.001'],
    [0.000123, '1.23E-4'],
    [9_999_999, '9999999.0'],
    [1e7, '1.0E7'],
    [1.25e21, '1.25E21'],
    [Number.NaN, 'null']
  ]
  for (const [value, text] of cases) t.equal(javaDouble(value), text)
})

t.test('longs at the end of their range are written as Java longs', async t => {
  const text = ResetOffsetBody.encode({ offsetTable: [[queue, 2 ** 63]] }).toString()
  t.equal(text, `{"offsetTable":{${queueText}:9223372036854775807}}`)
  t.match(
    ResetOffsetBody.encode({ offsetTable: [[queue, 2 ** 60]] }).toString(),
    ':1152921504606846976}'
  )
})

t.test('registrations read in all their forms', async t => {
  const topics = new Map([
    [
      'T',
      TopicConfig.of({
        topicName: 'T',
        readQueueNums: 4,
        attributes: new Map([['message.type', 'FIFO odd']])
      })
    ],
    ['M', TopicConfig.of({ topicName: 'M', perm: 4, topicFilterType: 'MULTI_TAG' })]
  ])
  const body = RegisterBrokerBody.of({
    filterServerList: ['f:1'],
    topicConfigSerializeWrapper: TopicConfigSerializeWrapper.of({
      dataVersion: { counter: 3, stateVersion: 2, timestamp: 1_700_000_000_000 },
      topicConfigTable: topics,
      topicQueueMappingInfoMap: new Map()
    })
  })
  t.strictSame(
    decodeRegisterBrokerBody(RegisterBrokerBody.encode(body), Version.V5_3_3, false),
    body
  )
  const packed5 = encodePackedRegisterBrokerBody(body, Version.V5_3_3)
  t.strictSame(decodeRegisterBrokerBody(packed5, Version.V5_3_3, true), body)
  const read4 = decodeRegisterBrokerBody(
    encodePackedRegisterBrokerBody(body, Version.V4_9_8),
    Version.V4_9_8,
    true
  )
  t.strictSame([...read4.topicConfigSerializeWrapper.topicConfigTable.keys()], ['T', 'M'])
  t.match(read4.topicConfigSerializeWrapper.topicConfigTable.get('T'), {
    readQueueNums: 4,
    attributes: new Map()
  })
  const old = TopicConfigSerializeWrapper.encode(body.topicConfigSerializeWrapper)
  t.strictSame(
    decodeRegisterBrokerBody(old, 30, false).topicConfigSerializeWrapper,
    body.topicConfigSerializeWrapper
  )
  t.equal(
    decodeRegisterBrokerBody(null, 479, false).topicConfigSerializeWrapper.topicConfigTable.size,
    0
  )
  for (const broken of [
    packed5.subarray(0, 20),
    deflateSync(Buffer.from('00000099', 'hex')),
    Buffer.from('x')
  ]) {
    t.throws(() => decodeRegisterBrokerBody(broken, 479, true), { code: 'LMQ_BAD_BODY' })
  }
})

t.test('the original’s own configuration files are read', async t => {
  const read = (name: string): Buffer => readFileSync(`test/vectors/store/${name}.json`)
  const topics = TopicConfigSerializeWrapper.decode(read('topics')).topicConfigTable
  t.equal(topics.get('SCHEDULE_TOPIC_XXXX')?.readQueueNums, 18)
  t.ok(SubscriptionGroupWrapper.decode(read('subscriptionGroup')).subscriptionGroupTable.size > 5)
  const offsets = ConsumerOffsetSerializeWrapper.decode(read('consumerOffset')).offsetTable
  t.ok(offsets.size > 3)
  for (const [key, queues] of offsets) {
    t.match(key, /@/)
    for (const [queueId, offset] of queues) t.ok(queueId >= 0 && offset >= 0)
  }
  t.ok(DelayOffsetSerializeWrapper.decode(read('delayOffset')).offsetTable.size > 0)
})

t.test('properties files follow the rules of java.util.Properties', async t => {
  const text = [
    '# comment = no',
    '! also = none',
    'brokerName=a ',
    'a : 1',
    'b\tx y',
    '  c  =  3',
    'long = one \\',
    '   two',
    'u = \\u00e4\\n\\t\\\\',
    'key\\:with\\=marks = v',
    'empty =',
    'bare',
    'a = 2'
  ].join('\r\n')
  const { entries, lines } = parsePropertiesFile(text)
  t.strictSame([...entries].sort(), [
    ['a', '2'],
    ['b', 'x y'],
    ['bare', ''],
    ['brokerName', 'a '],
    ['c', '3'],
    ['empty', ''],
    ['key:with=marks', 'v'],
    ['long', 'one two'],
    ['u', 'ä\n\t\\']
  ])
  t.equal(lines.get('a'), 13)
  t.equal(lines.get('u'), 9)
  t.equal(
    parsePropertiesFile(Buffer.from('k=\xe4', 'latin1')).entries.get('k'),
    'ä',
    'bytes are ISO-8859-1'
  )
  t.strictSame([...parsePropertiesFile(writePropertiesFile(entries)).entries], [...entries])
  t.equal(configText([['k', 'a:b=c']]), 'k=a:b=c\n')
})

t.test('names are checked as the original checks them', async t => {
  t.equal(topicProblem('%RETRY%group-1_x|y'), null)
  t.equal(topicProblem(' '), 'blank')
  t.equal(topicProblem('a.b'), 'illegalCharacters')
  t.equal(topicProblem('x'.repeat(127)), null)
  t.equal(topicProblem('x'.repeat(128)), 'tooLong')
  t.equal(groupProblem('x'.repeat(255)), null)
  t.equal(groupProblem('x'.repeat(256)), 'tooLong')
  t.match(topicProblemText('illegalCharacters'), '^[%|a-zA-Z0-9_-]+$')
  t.ok(isSystemTopic('TBW102') && isSystemTopic('rmq_sys_anything'))
  t.notOk(isSystemTopic('%RETRY%x'))
  t.ok(isForbiddenForSending('SCHEDULE_TOPIC_XXXX'))
  t.notOk(isForbiddenForSending('TBW102'))
})

t.test('errors tell their kind and are never worth another try', async t => {
  const error = new ProtocolError('LMQ_BAD_BODY', 'x', { cause: new Error('y') })
  t.match(error, {
    name: 'ProtocolError',
    code: 'LMQ_BAD_BODY',
    retryable: false,
    cause: { message: 'y' }
  })
})

t.test('a registration of topics that are texts already is the same body', async t => {
  const topics = ['a', 'b"c', '%RETRY%g'].map((topicName, i) =>
    TopicConfig.of({
      topicName,
      readQueueNums: i,
      writeQueueNums: 4,
      order: i === 1,
      attributes: new Map(i === 2 ? [['message.type', 'FIFO']] : [])
    })
  )
  const dataVersion = { counter: 7, timestamp: 1_700_000_000_000, stateVersion: 3 }
  for (const list of [topics, []]) {
    const whole = RegisterBrokerBody.encode(
      RegisterBrokerBody.of({
        topicConfigSerializeWrapper: TopicConfigSerializeWrapper.of({
          dataVersion,
          topicConfigTable: new Map(list.map(topic => [topic.topicName, topic]))
        })
      })
    )
    const texts = list.map(topic => registrationText(topic))
    t.equal(encodeRegistration(dataVersion, texts).toString(), whole.toString())
  }
})
