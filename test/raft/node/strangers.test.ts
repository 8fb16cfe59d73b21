import { open, readdir } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import {
  collectedBlocks,
  createRealPlatform,
  fill,
  silentLogger
} from '../../../src/platform/index.ts'
import { defaultTimings } from '../../../src/raft/core/index.ts'
import { PeerStream } from '../../../src/raft/node/peerStream.ts'
import {
  encodeFrameHead,
  encodeMessage,
  FrameReader,
  FrameType,
  type Hello,
  type HelloReply,
  helloCodec,
  helloReplyCodec,
  WireRefuseCode
} from '../../../src/raft/wire/index.ts'
import { freePorts } from '../../helpers/freePorts.ts'
import { Cluster, type TestNode, until } from './cluster.ts'

const HELLO: Hello = {
  protocol: 1,
  clusterId: '',
  group: 'RaftNode00',
  nodeId: 'n1',
  nodeUid: 'ff'.repeat(16),
  term: 0,
  lastIndex: 0,
  lastTerm: 0,
  logStart: 1,
  empty: false,
  recovering: false,
  features: 0,
  brokerAddress: '',
  incarnation: 1,
  configurationVersion: 0,
  memberRole: 0,
  raftAddress: ''
}

/** A connection to a raft port, byte by byte. */
class Stranger {
  readonly #socket: net.Socket
  readonly replies: HelloReply[] = []
  pongs = 0
  closed = false

  constructor(port: number) {
    const reader = new FrameReader(1 << 20, collectedBlocks)
    this.#socket = net.connect({ port, host: '127.0.0.1' })
    this.#socket.on('data', chunk => {
      fill(reader, chunk)
      for (let frame = reader.next(); frame !== null; frame = reader.next()) {
        if (frame.type === FrameType.helloReply) {
          this.replies.push(helloReplyCodec.decode(frame.header))
        }
        if (frame.type === FrameType.pong) this.pongs += 1
      }
    })
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      this.closed = true
    })
  }

  write(...buffers: Uint8Array[]): void {
    this.#socket.write(Buffer.concat(buffers))
  }

  hello(fields: Partial<Hello>): void {
    const header = helloCodec.encode({ ...HELLO, ...fields })
    this.write(encodeFrameHead(FrameType.hello, header, 0))
  }

  async reply(): Promise<HelloReply> {
    await until(() => this.replies.length > 0, 'a HelloReply')
    return this.replies[0]!
  }

  async end(): Promise<void> {
    await until(() => this.closed, 'the connection to be closed')
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

function portOf(cluster: Cluster, node: TestNode): number {
  return cluster.peers.find(peer => peer.id === node.id)!.port
}

function knock(t: Test, cluster: Cluster, node: TestNode): Stranger {
  const stranger = new Stranger(portOf(cluster, node))
  t.teardown(() => stranger.destroy())
  return stranger
}

async function send(node: TestNode, texts: readonly string[], padBytes = 0): Promise<void> {
  const before = node.texts.length
  for (const text of texts) node.propose(text, padBytes)
  await until(() => node.texts.length >= before + texts.length, `${texts.join()} on ${node.id}`)
}

t.test('who may talk to a node', async t => {
  const cluster = await Cluster.of(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  await send(leader, ['a'])
  await cluster.agreeOn(['a'])
  const [node] = cluster.followersOf(leader) as [TestNode]
  const other = leader.id

  t.test('not one of another group, version, cluster or unknown name', async t => {
    const cases: [Partial<Hello>, number | null, RegExp][] = [
      [{ group: 'Other' }, WireRefuseCode.group, /group Other/],
      [{ protocol: 9 }, WireRefuseCode.protocol, /protocol 9/],
      [{ nodeId: other, clusterId: 'beef' }, null, /group beef/],
      [{ nodeId: 'n9' }, null, /n9 is no member/],
      [{ nodeId: node.id }, null, /not who was expected/],
      [{ nodeId: other, nodeUid: 'beef' }, null, /another node runs as/]
    ]
    for (const [fields, code, remark] of cases) {
      const stranger = knock(t, cluster, node)
      stranger.hello(fields)
      const reply = await stranger.reply()
      t.not(reply.refuseCode, 0)
      if (code !== null) t.equal(reply.refuseCode, code)
      t.match(reply.remark, remark)
      await stranger.end()
      await until(() => node.lines.some(line => remark.test(line.message)), `${remark} in the log`)
    }
  })

  t.test('nobody who does not begin with a Hello', async t => {
    const frame = encodeMessage({ type: 'timeoutNow', term: 99, leaderId: other, lastIndex: 1 })
    const first: Uint8Array[] = [
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(64),
      Buffer.from('7fffffff00000100', 'hex'),
      encodeFrameHead(frame.type, frame.header, 0),
      encodeFrameHead(FrameType.hello, Buffer.from('ffffff', 'hex'), 0),
      encodeFrameHead(FrameType.hello, Buffer.alloc(65_000), 16_000)
    ]
    for (const bytes of first) {
      const stranger = knock(t, cluster, node)
      stranger.write(bytes)
      await stranger.end()
      t.equal(stranger.replies.length, 0)
    }
    t.ok(node.lines.some(line => line.message.includes('Dropped a connection of a stranger')))
  })

  t.test('nor as many as can connect: they keep no member out', async t => {
    const crowd = Array.from({ length: 80 }, () => knock(t, cluster, node))
    await until(() => crowd.filter(one => one.closed).length >= 16, 'the oldest to be dropped')
    const late = cluster.followersOf(leader).find(other => other !== node)!
    await late.kill()
    await late.start()
    await until(
      () => late.raft.status().peers.every(peer => peer.connected),
      'the restarted member to be let in'
    )
    for (const one of crowd) one.destroy()
  })

  t.test('and all that leaves the group at work', async t => {
    t.equal(leader.raft.ready, true)
    const { term } = leader.raft
    await send(leader, ['b'])
    await cluster.agreeOn(['a', 'b'])
    t.equal(leader.raft.term, term)
  })
})

t.test('a member that sends nonsense loses its connection and nothing else', async t => {
  const cluster = await Cluster.of(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  await send(leader, ['a'])
  await cluster.agreeOn(['a'])
  const [victim, spoken] = cluster.followersOf(leader) as [TestNode, TestNode]
  const spy = knock(t, cluster, spoken)
  spy.hello({ group: 'Other' })
  const known = await spy.reply()
  await spoken.kill()
  const bad: [string, Uint8Array[]][] = [
    ['a frame shorter than its header', [Buffer.from('0000000cffff0300', 'hex'), Buffer.alloc(4)]],
    ['a frame of 2 GiB', [Buffer.from('7fffffff00000300', 'hex')]],
    [
      'an append whose entries are noise',
      [
        (() => {
          const message = {
            type: 'append',
            term: 1,
            leaderId: spoken.id,
            prevIndex: 0,
            prevTerm: 0,
            commit: 0,
            count: 1,
            payloadBytes: 100,
            readSeq: 0,
            logStart: 1,
            streamSeq: 1,
            toIncarnation: 1,
            toUid: ''
          } as const
          const { type, header } = encodeMessage(message)
          return encodeFrameHead(type, header, 100)
        })(),
        Buffer.alloc(100, 0x5a)
      ]
    ],
    ['an unknown result', [encodeFrameHead(FrameType.appendReply, Buffer.from('1863', 'hex'), 0)]]
  ]
  for (const [what, bytes] of bad) {
    const stranger = knock(t, cluster, victim)
    stranger.hello(known)
    t.equal((await stranger.reply()).refuseCode, 0, `${what}: is let in first`)
    stranger.write(encodeFrameHead(FrameType.ping, new Uint8Array(0), 0))
    await until(() => stranger.pongs === 1, 'a pong')
    stranger.write(encodeFrameHead(200, Buffer.from('00', 'hex'), 0))
    stranger.write(...bytes)
    await stranger.end()
    t.pass(what)
  }
  t.strictSame(victim.fatals, [])
  await spoken.start()
  await send(leader, ['b'])
  await cluster.agreeOn(['a', 'b'])
})

t.test(
  "who answers at a member's address and is not that member is asked again like one that is not there",
  async t => {
    let connections = 0
    const server = net.createServer(socket => {
      connections += 1
      socket.on('error', () => {})
      socket.on('data', () => {
        const reply = helloReplyCodec.encode({ ...HELLO, refuseCode: 0, remark: '' })
        socket.write(encodeFrameHead(FrameType.helloReply, reply, 0))
      })
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as net.AddressInfo
    const lines: string[] = []
    let judged = 0
    const log = (message: string): void => void lines.push(message)
    const stream = new PeerStream(
      createRealPlatform(),
      { ...silentLogger, info: log, warn: log },
      { id: 'n1', addresses: [{ host: '127.0.0.1', port }] },
      { ...defaultTimings, reconnectMinMs: 20, reconnectMaxMs: 200, connectTimeoutMs: 1000 },
      {
        hello: () => HELLO,
        streamUp: () => {
          judged += 1
          return { code: WireRefuseCode.group, remark: 'another uid' }
        },
        streamDown: () => {},
        peerGone: () => {},
        frame: () => {},
        chunkDone: () => {},
        refusedBy: () => {}
      }
    )
    t.teardown(() => {
      stream.stop()
      server.close()
    })
    const fromMs = performance.now()
    stream.start()
    await until(() => judged >= 4, 'several attempts')
    const passedMs = performance.now() - fromMs
    t.ok(passedMs >= 3 * 200, `${connections} connections in ${passedMs} ms`)
    t.strictSame(lines, ['n1 is not who it should be: another uid'])
  }
)

t.test('a node with the data of another cluster is refused', async t => {
  const clusters: Cluster[] = []
  t.teardown(() => Promise.all(clusters.map(cluster => cluster.stop())))
  const dir = t.testdir({ one: {}, two: {} })
  const one = await Cluster.create(join(dir, 'one'), 1)
  clusters.push(one)
  await one.start()
  await one.leader()
  await one.nodes[0]!.raft.stop()
  const two = await Cluster.create(join(dir, 'two'), 3)
  clusters.push(two)
  const [n0, n1, n2] = two.nodes as [TestNode, TestNode, TestNode]
  await n0.start({ directory: join(dir, 'one', 'n0'), appliedIndex: 0 })
  await Promise.all([n1.start(), n2.start()])
  await until(() => n0.logged('Refused n1') || n1.logged('refuses this node'), 'a refusal')
  t.notOk(n1.raft.ready || n2.raft.ready, 'no group is founded without n0')
})

t.test('an entry that rots on a follower comes back from a peer', async t => {
  const cluster = await Cluster.of(t, 3)
  await cluster.start()
  const leader = await cluster.leader()
  const texts = Array.from({ length: 12 }, (_, at) => `m${at}`)
  await send(leader, texts, 2000)
  await cluster.agreeOn(texts)
  const [rotten] = cluster.followersOf(leader) as [TestNode]
  const entry = rotten.applied.find(({ bytes }) => bytes.includes('m5'))!
  await rotten.raft.stop()
  const data = join(rotten.directory, 'data')
  const [segment] = (await readdir(data)).filter(name => /^\d+$/.test(name)).sort()
  const file = await open(join(data, segment!), 'r+')
  await file.write(Buffer.from('rot'), 0, 3, entry.position + 500)
  await file.close()
  await rotten.start({ appliedIndex: 0 })
  await cluster.agreeOn(texts)
  t.ok(rotten.logged('repaired'))
  t.ok((await rotten.raft.log.read(entry.position, entry.bytes.length)).equals(entry.bytes))
  t.equal(rotten.raft.status().trouble, null)
})

t.test('a port that is taken is told to the caller', async t => {
  const [port] = (await freePorts(1)) as [number]
  const server = net.createServer()
  await new Promise<void>(resolve => server.listen(port, resolve))
  t.teardown(() => void server.close())
  const cluster = await Cluster.of(t, 3)
  const [node] = cluster.nodes as [TestNode]
  const [own, ...others] = cluster.peers
  await node.open({ peers: [{ ...own!, port }, ...others] })
  await t.rejects(node.raft.start(), { code: 'EADDRINUSE' })
  await node.raft.stop()
  const alone = await Cluster.create(join(t.testdirName, 'alone'), 1)
  t.teardown(() => alone.stop())
  await alone.nodes[0]!.start({ peers: [{ ...own!, port: 0 }] })
  await until(() => alone.nodes[0]!.raft.ready, 'a group of one that nobody may join needs no port')
})

t.test('options that contradict each other are refused', async t => {
  const cluster = await Cluster.of(t, 1)
  const node = cluster.nodes[0]!
  const peer = { id: 'n0', host: '127.0.0.1', port: 1 }
  await t.rejects(node.open({ peers: [{ ...peer, id: 'n5' }] }), { message: /n0 is not among/ })
  await t.rejects(node.open({ peers: [peer, peer] }), { message: /listed twice/ })
  await t.rejects(node.open({ preferredLeaderId: 'n7' }), { message: /preferred leader n7/ })
  await t.rejects(node.open({ appliedIndex: 5 }), { message: /applied up to entry 5/ })
})
