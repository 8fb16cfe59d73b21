import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { createRealPlatform } from '../../src/platform/index.ts'
import type { TransactionInDoubt } from '../../src/store/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { message, openFake, openLeader, send, Waiter } from './helpers.ts'

const HALF = 'RMQ_SYS_TRANS_HALF_TOPIC'
const HOUR_MS = 3_600_000

const half = (body: string, properties: Record<string, string> = {}) =>
  message(HALF, 0, body, { REAL_TOPIC: 'T', REAL_QID: '0', ...properties })

const tableOf = (store: { tables: { transactions: ReadonlyMap<number, TransactionInDoubt> } }) =>
  [...store.tables.transactions.values()].map(one => ({ ...one }))

t.test('a half message is in doubt until its mark is applied', async t => {
  const { store, log } = await openLeader(t.testdir())
  const opened: number[] = []
  store.onTransactions(some => opened.push(...some.map(one => one.physicalOffset)))
  await send(store, message('T', 0, 'plain', { CHECK_IMMUNITY_TIME_IN_SECONDS: '7' }))
  const first = await send(store, half('a'))
  const second = await send(store, half('b', { CHECK_IMMUNITY_TIME_IN_SECONDS: '7' }))
  const odd: Waiter[] = []
  for (const text of ['-1', 'soon', '', '1.5'])
    odd.push(await send(store, half('c', { CHECK_IMMUNITY_TIME_IN_SECONDS: text })))
  t.strictSame(
    opened,
    [first, second, ...odd].map(one => one.physicalOffset)
  )
  const fresh = { checks: 0, checkedMs: 0, storeTimestamp: log.timeMs }
  t.strictSame(tableOf(store).slice(0, 3), [
    { physicalOffset: first.physicalOffset, immunityMs: -1, ...fresh },
    { physicalOffset: second.physicalOffset, immunityMs: 7_000, ...fresh },
    { physicalOffset: odd[0]!.physicalOffset, immunityMs: -1, ...fresh }
  ])
  t.ok(tableOf(store).every(one => one.immunityMs === -1 || one.immunityMs === 7_000))

  const waiter = new Waiter()
  const mark = { type: 'closeTransaction', physicalOffset: first.physicalOffset } as const
  t.equal(store.appendAtomic([message('T', 0, 'a')], [mark], waiter), null)
  t.equal(await waiter.ended, 'stored')
  t.equal(store.tables.transactions.has(first.physicalOffset), false)
  t.equal(store.maxOffset('T', 0), 2)
  t.equal((await store.execute(mark)).changed, false, 'once')
  await store.stop()
})

t.test('a check counts once, as the next one, for what is in doubt', async t => {
  const { store, log } = await openLeader(t.testdir())
  const { physicalOffset } = await send(store, half('a'))
  const check = (times: number, at = physicalOffset) =>
    store.execute({ type: 'checkTransactions', checks: [{ physicalOffset: at, times }] })
  log.timeMs += 1_000
  t.equal((await check(2)).changed, false, 'the first is missing')
  t.equal((await check(1)).changed, true)
  t.match(tableOf(store), [{ checks: 1, checkedMs: log.timeMs }])
  log.timeMs += 1_000
  t.equal((await check(1)).changed, false, 'a former leader counted it already')
  t.match(tableOf(store), [{ checks: 1, checkedMs: log.timeMs - 1_000 }])
  t.equal((await check(1, physicalOffset + 1)).changed, false, 'there is none')
  t.equal((await check(2)).changed, true)
  await store.stop()
})

t.test('every replica and every start has the same transactions in doubt', async t => {
  const directory = t.testdir()
  const leader = await openLeader(join(directory, 'leader'))
  const { store, log, state } = leader
  const halves: Waiter[] = []
  for (let i = 0; i < 20; i++)
    halves.push(await send(store, half(`h${i}`, { CHECK_IMMUNITY_TIME_IN_SECONDS: `${i}` })))
  await store.execute({
    type: 'checkTransactions',
    checks: halves.slice(5, 9).map(({ physicalOffset }) => ({ physicalOffset, times: 1 }))
  })
  for (const { physicalOffset } of [halves[0]!, halves[6]!, halves[19]!])
    await store.execute({ type: 'closeTransaction', physicalOffset })
  const table = tableOf(store)
  t.equal(table.length, 17)

  const replica = await openFake(join(directory, 'replica'), { log: log.fork() })
  replica.log.learn(log)
  replica.node.apply()
  t.strictSame(tableOf(replica.store), table)
  await Promise.all([store.stop(), replica.store.stop()])

  const restarted = await openLeader(join(directory, 'leader'), { log, state })
  t.equal(restarted.store.counters.appliedEntries, 1, 'from the checkpoint, but for the new no-op')
  t.strictSame(tableOf(restarted.store), table, 'the oldest first')
  await restarted.store.execute({
    type: 'closeTransaction',
    physicalOffset: table[0]!.physicalOffset
  })
  await restarted.store.stop()
  const again = await openFake(join(directory, 'leader'), { log, state })
  t.strictSame(tableOf(again.store), table.slice(1))
  await again.store.stop()
})

t.test('a half message in doubt keeps its part of the log, even when the disk is full', async t => {
  const platform = createRealPlatform()
  const disk = Object.create(platform.disk) as typeof platform.disk
  let freeBytes = 50
  disk.space = async () => ({ totalBytes: 100, freeBytes })
  const clock = new FakeClock()
  const { store, node, log } = await openFake(t.testdir(), {
    platform: { ...platform, disk, clock },
    fileReservedMs: 4 * HOUR_MS,
    diskMaxUsedPercent: 75,
    diskForcePercent: 85,
    diskFullPercent: 99
  })
  node.lead()
  log.segmentEntries = 2
  const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
  const put = async (input: ReturnType<typeof message>): Promise<Waiter> => {
    const waiter = new Waiter()
    store.append(input, waiter)
    node.commit()
    log.timeMs += HOUR_MS
    clock.advance(HOUR_MS)
    await turn()
    return waiter
  }
  await put(message('T', 0, 'before'))
  await put(message('T', 0, 'before'))
  const { physicalOffset } = await put(half('h'))
  for (let i = 0; i < 9; i++) await put(message('T', 0, `m${i}`))
  node.automatic = true
  t.equal(await store.cleanExpired(), true)
  while (node.trims.length === 0) await turn()
  t.ok(node.trims[0]!.position <= physicalOffset)
  t.ok(await store.messageAt(physicalOffset), 'still there')
  freeBytes = 12
  for (let i = 0; i < 30; i++) {
    clock.advance(1_000)
    for (let turns = 0; turns < 5; turns++) await turn()
  }
  t.ok(store.runtime().diskRatio > 0.85)
  t.ok(await store.messageAt(physicalOffset), 'not even then')
  const decided = { type: 'trimPrefix', index: 12, position: log.endPosition } as const
  t.equal((await store.execute(decided)).changed, false, 'nor by a decision of before it')
  const trims = node.trims.length
  await store.execute({ type: 'closeTransaction', physicalOffset })
  for (let i = 0; node.trims.length === trims; i++) {
    clock.advance(1_000)
    for (let turns = 0; turns < 5; turns++) await turn()
    if (i > 100) throw new Error('never trimmed')
  }
  t.equal(await store.messageAt(physicalOffset), null)
  await store.stop()
})

t.test('a hundred thousand in doubt cost little memory', async t => {
  const { store } = await openLeader(t.testdir())
  await send(store, half('first'))
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const before = process.memoryUsage().heapUsed
  const count = 100_000
  for (let at = 0; at < count; at += 2_000) {
    const waiter = new Waiter()
    const some = Array.from({ length: 2_000 }, (_, i) => half(`${at + i}`))
    t.equal(store.appendAtomic(some, [], waiter), null)
    if ((await waiter.ended) !== 'stored') throw new Error('not stored')
  }
  collect()
  const bytes = (process.memoryUsage().heapUsed - before) / count
  t.equal(store.tables.transactions.size, count + 1)
  // The half messages themselves lie in the log, here outside of the heap.
  t.ok(bytes < 300, `${Math.round(bytes)} bytes each`)
  t.comment(`${Math.round(bytes)} bytes each`)
  await store.stop()
})
