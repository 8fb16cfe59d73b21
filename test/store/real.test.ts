/** The store on the real log (a group of one), LevelDB and files. */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import { openStore, StateOpenError, type Store } from '../../src/store/index.ts'
import { openLevelStore } from '../../src/store/levelStore.ts'
import { bodies, fingerprint, message, pull, raftOptions, send, Waiter } from './helpers.ts'

async function open(directory: string, more = {}): Promise<Store> {
  const store = await openStore({
    platform: createRealPlatform(),
    logger: silentLogger,
    directory,
    raft: raftOptions(0),
    diskMaxUsedPercent: 100,
    diskForcePercent: 100,
    diskFullPercent: 100,
    checkpointIntervalMs: 20,
    consumeQueueFileBytes: 100 * 20,
    ...more
  })
  const ready = new Promise<void>(resolve =>
    store.onRole(status => {
      if (status.ready) resolve()
    })
  )
  await store.start()
  await ready
  return store
}

async function fill(store: Store, count: number): Promise<void> {
  const waiters = Array.from({ length: count }, () => new Waiter())
  for (const [i, waiter] of waiters.entries()) {
    const input = message('T', i % 3, `m${i}`, { TAGS: `t${i % 2}`, UNIQ_KEY: `u${i}` })
    const refusal = store.append(input, waiter)
    if (refusal !== null) throw new Error(refusal)
  }
  for (const waiter of waiters) {
    const result = await waiter.ended
    if (result !== 'stored') throw new Error(result)
  }
}

t.test('messages and state are there after a restart, each once', async t => {
  const directory = join(t.testdir(), 'a store')
  const store = await open(directory)
  await store.execute({ type: 'putValue', room: 'r', key: 'k', value: 'v' })
  for (let round = 0; round < 5; round++) await fill(store, 300)
  await store.commitOffsetAndWait({ group: 'G', topic: 'T', queueId: 1, offset: 77 })
  const before = await fingerprint(store)
  await store.stop()
  const again = await open(directory)
  t.strictSame(await fingerprint(again), { ...(before as object), timeMs: again.tables.timeMs })
  t.equal(again.tables.consumerOffset('G', 'T', 1), 77)
  const waiter = await send(again, message('T', 0, 'after'))
  t.equal(waiter.queueOffset, 500)
  t.strictSame(bodies(await pull(again, { offset: 499 })), ['m297', 'after'])
  const query = { topic: 'T', key: 'u299', maxMessages: 64, beginTimestamp: 0, endTimestamp: 1e15 }
  t.equal((await again.query(query)).messages.length, 5)
  await again.stop()
})

t.test('a large message, old ones from the disk, and the time of each', async t => {
  const directory = t.testdir()
  const store = await open(directory, {
    raft: { ...raftOptions(0), segmentBytes: 8 * 1024 * 1024, tailCacheBytes: 1024 * 1024 }
  })
  await fill(store, 30)
  const body = 'x'.repeat(3_000_000)
  for (let i = 0; i < 4; i++) await send(store, message('Big', 0, body))
  t.strictSame(bodies(await pull(store, { maxMessages: 2 })), ['m0', 'm3'])
  t.equal((await pull(store, { topic: 'Big', maxMessages: 5 })).messageCount, 1)
  t.strictSame(bodies(await pull(store, { topic: 'Big', offset: 3 })), [body])
  const first = await store.earliestStoreTime('Big', 0)
  t.equal(await store.offsetByTime('Big', 0, first), 0)
  t.equal(await store.offsetByTime('Big', 0, 8e12), 4)
  await store.stop()
})

t.test('old segments go through the log, and a restart keeps the new beginning', async t => {
  const directory = t.testdir()
  const options = { raft: { ...raftOptions(0), segmentBytes: 64 * 1024 }, fileReservedMs: 0 }
  const store = await open(directory, options)
  for (let i = 0; i < 30; i++) await send(store, message('T', 0, 'x'.repeat(10_000)))
  t.equal(await store.cleanExpired(), true)
  while (store.runtime().logStartPosition === 0) await new Promise(resolve => setImmediate(resolve))
  const min = store.minOffset('T', 0)
  t.ok(min > 10 && min < 30, `begins at ${min}`)
  t.match(await pull(store, { offset: 0 }), { status: 'OFFSET_TOO_SMALL', nextBeginOffset: min })
  t.equal((await pull(store, { offset: min, maxMessages: 1 })).messageCount, 1)
  await store.stop()
  const again = await open(directory, options)
  t.equal(again.minOffset('T', 0), min)
  t.equal((await pull(again, { offset: min, maxMessages: 1 })).messageCount, 1)
  t.equal((await send(again, message('T', 0, 'y'))).queueOffset, 30)
  await again.stop()
})

t.test('what fills a small segment is taken, what is larger is refused', async t => {
  const store = await open(t.testdir(), { raft: { ...raftOptions(0), segmentBytes: 64 * 1024 } })
  const fixed = message('T', 0, '').body.length + 91 + 1
  const room = 64 * 1024 - 8 - 64 - 4 - fixed
  t.equal(store.append(message('T', 0, 'x'.repeat(room + 1)), new Waiter()), 'tooLarge')
  for (let i = 0; i < 3; i++) await send(store, message('T', 0, 'x'.repeat(room)))
  await fill(store, 3_000)
  const batch = Array.from({ length: 3 }, () => message('T', 0, 'y'.repeat(20_000)))
  const waiter = new Waiter()
  t.equal(store.appendAtomic(batch, [{ type: 'delayProgress', level: 1, offset: 1 }], waiter), null)
  t.equal(await waiter.ended, 'stored')
  const value = 'v'.repeat(60_000)
  await Promise.all(
    ['a', 'b', 'c'].map(key => store.execute({ type: 'putValue', room: 'r', key, value }))
  )
  t.equal(store.tables.values('r').size, 3)
  t.equal(store.maxOffset('T', 0), 1_006)
  await store.stop()
})

t.test('a state directory that another process holds is named in the error', async t => {
  const directory = t.testdir()
  const store = await open(directory)
  await t.rejects(
    openStore({
      platform: createRealPlatform(),
      logger: silentLogger,
      directory,
      raft: raftOptions(0)
    }),
    StateOpenError
  )
  await store.stop()
})

t.test('a state database whose write failed is opened anew by the next one that can', async t => {
  const directory = join(t.testdir(), 'state')
  const aside = `${directory}.aside`
  const told: string[] = []
  const logger = { ...silentLogger, info: (text: string): void => void told.push(text) }
  const platform = createRealPlatform()
  const state = await openLevelStore(directory, platform, logger)
  const value = Buffer.alloc(1024 * 1024, 1)
  const write = (number: number): Promise<void> =>
    state.write([{ key: Buffer.from([number]), value }], { sync: true })
  await write(0)
  // LevelDB finds no place for its next files.
  renameSync(directory, aside)
  let failed = 0
  for (let number = 1; number < 16; number += 1) {
    await write(number).catch(() => {
      failed += 1
    })
  }
  t.ok(failed > 0, `${failed} writes failed`)
  t.same(told, [], 'it is not opened as long as that would fail too')
  renameSync(aside, directory)
  for (let number = 0; number < 16; number += 1) await write(number)
  t.match(told, [/opened anew/])
  const keys: number[] = []
  const read = async (from: typeof state): Promise<void> => {
    keys.length = 0
    for await (const block of from.entries(Buffer.from([0]), Buffer.from([255])))
      for (const [key] of block) keys.push(key[0]!)
  }
  const all = Array.from({ length: 16 }, (_, number) => number)
  await read(state)
  t.same(keys, all)
  await state.close()
  const again = await openLevelStore(directory, platform, logger)
  await read(again)
  t.same(keys, all)
  await again.close()
})
