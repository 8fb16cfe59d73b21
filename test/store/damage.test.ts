/** Files that were made from the log and are damaged: what a reader sees, and that they are built again. */
import { join } from 'node:path'
import t from 'tap'
import { createRealPlatform, type Logger, silentLogger } from '../../src/platform/index.ts'
import { UNIT_BYTES } from '../../src/store/consumeQueue.ts'
import {
  bodies,
  fingerprint,
  message,
  type Opened,
  openFake,
  openLeader,
  pull,
  send
} from './helpers.ts'

const { disk } = createRealPlatform()
const FILE_UNITS = 1500
const OPTIONS = { consumeQueueFileBytes: FILE_UNITS * UNIT_BYTES }
const DEADLINE_MS = 20_000

/** Units come from the files after a restart only: an active queue stays in memory. */
async function fill(opened: Opened, count: number, from = 0): Promise<void> {
  const { store } = opened
  let all: Promise<unknown>[] = []
  for (let i = from; i < from + count; i++) {
    if (i % 50 === 0) {
      await Promise.all(all)
      all = []
    }
    all.push(send(store, message('T', 0, `body ${i}`, { TAGS: `tag${i % 3}`, KEYS: `key${i}` })))
    if (i % 10 === 0) all.push(send(store, message('U', 1, `other ${i}`)))
  }
  await Promise.all(all)
}

function fileOf(directory: string, queue: string, firstUnit: number): string {
  const name = String(firstUnit * UNIT_BYTES).padStart(20, '0')
  return join(directory, 'consumequeue', queue, name)
}

async function change(path: string, how: (bytes: Buffer) => Buffer): Promise<void> {
  await disk.writeFileAtomic(path, how(Buffer.from(await disk.readFile(path))))
}

/** Pulls again until it works; how often it was refused. */
async function pullAgain(
  opened: Opened,
  offset: number
): Promise<{ texts: string[]; refused: number }> {
  const end = Date.now() + DEADLINE_MS
  for (let refused = 0; ; refused++) {
    try {
      return { texts: bodies(await pull(opened.store, { offset, maxMessages: 4 })), refused }
    } catch (error) {
      if (Date.now() > end) throw error
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
}

const DAMAGE: Record<string, (directory: string) => Promise<void>> = {
  'a flipped bit in a position': directory =>
    change(fileOf(directory, 'T/0', 0), bytes => {
      bytes[3 * UNIT_BYTES + 6]! ^= 1
      return bytes
    }),
  'a flipped bit in a tag': directory =>
    change(fileOf(directory, 'T/0', 0), bytes => {
      bytes[3 * UNIT_BYTES + 19]! ^= 1
      return bytes
    }),
  'a block of zeros': directory =>
    change(fileOf(directory, 'T/0', 0), bytes => bytes.fill(0, 0, 4096)),
  'a block of another queue': async directory => {
    const other = await disk.readFile(fileOf(directory, 'U/1', 0))
    await change(fileOf(directory, 'T/0', 0), bytes => {
      other.copy(bytes, 0, 0, 200)
      return bytes
    })
  },
  'a block of another place in the file': directory =>
    change(fileOf(directory, 'T/0', 0), bytes => {
      bytes.copy(bytes, 0, 1024 * UNIT_BYTES, 1100 * UNIT_BYTES)
      return bytes
    }),
  'a file that is too short': directory =>
    change(fileOf(directory, 'T/0', 0), bytes => bytes.subarray(0, 1000)),
  'an empty file': directory => change(fileOf(directory, 'T/0', 0), () => Buffer.alloc(0)),
  'a missing file': directory => disk.remove(fileOf(directory, 'T/0', 0)),
  'a missing queue': directory => disk.remove(join(directory, 'consumequeue/T/0')),
  'no queues at all': directory => disk.remove(join(directory, 'consumequeue'))
}

for (const [what, damage] of Object.entries(DAMAGE)) {
  t.test(`consume queue with ${what}: nothing wrong is shown, and it is built again`, async t => {
    const directory = t.testdir()
    const first = await openLeader(directory, OPTIONS)
    const count = FILE_UNITS + 700
    await fill(first, count)
    const before = await fingerprint(first.store)
    await first.store.stop()
    await damage(directory)
    const { log, state } = first
    const again = await openFake(directory, { log, state, ...OPTIONS })
    const got = await pullAgain(again, 0)
    t.strictSame(got.texts, ['body 0', 'body 1', 'body 2', 'body 3'])
    t.ok(got.refused > 0, 'it was noticed')
    const last = await pullAgain(again, count - 2)
    t.strictSame(last.texts, [`body ${count - 2}`, `body ${count - 1}`])
    await pullAgain(again, 1100)
    const tagged = await pull(again.store, { tagHashes: new Set([hashOf('tag0')]), maxMessages: 3 })
    t.strictSame(bodies(tagged), ['body 0', 'body 3', 'body 6'])
    again.node.lead()
    again.node.automatic = true
    await fill(again, 400, count)
    await again.store.stop()
    const third = await openFake(directory, { log, state, ...OPTIONS })
    const end = await pullAgain(third, count + 398)
    t.equal(end.refused, 0, 'and stays so')
    t.strictSame(end.texts, [`body ${count + 398}`, `body ${count + 399}`])
    await third.store.stop()
    // The same as where nothing was ever damaged.
    log.entries.length = first.node.appliedIndex
    log.learn(log)
    log.commitIndex = log.entries.length
    const reference = await openFake(join(directory, 'reference'), { log, ...OPTIONS })
    t.strictSame(await fingerprint(reference.store), before)
    await reference.store.stop()
  })
}

function hashOf(tag: string): number {
  let hash = 0
  for (const char of tag) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0
  return hash
}

t.test('a queue that was deleted and made again is built from its second life', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 1200)
  await first.store.execute({ type: 'deleteTopic', topic: 'T' })
  await fill(first, 1100, 5000)
  await first.store.stop()
  await DAMAGE['a missing queue']!(directory)
  const { log, state } = first
  const again = await openFake(directory, { log, state, ...OPTIONS })
  t.strictSame((await pullAgain(again, 0)).texts[0], 'body 5000')
  t.strictSame((await pullAgain(again, 1099)).texts[0], 'body 6099')
  await again.store.stop()
})

t.test('a damaged queue of a trimmed log is built from what is left', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 1300)
  const { log, state } = first
  const third = log.entries[Math.floor(log.entries.length / 2)]!
  const trimmed = log.segmentEntries
  const index = third.index - ((third.index - 1) % trimmed)
  const { position } = log.entries[index - 1]!
  await first.store.execute({ type: 'trimPrefix', index, position })
  const end = Date.now() + DEADLINE_MS
  while (log.startPosition < position && Date.now() < end) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  const min = first.store.minOffset('T', 0)
  t.ok(min > 0 && min < 1024, `trimmed up to unit ${min}`)
  await first.store.stop()
  await DAMAGE['a missing queue']!(directory)
  const again = await openFake(directory, { log, state, ...OPTIONS })
  t.equal((await pullAgain(again, min)).texts[0], `body ${min}`)
  t.equal((await pullAgain(again, 1299)).texts[0], 'body 1299')
  await again.store.stop()
  const once = await openFake(directory, { log, state, ...OPTIONS })
  const got = await pullAgain(once, min)
  t.equal(got.refused, 0, 'the zeros in front have a checksum too')
  await once.store.stop()
})

t.test('a part of the log that cannot be read is waited for', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 1100)
  await first.store.stop()
  await DAMAGE['a flipped bit in a tag']!(directory)
  const { log, state } = first
  const warnings: string[] = []
  const logger: Logger = { ...silentLogger, warn: text => warnings.push(text) }
  log.damagedFrom = log.entries[2]!.position
  const again = await openFake(directory, { log, state, logger, ...OPTIONS })
  await t.rejects(pull(again.store, {}), /built again/)
  const end = Date.now() + DEADLINE_MS
  while (warnings.length === 0 && Date.now() < end) {
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  t.match(warnings[0], /could not be built again yet/)
  log.damagedFrom = Number.MAX_SAFE_INTEGER
  t.equal((await pullAgain(again, 0)).texts[0], 'body 0')
  await again.store.stop()
})

t.test(
  'a query by key in a damaged run is refused, and answered once it is built again',
  async t => {
    const directory = t.testdir()
    const first = await openLeader(directory, OPTIONS)
    await fill(first, 300)
    await first.store.stop()
    const runs = await disk.list(join(directory, 'index'))
    t.equal(runs.length, 1)
    await change(join(directory, 'index', runs[0]!.name), bytes => bytes.fill(0, 0, 4096))
    const { log, state } = first
    const again = await openFake(directory, { log, state, ...OPTIONS })
    const query = { topic: 'T', key: 'key7', maxMessages: 5, beginTimestamp: 0, endTimestamp: 1e15 }
    await t.rejects(again.store.query(query), /built again/)
    const end = Date.now() + DEADLINE_MS
    let found = 0
    while (found === 0 && Date.now() < end) {
      found = await again.store.query(query).then(
        ({ messages }) => messages.length,
        () => 0
      )
      await new Promise(resolve => setTimeout(resolve, 5))
    }
    t.equal(found, 1)
    await again.store.stop()
  }
)
