import { join } from 'node:path'
import t from 'tap'
import {
  createRealPlatform,
  type Disk,
  type LogFields,
  type Platform,
  silentLogger
} from '../../src/platform/index.ts'
import type { Command } from '../../src/store/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { FakeLog } from '../helpers/fakeRaft.ts'
import {
  bodies,
  fingerprint,
  MemoryState,
  message,
  type Opened,
  openFake,
  pull,
  Waiter
} from './helpers.ts'

const INTERVAL_MS = 1_000

/**
 * What a process has to do with the outside, until it is killed: what it began is done, what it wants to begin
 * afterwards never is.
 */
class Mortal {
  #dead = false
  #busy = 0

  wrap<T extends object>(target: T, names: readonly (keyof T)[]): T {
    const wrapped = Object.create(target) as Record<keyof T, unknown>
    for (const name of names) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>
      wrapped[name] = (...args: unknown[]) => this.#live(() => call.apply(target, args))
    }
    return wrapped as T
  }

  disk(disk: Disk): Disk {
    const names = ['makeDirectory', 'list', 'remove', 'syncDirectory', 'space'] as const
    const wrapped = this.wrap(disk, names)
    wrapped.open = (path, options) =>
      this.#live(async () => {
        const file = await disk.open(path, options)
        return this.wrap(file, ['read', 'write', 'datasync', 'truncate', 'close'])
      })
    return wrapped
  }

  async kill(): Promise<void> {
    this.#dead = true
    while (this.#busy > 0) await turn()
  }

  async #live<T>(call: () => Promise<T>): Promise<T> {
    if (this.#dead) return new Promise(() => {})
    this.#busy += 1
    try {
      return await call()
    } finally {
      this.#busy -= 1
    }
  }
}

/** A store whose checkpoints come when the test says so. */
class Life {
  readonly clock = new FakeClock()
  readonly directory: string
  readonly log: FakeLog
  readonly state: MemoryState
  bootId = 'boot-1'
  errors: string[] = []
  #opened: Opened | null = null
  #mortal = new Mortal()

  constructor(directory: string, log = new FakeLog(), state = new MemoryState()) {
    this.directory = directory
    this.log = log
    this.state = state
  }

  get now(): Opened {
    return this.#opened!
  }

  async open(lead = true): Promise<Opened> {
    const real = createRealPlatform()
    this.#mortal = new Mortal()
    const platform: Platform = {
      ...real,
      disk: this.#mortal.disk(real.disk),
      clock: this.clock,
      host: { ...real.host, bootId: async () => this.bootId }
    }
    const note = (text: string, _fields?: LogFields): void => {
      this.errors.push(text)
    }
    this.#opened = await openFake(this.directory, {
      log: this.log,
      openState: async () => this.#mortal.wrap(this.state, ['write']),
      platform,
      logger: { ...silentLogger, error: note },
      checkpointIntervalMs: INTERVAL_MS,
      consumeQueueFileBytes: 50 * 20,
      // Its writes are not those that are counted here.
      scrubBytesPerSecond: 0
    })
    if (lead) this.now.node.lead()
    return this.now
  }

  /** The process is gone at once: nothing of it is written any more. */
  async kill(): Promise<void> {
    this.now.node.stopped = true
    await this.#mortal.kill()
  }

  /** An orderly stop; what does not commit has had its time. */
  async stop(): Promise<void> {
    const stopping = this.now.store.stop({ graceMs: 500 })
    await turn()
    this.clock.advance(500)
    await stopping
  }

  /** Lets the timer of the checkpoint fire and waits for the write. */
  async checkpoint(ms = INTERVAL_MS): Promise<void> {
    const writes = this.state.writes
    const { node, store } = this.now
    if (store.runtime().checkpointIndex === node.appliedIndex) return
    // Once: time that passes during the work would make the next rest longer.
    this.clock.advance(ms)
    while (this.state.writes === writes) await turn()
    for (let i = 0; i < 5; i++) await turn()
  }
}

function turn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function generator(seed: number): (limit: number) => number {
  let state = seed
  return limit => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

const TIMERS = 'rmq_sys_wheel_timer'
const TOPICS = ['A', 'B', 'C', 'SCHEDULE_TOPIC_XXXX']

function randomCommand(random: (limit: number) => number): Command {
  const topic = TOPICS[random(3)]!
  const queueId = random(3)
  switch (random(7)) {
    case 0:
      return { type: 'deleteTopic', topic }
    case 1:
      return {
        type: 'commitOffsets',
        offsets: [{ group: 'G', topic, queueId, offset: random(99) }]
      }
    case 2:
      return { type: 'setOffsets', offsets: [{ group: 'H', topic, queueId, offset: random(99) }] }
    case 3:
      return {
        type: 'lockQueues',
        group: 'G',
        clientId: `c${random(2)}`,
        queues: [{ topic: 'T', queueId: 0 }]
      }
    case 4:
      return {
        type: 'putValue',
        room: 'r',
        key: `k${random(5)}`,
        value: random(2) === 0 ? null : `v${random(9)}`
      }
    case 5:
      return { type: 'delayProgress', level: 1 + random(3), offset: random(50) }
    default:
      return {
        type: 'putTopic',
        topic: {
          topicName: topic,
          readQueueNums: 1 + random(4),
          writeQueueNums: 4,
          perm: 6,
          topicFilterType: 'SINGLE_TAG',
          topicSysFlag: 0,
          order: false
        }
      }
  }
}

for (const seed of [1, 2, 3, 4, 5, 6]) {
  t.test(`kills at any moment lose and double nothing (seed ${seed})`, async t => {
    const random = generator(seed)
    const directory = t.testdir()
    const life = new Life(join(directory, 'lived'))
    await life.open()
    let kills = 0
    for (let step = 0; step < 120; step++) {
      const { store, node } = life.now
      life.log.timeMs += random(1_000)
      switch (random(13)) {
        case 0:
          await life.checkpoint()
          break
        case 1: {
          // Killed somewhere in a checkpoint: removed files, written units, or all of it.
          life.clock.advance(INTERVAL_MS)
          for (let i = random(12); i > 0; i--) await turn()
          await life.kill()
          kills += 1
          await life.open()
          break
        }
        case 2:
          if (random(2) === 0) await life.stop()
          else await life.kill()
          kills += 1
          await life.open()
          break
        case 3:
          node.propose()
          node.follow()
          if (random(2) === 0) node.loseTail()
          node.lead()
          break
        case 4:
        case 5:
          store.execute(randomCommand(random)).catch(() => {})
          break
        case 6: {
          const inputs = Array.from({ length: 1 + random(4) }, () =>
            message(TOPICS[random(4)]!, random(3), 'atom')
          )
          store.appendAtomic(
            inputs,
            [{ type: 'delayProgress', level: 4, offset: step }],
            new Waiter()
          )
          break
        }
        case 10:
          for (let i = random(9); i > 0; i--) {
            const due = { TIMER_DELIVER_MS: String(1_800_000_000_000 + random(20)) }
            store.append(message(TIMERS, 0, 'waits', due), new Waiter())
          }
          break
        case 11: {
          // As the leader's service does: what it takes away is applied and waits no more.
          node.commit()
          const waiting = await store.timers({ dueMs: 0, position: 0 }, 1e15, 40)
          const timers = waiting.filter(() => random(2) === 0)
          if (timers.length === 0) break
          const inputs = timers.map(() => message('A', 0, 'in time'))
          store.appendAtomic(inputs, [{ type: 'timersDone', timers }], new Waiter())
          node.commit()
          break
        }
        default:
          for (let i = random(60); i > 0; i--) {
            const properties = {
              TAGS: `t${random(3)}`,
              UNIQ_KEY: `u${step}-${i}`,
              KEYS: `k${random(9)}`
            }
            store.append(
              message(TOPICS[random(4)]!, random(3), `m${step}`, properties),
              new Waiter()
            )
          }
      }
      if (random(3) > 0) life.now.node.commit()
    }
    life.now.node.commit()
    const replica = await openFake(join(directory, 'replica'), { log: life.log })
    const expected = await fingerprint(replica.store)
    t.strictSame(
      await fingerprint(life.now.store),
      expected,
      'as a replica that applied all at once'
    )
    const keys = {
      topic: 'A',
      key: 'k3',
      maxMessages: 1_000,
      beginTimestamp: 0,
      endTimestamp: 1e15
    }
    t.strictSame(
      (await life.now.store.query(keys)).messages.map(found => found.toString('hex')),
      (await replica.store.query(keys)).messages.map(found => found.toString('hex'))
    )
    t.ok(kills > 5, `${kills} kills`)
    t.strictSame(life.errors, [])
    await life.now.store.stop()
    await life.open(false)
    t.strictSame(await fingerprint(life.now.store), expected, 'after an orderly stop too')
    t.equal(life.now.store.runtime().checkpointIndex, life.log.entries.length)
    await life.now.store.stop()
    await replica.store.stop()
  })
}

t.test('a stop that was orderly leaves nothing to apply again', async t => {
  const life = new Life(t.testdir())
  const { store, node } = await life.open()
  store.append(message('T', 0, 'x', { UNIQ_KEY: 'u' }), new Waiter())
  node.commit()
  await store.stop()
  const again = await life.open(false)
  t.equal(again.store.counters.appliedEntries, 0)
  t.strictSame(bodies(await pull(again.store, {})), ['x'])
  const query = { topic: 'T', key: 'u', maxMessages: 1, beginTimestamp: 0, endTimestamp: 1e15 }
  t.equal((await again.store.query(query)).messages.length, 1, 'the key came from a run')
  await again.store.stop()
})

t.test('nothing is written beyond what is durable in the own log (R-D5)', async t => {
  const life = new Life(t.testdir())
  const { store, node } = await life.open()
  await life.checkpoint()
  const { checkpointIndex } = store.runtime()
  node.durableLimit = checkpointIndex
  const writes = life.state.writes
  store.append(message('T', 0, 'x'), new Waiter())
  node.commit()
  for (let i = 0; i < 20; i++) {
    life.clock.advance(INTERVAL_MS)
    await turn()
  }
  t.equal(life.state.writes, writes)
  node.durableLimit = null
  life.clock.advance(INTERVAL_MS)
  while (life.state.writes === writes) await turn()
  t.equal(store.runtime().checkpointIndex, node.appliedIndex)
  await store.stop()
})

t.test('a state database that fails stops nothing, and catches up when it works again', async t => {
  const life = new Life(t.testdir())
  const { store, node } = await life.open()
  life.state.failing = true
  for (let i = 0; i < 5; i++) {
    store.append(message('T', 0, `m${i}`), new Waiter())
    node.commit()
    const errors = life.errors.length
    life.clock.advance(INTERVAL_MS * 40)
    while (life.errors.length === errors) await turn()
    await turn()
  }
  t.equal(life.errors.length, 5, 'each failure is told')
  t.match(life.errors[0], /checkpoint failed/)
  t.equal(store.runtime().checkpointIndex, 0)
  t.strictSame(bodies(await pull(store, {})), ['m0', 'm1', 'm2', 'm3', 'm4'])
  life.state.failing = false
  const writes = life.state.writes
  while (life.state.writes === writes) {
    life.clock.advance(INTERVAL_MS)
    for (let i = 0; i < 20; i++) await turn()
  }
  await life.checkpoint(60_000)
  t.equal(store.runtime().checkpointIndex, node.appliedIndex)
  await life.kill()
  const again = await life.open(false)
  t.strictSame(bodies(await pull(again.store, {})), ['m0', 'm1', 'm2', 'm3', 'm4'])
  t.equal(again.store.counters.appliedEntries, 0)
  await again.store.stop()
})

t.test('a state database that is late holds back nothing but checkpoints', async t => {
  const life = new Life(t.testdir())
  const { store, node } = await life.open()
  const release = life.state.hold()
  store.append(message('T', 0, 'early'), new Waiter())
  node.commit()
  life.clock.advance(INTERVAL_MS)
  for (let i = 0; i < 200; i++) {
    store.append(message('T', 0, `late${i}`), new Waiter())
    node.commit()
    if (i % 50 === 0) await turn()
  }
  t.equal(store.maxOffset('T', 0), 201)
  t.equal((await pull(store, { offset: 190 })).messageCount, 11)
  release()
  while (life.state.writes === 0) await turn()
  await life.checkpoint(10_000)
  await store.stop()
  const again = await life.open(false)
  t.equal(again.store.maxOffset('T', 0), 201)
  t.equal((await pull(again.store, { offset: 0 })).messageCount, 32)
  await again.store.stop()
})

t.test('a checkpoint that took long is followed by a long rest, unless much waits', async t => {
  const life = new Life(t.testdir())
  const { store, node } = await life.open()
  const takeOneSecond = async (): Promise<void> => {
    const { writes } = life.state
    const release = life.state.hold()
    store.append(message('T', 0, 'm'), new Waiter())
    node.commit()
    life.clock.advance(INTERVAL_MS)
    for (let i = 0; i < 20; i++) await turn()
    life.clock.advance(1_000)
    release()
    while (life.state.writes === writes) await turn()
    for (let i = 0; i < 20; i++) await turn()
    store.append(message('T', 0, 'more'), new Waiter())
    node.commit()
  }
  const { state, clock } = life
  const written = async (): Promise<void> => {
    const { writes } = state
    clock.advance(1_100)
    while (state.writes === writes) await turn()
  }
  await takeOneSecond()
  const { writes } = state
  clock.advance(18_000)
  for (let i = 0; i < 200; i++) await turn()
  t.equal(state.writes, writes, 'it may take a twentieth of the time')
  await written()
  await takeOneSecond()
  store.counters.putMessages += 1_000_000
  await written()
  await store.stop()
})

t.test('after a power loss the queues go back to what was synced, and are built again', async t => {
  const directory = t.testdir()
  const life = new Life(join(directory, 'lived'))
  const { node } = await life.open()
  const fill = (count: number): void => {
    for (let i = 0; i < count; i++) life.now.store.append(message('T', 0, `m${i}`), new Waiter())
    life.now.node.commit()
  }
  while (life.state.syncs === 0) {
    fill(3)
    await life.checkpoint()
  }
  const syncs = life.state.syncs
  const syncedUnits = life.now.store.maxOffset('T', 0)
  fill(30)
  await life.checkpoint()
  t.equal(life.state.syncs, syncs, 'the second one was not synced')
  t.equal(node.appliedIndex, life.now.store.runtime().checkpointIndex)
  await life.kill()
  // What was not synced is gone from the file, though the state database has it.
  const file = await createRealPlatform().disk.open(
    join(life.directory, 'consumequeue/T/0/00000000000000000000')
  )
  await file.truncate(syncedUnits * 20)
  await file.close()
  life.bootId = 'boot-2'
  await life.open(false)
  const replica = await openFake(join(directory, 'replica'), { log: life.log })
  t.strictSame(await fingerprint(life.now.store), await fingerprint(replica.store))
  fill(0)
  await life.now.store.stop()
  await life.open(false)
  t.strictSame(await fingerprint(life.now.store), await fingerprint(replica.store))
  await life.now.store.stop()
  await replica.store.stop()
})

t.test(
  'what a killed process left to the page cache does not count as synced for the next',
  async t => {
    const directory = t.testdir()
    const life = new Life(join(directory, 'lived'))
    await life.open()
    const fill = (topic: string, count: number): void => {
      for (let i = 0; i < count; i++) {
        life.now.store.append(message(topic, 0, `m${i}`), new Waiter())
      }
      life.now.node.commit()
    }
    fill('T', 30)
    await life.checkpoint()
    t.equal(life.state.syncs, 0, 'nothing was synced')
    await life.kill()
    // The same boot: what is in the files counts. A checkpoint of another queue only follows, and the power fails.
    await life.open()
    fill('U', 3)
    await life.checkpoint()
    t.equal(life.state.syncs, 0)
    await life.kill()
    const disk = createRealPlatform().disk
    await disk.remove(join(life.directory, 'consumequeue'))
    life.bootId = 'boot-2'
    await life.open()
    const replica = await openFake(join(directory, 'replica'), { log: life.log })
    t.strictSame(await fingerprint(life.now.store), await fingerprint(replica.store))
    // And once a later process has synced, the files of the one before are on the disk too.
    await life.checkpoint()
    await life.kill()
    life.bootId = 'boot-2'
    await life.open()
    const syncedBefore = life.state.syncs
    while (life.state.syncs === syncedBefore) {
      fill('U', 1)
      await life.checkpoint()
    }
    await life.kill()
    life.bootId = 'boot-3'
    await life.open(false)
    const other = await openFake(join(directory, 'other'), { log: life.log })
    t.strictSame(await fingerprint(life.now.store), await fingerprint(other.store))
    await life.now.store.stop()
    await replica.store.stop()
    await other.store.stop()
  }
)

t.test('state that is ahead of a damaged log is thrown away and built anew (4.9)', async t => {
  const directory = t.testdir()
  const life = new Life(join(directory, 'lived'))
  const { store, node } = await life.open()
  for (let i = 0; i < 5; i++) {
    store.append(message('T', 0, `m${i}`), new Waiter())
    node.commit()
  }
  await store.stop()
  life.log.commitIndex = 3
  life.log.committedPosition = life.log.entries[3]!.position
  node.loseTail()
  await life.open(false)
  t.match(life.errors.join(), /thrown away/)
  const replica = await openFake(join(directory, 'replica'), { log: life.log })
  t.strictSame(await fingerprint(life.now.store), await fingerprint(replica.store))
  t.strictSame(bodies(await pull(life.now.store, {})), ['m0', 'm1'])
  await life.now.store.stop()
  await replica.store.stop()
})

t.test('a thousand queues live on 512 open files', async t => {
  const life = new Life(t.testdir())
  const { store, node } = await life.open()
  for (let round = 0; round < 2; round++) {
    for (let queue = 0; queue < 1_000; queue++) {
      store.append(message(`T${queue % 50}`, Math.floor(queue / 50), `m${round}`), new Waiter())
    }
    node.commit()
    await life.checkpoint(60_000)
  }
  t.equal(store.runtime().queueCount, 1_000)
  await store.stop()
  const again = await life.open(false)
  for (const [topic, queueId] of [
    ['T0', 0],
    ['T49', 19],
    ['T25', 7]
  ] as const) {
    t.strictSame(bodies(await pull(again.store, { topic, queueId })), ['m0', 'm1'])
  }
  await again.store.stop()
})
