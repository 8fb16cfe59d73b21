import t from 'tap'
import type { Clock, Disk, Timer } from '../../../src/platform/index.ts'
import { createRealPlatform, ReusedBlocks, silentLogger } from '../../../src/platform/index.ts'
import { RepairAnswer } from '../../../src/raft/core/index.ts'
import {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  openLog,
  type RaftLog,
  sealEntry
} from '../../../src/raft/log/index.ts'
import { Applier } from '../../../src/raft/node/applier.ts'
import { CommitWatch } from '../../../src/raft/node/commitWatch.ts'
import { receiveEntries } from '../../../src/raft/node/entries.ts'
import { EntryClock } from '../../../src/raft/node/entryClock.ts'
import { Reads } from '../../../src/raft/node/reads.ts'
import { answerRepair } from '../../../src/raft/node/repairs.ts'
import { SentBytes } from '../../../src/raft/node/sentBytes.ts'
import { Ticker } from '../../../src/raft/node/ticker.ts'
import { WriteLedger } from '../../../src/raft/node/writeLedger.ts'
import { NotLeaderError } from '../../../src/raft/types.ts'
import { encodeConfiguration, WireError } from '../../../src/raft/wire/index.ts'

/** Time by hand; the end of a turn too. */
class HandClock implements Clock {
  nowMs = 1000
  wall = 1_700_000_000_000
  #every: (() => void)[] = []
  #turnEnds: (() => void)[] = []
  wallMs(): number {
    return this.wall
  }
  monotonicMs(): number {
    return this.nowMs
  }
  after(): Timer {
    throw new Error('not used here')
  }
  every(_periodMs: number, callback: () => void): Timer {
    this.#every.push(callback)
    return { cancel: () => this.#every.splice(0) }
  }
  turnEnd(callback: () => void): void {
    this.#turnEnds.push(callback)
  }
  pass(ms: number): void {
    this.nowMs += ms
    this.wall += ms
  }
  fire(): void {
    for (const callback of this.#every) callback()
  }
  endTurn(): number {
    const callbacks = this.#turnEnds.splice(0)
    for (const callback of callbacks) callback()
    return callbacks.length
  }
}

t.test('the time in entries', async t => {
  t.test('starts at the wall clock, not below the last entry', async t => {
    const clock = new HandClock()
    t.equal(new EntryClock(clock, silentLogger, 5).next(), clock.wall)
    t.equal(new EntryClock(clock, silentLogger, clock.wall + 7).next(), clock.wall + 7)
  })

  t.test('goes on from what the last leader wrote and closes a gap by a tenth', async t => {
    for (const wrongMs of [60_000, -60_000]) {
      const clock = new HandClock()
      const entryClock = new EntryClock(clock, silentLogger, 0)
      const startMs = clock.wall + wrongMs
      entryClock.received(startMs)
      clock.pass(100)
      t.equal(entryClock.next(), startMs + (wrongMs > 0 ? 90 : 110))
      clock.pass(1000)
      t.equal(entryClock.next(), startMs + (wrongMs > 0 ? 90 + 900 : 110 + 1100))
    }
  })

  t.test('can be asked for without writing, and says what would be written', async t => {
    const clock = new HandClock()
    const entryClock = new EntryClock(clock, silentLogger, clock.wall + 3)
    t.equal(entryClock.now(), clock.wall + 3)
    entryClock.received(clock.wall - 60_000)
    for (const ms of [100, 900]) {
      clock.pass(ms)
      t.equal(entryClock.now(), entryClock.now())
    }
    const asked = entryClock.now()
    t.equal(asked, clock.wall - 60_000 - 1_000 + 1_100)
    t.equal(entryClock.next(), asked)
  })

  t.test('is held up neither by entries within one millisecond nor by a falling clock', async t => {
    const clock = new HandClock()
    const entryClock = new EntryClock(clock, silentLogger, 0)
    const first = entryClock.next()
    for (let at = 0; at < 100; at += 1) {
      clock.nowMs += 0.1
      clock.wall -= 50
      entryClock.next()
    }
    const last = entryClock.next()
    t.ok(last >= first + 8 && last <= first + 10, `${last - first} ms after 10 ms`)
  })

  t.test('says when clocks differ, once a minute', async t => {
    const clock = new HandClock()
    const lines: string[] = []
    const logger = { ...silentLogger, warn: (line: string) => void lines.push(line) }
    const entryClock = new EntryClock(clock, logger, 0)
    entryClock.received(clock.wall + 5000)
    for (let at = 0; at < 10; at += 1) entryClock.next()
    t.equal(lines.length, 1)
  })
})

t.test('ticks', async t => {
  const clock = new HandClock()
  const ticks: number[] = []
  const ticker = new Ticker(clock, 50, count => ticks.push(count))
  ticker.start()
  clock.pass(50)
  clock.fire()
  t.strictSame(ticks, [1])
  clock.pass(30)
  clock.fire()
  t.strictSame(ticks, [1], 'a part of a period is none')
  clock.pass(70)
  clock.fire()
  t.strictSame(ticks, [1, 2])
  clock.pass(5000)
  clock.fire()
  t.strictSame(ticks, [1, 2], 'after a stall the sockets are read first')
  clock.endTurn()
  t.strictSame(ticks, [1, 2])
  clock.endTurn()
  t.strictSame(ticks, [1, 2, 2], 'a stall is two ticks, however long it was')
  clock.pass(5000)
  clock.fire()
  ticker.stop()
  clock.endTurn()
  clock.endTurn()
  t.strictSame(ticks, [1, 2, 2], 'nothing comes after the stop')
})

t.test('a write is reported when all before it are done', async t => {
  const ledger = new WriteLedger()
  t.equal(ledger.takeDone(), 0)
  ledger.appending(1)
  ledger.rewriting(2)
  ledger.appending(3)
  ledger.appending(4)
  t.equal(ledger.appendsWaiting, 3)
  ledger.appended(1)
  t.equal(ledger.takeDone(), 1)
  ledger.appended(4)
  t.equal(ledger.takeDone(), 0, 'the rewrite holds them back')
  ledger.rewritten(2)
  t.equal(ledger.takeDone(), 4)
  t.equal(ledger.takeDone(), 0, 'nothing is reported twice')
  t.equal(ledger.appendsWaiting, 0)
})

t.test('reads', async t => {
  const clock = new HandClock()
  const asked: number[] = []
  const reads = new Reads(clock, id => asked.push(id))
  const answers: unknown[] = []
  const ask = (): void => {
    reads.readIndex().then(
      index => answers.push(index),
      (error: Error) => answers.push(error)
    )
  }
  ask()
  ask()
  clock.endTurn()
  ask()
  clock.endTurn()
  t.strictSame(asked, [1, 2], 'one question a turn')
  reads.confirmed(1, 10, 9)
  await null
  t.strictSame(answers, [], 'not before it is applied')
  reads.applied(10)
  await null
  t.strictSame(answers, [10, 10])
  ask()
  reads.failAll('n2')
  await null
  t.equal(answers.length, 4, 'the end of leadership answers all')
  for (const error of answers.slice(2)) t.match(error, new NotLeaderError('n2'))
  reads.confirmed(2, 11, 11)
  clock.endTurn()
  t.strictSame(asked, [1, 2], 'nothing is asked for those')
})

t.test('commit times count each own entry once', async t => {
  const clock = new HandClock()
  const watch = new CommitWatch(clock)
  for (let index = 5; index <= 8; index += 1) {
    watch.appended(index)
    clock.nowMs += 10
  }
  watch.committed(4)
  t.equal(watch.commits, 0)
  watch.committed(6)
  t.strictSame([watch.commits, watch.sumMs, watch.maxMs], [2, 40 + 30, 40])
  watch.committed(6)
  watch.committed(8)
  t.strictSame([watch.commits, watch.sumMs, watch.maxMs], [4, 40 + 30 + 20 + 10, 40])
})

function chain(count: number, firstIndex = 5, start = 4096, startCrc = 77): Entry[] {
  const entries: Entry[] = []
  let position = start
  let prevCrc = startCrc
  for (let at = 0; at < count; at += 1) {
    const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + at * 10, at)
    const kind = EntryKind.messages
    const index = firstIndex + at
    const place = { index, term: 2, position, kind, flags: 0, count: 1, timeMs: 9, prevCrc }
    entries.push(sealEntry(bytes, place))
    prevCrc = bytes.readUInt32BE(60)
    position += bytes.length
  }
  return entries
}

t.test('entries that were read before a cut are not applied after it', async t => {
  const clock = new HandClock()
  const [a, b, c] = chain(3, 1) as [Entry, Entry, Entry]
  const other: Entry = { ...b, term: 3 }
  let answerRead: (entries: Entry[]) => void = () => {}
  let inMemory: Entry[] | null = null
  const log = {
    committedPosition: c.position + c.bytes.length,
    recentEntries: () => inMemory,
    readEntries: () => new Promise<Entry[]>(resolve => (answerRead = resolve)),
    release: () => {}
  }
  const applied: string[] = []
  const applier = new Applier(log as unknown as RaftLog, clock, 0, {
    apply: entries => {
      for (const { index, term } of entries) applied.push(`${index} of term ${term}`)
    },
    applied: () => {},
    mustWait: () => false,
    failed: error => t.fail(error.message)
  })
  applier.commitTo(1)
  // The read saw 2 and 3 as well; they are cut, and another 2 is committed before it returns.
  applier.commitTo(2)
  answerRead([a, b, c])
  await null
  t.strictSame(applied, ['1 of term 2'])
  inMemory = [other]
  clock.endTurn()
  t.strictSame(applied, ['1 of term 2', '2 of term 3'])
})

/** A log whose data writes can be held up, as a slow disk does; its hard state goes on. */
class SlowLog {
  readonly #platform = createRealPlatform()
  readonly #directory: string
  #held = Promise.resolve()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Until the returned function is called. */
  hold(): () => void {
    let letGo = (): void => {}
    this.#held = new Promise(resolve => {
      letGo = resolve
    })
    return letGo
  }

  open(): Promise<RaftLog> {
    const { clock, random, disk: real } = this.#platform
    const disk: Disk = {
      ...real,
      open: async (path, options) => {
        const file = await real.open(path, options)
        const write = file.write.bind(file)
        file.write = async (buffers, position) => {
          if (path.includes('/data/')) await this.#held
          return write(buffers, position)
        }
        return file
      }
    }
    return openLog({
      disk,
      clock,
      random,
      logger: silentLogger,
      directory: this.#directory,
      segmentBytes: 65_536,
      flushMode: 'sync',
      flushIntervalMs: 100,
      tailCacheBytes: 65_536,
      bootId: 'b',
      prepare: { aheadBytes: 0, bytesPerSecond: 1, spare: false, warm: false }
    })
  }
}

const listener = { written() {}, synced() {}, failed: t.fail, diskFull() {}, damaged: t.fail }

/** A log of five entries of term 2, of which those from `fromIndex` on are being replaced by one of term 3. */
async function replacing(directory: string, fromIndex: number): Promise<[RaftLog, () => void]> {
  const slow = new SlowLog(directory)
  const first = await slow.open()
  await new Promise<void>(resolve => {
    first.listen({ ...listener, written: () => resolve() })
    first.append(chain(5, 1, 0, 0), 1)
  })
  await first.close({ orderly: true })
  const log = await slow.open()
  log.listen(listener)
  const letGo = slow.hold()
  log.cut(fromIndex, 2)
  const { endPosition: position, lastHeaderCrc: prevCrc } = log
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + 30, 9)
  const kind = EntryKind.messages
  const place = { index: fromIndex, term: 3, position, kind, flags: 0, count: 1, timeMs: 9 }
  log.append([sealEntry(bytes, { ...place, prevCrc })], 3)
  return [log, letGo]
}

t.test('a read does not see what is cut, also before the disk has forgotten it', async t => {
  const [log, letGo] = await replacing(t.testdir(), 4)
  const read = await log.readEntries(2, 60_000)
  t.strictSame(
    read.slice(0, 2).map(({ index, term }) => ({ index, term })),
    [2, 3].map(index => ({ index, term: 2 }))
  )
  t.ok(
    read.slice(2).every(({ term }) => term === 3),
    'what comes behind them is the new entry or nothing'
  )
  letGo()
  await log.close({ orderly: true })
})

t.test('a commit is remembered only when the committed entry has replaced the cut one', async t => {
  const directory = t.testdir()
  const [log, letGo] = await replacing(directory, 3)
  log.commitTo(3)
  await log.saveHardState({ term: 3, vote: '' })
  const afterKill = await new SlowLog(directory).open()
  t.equal(afterKill.lastIndex, 5, 'the disk still has the old entries')
  t.ok(afterKill.recovery.commit < 3, `remembered: ${afterKill.recovery.commit}`)
  await afterKill.close({ orderly: false })
  letGo()
  await log.close({ orderly: true })
})

t.test('a leader gives its entry for a damaged one only as long as it leads', async t => {
  const [entry] = chain(1) as [Entry]
  const headerCrc = entry.bytes.readUInt32BE(60)
  const ask = async (crc: number, asLeader: boolean, leads: boolean): Promise<unknown[]> => {
    let leadsStill = true
    let read: (entries: Entry[]) => void = () => {}
    const log = { readEntries: () => new Promise<Entry[]>(resolve => (read = resolve)) }
    const question = { to: 'n1', index: 5, headerCrc: crc, asLeader, term: 3, prevTerm: 2 }
    const sent: unknown[] = []
    const answered = answerRepair(
      log,
      question,
      () => leadsStill,
      (_to, { answer }, entries) => sent.push(answer, entries.length)
    )
    leadsStill = leads
    read([entry])
    await answered
    return sent
  }
  t.strictSame(await ask(-1, true, true), [RepairAnswer.leaders, 1])
  t.strictSame(await ask(-1, true, false), [RepairAnswer.none, 0], 'it may be another one now')
  t.strictSame(await ask(headerCrc, true, false), [RepairAnswer.have, 1], 'exactly what is missing')
  t.strictSame(await ask(-1, false, true), [RepairAnswer.none, 0])
})

t.test('entries of a frame', async t => {
  const entries = chain(4)
  const payload = Buffer.concat(entries.map(entry => entry.bytes))

  t.test('come back as they were sent, as views', async t => {
    const received = receiveEntries(payload, 5, 4)
    t.strictSame(
      received.entries.map(({ index, position }) => ({ index, position })),
      entries.map(({ index, position }) => ({ index, position }))
    )
    t.equal(received.entries[0]?.bytes.buffer, payload.buffer)
    t.match(received.summaries[3], { index: 8, sizeBytes: 94, configuration: null })
    t.equal(received.summaries[3]?.headerCrc, entries[3]?.bytes.readUInt32BE(60))
  })

  t.test('are refused when a bit is wrong anywhere', async t => {
    let refused = 0
    for (let at = 0; at < payload.length; at += 1) {
      const bad = Buffer.from(payload)
      bad[at] = bad[at]! ^ 0x10
      try {
        receiveEntries(bad, 5, 4)
      } catch (error) {
        if (!(error instanceof WireError)) throw error
        refused += 1
      }
    }
    t.equal(refused, payload.length)
  })

  t.test('are refused when cut anywhere, of another index, count or chain', async t => {
    for (let length = 0; length < payload.length; length += 1) {
      if (length === 0) continue
      const cut = payload.subarray(0, length)
      t.throws(() => receiveEntries(cut, 5, 4), WireError, `${length} bytes`)
    }
    t.throws(() => receiveEntries(payload, 6, 4), { message: /entry 5 came where 6 belongs/ })
    t.throws(() => receiveEntries(payload, 5, 3), { message: /4 entries came where 3/ })
    t.throws(() => receiveEntries(Buffer.alloc(0), 5, 1), WireError)
    const other = chain(2)[1]!
    const swapped = Buffer.concat([chain(1, 4)[0]!.bytes, chain(2, 4)[1]!.bytes, other.bytes])
    t.throws(() => receiveEntries(swapped, 4, 3), WireError)
  })

  t.test('of kind configuration bring it decoded', async t => {
    const configuration = {
      version: 1,
      clusterId: 'c1',
      members: [
        {
          id: 'n0',
          uid: 'aa',
          role: 'voter' as const,
          raftAddress: 'h:1',
          brokerAddress: 'h:2',
          priority: 3
        },
        {
          id: 'n1',
          uid: 'bb',
          role: 'learner' as const,
          raftAddress: '',
          brokerAddress: '',
          priority: 0
        }
      ]
    }
    const make = (body: Uint8Array): Buffer => {
      const bytes = Buffer.concat([Buffer.alloc(ENTRY_HEADER_BYTES), body])
      const kind = EntryKind.configuration
      const place = { index: 1, term: 1, position: 0, kind, flags: 0, count: 0, timeMs: 9 }
      return sealEntry(bytes, { ...place, prevCrc: 0 }).bytes
    }
    const { summaries } = receiveEntries(make(encodeConfiguration(configuration)), 1, 1)
    t.strictSame(summaries[0]?.configuration, configuration)
    t.throws(() => receiveEntries(make(Buffer.from('ffff', 'hex')), 1, 1), WireError)
    const nobody = encodeConfiguration({ ...configuration, members: [] })
    t.throws(() => receiveEntries(make(nobody), 1, 1), WireError)
  })
})

t.test('what a socket was given is held until the socket has taken it', async t => {
  const blocks = new ReusedBlocks()
  const sent = new SentBytes(blocks)
  const views = [1, 2, 3].map(() => blocks.take(1000))
  sent.given(views)
  sent.waiting(2500)
  t.equal(blocks.freeBytes, 0, 'half of the first is taken')
  sent.waiting(1000)
  t.equal(blocks.freeBytes, 2000)
  sent.given([Buffer.from('a header, which is in no block')])
  sent.waiting(0)
  t.equal(blocks.freeBytes, 3000)
  const lost = blocks.take(1000)
  sent.given([lost])
  sent.forget()
  sent.given([blocks.take(1000)])
  sent.waiting(0)
  t.equal(blocks.freeBytes, 2000, 'what a broken connection had is not used again')
})
