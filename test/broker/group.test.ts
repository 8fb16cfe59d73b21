import t from 'tap'
import { decodeStoredMessages, RequestCode, ResponseCode } from '../../src/protocol/index.ts'
import { halt, platform, TestClient, until } from './helpers.ts'
import { Group } from './threeMembers.ts'

t.test('a follower does what it may and forwards what only the leader may do', async t => {
  const group = await Group.start(t)
  const { leader, followers } = await group.settled()
  const follower = followers[0]!
  const client = new TestClient(t, follower.address)

  t.test('ids and roles', async t => {
    t.equal(leader.brokerId(), 0)
    t.equal(leader.role(), 'SYNC_MASTER')
    const at = group.brokers.indexOf(follower)
    t.equal(follower.brokerId(), at + 1)
    t.equal(follower.role(), 'SLAVE')
  })

  t.test('sends are stored by the leader, under the address of the client', async t => {
    for (let i = 0; i < 3; i++) {
      const sent = await client.send('Fwd', `m${i}`)
      t.equal(sent.code, 0, sent.remark ?? '')
      t.equal(sent.extFields?.['queueOffset'], String(i))
    }
    const clientPorts = [...follower.server.connections].map(connection => connection.remotePort)
    const direct = new TestClient(t, leader.address)
    const [message] = await direct.read('Fwd', 0)
    t.ok(clientPorts.includes(message!.bornHost.port), 'born at the client, not at the member')
    t.equal(`${message!.storeHost.address}:${message!.storeHost.port}`, leader.address)
  })

  t.test('pulls and long polls are served by the follower itself', async t => {
    await until(() => follower.store.maxOffset('Fwd', 0) === 3)
    t.strictSame(
      (await client.read('Fwd', 0)).map(message => message.body.toString()),
      ['m0', 'm1', 'm2']
    )
    const held = client.pull('Fwd', 0, 3, { sysFlag: 2, suspendMs: 10_000 })
    await until(() => follower.holds.size === 1)
    await new TestClient(t, leader.address).send('Fwd', 'm3')
    t.equal(decodeStoredMessages((await held).body!)[0]?.body.toString(), 'm3')
  })

  t.test('a follower that is behind never sends a client back', async t => {
    const answer = await client.pull('Fwd', 0, 100)
    t.equal(answer.code, ResponseCode.PULL_RETRY_IMMEDIATELY)
    t.equal(answer.extFields?.['nextBeginOffset'], '100')
  })

  t.test('offsets go to the leader and come from it', async t => {
    const update = { consumerGroup: 'G', topic: 'Fwd', queueId: 0 }
    await client.oneway(RequestCode.UPDATE_CONSUMER_OFFSET, { ...update, commitOffset: 2 })
    await until(() => leader.store.tables.consumerOffset('G', 'Fwd', 0) === 2)
    const answer = await client.ask(RequestCode.QUERY_CONSUMER_OFFSET, update)
    t.equal(answer.extFields?.['offset'], '2')
  })

  t.test('one that came by way of a follower may be old: it only raises', async t => {
    const update = { consumerGroup: 'G', topic: 'Fwd', queueId: 0 }
    const code = RequestCode.UPDATE_CONSUMER_OFFSET
    const stored = (): number => leader.store.tables.consumerOffset('G', 'Fwd', 0)
    const early = new TestClient(t, leader.address)
    await early.ask(code, { ...update, queueId: 1, commitOffset: 1 })
    await client.oneway(code, { ...update, commitOffset: 1 })
    const refused = await client.ask(code, { ...update, commitOffset: 1 })
    t.equal(refused.code, ResponseCode.SERVICE_NOT_AVAILABLE)
    t.match(refused.remark, /over a new connection to the leader/)
    t.equal(stored(), 2)
    t.equal(
      (await early.ask(code, { ...update, commitOffset: 1 })).code,
      ResponseCode.SERVICE_NOT_AVAILABLE,
      'its client may have asked the follower since'
    )
    const late = new TestClient(t, leader.address)
    t.equal((await late.ask(code, { ...update, commitOffset: 1 })).code, ResponseCode.SUCCESS)
    t.equal(stored(), 1)
    t.equal((await client.ask(code, { ...update, commitOffset: 2 })).code, ResponseCode.SUCCESS)
    t.equal(stored(), 2)
  })

  t.test('errors of the leader come back as they are', async t => {
    const answer = await client.send('Fwd', 'x', { queueId: 50 })
    t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
    t.match(answer.remark, /queueId\[50\]/)
  })

  t.test('nobody else can forward: the key is asked for', async t => {
    const outsider = new TestClient(t, leader.address)
    const fields = {
      ...outsider.sendFields('Fwd'),
      __LMQ_CODE: '310',
      __LMQ_FWD: 'guess',
      __LMQ_ADDR: '10.1.1.1:5',
      __LMQ_HELD: '0'
    }
    const answer = await outsider.ask(9_900, fields, Buffer.from('x'))
    t.equal(answer.code, ResponseCode.NO_PERMISSION)
    t.equal(leader.store.maxOffset('Fwd', 0), 4)
  })
})

t.test(
  'without a leader requests wait, and are refused or left unanswered when their time is over',
  async t => {
    const group = await Group.start(t, { forwardHoldMillis: '700', forwardHoldMaxRequests: '3' })
    const { leader, followers } = await group.settled()
    const survivor = followers[0]!
    const lost = [leader, followers[1]!].map(broker => group.brokers.indexOf(broker))
    const client = new TestClient(t, survivor.address)
    t.equal((await client.send('W', 'before')).code, 0)
    await Promise.all(lost.map(at => halt(group.brokers[at]!)))
    await until(() => survivor.store.status().leaderId === null)

    t.test('sends get 14 after the hold', async t => {
      const startMs = platform.clock.monotonicMs()
      const answer = await client.send('W', 'refused')
      t.equal(answer.code, ResponseCode.SERVICE_NOT_AVAILABLE)
      const tookMs = platform.clock.monotonicMs() - startMs
      t.ok(tookMs >= 650 && tookMs < 2_000, `after ${tookMs} ms`)
    })

    t.test('offset queries get nothing', async t => {
      const fields = { consumerGroup: 'G', topic: 'W', queueId: 0 }
      await t.rejects(client.ask(RequestCode.QUERY_CONSUMER_OFFSET, fields, null, 1_200), {
        code: 'LMQ_REQUEST_TIMEOUT'
      })
    })

    t.test('properties count for the bytes that may wait', async t => {
      survivor.config.update([['forwardHoldMaxBytes', '20000']])
      const startMs = platform.clock.monotonicMs()
      const answer = await client.send('W', 'x', { props: { p: 'x'.repeat(30_000) } })
      t.equal(answer.code, ResponseCode.SERVICE_NOT_AVAILABLE)
      t.ok(platform.clock.monotonicMs() - startMs < 300)
      survivor.config.update([['forwardHoldMaxBytes', '33554432']])
    })

    t.test('what does not fit is refused at once', async t => {
      const answers = await Promise.all(
        Array.from({ length: 5 }, async (_, i) => {
          const startMs = platform.clock.monotonicMs()
          const answer = await client.send('W', `m${i}`)
          return { code: answer.code, tookMs: platform.clock.monotonicMs() - startMs }
        })
      )
      t.ok(answers.every(answer => answer.code === ResponseCode.SERVICE_NOT_AVAILABLE))
      t.equal(answers.filter(answer => answer.tookMs < 300).length, 2)
    })

    t.test('what was read before is still read', async t => {
      t.equal((await client.read('W', 0))[0]?.body.toString(), 'before')
    })

    t.test('what waits is stored once when a leader comes', async t => {
      survivor.config.update([['forwardHoldMillis', '10000']])
      const held = client.send('W', 'held')
      await Promise.all(lost.map(at => group.open(at)))
      t.equal((await held).code, 0)
      await group.settled()
      await until(() => survivor.store.maxOffset('W', 0) === 2)
      t.strictSame(
        (await client.read('W', 0)).map(m => m.body.toString()),
        ['before', 'held']
      )
    })
  }
)

t.test('a graceful stop of the leader costs no send and doubles none', async t => {
  const group = await Group.start(t)
  const { leader, followers } = await group.settled()
  const client = new TestClient(t, leader.address, 'producer')
  await client.heartbeat('G', {}, { producers: ['PG'] })
  await client.send('S', 'm0')
  let sent = 1
  let failed = 0
  let sending = true
  const senders = Array.from({ length: 4 }, async () => {
    while (sending) {
      const answer = await client.send('S', `m${sent++}`)
      if (answer.code !== 0) failed++
    }
  })
  await until(() => sent > 50)
  const stopped = leader.stop()
  await until(() => !leader.isLeader() && followers.some(broker => broker.isLeader()))
  const handedOverAt = sent
  await until(() => sent > handedOverAt + 50)
  const next = followers.find(broker => broker.isLeader())!
  t.ok(leader.server.connections.size > 0, 'the old leader forwards meanwhile')
  sending = false
  await Promise.all(senders)
  t.equal(failed, 0)
  await client.ask(RequestCode.UNREGISTER_CLIENT, {
    clientID: 'producer',
    producerGroup: 'PG',
    consumerGroup: 'G'
  })
  await stopped
  client.address = next.address
  const bodies: string[] = []
  for (;;) {
    const messages = await client.read('S', 0, bodies.length)
    if (messages.length === 0) break
    bodies.push(...messages.map(message => message.body.toString()))
  }
  t.equal(bodies.length, sent, 'each once')
  t.equal(new Set(bodies).size, sent)
})

t.test(
  'delayed messages come exactly once when the leader changes before they are due',
  async t => {
    const group = await Group.start(t, { messageDelayLevel: '1s' })
    const { leader, followers } = await group.settled()
    const client = new TestClient(t, leader.address)
    await client.send('Later', 'first')
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => client.send('Later', `d${i}`, { props: { DELAY: '1' } }))
    )
    await halt(leader)
    await until(() => followers.some(broker => broker.isLeader()))
    const next = followers.find(broker => broker.isLeader())!
    await until(() => next.store.tables.delayProgress(1) === 30)
    client.address = next.address
    const bodies = (await client.read('Later', 0)).map(message => message.body.toString())
    t.equal(bodies.length, 31)
    t.equal(new Set(bodies).size, 31)
    t.equal(next.store.maxOffset('SCHEDULE_TOPIC_XXXX', 0), 30)
  }
)
