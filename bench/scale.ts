/**
 * What many topics, groups, clients and messages cost one broker; sends to it are measured in turns with sends to one that has none of them:
 *
 *   npm run scale -- [--topics 10000] [--groups 2000] [--clients 5000] [--backlog 1000000] [--seconds 5]
 *
 * Two brokers (groups of one, ASYNC_FLUSH, so that the disk does not hide the CPU), each with a name server, run as processes of their own in
 * directories that are removed. Takes PORT_OFFSET (default 5000). Every client is a connection with a heartbeat each 30 s and a pull that waits.
 * The limit of open files must allow twice the clients.
 */
import { readdir } from 'node:fs/promises'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { createRealPlatform, silentLogger } from '../src/platform/index.ts'
import {
  CreateTopicListRequestBody,
  encodeBatch,
  encodeProperties,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request
} from '../src/protocol/index.ts'
import { RemotingClient } from '../src/remoting/index.ts'
import { Brokers } from './brokers.ts'
import { Crowd } from './crowd.ts'
import { median } from './figures.ts'
import { sendFields, untilServed } from './probe.ts'
import { cpuSeconds, residentMb, rested } from './processes.ts'

const { values: options } = parseArgs({
  options: {
    topics: { type: 'string', default: '10000' },
    groups: { type: 'string', default: '2000' },
    clients: { type: 'string', default: '5000' },
    backlog: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '5' }
  }
})
const topics = Number(options.topics)
const groups = Number(options.groups)
const clients = Number(options.clients)
const backlog = Number(options.backlog)
const seconds = Number(options.seconds)
const QUEUES = 4
const BATCH = 100
const SMALL_BYTES = 64
const BODY_BYTES = 1_024
const IN_FLIGHT = 64
const LIST_MAX = 500
const BUSY_PAUSE_MS = 100
const TIMEOUT_MS = 60_000
const START_TIMEOUT_MS = 600_000
const IDLE_SECONDS = 20
const ROUNDS = 9

const platform = createRealPlatform()
const settings = { flushDiskType: 'ASYNC_FLUSH', maxTopics: '1000000', traceTopicEnable: 'true' }
const EMPTY_OFFSET = 100
const full = await Brokers.start({ name: 'scale', members: 1, settings })
const empty = await Brokers.start({ name: 'empty', members: 1, settings, offset: EMPTY_OFFSET })
const [address = ''] = full.addresses
const [emptyAddress = ''] = empty.addresses
const crowds: Crowd[] = []

const { clock, network } = platform
const tool = new RemotingClient({ clock, network, logger: silentLogger })

async function ask(
  code: number,
  fields: Record<string, string> | null,
  body: Buffer | null = null,
  to = address
): Promise<RemotingCommand> {
  const answer = await tool.invoke(to, request(code, fields, body), TIMEOUT_MS)
  if (answer.code !== 0) throw new Error(`code ${code}: ${answer.code} ${answer.remark}`)
  return answer
}

const topicName = (i: number): string => `topic-${String(i).padStart(6, '0')}`

const UNIQ_KEY = 'UNIQ_KEY\u00017F000001000018B4AAC2000000000001\u0002'

const serving = (to = address): Promise<number> =>
  untilServed(tool, [to], 'BenchmarkTest', START_TIMEOUT_MS)

interface Figures {
  p50Us: number
  p99Us: number
  cpuUs: number
}

/** One at a time: latency; then many at a time: CPU of the broker for each message. */
async function sends(pid: string, to: string, seconds: number): Promise<Figures> {
  const body = Buffer.alloc(BODY_BYTES, 'x')
  const one = (): Promise<RemotingCommand> => {
    const fields = sendFields('BenchmarkTest', 0, false, UNIQ_KEY)
    return ask(RequestCode.SEND_MESSAGE_V2, fields, body, to)
  }
  const tookUs: number[] = []
  for (const endMs = performance.now() + seconds * 1_000; performance.now() < endMs; ) {
    const startedMs = performance.now()
    await one()
    tookUs.push((performance.now() - startedMs) * 1_000)
  }
  tookUs.sort((a, b) => a - b)
  const cpu = cpuSeconds(pid)
  const endMs = performance.now() + seconds * 1_000
  let sent = 0
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs) {
      await one()
      sent += 1
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  return {
    p50Us: tookUs[Math.floor(tookUs.length / 2)]!,
    p99Us: tookUs[Math.floor(tookUs.length * 0.99)]!,
    cpuUs: ((cpuSeconds(pid) - cpu) * 1e6) / sent
  }
}

async function makeTopics(): Promise<void> {
  for (let from = 0; from < topics; from += LIST_MAX) {
    const count = Math.min(LIST_MAX, topics - from)
    const list = Array.from({ length: count }, (_, i) => ({
      topicName: topicName(from + i),
      readQueueNums: QUEUES,
      writeQueueNums: QUEUES,
      perm: 6,
      topicFilterType: 'SINGLE_TAG' as const,
      topicSysFlag: 0,
      order: false,
      attributes: new Map<string, string>()
    }))
    const body = CreateTopicListRequestBody.encode({ topicConfigList: list })
    await ask(RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, null, body)
  }
}

async function makeGroups(): Promise<void> {
  for (let i = 0; i < groups; i++) {
    const body = Buffer.from(JSON.stringify({ groupName: `group-${i}` }))
    await ask(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, {}, body)
  }
}

/** As often as the broker says that its disk does not follow. */
async function store(fields: Record<string, string>, batch: Buffer): Promise<void> {
  for (;;) {
    const command = request(RequestCode.SEND_BATCH_MESSAGE, fields, batch)
    const { code, remark } = await tool.invoke(address, command, TIMEOUT_MS)
    if (code === 0) return
    if (code !== ResponseCode.SYSTEM_BUSY) throw new Error(`a batch: ${code} ${remark}`)
    await new Promise(resolve => setTimeout(resolve, BUSY_PAUSE_MS))
  }
}

async function fill(): Promise<void> {
  const batch = encodeBatch(
    Array.from({ length: BATCH }, (_, i) => ({
      flag: 0,
      body: Buffer.alloc(SMALL_BYTES, 'x'),
      properties: encodeProperties([['TAGS', `t${i % 4}`]])
    }))
  )
  let next = 0
  const batches = Math.ceil(backlog / BATCH)
  const lane = async (): Promise<void> => {
    while (next < batches) {
      const at = next++
      const topic = topics === 0 ? 'BenchmarkTest' : topicName(at % topics)
      const queueId = Math.floor(at / Math.max(1, topics)) % QUEUES
      await store(sendFields(topic, queueId, true), batch)
    }
  }
  await Promise.all(Array.from({ length: 16 }, lane))
}

function say(name: string, figure: string | number): void {
  process.stdout.write(`${name.padEnd(58)} ${figure}\n`)
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await run()
  return Math.round(performance.now() - startedMs)
}

const files = async (pid: string): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length

/** Sends to the empty broker and to the full one in turns; for each figure the median of both and of their ratios. */
async function compare(emptyPid: string, fullPid: string): Promise<void> {
  const rounds: { empty: Figures; full: Figures }[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const empty = await sends(emptyPid, emptyAddress, seconds / ROUNDS)
    rounds.push({ empty, full: await sends(fullPid, address, seconds / ROUNDS) })
  }
  for (const [name, key] of [
    ['send, one at a time, p50 µs', 'p50Us'],
    ['send, one at a time, p99 µs', 'p99Us'],
    ['CPU of the broker for a send, 64 at a time, µs', 'cpuUs']
  ] as const) {
    const empty = median(rounds.map(round => round.empty[key])).toFixed(0)
    const full = median(rounds.map(round => round.full[key])).toFixed(0)
    const ratio = median(rounds.map(round => round.full[key] / round.empty[key])).toFixed(2)
    say(`${name}: empty, full, ratio`, `${empty}, ${full}, ${ratio}`)
  }
}

async function main(): Promise<void> {
  let pid = full.pid(0)
  const emptyPid = empty.pid(0)
  await serving()
  await serving(emptyAddress)
  for (const [of, to] of [
    [pid, address],
    [emptyPid, emptyAddress]
  ] as const)
    await sends(of, to, seconds)
  say('memory of the broker, nothing in it, MiB', residentMb(pid))

  say(`make ${topics} topics × ${QUEUES} queues, ms`, await timed(makeTopics))
  say(`make ${groups} groups, ms`, await timed(makeGroups))
  const table = await ask(RequestCode.GET_ALL_TOPIC_CONFIG, null)
  say('table of topics, as registered, KiB', Math.round((table.body?.length ?? 0) / 1_024))
  say('memory of the broker, MiB', residentMb(pid))
  say('memory of the name server, MiB', residentMb(full.namesrvPid))
  const fillMs = await timed(fill)
  say(`backlog of ${backlog} messages, ms`, fillMs)
  say('memory of the broker, MiB', residentMb(pid))
  say('open files of the broker', await files(pid))
  say('until its queues are on the disk and it rests, ms', await timed(() => rested(pid)))
  const crowd = new Crowd(platform, {
    address,
    clients,
    producerGroup: 'scale',
    groups,
    groupName: i => `group-${i}`,
    topics: groups,
    topicName,
    queues: QUEUES
  })
  crowds.push(crowd)
  const beats = await crowd.connect()
  if (beats.length > 0)
    say('heartbeat of a new client, p50 / p99 ms', `${at(beats, 0.5)} / ${at(beats, 0.99)}`)
  say('memory of the broker, all connected, MiB', residentMb(pid))
  const idle = cpuSeconds(pid)
  await new Promise(resolve => setTimeout(resolve, IDLE_SECONDS * 1_000))
  say('CPU while only heartbeats and waiting pulls come, %', share(cpuSeconds(pid) - idle))
  await compare(emptyPid, pid)
  await empty.end()
  await crowd.close()
  say('stop, ms', await timed(() => full.endMember(0, 'SIGTERM')))
  const again = performance.now()
  full.startMember(0)
  pid = full.pid(0)
  await serving()
  say('start until a send is answered, ms', Math.round(performance.now() - again))
  say('memory of the broker after the start, MiB', residentMb(pid))
  await full.endMember(0, 'SIGKILL')
  const killed = performance.now()
  full.startMember(0)
  await serving()
  say('start after a kill, ms', Math.round(performance.now() - killed))
}

const at = (sorted: readonly number[], share: number): string =>
  (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)

const share = (cpu: number): string => ((cpu * 100) / IDLE_SECONDS).toFixed(1)

try {
  await main()
} finally {
  await Promise.all([full.end(), empty.end()])
  for (const crowd of crowds) await crowd.close()
  await tool.close()
}
process.exit(0)
