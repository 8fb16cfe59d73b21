import t, { type Test } from 'tap'
import { Cluster, type TestNode, until } from './cluster.ts'

async function three(t: Test): Promise<{ cluster: Cluster; leader: TestNode }> {
  const cluster = await Cluster.of(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  leader.propose('a')
  await cluster.agreeOn(['a'])
  return { cluster, leader }
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: planted`), { code })
}

t.test(
  'a leader whose disk is full hands over, and is a follower like others when there is room',
  async t => {
    const { cluster, leader } = await three(t)
    let full = true
    // The hard state's blocks were written when its file was made: a full disk leaves them as they are.
    leader.platform.trouble = async (operation, path) =>
      full && operation === 'write' && path.includes('/data/') ? systemError('ENOSPC') : null
    leader.propose('b')
    await until(() => !leader.raft.diskRoom, 'the leader to notice')
    const next = await cluster.leader(leader.id)
    t.strictSame(leader.fatals, [], 'a full disk is no broken one')
    next.propose('c')
    await cluster.agreeOn(['a', 'b', 'c'], cluster.followersOf(leader))
    full = false
    await cluster.agreeOn(['a', 'b', 'c'])
    await until(() => leader.raft.diskRoom, 'the room to be noticed')
  }
)

t.test('a leader whose disk hangs hands over', async t => {
  const { cluster, leader } = await three(t)
  let letGo = (): void => {}
  const hang = new Promise<null>(resolve => {
    letGo = () => resolve(null)
  })
  leader.platform.trouble = () => hang
  leader.propose('b')
  await cluster.agreeOn(['a', 'b'], cluster.followersOf(leader))
  t.pass("two followers are a majority without the leader's disk")
  const next = await cluster.leader(leader.id)
  next.propose('c')
  letGo()
  await cluster.agreeOn(['a', 'b', 'c'])
})

for (const which of ['leader', 'follower']) {
  t.test(
    `a ${which} whose sync fails ends, and is repaired when it starts on a good disk`,
    async t => {
      const { cluster, leader } = await three(t)
      const broken = which === 'leader' ? leader : cluster.followersOf(leader)[0]!
      broken.platform.trouble = async operation =>
        operation === 'sync' ? systemError('EIO') : null
      leader.propose('b')
      await until(() => broken.fatals.length > 0, `the ${which} to end`)
      t.match(broken.fatals[0], /EIO/)
      t.match(broken.raft.status(), { role: 'stopped', ready: false, stopReason: /EIO/ })
      const next = await cluster.leader(broken.id)
      await cluster.agreeOn(
        ['a', 'b'],
        cluster.nodes.filter(node => node !== broken)
      )
      next.propose('c')
      await broken.start({ appliedIndex: 0 })
      await cluster.agreeOn(['a', 'b', 'c'])
      await until(() => broken.raft.status().trouble === null, 'the node to be whole')
    }
  )
}

t.test('a state machine that throws ends its node, not the group', async t => {
  const { cluster, leader } = await three(t)
  const [broken] = cluster.followersOf(leader) as [TestNode]
  broken.throwOn = 'b'
  leader.propose('b')
  await until(() => broken.fatals.length > 0, 'the node to end')
  t.match(broken.fatals[0], /applying entry .*planted/)
  leader.propose('c')
  await cluster.agreeOn(
    ['a', 'b', 'c'],
    cluster.nodes.filter(node => node !== broken)
  )
  t.equal(broken.texts.join(), 'a')
})

t.test('the log is trimmed by whole segments, and who needs what is gone is told', async t => {
  const { cluster, leader } = await three(t)
  const [away] = cluster.followersOf(leader) as [TestNode]
  const texts = Array.from({ length: 60 }, (_, at) => `x${at}`)
  for (const text of texts) leader.propose(text, 60_000)
  await cluster.agreeOn(['a', ...texts])
  // What was applied from memory only would be gone with the process.
  await until(
    () => away.raft.status().durableIndex === away.raft.status().appliedIndex,
    'its own disk to have it'
  )
  await away.kill()
  const segment = leader.raft.segments()[2]!
  const first = leader.applied.find(({ position }) => position === segment.firstPosition)!
  await leader.raft.trimPrefix(first.index, first.position)
  t.equal(leader.raft.log.startPosition, first.position)
  t.equal(leader.raft.segments()[0]?.firstIndex, first.index)
  await t.rejects(leader.raft.log.read(0, 10), { code: 'LMQ_LOG_TRIMMED' })
  await t.rejects(leader.raft.trimPrefix(first.index + 10_000, 0), { message: /not applied/ })
  leader.propose('y')
  await away.start()
  await cluster.agreeOn(['a', ...texts, 'y'])
  await leader.raft.stop()
  await leader.start({ appliedIndex: first.index + 3 })
  const next = await cluster.leader()
  next.propose('z')
  await until(() => leader.texts.at(-1) === 'z', 'the node to follow again')
})

t.test(
  'a node that lost its state behind a trimmed log gets it back, and counts meanwhile',
  async t => {
    const cluster = await Cluster.of(t, 3, { snapshotBytesPerSecond: 1_500_000 })
    await cluster.start()
    const leader = await cluster.leader()
    const [lost, other] = cluster.followersOf(leader) as [TestNode, TestNode]
    const texts = Array.from({ length: 60 }, (_, at) => `x${at}`)
    for (const text of texts) leader.propose(text, 60_000)
    await cluster.agreeOn(texts)
    for (const { raft } of cluster.nodes) {
      const segment = raft.segments()[2]!
      await until(() => raft.durableIndex >= segment.firstIndex, 'its own disk to have it')
      await raft.trimPrefix(segment.firstIndex, segment.firstPosition)
    }
    await lost.kill()
    await lost.start({ appliedIndex: 0 })
    t.match(lost.raft.status(), { lacksState: true, trouble: /waits for a snapshot/ })
    await until(() => lost.logged('Copies snapshot'), 'the copy to begin')
    await other.kill()
    leader.propose('y')
    await until(() => leader.texts.at(-1) === 'y', 'an entry that the leader and it have')
    t.match(lost.raft.status(), { lacksState: true, appliedIndex: 0 })
    await until(() => lost.installs === 1, 'it is opened again')
    await cluster.agreeOn([...texts, 'y'], [leader, lost])
    t.match(lost.raft.status(), { lacksState: false, trouble: null })
    await other.start({ appliedIndex: other.raft.segments()[0]!.firstIndex })
    await until(() => leader.raft.status().peers.every(peer => peer.connected), 'all to be there')
    t.ok(await leader.raft.transferLeadership(lost.id), 'now it leads')
    await until(() => lost.raft.ready, 'it is ready')
    lost.propose('z')
    await cluster.agreeOn([...texts, 'y', 'z'], [leader, lost])
  }
)

t.test('where nobody else has the state, its loss is told at the start', async t => {
  const cluster = await Cluster.of(t, 1)
  await cluster.start()
  const node = await cluster.leader()
  for (let at = 0; at < 40; at += 1) node.propose(`x${at}`, 60_000)
  await until(() => node.texts.length === 40, 'all to be applied')
  const segment = node.raft.segments()[1]!
  await node.raft.trimPrefix(segment.firstIndex, segment.firstPosition)
  await node.raft.stop()
  await t.rejects(node.open({ appliedIndex: 0 }), { message: /no other member that has it/ })
  await node.start({ appliedIndex: segment.firstIndex })
})
