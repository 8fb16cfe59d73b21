import { rm } from 'node:fs/promises'
import t, { type Test } from 'tap'
import type { ChangeAnswer, MembershipChange } from '../../../src/raft/index.ts'
import { Cluster, type ClusterOptions, type TestNode, until } from './cluster.ts'

// Elections and promotions take their time on a machine that is slow.
t.setTimeout(180_000)

async function running(t: Test, size: number, options: ClusterOptions = {}): Promise<Cluster> {
  const cluster = await Cluster.of(t, size, options)
  await cluster.start()
  return cluster
}

/** As an operator does it: goes to the leader, and tries again what only came at a bad moment. */
async function change(cluster: Cluster, what: MembershipChange): Promise<ChangeAnswer> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const leader = await cluster.leader()
    const answer = await leader.raft.changeMembership(what)
    const badMoment = ['notLeader', 'notReady', 'transferring', 'pending', 'isLeader', 'notAsked']
    if (answer.refusal === null || !badMoment.includes(answer.refusal)) return answer
    if (performance.now() > deadline) throw new Error(`never taken: ${answer.text}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

function add(id: string): MembershipChange {
  return { op: 'add', id, raftAddress: null, priority: null }
}

const byName = (a: string, b: string): number => (a < b ? -1 : 1)

function membersOf(node: TestNode): string[] {
  return node.raft.status().members.map(({ id, role }) => (role === 'voter' ? id : `${id}?`))
}

async function haveMembers(nodes: readonly TestNode[], ids: readonly string[]): Promise<void> {
  await until(
    () =>
      nodes.every(node => {
        const same = membersOf(node).toSorted(byName).join() === ids.join()
        return same && node.raft.status().configurationCommitted
      }),
    () => `members ${ids}: ${nodes.map(node => `${node.id} has ${membersOf(node)}`).join('; ')}`
  )
}

/** Sends without a pause to whoever leads, and again what got no place in a committed log. */
class Load {
  sent = 0
  readonly #cluster: Cluster
  #stopped = false
  #done: Promise<void> = Promise.resolve()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  start(): this {
    this.#done = this.#run()
    return this
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const leader = await this.#cluster.leader()
      const text = `m${this.sent}`
      leader.propose(text, 200)
      await until(
        () => leader.texts.at(-1) === text || !leader.raft.ready,
        () => `${text} on ${leader.id}`
      )
      // What a leader that fell had not applied may be there or not: it is looked for before it is sent again.
      if (leader.texts.at(-1) !== text) {
        const next = await this.#cluster.leader()
        if (next.texts.at(-1) !== text) continue
      }
      this.sent += 1
    }
  }

  async stop(): Promise<string[]> {
    this.#stopped = true
    await this.#done
    return Array.from({ length: this.sent }, (_, at) => `m${at}`)
  }
}

t.test('a group grows from three to five and shrinks to three under load', async t => {
  const cluster = await running(t, 3)
  await cluster.leader()
  const load = new Load(cluster).start()
  for (const id of ['n3', 'n4']) {
    const node = await cluster.further()
    await node.start()
    await until(() => node.logged('waits until it is added'), 'a line that it waits')
    t.equal(node.raft.status().membership, 'waiting')
    const answer = await change(cluster, add(id))
    t.match(answer, { refusal: null, text: /learner/ })
    await until(() => node.raft.status().membership === 'voter', `${id} to be a voter`)
  }
  await haveMembers(cluster.nodes, ['n0', 'n1', 'n2', 'n3', 'n4'])
  const leader = await cluster.leader()
  t.equal(leader.raft.status().configurationVersion, 5)
  t.ok(leader.raft.status().members.every(({ connected }) => connected))
  const out = [leader.id, cluster.nodes.find(node => node !== leader)!.id]
  for (const id of out) t.match(await change(cluster, { op: 'remove', id }), { refusal: null })
  const left = cluster.nodes.filter(node => !out.includes(node.id))
  await haveMembers(
    left,
    left.map(node => node.id)
  )
  for (const id of out) {
    const node = cluster.nodes.find(known => known.id === id)!
    await until(() => node.raft.status().membership === 'removed', `${id} to know that it is out`)
    t.ok(
      node.lines.some(({ level, message }) => level === 'error' && /raftAddMember/.test(message)),
      'it says so, and what to do'
    )
    t.equal(node.raft.leaderId, null)
  }
  const texts = await load.stop()
  t.ok(texts.length > 20, `${texts.length} messages`)
  await cluster.agreeOn(texts, left)
  const { term } = left[0]!.raft
  await new Promise(resolve => setTimeout(resolve, 1500))
  t.equal(left[0]!.raft.term, term, 'those that are out start no election')
})

t.test('a node whose disk was wiped comes back by itself and serves again', async t => {
  const cluster = await running(t, 3)
  const leader = await cluster.leader()
  leader.propose('a')
  await cluster.agreeOn(['a'])
  const [wiped] = cluster.followersOf(leader) as [TestNode]
  const uid = leader.raft.status().members.find(({ id }) => id === wiped.id)?.uid
  await wiped.kill()
  await rm(wiped.directory, { recursive: true })
  await wiped.start({ appliedIndex: 0 })
  await until(
    () => wiped.raft.status().membership === 'voter',
    () => `${wiped.id} to vote again; ${cluster.describe()}`
  )
  await haveMembers(cluster.nodes, ['n0', 'n1', 'n2'])
  const now = leader.raft.status().members.find(({ id }) => id === wiped.id)
  t.not(now?.uid, uid, 'its disk is another one')
  await leader.kill()
  const next = await cluster.leader(leader.id)
  next.propose('b')
  await cluster.agreeOn(['a', 'b'], cluster.followersOf(leader))
})

t.test('a group of one becomes one of two, and one again', async t => {
  const cluster = await running(t, 1)
  const first = await cluster.leader()
  first.propose('a')
  await cluster.agreeOn(['a'])
  t.match(await change(cluster, { op: 'remove', id: 'n0' }), { refusal: 'lastVoter' })
  const second = await cluster.further()
  await second.start()
  await change(cluster, add('n1'))
  await until(() => second.raft.status().membership === 'voter', 'n1 to be a voter')
  await cluster.agreeOn(['a'])
  t.equal(await first.raft.transferLeadership('n1'), true)
  t.match(await change(cluster, { op: 'remove', id: 'n0' }), { refusal: null })
  second.propose('b')
  await cluster.agreeOn(['a', 'b'], [second])
  await first.raft.stop()
  await second.raft.stop()
  await second.start({ appliedIndex: 0 })
  await until(() => second.raft.ready, 'n1 to lead alone after a restart')
  await cluster.agreeOn(['a', 'b'], [second])
})

t.test(
  'the configuration survives a restart of all, and a node is found where it moved to',
  async t => {
    const cluster = await running(t, 3)
    const further = await cluster.further()
    await further.start()
    await change(cluster, add('n3'))
    await until(() => further.raft.status().membership === 'voter', 'n3 to be a voter')
    await haveMembers(cluster.nodes, ['n0', 'n1', 'n2', 'n3'])
    await Promise.all(cluster.nodes.map(node => node.kill()))
    const founders = cluster.nodes.slice(0, 3)
    await Promise.all(founders.map(node => node.start({ appliedIndex: 0 })))
    await cluster.leader()
    await haveMembers(founders, ['n0', 'n1', 'n2', 'n3'])
    t.ok(
      founders.every(node => node.logged('dLegerPeers names other members')),
      'a file that says otherwise is told of'
    )
    // It comes back elsewhere: the others hear of the new address from an operator.
    const [spare] = (await Cluster.create(`${t.testdirName}-ports`, 1)).peers
    const peers = [...cluster.peers, { id: 'n3', host: '127.0.0.1', port: spare!.port }]
    await further.start({ appliedIndex: 0, peers })
    const raftAddress = `127.0.0.1:${spare!.port}`
    const moved = { op: 'update', id: 'n3', raftAddress, priority: null } as const
    t.match(await change(cluster, moved), { refusal: null })
    const leader = await cluster.leader()
    leader.propose('b')
    await until(
      () => further.texts.includes('b'),
      () => `n3 to be found; ${cluster.describe()}`
    )
    t.match(await change(cluster, moved), { refusal: null, text: /already/ })
  }
)

t.test('what cannot be done is refused with a reason', async t => {
  const cluster = await running(t, 3)
  const leader = await cluster.leader()
  const [follower, other] = cluster.followersOf(leader) as [TestNode, TestNode]
  const ask = (what: MembershipChange): Promise<ChangeAnswer> => leader.raft.changeMembership(what)
  await until(() => leader.raft.status().configurationCommitted, 'the founding to be committed')
  t.match(await follower.raft.changeMembership(add('n9')), {
    refusal: 'notLeader',
    leaderId: leader.id
  })
  t.match(await ask(add('n9')), { refusal: 'notAsked', text: /dLegerPeers/ })
  t.match(await ask(add(follower.id)), { refusal: 'isMember' })
  t.match(await ask({ op: 'remove', id: 'n9' }), { refusal: 'unknownMember', text: /n0, n1, n2/ })
  t.match(leader.raft.forceRecover([follower.id]), { refusal: 'notNeeded' })
  t.match(leader.raft.forceRecover(['n9']), { refusal: 'unknownMember' })
  await other.kill()
  await until(
    () => leader.raft.status().members.some(({ active }) => !active),
    'the leader to miss it'
  )
  t.match(await ask({ op: 'remove', id: follower.id }), { refusal: 'majorityLost' })
  t.match(await ask({ op: 'remove', id: other.id }), { refusal: null }, 'a dead one may go')
  await haveMembers([leader, follower], [leader.id, follower.id].toSorted(byName))
})
