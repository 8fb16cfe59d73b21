/**
 * The load on NATS JetStream, as a process of its own: keeps a fixed number of publishes open on each connection and checks
 * every acknowledgement. Each publish has a reply subject of its own slot and all of them one subscription, without the promise
 * and the timer that the client's `publish` of JetStream makes for each message: the load should not be what is measured.
 *
 *   node build/bench/peers/natsLoad.js --address HOST:PORT --subject S --size 1024 --connections 4 --inflight 64
 *        --rate N --pid leader=1
 */
import process from 'node:process'
import { parseArgs } from 'node:util'
import { connect, createInbox, type Msg } from 'nats'
import { watchedProcesses } from '../processes.ts'
import { beginSchedule, NONE, nowUs, scheduleOf, slotsOf } from '../slots.ts'
import { Window } from '../window.ts'

const { values } = parseArgs({
  options: {
    address: { type: 'string' },
    subject: { type: 'string', default: 'BenchmarkTest' },
    size: { type: 'string', default: '1024' },
    connections: { type: 'string', default: '4' },
    inflight: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '10' },
    warmup: { type: 'string', default: '2' },
    rate: { type: 'string', default: '0' },
    pid: { type: 'string', multiple: true, default: [] }
  }
})
const inflight = Number(values.inflight)
const rate = Number(values.rate)
const subject = values.subject!
const body = Buffer.alloc(Number(values.size), 'x')
const window = new Window()
const connectionCount = Number(values.connections)
const schedule = scheduleOf(rate, connectionCount)

/** Resolves when the connection is there, to what sends what is due on it. */
async function load(number: number): Promise<() => void> {
  const connection = await connect({ servers: values.address!, reconnect: false })
  const inbox = createInbox()
  const slots = slotsOf(schedule, number, inflight)
  const publishes = Array.from({ length: inflight }, (_, slot) => ({ reply: `${inbox}.${slot}` }))
  const publish = (now: number): void => {
    for (let slot = slots.take(now); slot !== NONE; slot = slots.take(now))
      connection.publish(subject, body, publishes[slot]!)
  }
  connection.subscribe(`${inbox}.*`, {
    callback: (error, answer) => {
      if (error !== null) fail(error.message)
      const now = nowUs()
      const startedUs = slots.release(Number(answer.subject.slice(inbox.length + 1)))
      if (isStored(answer)) window.acknowledge(startedUs, now)
      else window.refuse(`${answer.headers?.code ?? ''} ${answer.string()}`)
      publish(now)
    }
  })
  publish(nowUs())
  void connection.closed().then(ending => {
    fail(`the server closed the connection${ending === undefined ? '' : `: ${ending.message}`}`)
  })
  return () => publish(nowUs())
}

/** `{"stream":…,"seq":…}` stands for a stored message, `{"error":…}` for a refusal. */
function isStored(answer: Msg): boolean {
  const text = answer.string()
  return text.includes('"seq":') && !text.includes('"error":')
}

function fail(why: string): never {
  console.error(why)
  process.exit(1)
}

const numbers = Array.from({ length: connectionCount }, (_, i) => i)
const looks = await Promise.all(numbers.map(load)).catch((error: Error) => fail(error.message))
beginSchedule(schedule, looks)
const watched = watchedProcesses(values.pid)
const report = await window.measure(Number(values.warmup), Number(values.seconds), watched, 1)
console.log(JSON.stringify({ ...report, ...(rate > 0 ? { targetPerSecond: rate } : {}) }))
process.exit(0)
