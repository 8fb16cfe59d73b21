import t from 'tap'
import { diskSuite } from '../../helpers/diskSuite.ts'
import { MemoryDisk } from '../../helpers/memoryDisk.ts'

t.test('the disk in memory does what every disk does', async t => {
  diskSuite(t, async () => {
    const disk = new MemoryDisk().mount()
    await disk.makeDirectory('/root')
    return { disk, root: '/root' }
  })
})

async function fileOn(disk: MemoryDisk) {
  const mounted = disk.mount()
  await mounted.makeDirectory('/d')
  const file = await mounted.open('/d/f', { create: true })
  return { mounted, file }
}

t.test('a kill keeps the page cache, a power loss what was synced', async t => {
  const disk = new MemoryDisk()
  const { mounted, file } = await fileOn(disk)
  await file.write([Buffer.alloc(1024, 1)], 0)
  await file.datasync()
  await mounted.syncDirectory('/d')
  await file.write([Buffer.alloc(1024, 2)], 512)
  disk.kill()
  t.equal(disk.contents('/d/f')[1535], 2)
  disk.powerLoss('drop')
  t.same(disk.contents('/d/f'), Buffer.alloc(1024, 1))
})

t.test('a kill stops a write at any byte, or at the end of a page if that is wanted', async t => {
  for (const killedAt of ['byte', 'page'] as const) {
    const lengths = new Set<number>()
    for (let seed = 1; seed <= 30; seed++) {
      const disk = new MemoryDisk({ seed, killedAt })
      const { file } = await fileOn(disk)
      void file.write([Buffer.alloc(10_000, 1)], 1000)
      disk.kill()
      lengths.add(disk.contents('/d/f').length)
    }
    const atPages = [...lengths].every(length => length % 4096 === 0 || length === 11_000)
    t.equal(atPages, killedAt === 'page')
    t.ok(lengths.size > 2, 'not always the same')
  }
})

t.test('sectors that were not synced are kept or lost one by one', async t => {
  const kept = new Set<string>()
  for (let seed = 1; seed <= 20; seed++) {
    const disk = new MemoryDisk({ seed })
    const { mounted, file } = await fileOn(disk)
    await file.write([Buffer.alloc(2048, 1)], 0)
    await file.datasync()
    await mounted.syncDirectory('/d')
    await file.write([Buffer.alloc(2048, 2)], 0)
    disk.powerLoss('random')
    kept.add([0, 512, 1024, 1536].map(at => disk.contents('/d/f')[at]).join(''))
  }
  t.ok(kept.size > 5, [...kept].join())
})

t.test('a file whose directory was not synced may be gone', async t => {
  const disk = new MemoryDisk()
  const { file } = await fileOn(disk)
  await file.write([Buffer.alloc(10, 1)], 0)
  await file.datasync()
  disk.powerLoss('drop')
  t.same(disk.paths(), [])
})

t.test('after a failed sync the pages are clean and not on the disk', async t => {
  const disk = new MemoryDisk()
  const { mounted, file } = await fileOn(disk)
  await mounted.syncDirectory('/d')
  await file.write([Buffer.alloc(512, 1)], 0)
  disk.failNext('sync', 'EIO')
  await t.rejects(file.datasync(), { code: 'EIO' })
  await file.datasync()
  disk.powerLoss('keep')
  t.not(disk.contents('/d/f')[0], 1)
})

t.test('a full disk takes what fits and says ENOSPC', async t => {
  const disk = new MemoryDisk({ capacityBytes: 1000 })
  const { file } = await fileOn(disk)
  await t.rejects(file.write([Buffer.alloc(1500, 1)], 0), { code: 'ENOSPC' })
  t.equal(await file.size(), 1000)
  await file.write([Buffer.alloc(1000, 2)], 0)
})

t.test('what a dead process had asked for is never answered', async t => {
  const disk = new MemoryDisk()
  const { file } = await fileOn(disk)
  let answered = false
  const answer = (): void => {
    answered = true
  }
  file.write([Buffer.alloc(10)], 0).then(answer, answer)
  disk.kill()
  for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  t.equal(answered, false)
})
