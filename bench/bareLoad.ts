/**
 * The load on the floor (barePipeline.ts), as a process of its own: frames without meaning, as many open as sendLoad.ts keeps.
 * The answers of one connection come in the order of its frames.
 *
 *   node build/bench/bareLoad.js --address HOST:PORT --size 1024 --connections 4 --inflight 64 --seconds 10
 *        --rate N --pid leader=123
 */
import net from 'node:net'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { watchedProcesses } from './processes.ts'
import { beginSchedule, NONE, nowUs, type Slots, scheduleOf, slotsOf } from './slots.ts'
import { Window } from './window.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    size: { type: 'string', default: '1024' },
    connections: { type: 'string', default: '4' },
    inflight: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    rate: { type: 'string', default: '0' },
    pid: { type: 'string', multiple: true, default: [] }
  }
})
const LENGTH_BYTES = 4
const sizeBytes = Number(values.size)
const inflight = Number(values.inflight)
const rate = Number(values.rate)
const [host = '127.0.0.1', port = ''] = (values.address ?? '').split(':')
const window = new Window()
const connectionCount = Number(values.connections)
const schedule = scheduleOf(rate, connectionCount)

const frameBytes = LENGTH_BYTES + sizeBytes
/** All frames that can be open on a connection, side by side: any number of them is one write. */
const frames = Buffer.alloc(frameBytes * inflight, 'x')
for (let i = 0; i < inflight; i += 1) frames.writeInt32BE(sizeBytes, i * frameBytes)

class Connection {
  /** It is connected. */
  readonly ready: Promise<void>
  readonly #socket: net.Socket
  readonly #slots: Slots
  #answered = 0
  /** Bytes of an answer that has not come whole. */
  #receivedBytes = 0
  #answerBytes = 0

  constructor(number: number) {
    this.#slots = slotsOf(schedule, number, inflight)
    this.#socket = net.connect({ host, port: Number(port), noDelay: true })
    this.ready = new Promise(resolve => {
      this.#socket.on('connect', () => {
        this.look()
        resolve()
      })
    })
    this.#socket.on('data', chunk => this.#read(chunk))
    this.#socket.on('error', error => fail(error.message))
    this.#socket.on('close', () => fail('the floor closed the connection'))
  }

  /** Sends what is due. */
  look(): void {
    this.#send(nowUs())
  }

  #send(now: number): void {
    let count = 0
    while (this.#slots.take(now) !== NONE) count += 1
    if (count > 0) this.#socket.write(frames.subarray(0, count * frameBytes))
  }

  #read(chunk: Buffer): void {
    // All answers are of one length, which the first one tells.
    if (this.#answerBytes === 0) this.#answerBytes = LENGTH_BYTES + chunk.readInt32BE(0)
    this.#receivedBytes += chunk.length
    const count = Math.floor(this.#receivedBytes / this.#answerBytes)
    if (count === 0) return
    this.#receivedBytes -= count * this.#answerBytes
    const now = nowUs()
    for (let i = 0; i < count; i += 1) {
      // Answers come in the order of the sends, so the slots go round.
      window.acknowledge(this.#slots.release((this.#answered + i) % inflight), now)
    }
    this.#answered += count
    this.#send(now)
  }
}

function fail(why: string): never {
  console.error(why)
  process.exit(1)
}

const connections = Array.from({ length: connectionCount }, (_, i) => new Connection(i))
await Promise.all(connections.map(({ ready }) => ready))
beginSchedule(
  schedule,
  connections.map(connection => () => connection.look())
)
const watched = watchedProcesses(values.pid)
const report = await window.measure(Number(values.warmup), Number(values.seconds), watched, 1)
console.log(JSON.stringify({ ...report, ...(rate > 0 ? { targetPerSecond: rate } : {}) }))
process.exit(0)
