import t from 'tap'
import { createRealPlatform, type Disk, type DiskFile } from '../../src/platform/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { bodies, message, openLeader, pull, Waiter } from './helpers.ts'

const QUEUES = 40
/** Of the longer of the two periods: files are written, and synced. */
const CHECKPOINT_MS = 10_000

/** A real disk that counts the queues' files that are opened, and open. */
function watched(): { disk: Disk; counts: { opened: number; open: number; most: number } } {
  const { disk } = createRealPlatform()
  const counts = { opened: 0, open: 0, most: 0 }
  const open = async (path: string, options?: { create?: boolean }): Promise<DiskFile> => {
    const file = await disk.open(path, options)
    if (!path.includes('consumequeue')) return file
    counts.opened += 1
    counts.open += 1
    counts.most = Math.max(counts.most, counts.open)
    const close = file.close.bind(file)
    file.close = () => {
      counts.open -= 1
      return close()
    }
    return file
  }
  return { disk: { ...disk, open }, counts }
}

for (const { openFilesMax, stay } of [
  { openFilesMax: 4 * QUEUES, stay: true },
  { openFilesMax: QUEUES, stay: false }
]) {
  t.test(`a process that may have ${openFilesMax} files open, and ${QUEUES} queues`, async t => {
    const { disk, counts } = watched()
    const platform = createRealPlatform()
    const host = { ...platform.host, openFilesMax: () => openFilesMax }
    const clock = new FakeClock()
    const { store, state } = await openLeader(t.testdir(), {
      platform: { ...platform, clock, disk, host },
      checkpointIntervalMs: CHECKPOINT_MS
    })
    const round = async (name: string): Promise<void> => {
      for (let queue = 0; queue < QUEUES; queue++)
        store.append(message('T', queue, `${name} ${queue}`), new Waiter())
      const before = state.syncs
      clock.advance(CHECKPOINT_MS)
      while (state.syncs === before) await new Promise(resolve => setImmediate(resolve))
    }
    await round('first')
    const first = counts.opened
    t.ok(first >= QUEUES, `the first checkpoint opened ${first}`)
    await round('second')
    if (stay) t.equal(counts.opened, first, 'the second checkpoint opens none')
    t.ok(counts.most <= openFilesMax / 4 + 1, `${counts.most} were open at once`)
    for (const queue of [0, QUEUES - 1])
      t.strictSame(bodies(await pull(store, { topic: 'T', queueId: queue, offset: 0 })), [
        `first ${queue}`,
        `second ${queue}`
      ])
    await store.stop()
    t.equal(counts.open, 0, 'all are closed at the end')
  })
}
