import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import {
  LockBatchRequestBody,
  LockBatchResponseBody,
  MessageSysFlag,
  parseOffsetMessageId,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  type StoredMessage
} from '../../src/protocol/index.ts'
import { platform, TestClient, until } from './helpers.ts'
import { Group } from './threeMembers.ts'

/** A busy machine elects slowly. */
const patienceMs = 20_000
const COMMIT = MessageSysFlag.transactionCommit
const ROLLBACK = MessageSysFlag.transactionRollback

interface Scene {
  group: Group
  leader: Broker
  /** Connected to the leader itself. */
  near: TestClient
  /** Connected to a follower, and stays so. */
  far: TestClient
}

async function scene(t: Test, more: Record<string, string> = {}): Promise<Scene> {
  const group = await Group.start(t, { transactionTimeOut: '3600000', ...more })
  const { leader, followers } = await group.settled()
  const near = new TestClient(t, leader.address, 'near')
  const far = new TestClient(t, followers[0]!.address, 'far')
  const topic = { defaultTopic: 'TBW102', readQueueNums: 4, writeQueueNums: 4, perm: 6 }
  const fields = { topic: 'T', ...topic, topicFilterType: 'SINGLE_TAG', topicSysFlag: 0 }
  const made = await far.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, { ...fields, order: false })
  t.equal(made.code, 0, made.remark ?? '')
  return { group, leader, near, far }
}

/** Kills the leader; resolves to the next one when it serves. */
async function next({ group, leader }: Scene): Promise<Broker> {
  await group.kill(leader)
  await until(() => group.brokers.some(broker => broker.isLeader()), patienceMs)
  return group.brokers.find(broker => broker.isLeader())!
}

async function all(client: TestClient, topic: string, queueId: number): Promise<StoredMessage[]> {
  const found: StoredMessage[] = []
  for (;;) {
    const more = await client.read(topic, queueId, found.length)
    if (more.length === 0) return found
    found.push(...more)
  }
}

const bodies = (messages: readonly StoredMessage[]): string[] =>
  messages.map(({ body }) => body.toString())

t.test('sends under way when the leader is killed', async t => {
  const a = await scene(t)
  const count = 400
  let answered = 0
  const acknowledged = new Set<string>()
  const one = async (i: number): Promise<void> => {
    const body = `m${i}`
    const given = { queueId: i % 4, props: { UNIQ_KEY: `K${i}` } }
    let client = a.near
    for (let attempt = 0; ; attempt++) {
      const answer = await client.send('T', body, given).catch(() => null)
      if (answer?.code === 0) {
        answered += 1
        acknowledged.add(body)
        return
      }
      if (attempt > 200) throw new Error(`${body}: ${answer?.code} ${answer?.remark}`)
      client = a.far
    }
  }
  const sending = Array.from({ length: count }, async (_, i) => {
    await new Promise<void>(resolve => {
      platform.clock.after(i, resolve)
    })
    await one(i)
  })
  await until(() => answered > count / 4)
  const leader = await next(a)
  await Promise.all(sending)
  const stored: string[] = []
  for (let queueId = 0; queueId < 4; queueId++)
    stored.push(...bodies(await all(a.far, 'T', queueId)))
  t.equal(acknowledged.size, count)
  t.equal(new Set(stored).size, count, 'nothing that was acknowledged is missing')
  t.equal(stored.length, count, 'and what was repeated is stored once')
  t.equal(leader.store.runtime().pendingSends, 0)
})

t.test('transactions in the middle of which the leader is killed', async t => {
  const a = await scene(t)
  const half = async (key: string) => {
    const props = { TRAN_MSG: 'true', PGROUP: 'PG', UNIQ_KEY: key }
    const answer = await a.near.send('T', key, { queueId: 0, props })
    t.equal(answer.code, 0, answer.remark ?? '')
    const { msgId, queueOffset } = answer.extFields!
    const commitLogOffset = parseOffsetMessageId(msgId!)!.physicalOffset
    return { producerGroup: 'PG', tranStateTableOffset: queueOffset!, commitLogOffset, msgId: key }
  }
  const end = (
    client: TestClient,
    of: Awaited<ReturnType<typeof half>>,
    commitOrRollback: number
  ): Promise<RemotingCommand> =>
    client.ask(RequestCode.END_TRANSACTION, {
      ...of,
      commitOrRollback,
      fromTransactionCheck: false
    })
  const [committed, rolledBack, sent, undone, racing] = [
    await half('committed'),
    await half('rolled back'),
    await half('sent'),
    await half('undone'),
    await half('racing')
  ]
  t.equal((await end(a.near, committed, COMMIT)).code, 0)
  t.equal((await end(a.near, rolledBack, ROLLBACK)).code, 0)
  end(a.near, racing, COMMIT).catch(() => {})
  const leader = await next(a)
  t.equal((await end(a.far, sent, COMMIT)).code, 0)
  t.equal((await end(a.far, undone, ROLLBACK)).code, 0)
  // Carried out before the end, or now: once.
  const again = await end(a.far, racing, COMMIT)
  t.ok(again.code === 0 || again.code === ResponseCode.SYSTEM_ERROR, again.remark ?? '')
  t.equal((await end(a.far, committed, COMMIT)).code, ResponseCode.SYSTEM_ERROR, 'it is over')
  t.equal(leader.store.tables.transactions.size, 0)
  t.same(
    new Set(bodies(await all(a.far, 'T', 0))),
    new Set(['committed', 'sent', 'racing']),
    'each committed one is there'
  )
  t.equal(leader.store.maxOffset('T', 0), 3, 'once')
})

t.test('a transaction that was asked about is not asked the same again', async t => {
  const questions: string[] = []
  const a = await scene(t, {
    transactionTimeOut: '300',
    transactionCheckInterval: '3600000',
    transactionCheckMax: '3',
    forwardHoldMillis: '100',
    forwardTimeoutMillis: '100'
  })
  const producer = (client: TestClient): void =>
    client.remoting.onRequest(RequestCode.CHECK_TRANSACTION_STATE, question => {
      questions.push(question.extFields!['msgId']!)
      return null
    })
  for (const client of [a.near, a.far]) {
    producer(client)
    await client.heartbeat('CG', {}, { producers: ['PG'] })
  }
  const props = { TRAN_MSG: 'true', PGROUP: 'PG', UNIQ_KEY: 'U' }
  t.equal((await a.near.send('T', 'half', { props })).code, 0)
  await until(() => questions.length === 1, patienceMs)
  await until(() =>
    a.group.brokers.every(({ store }) =>
      [...store.tables.transactions.values()].every(({ checks }) => checks === 1)
    )
  )
  const leader = await next(a)
  t.equal([...leader.store.tables.transactions.values()][0]?.checks, 1)
  // The next is an interval later.
  const untilMs = platform.clock.monotonicMs() + 1_500
  await until(() => platform.clock.monotonicMs() > untilMs)
  t.strictSame(questions, ['U'])
})

t.test('what waits when the leader is killed', async t => {
  const a = await scene(t)
  const { near, far } = a
  const delayed = 150
  const queue = { consumerGroup: 'G', topic: 'T', queueId: 3 }
  await far.heartbeat('G', { T: {} })

  // A failed message, to come again after a second.
  const failed = await near.send('T', 'failed', { queueId: 2 })
  const { physicalOffset } = parseOffsetMessageId(failed.extFields!['msgId']!)!
  const back = await near.ask(RequestCode.CONSUMER_SEND_MSG_BACK, {
    offset: physicalOffset,
    group: 'G',
    delayLevel: 1,
    originTopic: 'T',
    originMsgId: failed.extFields!['msgId']!,
    unitMode: false,
    maxReconsumeTimes: 16
  })
  t.equal(back.code, 0, back.remark ?? '')

  // Locks.
  const lock = async (client: TestClient, clientId: string): Promise<number> => {
    const mqSet = [0, 1].map(queueId => ({ topic: 'T', brokerName: 'b', queueId }))
    const body = LockBatchRequestBody.encode(
      LockBatchRequestBody.of({ consumerGroup: 'G', clientId, mqSet })
    )
    const answer = await client.ask(RequestCode.LOCK_BATCH_MQ, null, body)
    return LockBatchResponseBody.decode(answer.body).lockOKMQSet.length
  }
  t.equal(await lock(near, 'owner'), 2)

  // Offsets: one answered, one on its way with it.
  for (let i = 0; i < 10; i++) await near.send('T', `o${i}`, { queueId: 3 })
  const commit = (client: TestClient, commitOffset: number): Promise<RemotingCommand> =>
    client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, { ...queue, commitOffset })
  t.equal((await commit(near, 7)).code, 0)

  // A reset that the consumer does not know yet.
  for (const { config } of a.group.brokers) config.update([['useServerSideResetOffset', 'true']])
  const reset = await near.ask(RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, {
    topic: 'T',
    group: 'G',
    timestamp: -1,
    isForce: true,
    queueId: 2,
    offset: 0
  })
  t.equal(reset.code, 0, reset.remark ?? '')

  // Delayed messages and timers: due before, while nobody leads, and afterwards.
  const startMs = platform.clock.monotonicMs()
  await Promise.all(
    Array.from({ length: delayed }, async (_, i) => {
      await new Promise<void>(resolve => {
        platform.clock.after(i * 10, resolve)
      })
      await far.send('T', `d${i}`, { queueId: 1, props: { DELAY: '1' } })
      await far.send('T', `t${i}`, { queueId: 0, props: { TIMER_DELAY_MS: '1000' } })
    })
  )
  await until(() => a.leader.store.maxOffset('T', 1) > 5, patienceMs)
  t.ok(a.leader.store.maxOffset('T', 1) < delayed || platform.clock.monotonicMs() - startMs > 2_400)
  const leader = await next(a)

  const offset = await far.ask(RequestCode.QUERY_CONSUMER_OFFSET, queue)
  t.equal(offset.extFields?.['offset'], '7', 'the offset is exact')
  t.equal(await lock(far, 'other'), 0, 'the locks hold')
  t.equal(await lock(far, 'owner'), 2, 'and are renewed')

  const direct = new TestClient(t, leader.address)
  const pulled = await direct.pull('T', 2, 1)
  t.match(pulled, { code: ResponseCode.PULL_OFFSET_MOVED, remark: 'OFFSET_RESET' })
  t.equal(pulled.extFields?.['nextBeginOffset'], '0', 'the reset is told')
  const ignored = await direct.ask(RequestCode.UPDATE_CONSUMER_OFFSET, {
    consumerGroup: 'G',
    topic: 'T',
    queueId: 2,
    commitOffset: 1
  })
  t.equal(ignored.remark, 'Offset has been previously reset')
  t.equal((await direct.pull('T', 2, 0)).code, 0, 'and followed')
  await until(() => leader.store.tables.values('resetOffsets').size === 0)
  t.equal((await direct.pull('T', 2, 1)).code, ResponseCode.PULL_NOT_FOUND)

  await until(() => leader.store.tables.delayProgress(1) === delayed + 1, patienceMs)
  const came = bodies(await all(direct, 'T', 1))
  t.equal(came.length, delayed, 'each delayed message came once')
  t.equal(new Set(came).size, delayed)
  await until(() => leader.store.tables.timers.count === 0, patienceMs)
  const timed = bodies(await all(direct, 'T', 0))
  t.equal(timed.length, delayed, 'each timer came once')
  t.equal(new Set(timed).size, delayed)
  const retried = await all(direct, '%RETRY%G', 0)
  t.strictSame(bodies(retried), ['failed'], 'the failed one came again once')
  t.equal(retried[0]?.reconsumeTimes, 1)
})

t.test('a commit from before the failover that comes behind it lowers no offset', async t => {
  const start = await scene(t)
  const update = { consumerGroup: 'G', topic: 'T', queueId: 0 }
  const code = RequestCode.UPDATE_CONSUMER_OFFSET
  const olds = start.group.brokers
    .filter(broker => broker !== start.leader)
    .map(broker => ({ broker, client: new TestClient(t, broker.address) }))
  for (const { client } of olds) await client.ask(code, { ...update, commitOffset: 35 })
  const leader = await next(start)
  const stored = (): number => leader.store.tables.consumerOffset('G', 'T', 0)
  const old = olds.find(({ broker }) => broker === leader)!.client
  const refused = await old.ask(code, { ...update, commitOffset: 28 })
  t.equal(refused.code, ResponseCode.SERVICE_NOT_AVAILABLE)
  await old.oneway(code, { ...update, commitOffset: 28 })
  t.equal((await old.ask(code, { ...update, commitOffset: 36 })).code, ResponseCode.SUCCESS)
  t.equal(stored(), 36)
  const fresh = new TestClient(t, leader.address)
  t.equal((await fresh.ask(code, { ...update, commitOffset: 28 })).code, ResponseCode.SUCCESS)
  t.equal(stored(), 28)
})

t.test('a bit that flips on the disk of the leader is no concern of consumers', async t => {
  const { leader, near } = await scene(t, { flushDiskType: 'SYNC_FLUSH' })
  const marker = 'the message whose bit flips'
  const sent = await near.send('T', marker, { queueId: 1 })
  t.equal(sent.code, 0)
  // So much that it is not in memory any more.
  const large = Buffer.alloc(1_000_000, 'x')
  for (let i = 0; i < 9; i++) t.equal((await near.send('T', large, { queueId: 2 })).code, 0)
  const { disk } = platform
  const data = join(leader.config.settings.rootDirectory, 'raft', 'data')
  const files = await disk.list(data)
  const read = await Promise.all(files.map(({ name }) => disk.readFile(join(data, name))))
  const which = read.findIndex(bytes => bytes.includes(marker))
  const path = join(data, files[which]!.name)
  const at = read[which]!.indexOf(marker)
  const file = await open(path, 'r+')
  t.teardown(() => file.close())
  await file.write(Buffer.from('T'), 0, 1, at)
  const messages = await near.read('T', 1)
  t.strictSame(bodies(messages), [marker], 'the first pull brings it')
  const mended = Buffer.alloc(marker.length)
  await file.read(mended, 0, mended.length, at)
  t.equal(mended.toString(), marker, 'and the disk has it again')
})
