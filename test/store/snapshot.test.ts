import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createRealPlatform, type Logger } from '../../src/platform/index.ts'
import type { TopicSettings } from '../../src/store/index.ts'
import { type Command, openStore, type Store, type StoreOptions } from '../../src/store/index.ts'
import { dumpState, loadState } from '../../src/store/stateDump.ts'
import { freePorts } from '../helpers/freePorts.ts'
import { TIMINGS } from '../raft/node/cluster.ts'
import {
  fingerprint,
  MemoryState,
  message,
  messagesOf,
  openFake,
  openLeader,
  raftOptions,
  send
} from './helpers.ts'

const DEADLINE_MS = 25_000
const SEGMENT_BYTES = 64 * 1024
const QUEUES = 3

/** Asks every few ms until it is so. */
async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

class Member {
  readonly id: string
  readonly lines: string[] = []
  store!: Store
  running = false
  readonly directory: string
  readonly #options: () => StoreOptions

  constructor(id: string, directory: string, options: (logger: Logger) => StoreOptions) {
    this.id = id
    this.directory = directory
    const line = (text: string): void => {
      this.lines.push(text)
      if (process.env['SNAP_TRACE'] !== undefined) console.error(this.id, text)
    }
    const logger = { debug: line, info: line, warn: line, error: line }
    this.#options = () => options(logger)
  }

  async start(): Promise<void> {
    this.store = await openStore(this.#options())
    this.running = true
    await this.store.start()
  }

  async stop(): Promise<void> {
    this.running = false
    await this.store.stop({ transfer: false, graceMs: 0 })
  }

  said(part: string): boolean {
    return this.lines.some(line => line.includes(part))
  }
}

class Group {
  readonly members: Member[]
  sent = 0

  constructor(members: Member[]) {
    this.members = members
  }

  static async of(t: Test, more: Partial<StoreOptions> = {}): Promise<Group> {
    const ports = await freePorts(3)
    const peers = ports.map((port, at) => ({ id: `n${at}`, host: '127.0.0.1', port }))
    let group: Group | null = null
    t.teardown(() => group?.stop())
    const root = t.testdir()
    const members = peers.map(
      ({ id }) =>
        new Member(id, join(root, id), logger => ({
          platform: createRealPlatform(),
          logger,
          directory: join(root, id),
          raft: {
            ...raftOptions(0),
            selfId: id,
            peers,
            segmentBytes: SEGMENT_BYTES,
            tailCacheBytes: 4 * SEGMENT_BYTES,
            timings: TIMINGS
          },
          consumeQueueFileBytes: 2000,
          checkpointIntervalMs: 50,
          // Everything is old enough to go when somebody says so.
          fileReservedMs: -3_600_000,
          deleteWhenHours: [],
          diskForcePercent: 100,
          diskFullPercent: 100,
          diskMaxUsedPercent: 100,
          ...more
        }))
    )
    group = new Group(members)
    await Promise.all(members.map(member => member.start()))
    return group
  }

  async leader(): Promise<Member> {
    const find = (): Member | undefined => this.members.find(m => m.running && m.store.ready)
    await until('a leader', () => find() !== undefined)
    return find()!
  }

  async send(count: number): Promise<void> {
    const { store } = await this.leader()
    const sends: Promise<unknown>[] = []
    for (let i = 0; i < count; i++) {
      const name = `m${this.sent++}`
      const properties = { UNIQ_KEY: `u-${name}`, KEYS: `k-${name} all`, TAGS: 'a' }
      sends.push(send(store, message('T', this.sent % QUEUES, name.padEnd(1000, '.'), properties)))
    }
    await Promise.all(sends)
  }

  async execute(...commands: Command[]): Promise<void> {
    const { store } = await this.leader()
    for (const command of commands) await store.execute(command)
  }

  /** All segments but the last ones go, on all that run. */
  async trim(): Promise<void> {
    const { store } = await this.leader()
    const running = this.members.filter(m => m.running)
    await until('all that run have all', () => isLevel(running))
    // The log is kept for a while for those that just left.
    await until('who is away is known to be', () => {
      const { peers } = store.status()
      return (
        running.every(m => m.store === store || peers.find(p => p.id === m.id)!.active) &&
        peers.filter(p => p.active).length === running.length - 1
      )
    })
    while (await store.cleanExpired()) {
      const { position } = store.tables.trim
      await until('the logs are trimmed', () =>
        running.every(m => m.store.runtime().logStartPosition >= position)
      )
    }
  }

  async level(): Promise<void> {
    await until('all have applied all', () => isLevel(this.members))
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.filter(m => m.running).map(m => m.stop()))
  }
}

function isLevel(members: readonly Member[]): boolean {
  const [first, ...others] = members.map(m => m.store.status())
  return (
    first!.lastIndex === first!.appliedIndex &&
    others.every(s => s.appliedIndex === first!.appliedIndex && s.role !== 'stopped')
  )
}

/** What replicas have to agree on, the keys of every message too. */
async function everything(store: Store, sent: number): Promise<unknown> {
  const found: unknown[] = []
  for (let i = 0; i < sent; i++) {
    const { messages } = await store.query({
      topic: 'T',
      key: `k-m${i}`,
      maxMessages: 4,
      beginTimestamp: 0,
      endTimestamp: 1e15
    })
    found.push(messages.map(bytes => bytes.toString('latin1')))
  }
  const { logStartPosition, logEndPosition } = store.runtime()
  return { state: await fingerprint(store), found, logStartPosition, logEndPosition }
}

async function bodiesOf(store: Store, queueId: number): Promise<string[]> {
  const all: string[] = []
  let offset = store.minOffset('T', queueId)
  while (offset < store.maxOffset('T', queueId)) {
    const result = await store.pull({
      topic: 'T',
      queueId,
      offset,
      maxMessages: 32,
      tagHashes: null
    })
    const messages = messagesOf(result)
    for (const { body } of messages) all.push(body.toString().replaceAll('.', ''))
    offset += messages.length
    if (messages.length === 0) throw new Error(`nothing at ${offset} of ${queueId}`)
  }
  return all
}

const T = {
  topicName: 'T',
  readQueueNums: QUEUES,
  writeQueueNums: QUEUES,
  perm: 6,
  topicFilterType: 'SINGLE_TAG',
  topicSysFlag: 0,
  order: false,
  attributes: {}
} satisfies TopicSettings

t.test(
  'a member that was away over several trims comes back by itself, is equal to the others, and leads',
  async t => {
    const group = await Group.of(t)
    await group.leader()
    await group.execute(
      { type: 'putTopic', topic: T },
      { type: 'putValue', room: 'r', key: 'before', value: 'it left' }
    )
    await group.send(60)
    for (const text of ['a', 'b', 'c'])
      await send((await group.leader()).store, message('old', 0, text))
    await group.level()
    const leader = await group.leader()
    const away = group.members.find(m => m !== leader)!
    await away.stop()
    for (let round = 0; round < 3; round++) {
      await group.send(200)
      const { store } = await group.leader()
      await send(store, message('gone', 0, `g${round}`))
      await group.execute(
        {
          type: 'commitOffsets',
          offsets: [{ group: 'G', topic: 'T', queueId: 0, offset: 40 * round }]
        },
        { type: 'putValue', room: 'r', key: `round ${round}`, value: 'x' },
        { type: 'delayProgress', level: 3, offset: round }
      )
      await group.trim()
      await send(store, message('gone', 0, `after the trim of round ${round}`))
      await group.execute({ type: 'deleteTopic', topic: 'gone' })
      await group.execute({ type: 'putTopic', topic: { ...T, topicName: 'gone' } })
      await send(store, message('gone', 1, `the topic came back in round ${round}`))
    }
    await group.send(50)
    t.ok(leader.store.runtime().logStartPosition > 0, 'the beginning of the log is gone')
    await away.start()
    await group.level()
    t.ok(away.said('is installed'), 'a snapshot came')
    const expected = await everything(leader.store, group.sent)
    for (const member of group.members)
      t.strictSame(await everything(member.store, group.sent), expected, `${member.id} is equal`)

    await group.send(30)
    await group.level()
    t.ok(await leader.store.transferLeadership(away.id), 'it takes over')
    await until('it takes writes', () => away.store.ready)
    await group.send(30)
    await group.level()
    for (let queueId = 0; queueId < QUEUES; queueId++) {
      const bodies = await bodiesOf(away.store, queueId)
      t.strictSame(bodies, await bodiesOf(leader.store, queueId), `queue ${queueId} is served`)
    }
    t.equal(away.store.tables.consumerOffset('G', 'T', 0), 80)
    const next = await send(away.store, message('old', 0, 'd'))
    t.equal(next.queueOffset, 3, 'a queue whose messages are all trimmed goes on')
    await group.level()
    await away.stop()
    await away.start()
    await group.level()
    t.strictSame(
      await everything(away.store, group.sent),
      await everything(leader.store, group.sent),
      'a restart changes nothing'
    )
  }
)

t.test(
  'a member whose disk was wiped comes back by itself, is equal to the others, and leads',
  async t => {
    const group = await Group.of(t)
    await group.leader()
    await group.execute({ type: 'putTopic', topic: T })
    for (let round = 0; round < 2; round++) {
      await group.send(150)
      await group.trim()
    }
    await group.level()
    const leader = await group.leader()
    const wiped = group.members.find(m => m !== leader)!
    await wiped.stop()
    await rm(wiped.directory, { recursive: true })
    await group.send(50)
    await group.trim()
    await wiped.start()
    await until('it votes again', () => wiped.store.status().membership === 'voter')
    await group.level()
    t.ok(wiped.said('is installed'), 'a snapshot came')
    const expected = await everything(leader.store, group.sent)
    t.strictSame(await everything(wiped.store, group.sent), expected, 'it is equal')
    t.ok(await leader.store.transferLeadership(wiped.id), 'it takes over')
    await until('it takes writes', () => wiped.store.ready)
    await group.send(30)
    await group.level()
    for (let queueId = 0; queueId < QUEUES; queueId++) {
      const bodies = await bodiesOf(wiped.store, queueId)
      t.strictSame(bodies, await bodiesOf(leader.store, queueId), `queue ${queueId} is served`)
    }
  }
)

t.test('queues and keys that are built again go on where a stop left them', async t => {
  const directory = t.testdir()
  const { disk, host } = createRealPlatform()
  const sizes = { consumeQueueFileBytes: 2000 }
  const whole = await openLeader(join(directory, 'whole'), sizes)
  for (let i = 0; i < 120; i++) {
    await send(whole.store, message('T', i % QUEUES, `m${i}`, { KEYS: `k${i}` }))
    if (i === 70) {
      await whole.store.execute({ type: 'deleteTopic', topic: 'T' })
      await whole.store.execute({ type: 'putTopic', topic: T })
    }
  }
  await send(whole.store, message('once', 0, 'x'))
  await whole.store.stop()
  const statePath = join(directory, 'dump')
  const { index } = await dumpState(disk, whole.state, statePath)
  t.equal(index, whole.log.entries.length)

  const log = whole.log.fork()
  const first = log.entries[30]!
  log.startPosition = first.position
  const state = new MemoryState()
  const install = {
    snapshotId: 's',
    index,
    endPosition: log.endPosition,
    firstIndex: 31,
    statePath
  }
  await loadState(disk, state, install, await host.bootId())
  let appliedEntries = 0
  for (const until of [31, 60, 61, 80, index]) {
    log.commitIndex = until
    const { store } = await openFake(join(directory, 'built'), { ...sizes, log, state })
    appliedEntries += store.counters.appliedEntries
    if (until === 31) {
      const early = await store.pull({
        topic: 'T',
        queueId: 1,
        offset: 5,
        maxMessages: 1,
        tagHashes: null
      })
      t.equal(early.status, 'NO_MESSAGE_IN_QUEUE', 'not "gone": it is only not built yet')
    }
    await store.stop()
  }
  t.equal(appliedEntries, index - 30, 'no entry twice')

  const built = await openFake(join(directory, 'built'), { ...sizes, log, state })
  const again = await openFake(join(directory, 'whole'), {
    ...sizes,
    log: whole.log,
    state: whole.state
  })
  for (const topic of ['T', 'once']) {
    t.strictSame(built.store.queueIds(topic), again.store.queueIds(topic))
    for (const queueId of again.store.queueIds(topic)) {
      const max = again.store.maxOffset(topic, queueId)
      t.equal(built.store.maxOffset(topic, queueId), max)
      const min = built.store.minOffset(topic, queueId)
      const units = await built.store.units(topic, queueId, min, 1000)
      t.equal(units.length, max - min)
      t.strictSame(units, await again.store.units(topic, queueId, min, 1000))
    }
  }
  for (let i = 71; i < 120; i++) {
    const query = {
      topic: 'T',
      key: `k${i}`,
      maxMessages: 2,
      beginTimestamp: 0,
      endTimestamp: 1e15
    }
    t.equal((await built.store.query(query)).messages.length, 1)
  }
  await built.store.stop()
  await again.store.stop()
})
