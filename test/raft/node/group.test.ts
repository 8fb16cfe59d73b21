import t, { type Test } from 'tap'
import { EntryKind, NotLeaderError } from '../../../src/raft/index.ts'
import { Cluster, type ClusterOptions, type TestNode, until } from './cluster.ts'

async function running(t: Test, size: number, options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = await Cluster.of(t, size, options)
  await cluster.start()
  return cluster
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `${prefix}${at}`)
}

async function send(node: TestNode, texts: readonly string[], padBytes = 0): Promise<void> {
  const before = node.texts.length
  for (const text of texts) node.propose(text, padBytes)
  await until(
    () => node.texts.length >= before + texts.length,
    () => `${texts.length} messages on ${node.id}, it has ${node.texts.length - before}`
  )
}

t.test('a group of one elects itself, commits, and has everything after a restart', async t => {
  const cluster = await running(t, 1)
  const [node] = cluster.nodes as [TestNode]
  await cluster.leader()
  await send(node, ['a', 'b', 'c'])
  t.equal(await node.raft.readIndex(), node.raft.commitIndex)
  const { commitIndex } = node.raft
  await node.raft.stop()
  t.equal(node.raft.status().role, 'stopped')
  await node.start({ appliedIndex: 0 })
  await until(() => node.raft.ready, 'the node to lead again')
  await cluster.agreeOn(['a', 'b', 'c'])
  t.ok(node.raft.commitIndex > commitIndex, 'the new term has its own no-op')
})

t.test('three nodes found the group, elect one leader and apply the same sequence', async t => {
  const cluster = await running(t, 3)
  const leader = await cluster.leader()
  const texts = numbered('m', 200)
  await send(leader, texts)
  await cluster.agreeOn(texts)
  const [n0, n1, n2] = cluster.nodes as [TestNode, TestNode, TestNode]
  for (const [at, entry] of n0.applied.entries()) {
    t.ok(entry.bytes.equals(n1.applied[at]!.bytes) && entry.bytes.equals(n2.applied[at]!.bytes))
  }
  t.equal(n0.applied[0]?.kind, EntryKind.configuration, 'the founders stand first')
  const status = leader.raft.status()
  t.equal(status.leaderBrokerAddress, `127.0.0.1:3000${leader.id.slice(1)}`)
  t.match(status.peers, [
    { connected: true, active: true },
    { connected: true, active: true }
  ])
  for (const follower of cluster.followersOf(leader)) {
    const { leaderId, leaderBrokerAddress, ready } = follower.raft.status()
    t.strictSame(
      { leaderId, leaderBrokerAddress, ready },
      { leaderId: leader.id, leaderBrokerAddress: status.leaderBrokerAddress, ready: false }
    )
    await t.rejects(follower.raft.readIndex(), NotLeaderError)
  }
  t.ok(status.counters.commits > 0 && status.counters.writes > 0)
})

t.test('the first start waits for all members and says for whom', async t => {
  const cluster = await Cluster.of(t, 3)
  const [n0, n1, n2] = cluster.nodes as [TestNode, TestNode, TestNode]
  await Promise.all([n0.start(), n1.start()])
  await until(() => n0.logged('n2') && n1.logged('n2'), 'a line about n2')
  await until(() => n0.lines.some(line => /wait/i.test(line.message)), 'a line that n0 waits')
  t.notOk(n0.raft.ready || n1.raft.ready)
  await n2.start()
  await cluster.leader()
})

t.test('a killed leader is replaced at once, and catches up when it is back', async t => {
  const cluster = await running(t, 3)
  const first = await cluster.leader()
  await send(first, ['a', 'b'])
  await cluster.agreeOn(['a', 'b'])
  const killedMs = performance.now()
  await first.kill()
  const second = await cluster.leader(first.id)
  t.ok(performance.now() - killedMs < 2000, `${Math.round(performance.now() - killedMs)} ms`)
  await send(second, ['c', 'd'])
  await first.start()
  await cluster.agreeOn(['a', 'b', 'c', 'd'])
})

t.test('ten leaders are killed in a row: nothing that was applied is lost or doubled', async t => {
  const cluster = await running(t, 3)
  const texts: string[] = []
  const gapsMs: number[] = []
  let leader = await cluster.leader()
  for (let round = 0; round < 10; round += 1) {
    const mine = numbered(`r${round}-`, 20)
    await send(leader, mine, 100)
    texts.push(...mine)
    const killedMs = performance.now()
    await leader.kill()
    const next = await cluster.leader(leader.id)
    gapsMs.push(Math.round(performance.now() - killedMs))
    await leader.start(round % 2 === 0 ? {} : { appliedIndex: 0 })
    await cluster.agreeOn(texts)
    leader = next
  }
  t.comment(`ms without a leader: ${gapsMs.join(' ')}`)
  t.ok(Math.max(...gapsMs) < 2000)
})

t.test('all nodes killed at once come back with everything', async t => {
  const cluster = await running(t, 3)
  const leader = await cluster.leader()
  const texts = numbered('k', 50)
  await send(leader, texts, 5000)
  await Promise.all(cluster.nodes.map(node => node.kill()))
  await Promise.all(cluster.nodes.map(node => node.start({ appliedIndex: 0 })))
  await cluster.leader()
  await cluster.agreeOn(texts)
})

t.test('a follower that was away catches up from the disk', async t => {
  const cluster = await running(t, 3, { tailCacheBytes: 256 * 1024 })
  const leader = await cluster.leader()
  const [away] = cluster.followersOf(leader) as [TestNode]
  await away.kill()
  const texts = numbered('x', 120)
  await send(leader, texts, 60_000)
  await away.start()
  await cluster.agreeOn(texts)
  t.ok(leader.raft.segments().length > 5, 'the log went over several segments')
})

t.test('an orderly stop hands leadership over before it ends', async t => {
  const cluster = await running(t, 3)
  const first = await cluster.leader()
  await send(first, ['a'])
  const { term } = first.raft
  await first.raft.stop()
  t.ok(first.logged('handed over'))
  const second = await cluster.leader(first.id)
  t.equal(second.raft.term, term + 1, 'one election, the forced one')
  await send(second, ['b'])
  await first.start()
  await cluster.agreeOn(['a', 'b'])
})

t.test('leadership goes where it is asked to', async t => {
  const cluster = await running(t, 3)
  const first = await cluster.leader()
  const [target, other] = cluster.followersOf(first) as [TestNode, TestNode]
  t.equal(await other.raft.transferLeadership(target.id), false, 'a follower has none to give')
  t.equal(await first.raft.transferLeadership(target.id), true)
  await until(() => target.raft.ready, 'the target to lead')
  await send(target, ['a'])
  await cluster.agreeOn(['a'])
})

t.test('the preferred leader gets the lead when it is well', async t => {
  const cluster = await running(t, 3, { preferredLeaderId: 'n1' })
  const [, n1] = cluster.nodes as [TestNode, TestNode, TestNode]
  await until(() => n1.raft.ready, 'n1 to lead')
  await n1.kill()
  await cluster.leader('n1')
  await n1.start()
  await until(() => n1.raft.ready, 'n1 to lead again')
})

t.test('reads of a turn share a confirmation and see what was committed before', async t => {
  const cluster = await running(t, 3)
  const leader = await cluster.leader()
  await send(leader, ['a', 'b'])
  const before = leader.raft.commitIndex
  const answers = await Promise.all([
    leader.raft.readIndex(),
    leader.raft.readIndex(),
    leader.raft.readIndex()
  ])
  for (const index of answers) t.ok(index >= before && leader.raft.appliedIndex >= index)
})

t.test('a leader that is cut off answers no read and steps down', async t => {
  const cluster = await running(t, 3)
  const leader = await cluster.leader()
  await Promise.all(cluster.followersOf(leader).map(node => node.kill()))
  await t.rejects(leader.raft.readIndex(), NotLeaderError)
  await until(() => !leader.raft.ready, 'the leader to step down')
  await Promise.all(cluster.followersOf(leader).map(node => node.start()))
  await cluster.leader()
})

t.test('async flush replicates and survives kills of all', async t => {
  const cluster = await running(t, 3, { flushMode: 'async', flushIntervalMs: 50 })
  const leader = await cluster.leader()
  const texts = numbered('s', 100)
  await send(leader, texts, 1000)
  await cluster.agreeOn(texts)
  await until(
    () => cluster.nodes.every(node => node.raft.durableIndex === node.raft.commitIndex),
    'all to be synced'
  )
  await Promise.all(cluster.nodes.map(node => node.kill()))
  await Promise.all(cluster.nodes.map(node => node.start({ appliedIndex: 0 })))
  await cluster.agreeOn(texts)
})

t.test(
  'after a power loss a node of an async group votes only when it is back at the commit',
  async t => {
    const cluster = await running(t, 3, { flushMode: 'async', flushIntervalMs: 60_000 })
    const leader = await cluster.leader()
    await send(leader, ['a', 'b'])
    await cluster.agreeOn(['a', 'b'])
    const [lost, other] = cluster.followersOf(leader) as [TestNode, TestNode]
    await lost.kill()
    await Promise.all([other.kill(), leader.kill()])
    lost.bootId = 'second'
    await lost.start({ appliedIndex: 0 })
    t.equal(lost.raft.status().trouble, 'recovering')
    await other.start({ appliedIndex: 0 })
    await until(() => other.lines.some(line => line.message.includes('could win')), 'a question')
    t.notOk(other.raft.ready, 'two of three are there, and one of them may not vote')
    await leader.start({ appliedIndex: 0 })
    await cluster.agreeOn(['a', 'b'])
    await until(() => lost.raft.status().trouble === null, 'the node to be whole again')
  }
)

t.test('whatever is killed or stopped, all apply one sequence and lose nothing of it', async t => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  t.comment(`SEED=${seed}`)
  let state = seed >>> 0
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
  const options = { tailCacheBytes: 300_000, segmentBytes: 262_144 }
  const cluster = await running(t, 3, options)
  await cluster.leader()
  let proposed = 0
  const load = setInterval(() => {
    const leader = cluster.nodes.find(node => !node.dead && node.raft.ready)
    for (let count = random() * 10; leader !== undefined && count > 0; count -= 1) {
      leader.propose(`t${proposed}`, Math.floor(random() * random() * 40_000))
      proposed += 1
    }
  }, 3)
  const truth: string[] = []
  const check = (): void => {
    for (const node of cluster.nodes) {
      for (const [at, text] of node.texts.entries()) {
        truth[at] ??= text
        if (truth[at] !== text) t.fail(`${node.id} has ${text} at ${at}, not ${truth[at]}, ${seed}`)
      }
    }
  }
  const endMs = performance.now() + Number(process.env['CHAOS_MS'] ?? 3000)
  while (performance.now() < endMs) {
    const enoughMs = performance.now() + random() * 300
    await until(() => performance.now() > enoughMs, 'time to pass')
    const count = 1 + Math.floor(random() * 3)
    const victims = [...cluster.nodes].sort(() => random() - 0.5).slice(0, count)
    const stops = random() < 0.25
    await Promise.all(victims.map(node => (stops ? node.raft.stop() : node.kill())))
    check()
    await Promise.all(
      victims.map(node => node.start(random() < 0.5 ? { appliedIndex: 0 } : node.kept()))
    )
    await cluster.leader()
    check()
  }
  clearInterval(load)
  await until(
    () => cluster.nodes.every(node => node.texts.length >= truth.length),
    () => `${truth.length} messages; ${cluster.describe()}`
  )
  check()
  t.ok(truth.length > 20, `${truth.length} of ${proposed} proposals were committed`)
})
