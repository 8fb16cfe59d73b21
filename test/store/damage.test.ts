/** Files that were made from the log and are damaged: what a reader sees, and that they are built again. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createRealPlatform, type Logger, silentLogger } from '../../src/platform/index.ts'
import { UNIT_BYTES } from '../../src/store/consumeQueue.ts'
import type { ScrubStatus } from '../../src/store/scrubber.ts'
import { dumpState, loadState } from '../../src/store/stateDump.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { FakeLog } from '../helpers/fakeRaft.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'
import {
  bodies,
  fingerprint,
  MemoryState,
  message,
  type Opened,
  openFake,
  openLeader,
  pull,
  send
} from './helpers.ts'

const { disk } = createRealPlatform()
const FILE_UNITS = 1200
const OPTIONS = { consumeQueueFileBytes: FILE_UNITS * UNIT_BYTES }
const COUNT = 1500
const DEADLINE_MS = 25_000
const PUT_TOPIC = {
  type: 'putTopic',
  topic: {
    topicName: 'T',
    readQueueNums: 4,
    writeQueueNums: 4,
    perm: 6,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false
  }
} as const

/** Units come from the files after a restart only: an active queue stays in memory. */
async function fill(opened: Opened, count: number, from = 0): Promise<void> {
  const { store } = opened
  let all: Promise<unknown>[] = []
  for (let i = from; i < from + count; i++) {
    if (i % 100 === 0) {
      await Promise.all(all)
      all = []
    }
    all.push(send(store, message('T', 0, `body ${i}`, { TAGS: `tag${i % 3}`, KEYS: `key${i}` })))
    if (i % 10 === 0) all.push(send(store, message('U', 1, `other ${i}`)))
  }
  await Promise.all(all)
}

interface Stopped {
  readonly directory: string
  readonly log: FakeLog
  readonly state: MemoryState
}

function copyOf(log: FakeLog): FakeLog {
  const copy = new FakeLog([...log.entries])
  copy.learn(log)
  copy.startPosition = log.startPosition
  return copy
}

async function copied({ directory, log, state }: Stopped, to: string): Promise<Stopped> {
  await cp(directory, to, { recursive: true })
  const pairs = new MemoryState()
  pairs.pairs = new Map(state.pairs)
  return { directory: to, log: copyOf(log), state: pairs }
}

function open(stopped: Stopped, logger: Logger = silentLogger): Promise<Opened> {
  return openFake(stopped.directory, { log: stopped.log, state: stopped.state, logger, ...OPTIONS })
}

function fileOf(directory: string, queue: string, firstUnit: number): string {
  const name = String(firstUnit * UNIT_BYTES).padStart(20, '0')
  return join(directory, 'consumequeue', queue, name)
}

async function change(path: string, how: (bytes: Buffer) => Buffer): Promise<void> {
  await disk.writeFileAtomic(path, how(Buffer.from(await disk.readFile(path))))
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + DEADLINE_MS
  while (!holds()) {
    if (Date.now() > end) throw new Error(`in vain: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
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
      await new Promise(resolve => setTimeout(resolve, 5))
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

t.test('a damaged consume queue shows nothing wrong, and is built again', async t => {
  const root = t.testdir()
  const first = await openLeader(join(root, 'first'), OPTIONS)
  await fill(first, COUNT)
  const before = (await fingerprint(first.store)) as { queues: unknown }
  await first.store.stop()
  const { log, state } = first
  const stopped = { directory: join(root, 'first'), log, state }
  for (const [what, damage] of Object.entries(DAMAGE)) {
    const copy = await copied(stopped, join(root, what))
    await damage(copy.directory)
    const again = await open(copy)
    const got = await pullAgain(again, 0)
    t.strictSame(got.texts, ['body 0', 'body 1', 'body 2', 'body 3'], what)
    t.ok(got.refused > 0, `${what}: it was noticed`)
    for (const offset of [1022, FILE_UNITS - 2, COUNT - 2]) {
      t.equal((await pullAgain(again, offset)).texts[0], `body ${offset}`, what)
    }
    const tagged = await pull(again.store, { tagHashes: new Set([hashOf('tag0')]), maxMessages: 3 })
    t.strictSame(bodies(tagged), ['body 0', 'body 3', 'body 6'], what)
    again.node.lead()
    again.node.automatic = true
    await fill(again, 20, COUNT)
    await again.store.stop()
    const third = await open(copy)
    const end = await pullAgain(third, COUNT + 18)
    t.strictSame([end.texts[0], end.refused], [`body ${COUNT + 18}`, 0], `${what}: it stays whole`)
    if (what.startsWith('no queues')) {
      await third.store.units('U', 1, 0, 1).catch(() => {})
      await until('everything is whole', () => third.store.runtime().damage.queueBlocks === 0)
      const { queues } = (await fingerprint(third.store)) as { queues: unknown[][] }
      const units = (list: unknown): unknown =>
        JSON.parse(JSON.stringify(list))[0][4].slice(0, COUNT)
      t.strictSame(units(queues), units(before.queues), 'the same units as ever')
    }
    await third.store.stop()
  }
})

function hashOf(tag: string): number {
  let hash = 0
  for (const char of tag) hash = (Math.imul(hash, 31) + char.charCodeAt(0)) | 0
  return hash
}

t.test('a queue that was deleted and made again is built from its second life', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 500)
  await first.store.execute({ type: 'deleteTopic', topic: 'T' })
  await first.store.execute(PUT_TOPIC)
  await fill(first, 400, 5000)
  await first.store.stop()
  await DAMAGE['a missing queue']!(directory)
  const again = await open({ ...first, directory })
  t.equal((await pullAgain(again, 0)).texts[0], 'body 5000')
  t.equal((await pullAgain(again, 399)).texts[0], 'body 5399')
  await again.store.stop()
})

t.test('a damaged queue of a trimmed log is built from what is left', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  first.log.segmentEntries = 2
  await fill(first, 1300)
  const { log } = first
  const half = Math.floor(log.entries.length / 2)
  const index = half - (half % 2) + 1
  const { position } = log.entries[index - 1]!
  await first.store.execute({ type: 'trimPrefix', index, position })
  await until('the log is trimmed', () => log.startPosition === position)
  await until('the trim is done', () => first.store.minOffset('T', 0) > 0)
  const min = first.store.minOffset('T', 0)
  t.ok(min > 0 && min < 1024, `trimmed up to unit ${min}`)
  await first.store.stop()
  await DAMAGE['a missing queue']!(directory)
  const again = await open({ ...first, directory })
  t.equal((await pullAgain(again, min)).texts[0], `body ${min}`)
  t.equal((await pullAgain(again, 1299)).texts[0], 'body 1299')
  await again.store.stop()
  const once = await open({ ...first, directory })
  const got = await pullAgain(once, min)
  t.equal(got.refused, 0, 'the zeros in front have a checksum too')
  await once.store.stop()
})

/** As a snapshot leaves it: a log without its beginning, and queues that begin in the middle of their first block. */
async function installed(directory: string, count: number): Promise<Stopped> {
  const giver = await openLeader(join(directory, 'giver'), OPTIONS)
  await fill(giver, count)
  await giver.store.stop()
  const statePath = join(directory, 'dump')
  const { index } = await dumpState(disk, giver.state, statePath)
  const log = giver.log.fork()
  const { index: firstIndex, position } = log.entries.find(e => e.bytes.includes('body 100'))!
  const { endPosition } = log
  log.startPosition = position
  const state = new MemoryState()
  const install = { snapshotId: 's', index, endPosition, firstIndex, statePath }
  await loadState(disk, state, install, await createRealPlatform().host.bootId())
  const stopped = { directory: join(directory, 'taker'), log, state }
  await (await open(stopped)).store.stop()
  return stopped
}

async function goOn(stopped: Stopped, count: number, from: number): Promise<void> {
  const opened = await open(stopped)
  opened.node.lead()
  opened.node.automatic = true
  await fill(opened, count, from)
  await opened.store.stop()
}

t.test('a queue that came with a snapshot has checksums from its first unit on', async t => {
  const directory = t.testdir()
  for (const [what, count] of [
    ['a block that grows', 300],
    ['a block that is full', COUNT]
  ] as const) {
    const stopped = await installed(join(directory, what), count)
    for (const damage of ['a file that is too short', 'a flipped bit in a tag'] as const) {
      const copy = await copied(stopped, join(directory, what, damage))
      const once = await open(copy)
      const min = once.store.minOffset('T', 0)
      t.ok(min > 20 && min < 1000, `it begins with unit ${min}`)
      t.same((await pullAgain(once, min)).refused, 0, `${what}: it is whole`)
      await once.store.stop()
      await change(fileOf(copy.directory, 'T/0', 0), bytes =>
        damage === 'a flipped bit in a tag'
          ? bytes.fill(
              bytes[min * UNIT_BYTES + 19]! ^ 1,
              min * UNIT_BYTES + 19,
              min * UNIT_BYTES + 20
            )
          : bytes.subarray(0, 1)
      )
      // Nobody reads it before it grows: then there are zeros where units were.
      await goOn(copy, 20, count)
      const again = await open(copy)
      const got = await pullAgain(again, min)
      t.equal(got.texts[0], `body ${min}`, `${what}, ${damage}: nothing is passed over`)
      t.ok(got.refused > 0, 'it was noticed')
      t.equal((await pullAgain(again, count + 19)).texts[0], `body ${count + 19}`)
      await again.store.stop()
      await goOn(copy, 20, count + 20)
      const third = await open(copy)
      const { texts, refused } = await pullAgain(third, min)
      t.strictSame([texts[0], refused], [`body ${min}`, 0], 'it stays whole')
      await third.store.stop()
    }
  }
})

t.test('a part of the log that cannot be read is waited for', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 300)
  await first.store.stop()
  await DAMAGE['a flipped bit in a tag']!(directory)
  const { log } = first
  log.damagedFrom = log.entries[2]!.position
  const again = await open({ ...first, directory })
  const { reads } = log
  await t.rejects(pull(again.store, {}), /built again/)
  await until('it is tried again', () => log.reads > reads + 3)
  await t.rejects(pull(again.store, {}), /built again/)
  log.damagedFrom = Number.MAX_SAFE_INTEGER
  t.equal((await pullAgain(again, 0)).texts[0], 'body 0')
  await again.store.stop()
})

t.test('a pull with patience gets the messages of a damaged queue', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 300)
  await first.store.stop()
  await DAMAGE['a flipped bit in a tag']!(directory)
  const { log } = first
  log.damagedFrom = log.entries[2]!.position
  const again = await open({ ...first, directory })
  await t.rejects(pull(again.store, { patienceMs: 20 }), /built again/, 'not for ever')
  const patient = pull(again.store, { patienceMs: 20_000 })
  log.damagedFrom = Number.MAX_SAFE_INTEGER
  t.equal(bodies(await patient)[0], 'body 0')
  await again.store.stop()
})

t.test('what cannot be built again does not hold up the rest', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  // In entries of its own.
  for (let i = 0; i < 5; i++) await send(first.store, message('A', 0, `alone ${i}`))
  await fill(first, 300)
  await first.store.stop()
  await DAMAGE['a flipped bit in a tag']!(directory)
  await change(fileOf(directory, 'A/0', 0), bytes => bytes.fill(1, 0, 20))
  const [run] = await disk.list(join(directory, 'index'))
  await change(join(directory, 'index', run!.name), bytes => bytes.fill(0, 0, 4096))
  const { log } = first
  const readEntries = log.readEntries.bind(log)
  const lost = log.entries.find(({ bytes }) => bytes.includes('body 100'))!
  log.readEntries = async (from, bytes) =>
    (await readEntries(from, bytes)).filter(({ index }) => index !== lost.index)
  const again = await open({ ...first, directory })
  const wanted = { offset: 100, patienceMs: 1 }
  await t.rejects(pull(again.store, wanted), /built again/)
  await t.rejects(pull(again.store, { topic: 'A' }), /built again/)
  const query = { topic: 'T', key: 'key7', maxMessages: 5, beginTimestamp: 0, endTimestamp: 1e15 }
  await t.rejects(again.store.query(query), /built again/)
  const others = (): boolean => {
    const { queueBlocks, indexRuns, rebuiltBlocks } = again.store.runtime().damage
    return queueBlocks === 1 && indexRuns === 0 && rebuiltBlocks === 1
  }
  await until('the others are whole', others)
  t.equal(bodies(await pull(again.store, { topic: 'A' }))[0], 'alone 0')
  await t.rejects(pull(again.store, wanted), /built again/)
  log.readEntries = readEntries
  t.equal((await pullAgain(again, 100)).texts[0], 'body 100')
  await again.store.stop()
})

t.test('who reads what could not be built again is not kept waiting for the next try', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, 300)
  await first.store.stop()
  await DAMAGE['a flipped bit in a tag']!(directory)
  const { log, state } = first
  const readEntries = log.readEntries.bind(log)
  log.readEntries = async () => []
  const clock = new FakeClock()
  const logger = new RecordingLogger()
  const platform = { ...createRealPlatform(), clock }
  const again = await openFake(directory, { log, state, platform, logger, ...OPTIONS })
  const tries = (): number =>
    logger.messages('warn').filter(text => /could not be built again yet/.test(text)).length
  await t.rejects(pull(again.store, {}), /built again/)
  await until('the pauses are long', () => {
    clock.advance(500)
    return tries() >= 6
  })
  log.readEntries = readEntries
  await t.rejects(pull(again.store, {}), /built again/)
  clock.advance(1_000)
  t.equal(tries(), 6, 'it would come much later')
  await t.rejects(pull(again.store, {}), /built again/)
  await until('it is whole', () => again.store.runtime().damage.queueBlocks === 0)
  const { texts } = await pullAgain(again, 0)
  t.equal(texts[0], 'body 0')
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
    const again = await open({ ...first, directory })
    const query = { topic: 'T', key: 'key7', maxMessages: 5, beginTimestamp: 0, endTimestamp: 1e15 }
    await t.rejects(again.store.query(query), /built again/)
    await until('it is built again', () => again.store.runtime().damage.rebuiltRuns === 1)
    t.equal((await again.store.query(query)).messages.length, 1)
    await again.store.stop()
  }
)

t.test('the scrubber finds what nobody reads, repairs it, and knows where it was', async t => {
  const directory = t.testdir()
  const first = await openLeader(directory, OPTIONS)
  await fill(first, COUNT)
  await first.store.stop()
  const { log, state } = first
  await DAMAGE['a flipped bit in a tag']!(directory)
  const runs = await disk.list(join(directory, 'index'))
  await change(join(directory, 'index', runs[0]!.name), bytes => bytes.fill(0, 0, 100))
  const open = async (clock: FakeClock): Promise<Opened> => {
    const platform = { ...createRealPlatform(), clock }
    const scrub = { scrubBytesPerSecond: 100_000, scrubIntervalMs: 3_600_000 }
    return openFake(directory, { log, state, platform, ...scrub, ...OPTIONS })
  }
  const clock = new FakeClock()
  const again = await open(clock)
  const scrub = (): ScrubStatus => again.store.runtime().scrub
  const pass = async (what: string, holds: () => boolean): Promise<void> => {
    await until(what, () => {
      clock.advance(500)
      return holds()
    })
  }
  t.equal(scrub().phase, 'waiting')
  await pass('it is in the queues', () => scrub().phase === 'queues')
  await again.store.stop()

  const later = new FakeClock()
  later.advance(clock.wallMs() - later.wallMs())
  const third = await open(later)
  const status = (): ScrubStatus => third.store.runtime().scrub
  t.equal(status().phase, 'queues', 'goes on where it was')
  await until('the round is done', () => {
    later.advance(500)
    return status().lastRoundMs > 0
  })
  t.equal(status().phase, 'waiting')
  // A block that was met before the stop counts once more if it was not built again by then.
  t.ok([2, 3].includes(status().damaged), `damaged: ${status().damaged}`)
  await until('all is built again', () => {
    later.advance(100)
    const { queueBlocks, indexRuns } = third.store.runtime().damage
    return queueBlocks + indexRuns === 0
  })
  t.match(third.store.runtime().damage, { rebuiltRuns: 1 })
  t.equal((await pullAgain(third, 0)).refused, 0)
  // The next round comes when it is due.
  later.advance(3_600_000)
  await until('a new round', () => {
    later.advance(500)
    return status().damaged === 0 && status().phase === 'waiting' && status().bytes > 0
  })
  await third.store.stop()
})
