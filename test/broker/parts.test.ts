import t from 'tap'
import {
  ClientHousekeeping,
  ConsumerTable,
  ProducerTable,
  tagSubscription
} from '../../src/broker/clients/index.ts'
import type { Caller } from '../../src/broker/dispatch/handler.ts'
import { CommitOrder } from '../../src/broker/offsets/index.ts'
import { encodePair, PropertyScan } from '../../src/broker/send/index.ts'
import { BrokerStats } from '../../src/broker/stats/index.ts'
import { DueQueue } from '../../src/broker/transaction/index.ts'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import { decodeProperties, javaHash } from '../../src/protocol/index.ts'
import type { Connection } from '../../src/remoting/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'

const props = (text: string): Buffer =>
  Buffer.from(text.replaceAll('=', '\u0001').replaceAll(';', '\u0002'))

t.test('properties of a send', async t => {
  const scan = new PropertyScan()
  const take = (text: string): boolean => {
    const bytes = props(text)
    return scan.scan(bytes, 0, bytes.length)
  }

  t.test('WAIT is not stored, everything else is, in its order', async t => {
    t.equal(take('UNIQ_KEY=AB;WAIT=true;TAGS=a'), true)
    t.strictSame(
      [...decodeProperties(scan.stored)],
      [
        ['UNIQ_KEY', 'AB'],
        ['TAGS', 'a']
      ]
    )
    t.equal(take('WAITING=1;WAIT=false;'), true)
    t.strictSame([...decodeProperties(scan.stored)], [['WAITING', '1']])
  })

  t.test(
    'what is appended follows as pairs of their own, also behind a text without end mark',
    async t => {
      take('TAGS=a')
      t.equal(scan.append(encodePair('CLUSTER', 'c')), true)
      t.strictSame(
        [...decodeProperties(scan.stored)],
        [
          ['TAGS', 'a'],
          ['CLUSTER', 'c']
        ]
      )
    }
  )

  t.test('the delay level is read as Java reads it', async t => {
    for (const [text, level] of [
      ['DELAY=3', 3],
      ['KEYS=k;DELAY=18;', 18],
      ['DELAY=-1', -1],
      ['DELAY=x', 0],
      ['DELAYED=5', 0],
      ['DELAY=', 0],
      ['', 0]
    ] as const) {
      take(text)
      t.equal(scan.delayLevel, level, text)
    }
  })

  t.test('transactions and timers are seen, and only they', async t => {
    take('TRAN_MSG=true;TAGS=a')
    t.equal(scan.isTransaction, true)
    take('TRAN_MSG=false;TIMER_DELAY_MS=5')
    t.equal(scan.isTransaction, false)
    t.equal(scan.isTimer, true)
    take('TAGS=TRAN_MSG;TIMER_OUT_MS=5')
    t.equal(scan.isTransaction || scan.isTimer, false)
  })

  t.test('more than a stored message can hold is refused', async t => {
    t.equal(take(`K=${'x'.repeat(32_764)};`), true)
    t.equal(scan.length, 32_767)
    t.equal(scan.append(encodePair('A', 'b')), false)
    t.equal(take(`K=${'x'.repeat(32_766)}`), false)
  })
})

t.test('tag expressions', async t => {
  t.equal(tagSubscription('T', '*', 1).codes, null)
  t.equal(tagSubscription('T', null, 1).codes, null)
  t.equal(tagSubscription('T', '', 1).codes, null)
  const two = tagSubscription('T', ' tagA ||TagB|| tagA', 7)
  t.strictSame([...two.codes!], [3_552_231, 2_598_920])
  t.strictSame(two.tags, ['tagA', 'TagB'])
  t.equal(javaHash('tagA'), 3_552_231)
  t.throws(() => tagSubscription('T', ' || ', 1), { name: 'SubscriptionSyntaxError' })
})

t.test('statistics show a minute, an hour and a day as the original samples them', async t => {
  const clock = new FakeClock()
  const stats = new BrokerStats(clock, 'C')
  stats.start()
  for (let i = 0; i < 30; i++) {
    stats.put('T', 0, 10, 1_000)
    clock.advance(1_000)
  }
  const item = stats.find('TOPIC_PUT_NUMS', 'T')!
  t.strictSame(item.spans().minute, { sum: 300, tps: 10, avgpt: 10 })
  t.equal(item.spans().day.sum, 0, 'no hour is over yet')
  clock.advance(600_000)
  t.equal(item.spans().hour.sum, 300)
  t.equal(item.spans().minute.sum, 0)
  t.equal(stats.find('QUEUE_PUT_SIZE', 'T@0')?.value, 30_000)
  t.equal(stats.find('TOPIC_PUT_NUMS', 'U'), null)
  t.equal(stats.putTotal, 300)
  stats.forgetTopic('T')
  t.equal(stats.find('QUEUE_PUT_SIZE', 'T@0'), null)
  stats.stop()
})

t.test('the queue of what falls due gives the earliest first', async t => {
  const { random } = createRealPlatform()
  const queue = new DueQueue()
  const expected: number[] = []
  t.equal(queue.take(), undefined)
  t.equal(queue.nextDueMs, Number.POSITIVE_INFINITY)
  for (let i = 0; i < 5_000; i++) {
    const dueMs = random.below(700)
    queue.add(dueMs, dueMs * 10_000 + i)
    expected.push(dueMs)
    if (i % 3 === 0) {
      expected.sort((a, b) => a - b)
      const first = expected.shift()
      if (queue.nextDueMs !== first || Math.floor(queue.take()! / 10_000) !== first)
        throw new Error(`${first} was to be the first`)
    }
  }
  expected.sort((a, b) => a - b)
  const taken: number[] = []
  for (let item = queue.take(); item !== undefined; item = queue.take())
    taken.push(Math.floor(item / 10_000))
  t.strictSame(taken, expected)
  queue.add(5, 1)
  queue.clear()
  t.equal(queue.size, 0)
})

t.test('a commit is sure to be in order when nothing older could come behind it', async t => {
  const clock = new FakeClock()
  const order = new CommitOrder(clock, 120_000)
  const by = (forwarded: boolean, openedMs: number): boolean =>
    order.isSure({ forwarded, heldMs: 0, connection: { openedMs } } as unknown as Caller, 'T@G@0')
  /** The turn of the loop ends. */
  const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
  const first = clock.monotonicMs()
  clock.advance(1_000)
  t.equal(by(false, first), true, 'there was no other leader')
  order.led()
  t.equal(by(false, first), false, 'sent to this member when it did not lead yet, perhaps')
  const waited = clock.monotonicMs() + 1
  clock.advance(1)
  t.equal(by(false, waited), false, 'opened while this loop did not look, perhaps')
  await turn()
  t.equal(by(false, clock.monotonicMs()), false, 'what waited is only looked at now')
  await turn()
  t.equal(by(false, waited), false)
  t.equal(by(false, clock.monotonicMs() + 1), true)
  const held = { forwarded: false, heldMs: 1, connection: { openedMs: clock.monotonicMs() } }
  t.equal(order.isSure(held as Caller, 'T@G@0'), false, 'it waited here for a leader')
  const second = clock.monotonicMs()
  clock.advance(120_001)
  t.equal(by(false, first), true, 'a connection that was silent for so long is closed')
  t.equal(by(true, clock.monotonicMs()), false, 'by way of a member it never is')
  clock.advance(10)
  t.equal(by(false, second), false, 'the client may have gone to that member after it sent this')
  t.equal(
    order.isSure(
      { forwarded: false, heldMs: 0, connection: { openedMs: second } } as Caller,
      'T@G@1'
    ),
    true,
    'another queue'
  )
  await turn()
  t.equal(by(true, clock.monotonicMs()), false)
  await turn()
  t.equal(by(false, clock.monotonicMs() + 1), false, 'one came by way of a member since')
  await turn()
  t.equal(by(false, clock.monotonicMs() + 1), true)
  clock.advance(120_001)
  t.equal(by(false, second), true)
})

t.test('clients without heartbeats are closed, consumers after channelExpiredTimeout', async t => {
  const clock = new FakeClock()
  const limits = { groupsMax: () => 9, membersMax: () => 9, subscriptionsMax: () => 9 }
  const producers = new ProducerTable(clock, limits)
  const consumers = new ConsumerTable(clock, limits, () => {})
  let timeoutMs = 120_000
  const housekeeping = new ClientHousekeeping(
    clock,
    silentLogger,
    producers,
    consumers,
    () => timeoutMs
  )
  const closed: string[] = []
  const connect = (id: number): Connection =>
    ({
      id,
      closed: false,
      remoteAddress: 'x',
      attachment: null,
      close: (reason: string) => closed.push(`${id}: ${reason}`)
    }) as unknown as Connection
  const client = { clientId: 'c', language: 0, version: 409 }
  producers.register('P', client, connect(1))
  const consumer = {
    group: 'G',
    consumeType: 'CONSUME_PASSIVELY',
    messageModel: 'CLUSTERING',
    consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
    subscriptions: []
  } as const
  const connection = connect(2)
  consumers.register(consumer, client, connection)
  clock.advance(90_000)
  housekeeping.scan()
  t.strictSame(closed, [])
  timeoutMs = 60_000
  housekeeping.scan()
  t.strictSame(closed.splice(0), ['2: no heartbeat for 90000 ms'], 'as soon as it is changed')
  consumers.register(consumer, client, connection)
  clock.advance(31_000)
  housekeeping.scan()
  t.strictSame(closed, ['1: no heartbeat for 121000 ms'])
})
