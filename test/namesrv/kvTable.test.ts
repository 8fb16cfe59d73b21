import t from 'tap'
import { KvTable } from '../../src/namesrv/kvTable.ts'
import { createRealPlatform, type Disk } from '../../src/platform/index.ts'

t.test(
  'writes of the file never overlap, and each change is in the file when it is answered',
  async t => {
    const { disk } = createRealPlatform()
    const path = `${t.testdir()}/kvConfig.json`
    let writing = 0
    let overlaps = 0
    let writes = 0
    let content = ''
    const watched: Disk = {
      ...disk,
      async writeFileAtomic(_, data) {
        writes += 1
        writing += 1
        if (writing > 1) overlaps += 1
        await new Promise(setImmediate)
        content = data.toString()
        writing -= 1
      }
    }
    const table = await KvTable.open(watched, path)
    const done: Promise<void>[] = []
    let next = 0
    const put = (): void => {
      const key = `k${next++}`
      done.push(
        table.put('n', key, 'v').then(() => {
          t.match(content, `"${key}": "v"`)
          // The moment a write has just ended is when the next one may begin twice.
          if (next < 200) put()
          if (next < 200) queueMicrotask(put)
        })
      )
    }
    for (let n = 0; n < 5; n++) put()
    for (let seen = 0; seen < done.length; seen = done.length) await Promise.all(done)
    while (done.length > 0) await done.pop()
    t.equal(overlaps, 0)
    t.ok(writes > 5, `${writes} writes for ${next} changes`)
    t.ok(writes < next, 'changes share writes')
  }
)

t.test('a change that cannot be stored fails, and the next one may succeed', async t => {
  const { disk } = createRealPlatform()
  let full = true
  const failing: Disk = {
    ...disk,
    async writeFileAtomic(path, data) {
      if (full) throw new Error('ENOSPC')
      await disk.writeFileAtomic(path, data)
    }
  }
  const path = `${t.testdir()}/kvConfig.json`
  const table = await KvTable.open(failing, path)
  await t.rejects(table.put('n', 'a', '1'), /ENOSPC/)
  full = false
  await table.put('n', 'b', '2')
  const again = await KvTable.open(disk, path)
  t.same(
    [...again.list('n')!],
    [
      ['a', '1'],
      ['b', '2']
    ]
  )
})

t.test('emptied namespaces count too, so that nobody can fill the memory with them', async t => {
  const { disk } = createRealPlatform()
  const silent: Disk = { ...disk, async writeFileAtomic() {} }
  const table = await KvTable.open(silent, `${t.testdir()}/kvConfig.json`)
  const name = 'n'.repeat(1_000_000)
  await t.rejects(async () => {
    for (let n = 0; n < 20; n++) {
      await table.put(`${name}${n}`, 'k', 'v')
      await table.delete(`${name}${n}`, 'k')
    }
  }, /the KV table is full/)
})

t.test('a value that is written again and again takes its room once', async t => {
  const { disk } = createRealPlatform()
  const silent: Disk = { ...disk, async writeFileAtomic() {} }
  const table = await KvTable.open(silent, `${t.testdir()}/kvConfig.json`)
  const value = 'v'.repeat(9_000_000)
  for (let n = 0; n < 5; n++) await table.put('n', 'k', value)
  for (let n = 0; n < 5; n++) {
    await table.delete('n', 'k')
    await table.put('n', 'k', value)
  }
  await t.rejects(async () => table.put('n', 'other', value), /the KV table is full/)
})

t.test('names that mean something to JavaScript survive a restart', async t => {
  const { disk } = createRealPlatform()
  const path = `${t.testdir()}/kvConfig.json`
  const table = await KvTable.open(disk, path)
  for (const name of ['__proto__', 'constructor']) {
    await table.put(name, 'k', 'v')
    await table.put('n', name, 'v')
  }
  const again = await KvTable.open(disk, path)
  for (const name of ['__proto__', 'constructor']) {
    t.equal(again.get(name, 'k'), 'v')
    t.equal(again.get('n', name), 'v')
  }
})
