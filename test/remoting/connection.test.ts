import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import {
  CommandPeek,
  encodeCommand,
  peekCommand,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  response,
  SerializeType
} from '../../src/protocol/index.ts'
import {
  type Connection,
  RemotingClient,
  RemotingError,
  RemotingServer,
  type RemotingServerOptions
} from '../../src/remoting/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { RawPeer } from '../helpers/rawPeer.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'

const { clock, network } = createRealPlatform()
const ECHO = 9001
const HOT = 9002
const FAIL = 9003
const BIG = 9004
const HELD = 9005

async function startServer(
  t: Test,
  options: Partial<RemotingServerOptions> = {}
): Promise<RemotingServer> {
  const server = new RemotingServer({
    clock,
    network,
    logger: silentLogger,
    host: '127.0.0.1',
    port: 0,
    ...options
  })
  server.handle(ECHO, echo)
  await server.start()
  t.teardown(() => server.stop())
  return server
}

function echo({ extFields, body }: RemotingCommand): RemotingCommand {
  return response(ResponseCode.SUCCESS, null, extFields, body)
}

async function connect(t: Test, server: RemotingServer): Promise<RawPeer> {
  const peer = await RawPeer.connect(server.port)
  t.teardown(() => peer.destroy())
  return peer
}

function startClient(
  t: Test,
  options: Partial<ConstructorParameters<typeof RemotingClient>[0]> = {}
): RemotingClient {
  const client = new RemotingClient({ clock, network, logger: silentLogger, ...options })
  t.teardown(() => client.close())
  return client
}

function numbered(command: RemotingCommand, opaque: number): RemotingCommand {
  command.opaque = opaque
  return command
}

function bytesOf(command: RemotingCommand): Buffer {
  return Buffer.concat(encodeCommand(command))
}

function until(condition: () => boolean): Promise<void> {
  return new Promise(resolve => {
    const look = (): void => {
      if (condition()) resolve()
      else setImmediate(look)
    }
    look()
  })
}

for (const size of [1, 2, 7, 64, 1000]) {
  t.test(`requests come out whole when the socket delivers ${size} bytes at a time`, async t => {
    const server = await startServer(t)
    const peer = await connect(t, server)
    const body = Buffer.alloc(300, 'x')
    const all = Buffer.concat(
      [1, 2, 3].map(opaque => bytesOf(numbered(request(ECHO, { n: String(opaque) }, body), opaque)))
    )
    for (let at = 0; at < all.length; at += size) {
      peer.write(all.subarray(at, at + size))
      if (size < 64 ? at % (size * 50) === 0 : true) await new Promise(setImmediate)
    }
    const answers = await peer.frames(3)
    t.strictSame(
      answers.map(answer => [answer.opaque, answer.extFields?.['n'], answer.body?.length]),
      [
        [1, '1', 300],
        [2, '2', 300],
        [3, '3', 300]
      ]
    )
  })
}

t.test('an answer has the form, the number and the response flag of its request', async t => {
  const server = await startServer(t)
  const peer = await connect(t, server)
  for (const serializeType of [SerializeType.JSON, SerializeType.ROCKETMQ]) {
    const asked = numbered(request(ECHO, { a: 'b' }), -5 - serializeType)
    asked.serializeType = serializeType
    const answer = await peer.ask(asked)
    t.equal(answer.serializeType, serializeType)
    t.equal(answer.flag, 1)
    t.equal(answer.code, ResponseCode.SUCCESS)
    t.same(answer.extFields, { a: 'b' })
  }
})

t.test('an unknown request code is answered with 3 and the original text', async t => {
  const server = await startServer(t)
  const peer = await connect(t, server)
  const answer = await peer.ask(numbered(request(4711), 1))
  t.equal(answer.code, ResponseCode.REQUEST_CODE_NOT_SUPPORTED)
  t.equal(answer.remark, ' request type 4711 not supported')
})

t.test(
  'a handler that throws or rejects costs an answer with code 1, not the connection',
  async t => {
    const logger = new RecordingLogger()
    const server = await startServer(t, { logger })
    server.handle(FAIL, ({ extFields }) => {
      if (extFields?.['how'] === 'throw') throw new Error('thrown text')
      return Promise.reject(new Error('rejected text'))
    })
    server.handleFrame(HOT, () => {
      throw new Error('hot text')
    })
    const peer = await connect(t, server)
    const thrown = await peer.ask(numbered(request(FAIL, { how: 'throw' }), 1))
    const rejected = await peer.ask(numbered(request(FAIL, { how: 'reject' }), 2))
    const hot = await peer.ask(numbered(request(HOT), 3))
    t.strictSame(
      [thrown, rejected, hot].map(({ code, remark }) => [code, remark]),
      [
        [1, 'thrown text'],
        [1, 'rejected text'],
        [1, 'hot text']
      ]
    )
    t.equal((await peer.ask(numbered(request(ECHO), 4))).code, 0)
    t.equal(logger.messages('warn').length, 3)
  }
)

t.test('one-way requests get no answer, whatever happens to them', async t => {
  const server = await startServer(t)
  let handled = 0
  server.handle(FAIL, () => {
    handled += 1
    throw new Error('no')
  })
  const peer = await connect(t, server)
  for (const code of [ECHO, FAIL, 4711]) {
    const command = numbered(request(code), 1)
    command.flag = 2
    peer.send(command)
  }
  const answer = await peer.ask(numbered(request(ECHO), 2))
  t.equal(answer.opaque, 2)
  t.equal(peer.received.length, 1)
  t.equal(handled, 1)
})

t.test(
  'a frame handler composes answers in place; what it refuses goes the general way',
  async t => {
    const server = await startServer(t)
    const peek = new CommandPeek()
    server.handleFrame(HOT, (frame, connection) => {
      peekCommand(frame, peek)
      if (frame.bodyBytes === 0) return false
      const answer = bytesOf({ ...response(0, null, { way: 'hot' }), opaque: peek.opaque })
      const room = connection.reserve(answer.length + 10)
      answer.copy(room.buffer, room.offset)
      connection.commit(answer.length)
      return true
    })
    server.handle(HOT, () => response(0, null, { way: 'general' }))
    const peer = await connect(t, server)
    const frames = [1, 2, 3, 4].map(opaque =>
      bytesOf(numbered(request(HOT, null, opaque % 2 === 0 ? Buffer.from('b') : null), opaque))
    )
    peer.write(Buffer.concat(frames))
    const answers = await peer.frames(4)
    t.strictSame(
      answers.map(({ opaque, extFields }) => [opaque, extFields?.['way']]),
      [
        [1, 'general'],
        [2, 'hot'],
        [3, 'general'],
        [4, 'hot']
      ]
    )
  }
)

t.test('all answers of one turn leave in one write, in order, also beyond one chunk', async t => {
  let writes = 0
  const counting = {
    ...network,
    listen: ((options, onConnection) =>
      network.listen(options, socket => {
        const write = socket.write.bind(socket)
        socket.write = buffers => {
          writes += 1
          return write(buffers)
        }
        onConnection(socket)
      })) satisfies typeof network.listen
  }
  const server = await startServer(t, { network: counting })
  const big = Buffer.alloc(5_000, 'v')
  server.handle(BIG, (command, connection) => {
    const answer = bytesOf({ ...response(0, null, null, big), opaque: command.opaque })
    if (command.opaque % 3 === 0)
      connection.writeChunks([answer.subarray(0, 100), answer.subarray(100)])
    else if (command.opaque % 3 === 1) {
      const room = connection.reserve(6_000)
      answer.copy(room.buffer, room.offset)
      connection.commit(answer.length)
    } else connection.respond(command, response(0, null, null, big))
    return null
  })
  const peer = await connect(t, server)
  const count = 60
  const all = Array.from({ length: count }, (_, n) => bytesOf(numbered(request(BIG), n)))
  peer.write(Buffer.concat(all))
  const answers = await peer.frames(count)
  t.strictSame(
    answers.map(answer => answer.opaque),
    Array.from({ length: count }, (_, n) => n)
  )
  t.ok(answers.every(answer => answer.body?.equals(big)))
  t.equal(writes, 1)
})

t.test(
  'a reservation larger than a chunk is sent, and one that is not committed is void',
  async t => {
    const server = await startServer(t)
    const body = Buffer.alloc(200_000, 'w')
    server.handle(BIG, (command, connection) => {
      connection.reserve(100)
      connection.reserve(300_000)
      const answer = bytesOf({ ...response(0, null, null, body), opaque: command.opaque })
      const room = connection.reserve(300_000)
      answer.copy(room.buffer, room.offset)
      connection.commit(answer.length)
      t.throws(() => connection.commit(1), /1 bytes committed of 0 reserved/)
      return null
    })
    const peer = await connect(t, server)
    const answer = await peer.ask(numbered(request(BIG), 1))
    t.ok(answer.body?.equals(body))
  }
)

t.test(
  'a malformed frame costs its connection, is logged at a bounded rate, and nobody else notices',
  async t => {
    const logger = new RecordingLogger()
    const server = await startServer(t, { logger })
    const other = await connect(t, server)
    const reasons: string[] = []
    server.onClose((_, reason) => reasons.push(reason))
    const bad = {
      oversized: Buffer.from('01000000', 'hex'),
      negative: Buffer.from('ffffffff', 'hex'),
      tooShort: Buffer.from('00000003', 'hex'),
      headerBeyondFrame: Buffer.from('0000000800001000aaaaaaaa', 'hex'),
      serializeType: Buffer.from('0000000405000000', 'hex'),
      emptyHeader: Buffer.from('0000000400000000', 'hex'),
      noJson: Buffer.concat([Buffer.from('0000000800000004', 'hex'), Buffer.from('{"c:')]),
      tls: Buffer.from('16030100c8010000', 'hex'),
      http: Buffer.from('GET / HTTP/1.1\r\n\r\n')
    }
    for (const bytes of Object.values(bad)) {
      const peer = await connect(t, server)
      peer.write(bytes)
      await peer.end()
    }
    t.equal(reasons.length, Object.keys(bad).length)
    t.ok(
      reasons.every(reason => reason.startsWith('malformed frame: ')),
      reasons.join('\n')
    )
    for (let n = 0; n < 20; n++) {
      const peer = await connect(t, server)
      peer.write(bad.negative)
      await peer.end()
    }
    t.equal(logger.messages('warn').length, 10)
    t.equal((await other.ask(numbered(request(ECHO), 1))).code, 0)
  }
)

t.test(
  'mutated and truncated frames never stop the server, nor hurt other connections',
  async t => {
    const server = await startServer(t)
    const other = await connect(t, server)
    const seeds = ['0034-HEART_BEAT', '0310-SEND_MESSAGE_V2', '0011-PULL_MESSAGE'].flatMap(name =>
      (JSON.parse(readFileSync(`test/vectors/remoting/${name}.json`, 'utf8')) as Recorded[]).map(
        ({ request: { frame } }) => Buffer.from(frame, 'base64')
      )
    )
    const random = lehmer(20_261_121)
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(seeds[random(seeds.length)]!)
      for (let flips = random(8); flips >= 0; flips--) bytes[random(bytes.length)] = random(256)
      const peer = await connect(t, server)
      peer.socket.end(bytes.subarray(0, 1 + random(bytes.length)))
      await peer.end()
      if (round % 50 === 0) t.equal((await other.ask(numbered(request(ECHO), round))).code, 0)
    }
    await until(() => server.connections.size === 1)
    t.equal((await other.ask(numbered(request(ECHO), 999))).code, 0)
  }
)

interface Recorded {
  request: { frame: string }
}

/** The same numbers each run, below `limit`. */
function lehmer(seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state = (state * 48_271) % 2_147_483_647
    return state % limit
  }
}

t.test('an answer above the frame limit becomes an error', async t => {
  const server = await startServer(t, { limits: { frameBytesMax: 10_000 } })
  server.handle(BIG, () => response(0, null, null, Buffer.alloc(20_000)))
  const peer = await connect(t, server)
  const answer = await peer.ask(numbered(request(BIG), 1))
  t.equal(answer.code, ResponseCode.SYSTEM_ERROR)
  t.match(answer.remark, /the answer has 20\d\d\d bytes, a frame may have 10000/)
})

t.test('nothing more is read from a client that does not read its answers', async t => {
  const server = await startServer(t)
  const body = Buffer.alloc(100_000, 'y')
  let handled = 0
  server.handle(BIG, () => {
    handled += 1
    return response(0, null, null, body)
  })
  const peer = await connect(t, server)
  peer.socket.pause()
  const count = 2_000
  const frames = Array.from({ length: count }, (_, n) => bytesOf(numbered(request(BIG), n)))
  peer.write(Buffer.concat(frames))
  await until(() => [...server.connections].some(one => one.bufferedBytes > 1_048_576))
  // The other connection's round trips give the server many turns to do wrong.
  const other = await connect(t, server)
  for (let n = 0; n < 200; n++) await other.ask(numbered(request(ECHO), n))
  const handledWhileStalled = handled
  t.ok(handledWhileStalled < 200, `${handledWhileStalled} of ${count} requests were handled`)
  const [stalled] = server.connections
  t.ok(stalled!.bufferedBytes < 4 * 1_048_576, `${stalled!.bufferedBytes} bytes wait`)
  peer.socket.resume()
  const answers = await peer.frames(count)
  t.equal(answers.at(-1)!.opaque, count - 1)
  t.equal(handled, count)
})

t.test('a client that takes nothing of its answers for too long is dropped', async t => {
  const fake = new FakeClock()
  const server = await startServer(t, { clock: fake, limits: { outputStallMs: 5_000 } })
  server.handle(BIG, () => response(0, null, null, Buffer.alloc(8 * 1_048_576)))
  let reason = ''
  server.onClose((_, why) => {
    reason = why
  })
  const peer = await connect(t, server)
  peer.socket.pause()
  peer.send(numbered(request(BIG), 1))
  await until(() => [...server.connections].some(one => one.bufferedBytes > 0))
  fake.advance(4_000)
  t.equal([...server.connections][0]!.closed, false)
  fake.advance(3_000)
  await until(() => server.connections.size === 0)
  t.match(reason, /took none of \d+ waiting bytes for 5000 ms/)
})

t.test('output above the hard limit drops the connection', async t => {
  const server = await startServer(t, { limits: { outputMaxBytes: 2 * 1_048_576 } })
  const held: (() => void)[] = []
  server.handle(HELD, (command, connection) => {
    held.push(() => connection.respond(command, response(0, null, null, Buffer.alloc(1_000_000))))
    return null
  })
  let reason = ''
  server.onClose((_, why) => {
    reason = why
  })
  const peer = await connect(t, server)
  peer.socket.pause()
  for (let n = 0; n < 50; n++) peer.send(numbered(request(HELD), n))
  await until(() => held.length === 50)
  for (const release of held) release()
  await until(() => server.connections.size === 0)
  t.match(reason, /bytes of output wait, limit 2097152/)
})

t.test(
  'when all output together is over the limit, the connection with the most is dropped',
  async t => {
    const server = await startServer(t, { limits: { outputTotalMaxBytes: 12 * 1_048_576 } })
    server.handle(BIG, ({ extFields }) =>
      response(0, null, null, Buffer.alloc(Number(extFields!['bytes'])))
    )
    const closed: Connection[] = []
    server.onClose(connection => closed.push(connection))
    const [small, large] = [await connect(t, server), await connect(t, server)]
    const [smallSide, largeSide] = server.connections
    small.socket.pause()
    large.socket.pause()
    small.send(numbered(request(BIG, { bytes: String(6 * 1_048_576) }), 1))
    await until(() => smallSide!.bufferedBytes > 0)
    large.send(numbered(request(BIG, { bytes: String(14 * 1_048_576) }), 1))
    await until(() => closed.length > 0)
    t.strictSame(
      closed.map(one => one.id),
      [largeSide!.id]
    )
  }
)

t.test('unfinished frames of all connections together are bounded', async t => {
  const server = await startServer(t, { limits: { inputTotalMaxBytes: 1_000_000 } })
  let reason = ''
  server.onClose((_, why) => {
    reason = why
  })
  const head = Buffer.from('00f00000', 'hex')
  const [first, second] = [await connect(t, server), await connect(t, server)]
  first.write(Buffer.concat([head, Buffer.alloc(300_000)]))
  second.write(Buffer.concat([head, Buffer.alloc(900_000)]))
  await second.end()
  t.match(reason, /unfinished frames of all connections/)
  t.equal(server.connections.size, 1)
})

t.test('requests whose handlers are still at work are bounded for each connection', async t => {
  const server = await startServer(t, { limits: { handlingMax: 10 } })
  const open: (() => void)[] = []
  server.handle(HELD, () => new Promise(resolve => open.push(() => resolve(response(0)))))
  const peer = await connect(t, server)
  for (let n = 0; n < 25; n++) peer.send(numbered(request(HELD), n))
  await until(() => open.length === 10)
  const other = await connect(t, server)
  for (let n = 0; n < 50; n++) await other.ask(numbered(request(ECHO), n))
  t.equal(open.length, 10)
  while (peer.received.length < 25) {
    for (const release of open.splice(0)) release()
    await new Promise(setImmediate)
  }
  t.equal(peer.received.length, 25)
})

t.test(
  'what a handler was given stays as it was, and so does what waits, whatever comes meanwhile',
  async t => {
    const server = await startServer(t, { limits: { handlingMax: 10 } })
    const open: (() => void)[] = []
    server.handle(
      HELD,
      ({ body }) => new Promise(resolve => open.push(() => resolve(response(0, null, null, body))))
    )
    const bodies = Array.from({ length: 25 }, (_, n) => Buffer.alloc(3000, `body ${n} `))
    const peer = await connect(t, server)
    peer.write(
      Buffer.concat(bodies.map((body, n) => bytesOf(numbered(request(HELD, {}, body), n))))
    )
    await until(() => open.length === 10)
    const other = await connect(t, server)
    for (let n = 0; n < 10; n++) {
      await other.ask(numbered(request(ECHO, {}, Buffer.alloc(300_000, 'another body')), n))
    }
    while (peer.received.length < bodies.length) {
      for (const release of open.splice(0)) release()
      await new Promise(setImmediate)
    }
    for (const { opaque, body } of await peer.frames(bodies.length)) {
      t.ok(body?.equals(bodies[opaque]!), `body ${opaque}`)
    }
  }
)

t.test('idle connections are closed, those with traffic are not', async t => {
  const fake = new FakeClock()
  const server = await startServer(t, { clock: fake })
  const [idle, busy] = [await connect(t, server), await connect(t, server)]
  await until(() => server.connections.size === 2)
  fake.advance(100_000)
  await busy.ask(numbered(request(ECHO), 1))
  fake.advance(30_000)
  await idle.end()
  t.equal((await busy.ask(numbered(request(ECHO), 2))).code, 0)
  t.equal(server.connections.size, 1)
})

t.test('connections above the limit are refused', async t => {
  const server = await startServer(t, { limits: { connectionsMax: 2 } })
  const [first] = [await connect(t, server), await connect(t, server)]
  await until(() => server.connections.size === 2)
  // Reset: the client may learn of it before it knows that it was connected.
  await t.rejects(async () => {
    const third = await connect(t, server)
    await third.until(() => false)
  }, /ECONNRESET|closed the connection/)
  t.equal((await first!.ask(numbered(request(ECHO), 1))).code, 0)
})

t.test('a connection knows its addresses', async t => {
  const server = await startServer(t, { host: undefined })
  const seen: Connection[] = []
  server.onConnection(connection => seen.push(connection))
  const peer = await connect(t, server)
  await until(() => seen.length === 1)
  const port = peer.socket.localPort!
  t.equal(seen[0]!.remoteAddress, `127.0.0.1:${port}`)
  t.equal(seen[0]!.localHost, '127.0.0.1')
  t.equal(seen[0]!.remoteHostBytes.toString('hex'), `7f000001${port.toString(16).padStart(8, '0')}`)
})

t.test('a thousand parallel requests find their answers, whatever the order', async t => {
  const server = await startServer(t)
  server.handle(HELD, async ({ extFields }) => {
    const n = Number(extFields!['n'])
    for (let turn = 0; turn < n % 7; turn++) await new Promise(setImmediate)
    return response(0, null, { n: String(n) })
  })
  const client = startClient(t)
  const address = `127.0.0.1:${server.port}`
  const answers = await Promise.all(
    Array.from({ length: 1_000 }, (_, n) =>
      client.invoke(address, request(HELD, { n: String(n) }), 30_000)
    )
  )
  t.strictSame(
    answers.map(answer => Number(answer.extFields!['n'])),
    Array.from({ length: 1_000 }, (_, n) => n)
  )
  t.equal(server.connections.size, 1)
})

t.test('a server asks its clients, and both number spaces may overlap', async t => {
  const server = await startServer(t)
  const seen: string[] = []
  const client = startClient(t)
  client.onRequest(RequestCode.CHECK_TRANSACTION_STATE, ({ extFields }, connection) => {
    seen.push(connection.remoteAddress)
    return response(0, null, { got: extFields!['q']! })
  })
  server.handle(HELD, async (command, connection) => {
    const answer = await connection.invoke(
      request(RequestCode.CHECK_TRANSACTION_STATE, { q: command.extFields!['n']! }),
      5_000
    )
    return response(0, null, { relayed: answer.extFields!['got']! })
  })
  const address = `127.0.0.1:${server.port}`
  const answers = await Promise.all(
    [1, 2, 3].map(n => client.invoke(address, request(HELD, { n: String(n) }), 5_000))
  )
  t.strictSame(
    answers.map(answer => answer.extFields!['relayed']),
    ['1', '2', '3']
  )
  t.strictSame(seen, [address, address, address])
})

t.test('one-way requests reach the other side, in both directions', async t => {
  const server = await startServer(t)
  const got: string[] = []
  server.handle(HELD, ({ flag }, connection) => {
    got.push(`server ${flag}`)
    connection.oneway(request(HOT))
    return response(0)
  })
  const client = startClient(t)
  client.onRequest(HOT, ({ flag }) => {
    got.push(`client ${flag}`)
    return response(0)
  })
  await client.oneway(`127.0.0.1:${server.port}`, request(HELD))
  await until(() => got.length === 2)
  t.strictSame(got, ['server 2', 'client 2'])
})

async function failureOf(promise: Promise<unknown>): Promise<RemotingError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof RemotingError) return error
    throw error
  }
  throw new Error('it did not fail')
}

t.test(
  'requests in flight fail at once when the connection ends, and the next one connects again',
  async t => {
    const server = await startServer(t)
    const connections: Connection[] = []
    server.onConnection(connection => connections.push(connection))
    server.handle(HELD, () => null)
    const client = startClient(t)
    const gone: string[] = []
    client.onDisconnect(connection => gone.push(connection.remoteAddress))
    const address = `127.0.0.1:${server.port}`
    const waiting = [1, 2, 3].map(() => failureOf(client.invoke(address, request(HELD), 60_000)))
    await client.invoke(address, request(ECHO), 5_000)
    connections[0]!.close('test')
    for (const error of await Promise.all(waiting)) {
      t.equal(error.code, 'LMQ_CONNECTION_CLOSED')
      t.equal(error.retryable, true)
      t.equal(error.mayHaveRun, true)
    }
    t.equal((await client.invoke(address, request(ECHO), 5_000)).code, 0)
    t.strictSame(gone, [address])
    t.equal(connections.length, 2)
  }
)

t.test('a refused connection fails everything that waits for it, as not sent', async t => {
  const server = await startServer(t)
  const address = `127.0.0.1:${server.port}`
  await server.stop()
  const client = startClient(t)
  const error = await failureOf(client.invoke(address, request(ECHO), 5_000))
  t.equal(error.code, 'LMQ_CONNECT_FAILED')
  t.equal(error.mayHaveRun, false)
  t.equal((await failureOf(client.oneway(address, request(ECHO)))).code, 'LMQ_CONNECT_FAILED')
  t.equal((await failureOf(client.invoke('nonsense', request(ECHO), 1))).code, 'LMQ_BAD_ADDRESS')
})

t.test('a request without an answer fails after its time, a late answer is dropped', async t => {
  const fake = new FakeClock()
  const server = await startServer(t)
  let release: (() => void) | null = null
  server.handle(HELD, (command, connection) => {
    release = () => connection.respond(command, response(0))
    return null
  })
  const client = startClient(t, { clock: fake })
  const address = `127.0.0.1:${server.port}`
  let over = false
  const failure = failureOf(client.invoke(address, request(HELD), 3_000)).finally(() => {
    over = true
  })
  await until(() => release !== null)
  fake.advance(3_000)
  await new Promise(setImmediate)
  t.equal(over, false, 'not before its time')
  fake.advance(200)
  t.equal((await failure).code, 'LMQ_REQUEST_TIMEOUT')
  release!()
  t.equal((await client.invoke(address, request(ECHO), 3_000)).code, 0)
})

t.test('requests of a client are bounded in number and size', async t => {
  const server = await startServer(t)
  let held = 0
  server.handle(HELD, () => {
    held += 1
    return null
  })
  const client = startClient(t, { limits: { invocationsMax: 2, frameBytesMax: 10_000 } })
  const address = `127.0.0.1:${server.port}`
  const tooLarge = client.invoke(address, request(ECHO, null, Buffer.alloc(20_000)), 5_000)
  t.equal((await failureOf(tooLarge)).code, 'LMQ_FRAME_TOO_LARGE')
  const waiting = [1, 2].map(() => failureOf(client.invoke(address, request(HELD), 60_000)))
  const third = await failureOf(client.invoke(address, request(ECHO), 5_000))
  t.equal(third.code, 'LMQ_TOO_MANY_REQUESTS')
  await until(() => held === 2)
  await client.close()
  for (const error of await Promise.all(waiting)) t.equal(error.code, 'LMQ_CONNECTION_CLOSED')
  t.equal((await failureOf(client.invoke(address, request(ECHO), 5_000))).code, 'LMQ_CLOSED')
})

t.test('a client keeps few connections: the one idle longest makes room', async t => {
  const servers = [await startServer(t), await startServer(t), await startServer(t)]
  const client = startClient(t, { limits: { connectionsMax: 2 } })
  for (const server of servers) {
    await client.invoke(`127.0.0.1:${server.port}`, request(ECHO), 5_000)
  }
  await until(() => servers[0]!.connections.size === 0)
  t.equal(servers[1]!.connections.size + servers[2]!.connections.size, 2)
})

t.test('a stopping server delivers what it has answered and leaves no timer', async t => {
  const fake = new FakeClock()
  const server = new RemotingServer({
    clock: fake,
    network,
    logger: silentLogger,
    host: '127.0.0.1',
    port: 0
  })
  const body = Buffer.alloc(3_000_000, 'z')
  let stopped: Promise<void> | null = null
  server.handle(BIG, (command, connection) => {
    connection.respond(command, response(0, null, null, body))
    stopped = server.stop()
    return null
  })
  await server.start()
  const peer = await RawPeer.connect(server.port)
  const answer = await peer.ask(numbered(request(BIG), 1))
  t.ok(answer.body?.equals(body))
  await peer.end()
  await stopped
  t.equal(fake.timers, 0)
})

t.test('a stopping server does not wait for a client that never reads', async t => {
  const fake = new FakeClock()
  const server = await startServer(t, { clock: fake })
  server.handle(BIG, () => response(0, null, null, Buffer.alloc(8_000_000)))
  const peer = await connect(t, server)
  peer.socket.pause()
  peer.send(numbered(request(BIG), 1))
  await until(() => [...server.connections].some(one => one.bufferedBytes > 0))
  const stopped = server.stop()
  fake.advance(1_000)
  await stopped
  t.equal(server.connections.size, 0)
})

t.test('a quiet server answers what it took and takes nothing more', async t => {
  const server = await startServer(t)
  let taken = 0
  let answer: () => void = () => {}
  server.handle(HELD, command => {
    taken += 1
    return new Promise(resolve => {
      answer = () => resolve(response(0, null, { opaque: String(command.opaque) }))
    })
  })
  const peer = await connect(t, server)
  peer.send(numbered(request(HELD), 1))
  await until(() => taken === 1)
  server.quiesce()
  peer.send(numbered(request(HELD), 2))
  answer()
  const [first] = await peer.frames(1)
  t.equal(first?.opaque, 1)
  await server.stop()
  t.equal(taken, 1, 'the second was not begun, so its sender may repeat it elsewhere')
})
