import { join } from 'node:path'
import t from 'tap'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import type { RunRecord } from '../../src/store/indexRun.ts'
import { KeyIndex } from '../../src/store/keyIndex.ts'
import { MemoryState } from './helpers.ts'

const { disk } = createRealPlatform()
const CHUNK = 64

async function openIndex(directory: string, state: MemoryState): Promise<KeyIndex> {
  const index = new KeyIndex(disk, directory, state, silentLogger, CHUNK)
  const runs = [...state.pairs].map(([, value]) => JSON.parse(value.toString()) as RunRecord)
  await index.open(runs)
  return index
}

/** Lets it write and merge until nothing is left to do. */
async function settle(index: KeyIndex, state: MemoryState, durableIndex: number): Promise<void> {
  for (;;) {
    const writes = state.writes
    index.maintain(durableIndex)
    await index.idle()
    if (state.writes === writes) return
  }
}

t.test('every key is found, wherever it has got to, and only within its time', async t => {
  const directory = join(t.testdir(), 'index')
  const state = new MemoryState()
  const index = await openIndex(directory, state)
  // Some hashes come often, most once; 10 records to an entry.
  const hashOf = (i: number): number => (i % 7 === 0 ? 42 : Math.imul(i, 2_654_435_761) >>> 0)
  const count = CHUNK * 4 * 21 + 5
  for (let i = 0; i < count; i++) {
    index.add(hashOf(i), i * 1_000, 1_700_000_000_000 + i, Math.floor(i / 10) + 1)
    if (i % 500 === 0) await settle(index, state, 1e9)
  }
  await settle(index, state, 1e9)
  t.ok(index.runCount <= 12, `${index.runCount} runs`)
  const check = async (searched: KeyIndex): Promise<void> => {
    for (const i of [0, 1, 63, 64, 65, 1_000, 2_500, count - 2, count - 1]) {
      const time = 1_700_000_000_000 + i
      t.strictSame(
        await searched.search(hashOf(i), time, time, 9, 1e15),
        [i * 1_000],
        `record ${i}`
      )
      t.strictSame(await searched.search(hashOf(i), time + 1, time + 1, 9, 1e15), [])
    }
    const often = await searched.search(42, 0, 1e15, 1e9, 1e15)
    t.equal(often.length, Math.ceil(count / 7))
    t.strictSame(
      often,
      [...often].sort((a, b) => b - a)
    )
    t.strictSame((await searched.search(42, 0, 1e15, 3, 1e15)).slice(0, 3), often.slice(0, 3))
    t.strictSame((await searched.search(42, 0, 1e15, 1e9, 70_000)).length, 10, 'below a position')
    t.strictSame(await searched.search(43, 0, 1e15, 9, 1e15), [])
  }
  await check(index)
  await index.flush()
  t.equal(index.completeIndex(7), 7, 'nothing is in memory only')
  await check(index)
  await index.close()
  const again = await openIndex(directory, state)
  await check(again)
  t.equal((await disk.list(directory)).length, again.runCount)
  await again.close()
})

t.test('what a start indexes again is found once, and the runs say where to begin', async t => {
  const directory = join(t.testdir(), 'index')
  const state = new MemoryState()
  const index = await openIndex(directory, state)
  for (let i = 0; i < CHUNK * 5; i++) index.add(i, i, i, Math.floor(i / 10) + 1)
  await settle(index, state, 1e9)
  t.equal(index.runCount, 1)
  // Four chunks: entry 26 (records 250 to 259) is cut by the last one's end.
  t.equal(index.completeIndex(1_000), 25)
  await index.close()
  const again = await openIndex(directory, state)
  for (let i = 250; i < CHUNK * 8; i++) again.add(i, i, i, Math.floor(i / 10) + 1)
  await again.flush()
  t.strictSame(await again.search(251, 0, 1e9, 9, 1e9), [251])
  t.strictSame(await again.search(249, 0, 1e9, 9, 1e9), [249])
  await again.close()
})

t.test('nothing is written of entries that are not durable (R-D5)', async t => {
  const state = new MemoryState()
  const index = await openIndex(join(t.testdir(), 'index'), state)
  for (let i = 0; i < CHUNK * 5; i++) index.add(i, i, i, i + 1)
  await settle(index, state, CHUNK * 4 - 1)
  t.equal(index.runCount, 0)
  await settle(index, state, CHUNK * 4)
  t.equal(index.runCount, 1)
  await index.close()
})

t.test('runs below the beginning of the log go, and merges leave trimmed records out', async t => {
  const directory = join(t.testdir(), 'index')
  const state = new MemoryState()
  const index = await openIndex(directory, state)
  const run = CHUNK * 4
  for (let i = 0; i <= run * 3; i++) {
    index.add(i, i, i, i + 1)
    if (i % run === 0) await settle(index, state, 1e9)
  }
  const before = index.runCount
  t.equal(before, 3)
  await index.trim(run + 5)
  t.equal(index.runCount, 2)
  t.strictSame(await index.search(3, 0, 1e9, 9, 1e9), [])
  t.strictSame(
    await index.search(run + 4, 0, 1e9, 9, 1e9),
    [run + 4],
    'shares its run with what stays'
  )
  for (let i = run * 3 + 1; i <= run * 5; i++) index.add(i, i, i, i + 1)
  await settle(index, state, 1e9)
  t.strictSame(await index.search(run + 4, 0, 1e9, 9, 1e9), [], 'the merge dropped it')
  t.strictSame(await index.search(run + 5, 0, 1e9, 9, 1e9), [run + 5])
  t.equal((await disk.list(directory)).length, index.runCount)
  await index.close()
})

t.test('a state database that fails delays runs, and loses no key', async t => {
  const state = new MemoryState()
  const index = await openIndex(join(t.testdir(), 'index'), state)
  state.failing = true
  for (let i = 0; i < CHUNK * 9; i++) index.add(i, i, i, i + 1)
  for (let i = 0; i < 5; i++) {
    index.maintain(1e9)
    await index.idle()
  }
  t.equal(index.runCount, 0)
  t.strictSame(await index.search(5, 0, 1e9, 9, 1e9), [5])
  state.failing = false
  await settle(index, state, 1e9)
  t.equal(index.runCount, 2)
  t.strictSame(await index.search(5, 0, 1e9, 9, 1e9), [5])
  for (let i = 0; !index.isBehind; i++) index.add(i, i, i, 1_000 + i)
  t.ok(index.isBehind, 'without maintenance it says so')
  await index.close()
})

t.test(
  'a missing, cut or rotten run is told of, and put back with the keys of its messages',
  async t => {
    for (const kind of ['missing', 'cut', 'rotten', 'misplaced'] as const) {
      const directory = join(t.testdir(), 'index')
      const state = new MemoryState()
      const index = await openIndex(directory, state)
      for (let i = 0; i < CHUNK * 9; i++) index.add(i, i, i, i + 1)
      await settle(index, state, 1e9)
      await index.close()
      const [first, second] = await disk.list(directory)
      const path = join(directory, first!.name)
      const bytes = await disk.readFile(path)
      if (kind === 'missing') await disk.remove(path)
      else if (kind === 'cut') await disk.writeFileAtomic(path, bytes.subarray(0, bytes.length - 4))
      else if (kind === 'rotten') {
        // In the key that is looked for, so that without a checksum it would just not be there.
        bytes[0] = 0x40
        await disk.writeFileAtomic(path, bytes)
      } else await disk.writeFileAtomic(path, await disk.readFile(join(directory, second!.name)))
      const damaged: number[] = []
      const again = await openIndex(directory, state)
      again.onDamage = run => damaged.push(run.sequence)
      for (const run of again.lost) again.onDamage(run)
      await t.rejects(again.search(0, 0, 1e9, 9, 1e9), /built again/, kind)
      t.ok(damaged.includes(1), kind)
      const run = again.runs.find(found => found.sequence === 1)!
      await again.replace(run, async (sink, room) => {
        for (let i = run.firstPosition; i <= run.lastPosition; i++) {
          sink.add(i, i, i, i + 1)
          await room()
        }
      })
      for (const i of [0, 1, CHUNK * 4 - 1, CHUNK * 4, CHUNK * 4 + 1]) {
        t.strictSame(await again.search(i, 0, 1e9, 9, 1e9), [i], `${kind}: key ${i}`)
      }
      t.notOk(await disk.exists(path), 'the damaged file is gone')
      again.add(1, 1, 1, 1e6)
      t.equal(again.completeIndex(1e6), CHUNK * 8, 'what is complete stays so')
      await again.close()
      const third = await openIndex(directory, state)
      t.strictSame(third.lost, [])
      t.strictSame(await third.search(0, 0, 1e9, 9, 1e9), [0])
      await third.close()
    }
  }
)

t.test('a merge of a rotten run waits until it is put back', async t => {
  const directory = join(t.testdir(), 'index')
  const state = new MemoryState()
  const index = await openIndex(directory, state)
  const damaged: RunRecord[] = []
  index.onDamage = run => damaged.push(run)
  const grow = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) index.add(i, i, i, i + 1)
    await settle(index, state, 1e9)
  }
  await grow(0, CHUNK * 13)
  t.equal(index.runCount, 3)
  const path = join(directory, (await disk.list(directory))[1]!.name)
  const bytes = await disk.readFile(path)
  bytes[1000]! ^= 4
  await disk.writeFileAtomic(path, bytes)
  await grow(CHUNK * 13, CHUNK * 17)
  t.strictSame(
    damaged.map(run => run.sequence),
    [2]
  )
  t.equal(index.runCount, 4, 'not merged')
  await index.replace(damaged[0]!, async sink => {
    for (let i = CHUNK * 4; i < CHUNK * 8; i++) sink.add(i, i, i, i + 1)
  })
  await settle(index, state, 1e9)
  t.equal(index.runCount, 1, 'merged')
  t.ok(await index.verify(index.runs[0]!, async () => {}))
  for (const i of [0, CHUNK * 4, CHUNK * 5, CHUNK * 16]) {
    t.strictSame(await index.search(i, 0, 1e9, 9, 1e9), [i])
  }
  await index.close()
})
