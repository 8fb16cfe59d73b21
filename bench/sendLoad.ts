/**
 * The load of the send path, as a process of its own: keeps a fixed number of sends open on each of a few connections
 * (closed loop), checks every acknowledgement, and reports throughput, latency and the CPU time of the processes named.
 *
 *   node build/bench/sendLoad.js --address HOST:PORT --topic T --size 1024 --connections 4 --inflight 64 --seconds 10
 *        --serialize json|binary --batch N --queues 4 --pid leader=123 --pid f1=124
 *
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
import { watchedProcesses } from './processes.ts'
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
    pid: { type: 'string', multiple: true, default: [] }
  }
})

const size = Number(values.size)
const connectionCount = Number(values.connections)
const inflight = Number(values.inflight)
const batch = Number(values.batch)
const queueCount = Number(values.queues)
const [host = '127.0.0.1', port = '10911'] = (values.address ?? '').split(':')
const serializeType = values.serialize === 'binary' ? SerializeType.ROCKETMQ : SerializeType.JSON
const FRAME_BYTES_MAX = 16 * 1024 * 1024
const window = new Window()

/** A send frame whose opaque can be changed in place: nothing else differs between two sends. */
class Template {
  readonly #queueFrames: { bytes: Buffer; opaqueAt: number }[] = []

  constructor() {
    for (let queueId = 0; queueId < queueCount; queueId += 1)
      this.#queueFrames.push(frameFor(queueId))
  }

  /** A frame of its own for the slot; the same slot is never open twice. */
  make(queueId: number, opaque: number): Buffer {
    const { bytes, opaqueAt } = this.#queueFrames[queueId]!
    const copy = Buffer.from(bytes)
    if (serializeType === SerializeType.JSON) copy.write(String(opaque), opaqueAt, 'latin1')
    else copy.writeInt32BE(opaque, opaqueAt)
    return copy
  }
}

/** Six digits, so that every opaque has the same width in JSON. */
const OPAQUE_BASE = 100_000

function frameFor(queueId: number): { bytes: Buffer; opaqueAt: number } {
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
      b: values.topic!,
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

class Connection {
  readonly #socket: net.Socket
  readonly #reader = new FrameReader(FRAME_BYTES_MAX)
  readonly #peek = new CommandPeek()
  readonly #startedUs: Float64Array = new Float64Array(inflight)
  readonly #frames: Buffer[] = []
  #answered: number[] = []

  constructor(template: Template) {
    for (let slot = 0; slot < inflight; slot += 1) {
      this.#frames.push(template.make(slot % queueCount, OPAQUE_BASE + slot))
    }
    this.#socket = net.connect({ host, port: Number(port), noDelay: true })
    this.#socket.on('data', chunk => this.#read(chunk))
    this.#socket.on('error', error => fail(error.message))
    this.#socket.on('close', () => fail('the broker closed the connection'))
    this.#socket.on('connect', () => {
      for (let slot = 0; slot < inflight; slot += 1) this.#answered.push(slot)
      this.#sendAgain()
    })
  }

  #read(chunk: Buffer): void {
    this.#reader.push(chunk)
    const nowUs = performance.now() * 1000
    for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
      this.#answer(frame, nowUs)
    }
    this.#sendAgain()
  }

  #answer(frame: Frame, nowUs: number): void {
    if (!peekCommand(frame, this.#peek)) fail('an answer that does not parse')
    const slot = this.#peek.opaque - OPAQUE_BASE
    if (slot < 0 || slot >= inflight) fail(`an answer to ${this.#peek.opaque}, which was not asked`)
    if (this.#peek.code === ResponseCode.SUCCESS) {
      window.acknowledge(nowUs - this.#startedUs[slot]!)
    } else {
      window.refuse(`${this.#peek.code} ${frame.header.toString('latin1').slice(0, 300)}`)
    }
    this.#answered.push(slot)
  }

  #sendAgain(): void {
    if (this.#answered.length === 0) return
    const nowUs = performance.now() * 1000
    this.#socket.cork()
    for (const slot of this.#answered) {
      this.#startedUs[slot] = nowUs
      this.#socket.write(this.#frames[slot]!)
    }
    this.#socket.uncork()
    this.#answered = []
  }
}

function fail(why: string): never {
  console.error(why)
  process.exit(1)
}

const template = new Template()
for (let i = 0; i < connectionCount; i += 1) new Connection(template)
const report = await window.measure(
  Number(values.warmup),
  Number(values.seconds),
  watchedProcesses(values.pid),
  batch
)
console.log(
  JSON.stringify({
    size,
    connections: connectionCount,
    inflight,
    batch,
    serialize: values.serialize,
    ...report
  })
)
process.exit(0)
