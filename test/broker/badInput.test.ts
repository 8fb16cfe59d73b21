import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { encodeCommand, RequestCode, ResponseCode } from '../../src/protocol/index.ts'
import { RawPeer } from '../helpers/rawPeer.ts'
import { platform, serving, startBroker, TestClient, until } from './helpers.ts'

const vectors = 'test/vectors/remoting'
/** Share of the whole test's time for mutated frames, ms; FUZZ_MS in the environment makes it longer. */
const fuzzMs = Number(process.env['FUZZ_MS'] ?? 1_500)

/** All recorded requests, whole frames. */
function recordedFrames(): Buffer[] {
  const frames: Buffer[] = []
  for (const name of readdirSync(vectors)) {
    const exchanges = JSON.parse(readFileSync(`${vectors}/${name}`, 'utf8')) as {
      request?: { frame?: string }
    }[]
    for (const exchange of exchanges)
      if (exchange.request?.frame !== undefined)
        frames.push(Buffer.from(exchange.request.frame, 'base64'))
  }
  return frames
}

/** Xorshift: the same failures come again with the same seed. */
function chance(seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}

t.test('what no client sends costs at most its connection', async t => {
  const broker = await startBroker(t)
  await serving(broker)
  const client = new TestClient(t, broker.address)
  await client.send('Alive', 'before')
  const frames = recordedFrames()
  t.ok(frames.length > 100)

  t.test('mutated frames of real clients', async t => {
    const below = chance(0x5eed)
    const endMs = platform.clock.monotonicMs() + fuzzMs
    let sent = 0
    while (platform.clock.monotonicMs() < endMs) {
      const peer = await RawPeer.connect(broker.server.port)
      for (let i = 0; i < 50; i++) {
        const frame = Buffer.from(frames[below(frames.length)]!)
        for (let flips = below(4); flips >= 0; flips--)
          frame[4 + below(frame.length - 4)] = below(256)
        peer.write(frame)
        sent++
      }
      // The broker reads it all before it is asked: one connection after the other is enough.
      peer.write(Buffer.concat(encodeCommand({ ...client.command(31_998), opaque: 77_777 })))
      await peer.until(
        () => peer.closed || peer.received.some(answer => answer.opaque === 77_777),
        true
      )
      peer.socket.destroy()
    }
    t.ok(sent > 50, `${sent} frames`)
    t.equal((await client.send('Alive', 'after')).code, 0)
  })

  t.test('headers with missing, endless and senseless fields', async t => {
    for (const code of [...Object.values(RequestCode).filter(one => one < 30_000), -1, 30_000]) {
      const answer = await client.ask(
        code,
        { topic: 'x'.repeat(5_000), queueId: 'NaN' },
        Buffer.from('{{{'),
        5_000
      )
      t.ok(answer.code !== ResponseCode.SUCCESS || answer.remark === null, `code ${code}`)
    }
    t.equal((await client.read('Alive', 0))[0]?.body.toString(), 'before')
  })

  t.test(
    'a client that never reads its answers is let go, others are served meanwhile',
    async t => {
      for (let i = 0; i < 20; i++) await client.send('Fat', Buffer.alloc(200_000, i))
      const peer = await RawPeer.connect(broker.server.port)
      peer.socket.pause()
      const pull = client.command(RequestCode.PULL_MESSAGE, {
        consumerGroup: 'G',
        topic: 'Fat',
        queueId: 0,
        queueOffset: 0,
        maxMsgNums: 32,
        sysFlag: 4,
        commitOffset: 0,
        suspendTimeoutMillis: 0,
        subscription: '*',
        subVersion: 0
      })
      for (let i = 0; i < 2_000; i++)
        peer.write(Buffer.concat(encodeCommand({ ...pull, opaque: i })))
      await until(() =>
        [...broker.server.connections].some(connection => connection.bufferedBytes > 0)
      )
      const buffered = Math.max(...[...broker.server.connections].map(one => one.bufferedBytes))
      t.ok(buffered < 64 * 1_048_576, `${buffered} bytes wait for it`)
      t.equal((await client.send('Alive', 'meanwhile')).code, 0)
      peer.socket.destroy()
    }
  )
})
