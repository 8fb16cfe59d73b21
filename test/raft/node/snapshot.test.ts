import t from 'tap'
import { Cluster, type TestNode, TIMINGS, until } from './cluster.ts'

const SMALL = { segmentBytes: 16 * 1024, tailCacheBytes: 64 * 1024 }

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
    const cluster = await Cluster.of(t, 3, SMALL)
    await cluster.start()
    const texts: string[] = []
    const leader = await cluster.leader()
    const [away, other] = cluster.followersOf(leader) as [TestNode, TestNode]
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

t.test('a copy that finds no room is given up, said so, and made when there is room', async t => {
  const timings = { ...TIMINGS, offerRetryMs: 300 }
  const cluster = await Cluster.of(t, 3, { ...SMALL, snapshotBytesPerSecond: 100_000, timings })
  await cluster.start()
  const texts: string[] = []
  const leader = await cluster.leader()
  const [away, other] = cluster.followersOf(leader) as [TestNode, TestNode]
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
