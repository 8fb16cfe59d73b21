import { join } from 'node:path'
import type { Test } from 'tap'
import type { Disk } from '../../src/platform/index.ts'

/** What every implementation of `Disk` does; `make` gives a disk and an empty directory on it. */
export function diskSuite(t: Test, make: (t: Test) => Promise<{ disk: Disk; root: string }>): void {
  t.test('what was written is read back, also over many buffers', async t => {
    const { disk, root } = await make(t)
    const file = await disk.open(join(root, 'data'), { create: true })
    const buffers = Array.from({ length: 3000 }, (_, i) => Buffer.from(`${i};`))
    const whole = Buffer.concat(buffers)
    await file.write(buffers, 7)
    await file.datasync()
    t.equal(await file.size(), 7 + whole.length)
    const back = Buffer.alloc(whole.length)
    t.equal(await file.read(back, 0, back.length, 7), whole.length)
    t.ok(back.equals(whole))
    await file.close()
  })

  t.test(
    'what was written now is there when the call returns, also over what is durable',
    async t => {
      const { disk, root } = await make(t)
      const file = await disk.open(join(root, 'data'), { create: true })
      await file.writeDurably([Buffer.from('abcdef')], 0)
      file.writeNow(Buffer.from('XY'), 2)
      t.equal((await disk.readFile(join(root, 'data'))).toString(), 'abXYef')
      await file.writeDurably([Buffer.from('Z')], 3)
      t.equal((await disk.readFile(join(root, 'data'))).toString(), 'abXZef')
      await file.close()
    }
  )

  t.test('a read at the end of the file is short, one behind it is empty', async t => {
    const { disk, root } = await make(t)
    const file = await disk.open(join(root, 'data'), { create: true })
    await file.write([Buffer.from('abc')], 0)
    const target = Buffer.alloc(8)
    t.equal(await file.read(target, 2, 6, 1), 2)
    t.equal(target.toString('latin1', 2, 4), 'bc')
    t.equal(await file.read(target, 0, 8, 3), 0)
    await file.truncate(1)
    t.equal(await file.size(), 1)
    await file.close()
  })

  t.test('a missing file is ENOENT, and is made only when asked', async t => {
    const { disk, root } = await make(t)
    const path = join(root, 'none')
    await t.rejects(disk.open(path), { code: 'ENOENT' })
    await t.rejects(disk.readFile(path), { code: 'ENOENT' })
    t.equal(await disk.exists(path), false)
    await (await disk.open(path, { create: true })).close()
    t.equal(await disk.exists(path), true)
  })

  t.test('a file is replaced as a whole', async t => {
    const { disk, root } = await make(t)
    const path = join(root, 'state')
    await disk.writeFileAtomic(path, Buffer.from('first, and longer'))
    await disk.writeFileAtomic(path, Buffer.from('second'))
    t.equal((await disk.readFile(path)).toString(), 'second')
    t.strictSame(
      (await disk.list(root)).map(info => info.name),
      ['state']
    )
  })

  t.test('directories are listed by name, a missing one is empty', async t => {
    const { disk, root } = await make(t)
    await disk.makeDirectory(join(root, 'b', 'deep'))
    await disk.makeDirectory(join(root, 'b', 'deep'))
    await disk.writeFileAtomic(join(root, 'a'), Buffer.from('xyz'))
    const infos = await disk.list(root)
    t.strictSame(
      infos.map(({ name, isDirectory }) => [name, isDirectory]),
      [
        ['a', false],
        ['b', true]
      ]
    )
    t.equal(infos[0]!.bytes, 3)
    t.strictSame(await disk.list(join(root, 'none')), [])
  })

  t.test('files and whole directories are renamed and removed', async t => {
    const { disk, root } = await make(t)
    await disk.makeDirectory(join(root, 'd'))
    await disk.writeFileAtomic(join(root, 'd', 'one'), Buffer.from('1'))
    await disk.rename(join(root, 'd', 'one'), join(root, 'd', 'two'))
    await disk.syncDirectory(join(root, 'd'))
    t.equal((await disk.readFile(join(root, 'd', 'two'))).toString(), '1')
    await disk.remove(join(root, 'd'))
    await disk.remove(join(root, 'd'))
    t.equal(await disk.exists(join(root, 'd')), false)
  })

  t.test('the space is told in bytes', async t => {
    const { disk, root } = await make(t)
    const { totalBytes, freeBytes } = await disk.space(root)
    t.ok(totalBytes > 0)
    t.ok(freeBytes >= 0 && freeBytes <= totalBytes)
  })
}
