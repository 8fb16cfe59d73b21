import t from 'tap'
import { ReusedBlocks } from '../../src/platform/index.ts'

const BYTES = 1024 * 1024

t.test('a block is given out again when the last who holds it lets go', async t => {
  const blocks = new ReusedBlocks()
  const a = blocks.take(BYTES)
  blocks.hold(a.subarray(10, 20))
  blocks.release(a)
  t.not(blocks.take(BYTES).buffer, a.buffer, 'somebody still holds it')
  blocks.release(a.subarray(500))
  t.equal(blocks.take(BYTES).buffer, a.buffer)
  t.not(blocks.take(BYTES).buffer, a.buffer, 'once')
})

t.test('a block of another size is not given out', async t => {
  const blocks = new ReusedBlocks()
  blocks.release(blocks.take(BYTES))
  t.equal(blocks.take(4 * BYTES).length, 4 * BYTES)
  t.equal(blocks.freeBytes, BYTES)
})

t.test('what is kept is never given out again, whoever lets go of it', async t => {
  const blocks = new ReusedBlocks()
  const a = blocks.take(BYTES)
  blocks.hold(a)
  blocks.keep(a.subarray(1, 2))
  for (let i = 0; i < 3; i++) blocks.release(a)
  t.equal(blocks.freeBytes, 0)
})

t.test('letting go once too often does not give a block to two', async t => {
  const blocks = new ReusedBlocks()
  const a = blocks.take(BYTES)
  for (let i = 0; i < 3; i++) blocks.release(a)
  t.not(blocks.take(BYTES).buffer, blocks.take(BYTES).buffer)
})

t.test('memory that is no block of theirs is let alone', async t => {
  const blocks = new ReusedBlocks()
  const small = Buffer.from('not a block')
  blocks.hold(small)
  blocks.release(small)
  blocks.keep(small)
  t.equal(blocks.freeBytes, 0)
  t.equal(small.toString(), 'not a block')
})

t.test('a burst leaves no more than 32 MiB behind', async t => {
  const blocks = new ReusedBlocks()
  const taken = Array.from({ length: 100 }, () => blocks.take(BYTES))
  for (const block of taken) blocks.release(block)
  t.equal(blocks.freeBytes, 32 * BYTES)
})
