import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { parseRecallHandle, recallHandle } from '../../src/broker/timer/handle.ts'
import { dueTime, slotTime } from '../../src/broker/timer/timedSend.ts'
import { type Platform, silentLogger } from '../../src/platform/index.ts'
import {
  decodeStoredMessage,
  encodeBatch,
  encodeProperties,
  KVTable,
  RequestCode,
  ResponseCode,
  type StoredMessage
} from '../../src/protocol/index.ts'
import { bin, Program } from '../launch/programs.ts'
import {
  halt,
  newDirectory,
  platform,
  serving,
  small,
  startBroker,
  TestClient,
  until
} from './helpers.ts'
import { Group } from './threeMembers.ts'

const timerTopic = 'rmq_sys_wheel_timer'
/** A busy machine is slow. */
const patienceMs = 30_000
const { clock } = platform

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    clock.after(ms, resolve)
  })
}

function bodies(messages: readonly StoredMessage[]): string[] {
  return messages.map(message => message.body.toString())
}

t.test('times that a message may name', async t => {
  const due = (wishes: Record<string, string>): number | null =>
    dueTime(new Map(Object.entries(wishes)), 1_000_000)
  t.equal(due({ TIMER_DELAY_SEC: '3' }), 1_003_000)
  t.equal(due({ TIMER_DELAY_MS: '3' }), 1_000_003)
  t.equal(due({ TIMER_DELIVER_MS: '3' }), 3)
  t.equal(due({ TIMER_DELIVER_MS: '7', TIMER_DELAY_MS: '1', TIMER_DELAY_SEC: '2' }), 1_002_000)
  t.equal(due({ TIMER_DELIVER_MS: '7', TIMER_DELAY_MS: '1' }), 1_000_001)
  t.equal(due({ TIMER_DELAY_MS: '-5' }), 999_995)
  for (const wrong of ['x', '', '1.5', '1e3', '9'.repeat(20)])
    t.equal(due({ TIMER_DELAY_MS: wrong }), null, `'${wrong}'`)
  t.strictSame(
    [2_000, 2_001, 2_999, 3_000].map(ms => slotTime(ms, 1_000)),
    [1_000, 2_000, 2_000, 2_000],
    'the slot: rounded down, an exact multiple one step earlier'
  )
  t.equal(slotTime(2_001, 1), 2_000)
})

t.test('recall handles', async t => {
  const handle = { topic: 'T', brokerName: 'b-1', dueMs: 1_700_000_000_001, uniqueKey: 'FD00' }
  const text = recallHandle(handle)
  t.equal(Buffer.from(text, 'base64url').toString(), 'v1 T b-1 1700000000001 FD00')
  t.equal(text.length % 4, 0)
  t.strictSame(parseRecallHandle(text), handle)
  t.strictSame(parseRecallHandle(text.replace(/=+$/, '')), handle)
  const coded = (plain: string): string => Buffer.from(plain).toString('base64url')
  t.equal(parseRecallHandle(coded('v2 T b 1 K')), null)
  t.equal(parseRecallHandle(coded('v1 T b 1')), null)
  t.equal(parseRecallHandle('?'), null)
  t.equal(parseRecallHandle(''), null)
  t.ok(Number.isNaN(parseRecallHandle(coded('v1 T b soon K'))!.dueMs))
})

t.test('a message comes at the time that it names', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  client.version = 479
  await client.send('T', 'first')

  t.test('whichever way it names it, and in the order of the times', async t => {
    const nowMs = clock.wallMs()
    const wishes = [
      { body: 'at', dueMs: nowMs + 450, props: { TIMER_DELIVER_MS: String(nowMs + 450) } },
      { body: 'ms', dueMs: nowMs + 250, props: { TIMER_DELAY_MS: '250' } },
      { body: 'sec', dueMs: nowMs + 1_000, props: { TIMER_DELAY_SEC: '1' } }
    ]
    for (const [i, { body, props }] of wishes.entries()) {
      const sent = await client.send('T', body, { queueId: 1, tags: 'a', props })
      t.equal(sent.code, 0, sent.remark ?? '')
      t.match(
        sent.extFields,
        { queueId: '1', queueOffset: String(i) },
        'its place in the timer topic'
      )
    }
    t.equal(broker.store.maxOffset('T', 1), 0)
    t.equal(broker.store.tables.timers.count, 3)
    const dueMs = nowMs + 450
    const [waiting] = await broker.store.timers({ dueMs, position: 0 }, dueMs, 1)
    const stored = decodeStoredMessage((await broker.store.messageAt(waiting!.position))!)
    t.equal(stored.topic, timerTopic)
    t.match(Object.fromEntries(stored.properties), {
      TIMER_DELIVER_MS: String(dueMs),
      TIMER_OUT_MS: String(slotTime(dueMs, 1_000)),
      REAL_TOPIC: 'T',
      REAL_QID: '1'
    })
    const came: { body: string; dueMs: number; lateMs: number; message: StoredMessage }[] = []
    while (came.length < 3) {
      const held = await client.pull('T', 1, came.length, { sysFlag: 2, suspendMs: 10_000, max: 1 })
      const [message] = await client.read('T', 1, came.length)
      t.equal(held.code, 0)
      const body = message!.body.toString()
      const time = (name: string): number => Number(message!.properties.get(name))
      const dueMs = time('TIMER_DELIVER_MS')
      came.push({ body, dueMs, lateMs: time('TIMER_DEQUEUE_MS') - dueMs, message: message! })
    }
    t.same(new Set(came.map(({ body }) => body)), new Set(['at', 'ms', 'sec']))
    // A delay begins when the message arrives, which a busy machine makes late.
    t.same(
      came,
      [...came].sort((a, b) => a.dueMs - b.dueMs)
    )
    for (const { body, lateMs } of came)
      t.ok(lateMs >= 0 && lateMs < 900, `${body}: ${lateMs} ms late`)
    const named = came.find(({ body }) => body === 'at')!
    t.equal(named.dueMs, dueMs)
    const { properties, bornHost } = named.message
    t.match(Object.fromEntries(properties), {
      TAGS: 'a',
      REAL_TOPIC: 'T',
      TIMER_OUT_MS: /^\d+$/,
      TIMER_ENQUEUE_MS: /^\d+$/,
      TIMER_DEQUEUE_MS: /^\d+$/
    })
    t.equal(bornHost.address, '127.0.0.1')
    t.equal(broker.store.tables.timers.count, 0)
    const tagged = await client.pull('T', 1, 0, { subscription: 'b' })
    t.equal(tagged.code, ResponseCode.PULL_RETRY_IMMEDIATELY, 'under its own tag')
  })

  t.test('hundreds of the same moment', async t => {
    const props = { TIMER_DELIVER_MS: String(clock.wallMs() + 400) }
    const count = 700
    await Promise.all(
      Array.from({ length: count }, (_, i) => client.send('T', `m${i}`, { queueId: 2, props }))
    )
    await until(() => broker.store.maxOffset('T', 2) === count)
    const seen = new Set<string>()
    for (let at = 0; at < count; ) {
      const messages = await client.read('T', 2, at)
      for (const body of bodies(messages)) seen.add(body)
      at += messages.length
    }
    t.equal(seen.size, count)
    t.equal(broker.store.tables.timers.count, 0)
  })

  t.test('one that names an earlier time overtakes those that wait', async t => {
    const before = broker.store.maxOffset('T', 3)
    await client.send('T', 'late', { queueId: 3, props: { TIMER_DELAY_MS: '60000' } })
    await client.send('T', 'early', { queueId: 3, props: { TIMER_DELAY_MS: '100' } })
    await until(() => broker.store.maxOffset('T', 3) === before + 1)
    t.strictSame(bodies(await client.read('T', 3, before)), ['early'])
    const answer = await client.ask(RequestCode.GET_BROKER_RUNTIME_INFO)
    t.equal(KVTable.decode(answer.body).table.get('timerCongestNum'), '1')
  })

  t.test('what is past goes at once, and a level wins', async t => {
    const at = broker.store.maxOffset('T', 0)
    await client.send('T', 'past', { props: { TIMER_DELIVER_MS: '5' } })
    await client.send('T', 'timed before', {
      props: { TIMER_DELAY_MS: '50000', TIMER_OUT_MS: '5' }
    })
    t.strictSame(bodies(await client.read('T', 0, at)), ['past', 'timed before'])
    await client.send('T', 'level', { props: { TIMER_DELAY_MS: '50000', DELAY: '1' } })
    t.equal(broker.store.maxOffset('SCHEDULE_TOPIC_XXXX', 0), 1)
  })

  t.test('refusals', async t => {
    const refused = async (
      props: Record<string, string>,
      topic = 'T'
    ): Promise<[number, string | null]> => {
      const answer = await client.send(topic, 'x', { props })
      return [answer.code, answer.remark]
    }
    const waiting = broker.store.maxOffset(timerTopic, 0)
    const illegal =
      'timer message illegal, the delay time should not be bigger than the max delay 259200000ms; or if set del msg, the delay time should be bigger than the current time'
    t.strictSame(await refused({ TIMER_DELAY_SEC: '259201' }), [13, illegal])
    t.strictSame(await refused({ TIMER_DELAY_MS: 'soon' }), [13, illegal])
    t.strictSame(await refused({ TIMER_DELAY_MS: '9', TIMER_DEL_UNIQKEY: 'T+k' }), [13, illegal])
    t.match(await refused({}, timerTopic), [
      ResponseCode.NO_PERMISSION,
      /^Sending message to topic\[rmq_sys_wheel_timer\] is forbidden/
    ])
    const tooLong = await refused({ TIMER_DELAY_MS: '50000', K: 'v'.repeat(32_640) })
    t.equal(tooLong[0], ResponseCode.MESSAGE_ILLEGAL)
    const properties = encodeProperties([['TIMER_DELAY_MS', '9']])
    const batch = await client.ask(
      RequestCode.SEND_BATCH_MESSAGE,
      client.sendFields('T', { batch: true }),
      encodeBatch([{ flag: 0, body: Buffer.from('x'), properties }])
    )
    t.equal(batch.code, ResponseCode.MESSAGE_ILLEGAL)
    broker.config.update([['timerWheelEnable', 'false']])
    t.strictSame(await refused({ TIMER_DELAY_MS: '9' }), [
      1,
      'accurate timer message is not enabled, timerWheelEnable is false'
    ])
    broker.config.update([
      ['timerWheelEnable', 'true'],
      ['timerMaxDelaySec', '10']
    ])
    t.match(await refused({ TIMER_DELAY_SEC: '11' }), [13, /max delay 10000ms/])
    t.equal((await refused({ TIMER_DELAY_SEC: '10' }))[0], 0)
    t.equal(broker.store.maxOffset(timerTopic, 0), waiting + 1)
    t.equal(broker.topics.find(timerTopic), undefined)
  })
})

t.test('a message that waits can be taken back', async t => {
  const broker = await startBroker(t, { recallMessageEnable: 'true' })
  await serving(broker)
  const client = new TestClient(t, broker.address)
  client.version = 479
  const timed = async (body: string, key: string, ms: number, topic = 'R'): Promise<string> => {
    const props = { TIMER_DELAY_MS: String(ms), UNIQ_KEY: key }
    const sent = await client.send(topic, body, { props })
    t.equal(sent.code, 0, sent.remark ?? '')
    t.match(sent.extFields, { msgId: /^7F000001/, queueId: '0', MSG_REGION: 'DefaultRegion' })
    return sent.extFields!['recallHandle']!
  }
  const recall = (recallHandle: string, topic = 'R') =>
    client.ask(RequestCode.RECALL_MESSAGE, { producerGroup: 'PG', topic, recallHandle })

  t.test('by the handle of its answer, any number of times', async t => {
    const handle = await timed('gone', 'K1', 700)
    const stays = await timed('stays', 'K2', 700)
    t.not(handle, stays)
    for (let i = 0; i < 2; i++) {
      const answer = await recall(handle)
      t.equal(answer.code, 0, answer.remark ?? '')
      t.equal(answer.extFields?.['msgId'], 'K1')
      t.equal(broker.store.tables.timers.count, 1)
    }
    await until(() => broker.store.tables.timers.count === 0)
    t.strictSame(bodies(await client.read('R', 0)), ['stays'])
    t.match(await recall(stays), { code: 604, remark: 'recall failed, timestamp invalid' })
  })

  t.test('only clients of 5.x get a handle, and only for what has a key', async t => {
    const without = await client.send('R', 'x', { props: { TIMER_DELAY_MS: '50' } })
    t.notOk(without.extFields?.['recallHandle'])
    const old = new TestClient(t, broker.address)
    const props = { TIMER_DELAY_MS: '50', UNIQ_KEY: 'K' }
    t.notOk((await old.send('R', 'x', { props })).extFields?.['recallHandle'])
    t.notOk((await client.send('R', 'x', { props: { UNIQ_KEY: 'K' } })).extFields?.['recallHandle'])
  })

  t.test('refusals', async t => {
    const handle = await timed('x', 'K9', 60_000)
    t.match(await recall('nonsense'), { code: 604, remark: 'recall handle is invalid' })
    t.match(await recall(handle, 'Unknown'), {
      code: ResponseCode.TOPIC_NOT_EXIST,
      remark: 'recall failed, the topic[Unknown] not exist'
    })
    await client.send('Other', 'x')
    t.match(await recall(handle, 'Other'), { code: 604, remark: 'recall failed, topic not match' })
    const parsed = parseRecallHandle(handle)!
    t.match(await recall(recallHandle({ ...parsed, brokerName: 'c' })), {
      code: 604,
      remark: 'recall failed, broker service not available'
    })
    t.match(await recall(recallHandle({ ...parsed, dueMs: Number.NaN })), { code: 604 })
    const far = recallHandle({ ...parsed, dueMs: parsed.dueMs + 400_000_000 })
    t.match(await recall(far), { code: 604, remark: 'recall failed, timestamp invalid' })
    broker.config.update([['brokerPermission', '4']])
    t.match(await recall('nonsense'), { code: 604 }, 'gets as far as without')
    broker.config.update([['allowRecallWhenBrokerNotWriteable', 'false']])
    t.match(await recall(handle), {
      code: ResponseCode.SERVICE_NOT_AVAILABLE,
      remark: 'recall failed, broker service not available'
    })
    broker.config.update([['brokerPermission', '6']])
    broker.config.update([['recallMessageEnable', 'false']])
    t.match(await recall(handle), {
      code: ResponseCode.NO_PERMISSION,
      remark: 'recall failed, operation is forbidden'
    })
    t.ok(broker.store.tables.timers.count > 0, 'nothing was taken back')
  })
})

t.test('what waits survives a restart, and what came does not come again', async t => {
  const storePathRootDir = newDirectory()
  const broker = await startBroker(t, { storePathRootDir })
  await serving(broker)
  const client = new TestClient(t, broker.address)
  await client.send('S', 'came', { props: { TIMER_DELAY_MS: '60' } })
  await until(() => broker.store.maxOffset('S', 0) === 1)
  await client.send('S', 'due meanwhile', { props: { TIMER_DELAY_MS: '100' } })
  await client.send('S', 'due later', { props: { TIMER_DELAY_MS: '60000' } })
  await halt(broker)
  const again = await startBroker(t, { storePathRootDir })
  await serving(again)
  await until(() => again.store.maxOffset('S', 0) === 2)
  t.strictSame(bodies(await new TestClient(t, again.address).read('S', 0)), [
    'came',
    'due meanwhile'
  ])
  t.equal(again.store.tables.timers.count, 1)
})

t.test(
  'a kill loses and doubles nothing that waits, and none of it is early or held up',
  async t => {
    const directory = newDirectory()
    mkdirSync(directory, { recursive: true })
    const conf = `${directory}/broker.conf`
    const settings = { ...small, storePathRootDir: `${directory}/store` }
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(conf, lines.join(''))
    const life = async (): Promise<{ program: Program; client: TestClient }> => {
      const program = new Program(t, bin('mqbroker'), ['-c', conf])
      const [, address] = await program.says(/\[b, ([\d.:]+)\] boot success/)
      const client = new TestClient(t, address!)
      while ((await client.send('K', 'x', { queueId: 3 })).code !== 0) await pause(20)
      return { program, client }
    }
    const all = async (client: TestClient, topic: string, queueId: number) => {
      const found: StoredMessage[] = []
      for (;;) {
        const more = await client.read(topic, queueId, found.length)
        if (more.length === 0) return found
        found.push(...more)
      }
    }
    const count = 150
    const first = await life()
    const startMs = clock.wallMs()
    // Some are due before the kill, some while nobody leads, some afterwards.
    await Promise.all(
      Array.from({ length: count }, async (_, i) => {
        await pause(i * 10)
        const timer = { TIMER_DELIVER_MS: String(startMs + 400 + i * 20) }
        await first.client.send('K', `t${i}`, { queueId: 0, props: timer })
        await first.client.send('K', `d${i}`, { queueId: 1, props: { DELAY: '1' } })
      })
    )
    for (const queueId of [0, 1])
      while ((await first.client.read('K', queueId, 5)).length === 0) await pause(20)
    first.program.child.kill('SIGKILL')
    await first.program.ended

    const { client } = await life()
    const servingMs = clock.wallMs()
    const untilMs = clock.monotonicMs() + patienceMs
    for (const queueId of [0, 1])
      while ((await client.read('K', queueId, count - 1)).length === 0) {
        if (clock.monotonicMs() > untilMs) throw new Error(`not all came to queue ${queueId}`)
        await pause(50)
      }
    const waited = await all(client, 'SCHEDULE_TOPIC_XXXX', 0)
    const lateMs: number[] = []
    for (const queueId of [0, 1]) {
      const came = await all(client, 'K', queueId)
      t.equal(came.length, count)
      t.equal(new Set(bodies(came)).size, count, 'each once')
      for (const [i, { properties, storeTimestamp }] of came.entries()) {
        const timer = Number(properties.get('TIMER_DELIVER_MS'))
        const dueMs = queueId === 0 ? timer : waited[i]!.storeTimestamp + 1_000
        if (storeTimestamp < dueMs)
          t.fail(`${queueId}/${i} came ${dueMs - storeTimestamp} ms early`)
        if (dueMs > servingMs) lateMs.push(storeTimestamp - dueMs)
      }
    }
    // Whoever slept through a time would look again after seconds only.
    const middle = lateMs.sort((a, b) => a - b)[lateMs.length >> 1] ?? 0
    t.ok(middle < 2_000, `half of them ${middle} ms late or more`)
  }
)

t.test('a wall clock that is set delivers nothing early', async t => {
  let aheadMs = 0
  const set: Platform = {
    ...platform,
    clock: { ...platform.clock, wallMs: () => platform.clock.wallMs() + aheadMs }
  }
  const broker = await startBroker(t, {}, silentLogger, set)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  client.version = 479
  await client.send('T', 'before')
  const { monotonicMs } = platform.clock
  const startedMs = monotonicMs()
  await client.send('T', 'timed', { queueId: 1, props: { TIMER_DELAY_MS: '1500' } })
  await client.send('T', 'level 1', { queueId: 2, props: { DELAY: '1' } })
  aheadMs = 86_400_000
  await client.send('T', 'after the jump', { queueId: 3, props: { TIMER_DELAY_MS: '1500' } })
  const came = async (queueId: number): Promise<number> => {
    const held = await client.pull('T', queueId, 0, { sysFlag: 2, suspendMs: 20_000 })
    t.equal(held.code, 0)
    return monotonicMs() - startedMs
  }
  const [timed, delayed, after] = await Promise.all([came(1), came(2), came(3)])
  // The log draws near to the wall clock by a tenth of what passes.
  t.ok(delayed! >= 850, `level 1 came after ${delayed} ms`)
  t.ok(timed! >= 1_300, `1.5 s came after ${timed} ms`)
  t.ok(after! >= 1_300, `1.5 s after the jump came after ${after} ms`)
})

t.test('a failover neither loses nor doubles what waits', async t => {
  const group = await Group.start(t, { recallMessageEnable: 'true' })
  const { leader, followers } = await group.settled()
  const client = new TestClient(t, followers[0]!.address)
  client.version = 479
  const count = 120
  const startMs = clock.wallMs()
  // Some are due before the leader goes, some while there is none, some afterwards; sent through a follower.
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      client.send('F', `m${i}`, {
        queueId: 0,
        props: { TIMER_DELIVER_MS: String(startMs + 300 + i * 15), UNIQ_KEY: `K${i}` }
      })
    )
  )
  const far = await client.send('F', 'recalled', {
    props: { TIMER_DELAY_MS: '3000', UNIQ_KEY: 'far' }
  })
  await until(() => leader.store.maxOffset('F', 0) > 5)
  await halt(leader)
  await until(() => followers.some(member => member.isLeader()))
  const next = followers.find(member => member.isLeader())!
  const recalled = await client.ask(RequestCode.RECALL_MESSAGE, {
    topic: 'F',
    recallHandle: far.extFields!['recallHandle']!
  })
  t.equal(recalled.code, 0, recalled.remark ?? '')
  await until(() => next.store.tables.timers.count === 0, 15_000)
  const seen: string[] = []
  while (seen.length < next.store.maxOffset('F', 0))
    seen.push(...bodies(await client.read('F', 0, seen.length)))
  t.equal(seen.length, count)
  t.equal(new Set(seen).size, count)
  t.notOk(seen.includes('recalled'))
  await until(() => followers.every(member => member.store.tables.timers.count === 0))
})
