/**
 * The load of the pull path, as a process of its own: reads the queues of a topic and counts the messages that come.
 *
 *   node build/bench/pullLoad.js --address HOST:PORT --topic T --queues 4 --messages 32 --mode once|again|follow
 *        --groups 1 --seconds 10 --warmup 2 --pid leader=123
 *
 * once: every queue from its start to its end, each by one connection. again: the same over and over for the given time. follow: what comes
 * from now on, for the given time, as consumers do: each group by one connection, pulls wait for messages and tell how far the group is.
 * One line of JSON on the standard output.
 */
import net from 'node:net'
import process from 'node:process'
import { parseArgs } from 'node:util'
import {
  decodeCommand,
  encodeCommand,
  type Frame,
  FrameReader,
  RequestCode,
  ResponseCode,
  request
} from '../src/protocol/index.ts'
import { costs, cpuOf, watchedProcesses } from './processes.ts'
import { nowUs } from './slots.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    topic: { type: 'string', default: 'BenchmarkTest' },
    queues: { type: 'string', default: '4' },
    messages: { type: 'string', default: '32' },
    mode: { type: 'string', default: 'once' },
    groups: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    pid: { type: 'string', multiple: true, default: [] }
  }
})
const [host = '127.0.0.1', port = '10911'] = (values.address ?? '').split(':')
const queueCount = Number(values.queues)
const MESSAGE_SIZE_BYTES = 4
const SUSPEND_MS = 15_000
/** `sysFlag` (PullSysFlag): the request carries its subscription; it may wait; it tells how far the group is. */
const SUBSCRIPTION = 4
const SUSPEND = 2
const COMMIT = 1

let messages = 0
let bytes = 0

/** Reads some queues by one connection, with one pull open for each. */
class Reader {
  readonly #socket: net.Socket
  readonly #reader = new FrameReader()
  readonly #group: string
  readonly #queueIds: readonly number[]
  #ended = 0
  readonly #done: () => void

  constructor(group: string, queueIds: readonly number[], done: () => void) {
    this.#group = group
    this.#queueIds = queueIds
    this.#done = done
    this.#socket = net.connect({ host, port: Number(port), noDelay: true })
    this.#socket.on('connect', () => {
      for (const queueId of queueIds) {
        if (values.mode === 'follow') this.#askEnd(queueId)
        else this.#pull(queueId, 0)
      }
    })
    this.#socket.on('error', error => fail(error.message))
    this.#socket.on('close', () => {
      if (this.#ended < queueIds.length) fail('the broker closed the connection')
    })
    this.#socket.on('data', chunk => {
      this.#reader.push(chunk)
      for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
        this.#answer(frame)
      }
    })
  }

  #answer(frame: Frame): void {
    const { code, remark, opaque, extFields, body } = decodeCommand(frame)
    // A queue has one request open at a time, which bears its number.
    const queueId = opaque
    switch (code) {
      case ResponseCode.SUCCESS:
        if (body !== null) count(body)
        this.#pull(queueId, Number(extFields?.['nextBeginOffset'] ?? extFields?.['offset']))
        return
      case ResponseCode.PULL_RETRY_IMMEDIATELY:
      case ResponseCode.PULL_OFFSET_MOVED:
        this.#pull(queueId, Number(extFields?.['nextBeginOffset']))
        return
      case ResponseCode.PULL_NOT_FOUND:
        if (values.mode === 'once') this.#end()
        else
          this.#pull(queueId, values.mode === 'again' ? 0 : Number(extFields?.['nextBeginOffset']))
        return
      default:
        fail(`code ${code}: ${remark}`)
    }
  }

  #end(): void {
    this.#ended += 1
    if (this.#ended < this.#queueIds.length) return
    this.#socket.destroy()
    this.#done()
  }

  #askEnd(queueId: number): void {
    const fields = { topic: values.topic!, queueId: String(queueId) }
    this.#ask(RequestCode.GET_MAX_OFFSET, queueId, fields)
  }

  #pull(queueId: number, offset: number): void {
    const follows = values.mode === 'follow'
    this.#ask(RequestCode.PULL_MESSAGE, queueId, {
      consumerGroup: this.#group,
      topic: values.topic!,
      queueId: String(queueId),
      queueOffset: String(offset),
      maxMsgNums: values.messages!,
      sysFlag: String(follows ? SUBSCRIPTION | SUSPEND | COMMIT : SUBSCRIPTION),
      commitOffset: follows ? String(offset) : '0',
      suspendTimeoutMillis: follows ? String(SUSPEND_MS) : '0',
      subscription: '*',
      subVersion: '0',
      expressionType: 'TAG'
    })
  }

  #ask(code: number, queueId: number, fields: Record<string, string>): void {
    const command = request(code, fields)
    command.opaque = queueId
    this.#socket.write(Buffer.concat(encodeCommand(command)))
  }
}

function count(body: Buffer): void {
  bytes += body.length
  for (let at = 0; at + MESSAGE_SIZE_BYTES <= body.length; at += body.readInt32BE(at)) {
    messages += 1
  }
}

function fail(why: string): never {
  console.error(why)
  process.exit(1)
}

function pause(seconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, seconds * 1000))
}

const queueIds = Array.from({ length: queueCount }, (_, queueId) => queueId)

/** Resolves when all queues are read to their ends; never in the other modes. */
async function readAll(): Promise<void> {
  const groups = Array.from({ length: Number(values.groups) }, (_, i) => `bench_consumer_${i}`)
  const lanes = groups.flatMap(group =>
    values.mode === 'follow'
      ? [{ group, queues: queueIds }]
      : queueIds.map(queueId => ({ group, queues: [queueId] }))
  )
  await Promise.all(
    lanes.map(
      ({ group, queues }) => new Promise<void>(resolve => new Reader(group, queues, resolve))
    )
  )
}

if (!['once', 'again', 'follow'].includes(values.mode!)) fail(`--mode ${values.mode}`)
const watched = watchedProcesses(values.pid)
const reading = readAll()
if (values.mode !== 'once') {
  await pause(Number(values.warmup))
  messages = 0
  bytes = 0
}
const before = cpuOf(watched)
const beganUs = nowUs()
await (values.mode === 'once' ? reading : pause(Number(values.seconds)))
const seconds = (nowUs() - beganUs) / 1_000_000
if (messages === 0) fail('no message came')
console.log(
  JSON.stringify({
    messages,
    messagesPerSecond: Math.round(messages / seconds),
    mibPerSecond: Math.round(bytes / seconds / 1_048_576),
    ...costs(watched, before, messages)
  })
)
process.exit(0)
