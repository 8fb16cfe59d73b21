import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FAULTS } from './faults.ts'
import { harmStore } from './harm.ts'
import { Seeded } from './seeded.ts'

const WRITTEN_BYTES = 20_000
const SEGMENT_BYTES = 65_536

/** A store with one full and one begun segment, and a spare one. */
function storeIn(directory: string): string {
  const data = join(directory, 'raft/data')
  mkdirSync(data, { recursive: true })
  writeFileSync(join(data, '0'), Buffer.alloc(SEGMENT_BYTES, 0xff))
  const begun = Buffer.alloc(SEGMENT_BYTES)
  writeFileSync(join(data, 'spare'), begun)
  begun.fill(0xff, 0, WRITTEN_BYTES)
  writeFileSync(join(data, '1'), begun)
  return directory
}

function zeroBits(file: string): number {
  let count = 0
  for (const byte of readFileSync(file)) {
    for (let bit = 0; bit < 8; bit += 1) count += (byte >> bit) & 1 ? 0 : 1
  }
  return count
}

t.test('a flipped bit lies in what was written', async t => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const store = storeIn(t.testdir())
    await harmStore('flip-log', store, ['raft/data'], new Seeded(seed))
    const flipped =
      zeroBits(join(store, 'raft/data/0')) +
      zeroBits(join(store, 'raft/data/1')) -
      (SEGMENT_BYTES - WRITTEN_BYTES) * 8
    t.equal(flipped, 1, `seed ${seed}`)
  }
})

t.test('a zeroed block is an aligned one that was written to', async t => {
  const store = storeIn(t.testdir())
  const done = await harmStore('zero-log', store, ['raft/data'], new Seeded(3))
  const [, start = '', file = ''] = /from (\d+) on are zero in (.*)$/.exec(done) ?? []
  t.equal(Number(start) % 4096, 0)
  t.ok(
    readFileSync(file)
      .subarray(Number(start), Number(start) + 4096)
      .every(byte => byte === 0)
  )
})

t.test('a shortened log lacks some of what was written last', async t => {
  const store = storeIn(t.testdir())
  await harmStore('shorten-log', store, ['raft/data'], new Seeded(5))
  const { size } = statSync(join(store, 'raft/data/1'))
  t.ok(size < WRITTEN_BYTES, String(size))
  t.equal(statSync(join(store, 'raft/data/0')).size, SEGMENT_BYTES)
})

t.test('a wiped disk is empty, and still there', async t => {
  const store = storeIn(t.testdir())
  await harmStore('wipe', store, [], new Seeded(1))
  t.strictSame(readdirSync(store), [])
})

t.test('the same seed does the same harm, another seed another', async t => {
  const done = async (seed: number): Promise<string> =>
    harmStore('flip-log', storeIn(t.testdir()), ['raft/data'], new Seeded(seed))
  t.equal(await done(1), await done(1))
  t.not(await done(1), await done(2))
})

t.test('an empty store is left alone', async t => {
  const store = t.testdir()
  t.equal(
    await harmStore('flip-log', store, ['raft/data'], new Seeded(1)),
    'nothing was written yet'
  )
  t.equal(await harmStore('queues', store, [], new Seeded(1)), 'there is no such file yet')
})

t.test('faults have names of their own', async t => {
  t.equal(new Set(FAULTS.map(fault => fault.name)).size, FAULTS.length)
})
