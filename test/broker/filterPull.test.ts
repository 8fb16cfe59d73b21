import t from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import {
  CheckClientRequestBody,
  decodeStoredMessages,
  QueryConsumeQueueResponseBody,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  retryTopic,
  SubscriptionData
} from '../../src/protocol/index.ts'
import { serving, startBroker, TestClient, until } from './helpers.ts'

const SQL92 = 'SQL92'
const classFilterFlag = 8
const suspendFlag = 2

function numbers(answer: RemotingCommand): string[] {
  return answer.body === null
    ? []
    : decodeStoredMessages(answer.body).map(message => message.body.toString())
}

/** Code, status, next offset. */
function head(answer: RemotingCommand): readonly [number, string | null, number] {
  return [answer.code, answer.remark, Number(answer.extFields?.['nextBeginOffset'])]
}

async function fill(client: TestClient, topic: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++)
    await client.send(topic, `m${i}`, {
      props: { n: String(i), colour: i % 2 === 0 ? 'red' : 'blue' }
    })
}

function check(
  client: TestClient,
  subString: string,
  expressionType = SQL92
): Promise<RemotingCommand> {
  const subscriptionData = SubscriptionData.of({ topic: 'T', subString, expressionType })
  const body = CheckClientRequestBody.encode({ clientId: 'c', group: 'G', subscriptionData })
  return client.ask(RequestCode.CHECK_CLIENT_CONFIG, null, body)
}

async function filtering(
  t: import('tap').Test,
  settings: Record<string, string> = {}
): Promise<{ broker: Broker; client: TestClient }> {
  const broker = await startBroker(t, { enablePropertyFilter: 'true', ...settings })
  await serving(broker)
  return { broker, client: new TestClient(t, broker.address) }
}

t.test('expressions in pulls and of groups', async t => {
  const { broker, client } = await filtering(t)
  await fill(client, 'F', 10)

  t.test('an expression of the pull itself', async t => {
    const pull = (subscription: string, offset = 0, max = 32) =>
      client.pull('F', 0, offset, { subscription, expressionType: SQL92, max })
    const found = await pull('n BETWEEN 3 AND 5')
    t.strictSame(head(found), [0, 'FOUND', 10], 'what is passed over is not looked at again')
    t.strictSame(numbers(found), ['m3', 'm4', 'm5'])
    const some = await pull("colour = 'blue'", 0, 2)
    t.strictSame(numbers(some), ['m1', 'm3'])
    t.strictSame(head(some), [0, 'FOUND', 4])
    t.strictSame(numbers(await pull("colour = 'blue'", 4)), ['m5', 'm7', 'm9'])
    t.strictSame(head(await pull('n > 99')), [20, 'NO_MATCHED_MESSAGE', 10])
    t.strictSame(head(await pull('n > 99', 10)), [19, 'OFFSET_OVERFLOW_ONE', 10])
    t.strictSame(head(await pull('n > 99', 99)), [21, 'OFFSET_OVERFLOW_BADLY', 10])
    const lite = await client.pull('F', 0, 0, {
      subscription: 'n = 7',
      expressionType: SQL92,
      code: RequestCode.LITE_PULL_MESSAGE
    })
    t.strictSame(numbers(lite), ['m7'])
  })

  t.test('what does not compile is refused, not let through', async t => {
    const code = async (subscription: string, expressionType = SQL92) =>
      (await client.pull('F', 0, 0, { subscription, expressionType })).code
    t.equal(await code('n >'), ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(await code(''), ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(await code('n > 1', 'XPATH'), ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(await code('('.repeat(50_000)), ResponseCode.SUBSCRIPTION_PARSE_FAILED)
  })

  t.test("a group's expression of its heartbeat, and its versions", async t => {
    const member = new TestClient(t, broker.address, 'member')
    const pull = (subVersion: number, given: Parameters<TestClient['pull']>[3] = {}) =>
      member.pull('F', 0, 0, { group: 'GF', subscription: null, subVersion, ...given })
    t.equal((await pull(1)).code, ResponseCode.SUBSCRIPTION_NOT_EXIST)
    await member.heartbeat('GF', { F: { expression: 'n < 2', type: SQL92, version: 5 } })
    t.strictSame(numbers(await pull(5, { expressionType: SQL92 })), ['m0', 'm1'])
    t.strictSame(numbers(await pull(0)), ['m0', 'm1'], 'Go says TAG and no version')
    t.equal((await pull(6)).code, ResponseCode.SUBSCRIPTION_NOT_LATEST)
    await member.heartbeat('GF', { F: { expression: 'n > 8', type: SQL92, version: 4 } })
    t.strictSame(numbers(await pull(5)), ['m0', 'm1'], 'an older one is ignored')
    await member.heartbeat('GF', { F: { expression: 'n > 8', type: SQL92, version: 6 } })
    t.strictSame(numbers(await pull(6)), ['m9'])
    await member.heartbeat('GF', { F: { expression: 'n >', type: SQL92, version: 7 } })
    const missing = await pull(7)
    t.equal(missing.code, ResponseCode.FILTER_DATA_NOT_EXIST)
    t.equal(
      missing.remark,
      "The broker's consumer filter data is not exist!Your expression may be wrong!"
    )
    await member.heartbeat('GF', { F: { expression: 'n > 1', type: 'XPATH', version: 8 } })
    t.equal((await pull(8)).code, ResponseCode.FILTER_DATA_NOT_EXIST)
    await member.heartbeat('GF', { F: { expression: '*', version: 9 } })
    t.equal(numbers(await pull(9)).length, 10, 'back to tags')
    await member.remoting.close()
    await until(() => broker.consumers.find('GF') === undefined)
    const gone = await client.pull('F', 0, 0, { group: 'GF', subscription: null })
    t.equal(gone.code, ResponseCode.SUBSCRIPTION_NOT_EXIST, 'nothing is kept of a group that went')
  })

  t.test('a consumer is told at its start whether its expression compiles', async t => {
    t.equal((await check(client, 'a > 1')).code, ResponseCode.SUCCESS)
    t.equal((await check(client, 'x', 'TAG')).code, ResponseCode.SUCCESS)
    const refused = await check(client, 'a BETWEEN 8 AND 5')
    t.equal(refused.code, ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(
      refused.remark,
      'java.lang.RuntimeException: Illegal values of between, left value(8) must less than or equal to right value(5)'
    )
    const unknown = await check(client, 'a > 1', 'XPATH')
    t.equal(unknown.code, ResponseCode.SUBSCRIPTION_PARSE_FAILED)
    t.equal(unknown.remark, 'no filter of the type "XPATH": TAG or SQL92')
  })

  t.test('the filter of a group is shown with the units of a queue', async t => {
    const member = new TestClient(t, broker.address, 'shown')
    const shown = async () => {
      const fields = { topic: 'F', queueId: 0, index: 0, count: 1, consumerGroup: 'GQ' }
      const { body } = await member.ask(RequestCode.QUERY_CONSUME_QUEUE, fields)
      return QueryConsumeQueueResponseBody.decode(body)
    }
    await member.heartbeat('GQ', { F: { expression: 'n < 2', type: SQL92, version: 3 } })
    const { filterData, subscriptionData } = await shown()
    t.match(JSON.parse(filterData ?? ''), { expression: 'n < 2', clientVersion: 3 })
    t.match(subscriptionData, { subString: 'n < 2', expressionType: SQL92 })
    await member.heartbeat('GQ', { F: { expression: 'n <', type: SQL92, version: 4 } })
    t.equal((await shown()).filterData, 'null')
  })

  t.test('class filters are refused', async t => {
    const flagged = await client.pull('F', 0, 0, { sysFlag: classFilterFlag })
    t.equal(flagged.code, ResponseCode.SYSTEM_ERROR)
    t.match(flagged.remark, /does not support consumer to filter message by class/)
    for (const code of [301, 302])
      t.equal((await client.ask(code)).code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
  })

  t.test('without enablePropertyFilter the original refuses, and so do we', async t => {
    const member = new TestClient(t, broker.address, 'off')
    await member.heartbeat('GO', { F: { expression: 'n < 2', type: SQL92 } })
    broker.config.update([['enablePropertyFilter', 'false']])
    const refusals = [
      await member.pull('F', 0, 0, { group: 'GO', subscription: null }),
      await member.pull('F', 0, 0, { subscription: 'n < 2', expressionType: SQL92 }),
      await check(member, 'n < 2')
    ]
    for (const { code, remark } of refusals) {
      t.equal(code, ResponseCode.SYSTEM_ERROR)
      t.equal(remark, 'The broker does not support consumer to filter message by SQL92')
    }
    broker.config.update([['enablePropertyFilter', 'true']])
    t.strictSame(numbers(await member.pull('F', 0, 0, { group: 'GO', subscription: null })), [
      'm0',
      'm1'
    ])
  })
})

t.test('a conf without the key has the default of the original', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  t.equal((await check(client, 'a > 1')).code, ResponseCode.SYSTEM_ERROR)
})

t.test('bit maps that nobody keeps change nothing', async t => {
  const { broker, client } = await filtering(t, {
    enableCalcFilterBitMap: 'true',
    enableConsumeQueueExt: 'true',
    expectConsumerNumUseFilter: '1',
    maxErrorRateOfBloomFilter: '99',
    bitMapLengthConsumeQueueExt: '8'
  })
  await fill(client, 'B', 10)
  const heartbeat = (expression: string, version: number) =>
    client.heartbeat('BG', { B: { expression, type: SQL92, version } })
  const pull = (subVersion: number) =>
    client.pull('B', 0, 0, { group: 'BG', subVersion, subscription: null, expressionType: SQL92 })
  await heartbeat('n > 7', 1)
  t.strictSame(numbers(await pull(1)), ['m8', 'm9'], 'of messages that are older than the group')
  await fill(client, 'B', 10)
  t.strictSame(numbers(await pull(1)), ['m8', 'm9', 'm8', 'm9'])
  await heartbeat('n < 1', 2)
  t.strictSame(numbers(await pull(2)), ['m0', 'm0'], 'a new expression holds for all of them')
  t.equal(broker.config.unknown.length, 0)
})

t.test('a pull that waits is woken by a message that matches, and by no other', async t => {
  const { broker, client } = await filtering(t)
  await fill(client, 'W', 1)
  const waits = (subscription: string, id: string) => {
    const waiting = new TestClient(t, broker.address, id)
    return waiting.pull('W', 0, 1, {
      subscription,
      expressionType: SQL92,
      sysFlag: suspendFlag,
      suspendMs: 9_000
    })
  }
  let answered = 0
  const seven = waits('n = 7', 'one')
  const again = waits('n = 7', 'two')
  const other = waits("colour = 'none'", 'three').then(answer => {
    answered += 1
    return answer
  })
  await until(() => broker.holds.size === 3)
  for (const n of ['5', '6', 'seven']) await client.send('W', n, { props: { n } })
  t.equal(broker.holds.size, 3, 'still waiting')
  await client.send('W', 'seven', { props: { n: '7' } })
  t.strictSame(numbers(await seven), ['seven'])
  t.strictSame(head(await again), [0, 'FOUND', 5])
  t.equal(broker.holds.size, 1)
  t.equal(answered, 0)
  await client.send('W', 'none', { props: { colour: 'none' } })
  t.strictSame(numbers(await other), ['none'])
})

t.test(
  'filters that would hold up an arrival are asked no more, their pulls look again soon',
  async t => {
    const { broker, client } = await filtering(t)
    await fill(client, 'H', 1)
    const large = 'x'.repeat(30_000)
    const waits = (id: number) => {
      const searches = Array.from({ length: 300 }, (_, i) => `large CONTAINS 'y${id}-${i}'`)
      return client.pull('H', 0, 1, {
        subscription: searches.join(' OR '),
        expressionType: SQL92,
        sysFlag: suspendFlag,
        suspendMs: 60_000
      })
    }
    const answers: RemotingCommand[] = []
    for (let id = 0; id < 8; id++)
      waits(id).then(
        answer => answers.push(answer),
        () => {}
      )
    await until(() => broker.holds.size === 8)
    await client.send('H', 'large', { props: { large } })
    await until(() => answers.length > 0)
    const left = broker.holds.size
    t.ok(left >= 3, `${left} were asked and wait on`)
    await until(() => answers.length === 8 - left)
    for (const answer of answers) t.strictSame(head(answer), [20, 'NO_MATCHED_MESSAGE', 2])
  }
)

t.test('at the end of its time a pull that waited says how far it looked', async t => {
  const { broker, client } = await filtering(t)
  await fill(client, 'E', 1)
  const waiting = client.pull('E', 0, 1, {
    subscription: 'n = 7',
    expressionType: SQL92,
    sysFlag: suspendFlag,
    suspendMs: 300
  })
  await until(() => broker.holds.size === 1)
  await client.send('E', 'x', { props: { n: '8' } })
  t.strictSame(head(await waiting), [20, 'NO_MATCHED_MESSAGE', 2])
})

t.test('one pull looks at so many units only', async t => {
  const { client } = await filtering(t, { maxFilterMessageSize: '100' })
  await fill(client, 'L', 12)
  const at = async (offset: number) =>
    head(
      await client.pull('L', 0, offset, { subscription: 'n = 11', expressionType: SQL92, max: 1 })
    )
  t.strictSame(await at(0), [20, 'NO_MATCHED_MESSAGE', 5])
  t.strictSame(await at(5), [20, 'NO_MATCHED_MESSAGE', 10])
  t.strictSame(await at(10), [0, 'FOUND', 12])
})

t.test('an expensive expression ends its pull early, and none is lost', async t => {
  const { client } = await filtering(t)
  const large = 'x'.repeat(30_000)
  for (let i = 0; i < 8; i++) await client.send('X', `m${i}`, { props: { n: String(i), large } })
  const searches = Array.from({ length: 300 }, (_, i) => `large CONTAINS 'y${i}'`)
  const subscription = `${searches.join(' OR ')} OR n = 7`
  const seen: string[] = []
  let offset = 0
  let pulls = 0
  while (offset < 8) {
    const answer = await client.pull('X', 0, offset, { subscription, expressionType: SQL92 })
    seen.push(...numbers(answer))
    const next = Number(answer.extFields?.['nextBeginOffset'])
    t.ok(next > offset, 'each pull gets on')
    offset = next
    pulls += 1
  }
  t.ok(pulls > 1, `${pulls} pulls`)
  t.strictSame(seen, ['m7'])
})

t.test('retried messages pass, or are filtered like the topic from which they came', async t => {
  const { broker, client } = await filtering(t)
  await client.heartbeat('GR', {
    R: { expression: 'n > 5', type: SQL92 },
    [retryTopic('GR')]: {}
  })
  await until(() => broker.topics.find(retryTopic('GR')) !== undefined)
  for (const [topic, n] of [
    ['R', '3'],
    ['R', '7'],
    ['Elsewhere', '3']
  ] as const)
    await client.send(retryTopic('GR'), `${topic}${n}`, { props: { RETRY_TOPIC: topic, n } })
  const pull = () => client.pull(retryTopic('GR'), 0, 0, { group: 'GR', subscription: null })
  t.strictSame(numbers(await pull()), ['R3', 'R7', 'Elsewhere3'])
  broker.config.update([['filterSupportRetry', 'true']])
  t.strictSame(numbers(await pull()), ['R7', 'Elsewhere3'])
})

t.test('messages that are on the disk only are filtered too', async t => {
  const { broker, client } = await filtering(t)
  const body = Buffer.alloc(100_000, 'b')
  for (let i = 0; i < 80; i++)
    await client.send('D', body, { props: { n: String(i), colour: i % 20 === 0 ? 'red' : 'blue' } })
  const seen: string[] = []
  let offset = 0
  while (offset < 80) {
    const answer = await client.pull('D', 0, offset, {
      subscription: "colour = 'red'",
      expressionType: SQL92
    })
    const messages = answer.body === null ? [] : decodeStoredMessages(answer.body)
    seen.push(...messages.map(message => message.properties.get('n') ?? ''))
    const next = Number(answer.extFields?.['nextBeginOffset'])
    t.ok(next > offset)
    offset = next
  }
  t.strictSame(seen, ['0', '20', '40', '60'])
  t.ok(broker.store.counters.getFromDisk > 0, 'some of it came from the disk')
})
