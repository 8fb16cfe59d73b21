import t, { type Test } from 'tap'
import { ReusedBlocks } from '../../../src/platform/index.ts'
import {
  DamagedEntryError,
  decodeEntry,
  type Entry,
  entryBytesMax,
  entryIsSound,
  type FlushMode,
  LogFailedError,
  positionAfter,
  TrimmedError,
  UnusableLogError
} from '../../../src/raft/log/index.ts'
import { MemoryDisk } from '../../helpers/memoryDisk.ts'
import { DATA, DIRECTORY, Process, readAll, SEGMENT_BYTES } from './harness.ts'

t.test('positions follow from end, size and segment size alone', async t => {
  t.equal(positionAfter(0, 100, 4096), 0)
  t.equal(positionAfter(100, 100, 4096), 100)
  t.equal(positionAfter(0, 4088, 4096), 0, 'leaves exactly 8 bytes for the blank')
  t.equal(positionAfter(100, 3989, 4096), 4096, 'would leave 7')
  t.equal(positionAfter(8000, 200, 4096), 8192)
  t.equal(entryBytesMax(4096), 4088)
})

t.test('what was appended is read back after an orderly stop', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  t.equal(a.log.recovery.fresh, true)
  t.match(a.log.hardState, { incarnation: 1, uid: /^[0-9a-f]{32}$/, watermark: 0, clean: false })
  const made: Entry[] = []
  for (let i = 0; i < 60; i++) made.push(a.append(50 + i * 37, { term: 1 + Math.floor(i / 20) }))
  await a.written()
  t.ok(a.log.segments().length > 5)
  a.log.commitTo(60)
  await a.stop()

  const b = await Process.start(disk, { bootId: 'another-boot' })
  t.match(b.log.recovery, {
    fresh: false,
    powerLoss: false,
    recovering: null,
    cutFrom: 0,
    commit: 60
  })
  t.strictSame(b.log.recovery.faults, [])
  t.strictSame(b.log.recovery.terms, [
    { term: 1, firstIndex: 1 },
    { term: 2, firstIndex: 21 },
    { term: 3, firstIndex: 41 }
  ])
  t.match(b.log, { lastIndex: 60, lastTerm: 3, lastTimeMs: made[59]!.timeMs, writtenIndex: 60 })
  t.equal(b.log.endPosition, a.log.endPosition)
  t.equal(b.log.committedPosition, a.log.endPosition)
  t.equal(b.log.hardState.incarnation, 2)
  t.equal(b.log.hardState.uid, a.log.hardState.uid)
  const read = await readAll(b)
  t.ok(read.every((entry, i) => entry.bytes.equals(made[i]!.bytes)))
  t.equal(read.length, 60)
  t.same(
    b.log.segments().map(({ lastTimeMs, firstIndex, bytes }) => [lastTimeMs, firstIndex, bytes]),
    a.log.segments().map(({ lastTimeMs, firstIndex, bytes }) => [lastTimeMs, firstIndex, bytes])
  )
  b.append(10)
  await b.written()
  await b.stop()
})

t.test(
  'many writes that wait leave together, and each is acknowledged once it is synced',
  async t => {
    const disk = new MemoryDisk()
    const a = await Process.start(disk)
    for (let i = 0; i < 100; i++) a.append(30)
    t.equal(a.log.writtenIndex, 0)
    t.ok(a.log.queuedBytes > 0)
    await a.written()
    t.equal(a.log.queuedBytes, 0)
    t.same(a.told.writes.at(-1), { writeSeq: 100, term: 1, lastIndex: 100 })
    t.equal(a.told.synced, 100)
    const { writes, syncs, entriesWritten } = a.log.statistics()
    t.equal(entriesWritten, 100)
    t.ok(writes.count < 10 && syncs.count < 10, `${writes.count} writes, ${syncs.count} syncs`)
    await a.stop()
  }
)

t.test('what is written during a slow flush is flushed too, also when nothing follows', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { flushMode: 'async', flushIntervalMs: 50 })
  await a.rest()
  let release = (): void => {}
  let syncing = 0
  disk.hook = ({ kind, path }) => {
    if (kind !== 'sync' || !path.startsWith(DATA)) return undefined
    syncing += 1
    return new Promise(resolve => {
      release = resolve
    })
  }
  a.append(100)
  await a.until('the flush is under way', () => syncing === 1)
  a.append(100)
  await a.written()
  // The clock calls for the next flush while this one is still at it.
  await a.rest(100)
  t.equal(syncing, 1, 'one at a time')
  disk.hook = null
  release()
  await a.until('the second entry is durable too', () => a.log.syncedIndex === 2)
  await a.stop()
})

t.test('async mode acknowledges from the page cache and syncs by the clock', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { flushMode: 'async' })
  t.equal(a.log.hardState.weakestMode, 'async')
  a.append(100)
  await a.written()
  t.equal(a.log.syncedIndex, 0)
  await a.until('synced', () => a.told.synced === 1)
  t.ok(a.clock.monotonicMs() >= 50)
  await a.until('watermark', () => a.log.hardState.watermark === 1)
  await a.stop()
})

t.test('the watermark is saved at most every 100 ms', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  const before = a.log.statistics().hardStateSaves.count
  const from = a.clock.monotonicMs()
  while (a.clock.monotonicMs() < from + 1000) {
    a.append(20)
    await a.written()
  }
  const saves = a.log.statistics().hardStateSaves.count - before
  t.ok(saves >= 5 && saves <= 10, `${saves} saves in a second`)
  t.ok(a.log.hardState.watermark > 0)
  await a.stop()
})

t.test('the tail cache is bounded, but keeps what is not written or not released', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { tailCacheBytes: 20_000 })
  for (let i = 0; i < 100; i++) a.append(936)
  await a.written()
  await a.rest()
  t.equal(a.log.statistics().cachedBytes, 100_000, 'nothing is released')
  a.log.commitTo(100)
  a.log.release(50)
  t.equal(a.log.entryAt(50), null)
  t.equal(a.log.entryAt(51)!.index, 51)
  a.log.release(100)
  t.ok(a.log.statistics().cachedBytes <= 20_000)
  const last = a.log.entryAt(100)!
  t.equal(a.log.peek(last.position + 999, 1)!.length, 1)
  t.equal(a.log.peek(last.position + 1000, 1), null)
  t.equal(a.log.recentEntries(98, 2500)!.length, 2)
  t.equal(a.log.recentEntries(10, 2500), null)
  a.append(936)
  t.ok(a.log.entryAt(101) !== null)
  await a.stop()
})

t.test('bytes of an entry are read from memory or disk, and only inside the entry', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { tailCacheBytes: 0 })
  const made = Array.from({ length: 40 }, (_, i) => a.append(100 + i * 10))
  await a.written()
  await a.rest()
  t.ok(a.log.peek(made[3]!.position + 64, 100)!.equals(made[3]!.bytes.subarray(64, 164)))
  a.log.commitTo(40)
  a.log.release(40)
  t.equal(a.log.statistics().cachedEntries, 0)
  for (const entry of [made[39]!, made[0]!, made[17]!]) {
    t.equal(a.log.entryAt(entry.index), null)
    const middle = await a.wait(a.log.read(entry.position + 70, 20))
    t.ok(middle.equals(entry.bytes.subarray(70, 90)))
    t.ok(a.log.peek(entry.position, 64)!.equals(entry.bytes.subarray(0, 64)), 'now in memory')
  }
  await t.rejects(a.wait(a.log.read(made[5]!.position + 64, 5000)), { code: 'LMQ_LOG_NOT_THERE' })
  await t.rejects(a.wait(a.log.read(a.log.endPosition, 1)), { code: 'LMQ_LOG_NOT_THERE' })
  const blank = made.find((entry, i) => i > 0 && entry.position % SEGMENT_BYTES === 0)!
  await t.rejects(a.wait(a.log.read(blank.position - 1, 1)), { code: 'LMQ_LOG_NOT_THERE' })
  t.same(
    (await a.wait(a.log.readEntries(20, 720))).map(entry => entry.index),
    [20, 21],
    'as many as fit'
  )
  t.same(
    (await a.wait(a.log.readEntries(30, 1))).map(entry => entry.index),
    [30],
    'at least one'
  )
  t.same(await a.log.readEntries(41, 1000), [])
  await a.stop()
})

t.test('a read here and there takes little, one that goes on reads ahead', async t => {
  const disk = new MemoryDisk()
  const segmentBytes = 4 * 1024 * 1024
  const a = await Process.start(disk, { segmentBytes, tailCacheBytes: 10_000 })
  const made: Entry[] = []
  for (let i = 0; i < 300; i++) {
    made.push(a.append(5_000))
    await a.written()
  }
  a.log.commitTo(300)
  a.log.release(300)
  await a.rest()
  let asked = 0
  disk.hook = ({ kind, path, bytes }) => {
    if (kind === 'read' && path.startsWith(DATA)) asked += bytes
    return undefined
  }
  /** What the disk was asked for. */
  const read = async (...numbers: number[]): Promise<number> => {
    asked = 0
    const reads = numbers.map(async i => {
      const { position, bytes } = made[i]!
      const found = await a.log.readSized(position, 64, head => {
        t.ok(head.equals(bytes.subarray(0, 64)))
        return 500
      })
      t.ok(found.equals(bytes.subarray(0, 500)))
    })
    await a.wait(Promise.all(reads))
    return asked
  }
  for (const i of [290, 5, 150]) t.equal(await read(i), 16_384)
  t.equal(await read(151, 5), 0, 'what came along is there')
  t.ok((await read(156)) > 500_000, 'a little behind it')
  t.equal(await read(299), 0)
  const several = await read(60, 61, 62, 63)
  t.ok(several > 1_000_000 && several < 1_100_000, 'at once: the second read serves the others')
  await a.stop()
})

t.test(
  'a backlog is read into memory that is used again, and not while somebody looks at it',
  async t => {
    const disk = new MemoryDisk()
    const segmentBytes = 64 * 1024
    let spoilt = 0
    const blocks = new ReusedBlocks(segmentBytes, memory => {
      memory.fill(0xdb)
      spoilt += 1
    })
    const a = await Process.start(disk, {
      segmentBytes,
      blocks,
      tailCacheBytes: 10_000,
      readCacheBytes: 3 * segmentBytes
    })
    const made: Entry[] = []
    for (let i = 0; i < 200; i++) {
      const entry = a.make(5_000, { fill: i })
      made.push(decodeEntry(Buffer.from(entry.bytes)))
      a.append(5_000, { fill: i })
      await a.written()
    }
    a.log.commitTo(200)
    a.log.release(200)
    await a.rest()
    const view = async (i: number, hold: boolean): Promise<Buffer> => {
      const { position, bytes } = made[i]!
      return (
        a.log.peek(position, bytes.length, hold) ??
        (await a.wait(a.log.read(position, bytes.length, hold)))
      )
    }
    const held = await view(3, true)
    const kept = await view(60, false)
    const before = spoilt
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 180; i++) {
        const bytes = await view(i, true)
        t.ok(bytes.equals(made[i]!.bytes), `entry ${i}`)
        blocks.release(bytes)
      }
    }
    t.ok(spoilt - before > 20, 'blocks were let go')
    t.ok(held.equals(made[3]!.bytes), 'held')
    t.ok(kept.equals(made[60]!.bytes), 'not said to be let go')
    blocks.release(held)
    const several = await a.wait(Promise.all([10, 40, 70, 100, 130, 160].map(i => view(i, true))))
    t.ok(
      several.every((bytes, n) => bytes.equals(made[10 + 30 * n]!.bytes)),
      'more at once than the cache takes'
    )
    await a.stop()
  }
)

t.test('a damaged entry is found when it is read, and repaired in place', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { tailCacheBytes: 0 })
  const made = Array.from({ length: 30 }, () => a.append(500))
  await a.written()
  await a.rest()
  a.log.commitTo(30)
  a.log.release(30)
  const broken = made[11]!
  const segment = Math.floor(broken.position / SEGMENT_BYTES) * SEGMENT_BYTES
  disk.corrupt(`${DATA}/${String(segment).padStart(20, '0')}`, broken.position - segment + 300)
  await t.rejects(a.wait(a.log.read(broken.position + 64, 10)), DamagedEntryError)
  await t.rejects(a.wait(a.log.readEntries(12, 10_000)), DamagedEntryError)
  t.equal((await a.wait(a.log.readEntries(10, 10_000))).length, 2, 'ends before the fault')
  t.match(a.told.damaged, [{ index: 12, position: broken.position, term: 1 }])
  t.equal(a.log.faults.size, 1)
  await t.rejects(a.log.markWhole(), { code: 'LMQ_LOG_REPAIR' })
  await t.rejects(a.wait(a.log.writeRepair(12, made[12]!.bytes)), { code: 'LMQ_LOG_REPAIR' })
  await t.rejects(a.wait(a.log.writeRepair(13, made[12]!.bytes)), { code: 'LMQ_LOG_REPAIR' })
  await a.wait(a.log.writeRepair(12, broken.bytes))
  t.equal(a.log.faults.size, 0)
  t.ok((await a.wait(a.log.read(broken.position, 564))).equals(broken.bytes))
  await a.wait(a.log.markWhole())
  await a.stop()
})

t.test(
  'a patient reader waits for a damaged entry until it is back, or its time is over',
  async t => {
    const disk = new MemoryDisk()
    const a = await Process.start(disk, { tailCacheBytes: 0 })
    const made = Array.from({ length: 30 }, () => a.append(500))
    await a.written()
    await a.rest()
    a.log.commitTo(30)
    a.log.release(30)
    for (const { position } of [made[11]!, made[12]!]) {
      const segment = position - (position % SEGMENT_BYTES)
      disk.corrupt(`${DATA}/${String(segment).padStart(20, '0')}`, position - segment + 300)
    }
    const patient = (position: number, lengthBytes: number, patienceMs: number): Promise<Buffer> =>
      a.log.patiently(() => a.log.read(position, lengthBytes), patienceMs)
    const at = made[11]!.position + 64
    const other = made[12]!.position + 64
    const waiting = [patient(at, 10, 1e6), patient(at, 20, 1e6)]
    let others = ''
    const tooLong = patient(other, 10, 100).catch((error: Error) => {
      others = error.name
    })
    await a.rest(50)
    t.equal(others, '', 'it waits')
    await a.wait(a.log.writeRepair(12, made[11]!.bytes))
    for (const [i, bytes] of (await a.wait(Promise.all(waiting))).entries())
      t.ok(bytes.equals(made[11]!.bytes.subarray(64, 74 + i * 10)))
    t.equal(others, '', 'the other one is not back')
    await a.wait(tooLong)
    t.equal(others, 'DamagedEntryError')
    await t.rejects(a.wait(patient(other, 10, 0)), DamagedEntryError, 'no patience')
    await t.rejects(a.wait(patient(1e9, 10, 1e6)), { code: 'LMQ_LOG_NOT_THERE' })
    const last = patient(other, 10, 1e6)
    last.catch(() => {})
    await a.rest(20)
    await a.stop()
    await t.rejects(last, DamagedEntryError, 'nobody waits for a closed log')
  }
)

t.test(
  'a repair waits for room on the disk; a cut of its entry or a stop ends the waiting',
  async t => {
    const damaged = async (): Promise<{ disk: MemoryDisk; a: Process; made: Entry[] }> => {
      const disk = new MemoryDisk()
      const before = await Process.start(disk)
      const made = Array.from({ length: 30 }, () => before.append(500))
      await before.written()
      await before.rest()
      disk.kill()
      const { position } = made[11]!
      const segment = position - (position % SEGMENT_BYTES)
      disk.corrupt(`${DATA}/${String(segment).padStart(20, '0')}`, position - segment + 300)
      const a = await Process.start(disk)
      await t.rejects(a.wait(a.log.read(position + 64, 10)), DamagedEntryError)
      disk.failNext('write', 'ENOSPC', { times: Number.MAX_SAFE_INTEGER, path: DATA })
      return { disk, a, made }
    }
    const one = await damaged()
    const back = one.a.log.writeRepair(12, one.made[11]!.bytes)
    await one.a.rest(1_000)
    t.equal(one.a.log.faults.size, 1)
    one.disk.failNoMore()
    await one.a.wait(back)
    t.equal(one.a.log.faults.size, 0)
    t.strictSame(one.a.told.failures, [])
    await one.a.stop()

    const two = await damaged()
    const cut = two.a.log.writeRepair(12, two.made[11]!.bytes)
    await two.a.rest(300)
    two.a.cut(12)
    await two.a.wait(cut)
    two.disk.failNoMore()
    await two.a.stop()

    const three = await damaged()
    const stopped = three.a.log.writeRepair(12, three.made[11]!.bytes)
    stopped.catch(() => {})
    await three.a.rest(300)
    await three.a.stop()
    await t.rejects(stopped, { message: /closed/ })
  }
)

t.test('a repair that waits for another is left out when its entry is cut meanwhile', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { tailCacheBytes: 0 })
  const made = Array.from({ length: 30 }, () => a.append(500))
  await a.written()
  await a.rest()
  a.log.commitTo(5)
  a.log.release(5)
  await a.stop()
  for (const { position } of [made[11]!, made[12]!]) {
    const segment = position - (position % SEGMENT_BYTES)
    disk.corrupt(`${DATA}/${String(segment).padStart(20, '0')}`, position - segment + 300)
  }
  const b = await Process.start(disk)
  await b.wait(b.log.verify(1, 1e6))
  t.same([...b.log.faults.keys()], [12, 13])
  const repairs = [12, 13].map(index => b.log.writeRepair(index, made[index - 1]!.bytes))
  b.log.cut(12, 1)
  await b.wait(Promise.all(repairs))
  t.equal(b.log.lastIndex, 11)
  await b.wait(b.log.markWhole())
  await b.stop()
})

t.test('damage that is found while it runs says where the entry before ends', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  const made = Array.from({ length: 30 }, () => a.append(900))
  await a.written()
  await a.stop()

  const b = await Process.start(disk)
  const begins = made.findIndex(entry => entry.position === SEGMENT_BYTES)
  const before = made[begins - 1]!
  const end = before.position + before.bytes.length
  t.ok(end < SEGMENT_BYTES, 'there is a blank between')
  for (const at of [begins, begins + 1])
    disk.corrupt(
      `${DATA}/${String(SEGMENT_BYTES).padStart(20, '0')}`,
      made[at]!.position - SEGMENT_BYTES + 300
    )
  t.equal((await b.wait(b.log.verify(1, 100_000))).damagedEntries, 2)
  t.match(b.told.damaged, [
    { index: begins + 1, position: SEGMENT_BYTES, previousEnd: end },
    { index: begins + 2, previousEnd: made[begins + 1]!.position }
  ])
  b.cut(begins + 1)
  t.equal(b.log.endPosition, end)
  await b.stop()
})

t.test('a damaged index unit is mended from the entries', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { tailCacheBytes: 0 })
  const made = Array.from({ length: 30 }, () => a.append(500))
  await a.written()
  await a.rest()
  a.log.commitTo(30)
  a.log.release(30)
  for (const index of [7, 8, 9])
    disk.corrupt(`${DIRECTORY}/index/${'0'.repeat(20)}`, index * 32 + 3)
  t.ok((await a.wait(a.log.read(made[8]!.position, 564))).equals(made[8]!.bytes))
  t.equal((await a.wait(a.log.readEntries(7, 1)))[0]!.index, 7)
  t.equal(a.log.faults.size, 0)
  await a.stop()
})

t.test('after a cut the log goes on, and nothing of the old tail comes back', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  for (let i = 0; i < 40; i++) a.append(400)
  await a.written()
  a.log.commitTo(10)
  await a.until('watermark', () => a.log.hardState.watermark === 40)
  t.throws(() => a.cut(10), /committed up to 10/)
  a.cut(21)
  t.match(a.log, { lastIndex: 20, writtenIndex: 20, syncedIndex: 20 })
  // The same sizes again, so that what was there before would fit behind them.
  for (let i = 0; i < 5; i++) a.append(400, { term: 2, fill: 99 })
  t.equal(a.log.termAt(20), 1)
  t.equal(a.log.termAt(21), 2)
  await a.written()
  t.ok(a.log.hardState.watermark < 40)
  disk.kill()
  const b = await Process.start(disk)
  t.match(b.log, { lastIndex: 25, lastTerm: 2 })
  t.match(b.log.recovery, { recovering: null, cutFrom: 0 })
  const last = disk.contents(`${DATA}/${'0'.repeat(16)}8192`)
  t.ok(last.subarray(b.log.endPosition - 8192).every(byte => byte === 0))
  t.equal((await readAll(b)).length, 25)
  await b.stop()
})

t.test('a cut while writes wait: their completions never claim what was cut', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  for (let i = 0; i < 10; i++) a.append(400)
  a.cut(5)
  for (let i = 0; i < 3; i++) a.append(400, { term: 2 })
  const told = a.told.writes
  await a.written()
  t.equal(a.log.lastIndex, 7)
  t.same(told.at(-1), { writeSeq: 14, term: 2, lastIndex: 7 })
  for (const { writeSeq, term, lastIndex } of told) {
    t.ok(lastIndex <= 4 || (term === 2 && writeSeq > 11), `${writeSeq} claims ${lastIndex}`)
  }
  disk.kill()
  const b = await Process.start(disk)
  t.match(b.log, { lastIndex: 7, lastTerm: 2 })
  await b.stop()
})

t.test('a full disk: the write is tried again until there is space', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { prepare: { aheadBytes: 0, spare: false } })
  a.append(100)
  await a.written()
  disk.capacityBytes = disk.usedBytes() + 300
  for (let i = 0; i < 20; i++) a.append(4_500)
  await a.until('full', () => a.told.full[0] === true)
  await a.rest()
  t.equal(a.log.writtenIndex, 1, 'nothing is acknowledged')
  t.same(a.told.failures, [])
  a.cut(15)
  a.append(200, { term: 2 })
  await a.rest()
  disk.capacityBytes += 200_000
  await a.written()
  t.same(a.told.full, [true, false])
  t.equal(a.told.written.lastIndex, 15)
  disk.kill()
  const b = await Process.start(disk)
  t.match(b.log, { lastIndex: 15, lastTerm: 2 })
  await b.stop()
})

t.test(
  'a failed fsync ends the log: nothing more is acknowledged, the next start trusts no cache',
  async t => {
    for (const flushMode of ['sync', 'async'] as const) await failedSync(t, flushMode)
  }
)

async function failedSync(t: Test, flushMode: FlushMode): Promise<void> {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { flushMode, flushIntervalMs: 50 })
  a.append(100)
  await a.until('synced', () => a.log.syncedIndex === 1)
  disk.failNext('sync', 'EIO', { path: '/data/0' })
  a.append(1500)
  await a.until('failed', () => a.told.failures.length > 0)
  t.same(a.told.failures, [flushMode === 'sync' ? 'write' : 'sync'])
  await a.rest()
  t.equal(a.log.syncedIndex, 1)
  if (flushMode === 'sync') t.equal(a.log.writtenIndex, 1)
  t.throws(() => a.append(100), LogFailedError)
  await t.rejects(a.log.saveHardState({ term: 5, vote: 'n1' }), LogFailedError)
  t.equal(a.log.hardState.bootId, '')
  await a.stop()
  const b = await Process.start(disk)
  t.equal(b.log.recovery.powerLoss, true)
  t.equal(b.log.lastIndex, 2, 'it reads well from the page cache')
  b.append(10)
  await b.written()
  disk.powerLoss('drop')
  const c = await Process.start(disk, { bootId: 'boot-2' })
  t.equal(c.log.lastIndex, 3)
  t.equal(c.log.faults.size, 0, 'it was written again before it counted')
  await c.stop()
}

t.test('a failed write and a failed hard state end the log too', async t => {
  for (const [kind, path, operation] of [
    ['write', '/data/', 'write'],
    ['write', 'hardstate', 'hardState']
  ] as const) {
    const disk = new MemoryDisk()
    const a = await Process.start(disk)
    await a.rest()
    disk.failNext(kind, 'EIO', { path })
    a.append(100)
    const saving = a.log.saveHardState({ term: 3, vote: 'n2' })
    saving.catch(() => {})
    await a.until('failed', () => a.told.failures.length > 0)
    t.same(a.told.failures, [operation])
    if (operation === 'hardState') await t.rejects(a.wait(saving), { code: 'EIO' })
    await a.stop()
  }
})

t.test('a slow disk can be seen while it is slow', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  t.equal(a.log.oldestOperationMs(), 0)
  let go: () => void = () => {}
  const held = new Promise<void>(resolve => {
    go = resolve
  })
  disk.hook = ({ kind, path }) => (kind === 'sync' && path.includes('/data/') ? held : undefined)
  a.append(100)
  await a.rest(100)
  const from = a.clock.monotonicMs()
  a.append(100)
  await a.until('slow', () => a.log.oldestOperationMs() >= 1000)
  t.ok(a.clock.monotonicMs() - from < 1100)
  t.equal(a.log.writtenIndex, 0)
  disk.hook = null
  go()
  await a.written()
  t.equal(a.log.oldestOperationMs(), 0)
  t.ok(a.log.statistics().syncs.maxMs >= 1000)
  await a.stop()
})

t.test('whole segments are trimmed, the first one becomes the spare of zeros', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  await a.rest()
  t.ok(disk.paths().includes(`${DATA}/spare`))
  const made = Array.from({ length: 100 }, () => a.append(600))
  await a.written()
  a.log.commitTo(100)
  await a.rest()
  const { firstIndex, firstPosition } = a.log.segments()[4]!
  await t.rejects(a.wait(a.log.trimPrefix(firstIndex, firstPosition)), /released is 0/)
  a.log.release(100)
  await t.rejects(a.wait(a.log.trimPrefix(firstIndex + 1, firstPosition)), /no segment begins/)
  await a.wait(a.log.trimPrefix(firstIndex, firstPosition))
  await a.rest()
  t.match(a.log, { firstIndex, startPosition: firstPosition })
  t.equal(a.log.termAt(firstIndex - 1), 1)
  t.equal(a.log.termAt(firstIndex - 2), 0)
  t.equal(disk.paths().filter(path => /data\/\d{20}$/.test(path)).length, a.log.segments().length)
  t.ok(disk.contents(`${DATA}/spare`).every(byte => byte === 0))
  await t.rejects(a.wait(a.log.readEntries(firstIndex - 1, 1)), TrimmedError)
  await t.rejects(a.wait(a.log.read(made[0]!.position, 64)), TrimmedError)
  disk.kill()
  const b = await Process.start(disk)
  t.match(b.log, { firstIndex, startPosition: firstPosition, lastIndex: 100 })
  t.match(b.log.recovery, { recovering: null, faults: [] })
  t.equal((await readAll(b)).length, 101 - firstIndex)
  for (let i = 0; i < 30; i++) b.append(600)
  await b.written()
  disk.powerLoss('drop')
  const c = await Process.start(disk, { bootId: 'boot-2' })
  t.equal(c.log.lastIndex, 130)
  t.equal(c.log.recovery.recovering, null, 'a recycled segment ends as cleanly as a new one')
  await c.stop()
})

t.test('a damaged entry that is trimmed while its repair is on the way ends nothing', async t => {
  for (let turns = 0; turns < 16; turns++) {
    const disk = new MemoryDisk()
    const a = await Process.start(disk)
    const made = Array.from({ length: 30 }, () => a.append(600))
    await a.written()
    a.log.commitTo(30)
    a.log.release(30)
    await a.rest(50)
    disk.corrupt(`${DATA}/${'0'.repeat(20)}`, made[2]!.position + 300)
    await a.wait(a.log.verify(3, 1))
    t.ok(a.log.faults.has(3))
    const { firstIndex, firstPosition } = a.log.segments()[1]!
    const trimmed = a.log.trimPrefix(firstIndex, firstPosition)
    await a.rest(turns)
    await a.wait(Promise.all([trimmed, a.log.writeRepair(3, made[2]!.bytes)]))
    t.same([a.log.firstIndex, a.log.faults.size, a.told.failures], [firstIndex, 0, []])
    await a.stop()
  }
})

t.test('a trimmed segment is zeroed whole before it is used again', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, {
    prepare: { aheadBytes: 4096, bytesPerSecond: 100_000, spare: true }
  })
  for (let i = 0; i < 40; i++) a.append(600)
  await a.written()
  a.log.commitTo(40)
  a.log.release(40)
  await a.until('no spare', () => !disk.paths().includes(`${DATA}/spare`))
  const second = a.log.segments()[1]!
  await a.wait(a.log.trimPrefix(second.firstIndex, second.firstPosition))
  await a.until('spare', () => disk.paths().includes(`${DATA}/spare`))
  t.ok(disk.contents(`${DATA}/spare`).every(byte => byte === 0))
  await a.stop()
})

t.test('a segment that is trimmed while the one before becomes the spare is deleted', async t => {
  const spare = `${DATA}/spare`
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  for (let i = 0; i < 60; i++) a.append(600)
  await a.written()
  a.log.commitTo(60)
  a.log.release(60)
  await a.until('no spare', () => !disk.paths().includes(spare))
  let go = (): void => {}
  let isRenamed = false
  disk.hook = ({ kind, path }) => {
    if (kind !== 'directory' || !path.endsWith('/spare.recycled') || isRenamed) return undefined
    isRenamed = true
    return new Promise<void>(resolve => {
      go = resolve
    })
  }
  const [, second, third] = a.log.segments()
  await a.wait(a.log.trimPrefix(second!.firstIndex, second!.firstPosition))
  await a.until('the first one is zeros', () => isRenamed)
  const trimmed = a.log.trimPrefix(third!.firstIndex, third!.firstPosition)
  await a.rest(20)
  go()
  await a.wait(trimmed)
  await a.until('spare', () => disk.paths().includes(spare))
  t.ok(disk.contents(spare).every(byte => byte === 0))
  for (let i = 0; i < 60; i++) a.append(600)
  await a.written()
  await a.rest()
  t.same(a.told.failures, [])
  t.equal((await a.wait(a.log.verify(third!.firstIndex, 10_000_000))).damagedEntries, 0)
  await a.stop()
})

t.test('warm segments are zeros to their end, the spare too, also under load', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { prepare: { warm: true } })
  const made: Entry[] = []
  for (let i = 0; i < 12; i++) {
    made.push(a.append(900))
    await a.rest(1)
  }
  await a.written()
  await a.until('spare', () => disk.paths().includes(`${DATA}/spare`))
  await a.rest()
  const last = a.log.segments().at(-1)!.firstPosition
  for (const name of [String(last).padStart(20, '0'), 'spare'])
    t.equal(disk.contents(`${DATA}/${name}`).length, SEGMENT_BYTES)
  disk.powerLoss('drop')
  const b = await Process.start(disk, { bootId: 'boot-2' })
  t.same(
    (await readAll(b)).map(entry => entry.index),
    made.map(entry => entry.index)
  )
  await b.stop()
})

t.test('zeros are written ahead of the end, and never over entries', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  await a.rest()
  const first = `${DATA}/${'0'.repeat(20)}`
  t.equal(disk.contents(first).length, 4096, 'a whole block')
  for (let i = 0; i < 8; i++) {
    a.append(700)
    await a.rest(3)
  }
  await a.written()
  await a.rest()
  t.ok(disk.contents(first).length >= a.log.endPosition + 1024)
  disk.kill()
  const b = await Process.start(disk)
  t.equal((await readAll(b)).filter(entry => entryIsSound(entry.bytes)).length, 8)
  await b.stop()
})

t.test(
  'term, vote and founders are there after a power loss once the save has returned',
  async t => {
    const disk = new MemoryDisk()
    const a = await Process.start(disk)
    const founders = [
      { id: 'n0', uid: a.log.hardState.uid },
      { id: 'n1', uid: 'ff' }
    ]
    const saves = [
      a.log.saveHardState({ term: 4, vote: 'n1' }),
      a.log.saveHardState({ founders, clusterId: 'abc' })
    ]
    await a.wait(Promise.all(saves))
    disk.powerLoss('drop')
    const b = await Process.start(disk, { bootId: 'boot-2' })
    t.match(b.log.hardState, { term: 4, vote: 'n1', clusterId: 'abc', founders, incarnation: 2 })
    t.equal(b.log.recovery.powerLoss, true)
    await b.stop()
  }
)

t.test('entries that do not continue the log are refused', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  const entry = a.make(100)
  a.append(100)
  t.throws(() => a.log.append([entry], 9), /entry 1 does not follow 1/)
  const other = a.make(200)
  a.append(100)
  await a.written()
  a.cut(2)
  a.append(100, { fill: 7 })
  t.throws(() => a.log.append([{ ...other, index: 3 }], 9), /belongs to/)
  t.throws(() => a.log.commitTo(3), /beyond the last entry/)
  t.throws(() => a.log.release(1), /committed is 0/)
  t.throws(() => a.make(SEGMENT_BYTES) && a.log.append([a.make(SEGMENT_BYTES)], 9), /belongs to/)
  await a.stop()
})

t.test('another segment size is refused with both figures', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk)
  await a.stop()
  await t.rejects(Process.start(disk, { segmentBytes: 16_384 }), UnusableLogError)
  await t.rejects(Process.start(disk, { segmentBytes: 16_384 }), /8192 bytes, configured are 16384/)
})
