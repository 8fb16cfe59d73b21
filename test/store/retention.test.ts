import { join } from 'node:path'
import t from 'tap'
import { createRealPlatform } from '../../src/platform/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { bodies, fingerprint, message, type Opened, openFake, pull, Waiter } from './helpers.ts'

const HOUR_MS = 3_600_000

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

/** Ten entries of one message an hour, two entries to a segment. */
async function filled(
  directory: string,
  more: Parameters<typeof openFake>[1] = {},
  platform = createRealPlatform()
): Promise<Opened & { clock: FakeClock }> {
  const clock = new FakeClock()
  const opened = await openFake(directory, {
    platform: { ...platform, clock },
    consumeQueueFileBytes: 40,
    fileReservedMs: 4 * HOUR_MS,
    ...more
  })
  const { node, log, store } = opened
  node.lead()
  log.segmentEntries = 2
  for (let i = 0; i < 10; i++) {
    store.append(message('T', 0, `m${i}`, { UNIQ_KEY: `u${i}` }), new Waiter())
    node.commit()
    log.timeMs += HOUR_MS
    clock.advance(HOUR_MS)
    await turn()
  }
  node.automatic = true
  return { ...opened, clock }
}

async function trimmed({ node }: Opened): Promise<void> {
  while (node.trims.length === 0) await turn()
  await turn()
}

t.test('the leader drops whole segments by age, and every replica the same', async t => {
  const directory = t.testdir()
  const opened = await filled(join(directory, 'leader'))
  const { store, node, log, state } = opened
  const replicaLog = log.fork()
  const replica = await openFake(join(directory, 'replica'), {
    log: replicaLog,
    consumeQueueFileBytes: 40
  })
  t.equal(await store.cleanExpired(), true)
  await trimmed(opened)
  replicaLog.learn(log)
  replica.node.apply()
  await trimmed(replica)
  // Entry 1 is the no-op, so segments hold m0 | m1 m2 | m3 m4 | m5 m6 | …; m5 is five hours old.
  t.equal(store.minOffset('T', 0), 5)
  t.equal(store.maxOffset('T', 0), 10)
  t.strictSame(node.trims, replica.node.trims)
  t.strictSame(await fingerprint(store), await fingerprint(replica.store))
  t.match(await pull(store, { offset: 0 }), { status: 'OFFSET_TOO_SMALL', nextBeginOffset: 5 })
  t.strictSame(bodies(await pull(store, { offset: 5, maxMessages: 1 })), ['m5'])
  t.ok(state.syncs > 0, 'the state was synced before the log lost its beginning')
  const files = await createRealPlatform().disk.list(join(directory, 'leader/consumequeue/T/0'))
  t.strictSame(
    files.map(file => file.name),
    ['00000000000000000080', '00000000000000000120', '00000000000000000160']
  )
  const query = { topic: 'T', key: 'u1', maxMessages: 1, beginTimestamp: 0, endTimestamp: 1e15 }
  t.strictSame((await store.query(query)).messages, [])
  t.equal((await store.query({ ...query, key: 'u7' })).messages.length, 1)
  t.equal(await store.cleanExpired(), false, 'nothing more is old enough')
  await Promise.all([store.stop(), replica.store.stop()])
  const restarted = await openFake(join(directory, 'leader'), {
    log,
    state,
    consumeQueueFileBytes: 40
  })
  t.equal(restarted.store.minOffset('T', 0), 5)
  t.equal(restarted.store.counters.appliedEntries, 0)
  await restarted.store.stop()
})

t.test('a wall clock that jumps ahead lets nothing expire before its time', async t => {
  const { store, node, clock } = await filled(t.testdir())
  clock.wallMs = () => 1_900_000_000_000
  t.equal(await store.cleanExpired(), true, 'what is old enough by the time of the log goes')
  while (node.trims.length === 0) await turn()
  t.equal(store.minOffset('T', 0), 5)
  t.equal(await store.cleanExpired(), false)
  await store.stop()
})

t.test('what a member still has to fetch stays, until the disk forces it', async t => {
  const platform = createRealPlatform()
  const disk = Object.create(platform.disk) as typeof platform.disk
  let freeBytes = 50
  disk.space = async () => ({ totalBytes: 100, freeBytes })
  const percents = { diskMaxUsedPercent: 75, diskForcePercent: 85, diskFullPercent: 90 }
  const opened = await filled(t.testdir(), percents, { ...platform, disk })
  const { store, node, clock } = opened
  node.peerMatchIndexes = [100, 3]
  t.equal(await store.cleanExpired(), true)
  await trimmed(opened)
  t.equal(
    store.minOffset('T', 0),
    1,
    'the member needs entry 4, which stands in the second segment'
  )
  freeBytes = 12
  const trims = node.trims.length
  clock.advance(1_000)
  while (node.trims.length === trims) {
    clock.advance(10)
    await turn()
  }
  // The disk stays full, so a further pass may have taken the next segment too.
  t.ok(store.minOffset('T', 0) >= 9, 'beyond age and members')
  await store.stop()
})

t.test('nothing goes outside of the hours of deleteWhen while there is room', async t => {
  const directory = t.testdir()
  const nowMs = new FakeClock().wallMs() + 10 * HOUR_MS
  const hour = new Date(nowMs).getHours()
  for (const [deleteWhenHours, min] of [
    [[(hour + 2) % 24], 0],
    [[hour], 7]
  ] as const) {
    const opened = await filled(join(directory, `before-${min}`))
    await opened.store.stop()
    const own = new FakeClock(nowMs)
    const again = await openFake(join(directory, `after-${min}`), {
      log: opened.log,
      platform: { ...createRealPlatform(), clock: own },
      fileReservedMs: 4 * HOUR_MS,
      deleteWhenHours
    })
    again.node.lead()
    again.node.automatic = true
    for (let i = 0; i < 30; i++) {
      own.advance(1_000)
      for (let turns = 0; turns < 5; turns++) await turn()
    }
    if (min > 0) await trimmed(again)
    t.equal(again.store.minOffset('T', 0), min)
    await again.store.stop()
  }
})

t.test('a delayed message that was not delivered keeps its part of the log', async t => {
  const opened = await filled(t.testdir())
  const { store, node, log, clock } = opened
  store.append(message('SCHEDULE_TOPIC_XXXX', 17, 'later', { DELAY: '18' }), new Waiter())
  node.commit()
  for (let i = 0; i < 8; i++) {
    log.timeMs += HOUR_MS
    clock.advance(HOUR_MS)
    store.append(message('T', 0, `n${i}`), new Waiter())
    node.commit()
  }
  t.equal(await store.cleanExpired(), true)
  await trimmed(opened)
  const { trims } = node
  t.ok(await store.unit('SCHEDULE_TOPIC_XXXX', 17, 0), 'still there')
  await store.execute({ type: 'delayProgress', level: 18, offset: 1 })
  t.equal(await store.cleanExpired(), true)
  while (trims.length < 2) await turn()
  t.equal(await store.unit('SCHEDULE_TOPIC_XXXX', 17, 0), null)
  t.equal(store.minOffset('SCHEDULE_TOPIC_XXXX', 17), 1)
  await store.stop()
})

t.test('a follower decides nothing', async t => {
  const { store, node } = await filled(t.testdir())
  node.follow()
  t.equal(await store.cleanExpired(), false)
  t.strictSame(node.trims, [])
  await store.stop()
})

t.test('segments go only when the state that knows of it is on the disk', async t => {
  const opened = await filled(t.testdir())
  const { store, node, state } = opened
  const written = (): number =>
    (
      JSON.parse(String(state.pairs.get(Buffer.from('M').toString('hex')) ?? '{}')) as {
        trim?: { position: number }
      }
    ).trim?.position ?? 0
  let atTrim = -1
  const trimPrefix = node.trimPrefix.bind(node)
  node.trimPrefix = (index, position) => {
    atTrim = written()
    return trimPrefix(index, position)
  }
  const { syncs } = state
  t.equal(await store.cleanExpired(), true)
  await trimmed(opened)
  t.equal(atTrim, store.tables.trim.position, 'the checkpoint comes first')
  t.ok(state.syncs > syncs, 'synced')
  await store.stop()
})
