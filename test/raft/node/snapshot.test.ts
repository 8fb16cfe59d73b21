import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Cluster, type ClusterOptions, type TestNode, TIMINGS, until } from './cluster.ts'

const SMALL = { segmentBytes: 16 * 1024, tailCacheBytes: 64 * 1024 }

interface Three {
  readonly cluster: Cluster
  /** All that was proposed. */
  readonly texts: string[]
  readonly leader: TestNode
  readonly away: TestNode
  readonly other: TestNode
}

async function threeOf(t: Test, changes: ClusterOptions = {}): Promise<Three> {
  const cluster = await Cluster.of(t, 3, { ...SMALL, ...changes })
  await cluster.start()
  const leader = await cluster.leader()
  const [away, other] = cluster.followersOf(leader) as [TestNode, TestNode]
  return { cluster, texts: [], leader, away, other }
}

async function propose(leader: TestNode, texts: string[], count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const text = `m${texts.length}`
    texts.push(text)
    leader.propose(text, 900)
  }
  await until(() => leader.texts.length >= texts.length, 'the leader has applied all')
}

/** Drops all but the last two segments of these nodes' logs. */
async function trim(nodes: readonly TestNode[]): Promise<void> {
  for (const { raft } of nodes) {
    const sealed = raft.segments().filter(segment => segment.firstIndex <= raft.appliedIndex)
    const keep = sealed.at(-2)!
    await raft.trimPrefix(keep.firstIndex, keep.firstPosition)
  }
}

t.test(
  'a follower that was away over several trims gets a snapshot, and can lead after it',
  async t => {
    const { cluster, texts, leader, away, other } = await threeOf(t)
    await propose(leader, texts, 20)
    await cluster.agreeOn(texts)
    await away.raft.stop()
    const kept = away.kept()
    for (let round = 0; round < 3; round++) {
      await propose(leader, texts, 60)
      await cluster.agreeOn(texts, [leader, other])
      await trim([leader, other])
    }
    t.ok(leader.raft.segments()[0]!.firstIndex > kept.appliedIndex + 1, 'what it needs is gone')
    await away.start(kept)
    await cluster.agreeOn(texts)
    await until(() => away.installs === 1, 'it is opened again')
    t.ok(away.logged('Copies snapshot'), 'says that it copies')
    t.ok(away.logged('copied and verified'), 'says that all was verified')
    t.ok(leader.logged('A snapshot is on offer'))
    await propose(leader, texts, 10)
    await cluster.agreeOn(texts)
    await until(
      () => leader.raft.status().peers.every(p => p.matchIndex >= leader.raft.commitIndex),
      'all match'
    )
    t.ok(await leader.raft.transferLeadership(away.id), 'leads')
    await until(() => away.raft.ready, 'is ready')
    await propose(away, texts, 10)
    await cluster.agreeOn(texts)
    await away.raft.stop({ transfer: false })
    await away.start(away.kept())
    await cluster.agreeOn(texts)
  }
)

t.test('a wiped founder takes its snapshot from a leader that its file does not name', async t => {
  const cluster = await Cluster.of(t, 3, SMALL)
  await cluster.start()
  const texts: string[] = []
  const founder = await cluster.leader()
  const [wiped] = cluster.followersOf(founder) as [TestNode]
  const added = await cluster.further()
  await added.start()
  await until(() => added.logged('waits until it is added'), 'it waits')
  const change = { op: 'add', id: added.id, raftAddress: null, priority: null } as const
  t.match(await founder.raft.changeMembership(change), { refusal: null })
  await until(() => added.raft.status().membership === 'voter', 'it is a voter')
  await propose(founder, texts, 60)
  await cluster.agreeOn(texts)
  t.ok(await founder.raft.transferLeadership(added.id))
  await until(() => added.raft.ready, 'it leads')
  await trim(cluster.nodes)
  await wiped.kill()
  await rm(wiped.directory, { recursive: true })
  await wiped.start({ appliedIndex: 0 })
  await until(() => wiped.installs === 1, 'the snapshot is there')
  t.ok(added.logged('A snapshot is on offer'), 'of this leader')
  await propose(added, texts, 10)
  await cluster.agreeOn(texts)
})

t.test(
  'who is wiped after a snapshot gets another one when the log lost its beginning since',
  async t => {
    const { cluster, texts, leader, away, other } = await threeOf(t)
    const goOn = async (count: number): Promise<void> => {
      await propose(leader, texts, count)
      await cluster.agreeOn(texts, [leader, other])
      await trim([leader, other])
    }
    for (let life = 1; life <= 2; life++) {
      await away.raft.stop()
      // The second time a segment: the snapshot of the first life ends behind where the log begins.
      await goOn(life === 1 ? 60 : 18)
      await rm(away.directory, { recursive: true })
      await away.start({ appliedIndex: 0 })
      await until(() => away.installs === life, `snapshot ${life}`)
      await cluster.agreeOn(texts)
    }
  }
)

t.test('a copy that finds no room is given up, said so, and made when there is room', async t => {
  const timings = { ...TIMINGS, offerRetryMs: 300 }
  const { cluster, texts, leader, away, other } = await threeOf(t, {
    snapshotBytesPerSecond: 100_000,
    timings
  })
  await propose(leader, texts, 20)
  await cluster.agreeOn(texts)
  await away.raft.stop()
  await propose(leader, texts, 150)
  await cluster.agreeOn(texts, [leader, other])
  await trim([leader, other])
  await away.start(away.kept())
  let full = true
  away.platform.trouble = async (operation, path) =>
    full && operation === 'write' && path.includes('/copy/')
      ? Object.assign(new Error('ENOSPC: planted'), { code: 'ENOSPC' })
      : null
  await until(() => away.logged('was given up: ENOSPC'), 'the copy to be given up')
  await until(() => leader.logged('does not take snapshot'), 'the leader to hear it')
  await propose(leader, texts, 5)
  t.same(away.fatals, [], 'its log goes on')
  full = false
  await cluster.agreeOn(texts)
  await until(() => away.installs === 1, 'it is opened again')
})

/** Flips a byte of an entry on a node's disk; 12 lies in its header. */
async function flip({ directory }: TestNode, position: number, byte: number): Promise<void> {
  const at = position % SMALL.segmentBytes
  const name = String(position - at).padStart(20, '0')
  const file = await open(join(directory, 'data', name), 'r+')
  const bytes = Buffer.alloc(1)
  await file.read(bytes, 0, 1, at + byte)
  bytes[0]! ^= 0x40
  await file.write(bytes, 0, 1, at + byte)
  await file.close()
}

/** Writes below a directory wait until it is opened. */
function gate(): { at(path: string, directory: string): Promise<null>; open(): void } {
  let open = (): void => {}
  const held = new Promise<null>(resolve => {
    open = () => resolve(null)
  })
  return {
    at: async (path, directory) => (path.startsWith(directory) ? held : null),
    open: () => open()
  }
}

t.test(
  'a snapshot up to an entry that is damaged beyond recognition takes what follows it, and the node recovers first',
  async t => {
    const timings = { ...TIMINGS, electionTimeoutMs: 1500, offerIntervalMs: 300 }
    const cluster = await Cluster.of(t, 3, { ...SMALL, timings })
    await cluster.start()
    const texts: string[] = []
    const leader = await cluster.leader()
    const [harmed, other] = cluster.followersOf(leader) as [TestNode, TestNode]
    await propose(leader, texts, 60)
    await cluster.agreeOn(texts)
    await trim([leader, other])
    await other.raft.stop()
    // What the others have trimmed is damaged: from here on it acknowledges nothing, and nothing is committed.
    const early = harmed.applied[4]!
    const last = harmed.applied.at(-1)!
    t.ok(early.index < leader.raft.segments()[0]!.firstIndex)
    const noCopy = gate()
    harmed.platform.trouble = (_operation, path) => noCopy.at(path, `${harmed.directory}/copy`)
    await flip(harmed, early.position, 100)
    await harmed.raft.verify(early.index, 1)
    t.equal(harmed.raft.status().trouble, 'damaged')
    for (const text of ['x', 'y', 'z']) leader.propose(text, 900)
    await until(() => harmed.raft.durableIndex >= last.index + 3, 'entries that follow')
    t.equal(leader.raft.commitIndex, last.index)
    noCopy.open()
    await harmed.kill()

    // Of the last one that is committed, and of the one behind it, neither header nor index unit is left.
    await flip(harmed, last.position, 12)
    await flip(harmed, last.position + last.bytes.length, 12)
    await rm(join(harmed.directory, 'index'), { recursive: true })
    await harmed.open(harmed.kept())
    const noRepair = gate()
    harmed.platform.trouble = (_operation, path) => noRepair.at(path, `${harmed.directory}/data`)
    await harmed.raft.start()
    await until(() => harmed.logged('Changes over to snapshot'), 'the copy to be whole')
    t.notOk(harmed.logged('it was recovering when it stopped'))
    noRepair.open()
    await until(() => harmed.installs === 1, 'it is opened again')
    t.ok(harmed.logged('it was recovering when it stopped'), 'what it acknowledged may be gone')
    await cluster.agreeOn([...texts, 'x', 'y', 'z'], [leader, harmed])
    await until(() => harmed.raft.status().trouble === null, 'it is whole again')
    await other.start(other.kept())
    await cluster.agreeOn([...texts, 'x', 'y', 'z'])
  }
)
