import t from 'tap'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import type { Store, TimerRef } from '../../src/store/index.ts'
import { openLevelStore } from '../../src/store/levelStore.ts'
import { readTimers, TimerTable } from '../../src/store/timers.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { MemoryState, message, openFake, openLeader, send, Waiter } from './helpers.ts'

const topic = 'rmq_sys_wheel_timer'
const start: TimerRef = { dueMs: 0, position: 0 }
const far = 1e15

function waits(store: Store, dueMs: number | string): Promise<Waiter> {
  return send(store, message(topic, 0, `at ${dueMs}`, { TIMER_DELIVER_MS: String(dueMs) }))
}

async function times(store: Store, from = start, untilMs = far, max = 1_000): Promise<number[]> {
  return (await store.timers(from, untilMs, max)).map(timer => timer.dueMs)
}

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

t.test('messages of the timer topic wait, in the order of their times', async t => {
  const { store } = await openLeader(t.testdir())
  const told: number[] = []
  store.onTimers(earliestMs => told.push(earliestMs))
  for (const due of [5_000, 1_000, 9_000, 1_000]) await waits(store, due)
  t.strictSame(told, [5_000, 1_000, 9_000, 1_000])
  t.strictSame(await times(store), [1_000, 1_000, 5_000, 9_000])
  t.equal(store.tables.timers.count, 4)
  t.strictSame(await times(store, start, 5_000), [1_000, 1_000, 5_000], 'until, inclusive')
  t.strictSame(await times(store, start, far, 3), [1_000, 1_000, 5_000], 'so many')
  const [first, second] = await store.timers(start, far, 2)
  t.ok(first!.position < second!.position, 'of one time the older first')
  t.strictSame(await store.timers(second!, 1_000, 9), [second], 'from, inclusive')
  t.match((await store.messageAt(second!.position))?.toString('latin1'), /at 1000/)

  await send(store, message(topic, 0, 'never'))
  await waits(store, 'soon')
  await waits(store, '1'.repeat(16))
  t.equal(store.tables.timers.count, 4, 'what names no time waits for none')

  await store.execute({ type: 'timersDone', timers: [first!] })
  t.strictSame(await times(store), [1_000, 5_000, 9_000])
  t.equal(store.tables.timers.count, 3)
  await store.stop()
})

t.test('what lies in the state database and what is newer are one list', async t => {
  const clock = new FakeClock()
  const state = new MemoryState()
  const opened = await openFake(t.testdir(), {
    platform: { ...createRealPlatform(), clock },
    state,
    checkpointIntervalMs: 1_000,
    // Its writes are not those that are waited for here.
    scrubBytesPerSecond: 0
  })
  const { store, node } = opened
  node.lead()
  node.automatic = true
  const checkpoint = async (): Promise<void> => {
    const { writes } = state
    clock.advance(60_000)
    while (state.writes === writes) await turn()
    for (let i = 0; i < 5; i++) await turn()
  }
  const records = (): number => [...state.pairs.keys()].filter(key => key.startsWith('57')).length
  for (let due = 10; due <= 100; due += 10) await waits(store, due)
  await checkpoint()
  t.equal(records(), 10)
  await waits(store, 15)
  await waits(store, 105)
  const [a, b] = (await store.timers(start, far, 2)) as [TimerRef, TimerRef]
  t.strictSame([a.dueMs, b.dueMs], [10, 15])
  await store.execute({ type: 'timersDone', timers: [a, b] })
  const left = [20, 30, 40, 50, 60, 70, 80, 90, 100, 105]
  t.strictSame(await times(store), left)
  t.strictSame(await times(store, start, far, 2), [20, 30])
  t.equal(records(), 10, 'nothing is written before the checkpoint')

  t.test('also while the checkpoint is being written', async t => {
    const release = state.hold()
    clock.advance(60_000)
    for (let i = 0; i < 20; i++) await turn()
    await waits(store, 25)
    const [taken] = await store.timers({ dueMs: 105, position: 0 }, far, 1)
    await store.execute({ type: 'timersDone', timers: [taken!] })
    const now = [20, 25, 30, 40, 50, 60, 70, 80, 90, 100]
    t.strictSame(await times(store), now)
    const reading = times(store)
    const { writes } = state
    release()
    t.strictSame(await reading, now, 'that ends during the look')
    while (state.writes === writes) await turn()
    t.strictSame(await times(store), now)
    await checkpoint()
    t.equal(records(), 10)
    t.strictSame(await times(store), now)
  })

  t.test('and counts what lies in each part of the log', async t => {
    const regions = [...state.pairs].filter(([key]) => key.startsWith('4e'))
    t.strictSame(
      regions.map(([key, value]) => [key, value.readUInt32BE()]),
      [[`4e${'0'.repeat(16)}`, 10]]
    )
  })

  t.test('and after a restart', async t => {
    const before = await store.timers(start, far, 1_000)
    await store.stop()
    const again = await openFake(t.testdir(), { log: opened.log, state })
    t.equal(again.store.counters.appliedEntries, 0)
    t.strictSame(await again.store.timers(start, far, 1_000), before)
    t.equal(again.store.tables.timers.count, 10)
    await again.store.stop()
  })

  t.test('half a removed state is not taken for waiting messages', async t => {
    state.pairs.delete('4d')
    const again = await openFake(t.testdir(), { log: opened.log, state })
    again.node.commit()
    t.equal((await again.store.timers(start, far, 1_000)).length, 10)
    t.equal(again.store.tables.timers.count, 10)
    await again.store.stop()
  })
})

t.test('of thousands that no checkpoint has written the first are found', async t => {
  const { store } = await openLeader(t.testdir())
  const due = Array.from({ length: 3_000 }, (_, i) => 1_000 + ((i * 7_919) % 3_001))
  const waiter = new Waiter()
  const messages = due.map(ms => message(topic, 0, 'x', { TIMER_DELIVER_MS: String(ms) }))
  store.appendAtomic(messages, [], waiter)
  t.equal(await waiter.ended, 'stored')
  const sorted = due.toSorted((a, b) => a - b)
  for (const max of [1, 10, 500, 5_000])
    t.strictSame(await times(store, start, far, max), sorted.slice(0, max))
  const from = sorted[1_500]!
  t.strictSame(await times(store, { dueMs: from, position: 0 }, far, 3), sorted.slice(1_500, 1_503))
  t.strictSame(await times(store, start, from, 9_999), sorted.slice(0, 1_501))
  await store.stop()
})

t.test(
  'many that wait are written without holding others up, many that went leave no trace',
  async t => {
    const platform = createRealPlatform()
    const state = await openLevelStore(`${t.testdir()}/state`, platform, silentLogger)
    const table = new TimerTable()
    const count = 60_000
    const timer = (i: number): TimerRef => ({ dueMs: 1_000 + i, position: i * 300 })
    const records = Array.from({ length: count }, (_, i) => ({
      key: keyOf(timer(i)),
      value: Buffer.alloc(0)
    }))
    let turns = 0
    const counting = setInterval(() => turns++, 0)
    await state.write(records, { sync: false })
    clearInterval(counting)
    t.ok(turns > 20, `${turns} turns`)
    t.equal(table.takeBuried(), null)
    for (let i = 0; i < count - 1; i++) table.remove(timer(i))
    const changes: Parameters<typeof state.write>[0][number][] = []
    table.capture(changes)
    await state.write(changes, { sync: false })
    table.flushed()
    const range = table.takeBuried()!
    t.ok(range.from.compare(keyOf(timer(0))) <= 0)
    t.equal(range.to.compare(keyOf(timer(count - 2))), 1)
    t.equal(table.takeBuried(), null, 'once')
    await state.compact(range.from, range.to)
    t.strictSame(await readTimers(table, state, start, far, 10), [timer(count - 1)])
    await state.close()
  }
)

function keyOf({ dueMs, position }: TimerRef): Buffer {
  const key = Buffer.alloc(17, 'W')
  key.writeBigInt64BE(BigInt(dueMs), 1)
  key.writeBigInt64BE(BigInt(position), 9)
  return key
}

t.test('the log keeps what waits, even when the disk is full', async t => {
  const hourMs = 3_600_000
  const clock = new FakeClock()
  const real = createRealPlatform()
  const disk = Object.create(real.disk) as typeof real.disk
  disk.space = async () => ({ totalBytes: 100, freeBytes: 12 })
  const { store, node, log } = await openFake(t.testdir(), {
    platform: { ...real, clock, disk },
    diskForcePercent: 85,
    diskFullPercent: 90,
    fileReservedMs: 4 * hourMs
  })
  node.lead()
  log.segmentEntries = 2
  const body = 'x'.repeat(600_000)
  const append = (name: string, properties: Record<string, string> = {}): void => {
    store.append(message(name, 0, body, properties), new Waiter())
    node.commit()
    log.timeMs += hourMs
    clock.advance(hourMs)
  }
  for (let i = 0; i < 5; i++) append('T')
  append(topic, { TIMER_DELIVER_MS: '1' })
  for (let i = 0; i < 4; i++) append('T')
  node.automatic = true
  while (await store.cleanExpired()) await turn()
  const [waiting] = await store.timers(start, far, 1)
  t.ok(store.tables.trim.position > 0, 'what is older went')
  t.ok(store.tables.trim.position <= waiting!.position)
  t.ok(await store.messageAt(waiting!.position))
  const before = store.tables.trim.position
  await store.execute({ type: 'timersDone', timers: [waiting!] })
  t.equal(await store.cleanExpired(), true, 'and goes when nothing waits')
  t.ok(store.tables.trim.position > before)
  await store.stop()
})
