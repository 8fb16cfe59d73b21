/** checkStore and raftRestore on real stores: of a group of one, written by the store itself. */
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runMqadmin } from '../../src/admin/index.ts'
import { STORE_COMMANDS } from '../../src/launch/storeCommands.ts'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import { openStore, type Store } from '../../src/store/index.ts'
import { bodies, message, pull, raftOptions, send } from '../store/helpers.ts'

const platform = createRealPlatform()
const { disk } = platform
const COUNT = 600

async function open(directory: string): Promise<Store> {
  const store = await openStore({
    platform,
    logger: silentLogger,
    directory,
    raft: { ...raftOptions(0), segmentBytes: 64 * 1024 },
    checkpointIntervalMs: 20,
    consumeQueueFileBytes: 150 * 20
  })
  const ready = new Promise<void>(resolve =>
    store.onRole(status => {
      if (status.ready) resolve()
    })
  )
  await store.start()
  await ready
  return store
}

async function fill(store: Store): Promise<void> {
  for (let i = 0; i < COUNT; i += 50) {
    const wave = Array.from({ length: 50 }, (_, k) =>
      send(store, message('T', (i + k) % 3, `body ${i + k}`, { KEYS: `key${i + k}` }))
    )
    await Promise.all(wave)
  }
}

interface Ran {
  readonly status: number
  readonly out: string
  readonly err: string
}

async function mqadmin(...argv: string[]): Promise<Ran> {
  const out: string[] = []
  const err: string[] = []
  const stdout = (text: string): void => void out.push(text)
  const stderr = (text: string): void => void err.push(text)
  const status = await runMqadmin(argv, { stdout, stderr, env: {}, platform }, STORE_COMMANDS)
  return { status, out: out.join(''), err: err.join('') }
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = Buffer.from(await disk.readFile(path))
  bytes[at]! ^= 1
  await disk.writeFileAtomic(path, bytes)
}

let made: Promise<string> | null = null

/** A copy of a store that was stopped in order. */
async function stopped(t: Test, root: string, name: string): Promise<string> {
  made ??= (async () => {
    const first = join(root, 'first')
    const store = await open(first)
    await fill(store)
    await store.stop()
    return first
  })()
  const directory = join(root, name)
  await cp(await made, directory, { recursive: true })
  t.comment(directory)
  return directory
}

const root = t.testdir()

t.test('a whole store is said to be whole, file by file, and is not changed', async t => {
  const directory = await stopped(t, root, 'whole')
  const { status, out, err } = await mqadmin('checkStore', '-p', directory)
  t.equal(status, 0, err)
  t.match(out, /hard state: term 1, vote n0, uid [0-9a-f]{32}, cluster [0-9a-f]{32}/)
  t.match(out, /segment 00000000000000065536: \d+ entries \d+ to \d+, terms 1 to 1/)
  t.match(out, /queues: 3 with 600 messages/)
  t.match(out, /The store is whole\./)
  t.equal((await mqadmin('checkStore', '-p', directory)).out.split('\n')[0], out.split('\n')[0])
})

t.test('each kind of damage is told with its place, and rebuilt where the log has it', async t => {
  const directory = await stopped(t, root, 'damaged')
  await flip(join(directory, 'raft/data/00000000000000065536'), 3000)
  await flip(join(directory, 'consumequeue/T/1/00000000000000000000'), 1019)
  await disk.remove(join(directory, 'consumequeue/T/2'))
  await disk.writeFileAtomic(join(directory, 'raft/data/notes.txt'), Buffer.from('x'))
  const index = await disk.readFile(join(directory, 'raft/index/00000000000000000000'))
  index.fill(0, 64, 96)
  await disk.writeFileAtomic(join(directory, 'raft/index/00000000000000000000'), index)
  const found = await mqadmin('checkStore', '-p', directory)
  t.equal(found.status, 1)
  t.match(found.out, /entry \d+ at 65536, \d+ bytes is damaged; its identity is known, term 1/)
  t.match(found.out, /T\/1: 1 of 2 blocks are damaged or missing, beginning with units 0/)
  t.match(found.out, /T\/2: 2 of 2 blocks/)
  t.match(found.out, /raft\/data\/notes.txt does not belong there/)
  t.match(found.out, /1 units of the index are damaged/)
  t.match(found.out, /NOT whole/)
  await flip(join(directory, 'raft/data/00000000000000065536'), 3000)
  const rebuilt = await mqadmin('checkStore', '-p', directory, '--rebuild')
  t.match(rebuilt.out, /rebuilt: 3 blocks of queues/)
  t.notMatch(rebuilt.out, /T\/1|T\/2/)
  const store = await open(directory)
  t.strictSame(bodies(await pull(store, { queueId: 2, maxMessages: 2 })), ['body 2', 'body 5'])
  await store.stop()
  t.equal((await mqadmin('checkStore', '-p', directory)).status, 0)
})

t.test('a damaged or lost state database is built again, with everything on request', async t => {
  for (const what of ['CURRENT', 'MANIFEST', 'table'] as const) {
    const directory = await stopped(t, root, `state ${what}`)
    // A second start moves what the first one wrote from the log into a table.
    await (await open(directory)).stop()
    const state = join(directory, 'state')
    const names = (await disk.list(state)).map(info => info.name)
    const name = names.find(found =>
      what === 'table' ? found.endsWith('.ldb') : found.startsWith(what)
    )!
    if (what === 'CURRENT') await disk.remove(join(state, name))
    else await flip(join(state, name), 30)
    const found = await mqadmin('checkStore', '-p', directory)
    t.equal(found.status, 1, what)
    t.match(found.out, /a start puts it aside and builds it again/, what)
    const store = await open(directory)
    t.strictSame(bodies(await pull(store, { maxMessages: 2 })), ['body 0', 'body 3'], what)
    t.equal(store.maxOffset('T', 0), COUNT / 3, what)
    await store.stop()
    t.ok(await disk.exists(join(directory, 'state.damaged')), 'it is kept')
    const all = await mqadmin('checkStore', '-p', directory, '-r', '-a')
    t.equal(all.status, 0, all.err)
  }
})

t.test('what cannot be done is refused with a sentence', async t => {
  const directory = await stopped(t, root, 'refused')
  t.match(await mqadmin('checkStore', '-p', root), { status: 1, err: /is no store/ })
  t.match(await mqadmin('checkStore', '-p', directory, '-a'), { status: 1, err: /give both/ })
  const store = await open(directory)
  t.match(await mqadmin('checkStore', '-p', directory), {
    status: 1,
    err: /held by another process/
  })
  await store.stop()
  for (const name of ['raft/hardstate', 'raft/hardstate.copy']) {
    t.equal((await mqadmin('checkStore', '-p', directory)).status, 0, 'the other one holds')
    await flip(join(directory, name), 100)
    await flip(join(directory, name), 4196)
  }
  const found = await mqadmin('checkStore', '-p', directory)
  t.match(found, { status: 1, out: /a start would refuse it: .*all of their slots/ })
})

const RESTORE = ['-i', 'n0', '-a', '127.0.0.1:1'] as const

t.test('a new group is made of one store, after it was said what may be missing', async t => {
  const directory = await stopped(t, root, 'restored')
  const before = (await mqadmin('checkStore', '-p', directory)).out
  const said = await mqadmin('raftRestore', '-p', directory, ...RESTORE)
  t.match(said, { status: 1, err: /nothing was done: add -y/ })
  t.match(said.out, /this log has entries 1 to \d+, last term 1; up to \d+ they are known/)
  t.match(said.out, /MISSING/)
  const again = (await mqadmin('checkStore', '-p', directory)).out
  const ofLog = (text: string): string => text.slice(0, text.indexOf('state:'))
  t.equal(ofLog(again), ofLog(before), 'nothing was changed')
  const done = await mqadmin('raftRestore', '-p', directory, ...RESTORE, '-y')
  t.equal(done.status, 0, done.err)
  const after = (await mqadmin('checkStore', '-p', directory)).out
  const identity = /uid (\w+), cluster (\w+)/
  const [, oldUid, oldCluster] = identity.exec(before)!
  const [, uid, cluster] = identity.exec(after)!
  t.not(uid, oldUid)
  t.not(cluster, oldCluster)
  t.match(done.out, `Made the group ${cluster} with the one member n0`)
  const store = await open(directory)
  t.equal(store.maxOffset('T', 0), COUNT / 3)
  t.match(store.status(), { configurationVersion: 2, members: [{ id: 'n0', uid }] })
  t.equal((await send(store, message('T', 0, 'after'))).queueOffset, COUNT / 3)
  await store.stop()
})

t.test('a damaged log makes a new group only of what lies before the damage', async t => {
  const directory = await stopped(t, root, 'cut')
  await flip(join(directory, 'raft/data/00000000000000065536'), 3000)
  const refused = await mqadmin('raftRestore', '-p', directory, ...RESTORE, '-y')
  t.match(refused, { status: 1, err: /damaged from entry \d+ on: with -g/ })
  t.match(refused.out, /GIVEN UP/)
  const cutFrom = Number(/from entry (\d+) on/.exec(refused.err)![1])
  const done = await mqadmin('raftRestore', '-p', directory, ...RESTORE, '-g', '-y')
  t.equal(done.status, 0, done.err)
  t.match(done.out, `its log ends with entry ${cutFrom}, term 2`)
  const checked = await mqadmin('checkStore', '-p', directory)
  t.match(checked.out, `log: entries 1 to ${cutFrom}, last term 2`)
  // The state database was ahead of what is left, so it is built again.
  const store = await open(directory)
  const kept = store.maxOffset('T', 0)
  t.ok(kept > 0 && kept < COUNT / 3, `${kept} messages are left`)
  t.strictSame(bodies(await pull(store, { maxMessages: 2 })), ['body 0', 'body 3'])
  t.equal((await send(store, message('T', 0, 'after'))).queueOffset, kept)
  await store.stop()
  t.equal((await mqadmin('checkStore', '-p', directory)).status, 0)
})
