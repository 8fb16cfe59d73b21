import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import {
  decodeStoredMessage,
  MessageSysFlag,
  parseOffsetMessageId,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  type StoredMessage
} from '../../src/protocol/index.ts'
import { freePorts } from '../helpers/freePorts.ts'
import {
  halt,
  newDirectory,
  type Settings,
  serving,
  startBroker,
  TestClient,
  until
} from './helpers.ts'

const HALF = 'RMQ_SYS_TRANS_HALF_TOPIC'
const COMMIT = MessageSysFlag.transactionCommit
const ROLLBACK = MessageSysFlag.transactionRollback
/** Nothing is asked about before a test says so. */
const patient: Settings = { transactionTimeOut: '3600000', transactionCheckInterval: '3600000' }
/** A new leader asks nothing while ends may be on their way from other members: here there are none. */
const alone: Settings = { ...patient, forwardHoldMillis: '0', forwardTimeoutMillis: '100' }

interface Half {
  key: string
  queueOffset: string
  physicalOffset: number
  answer: RemotingCommand
}

/** A question of a broker, as a producer gets it. */
interface Question {
  fields: Record<string, string>
  message: StoredMessage
  body: Buffer
  flag: number
}

/** A producer that sends halves and keeps what it is asked. */
class TransactionClient extends TestClient {
  readonly questions: Question[] = []

  constructor(t: Test, address: string, id?: string) {
    super(t, address, id)
    this.remoting.onRequest(RequestCode.CHECK_TRANSACTION_STATE, command => {
      const body = Buffer.from(command.body!)
      const message = decodeStoredMessage(body)
      this.questions.push({ fields: command.extFields!, message, body, flag: command.flag })
      return null
    })
  }

  async half(
    topic: string,
    key: string,
    props: Record<string, string> = {},
    queueId = 0
  ): Promise<Half> {
    const answer = await this.send(topic, key, {
      queueId,
      tags: 'tx',
      props: { TRAN_MSG: 'true', PGROUP: 'PG', UNIQ_KEY: key, ...props }
    })
    if (answer.code !== 0) throw new Error(`${answer.code} ${answer.remark}`)
    const { msgId, queueOffset } = answer.extFields!
    const { physicalOffset } = parseOffsetMessageId(msgId!)!
    return { key, queueOffset: queueOffset!, physicalOffset, answer }
  }

  fieldsOf(half: Half, decision: number, more: Record<string, string> = {}) {
    return {
      producerGroup: 'PG',
      tranStateTableOffset: half.queueOffset,
      commitLogOffset: String(half.physicalOffset),
      commitOrRollback: String(decision),
      fromTransactionCheck: 'false',
      msgId: half.key,
      ...more
    }
  }

  end(half: Half, decision: number, more: Record<string, string> = {}): Promise<RemotingCommand> {
    return this.ask(RequestCode.END_TRANSACTION, this.fieldsOf(half, decision, more))
  }

  produces(): Promise<RemotingCommand> {
    return this.heartbeat('G', {}, { producers: ['PG'] })
  }

  async bodies(topic: string, queueId = 0): Promise<string[]> {
    const bodies: string[] = []
    for (;;) {
      const messages = await this.read(topic, queueId, bodies.length)
      if (messages.length === 0) return bodies
      bodies.push(...messages.map(message => message.body.toString()))
    }
  }
}

const inDoubt = (broker: Broker): number => broker.store.tables.transactions.size

/** What is in doubt falls due now; the questions behind the first stay far away. */
function ask(broker: Broker): void {
  broker.config.update([['transactionTimeOut', '0']])
}

t.test('half messages and their ends', async t => {
  const broker = await startBroker(t, alone)
  await serving(broker)
  const client = new TransactionClient(t, broker.address)
  await client.send('Tx', 'plain', { queueId: 3 })

  t.test('a half message is stored apart, and answered like a send', async t => {
    const half = await client.half('Tx', 'U-1', { KEYS: 'k' }, 2)
    t.equal(half.answer.extFields?.['queueId'], '2', 'the queue that the client meant')
    t.equal(half.answer.extFields?.['queueOffset'], '0', 'its place among the half messages')
    t.equal(half.answer.extFields?.['transactionId'], 'U-1')
    t.equal(broker.store.maxOffset('Tx', 2), 0, 'nobody sees it')
    // The topic is made beside the first half message; a pull before that finds none.
    await until(() => broker.topics.find(HALF) !== undefined)
    const [stored] = await client.read(HALF, 0)
    t.equal(stored!.physicalOffset, half.physicalOffset)
    t.equal(stored!.sysFlag & MessageSysFlag.transactionMask, 0)
    t.match(Object.fromEntries(stored!.properties), {
      REAL_TOPIC: 'Tx',
      REAL_QID: '2',
      TRAN_MSG: 'true',
      PGROUP: 'PG',
      UNIQ_KEY: 'U-1',
      __transactionId__: 'U-1'
    })
    t.match(broker.topics.find(HALF), { writeQueueNums: 1, perm: 6 })

    t.equal((await client.end(half, COMMIT)).code, ResponseCode.SUCCESS)
    const [message] = await client.read('Tx', 2)
    t.equal(message!.body.toString(), 'U-1')
    t.equal(message!.sysFlag & MessageSysFlag.transactionMask, COMMIT)
    t.equal(message!.preparedTransactionOffset, half.physicalOffset)
    t.equal(message!.bornTimestamp, stored!.bornTimestamp)
    t.strictSame(message!.bornHost, stored!.bornHost)
    t.strictSame(message!.properties, stored!.properties, 'the text is kept as it was')
    t.equal(inDoubt(broker), 0)
  })

  t.test('a rolled back one is never seen', async t => {
    const before = broker.store.maxOffset('Tx', 0)
    const half = await client.half('Tx', 'U-2')
    t.equal((await client.end(half, ROLLBACK)).code, ResponseCode.SUCCESS)
    t.match(await client.end(half, COMMIT), {
      code: ResponseCode.SYSTEM_ERROR,
      remark: 'Find prepared transaction message failed'
    })
    t.equal(broker.store.maxOffset('Tx', 0), before)
    t.equal(inDoubt(broker), 0)
  })

  t.test('of many ends at the same time one counts', async t => {
    const half = await client.half('Many', 'U-3')
    const clients = [client, new TransactionClient(t, broker.address, 'other')]
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => clients[i % 2]!.end(half, COMMIT))
    )
    t.equal(answers.filter(answer => answer.code === ResponseCode.SUCCESS).length, 1)
    t.strictSame(await client.bodies('Many'), ['U-3'])
  })

  t.test('a one-way end, as clients send it, is carried out', async t => {
    const half = await client.half('OneWay', 'U-4')
    await client.oneway(RequestCode.END_TRANSACTION, client.fieldsOf(half, COMMIT))
    await until(() => inDoubt(broker) === 0)
    t.strictSame(await client.bodies('OneWay'), ['U-4'])
  })

  t.test('an end that does not fit is refused with the remarks of the original', async t => {
    const half = await client.half('Tx', 'U-5')
    const cases: [Record<string, string>, string][] = [
      [{ producerGroup: 'Other' }, 'The producer group wrong'],
      [{ tranStateTableOffset: '99' }, 'The transaction state table offset wrong'],
      [{ commitLogOffset: '99999999' }, 'Find prepared transaction message failed'],
      [{ commitLogOffset: '-1' }, 'Find prepared transaction message failed']
    ]
    const plain = await client.send('Tx', 'plain')
    const { physicalOffset } = parseOffsetMessageId(plain.extFields!['msgId']!)!
    cases.push([
      { commitLogOffset: String(physicalOffset) },
      'Find prepared transaction message failed'
    ])
    for (const [more, remark] of cases)
      for (const decision of [COMMIT, ROLLBACK])
        t.match(await client.end(half, decision, more), {
          code: ResponseCode.SYSTEM_ERROR,
          remark
        })
    t.equal(inDoubt(broker), 1, 'none of them did anything')
    t.match(await client.ask(RequestCode.END_TRANSACTION, {}), {
      code: ResponseCode.SYSTEM_ERROR
    })
    await client.end(half, ROLLBACK)
  })

  t.test('no decision: no answer, and nothing is done', async t => {
    const half = await client.half('Tx', 'U-6')
    let answered = false
    const undecided = client.end(half, 0).finally(() => {
      answered = true
    })
    undecided.catch(() => {})
    // Requests of one connection are taken in their order.
    await client.send('Tx', 'behind it')
    t.equal(answered, false)
    t.equal(inDoubt(broker), 1)
    t.equal((await client.end(half, COMMIT)).code, 0)
  })

  t.test('after its own time of immunity only a check decides', async t => {
    const half = await client.half('Tx', 'U-7', { CHECK_IMMUNITY_TIME_IN_SECONDS: '0' })
    const { storeTimestamp } = broker.store.tables.transactions.get(half.physicalOffset) ?? {
      storeTimestamp: 0
    }
    await until(() => Date.now() > storeTimestamp)
    t.match(await client.end(half, COMMIT), { code: ResponseCode.ILLEGAL_OPERATION, remark: null })
    const answer = await client.end(half, COMMIT, { fromTransactionCheck: 'true' })
    t.equal(answer.code, ResponseCode.SUCCESS)
    const longer = await client.half('Tx', 'U-8', { CHECK_IMMUNITY_TIME_IN_SECONDS: '3600' })
    t.equal((await client.end(longer, COMMIT)).code, ResponseCode.SUCCESS)
    const none = await client.half('Tx', 'U-9', { CHECK_IMMUNITY_TIME_IN_SECONDS: '-1' })
    broker.config.update([['transactionTimeOut', '0']])
    const { storeTimestamp: sentMs } = broker.store.tables.transactions.get(none.physicalOffset)!
    await until(() => broker.store.timeMs() > sentMs)
    const late = await client.end(none, COMMIT)
    t.equal(late.code, ResponseCode.ILLEGAL_OPERATION, '-1 is the broker’s own time')
    broker.config.update([['transactionTimeOut', '3600000']])
    t.equal((await client.end(none, COMMIT)).code, ResponseCode.SUCCESS)
  })

  t.test('what is no half message, and what can be none', async t => {
    const sent = await client.send('Back', 'again', {
      reconsumeTimes: 1,
      props: { TRAN_MSG: 'true', PGROUP: 'PG', DELAY: '1' }
    })
    t.equal(sent.code, 0)
    t.equal(broker.store.maxOffset('SCHEDULE_TOPIC_XXXX', 0), 1, 'a consumer sent it back')
    t.equal(inDoubt(broker), 0)
    const timed = await client.send('Tx', 'x', { props: { TRAN_MSG: 'true', TIMER_DELAY_MS: '5' } })
    t.equal(timed.code, ResponseCode.MESSAGE_ILLEGAL)
    const before = broker.store.maxOffset('Tx', 1)
    const delayed = await client.half('Tx', 'U-9', { DELAY: '3' }, 1)
    await client.end(delayed, COMMIT)
    t.equal(broker.store.maxOffset('Tx', 1), before + 1, 'a commit is delivered at once')
    const long = await client.send('Tx', 'x', {
      props: { TRAN_MSG: 'true', PGROUP: 'PG', K: 'v'.repeat(32_650) }
    })
    t.equal(long.code, ResponseCode.MESSAGE_ILLEGAL)
    broker.config.update([['rejectTransactionMessage', 'true']])
    const rejected = await client.send('Tx', 'x', { props: { TRAN_MSG: 'true' } })
    t.match(rejected, { code: ResponseCode.NO_PERMISSION, remark: /transaction message is forbid/ })
    broker.config.update([
      ['rejectTransactionMessage', 'false'],
      ['maxTransactionsInDoubt', '2']
    ])
    const two = [await client.half('Tx', 'U-10'), await client.half('Tx', 'U-11')]
    const third = await client.send('Tx', 'x', { props: { TRAN_MSG: 'true' } })
    t.match(third, { code: ResponseCode.SYSTEM_ERROR, remark: /busy/ })
    for (const half of two) await client.end(half, ROLLBACK)
    await client.half('Tx', 'U-12')
    t.equal(inDoubt(broker), 1, 'there is room again')
  })

  t.test('the frames of real clients end transactions', async t => {
    const exchanges = JSON.parse(
      readFileSync('test/vectors/remoting/0037-END_TRANSACTION.json', 'utf8')
    ) as { request: { header: RemotingCommand } }[]
    t.ok(exchanges.length > 0)
    for (const { request } of exchanges) {
      const { extFields } = request.header
      const group = extFields!['producerGroup']!
      const topic = `Frames${group}`
      const before = await client.bodies(topic)
      const half = await client.half(topic, extFields!['msgId']!, { PGROUP: group })
      const known = inDoubt(broker)
      await client.oneway(RequestCode.END_TRANSACTION, {
        ...extFields,
        tranStateTableOffset: half.queueOffset,
        commitLogOffset: String(half.physicalOffset)
      })
      await until(() => inDoubt(broker) === known - 1)
      const committed = extFields!['commitOrRollback'] === '8'
      t.equal((await client.bodies(topic)).length, before.length + (committed ? 1 : 0))
    }
  })
})

t.test('questions about transactions in doubt', async t => {
  t.test('one that is due is asked about as the original asks', async t => {
    const broker = await startBroker(t, alone)
    await serving(broker)
    const client = new TransactionClient(t, broker.address)
    await client.produces()
    const half = await client.half('Tx', 'U-1', {}, 2)
    const immune = await client.half('Tx', 'U-2', { CHECK_IMMUNITY_TIME_IN_SECONDS: '3600' })
    ask(broker)
    await until(() => client.questions.length === 1)
    const { fields, message, flag } = client.questions[0]!
    t.equal(flag, 2, 'one-way')
    const [recorded] = JSON.parse(
      readFileSync('test/vectors/remoting/0039-CHECK_TRANSACTION_STATE.json', 'utf8')
    ) as { request: { header: RemotingCommand; frame: string } }[]
    const names = [...Object.keys(recorded!.request.header.extFields!), 'topic', 'bname']
    t.strictSame(new Set(Object.keys(fields)), new Set(names), 'and two of 5.3')
    t.match(fields, {
      tranStateTableOffset: half.queueOffset,
      commitLogOffset: String(half.physicalOffset),
      offsetMsgId: half.answer.extFields!['msgId']!,
      msgId: 'U-1',
      transactionId: 'U-1',
      topic: 'Tx',
      bname: 'b'
    })
    t.match(message, { topic: 'Tx', queueId: 2, physicalOffset: half.physicalOffset })
    t.equal(message.queueOffset, Number(half.queueOffset))
    t.equal(message.sysFlag & MessageSysFlag.transactionMask, 0)
    t.equal(message.properties.get('TRANSACTION_CHECK_TIMES'), '1')
    const frame = Buffer.from(recorded!.request.frame, 'base64')
    const original = decodeStoredMessage(frame, 8 + frame.readUInt16BE(6))
    t.strictSame(
      [...original.properties.keys()].filter(name => !message.properties.has(name)),
      ['WAIT'],
      'which is not stored'
    )
    t.equal(broker.store.tables.transactions.get(immune.physicalOffset)?.checks, 0)
    await client.end(half, COMMIT, { fromTransactionCheck: 'true' })
    t.strictSame(await client.bodies('Tx', 2), ['U-1'])
    t.strictSame([...broker.store.tables.transactions.keys()], [immune.physicalOffset])
  })

  t.test(
    'questions are numbered; after the last one it is given up, and can be resumed',
    async t => {
      const broker = await startBroker(t, { ...alone, transactionCheckMax: '3' })
      await serving(broker)
      const client = new TransactionClient(t, broker.address)
      await client.produces()
      const half = await client.half('Tx', 'U-1')
      ask(broker)
      broker.config.update([['transactionCheckInterval', '1']])
      const given = 'TRANS_CHECK_MAX_TIME_TOPIC'
      await until(() => broker.store.maxOffset(given, 0) === 1)
      t.strictSame(
        client.questions.map(one => one.message.properties.get('TRANSACTION_CHECK_TIMES')),
        ['1', '2', '3']
      )
      t.equal(inDoubt(broker), 0)
      const [copy] = await client.read(given, 0)
      t.equal(copy!.properties.get('REAL_TOPIC'), 'Tx')
      t.equal(copy!.properties.get('TRANSACTION_CHECK_TIMES'), '3')
      t.equal((await client.end(half, COMMIT)).code, ResponseCode.SYSTEM_ERROR, 'too late')

      broker.config.update([['transactionTimeOut', '3600000']])
      const host = half.answer.extFields!['msgId']!.slice(0, 16)
      const idOf = (offset: number): string =>
        host + offset.toString(16).toUpperCase().padStart(16, '0')
      for (const wrong of ['nonsense', idOf(half.physicalOffset), idOf(9e9)])
        t.match(await client.ask(RequestCode.RESUME_CHECK_HALF_MESSAGE, { msgId: wrong }), {
          code: ResponseCode.SYSTEM_ERROR,
          remark: 'Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.'
        })
      const msgId = idOf(copy!.physicalOffset)
      t.equal((await client.ask(RequestCode.RESUME_CHECK_HALF_MESSAGE, { msgId })).code, 0)
      broker.config.update([['transactionCheckInterval', '3600000']])
      t.match([...broker.store.tables.transactions.values()], [{ checks: 0 }])
      ask(broker)
      await until(() => client.questions.length > 3)
      const { fields, message } = client.questions[3]!
      t.equal(message.properties.get('TRANSACTION_CHECK_TIMES'), '1')
      await client.ask(RequestCode.END_TRANSACTION, {
        ...fields,
        producerGroup: 'PG',
        commitOrRollback: COMMIT,
        fromTransactionCheck: true
      })
      t.strictSame(await client.bodies('Tx'), ['U-1'])
    }
  )

  t.test('the living producers of the group are asked in turn', async t => {
    const broker = await startBroker(t, alone)
    await serving(broker)
    const producers = ['a', 'b', 'c'].map(id => new TransactionClient(t, broker.address, id))
    const stranger = new TransactionClient(t, broker.address, 'stranger')
    await stranger.heartbeat('G', {}, { producers: ['OtherPG'] })
    for (const producer of producers) await producer.produces()
    for (let i = 0; i < 6; i++) await producers[0]!.half('Tx', `U-${i}`)
    const [a, b, c] = producers
    await c!.remoting.close()
    await until(() => broker.producers.members('PG').length === 2)
    ask(broker)
    await until(() => a!.questions.length + b!.questions.length === 6)
    t.equal(a!.questions.length, 3)
    t.equal(b!.questions.length, 3)
    t.strictSame(stranger.questions, [])
  })

  t.test('a group that is gone is asked when it is back, with the next number', async t => {
    const broker = await startBroker(t, alone)
    await serving(broker)
    const gone = new TransactionClient(t, broker.address, 'gone')
    await gone.produces()
    const half = await gone.half('Tx', 'U-1')
    await gone.remoting.close()
    await until(() => broker.producers.members('PG').length === 0)
    const other = new TransactionClient(t, broker.address, 'other')
    await other.heartbeat('G', {}, { producers: ['OtherPG'] })
    await other.half('Tx', 'U-2', { PGROUP: 'OtherPG' })
    ask(broker)
    await until(() => other.questions.length === 1)
    t.equal(broker.store.tables.transactions.get(half.physicalOffset)?.checks, 0, 'not counted')
    const back = new TransactionClient(t, broker.address, 'back')
    await back.produces()
    await until(() => back.questions.length === 1)
    t.equal(back.questions[0]!.message.properties.get('TRANSACTION_CHECK_TIMES'), '1')
    t.equal(back.questions[0]!.fields['msgId'], 'U-1')
  })

  t.test('a group that does not come back is given up after the time of its checks', async t => {
    const broker = await startBroker(t, { ...alone, transactionCheckMax: '4' })
    await serving(broker)
    const client = new TransactionClient(t, broker.address)
    const half = await client.half('Tx', 'U-1')
    const { storeTimestamp } = broker.store.tables.transactions.get(half.physicalOffset)!
    broker.config.update([['transactionCheckInterval', '50']])
    ask(broker)
    const given = 'TRANS_CHECK_MAX_TIME_TOPIC'
    await until(() => broker.store.maxOffset(given, 0) === 1)
    const [copy] = await client.read(given, 0)
    t.equal(copy!.properties.get('TRANSACTION_CHECK_TIMES'), '0')
    t.equal(copy!.body.toString(), 'U-1')
    t.ok(copy!.storeTimestamp - storeTimestamp >= 200)
    t.equal(inDoubt(broker), 0)
  })

  t.test('what is ended is not asked about', async t => {
    const broker = await startBroker(t, alone)
    await serving(broker)
    const client = new TransactionClient(t, broker.address)
    await client.produces()
    const halves = await Promise.all(
      Array.from({ length: 300 }, (_, i) => client.half('Tx', `U-${i}`))
    )
    await Promise.all(halves.slice(1).map((half, i) => client.end(half, i % 2 ? COMMIT : ROLLBACK)))
    ask(broker)
    await until(() => client.questions.length > 0)
    t.strictSame(
      client.questions.map(question => question.fields['msgId']),
      ['U-0']
    )
  })

  t.test('a thousand that fall due together are each asked about once', async t => {
    const broker = await startBroker(t, alone)
    await serving(broker)
    const client = new TransactionClient(t, broker.address)
    await client.produces()
    const halves = await Promise.all(
      Array.from({ length: 1_000 }, (_, i) => client.half('Tx', `U-${i}`))
    )
    ask(broker)
    await until(() => client.questions.length >= 1_000)
    t.equal(new Set(client.questions.map(question => question.fields['msgId'])).size, 1_000)
    await Promise.all(halves.map(half => client.end(half, COMMIT)))
    t.equal((await client.bodies('Tx')).length, 1_000)
    t.equal(client.questions.length, 1_000)
    t.equal(inDoubt(broker), 0)
  })
})

t.test('transactions in doubt survive a restart, with their questions counted', async t => {
  const settings = { ...alone, storePathRootDir: newDirectory(), transactionCheckMax: '5' }
  const first = await startBroker(t, settings)
  await serving(first)
  const before = new TransactionClient(t, first.address)
  await before.produces()
  const asked = await before.half('Tx', 'U-1')
  ask(first)
  await until(() => before.questions.length === 1)
  const ended = await before.half('Tx', 'U-2', { CHECK_IMMUNITY_TIME_IN_SECONDS: '3600' })
  const immune = await before.half('Tx', 'U-3', { CHECK_IMMUNITY_TIME_IN_SECONDS: '3600' })
  await before.end(ended, COMMIT)
  const table = [...first.store.tables.transactions.values()].map(one => ({ ...one }))
  await halt(first)
  const second = await startBroker(t, settings)
  await serving(second)
  t.strictSame([...second.store.tables.transactions.values()], table)
  t.match(table, [
    { physicalOffset: asked.physicalOffset, checks: 1 },
    { physicalOffset: immune.physicalOffset, checks: 0, immunityMs: 3_600_000 }
  ])
  const after = new TransactionClient(t, second.address)
  t.equal((await after.end(ended, COMMIT)).code, ResponseCode.SYSTEM_ERROR)
  t.equal((await after.end(asked, COMMIT)).code, 0)
  t.equal((await after.end(immune, ROLLBACK)).code, 0)
  t.strictSame(await after.bodies('Tx'), ['U-2', 'U-1'])
  t.equal(inDoubt(second), 0)
})

/** Three members in this process. */
async function startGroup(
  t: Test,
  more: Settings = {}
): Promise<{ brokers: Broker[]; leader: Broker; followers: Broker[] }> {
  const ports = await freePorts(3)
  const directory = newDirectory()
  const dLegerPeers = ports.map((port, i) => `n${i}-127.0.0.1:${port}`).join(';')
  const brokers = await Promise.all(
    ports.map((_, i) =>
      startBroker(t, {
        storePathRootDir: `${directory}/n${i}`,
        enableDLegerCommitLog: 'true',
        dLegerGroup: 'g',
        dLegerPeers,
        dLegerSelfId: `n${i}`,
        ...patient,
        ...more
      })
    )
  )
  const leader = await leaderOf(brokers)
  return { brokers, leader, followers: brokers.filter(broker => broker !== leader) }
}

/** Resolves to the leader when it serves, and all know it and the key for forwarding. */
async function leaderOf(brokers: readonly Broker[]): Promise<Broker> {
  const find = (): Broker | undefined => brokers.find(broker => broker.isLeader())
  await until(() => {
    const leader = find()
    return (
      leader?.topics.find('TBW102') !== undefined &&
      brokers.every(
        broker =>
          broker.topics.find('TBW102') !== undefined &&
          broker.store.status().leaderBrokerAddress === leader.address
      )
    )
  })
  return find()!
}

t.test('an end after the leader changed is honoured, once, whoever gets it', async t => {
  const { leader, followers } = await startGroup(t)
  const client = new TransactionClient(t, leader.address)
  const committed = await client.half('Tx', 'U-1')
  const rolledBack = await client.half('Tx', 'U-2')
  const held = await client.half('Tx', 'U-3')
  await until(() => followers.every(broker => inDoubt(broker) === 3))
  await halt(leader)
  // Nobody leads yet, or somebody just does: the end waits for it.
  const [a, b] = followers.map(
    (broker, i) => new TransactionClient(t, broker.address, `after-${i}`)
  )
  await a!.oneway(RequestCode.END_TRANSACTION, a!.fieldsOf(held, COMMIT))
  const next = await leaderOf(followers)
  const follower = followers.find(broker => broker !== next)!
  client.address = follower.address
  t.equal((await client.end(committed, COMMIT)).code, 0, 'forwarded to the leader')
  t.equal((await client.end(rolledBack, ROLLBACK)).code, 0)
  await until(() => followers.every(broker => inDoubt(broker) === 0))
  for (const again of [a!, b!])
    t.equal((await again.end(committed, COMMIT)).code, ResponseCode.SYSTEM_ERROR)
  t.strictSame((await a!.bodies('Tx')).sort(), ['U-1', 'U-3'])
  const [message] = await a!.read('Tx', 0)
  t.equal(`${message!.storeHost.address}:${message!.storeHost.port}`, next.address)
})

t.test('a leader change between question and commit asks nothing twice', async t => {
  const { leader, followers } = await startGroup(t, {
    forwardHoldMillis: '1500',
    forwardTimeoutMillis: '200',
    transactionCheckMax: '2'
  })
  const client = new TransactionClient(t, leader.address)
  await client.produces()
  const answered = await client.half('Tx', 'U-1')
  const again = await client.half('Tx', 'U-2')
  ask(leader)
  await until(() => client.questions.length === 2)
  await until(() =>
    followers.every(broker =>
      [...broker.store.tables.transactions.values()].every(one => one.checks === 1)
    )
  )
  await halt(leader)
  const next = await leaderOf(followers)
  const producer = new TransactionClient(t, next.address, 'after')
  await producer.produces()
  const first = client.questions.find(one => one.fields['msgId'] === 'U-1')!
  await producer.oneway(RequestCode.END_TRANSACTION, {
    ...producer.fieldsOf(answered, COMMIT, { fromTransactionCheck: 'true' }),
    tranStateTableOffset: first.fields['tranStateTableOffset']!,
    commitLogOffset: first.fields['commitLogOffset']!
  })
  await until(() => inDoubt(next) === 1)
  // The time for the first question is over long since, and it was asked.
  next.config.update([['transactionTimeOut', '0']])
  next.config.update([['transactionCheckInterval', '1']])
  await until(() => producer.questions.length > 0)
  t.equal(producer.questions[0]!.fields['msgId'], 'U-2')
  t.equal(producer.questions[0]!.message.properties.get('TRANSACTION_CHECK_TIMES'), '2')
  t.equal(producer.questions[0]!.fields['commitLogOffset'], String(again.physicalOffset))
  await until(() => followers.every(broker => inDoubt(broker) === 0))
  t.equal(producer.questions.length, 1, 'then it was given up')
  t.strictSame(await producer.bodies('Tx'), ['U-1'])
})

t.test('commits under way when their leader goes are neither lost nor doubled', async t => {
  const { leader, followers } = await startGroup(t)
  const client = new TransactionClient(t, leader.address)
  const halves = await Promise.all(
    Array.from({ length: 200 }, (_, i) => client.half('Tx', `U-${i}`))
  )
  const ends = halves.map(half => client.end(half, COMMIT).catch(() => null))
  await until(() => inDoubt(leader) < 190)
  await halt(leader)
  await Promise.all(ends)
  const next = await leaderOf(followers)
  client.address = next.address
  for (const half of halves) {
    const { code } = await client.end(half, COMMIT)
    t.ok(code === 0 || code === ResponseCode.SYSTEM_ERROR, 'now, or it was before')
  }
  const bodies = await client.bodies('Tx')
  t.equal(bodies.length, 200)
  t.equal(new Set(bodies).size, 200)
  await until(() => followers.every(broker => inDoubt(broker) === 0))
})
