/**
 * The load on the floor (barePipeline.ts), as a process of its own: frames without meaning, as many open as sendLoad.ts keeps.
 * The answers of one connection come in the order of its frames.
 *
 *   node build/bench/bareLoad.js --address HOST:PORT --size 1024 --connections 4 --inflight 64 --seconds 10 --pid leader=123
 */
import net from 'node:net'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { watchedProcesses } from './processes.ts'
import { Window } from './window.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    size: { type: 'string', default: '1024' },
    connections: { type: 'string', default: '4' },
    inflight: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    pid: { type: 'string', multiple: true, default: [] }
  }
})
const LENGTH_BYTES = 4
const sizeBytes = Number(values.size)
const inflight = Number(values.inflight)
const [host = '127.0.0.1', port = ''] = (values.address ?? '').split(':')
const window = new Window()

const frameBytes = LENGTH_BYTES + sizeBytes
/** All frames that can be open on a connection, side by side: any number of them is one write. */
const frames = Buffer.alloc(frameBytes * inflight, 'x')
for (let i = 0; i < inflight; i += 1) frames.writeInt32BE(sizeBytes, i * frameBytes)

class Connection {
  readonly #socket: net.Socket
  /** A ring: the frame that is answered next was written at `#startedUs[#answered % inflight]`. */
  readonly #startedUs = new Float64Array(inflight)
  #sent = 0
  #answered = 0
  /** Bytes of an answer that has not come whole. */
  #receivedBytes = 0
  #answerBytes = 0

  constructor() {
    this.#socket = net.connect({ host, port: Number(port), noDelay: true })
    this.#socket.on('connect', () => this.#send(inflight))
    this.#socket.on('data', chunk => this.#read(chunk))
    this.#socket.on('error', error => fail(error.message))
    this.#socket.on('close', () => fail('the floor closed the connection'))
  }

  #send(count: number): void {
    const nowUs = performance.now() * 1000
    for (let i = 0; i < count; i += 1) this.#startedUs[(this.#sent + i) % inflight] = nowUs
    this.#sent += count
    this.#socket.write(frames.subarray(0, count * frameBytes))
  }

  #read(chunk: Buffer): void {
    // All answers are of one length, which the first one tells.
    if (this.#answerBytes === 0) this.#answerBytes = LENGTH_BYTES + chunk.readInt32BE(0)
    this.#receivedBytes += chunk.length
    const count = Math.floor(this.#receivedBytes / this.#answerBytes)
    if (count === 0) return
    this.#receivedBytes -= count * this.#answerBytes
    const nowUs = performance.now() * 1000
    for (let i = 0; i < count; i += 1) {
      window.acknowledge(nowUs - this.#startedUs[(this.#answered + i) % inflight]!)
    }
    this.#answered += count
    this.#send(count)
  }
}

function fail(why: string): never {
  console.error(why)
  process.exit(1)
}

for (let i = 0; i < Number(values.connections); i += 1) new Connection()
const watched = watchedProcesses(values.pid)
const report = await window.measure(Number(values.warmup), Number(values.seconds), watched, 1)
console.log(JSON.stringify(report))
process.exit(0)
