import { execFile } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { Report } from '../../bench/window.ts'
import {
  decodeCommand,
  encodeCommand,
  FrameReader,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response
} from '../../src/protocol/index.ts'

const exec = promisify(execFile)

type Answer = (asked: RemotingCommand) => RemotingCommand

/** A broker as far as the loads can tell; all its answers wait while it is stalled. */
class Broker {
  readonly asked: RemotingCommand[] = []
  readonly #server: net.Server
  readonly #sockets = new Set<net.Socket>()
  #stalled: (() => void)[] | null = null

  constructor(answer: Answer) {
    this.#server = net.createServer({ noDelay: true }, socket => {
      const reader = new FrameReader()
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('data', chunk => {
        reader.push(chunk)
        for (let frame = reader.next(); frame !== null; frame = reader.next()) {
          const asked = decodeCommand(frame)
          this.asked.push(asked)
          const reply = answer(asked)
          reply.opaque = asked.opaque
          const send = (): void => void socket.write(Buffer.concat(encodeCommand(reply)))
          if (this.#stalled === null) send()
          else this.#stalled.push(send)
        }
      })
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`
  }

  stall(ms: number): void {
    this.#stalled = []
    setTimeout(() => {
      const waiting = this.#stalled ?? []
      this.#stalled = null
      for (const send of waiting) send()
    }, ms)
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

function stored(): RemotingCommand {
  return response(ResponseCode.SUCCESS)
}

async function run<T = Report>(program: string, ...args: string[]): Promise<T> {
  const path = join(import.meta.dirname, '../../bench', program)
  const { stdout } = await exec(process.execPath, [path, ...args])
  return JSON.parse(stdout) as T
}

async function brokerFor(t: Test, answer: Answer): Promise<{ broker: Broker; at: string[] }> {
  const broker = new Broker(answer)
  t.teardown(() => broker.close())
  return { broker, at: ['--address', await broker.listen()] }
}

t.test('an open loop keeps its rate, and a stall delays all sends that were due in it', async t => {
  const stallMs = 400
  let sends = 0
  const { broker, at } = await brokerFor(t, () => {
    sends += 1
    // In the window, which goes from half a second on to two and a half.
    if (sends === 700) broker.stall(stallMs)
    return stored()
  })
  const load = ['--rate', '500', '--warmup', '0.5', '--seconds', '2']
  // Four sends in a thousand would be slow if only those counted that were written before the stall.
  const report = await run('sendLoad.js', ...at, ...load, '--connections', '1', '--inflight', '4')
  t.equal(report.targetPerSecond, 500)
  t.ok(report.messagesPerSecond > 250 && report.messagesPerSecond < 1000)
  t.ok(report.longestPauseMs! >= stallMs * 0.9)
  t.ok(report.maxMs! >= stallMs * 0.9)
  t.ok(report.p99Ms! >= stallMs * 0.7)
  t.equal(report.refused, 0)
})

t.test('a load of so many messages sends exactly these, to all queues in turn', async t => {
  const { broker, at } = await brokerFor(t, stored)
  const load = [
    '--connections',
    '1',
    '--messages',
    '240',
    '--topic',
    'T',
    '--topics',
    '3',
    '--queues',
    '4',
    '--rotate'
  ]
  const report = await run<{ messages: number }>('sendLoad.js', ...at, ...load, '--size', '10')
  t.equal(report.messages, 240)
  t.equal(broker.asked.length, 240)
  const counts = new Map<string, number>()
  for (const { extFields } of broker.asked) {
    const queue = `${extFields?.['b']} ${extFields?.['e']}`
    counts.set(queue, (counts.get(queue) ?? 0) + 1)
  }
  t.equal(counts.size, 12)
  t.ok(counts.has('T-2 3'))
  t.ok([...counts.values()].every(count => count === 20))
})

t.test('a load of so many messages ends with the first that is refused', async t => {
  const { at } = await brokerFor(t, () => response(ResponseCode.SYSTEM_ERROR, 'no room'))
  await t.rejects(run('sendLoad.js', ...at, '--messages', '32', '--batch', '32'), /no room/)
})

const QUEUE_MESSAGES = 6
const MESSAGE_BYTES = 20

/** Two messages a pull, to the end of the queue. */
function pulled({ code, extFields }: RemotingCommand): RemotingCommand {
  if (code === RequestCode.GET_MAX_OFFSET) {
    return response(ResponseCode.SUCCESS, null, { offset: String(QUEUE_MESSAGES - 2) })
  }
  const offset = Number(extFields?.['queueOffset'])
  if (offset >= QUEUE_MESSAGES) {
    return response(ResponseCode.PULL_NOT_FOUND, null, { nextBeginOffset: String(offset) })
  }
  const body = Buffer.alloc(2 * MESSAGE_BYTES)
  for (const at of [0, MESSAGE_BYTES]) body.writeInt32BE(MESSAGE_BYTES, at)
  return response(ResponseCode.SUCCESS, null, { nextBeginOffset: String(offset + 2) }, body)
}

t.test('a reader takes each queue from its start to its end', async t => {
  const { broker, at } = await brokerFor(t, pulled)
  const report = await run<{ messages: number }>('pullLoad.js', ...at, '--queues', '3')
  t.equal(report.messages, 3 * QUEUE_MESSAGES)
  const offsets = broker.asked
    .filter(({ extFields }) => extFields?.['queueId'] === '2')
    .map(({ extFields }) => Number(extFields?.['queueOffset']))
  t.same(offsets, [0, 2, 4, 6])
})

t.test('a reader begins again at the end of a queue, for the given time', async t => {
  const { broker, at } = await brokerFor(t, pulled)
  const times = ['--warmup', '0.1', '--seconds', '0.3']
  const report = await run('pullLoad.js', ...at, '--queues', '2', '--mode', 'again', ...times)
  t.ok(report.messagesPerSecond > 0)
  const starts = broker.asked.filter(({ extFields }) => extFields?.['queueOffset'] === '0')
  t.ok(starts.length > 2)
})

t.test('groups follow from the end on, wait for messages, and tell how far they are', async t => {
  const { broker, at } = await brokerFor(t, pulled)
  // What is there at the start is two messages for each of three groups; nothing comes later.
  const reading = run('pullLoad.js', ...at, '--queues', '1', '--mode', 'follow', '--groups', '3')
  const ended = t.rejects(reading, /the broker closed the connection|ECONNRESET/)
  while (broker.asked.length < 9) await new Promise(resolve => setTimeout(resolve, 10))
  const pulls = broker.asked.filter(({ code }) => code === RequestCode.PULL_MESSAGE).slice(0, 6)
  const groups = new Set(broker.asked.map(({ extFields }) => extFields?.['consumerGroup']))
  for (let i = 0; i < 3; i += 1) t.ok(groups.has(`bench_consumer_${i}`))
  for (const { extFields } of pulls) {
    t.ok(Number(extFields?.['queueOffset']) >= QUEUE_MESSAGES - 2)
    t.equal(extFields?.['commitOffset'], extFields?.['queueOffset'])
    t.equal(extFields?.['sysFlag'], '7')
  }
  broker.close()
  await ended
})
