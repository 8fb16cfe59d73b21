/**
 * The load of the pull path, as a process of its own: reads every queue of a topic from its start to its end, each queue by one
 * connection, and counts the messages that come.
 *
 *   node build/bench/pullLoad.js --address HOST:PORT --topic T --queues 4 --messages 32 --pid leader=123
 *
 * One line of JSON on the standard output.
 */
import net from 'node:net'
import process from 'node:process'
import { parseArgs } from 'node:util'
import {
  decodeCommand,
  encodeCommand,
  FrameReader,
  RequestCode,
  ResponseCode,
  request
} from '../src/protocol/index.ts'
import { cpuSeconds, residentMb, watchedProcesses } from './processes.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    topic: { type: 'string', default: 'BenchmarkTest' },
    queues: { type: 'string', default: '4' },
    messages: { type: 'string', default: '32' },
    pid: { type: 'string', multiple: true, default: [] }
  }
})
const [host = '127.0.0.1', port = '10911'] = (values.address ?? '').split(':')
const MESSAGE_SIZE_BYTES = 4

let messages = 0
let bytes = 0

/** Reads one queue to its end. */
function readQueue(queueId: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const reader = new FrameReader()
    const socket = net.connect({ host, port: Number(port), noDelay: true })
    let opaque = 0
    const pull = (offset: number): void => {
      opaque += 1
      const command = request(RequestCode.PULL_MESSAGE, {
        consumerGroup: 'bench_consumer',
        topic: values.topic!,
        queueId: String(queueId),
        queueOffset: String(offset),
        maxMsgNums: values.messages!,
        sysFlag: '4',
        commitOffset: '0',
        suspendTimeoutMillis: '0',
        subscription: '*',
        subVersion: '0',
        expressionType: 'TAG'
      })
      command.opaque = opaque
      socket.write(Buffer.concat(encodeCommand(command)))
    }
    socket.on('connect', () => pull(0))
    socket.on('error', reject)
    socket.on('data', chunk => {
      reader.push(chunk)
      for (let frame = reader.next(); frame !== null; frame = reader.next()) {
        const answer = decodeCommand(frame)
        if (answer.code === ResponseCode.PULL_NOT_FOUND) {
          socket.destroy()
          resolve()
          return
        }
        if (answer.code !== ResponseCode.SUCCESS) {
          reject(new Error(`code ${answer.code}: ${answer.remark}`))
          socket.destroy()
          return
        }
        const body = answer.body!
        bytes += body.length
        for (let at = 0; at + MESSAGE_SIZE_BYTES <= body.length; at += body.readInt32BE(at)) {
          messages += 1
        }
        pull(Number(answer.extFields?.['nextBeginOffset']))
      }
    })
  })
}

const watched = watchedProcesses(values.pid)
const before = watched.map(({ pid }) => cpuSeconds(pid))
const began = performance.now()
await Promise.all(Array.from({ length: Number(values.queues) }, (_, queueId) => readQueue(queueId)))
const elapsed = (performance.now() - began) / 1000

console.log(
  JSON.stringify({
    messages,
    messagesPerSecond: Math.round(messages / elapsed),
    mibPerSecond: Math.round(bytes / elapsed / 1_048_576),
    cpuMicrosPerMessage: Object.fromEntries(
      watched.map(({ name, pid }, i) => [
        name,
        Math.round(((cpuSeconds(pid) - before[i]!) * 1e8) / messages) / 100
      ])
    ),
    residentMb: Object.fromEntries(watched.map(({ name, pid }) => [name, residentMb(pid)]))
  })
)
process.exit(0)
