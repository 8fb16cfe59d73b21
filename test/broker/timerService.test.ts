import t from 'tap'
import { recallHandle } from '../../src/broker/timer/handle.ts'
import { recallMessage, TimerService } from '../../src/broker/timer/index.ts'
import { silentLogger } from '../../src/platform/index.ts'
import {
  encodeProperties,
  type MessageFields,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  storedMessageSize,
  writeStoredMessage
} from '../../src/protocol/index.ts'
import type {
  AppendRefusal,
  BatchAppendWaiter,
  Command,
  MessageInput,
  TimerRef
} from '../../src/store/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'

const host = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f])

function stored(body: string): Buffer {
  const fields: MessageFields = {
    topicBytes: Buffer.from('rmq_sys_wheel_timer'),
    queueId: 0,
    flag: 0,
    queueOffset: 0,
    sysFlag: 0,
    bornTimestamp: 1,
    bornHost: host,
    storeTimestamp: 1,
    storeHost: host,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: Buffer.from(body),
    properties: encodeProperties([
      ['REAL_TOPIC', 'T'],
      ['REAL_QID', '0']
    ])
  }
  const bytes = Buffer.alloc(storedMessageSize(fields))
  writeStoredMessage(bytes, 0, fields)
  return bytes
}

interface Append {
  bodies: string[]
  timers: readonly TimerRef[]
  waiter: BatchAppendWaiter
}

/** What a leader's service sees of its broker; appends end when the test says so. */
class Stage {
  readonly clock = new FakeClock()
  waiting: TimerRef[] = []
  readonly appends: Append[] = []
  readonly marked: TimerRef[] = []
  refusal: AppendRefusal | null = null
  unreadable = false
  logStartPosition = 0
  looks = 0
  #added = 0
  arrived: (earliestMs: number) => void = () => {}
  readonly service: TimerService

  constructor() {
    const store = {
      onTimers: (listener: (earliestMs: number) => void) => {
        this.arrived = listener
      },
      timers: async (from: TimerRef, untilMs: number, max: number) => {
        this.looks += 1
        return this.waiting
          .filter(({ dueMs, position }) => {
            const before = dueMs < from.dueMs || (dueMs === from.dueMs && position < from.position)
            return !before && dueMs <= untilMs
          })
          .slice(0, max)
      },
      messageAt: async (position: number) =>
        this.unreadable || position < this.logStartPosition ? null : stored(`m${position}`),
      runtime: () => ({ logStartPosition: this.logStartPosition }),
      status: () => ({ leaderId: 'n1' }),
      timeMs: () => this.clock.wallMs(),
      appendAtomic: (
        messages: readonly MessageInput[],
        [command]: readonly Command[],
        waiter: BatchAppendWaiter
      ) => {
        if (this.refusal !== null) return this.refusal
        if (command?.type !== 'timersDone') throw new Error('without its mark')
        const bodies = messages.map(message => Buffer.from(message.body).toString())
        this.appends.push({ bodies, timers: command.timers, waiter })
        return null
      },
      execute: async (command: Command) => {
        if (command.type !== 'timersDone') throw new Error('no mark')
        this.marked.push(...command.timers)
        this.apply(command.timers)
        return { changed: true, granted: [] }
      }
    }
    const broker = {
      store,
      platform: { clock: this.clock },
      storeHost: host,
      logger: silentLogger,
      stats: { put: () => {} }
    }
    this.service = new TimerService(broker as never)
  }

  /** A message that waits; told as the store tells. */
  add(inMs: number): TimerRef {
    const timer = { dueMs: this.clock.wallMs() + inMs, position: 1_000 + this.#added++ }
    this.waiting.push(timer)
    this.waiting.sort((a, b) => a.dueMs - b.dueMs || a.position - b.position)
    this.arrived(timer.dueMs)
    return timer
  }

  apply(timers: readonly TimerRef[]): void {
    this.waiting = this.waiting.filter(
      ({ position }) => !timers.some(done => done.position === position)
    )
  }

  /** The last append is committed and applied. */
  async commit(): Promise<void> {
    const { timers, waiter } = this.appends[this.appends.length - 1]!
    this.apply(timers)
    waiter.stored()
    await settled()
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms)
    await settled()
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise(resolve => setImmediate(resolve))
}

async function leading(): Promise<Stage> {
  const stage = new Stage()
  stage.service.start()
  await settled()
  return stage
}

t.test('a delivery goes out when its time has come, not before', async t => {
  const stage = await leading()
  stage.add(20_000)
  stage.add(500)
  await stage.pass(499)
  t.equal(stage.appends.length, 0)
  await stage.pass(1)
  t.strictSame(
    stage.appends.map(({ bodies }) => bodies),
    [['m1001']]
  )
  await stage.commit()
  for (let i = 0; i < 6; i++) await stage.pass(4_000)
  t.strictSame(stage.appends[1]?.bodies, ['m1000'], 'also behind several looks at the clock')
  await stage.commit()
  t.equal(stage.appends.length, 2)
})

t.test('a look at what waits serves many, and what arrives is not missed', async t => {
  const stage = await leading()
  for (let ms = 1; ms <= 600; ms++) stage.add(ms)
  const looks = stage.looks
  const sent = (): string[] => stage.appends.flatMap(({ bodies }) => bodies)
  const step = async (): Promise<void> => {
    await stage.pass(1)
    if (stage.appends.length > 0) await stage.commit()
  }
  for (let ms = 1; ms <= 300; ms++) await step()
  t.equal(sent().length, 300)
  t.ok(stage.looks - looks < 10, `${stage.looks - looks} looks`)
  // Between two that were read ahead, before all of them, and behind them.
  for (const ms of [150, 0, 900]) stage.add(ms)
  for (let ms = 301; ms <= 600; ms++) await step()
  t.equal(sent().length, 602)
  t.equal(sent().indexOf('m1601'), 300, 'what is due goes at once')
  t.equal(stage.waiting.length, 1)
  for (let ms = 601; ms <= 1_200; ms++) await step()
  t.equal(new Set(sent()).size, 603)
  t.equal(sent().length, 603, 'each once')
})

t.test('one whose fate is open is not sent again before that is known', async t => {
  const stage = await leading()
  const timer = stage.add(10)
  await stage.pass(10)
  stage.appends[0]!.waiter.failed('timeout')
  await settled()
  stage.add(1)
  for (let i = 0; i < 20; i++) await stage.pass(200)
  t.equal(stage.appends.length, 1, 'nor is what is behind it')
  stage.apply([timer])
  await stage.pass(200)
  t.strictSame(stage.appends[1]?.bodies, ['m1001'])
})

t.test('the next goes out before the one before is committed, each once', async t => {
  const stage = await leading()
  for (const ms of [10, 20, 30]) stage.add(ms)
  for (let i = 0; i < 3; i++) await stage.pass(10)
  t.strictSame(
    stage.appends.map(({ bodies }) => bodies),
    [['m1000'], ['m1001'], ['m1002']]
  )
  // One that arrives late with an early time leads back before those on their way.
  const early = { dueMs: stage.waiting[0]!.dueMs, position: 2_000 }
  stage.waiting.push(early)
  stage.waiting.sort((a, b) => a.dueMs - b.dueMs || a.position - b.position)
  stage.arrived(early.dueMs)
  await stage.pass(1)
  t.strictSame(stage.appends[3]?.bodies, ['m2000'])
  t.equal(stage.appends.length, 4)
  const [first, second, third, fourth] = stage.appends
  stage.apply(first!.timers)
  first!.waiter.stored()
  for (const append of [second, third, fourth]) append!.waiter.failed('notStarted')
  await settled()
  await stage.pass(100)
  t.strictSame(stage.appends[4]?.bodies, ['m2000', 'm1001', 'm1002'], 'in the order of their times')
  await stage.commit()
  t.equal(stage.waiting.length, 0)
})

t.test('no more than some entries are on their way', async t => {
  const stage = await leading()
  for (let ms = 1; ms <= 20; ms++) stage.add(ms)
  for (let ms = 1; ms <= 20; ms++) await stage.pass(1)
  t.equal(stage.appends.length, 8)
  stage.apply(stage.appends[0]!.timers)
  stage.appends[0]!.waiter.stored()
  await settled()
  t.equal(stage.appends.length, 9)
  t.equal(stage.appends[8]?.bodies.length, 12, 'what fell due meanwhile goes together')
})

t.test('one that never began is sent again', async t => {
  const stage = await leading()
  stage.add(10)
  await stage.pass(10)
  stage.appends[0]!.waiter.failed('notStarted')
  await settled()
  t.equal(stage.appends.length, 1, 'after a pause')
  await stage.pass(100)
  t.strictSame(stage.appends[1]?.bodies, ['m1000'])
  await stage.commit()
  stage.refusal = 'busy'
  stage.add(0)
  await stage.pass(50)
  stage.refusal = null
  await stage.pass(150)
  t.equal(stage.appends.length, 3)
})

t.test('a leadership that ends takes no step more, and the next begins anew', async t => {
  const stage = await leading()
  stage.add(10)
  await stage.pass(10)
  stage.service.stop()
  stage.appends[0]!.waiter.failed('notLeader')
  for (let i = 0; i < 5; i++) await stage.pass(1_000)
  t.equal(stage.appends.length, 1)
  stage.service.start()
  await settled()
  t.strictSame(stage.appends[1]?.bodies, ['m1000'])
  await stage.commit()
  t.equal(stage.waiting.length, 0)
})

t.test('a recall waits for the delivery under way', async t => {
  const stage = await leading()
  const going = stage.add(10)
  const later = stage.add(5_000)
  await stage.pass(10)
  const late = stage.service.recall([going])
  const early = stage.service.recall([later])
  await settled()
  t.equal(stage.marked.length, 0)
  await stage.commit()
  t.equal(await late, false, 'its time came first')
  t.equal(await early, true)
  t.strictSame(stage.marked, [later])
  t.equal(await stage.service.recall([later]), true, 'again')
  t.strictSame(stage.marked, [later])
  for (let i = 0; i < 5; i++) await stage.pass(2_000)
  t.equal(stage.appends.length, 1)
  stage.add(10)
  await stage.pass(10)
  const lost = stage.service.recall([later])
  stage.service.stop()
  await t.rejects(lost, { name: 'NotLeaderError' })
  await t.rejects(stage.service.recall([later]), { name: 'NotLeaderError' })
})

t.test('a recall is not answered as done while a message of its key cannot be read', async t => {
  const { service, clock } = new Stage()
  const found = { messages: [] as Buffer[], unreadable: 1 }
  const broker = {
    platform: { clock },
    store: { timeMs: () => clock.wallMs(), query: async () => found },
    topics: { find: () => ({}) },
    config: {
      values: {
        recallMessageEnable: true,
        startAcceptSendRequestTimeStamp: 0,
        timerMaxDelaySec: 60
      },
      settings: { permission: 6, brokerName: 'b' }
    }
  }
  const dueMs = clock.wallMs() + 1_000
  const handle = recallHandle({ topic: 'T', brokerName: 'b', dueMs, uniqueKey: 'K' })
  const recall = async (): Promise<RemotingCommand | null> =>
    await recallMessage(service).handle(
      request(RequestCode.RECALL_MESSAGE, { topic: 'T', recallHandle: handle }),
      null as never,
      broker as never
    )
  t.match(await recall(), { code: ResponseCode.SYSTEM_ERROR, remark: /cannot be read now/ })
  found.unreadable = 0
  t.match(
    await recall(),
    { code: ResponseCode.SUCCESS, extFields: { msgId: 'K' } },
    'there is none'
  )
})

t.test('what cannot be read now is read later, what is gone for good is passed', async t => {
  const stage = await leading()
  stage.unreadable = true
  stage.add(10)
  await stage.pass(10)
  await stage.pass(1_000)
  t.equal(stage.appends.length + stage.marked.length, 0)
  stage.unreadable = false
  await stage.pass(200)
  t.strictSame(stage.appends[0]?.bodies, ['m1000'])
  await stage.commit()
  const gone = stage.add(10)
  stage.logStartPosition = 5_000
  await stage.pass(10)
  t.strictSame(stage.marked, [gone])
  t.equal(stage.appends.length, 1)
})

t.test('one that the log does not take again holds up nobody', async t => {
  const stage = await leading()
  const large = stage.add(10)
  stage.refusal = 'tooLarge'
  await stage.pass(10)
  t.strictSame(stage.marked, [large])
  stage.refusal = null
  stage.add(10)
  await stage.pass(10)
  t.equal(stage.appends.length, 1)
})
