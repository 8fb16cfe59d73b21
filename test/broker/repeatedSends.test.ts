import t, { type Test } from 'tap'
import { type Broker, LiveConfig, openBroker } from '../../src/broker/index.ts'
import { silentLogger } from '../../src/platform/index.ts'
import {
  encodeBatch,
  encodeProperties,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SystemTopic
} from '../../src/protocol/index.ts'
import { FakeLog, FakeNode } from '../helpers/fakeRaft.ts'
import { MemoryState } from '../store/helpers.ts'
import { halt, newDirectory, platform, serving, small, TestClient, until } from './helpers.ts'

interface Stage {
  broker: Broker
  node: FakeNode
  client(): TestClient
}

/** A broker on a log that commits when the test says so. */
async function stage(t: Test, more: Record<string, string> = {}): Promise<Stage> {
  const settings = { ...small, storePathRootDir: newDirectory(), ...more }
  const config = new LiveConfig(Object.entries(settings), {}, platform)
  let node!: FakeNode
  const broker = await openBroker(config, platform, silentLogger, {
    doors: {
      openState: async () => new MemoryState(),
      openNode: async (raft, source, machine) => {
        node = new FakeNode(new FakeLog(), raft, source, machine)
        return node
      }
    }
  })
  t.teardown(() => halt(broker))
  await broker.start()
  node.log.timeMs = platform.clock.wallMs()
  node.automatic = true
  node.lead()
  await serving(broker)
  const setup = new TestClient(t, broker.address)
  await setup.send('T', 'first')
  node.automatic = false
  return { broker, node, client: () => new TestClient(t, broker.address) }
}

const keyed = (key: string, more: Record<string, string> = {}) => ({
  props: { UNIQ_KEY: key, ...more }
})

/** Proposes what the senders sent, without a commit. */
async function inLog({ broker, node }: Stage, sends: number): Promise<void> {
  await until(() => broker.store.runtime().pendingSends >= sends)
  node.propose()
}

async function cut(stage: Stage, client: TestClient): Promise<void> {
  let closed = false
  stage.broker.server.onClose(() => {
    closed = true
  })
  await client.remoting.close()
  await until(() => closed)
}

const place = (answer: RemotingCommand): unknown => {
  const { queueOffset, msgId, queueId } = answer.extFields ?? {}
  return [answer.code, queueId, queueOffset, msgId]
}

t.test('a second send of the same message is stored', async t => {
  const a = await stage(t)
  const client = a.client()
  t.test('after the answer to the first', async t => {
    a.node.automatic = true
    const first = await client.send('T', 'x', keyed('K1'))
    const second = await client.send('T', 'x', keyed('K1'))
    t.not(first.extFields?.['queueOffset'], second.extFields?.['queueOffset'])
  })
  t.test('while the first is on its way over a living connection', async t => {
    a.node.automatic = false
    const before = a.broker.store.maxOffset('T', 0)
    const both = [client.send('T', 'x', keyed('K2')), client.send('T', 'x', keyed('K2'))]
    await inLog(a, 2)
    a.node.commit()
    const answers = await Promise.all(both)
    t.strictSame(
      answers.map(answer => answer.code),
      [0, 0]
    )
    t.equal(a.broker.store.maxOffset('T', 0), before + 2)
  })
})

t.test('a send whose connection was closed before its answer is repeated', async t => {
  const a = await stage(t)
  t.test('and waits for the first, which is still on its way', async t => {
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    first.send('T', 'pending', keyed('K3')).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    const other = a.client()
    const repeated = other.send('T', 'pending', { ...keyed('K3'), queueId: 2 })
    const different = other.send('T', 'another body', keyed('K3'))
    await inLog(a, 2)
    a.node.commit()
    t.equal(a.broker.store.maxOffset('T', 0), before + 2, 'another body is another message')
    t.match((await repeated).extFields, { queueId: '0', queueOffset: String(before) })
    t.equal((await different).extFields?.['queueOffset'], String(before + 1))
    t.equal(a.broker.store.maxOffset('T', 2), 0)
    a.node.automatic = true
    const wanted = await other.send('T', 'pending', keyed('K3'))
    t.equal(wanted.extFields?.['queueOffset'], String(before + 2), 'answered: no repetition')
    a.node.automatic = false
  })
  t.test('or gets what came of it', async t => {
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    first.send('T', 'stored', keyed('K4')).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    a.node.commit()
    const answer = await a.client().send('T', 'stored', keyed('K4'))
    t.equal(answer.extFields?.['queueOffset'], String(before))
    t.equal(a.broker.store.maxOffset('T', 0), before + 1)
  })
  t.test('each repetition finds one first attempt', async t => {
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    for (let n = 0; n < 2; n++) first.send('T', 'twice', keyed('K5')).catch(() => {})
    await inLog(a, 2)
    await cut(a, first)
    a.node.commit()
    const client = a.client()
    const answers = [
      await client.send('T', 'twice', keyed('K5')),
      await client.send('T', 'twice', keyed('K5'))
    ]
    t.strictSame(
      answers.map(answer => answer.extFields?.['queueOffset']),
      [String(before), String(before + 1)]
    )
  })
  t.test('a batch as a whole', async t => {
    const batch = encodeBatch(
      ['b1', 'b2', 'b3'].map(key => ({
        flag: 0,
        body: Buffer.from(`body of ${key}`),
        properties: encodeProperties([['UNIQ_KEY', key]])
      }))
    )
    const fields = a.client().sendFields('T', { batch: true })
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    first.ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    const repeated = a.client().ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch)
    a.node.commit()
    const answer = await repeated
    t.equal(answer.extFields?.['queueOffset'], String(before))
    t.equal(answer.extFields?.['msgId']?.split(',').length, 3)
    t.equal(a.broker.store.maxOffset('T', 0), before + 3)
  })
  t.test('a half message, with its transaction', async t => {
    const half = { ...keyed('K6', { TRAN_MSG: 'true', PGROUP: 'PG' }), queueId: 1 }
    const first = a.client()
    first.send('T', 'half', half).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    a.node.commit()
    const answer = await a.client().send('T', 'half', half)
    t.match(answer.extFields, { queueId: '1', transactionId: 'K6' })
    t.equal(a.broker.store.maxOffset(SystemTopic.TRANS_HALF, 0), 1)
    t.equal(a.broker.store.tables.transactions.size, 1)
  })
  t.test('one that waits for a time, with its handle', async t => {
    const due = String(platform.clock.wallMs() + 3_600_000)
    const timed = keyed('K7', { TIMER_DELIVER_MS: due })
    const first = a.client()
    first.send('T', 'timed', timed).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    a.node.commit()
    const client = a.client()
    client.version = 493
    const answer = await client.send('T', 'timed', timed)
    const handle = Buffer.from(answer.extFields?.['recallHandle'] ?? '', 'base64url')
    t.equal(handle.toString(), `v1 T b ${due} K7`)
    t.equal(a.broker.store.tables.timers.count, 1)
  })
  t.test('a one-way send is never repeated', async t => {
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    const command = first.command(
      RequestCode.SEND_MESSAGE_V2,
      first.sendFields('T', keyed('K8')),
      Buffer.from('one way')
    )
    await first.remoting.oneway(a.broker.address, command)
    await inLog(a, 1)
    await cut(a, first)
    a.node.automatic = true
    await a.client().send('T', 'one way', keyed('K8'))
    a.node.automatic = false
    t.equal(a.broker.store.maxOffset('T', 0), before + 2)
  })
})

t.test('a send that took too long is repeated', async t => {
  const a = await stage(t)
  const client = a.client()
  const before = a.broker.store.maxOffset('T', 0)
  const late = client.send('T', 'late', keyed('K1'))
  await inLog(a, 1)
  t.match(await late, { code: ResponseCode.SYSTEM_ERROR, remark: 'in-sync replicas not enough' })
  const third = client.send('T', 'late', keyed('K1'))
  const untouched = client.send('T', 'other', keyed('K9'))
  await inLog(a, 1)
  a.node.commit()
  t.equal((await third).extFields?.['queueOffset'], String(before))
  await untouched
  t.equal(a.broker.store.maxOffset('T', 0), before + 2)
})

t.test('a new leader knows what its predecessor may not have answered', async t => {
  const a = await stage(t)
  const client = a.client()
  a.node.automatic = true
  const answered = await client.send('T', 'answered', keyed('K0'))
  a.node.automatic = false
  const before = a.broker.store.maxOffset('T', 0)
  const batch = encodeBatch(
    ['c1', 'c2'].map(key => ({
      flag: 0,
      body: Buffer.from(`body of ${key}`),
      properties: encodeProperties([['UNIQ_KEY', key]])
    }))
  )
  const fields = client.sendFields('T', { batch: true })
  const single = client.send('T', 'left', keyed('K1'))
  const batched = client.ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch)
  await inLog(a, 2)
  a.node.follow()
  t.equal((await single).code, ResponseCode.SERVICE_NOT_AVAILABLE)
  t.equal((await batched).code, ResponseCode.SERVICE_NOT_AVAILABLE)
  a.node.lead()
  a.node.automatic = true
  t.equal(a.broker.store.maxOffset('T', 0), before + 3)
  const repeated = await client.send('T', 'left', keyed('K1'))
  t.equal(repeated.extFields?.['queueOffset'], String(before))
  const repeatedBatch = await client.ask(RequestCode.SEND_BATCH_MESSAGE, fields, batch)
  t.equal(repeatedBatch.extFields?.['queueOffset'], String(before + 1))
  t.equal(repeatedBatch.extFields?.['msgId']?.split(',').length, 2)
  t.equal(a.broker.store.maxOffset('T', 0), before + 3)
  const wanted = await client.send('T', 'answered', keyed('K0'))
  t.notSame(place(wanted), place(answered), 'what was answered before is no repetition')
  t.equal(a.broker.store.maxOffset('T', 0), before + 4)
})

t.test('what is remembered is bounded, and can be switched off', async t => {
  t.test('by time', async t => {
    const a = await stage(t, { sendRetryWindowMillis: '300' })
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    first.send('T', 'x', keyed('K1')).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    a.node.commit()
    const endMs = platform.clock.monotonicMs() + 1_000
    await until(() => platform.clock.monotonicMs() > endMs)
    a.node.automatic = true
    await a.client().send('T', 'x', keyed('K1'))
    t.equal(a.broker.store.maxOffset('T', 0), before + 2)
  })
  t.test('with 0 nothing is', async t => {
    const a = await stage(t, { sendRetryWindowMillis: '0' })
    const first = a.client()
    const before = a.broker.store.maxOffset('T', 0)
    first.send('T', 'x', keyed('K1')).catch(() => {})
    await inLog(a, 1)
    await cut(a, first)
    a.node.automatic = true
    a.node.commit()
    await a.client().send('T', 'x', keyed('K1'))
    t.equal(a.broker.store.maxOffset('T', 0), before + 2)
  })
})
