import t from 'tap'
import { Batcher } from '../../src/client/batcher.ts'
import { compressorOf } from '../../src/client/compression.ts'
import { TopicStats } from '../../src/client/consumeStats.ts'
import {
  type AllocationStrategy,
  allocateQueues,
  averageAllocation,
  circleAllocation,
  fixedAllocation,
  type MessageQueue,
  parseNameServers,
  publishQueues,
  type ReceivedMessage,
  subscribeQueues,
  type TopicRoute
} from '../../src/client/index.ts'
import { prepareMessage } from '../../src/client/outgoing.ts'
import { LOCK_TRUST_MS, ProcessQueue } from '../../src/client/processQueue.ts'
import { Sleeper } from '../../src/client/sleeper.ts'
import { accepts, subscriptionBody, tagSubscription } from '../../src/client/subscription.ts'
import { FakeClock } from '../helpers/fakeClock.ts'

function queues(count: number): MessageQueue[] {
  return Array.from({ length: count }, (_, queueId) => ({ topic: 'T', brokerName: 'b', queueId }))
}

function shares(strategy: AllocationStrategy, count: number, clients: string[]): number[][] {
  return clients.map(self =>
    allocateQueues(strategy, self, queues(count).reverse(), [...clients].reverse()).map(
      queue => queue.queueId
    )
  )
}

t.test(
  'members divide queues as the original does, whatever order they hear of each other in',
  async t => {
    const three = ['a', 'b', 'c']
    t.strictSame(shares(averageAllocation, 8, three), [
      [0, 1, 2],
      [3, 4, 5],
      [6, 7]
    ])
    t.strictSame(shares(averageAllocation, 6, three), [
      [0, 1],
      [2, 3],
      [4, 5]
    ])
    t.strictSame(shares(averageAllocation, 2, three), [[0], [1], []])
    t.strictSame(shares(circleAllocation, 8, three), [
      [0, 3, 6],
      [1, 4, 7],
      [2, 5]
    ])
    t.strictSame(allocateQueues(averageAllocation, 'x', queues(4), three), [], 'not listed')
    const fixed = fixedAllocation([queues(4)[2]!])
    t.strictSame(shares(fixed, 4, three), [[2], [2], [2]])
    // Every number of queues and members: each queue has exactly one owner.
    for (let count = 1; count <= 12; count++) {
      for (let members = 1; members <= 5; members++) {
        const clients = Array.from({ length: members }, (_, i) => `c${i}`)
        for (const strategy of [averageAllocation, circleAllocation]) {
          const all = shares(strategy, count, clients).flat()
          t.strictSame(
            all.sort((a, b) => a - b),
            queues(count).map(queue => queue.queueId)
          )
        }
      }
    }
  }
)

t.test('a tag expression is read as brokers read it', async t => {
  const subscription = tagSubscription('T', ' TagA ||TagB || ', 7)
  t.strictSame([...subscription.tags], ['TagA', 'TagB'])
  t.strictSame(subscriptionBody(subscription), {
    classFilterMode: false,
    codeSet: [2_598_919, 2_598_920],
    expressionType: 'TAG',
    subString: 'TagA ||TagB ||',
    subVersion: 7,
    tagsSet: ['TagA', 'TagB'],
    topic: 'T'
  })
  t.ok(accepts(subscription, 'TagB'))
  t.notOk(accepts(subscription, 'TagC'))
  t.notOk(accepts(subscription, null))
  for (const all of ['*', '', ' ']) t.ok(accepts(tagSubscription('T', all, 0), null))
  t.throws(() => tagSubscription('T', ' || ', 0), { code: 'BAD_ARGUMENT' })
})

function message(queueOffset: number, bytes = 10): ReceivedMessage {
  return { queueOffset, body: Buffer.alloc(bytes) } as unknown as ReceivedMessage
}

t.test('the committed offset never passes an unfinished message', async t => {
  const queue = new ProcessQueue(queues(1)[0]!)
  const all = [3, 4, 5, 9].map(offset => message(offset))
  queue.put(all)
  t.equal(queue.count, 4)
  t.equal(queue.bytes, 40)
  t.equal(queue.span, 6)
  const [a, b] = queue.take(2, 0)
  const [c] = queue.take(1, 0)
  t.strictSame(
    [a, b, c].map(each => each!.queueOffset),
    [3, 4, 5]
  )
  t.equal(queue.finish([c!]), 3)
  t.equal(queue.finish([a!]), 4)
  t.equal(queue.finish([b!]), 9, 'and jumps over what was finished meanwhile')
  t.equal(queue.count, 1)
  t.equal(queue.finish(queue.take(5, 0)), 10)
  t.equal(queue.bytes, 0)
  t.notOk(queue.hasWaiting)
})

t.test('messages put back are handed out again, oldest first, and none twice', async t => {
  const queue = new ProcessQueue(queues(1)[0]!)
  queue.put([0, 1, 2, 3].map(offset => message(offset)))
  const first = queue.take(2, 0)
  queue.take(1, 0)
  queue.putBack(first)
  t.strictSame(
    queue.take(9, 0).map(each => each.queueOffset),
    [0, 1, 3]
  )
  queue.put([message(2), message(3), message(4)])
  t.equal(queue.count, 5, 'a repeated pull brings nothing twice')
  t.equal(queue.stuck(99, 100), null)
  t.equal(queue.stuck(100, 100)?.queueOffset, 0)
  t.notOk(queue.isLocked(0))
  queue.lockedAtMs = 5
  t.ok(queue.isLocked(4 + LOCK_TRUST_MS))
  t.notOk(queue.isLocked(5 + LOCK_TRUST_MS))
})

function route(perm: number, addresses: [number, string][], orderConf: string | null): TopicRoute {
  const data = { brokerName: 'b', readQueueNums: 3, writeQueueNums: 2, perm, topicSysFlag: 0 }
  return {
    topic: 'T',
    orderConf,
    queues: [data],
    brokers: [{ cluster: 'C', brokerName: 'b', addresses: new Map(addresses) }]
  }
}

t.test(
  'queues to send to need a leader and the permission, queues to read only the permission',
  async t => {
    const led: [number, string][] = [[0, 'x:1']]
    const headless: [number, string][] = [[2, 'x:1']]
    t.equal(publishQueues(route(6, led, null)).length, 2)
    t.equal(publishQueues(route(4, led, null)).length, 0)
    t.equal(publishQueues(route(6, headless, null)).length, 0)
    t.equal(publishQueues(route(6, led, 'b:5;gone:3')).length, 5)
    t.equal(subscribeQueues(route(6, headless, null)).length, 3)
    t.equal(subscribeQueues(route(2, led, null)).length, 0)
  }
)

t.test('a batch leaves when it is full by number, by bytes or by time', async t => {
  const clock = new FakeClock()
  const sizes: number[] = []
  const limits = {
    compressFromBytes: Number.POSITIVE_INFINITY,
    compressor: compressorOf('zlib', 5),
    messageBytesMax: 1_000
  }
  const prepared = (bytes: number): ReturnType<typeof prepareMessage> =>
    prepareMessage({ topic: 'T', body: Buffer.alloc(bytes, 1) }, 'K'.repeat(32), limits)
  const batcher = new Batcher(clock, { messagesMax: 3, bytesMax: 500, lingerMs: 20 }, async all => {
    sizes.push(all.length)
    if (all.length === 2) throw new Error('refused')
    const queue = queues(1)[0]!
    return {
      status: 'SEND_OK',
      messageId: 'a,b,c',
      offsetMessageId: 'x,y,z',
      queue,
      queueOffset: 7,
      recallHandle: null
    }
  })
  const full = await Promise.all([1, 2, 3].map(() => batcher.add(prepared(1))))
  t.strictSame(
    full.map(result => [result.messageId, result.offsetMessageId, result.queueOffset]),
    [
      ['a', 'x', 7],
      ['b', 'y', 8],
      ['c', 'z', 9]
    ]
  )
  const alone = batcher.add(prepared(400))
  const next = batcher.add(prepared(400))
  await alone
  t.strictSame(sizes, [3, 1], 'the second did not fit')
  clock.advance(19)
  t.strictSame(sizes, [3, 1])
  clock.advance(1)
  await next
  t.strictSame(sizes, [3, 1, 1])
  const both = [batcher.add(prepared(1)), batcher.add(prepared(1))]
  batcher.flush()
  for (const each of both) await t.rejects(each, { message: 'refused' })
})

t.test('figures of a topic cover the last minute', async t => {
  const clock = new FakeClock()
  const stats = new TopicStats(clock)
  stats.pulled(30, 4)
  stats.pulled(30, 2)
  stats.consumed(8, 4, 5)
  t.match(stats.body(), { pullTPS: 1, pullRT: 3, consumeFailedMsgs: 4, consumeRT: 5 })
  clock.advance(61_000)
  t.match(stats.body(), { pullTPS: 0, pullRT: 0, consumeFailedMsgs: 0, consumeRT: 0 })
})

t.test(
  'a sleeper wakes at its time, when it is woken, and at once after it was stopped',
  async t => {
    const clock = new FakeClock()
    const sleeper = new Sleeper(clock)
    const first = sleeper.sleep(10)
    clock.advance(10)
    await first
    const second = sleeper.sleep(10)
    sleeper.wake()
    await second
    t.equal(clock.timers, 0)
    sleeper.stop()
    await sleeper.sleep(10)
    t.equal(clock.timers, 0)
  }
)

t.test('name servers are given as a list or as text', async t => {
  t.strictSame(parseNameServers('a:1; b:2 ;a:1'), ['a:1', 'b:2'])
  t.strictSame(parseNameServers(['a:1', 'b:2;c:3']), ['a:1', 'b:2', 'c:3'])
  t.throws(() => parseNameServers('a'), { code: 'BAD_ARGUMENT' })
})
