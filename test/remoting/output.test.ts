import t from 'tap'
import { collectedBlocks, ReusedBlocks } from '../../src/platform/index.ts'
import {
  ChunkPool,
  OUTPUT_CHUNK_BYTES,
  OutputBuffer,
  SMALL_CHUNK_BYTES
} from '../../src/remoting/output.ts'

function compose(output: OutputBuffer, text: string): void {
  const { buffer, offset } = output.reserve(text.length + 50)
  buffer.write(text, offset)
  output.commit(text.length)
}

function textOf(parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString()
}

t.test(
  'what was taken does not change until the socket is empty, whatever is composed meanwhile',
  async t => {
    const output = new OutputBuffer(new ChunkPool())
    compose(output, 'first ')
    output.append(Buffer.from('copied '), collectedBlocks)
    const taken = output.take()
    compose(output, 'second')
    output.released()
    t.equal(textOf(taken), 'first copied ', 'a release with bytes pending frees nothing')
    t.equal(textOf(output.take()), 'second')
    t.equal(textOf(taken), 'first copied ')
  }
)

t.test('chunks go round: a released one is the next to be used, by whoever comes', async t => {
  const pool = new ChunkPool()
  const [one, two] = [new OutputBuffer(pool), new OutputBuffer(pool)]
  compose(one, 'a')
  const [part] = one.take()
  t.equal(one.heldBytes, SMALL_CHUNK_BYTES)
  compose(two, 'b')
  t.not(two.take()[0]!.buffer, part!.buffer, 'not while the socket may still read it')
  one.released()
  t.equal(one.heldBytes, 0)
  compose(one, 'c')
  t.equal(one.take()[0]!.buffer, part!.buffer)
})

t.test(
  'who says little in a turn has a small chunk, who says much a large one, the next turn too',
  async t => {
    const output = new OutputBuffer(new ChunkPool())
    const line = 'x'.repeat(500)
    const turn = (lines: number): number => {
      for (let n = 0; n < lines; n++) compose(output, line)
      const { heldBytes } = output
      t.equal(textOf(output.take()), line.repeat(lines))
      output.released()
      t.equal(output.heldBytes, 0)
      return heldBytes
    }
    t.equal(turn(3), SMALL_CHUNK_BYTES)
    t.equal(turn(30), SMALL_CHUNK_BYTES + OUTPUT_CHUNK_BYTES)
    t.equal(turn(30), OUTPUT_CHUNK_BYTES)
    t.equal(turn(3), OUTPUT_CHUNK_BYTES)
    t.equal(turn(3), SMALL_CHUNK_BYTES)
  }
)

t.test('pieces, views and large reservations leave in the order in which they came', async t => {
  const output = new OutputBuffer(new ChunkPool())
  const view = Buffer.alloc(2_000, 'v')
  let expected = ''
  for (let n = 0; n < 100; n++) {
    compose(output, `<${n}>`)
    output.append(view, collectedBlocks)
    const { buffer, offset } = output.reserve(OUTPUT_CHUNK_BYTES + 1)
    buffer.write(`[${n}]`, offset)
    output.commit(`[${n}]`.length)
    expected += `<${n}>${view.toString()}[${n}]`
  }
  t.equal(output.pendingBytes, expected.length)
  t.equal(textOf(output.take()), expected)
  t.equal(output.pendingBytes, 0)
  t.strictSame(output.take(), [])
})

t.test('a view that is lent goes back when it is copied, or when the socket is empty', async t => {
  const blocks = new ReusedBlocks()
  const output = new OutputBuffer(new ChunkPool())
  output.append(blocks.take(1_000), blocks)
  t.equal(blocks.freeBytes, 1_000, 'copied')
  output.append(blocks.take(3_000), blocks)
  output.released()
  t.equal(blocks.freeBytes, 1_000, 'not given to the socket yet')
  output.take()
  output.released()
  t.equal(blocks.freeBytes, 4_000)
  output.append(blocks.take(4_000), blocks)
  output.take()
  output.discard()
  output.released()
  t.equal(blocks.freeBytes, 4_000, 'what a connection had when it broke is not used again')
})

t.test('a connection that has nothing to say holds no chunk', async t => {
  const output = new OutputBuffer(new ChunkPool())
  for (const bytesMax of [100, OUTPUT_CHUNK_BYTES * 4]) {
    const reservation = output.reserve(bytesMax)
    output.commit(50)
    output.take()
    output.released()
    t.equal(reservation.buffer.length, 0, 'not through the last reservation either')
  }
  const reservation = output.reserve(100)
  output.commit(50)
  output.discard()
  t.equal(reservation.buffer.length, 0)
})
