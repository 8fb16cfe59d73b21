import t from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import { RequestCode, ResponseCode } from '../../src/protocol/index.ts'
import { halt, platform, until } from './helpers.ts'
import { PopClient, type Popped } from './popClient.ts'
import { Group } from './threeMembers.ts'

const { clock } = platform
const LONG = 120_000
const PATIENCE_MS = 30_000

const bodies = (batch: readonly Popped[]): string[] => batch.map(({ body }) => body)

async function topic(client: PopClient, name: string, queues: number): Promise<void> {
  const answer = await client.ask(RequestCode.UPDATE_AND_CREATE_TOPIC, {
    topic: name,
    defaultTopic: 'TBW102',
    readQueueNums: queues,
    writeQueueNums: queues,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false
  })
  if (answer.code !== 0) throw new Error(answer.remark ?? '')
}

async function sendAll(client: PopClient, name: string, count: number, queues = 1): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: count }, (_, i) => client.send(name, String(i), { queueId: i % queues }))
  )
  const failed = answers.find(answer => answer.code !== 0)
  if (failed !== undefined) throw new Error(failed.remark ?? '')
}

/** Until a pop of the topic's only queue waits at the client's broker. */
async function untilPolled(client: PopClient, name: string): Promise<void> {
  const asked = { consumerGroup: 'G', topic: name, queueId: -1 }
  const endMs = clock.monotonicMs() + PATIENCE_MS
  while (clock.monotonicMs() < endMs) {
    const answer = await client.ask(RequestCode.POLLING_INFO, asked)
    if (answer.extFields?.['pollingNum'] === '1') return
  }
  throw new Error(`no pop of ${name} waits at ${client.address}`)
}

/** The next leader, when it serves and the other one knows it. */
async function nextLeader(followers: readonly Broker[]): Promise<Broker> {
  const find = (): Broker | undefined => followers.find(broker => broker.isLeader())
  await until(() => {
    const leader = find()
    return (
      leader !== undefined &&
      followers.every(broker => broker.store.status().leaderBrokerAddress === leader.address)
    )
  }, PATIENCE_MS)
  return find()!
}

t.test('what is in flight when the leader goes is in flight at the next one', async t => {
  const group = await Group.start(t)
  const { leader, followers } = await group.settled()
  const client = new PopClient(t, leader.address)
  await topic(client, 'P', 1)
  await topic(client, 'O', 1)
  await sendAll(client, 'P', 20)
  await client.send('O', 'o0')
  await client.send('O', 'o1')
  await client.send('O', 'o2')

  const long = await client.popped('P', { max: 6, invisibleMs: LONG })
  t.strictSame(bodies(long), ['0', '1', '2', '3', '4', '5'])
  t.equal((await client.ack(long[0]!)).code, 0)
  t.equal((await client.ackAll('P', [long[2]!, long[4]!])).code, 0)
  const hidden = await client.change(long[1]!, LONG)
  const soon = await client.change(long[3]!, 6_000)
  const short = await client.popped('P', { max: 3, invisibleMs: 6_000 })
  const dueMs = clock.wallMs() + 6_000
  t.strictSame(bodies(short), ['6', '7', '8'])
  await client.ack(short[1]!)
  const order = { group: 'GO', order: true, max: 2, invisibleMs: LONG }
  const ordered = await client.popped('O', order)
  t.strictSame(bodies(ordered), ['o0', 'o1'])
  await client.ack(ordered[0]!, 'GO')

  await halt(leader)
  const next = await nextLeader(followers)
  const after = new PopClient(t, followers.find(broker => broker !== next)!.address)
  const queue = { group: 'G', topic: 'P', queueId: 0 }
  t.equal(next.store.tables.pops.inFlight(queue), 5, 'messages 1, 3, 5, 6 and 8')
  t.equal(next.store.tables.consumerOffset('G', 'P', 0), 9)
  t.strictSame(
    bodies(await after.popped('P', { invisibleMs: LONG })),
    Array.from({ length: 11 }, (_, i) => String(i + 9)),
    'only what nobody had'
  )
  t.equal((await after.pop('O', order)).code, 210, 'the queue is blocked as before')
  t.equal((await after.ack(ordered[1]!, 'GO')).code, 0)
  t.strictSame(bodies(await after.popped('O', order)), ['o2'])

  t.equal((await after.ack(long[5]!)).code, 0, 'handles of the former leader count')
  t.equal((await after.ack(hidden)).code, 0)
  await until(() => next.store.maxOffset('%RETRY%G_P', 0) === 3, PATIENCE_MS)
  t.ok(clock.wallMs() >= dueMs - 1_000, 'invisible until its time')
  const again: Popped[] = []
  while (again.length < 3)
    again.push(...(await after.popped('P', { pollMs: 5_000, invisibleMs: LONG })))
  t.equal(again.length, 3)
  t.strictSame(new Set(bodies(again)), new Set(['3', '6', '8']), 'each once')
  t.equal((await after.ack(soon)).code, 0)
  for (const popped of again) await after.ack(popped)
  t.equal(next.store.maxOffset('%RETRY%G_P', 0), 3)
  for (const follower of followers)
    await until(() => follower.store.tables.pops.inFlight(queue) === 11, PATIENCE_MS)
})

t.test('a poll of a member that leads no more ends, and asked again waits at the next', async t => {
  const group = await Group.start(t)
  const { leader } = await group.settled()
  const client = new PopClient(t, leader.address)
  await topic(client, 'Poll', 1)
  const waiting = client.pop('Poll', { pollMs: 30_000 })
  await untilPolled(client, 'Poll')
  t.equal(await leader.store.transferLeadership(), true)
  const answer = await waiting
  t.equal(answer.code, ResponseCode.POLLING_TIMEOUT)
  const next = await nextLeader(group.brokers)
  t.not(next, leader)
  const again = client.popped('Poll', { pollMs: 30_000 })
  await untilPolled(new PopClient(t, next.address), 'Poll')
  t.equal((await client.send('Poll', 'x')).code, 0)
  t.strictSame(bodies(await again), ['x'])
})

t.test(
  'pops and acknowledgements under way when their leader goes lose nothing and double nothing',
  async t => {
    const group = await Group.start(t)
    const { leader, followers } = await group.settled()
    const first = new PopClient(t, leader.address)
    await topic(first, 'Flow', 4)
    const count = 400
    await sendAll(first, 'Flow', count, 4)
    /** Deliveries from the topic itself, and those that came back. */
    const fresh = new Map<string, number>()
    const retried = new Map<string, number>()
    /** When the answer to an acknowledgement is lost, the message may be done with all the same. */
    const consumed = new Set<string>()
    /** Before its time was over: only then a message must not come again. */
    const inTime = new Set<string>()
    const afterAck: string[] = []
    let stop = false
    const isDone = (): boolean =>
      consumed.size === count &&
      group.brokers.find(broker => broker.isLeader())?.store.tables.pops.count === 0

    async function consume(client: PopClient): Promise<void> {
      while (!stop && !isDone()) {
        try {
          const batch = await client.popped('Flow', { max: 4, pollMs: 500, invisibleMs: 4_000 })
          for (const popped of batch) {
            if (inTime.has(popped.body)) afterAck.push(popped.body)
            const seen = popped.realTopic === 'Flow' ? fresh : retried
            seen.set(popped.body, (seen.get(popped.body) ?? 0) + 1)
          }
          for (const popped of batch) {
            consumed.add(popped.body)
            if ((await client.ack(popped)).code !== 0) continue
            const [, popTime, invisibleMs] = popped.handle.split(' ').map(Number)
            if (clock.wallMs() < popTime! + invisibleMs!) inTime.add(popped.body)
          }
        } catch {
          // The answer is lost with its connection: what it held comes back.
          client.address = followers[0]!.address
          await new Promise<void>(resolve => clock.after(20, resolve))
        }
      }
    }

    const clients = [leader, ...followers].map(
      (broker, i) => new PopClient(t, broker.address, `c${i}`)
    )
    const consuming = Promise.all(clients.map(consume))
    await until(() => consumed.size > count / 4, PATIENCE_MS)
    await halt(leader)
    const next = await nextLeader(followers)
    const timer = clock.after(60_000, () => {
      stop = true
    })
    await consuming
    timer.cancel()
    t.equal(consumed.size, count, 'all were consumed')
    t.strictSame(afterAck, [], 'what was acknowledged never came again')
    t.strictSame(
      [...fresh].filter(([, times]) => times > 1),
      [],
      'the topic gave each out once'
    )
    t.ok(fresh.size >= count - retried.size)
    t.equal(next.store.tables.pops.count, 0, 'nothing is left in flight')
  }
)
