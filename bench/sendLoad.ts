/**
 * The load of the send path, as a process of its own: checks every acknowledgement, and reports throughput, latency and the CPU
 * time of the processes named.
 *
 *   node build/bench/sendLoad.js --address HOST:PORT --topic T --size 1024 --connections 4 --inflight 64 --seconds 10
 *        --serialize json|binary --batch N --queues 4 --topics 1 --rate N --messages N --rotate --pid leader=123 --pid f1=124
 *
 * Without `--rate` a closed loop: a fixed number of sends is open on each connection. With it an open loop: so many messages a second
 * are due, at most `--inflight` sends are open on each connection, and latencies count from when a send was due (slots.ts).
 * `--messages` ends the load after so many, however long that takes; nothing is measured then but the time.
 * `--topics N` sends to T-0 … T-(N-1). `--rotate` gives each send the next queue; without it each open send keeps its queue, which
 * is cheaper and reaches no more queues than sends are open.
 * One line of JSON on the standard output; it counts what was refused.
 */
import net from 'node:net'
import process from 'node:process'
import { parseArgs } from 'node:util'
import {
  CommandPeek,
  encodeBatch,
  encodeCommand,
  encodeProperties,
  type Frame,
  FrameReader,
  peekCommand,
  RequestCode,
  ResponseCode,
  request,
  SerializeType
} from '../src/protocol/index.ts'
import { costs, cpuOf, watchedProcesses } from './processes.ts'
import { beginSchedule, NONE, nowUs, type Slots, scheduleOf, slotsOf } from './slots.ts'
import { Window } from './window.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    topic: { type: 'string', default: 'BenchmarkTest' },
    size: { type: 'string', default: '1024' },
    connections: { type: 'string', default: '4' },
    inflight: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    serialize: { type: 'string', default: 'json' },
    batch: { type: 'string', default: '1' },
    queues: { type: 'string', default: '4' },
    topics: { type: 'string', default: '1' },
    rate: { type: 'string', default: '0' },
    messages: { type: 'string', default: '0' },
    rotate: { type: 'boolean', default: false },
    pid: { type: 'string', multiple: true, default: [] }
  }
})

const size = Number(values.size)
const connectionCount = Number(values.connections)
const inflight = Number(values.inflight)
const batch = Number(values.batch)
const queueCount = Number(values.queues)
const topicCount = Number(values.topics)
const rate = Number(values.rate)
const messagesMax = Number(values.messages)
const [host = '127.0.0.1', port = '10911'] = (values.address ?? '').split(':')
const serializeType = values.serialize === 'binary' ? SerializeType.ROCKETMQ : SerializeType.JSON
const FRAME_BYTES_MAX = 16 * 1024 * 1024
const window = new Window()
const schedule = scheduleOf(rate / batch, connectionCount)

/** Send frames, one for each queue, whose opaque can be changed: nothing else differs between two sends to a queue. */
class Template {
  readonly #queueFrames: { bytes: Buffer; opaqueAt: number }[] = []

  constructor() {
    for (let topic = 0; topic < topicCount; topic += 1) {
      const name = topicCount === 1 ? values.topic! : `${values.topic}-${topic}`
      for (let queueId = 0; queueId < queueCount; queueId += 1)
        this.#queueFrames.push(frameFor(name, queueId))
    }
  }

  /** A frame for the `n`th of the queues, which belongs to the caller. */
  make(n: number, opaque: number): Buffer {
    const { bytes, opaqueAt } = this.#queueFrames[n % this.#queueFrames.length]!
    const copy = Buffer.from(bytes)
    if (serializeType === SerializeType.JSON) copy.write(String(opaque), opaqueAt, 'latin1')
    else copy.writeInt32BE(opaque, opaqueAt)
    return copy
  }
}

/** Six digits, so that every opaque has the same width in JSON. */
const OPAQUE_BASE = 100_000

function frameFor(topic: string, queueId: number): { bytes: Buffer; opaqueAt: number } {
  const body = Buffer.alloc(size, 'x')
  const properties = encodeProperties(
    new Map([
      ['TAGS', 'TagA'],
      ['WAIT', 'true']
    ])
  ).toString()
  const command = request(
    batch > 1 ? RequestCode.SEND_BATCH_MESSAGE : RequestCode.SEND_MESSAGE_V2,
    {
      a: 'bench_producer',
      b: topic,
      c: 'TBW102',
      d: String(queueCount),
      e: String(queueId),
      f: '0',
      g: String(Date.now()),
      h: '0',
      i: properties,
      j: '0',
      k: 'false',
      m: String(batch > 1)
    },
    batch > 1
      ? encodeBatch(
          Array.from({ length: batch }, () => ({
            flag: 0,
            body,
            properties: Buffer.from(properties)
          }))
        )
      : body
  )
  command.serializeType = serializeType
  command.opaque = OPAQUE_BASE
  const bytes = Buffer.concat(encodeCommand(command))
  const mark = serializeType === SerializeType.JSON ? '"opaque":' : ''
  const opaqueAt =
    serializeType === SerializeType.JSON ? bytes.indexOf(mark) + mark.length : 8 + 2 + 1 + 2
  return { bytes, opaqueAt }
}

/** For `--messages`: how many are sent, and how many of them acknowledged. */
let sent = 0
let acknowledged = 0
let allAcknowledged: () => void = () => {}

class Connection {
  /** It is connected. */
  readonly ready: Promise<void>
  readonly #socket: net.Socket
  readonly #reader = new FrameReader(FRAME_BYTES_MAX)
  readonly #peek = new CommandPeek()
  readonly #template: Template
  readonly #slots: Slots
  /** A slot's frame may be written again: the slot is never open twice. */
  readonly #frames: Buffer[] = []
  /** Of the queue that gets the next send, with `--rotate`. */
  #turn: number

  constructor(template: Template, number: number) {
    this.#template = template
    this.#slots = slotsOf(schedule, number, inflight)
    this.#turn = Math.floor((number * topicCount * queueCount) / connectionCount)
    for (let slot = 0; slot < inflight && !values.rotate; slot += 1) {
      this.#frames.push(template.make(slot, OPAQUE_BASE + slot))
    }
    this.#socket = net.connect({ host, port: Number(port), noDelay: true })
    this.#socket.on('data', chunk => this.#read(chunk))
    this.#socket.on('error', error => fail(error.message))
    this.#socket.on('close', () => fail('the broker closed the connection'))
    this.ready = new Promise(resolve => {
      this.#socket.on('connect', () => {
        this.look()
        resolve()
      })
    })
  }

  /** Sends what is due. */
  look(): void {
    this.#send(nowUs())
  }

  #read(chunk: Buffer): void {
    this.#reader.push(chunk)
    const now = nowUs()
    for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
      this.#answer(frame, now)
    }
    this.#send(now)
  }

  #answer(frame: Frame, now: number): void {
    if (!peekCommand(frame, this.#peek)) fail('an answer that does not parse')
    const slot = this.#peek.opaque - OPAQUE_BASE
    if (slot < 0 || slot >= inflight) fail(`an answer to ${this.#peek.opaque}, which was not asked`)
    const startedUs = this.#slots.release(slot)
    if (this.#peek.code === ResponseCode.SUCCESS) {
      window.acknowledge(startedUs, now)
      acknowledged += batch
      if (acknowledged === messagesMax) allAcknowledged()
    } else {
      const why = `${this.#peek.code} ${frame.header.toString('latin1').slice(0, 300)}`
      if (messagesMax > 0) fail(why)
      window.refuse(why)
    }
  }

  #send(now: number): void {
    this.#socket.cork()
    while (messagesMax === 0 || sent < messagesMax) {
      const slot = this.#slots.take(now)
      if (slot === NONE) break
      sent += batch
      this.#socket.write(this.#frameOf(slot))
    }
    this.#socket.uncork()
  }

  #frameOf(slot: number): Buffer {
    if (!values.rotate) return this.#frames[slot]!
    this.#turn += 1
    return this.#template.make(this.#turn, OPAQUE_BASE + slot)
  }
}

function fail(why: string): never {
  console.error(why)
  process.exit(1)
}

async function untilAll(): Promise<object> {
  const before = cpuOf(watched)
  const beganUs = nowUs()
  await new Promise<void>(resolve => {
    allAcknowledged = resolve
  })
  const seconds = (nowUs() - beganUs) / 1_000_000
  return {
    messages: acknowledged,
    messagesPerSecond: Math.round(acknowledged / seconds),
    ...costs(watched, before, acknowledged)
  }
}

if (messagesMax % batch !== 0) fail(`--messages ${messagesMax} is no multiple of ${batch}`)
const watched = watchedProcesses(values.pid)
const template = new Template()
const connections = Array.from({ length: connectionCount }, (_, i) => new Connection(template, i))
await Promise.all(connections.map(({ ready }) => ready))
beginSchedule(
  schedule,
  connections.map(connection => () => connection.look())
)
const report =
  messagesMax > 0
    ? await untilAll()
    : await window.measure(Number(values.warmup), Number(values.seconds), watched, batch)
console.log(
  JSON.stringify({
    size,
    connections: connectionCount,
    inflight,
    batch,
    serialize: values.serialize,
    ...(rate > 0 ? { targetPerSecond: rate } : {}),
    ...report
  })
)
process.exit(0)
