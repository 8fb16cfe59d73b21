/**
 * A million messages that wait for their time: what they cost in memory, how late each of them comes, and that a restart or a failover
 * neither delays nor doubles one:
 *
 *   npm run delays -- [--messages 1000000] [--spread 300] [--restart] [--group] [--rate 1000] [--fill 10000] [--size 256]
 *                     [--flush SYNC_FLUSH]
 *
 * Sends so many messages of delay levels and as many timers (TIMER_DELIVER_MS), `--fill` a second, which fall due within about `--spread`
 * seconds, the timers in an order that has nothing to do with that in which they were sent. While they do, `--rate` ordinary messages a
 * second go on. `--restart` kills the broker (kill -9) in the middle and starts it again; with `--group` there are three brokers, and it is
 * the leader that is killed. Exits 1 when a message is missing, came twice, or before its time. Takes PORT_OFFSET (default 5000); needs
 * about 1 kB of disk for each message and broker.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { createRealPlatform, silentLogger } from '../src/platform/index.ts'
import { MessageProperty, propertiesText, RequestCode, request } from '../src/protocol/index.ts'
import { RemotingClient } from '../src/remoting/index.ts'
import { Brokers } from './brokers.ts'
import { Consumer, Deliveries, numbered, readQueue } from './deliveries.ts'
import { PacedSends, pause } from './pacedSends.ts'
import { sendFields } from './probe.ts'
import { cpuSeconds, peakMb, residentMb } from './processes.ts'

const { values: options } = parseArgs({
  options: {
    messages: { type: 'string', default: '1000000' },
    spread: { type: 'string', default: '300' },
    restart: { type: 'boolean', default: false },
    group: { type: 'boolean', default: false },
    rate: { type: 'string', default: '1000' },
    fill: { type: 'string', default: '10000' },
    size: { type: 'string', default: '256' },
    flush: { type: 'string', default: 'SYNC_FLUSH' }
  }
})
const messages = wholeNumber('messages')
const spreadSeconds = wholeNumber('spread')
const rate = wholeNumber('rate')
const fillRate = wholeNumber('fill')
const sizeBytes = wholeNumber('size')

const QUEUES = 4
const LEVELS_MAX = 18
const OPEN_MAX = 256
const CALL_TIMEOUT_MS = 10_000
/** More than a broker keeps of its log in memory, so that what is measured then is what waits. */
const WARM_MESSAGES = 20_000
const WARM_BODY_BYTES = 4_096
const REST_MS = 5_000
/** Reading what waits, to learn its times: messages a second that any machine reads. */
const READ_RATE = 20_000
/** Sent within so long before the kill, a delivery may have been on its way. */
const PROMISED_MS = 100
/** Clocks of two processes of one machine, and whole ms. */
const EARLY_MS = 2
const STUCK_SECONDS = 60
/** Whoever comes twice comes soon. */
const AFTERWARDS_MS = 3_000
/** A prime, so that the times are a shuffle of the numbers. */
const SHUFFLE = 1_000_003

const fillSeconds = (2 * messages) / fillRate
/** From the first send to the first time that is due: half as much again as everything before it should take. */
const aheadSeconds = Math.ceil(1.5 * (fillSeconds + messages / READ_RATE) + (3 * REST_MS) / 1_000)
const levels = Math.min(LEVELS_MAX, spreadSeconds)
const delaysSeconds = Array.from(
  { length: levels },
  (_, i) => aheadSeconds + Math.round((i * spreadSeconds) / levels)
)

function wholeNumber(name: 'messages' | 'spread' | 'rate' | 'fill' | 'size'): number {
  const value = Number(options[name])
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${name} ${options[name]}: a whole number from 1 on is needed`)
  return value
}

function say(name: string, figure: string | number): void {
  process.stdout.write(`${name.padEnd(66)} ${figure}\n`)
}

const delayed = new Deliveries('DelaysOfLevels', messages)
const timed = new Deliveries('DelaysOfTimers', messages)
const PLAIN = 'DelaysPlain'
const { clock, network } = createRealPlatform()
const client = new RemotingClient({ clock, network, logger: silentLogger })
const consuming = new RemotingClient({ clock, network, logger: silentLogger })

/** Asks whoever leads; the answers to sends under way when it is killed are asked for again. */
class Leader {
  readonly #brokers: Brokers
  #finding: Promise<string> | null = null
  member = 0

  constructor(brokers: Brokers) {
    this.#brokers = brokers
  }

  get address(): string {
    return this.#brokers.addresses[this.member]!
  }

  get pid(): string {
    return this.#brokers.pid(this.member)
  }

  /** One question at a time, whoever asks. */
  find(): Promise<string> {
    this.#finding ??= this.#find().finally(() => {
      this.#finding = null
    })
    return this.#finding
  }

  async #find(): Promise<string> {
    const member = await this.#brokers.findLeader()
    if (member !== null) this.member = member
    return this.address
  }

  async send(
    topic: string,
    queueId: number,
    body: Buffer,
    properties: [string, string][]
  ): Promise<void> {
    const fields = sendFields(topic, queueId, false, propertiesText(properties))
    const command = request(RequestCode.SEND_MESSAGE_V2, fields, body)
    const answer = await client.invoke(this.address, command, CALL_TIMEOUT_MS)
    if (answer.code !== 0) throw new Error(`send to ${topic}: ${answer.code} ${answer.remark}`)
  }
}

const uniqueKey = (id: number): [string, string] => [
  MessageProperty.UNIQ_KEY,
  id.toString(16).toUpperCase().padStart(32, '0')
]

/** The even ones wait by a level, the odd ones for a time. */
function sendOne(leader: Leader, firstDueMs: number, i: number): Promise<void> {
  const id = i >> 1
  const body = numbered(id, sizeBytes)
  if (i % 2 === 0) {
    const level = String((id % levels) + 1)
    const properties: [string, string][] = [[MessageProperty.DELAY, level], uniqueKey(i)]
    return leader.send(delayed.topic, (id >> 5) % QUEUES, body, properties)
  }
  const share = ((id * SHUFFLE) % messages) / messages
  const dueMs = Math.floor(firstDueMs + share * spreadSeconds * 1_000)
  timed.dueMs[id] = dueMs
  const property: [string, string] = [MessageProperty.TIMER_DELIVER_MS, String(dueMs)]
  return leader.send(timed.topic, (id >> 5) % QUEUES, body, [property, uniqueKey(i)])
}

/** A delayed message is due so long after it was stored, which only the broker knows. */
async function learnTimes(leader: Leader): Promise<void> {
  let found = 0
  const reads = delaysSeconds.map((seconds, i) =>
    readQueue(client, leader.address, 'SCHEDULE_TOPIC_XXXX', i, (id, storeTimestamp) => {
      delayed.dueMs[id] = storeTimestamp + seconds * 1_000
      found += 1
    })
  )
  await Promise.all(reads)
  if (found !== messages)
    throw new Error(`${found} messages wait in SCHEDULE_TOPIC_XXXX, ${messages} were sent`)
}

/** Ordinary sends, each tried until it is answered. */
class PlainLoad {
  readonly #leader: Leader
  readonly #sends = new PacedSends(rate, 64 * QUEUES, i => this.#one(i))
  readonly #body = Buffer.alloc(sizeBytes, 'x')
  /** Rejects when a send is not answered for too long. */
  running: Promise<void> = Promise.resolve()
  /** From the first attempt to the answer, ms. */
  readonly tookMs: number[] = []
  again = 0
  /** Told of each answer, with the time of its attempt. */
  onAnswer: (sentMs: number) => void = () => {}

  constructor(leader: Leader) {
    this.#leader = leader
  }

  start(): void {
    this.running = this.#sends.run()
    // Told at the stop.
    this.running.catch(() => {})
  }

  async stop(): Promise<void> {
    this.#sends.stop()
    await this.running
  }

  async #one(i: number): Promise<void> {
    const startedMs = performance.now()
    for (;;) {
      const sentMs = Date.now()
      try {
        await this.#leader.send(PLAIN, i % QUEUES, this.#body, [])
        this.tookMs.push(performance.now() - startedMs)
        this.onAnswer(sentMs)
        return
      } catch (cause) {
        if (performance.now() - startedMs > STUCK_SECONDS * 1_000)
          throw new Error(`no send was answered for ${STUCK_SECONDS} s`, { cause })
        this.again += 1
        await pause(10)
        await this.#leader.find().catch(() => {})
      }
    }
  }
}

interface Fault {
  killedMs: number
  /** The first answer to a send of afterwards. */
  servingMs: number
}

async function killInTheMiddle(brokers: Brokers, leader: Leader, load: PlainLoad): Promise<Fault> {
  const { member } = leader
  const answered = new Promise<number>(resolve => {
    load.onAnswer = sentMs => {
      if (fault.killedMs > 0 && sentMs > fault.killedMs) resolve(Date.now())
    }
  })
  const fault: Fault = { killedMs: 0, servingMs: 0 }
  await brokers.endMember(member, 'SIGKILL')
  fault.killedMs = Date.now()
  if (!options.group) brokers.startMember(member)
  await Promise.race([answered, load.running])
  fault.servingMs = await answered
  load.onAnswer = () => {}
  say('kill -9 until a send is answered again, ms', fault.servingMs - fault.killedMs)
  say('memory of who leads then, MiB', residentMb(leader.pid))
  if (options.group) brokers.startMember(member)
  return fault
}

function lateLine(name: string, late: Float64Array): void {
  if (late.length === 0) return
  const at = (share: number): string =>
    late[Math.min(late.length - 1, Math.floor(late.length * share))]!.toFixed(0).padStart(7)
  const figures = `${String(late.length).padStart(9)}${at(0.5)}${at(0.99)}${at(0.999)}${at(1)}${at(0)}`
  process.stdout.write(`${name.padEnd(42)} ${figures}\n`)
}

function report(fault: Fault | null): void {
  process.stdout.write(
    `\n${'ms after their time'.padEnd(42)}     count    p50    p99  p99.9   most  least\n`
  )
  for (const [name, deliveries] of [
    ['levels', delayed],
    ['timers', timed]
  ] as const) {
    if (fault === null) {
      lateLine(name, deliveries.lateness())
      continue
    }
    const { killedMs, servingMs } = fault
    lateLine(`${name}, due before the kill`, deliveries.lateness(0, killedMs - PROMISED_MS))
    lateLine(`${name}, due meanwhile`, deliveries.lateness(killedMs - PROMISED_MS, servingMs))
    lateLine(
      `${name}, due meanwhile, after its end`,
      deliveries.lateness(killedMs - PROMISED_MS, servingMs, servingMs)
    )
    lateLine(`${name}, due afterwards`, deliveries.lateness(servingMs))
  }
  process.stdout.write('\n')
}

/** Resolves when all came, or nothing more does. */
async function untilAllCame(lastDueMs: number): Promise<void> {
  let came = 0
  let changedMs = Date.now()
  while (delayed.missing + timed.missing > 0) {
    await pause(100)
    const now = delayed.arrived + timed.arrived
    if (now > came) changedMs = Date.now()
    came = now
    if (Date.now() > Math.max(changedMs, lastDueMs) + STUCK_SECONDS * 1_000) return
  }
}

async function main(brokers: Brokers): Promise<boolean> {
  const leader = new Leader(brokers)
  leader.member = await brokers.leader()
  for (const topic of [delayed.topic, timed.topic, PLAIN]) await brokers.createTopic(topic, QUEUES)
  const body = Buffer.alloc(WARM_BODY_BYTES, 'x')
  const warming = new PacedSends(fillRate, OPEN_MAX, i => leader.send(PLAIN, i % QUEUES, body, []))
  await warming.run(WARM_MESSAGES)
  await pause(REST_MS)
  say('memory of the leader before, MiB', residentMb(leader.pid))

  const beganMs = Date.now()
  const firstDueMs = beganMs + aheadSeconds * 1_000
  const filling = new PacedSends(fillRate, OPEN_MAX, i => sendOne(leader, firstDueMs, i))
  await filling.run(2 * messages)
  const fillMs = Date.now() - beganMs
  say(`${messages} messages of ${levels} levels and ${messages} timers sent, ms`, fillMs)
  say('memory of the leader then, MiB', residentMb(leader.pid))
  await learnTimes(leader)
  await pause(REST_MS)
  say('memory of the leader while they wait, MiB', residentMb(leader.pid))
  if (Date.now() > firstDueMs)
    throw new Error('the first were due before all was ready: a smaller --fill gives it more time')

  const consumer = new Consumer(consuming, leader.address, () => leader.find())
  const reading = [delayed, timed].flatMap(deliveries =>
    Array.from({ length: QUEUES }, (_, queueId) => consumer.read(queueId, deliveries))
  )
  const load = new PlainLoad(leader)
  load.start()
  await pause(firstDueMs - Date.now())
  const ownDelay = monitorEventLoopDelay({ resolution: 5 })
  ownDelay.enable()
  const cpu = cpuSeconds(leader.pid)
  const cpuMs = Date.now()
  const lastDueMs = Math.max(delayed.dueMs.reduce(most), timed.dueMs.reduce(most))
  await pause((spreadSeconds * 1_000) / 2)
  const share = ((cpuSeconds(leader.pid) - cpu) * 1e5) / (Date.now() - cpuMs)
  say('CPU of the leader while they come, %', share.toFixed(0))
  const fault = options.restart ? await killInTheMiddle(brokers, leader, load) : null
  await untilAllCame(lastDueMs)
  ownDelay.disable()
  await pause(AFTERWARDS_MS)
  await load.stop()
  consumer.end()
  say('memory of the leader afterwards, MiB', residentMb(leader.pid))
  say('the most that it had, MiB', peakMb(leader.pid))
  const took = Float64Array.from(load.tookMs).sort()
  const at = (part: number): string => took[Math.floor(took.length * part)]!.toFixed(1)
  say(
    `ordinary sends meanwhile (${took.length}), p50 / p99 / p99.9 ms`,
    `${at(0.5)} / ${at(0.99)} / ${at(0.999)}`
  )
  if (fault !== null) say('of them sent again', load.again)
  say('event loop of this program itself late by at most, ms', (ownDelay.max / 1e6).toFixed(0))
  report(fault)
  const early = [delayed, timed].reduce(
    (sum, { dueMs, arrivedMs }) =>
      sum + dueMs.reduce((count, due, id) => count + (arrivedMs[id]! < due - EARLY_MS ? 1 : 0), 0),
    0
  )
  const missing = delayed.missing + timed.missing
  const doubled = delayed.doubled + timed.doubled
  say('missing, doubled, early', `${missing}, ${doubled}, ${early}`)
  // Before the brokers go, so that none of them is taken for a failure.
  await consuming.close()
  await Promise.all(reading)
  return missing + doubled + early === 0
}

const most = (a: number, b: number): number => Math.max(a, b)

const brokers = await Brokers.start({
  name: 'delays',
  members: options.group ? 3 : 1,
  settings: {
    flushDiskType: options.flush,
    messageDelayLevel: delaysSeconds.map(seconds => `${seconds}s`).join(' ')
  }
})
let passed = false
try {
  passed = await main(brokers)
} finally {
  await Promise.all([client.close(), consuming.close(), brokers.end()])
}
process.exit(passed ? 0 : 1)
