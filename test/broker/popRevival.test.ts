import t from 'tap'
import { InFlight } from '../../src/broker/pop/inFlight.ts'
import { Revival } from '../../src/broker/pop/revival.ts'
import { silentLogger } from '../../src/platform/index.ts'
import {
  encodeProperties,
  type MessageFields,
  storedMessageSize,
  writeStoredMessage
} from '../../src/protocol/index.ts'
import type {
  AppendRefusal,
  BatchAppendWaiter,
  Command,
  CommandResult,
  MessageInput,
  PopCheckpoint
} from '../../src/store/index.ts'
import { PopTable, type PopTake } from '../../src/store/pop.ts'
import { FakeClock } from '../helpers/fakeClock.ts'

const host = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f])
const queue = { group: 'G', topic: 'T', queueId: 0 }

function stored(body: string, reconsumeTimes: number): Buffer {
  const fields: MessageFields = {
    topicBytes: Buffer.from('T'),
    queueId: 0,
    flag: 0,
    queueOffset: 0,
    sysFlag: 0,
    bornTimestamp: 1,
    bornHost: host,
    storeTimestamp: 1,
    storeHost: host,
    reconsumeTimes,
    preparedTransactionOffset: 0,
    body: Buffer.from(body),
    properties: encodeProperties([['UNIQ_KEY', `U${body}`]])
  }
  const bytes = Buffer.alloc(storedMessageSize(fields))
  writeStoredMessage(bytes, 0, fields)
  return bytes
}

interface Append {
  topics: string[]
  bodies: string[]
  commands: readonly Command[]
  waiter: BatchAppendWaiter
}

/** What a leader's service sees of its broker; appends and commands end when the test says so. */
class Stage {
  readonly clock = new FakeClock()
  readonly pops = new PopTable()
  readonly appends: Append[] = []
  /** Proposed and not applied. */
  readonly commands: { command: Command; resolve: (result: CommandResult) => void }[] = []
  refusal: AppendRefusal | null = null
  unreadable: number | null = null
  gone: number | null = null
  deliveries = 0
  noTopics = false
  added: (pops: readonly PopCheckpoint[]) => void = () => {}
  readonly inFlight: InFlight
  readonly service: Revival

  constructor() {
    const store = {
      ready: true,
      tables: { pops: this.pops, consumerOffset: () => -1 },
      timeMs: () => this.clock.wallMs(),
      onPops: (listener: (pops: readonly PopCheckpoint[]) => void) => {
        this.added = listener
      },
      status: () => ({ leaderId: 'n1' }),
      runtime: () => ({ logStartPosition: 0 }),
      unit: async (_topic: string, _queueId: number, offset: number) =>
        offset === this.gone ? null : { physicalOffset: offset, size: 1, tagsCode: 0 },
      messageAt: async (at: number) =>
        at === this.unreadable ? null : stored(`m${at}`, this.deliveries),
      appendAtomic: (
        messages: readonly MessageInput[],
        commands: readonly Command[],
        waiter: BatchAppendWaiter
      ) => {
        if (this.refusal !== null) return this.refusal
        const bodies = messages.map(message => Buffer.from(message.body).toString())
        const topics = messages.map(message => message.topic)
        this.appends.push({ topics, bodies, commands, waiter })
        return null
      },
      execute: (command: Command) =>
        new Promise<CommandResult>(resolve => this.commands.push({ command, resolve }))
    }
    const broker = {
      store,
      platform: { clock: this.clock },
      storeHost: host,
      logger: silentLogger,
      stats: { put: () => {}, deadLetter: () => {} },
      config: { values: { enableRetryTopicV2: false } },
      groups: { find: () => ({ groupName: 'G', retryMaxTimes: 2 }) },
      topics: {
        find: () => ({ topicName: 'T' }),
        ensure: async () => {
          if (this.noTopics) throw new Error('maxTopics is 1')
        },
        ensureDeadLetter: async () => {}
      }
    }
    this.inFlight = new InFlight(broker as never)
    this.service = new Revival(broker as never, this.inFlight)
  }

  /** Messages that come back after `invisibleMs`; told as the store tells. */
  take(offsets: readonly number[], invisibleMs: number): void {
    const take: PopTake = {
      ...queue,
      startOffset: offsets[0]!,
      popTime: this.clock.wallMs(),
      invisibleMs,
      expectedOffset: -1,
      nextOffset: 0,
      offsets,
      position: 0
    }
    this.pops.add(take)
    this.added(this.pops.takeAdded())
  }

  ack(offset: number, startOffset: number, popTime: number): Promise<void> {
    return this.inFlight.acknowledge({ ...queue, startOffset, popTime, offsets: [offset] })
  }

  apply(commands: readonly Command[]): void {
    for (const command of commands)
      if (command.type === 'popAcks') for (const ack of command.acks) this.pops.acknowledge(ack)
  }

  /** The last append is committed and applied. */
  async commit(): Promise<void> {
    const { commands, waiter } = this.appends.at(-1)!
    this.apply(commands)
    waiter.stored()
    await settled()
  }

  /** All proposed commands are. */
  async applyCommands(): Promise<void> {
    for (const { command, resolve } of this.commands.splice(0)) {
      this.apply([command])
      resolve({ changed: true, granted: [] })
    }
    await settled()
  }

  async start(): Promise<void> {
    this.service.start()
    await settled()
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms)
    await settled()
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 12; i++) await new Promise(resolve => setImmediate(resolve))
}

t.test(
  'what is not acknowledged is given out anew at its time, with its mark in the same entry',
  async t => {
    const stage = new Stage()
    stage.take([0, 1, 2], 1_000)
    await stage.start()
    const { popTime } = [...stage.pops.all()][0]!
    const acked = stage.ack(1, 0, popTime)
    await settled()
    await stage.applyCommands()
    await acked
    stage.take([7], 5_000)
    await stage.pass(999)
    t.equal(stage.appends.length, 0)
    await stage.pass(1)
    t.equal(stage.appends.length, 1)
    t.strictSame(stage.appends[0]?.bodies, ['m0', 'm2'])
    t.strictSame(new Set(stage.appends[0]?.topics), new Set(['%RETRY%G_T']))
    t.match(stage.appends[0]?.commands, [
      { type: 'commitOffsets', offsets: [{ topic: '%RETRY%G_T', offset: 0 }, { offset: 0 }] },
      { type: 'popAcks' }
    ])
    await stage.commit()
    t.equal(stage.pops.count, 1)
    t.equal(stage.service.revived, 2)
    await stage.pass(4_000)
    t.strictSame(stage.appends[1]?.bodies, ['m7'])
    await stage.commit()
    stage.service.stop()
    t.equal(stage.clock.timers, 0)
  }
)

t.test('an acknowledgement before the time counts, one after it comes too late', async t => {
  const stage = new Stage()
  stage.take([0, 1, 2], 1_000)
  await stage.start()
  const { popTime } = [...stage.pops.all()][0]!
  stage.clock.advance(999)
  // In the turn in which its time will be over, and not yet in the log.
  const early = stage.ack(0, 0, popTime)
  stage.clock.advance(1)
  const late = stage.ack(1, 0, popTime)
  await settled()
  t.equal(stage.appends.length, 0, 'it waits for what came before')
  await late
  t.strictSame(
    stage.commands.map(({ command }) => command.type),
    ['popAcks', 'popAcks']
  )
  await stage.applyCommands()
  await early
  t.strictSame(stage.appends[0]?.bodies, ['m1', 'm2'])
  await stage.commit()
  t.equal(stage.pops.count, 0)
  stage.service.stop()
})

t.test('an entry whose fate is open is not sent again', async t => {
  const stage = new Stage()
  stage.take([0], 1_000)
  await stage.start()
  await stage.pass(1_000)
  stage.appends[0]!.waiter.failed('timeout')
  for (let i = 0; i < 50; i++) await stage.pass(100)
  t.equal(stage.appends.length, 1)
  stage.apply(stage.appends[0]!.commands)
  await stage.pass(100)
  t.equal(stage.service.revived, 1)
  stage.take([1], 10)
  await stage.pass(10)
  stage.appends[1]!.waiter.failed('notStarted')
  await settled()
  for (let i = 0; i < 20; i++) await stage.pass(100)
  t.equal(stage.appends.length, 3, 'what never reached the log is sent again')
  stage.service.stop()
})

t.test('one that cannot be given out now does not hold up the others', async t => {
  const stage = new Stage()
  stage.unreadable = 0
  stage.gone = 1
  stage.take([0], 1_000)
  stage.take([1, 2], 1_000)
  await stage.start()
  await stage.pass(1_000)
  t.strictSame(stage.appends[0]?.bodies, ['m2'])
  await stage.commit()
  t.equal(stage.pops.count, 1, 'the gone one is done with, the other waits')
  stage.unreadable = null
  stage.refusal = 'busy'
  await stage.pass(1_000)
  t.equal(stage.appends.length, 1)
  stage.refusal = null
  stage.noTopics = true
  await stage.pass(1_000)
  t.equal(stage.appends.length, 1)
  stage.noTopics = false
  await stage.pass(1_000)
  t.strictSame(stage.appends[1]?.bodies, ['m0'])
  stage.service.stop()
})

t.test(
  'what the log does not take goes message by message, and what it never takes goes away',
  async t => {
    const stage = new Stage()
    stage.take([0, 1], 1_000)
    await stage.start()
    stage.refusal = 'tooLarge'
    await stage.pass(1_000)
    await stage.applyCommands()
    await stage.applyCommands()
    t.equal(stage.pops.count, 0)
    t.equal(stage.appends.length, 0)
    stage.service.stop()
  }
)

t.test('the last delivery ends in the dead letters', async t => {
  const stage = new Stage()
  stage.deliveries = 2
  stage.take([0], 1_000)
  await stage.start()
  await stage.pass(1_000)
  t.strictSame(stage.appends[0]?.topics, ['%DLQ%G'])
  await stage.commit()
  t.equal(stage.service.dead, 1)
  stage.service.stop()
})

t.test('a leader that comes takes over what is in flight, one that goes leaves it', async t => {
  const stage = new Stage()
  stage.take([0], 1_000)
  stage.take([1], 2_000)
  await stage.pass(1_500)
  t.equal(stage.appends.length, 0, 'a follower does nothing')
  await stage.start()
  t.strictSame(stage.appends[0]?.bodies, ['m0'], 'what was due before it led')
  stage.service.stop()
  stage.appends[0]!.waiter.failed('notLeader')
  await stage.pass(5_000)
  t.equal(stage.appends.length, 1)
  t.equal(stage.pops.count, 2)
})
