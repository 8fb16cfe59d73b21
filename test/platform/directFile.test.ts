import fs from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import t from 'tap'
import { DirectFile, NoDirectWrites, type WriteCall } from '../../src/platform/directFile.ts'
import { APPEND_BLOCK_BYTES, type DiskFile } from '../../src/platform/index.ts'
import { realDisk } from '../../src/platform/realDisk.ts'
import { generator } from '../helpers/generator.ts'

const BLOCK = APPEND_BLOCK_BYTES

/** A file in memory, and a call that writes to it as the kernel does when `allows` says so. */
class Direct {
  readonly content = Buffer.alloc(64 * BLOCK)
  calls: { length: number; position: number }[] = []
  allows: (buffer: Buffer, offset: number) => boolean = () => true
  /** Bytes that the next call stops after. */
  shortAfter = Number.POSITIVE_INFINITY

  readonly read: DiskFile['read'] = async (target, offset, length, position) =>
    this.content.copy(target, offset, position, position + length)

  readonly call: WriteCall = (_descriptor, buffer, offset, length, position, done) => {
    const fits = (position | length) % BLOCK === 0 && this.allows(buffer, offset)
    const written = Math.min(length, this.shortAfter)
    this.shortAfter = Number.POSITIVE_INFINITY
    setImmediate(() => {
      if (!fits) {
        done(Object.assign(new Error('not aligned'), { code: 'EINVAL' }), 0)
        return
      }
      this.calls.push({ length, position })
      buffer.copy(this.content, position, offset, offset + written)
      done(null, written)
    })
  }

  file(): DirectFile {
    return new DirectFile(0, this.read, this.call)
  }
}

t.test('only whole blocks are written, and what shares one with an append stays', async t => {
  const disk = new Direct()
  const file = disk.file()
  const bytes = Buffer.from(Array.from({ length: 3 * BLOCK }, (_, i) => 1 + (i % 255)))
  let at = 0
  for (const length of [1, 100, 3_995, 1, 4_095, 4_096]) {
    await file.append([bytes.subarray(at, at + length)], at)
    at += length
    t.ok(disk.content.subarray(0, at).equals(bytes.subarray(0, at)), `${length} bytes`)
  }
  t.strictSame(
    disk.calls.map(call => [call.position / BLOCK, call.length / BLOCK]),
    [
      [0, 1],
      [0, 1],
      [0, 1],
      [1, 1],
      [1, 1],
      [2, 1]
    ]
  )
})

t.test('a write in the middle leaves what is before and behind it', async t => {
  const disk = new Direct()
  disk.content.fill(7)
  await disk.file().write([Buffer.alloc(10, 1), Buffer.alloc(BLOCK, 2)], 100)
  t.equal(disk.content[99], 7)
  t.equal(disk.content[100], 1)
  t.equal(disk.content[110 + BLOCK - 1], 2)
  t.equal(disk.content[110 + BLOCK], 7)
})

t.test('an append after a repair in its last block does not bring the old bytes back', async t => {
  const disk = new Direct()
  const file = disk.file()
  await file.append([Buffer.alloc(100, 1)], 0)
  const repair = file.write([Buffer.alloc(50, 2)], 0)
  const append = file.append([Buffer.alloc(10, 3)], 100)
  await Promise.all([repair, append])
  t.ok(disk.content.subarray(0, 50).every(byte => byte === 2))
  t.ok(disk.content.subarray(50, 100).every(byte => byte === 1))
  t.ok(disk.content.subarray(100, 110).every(byte => byte === 3))
})

t.test('after a failed append the block is read again', async t => {
  const disk = new Direct()
  const file = disk.file()
  await file.append([Buffer.alloc(100, 1)], 0)
  disk.content.fill(9, 0, 100)
  disk.shortAfter = 10
  await t.rejects(file.append([Buffer.alloc(5, 2)], 100), { code: 'EIO' })
  await file.append([Buffer.alloc(5, 2)], 100)
  t.ok(disk.content.subarray(10, 100).every(byte => byte === 9))
})

t.test('a short write is continued where its last whole block ends', async t => {
  const disk = new Direct()
  disk.shortAfter = BLOCK + 512
  await disk.file().append([Buffer.alloc(3 * BLOCK, 5)], 0)
  t.ok(disk.content.subarray(0, 3 * BLOCK).every(byte => byte === 5))
  t.strictSame(disk.calls[1], { length: 2 * BLOCK, position: BLOCK })
})

t.test('memory that suits the disk is searched for', async t => {
  for (const suits of [0, 16, 496, 4_080]) {
    const disk = new Direct()
    disk.allows = (buffer, offset) => (buffer.byteOffset + offset) % BLOCK === suits
    await disk.file().append([Buffer.alloc(60 * BLOCK, 1)], 0)
    t.ok(disk.content.subarray(0, 60 * BLOCK).every(byte => byte === 1))
  }
  const disk = new Direct()
  disk.allows = () => false
  const refused = await disk
    .file()
    .append([Buffer.alloc(10)], 0)
    .catch(error => error)
  t.ok(refused instanceof NoDirectWrites)
})

t.test('many writes at once leave what the same writes leave one after the other', async t => {
  const random = generator(7)
  const file = await realDisk.open(join(t.testdir(), 'file'), { create: true })
  const size = 40 * BLOCK
  const expected = Buffer.alloc(size)
  let end = 0
  while (end < size - 3 * BLOCK) {
    // One append, and writes that do not touch its bytes, nor one another's, but its blocks.
    const length = 1 + Math.floor(random() * 3 * BLOCK)
    const appended = Buffer.alloc(length, 1 + Math.floor(random() * 255))
    const under = [file.appendDurably([appended.subarray(0, 1), appended.subarray(1)], end)]
    appended.copy(expected, end)
    for (let from = 0; from < end; ) {
      const bytes = Math.min(1 + Math.floor(random() * 2 * BLOCK), end - from)
      const repair = Buffer.alloc(bytes, 1 + Math.floor(random() * 255))
      if (random() < 0.3) {
        repair.copy(expected, from)
        under.push(random() < 0.5 ? file.write([repair], from) : file.writeDurably([repair], from))
      }
      from += bytes
    }
    await Promise.all(under)
    end += length
    const found = Buffer.alloc(end)
    await file.read(found, 0, end, 0)
    t.ok(found.equals(expected.subarray(0, end)), `${end} bytes`)
  }
  t.equal(
    (await file.size()) % BLOCK,
    process.platform === 'linux' ? 0 : (await file.size()) % BLOCK
  )
  await file.close()
})

t.test('where direct writes are refused the page cache takes the appends', async t => {
  const file = await realDisk.open(join(t.testdir(), 'file'), { create: true })
  const real = fs.write
  let refused = 0
  const refusing = (descriptor: number, ...rest: unknown[]): void => {
    const info = fs.readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1')
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '0', 8)
    if ((flags & fs.constants.O_DIRECT) === 0) {
      ;(real as unknown as (...all: unknown[]) => void)(descriptor, ...rest)
      return
    }
    refused += 1
    const done = rest.at(-1) as (error: Error, written: number) => void
    setImmediate(() => done(Object.assign(new Error('refused'), { code: 'EINVAL' }), 0))
  }
  Object.assign(fs, { write: refusing })
  t.teardown(() => Object.assign(fs, { write: real }))
  await Promise.all([
    file.appendDurably([Buffer.from('first')], 0),
    file.appendDurably([Buffer.from('second')], 5)
  ])
  const tried = refused
  await file.appendDurably([Buffer.from('third')], 11)
  if (process.platform === 'linux') t.ok(tried > 0)
  t.equal(refused, tried, 'tried no more')
  t.equal(await file.size(), 16)
  t.equal((await realDisk.readFile(file.path)).toString(), 'firstsecondthird')
  await file.close()
})
