import t, { type Test } from 'tap'
import { ACKNOWLEDGED_NAME, AcknowledgedMark } from '../../../src/raft/log/acknowledgedMark.ts'
import {
  ENTRY_HEADER_BYTES,
  type Entry,
  entryHeaderCrc,
  type LogOptions,
  sealEntry,
  UnusableLogError
} from '../../../src/raft/log/index.ts'
import { MemoryDisk } from '../../helpers/memoryDisk.ts'
import { DATA, DIRECTORY, HARD_STATE, INDEX, Process, readAll, SEGMENT_BYTES } from './harness.ts'

const ENTRIES = 40
const PAGE_BYTES = 4096
/** No unit and no watermark is written before the process dies. */
const NO_WITNESS: Partial<LogOptions> = { indexDelayMs: 1e9, watermarkIntervalMs: 1e9 }
const NO_WATERMARK: Partial<LogOptions> = { watermarkIntervalMs: 1e9 }

interface Dead {
  readonly disk: MemoryDisk
  readonly made: Entry[]
}

/** A log of 40 entries of 500 bytes whose process was killed. */
async function dead(options: Partial<LogOptions> = {}): Promise<Dead> {
  const disk = new MemoryDisk()
  const process = await Process.start(disk, options)
  const made = Array.from({ length: ENTRIES }, (_, i) =>
    process.append(500, { term: 1 + Math.floor(i / 15) })
  )
  await process.written()
  await process.rest()
  disk.kill()
  return { disk, made }
}

/** As if the process had been killed before anybody was told of what lies behind `index`. */
async function notTold(disk: MemoryDisk, index: number): Promise<void> {
  const mark = await AcknowledgedMark.open(disk.mount(), DIRECTORY, false)
  await mark.set(index)
  await mark.close()
  disk.kill()
}

function place(position: number): { path: string; at: number } {
  const at = position % SEGMENT_BYTES
  return { path: `${DATA}/${String(position - at).padStart(20, '0')}`, at }
}

function flip(disk: MemoryDisk, entry: Entry, byte: number): void {
  const { path, at } = place(entry.position)
  disk.corrupt(path, at + byte)
}

function dropIndex(disk: MemoryDisk): void {
  for (const path of disk.paths()) if (path.startsWith(INDEX)) disk.delete(path)
}

/** Gives back every fault, from the last one downwards, as a peer would. */
async function repairAll(process: Process, made: readonly Entry[]): Promise<void> {
  for (const index of [...process.log.faults.keys()].sort((a, b) => b - a)) {
    await process.wait(process.log.writeRepair(index, made[index - 1]!.bytes))
  }
}

function isZeroBehind(disk: MemoryDisk, position: number): boolean {
  const { path, at } = place(position)
  return disk
    .contents(path)
    .subarray(at)
    .every(byte => byte === 0)
}

async function same(t: Test, process: Process, made: readonly Entry[]): Promise<void> {
  const read = await readAll(process)
  t.same(
    read.map(entry => entryHeaderCrc(entry.bytes)),
    made.slice(0, read.length).map(entry => entryHeaderCrc(entry.bytes))
  )
}

for (const bootId of ['boot-1', 'boot-2']) {
  t.test(
    `a bad end is not forgotten by a start that fails, at whatever it does (${bootId})`,
    async t => {
      let failsAt = 0
      for (let isOpen = false; !isOpen; failsAt += 1) {
        const { disk, made } = await dead(NO_WITNESS)
        // After a power loss the mark may be an older one.
        if (bootId === 'boot-2') await notTold(disk, ENTRIES - 1)
        flip(disk, made[ENTRIES - 1]!, 12)
        let operations = 0
        disk.hook = ({ kind }) =>
          kind !== 'read' && operations++ === failsAt
            ? Promise.reject(new Error('not now'))
            : undefined
        isOpen = await Process.start(disk, { bootId }).then(
          () => true,
          () => false
        )
        disk.hook = null
        disk.kill()
        const next = await Process.start(disk, { bootId })
        const { recovering } = next.log.recovery
        if (recovering === null) t.fail(`forgotten when operation ${failsAt} failed`)
        await next.stop()
      }
      t.ok(failsAt > 10, `${failsAt} operations`)
    }
  )
}

for (const [part, byte] of [
  ['header', 12],
  ['body', 300]
] as const) {
  t.test(
    `a bad ${part} at the end without a unit, which was acknowledged: cut, and the node is recovering`,
    async t => {
      const { disk, made } = await dead(NO_WITNESS)
      flip(disk, made[ENTRIES - 1]!, byte)
      const b = await Process.start(disk)
      t.match(b.log, { lastIndex: ENTRIES - 1, endPosition: made[ENTRIES - 2]!.position + 564 })
      const recovering = /ends at entry 39, and 40 may have been acknowledged/
      t.match(b.log.recovery, { powerLoss: false, recovering, faults: [], cutFrom: ENTRIES })
      t.equal(b.log.hardState.bootId, '', 'the next start is as careful')
      t.ok(isZeroBehind(disk, b.log.endPosition))
      await same(t, b, made)
      await b.stop()
    }
  )

  t.test(
    `a bad ${part} at the end with an index unit is damage: kept as a fault and repaired`,
    async t => {
      const { disk, made } = await dead(NO_WATERMARK)
      const last = made[ENTRIES - 1]!
      flip(disk, last, byte)
      const b = await Process.start(disk)
      t.match(b.log, { lastIndex: ENTRIES, lastTerm: 3, endPosition: last.position + 564 })
      t.equal(b.log.lastHeaderCrc, entryHeaderCrc(last.bytes))
      const fault = { index: ENTRIES, position: last.position, term: 3, sizeBytes: 564 }
      t.match(b.log.recovery.faults, [{ ...fault, headerCrc: entryHeaderCrc(last.bytes) }])
      t.equal(b.log.hardState.bootId, '', 'the next start is as careful')
      disk.kill()
      const c = await Process.start(disk)
      t.equal(c.log.recovery.faults.length, 1)
      await repairAll(c, made)
      await c.wait(c.log.markWhole())
      c.append(10, { term: 3 })
      await c.written()
      disk.kill()
      const d = await Process.start(disk)
      t.match(d.log, { lastIndex: ENTRIES + 1 })
      t.match(d.log.recovery, { faults: [], recovering: null })
      await same(t, d, [...made, c.log.entryAt(ENTRIES + 1)!])
      await d.stop()
    }
  )

  t.test(
    `a bad ${part} after a power loss without a unit is cut, and the node is recovering until it is told`,
    async t => {
      const { disk, made } = await dead(NO_WITNESS)
      await notTold(disk, 30)
      flip(disk, made[30]!, byte)
      const b = await Process.start(disk, { bootId: 'boot-2' })
      t.equal(b.log.lastIndex, 30)
      t.match(b.log.recovery, {
        powerLoss: true,
        recovering: /torn record/,
        cutFrom: 31,
        faults: []
      })
      disk.kill()
      const c = await Process.start(disk, { bootId: 'boot-2' })
      t.match(c.log.recovery.recovering, /was recovering/)
      await c.wait(c.log.markWhole())
      disk.kill()
      const d = await Process.start(disk, { bootId: 'boot-2' })
      t.match(d.log.recovery, { recovering: null, powerLoss: false })
      await same(t, d, made)
      await d.stop()
    }
  )

  t.test(
    `a bad ${part} after a power loss with a unit: damage in sync mode, cut in async mode`,
    async t => {
      for (const flushMode of ['sync', 'async'] as const) {
        const { disk, made } = await dead({ ...NO_WATERMARK, flushMode })
        await notTold(disk, 0)
        flip(disk, made[30]!, byte)
        const b = await Process.start(disk, { bootId: 'boot-2', flushMode })
        if (flushMode === 'sync') {
          t.match(b.log.recovery, { recovering: null, faults: [{ index: 31, term: 3 }] })
          await repairAll(b, made)
        } else {
          t.match(b.log.recovery, { recovering: /page cache/, cutFrom: 31, faults: [] })
          t.equal(b.log.lastIndex, 30)
        }
        await same(t, b, made)
        await b.stop()
      }
    }
  )

  t.test(
    `a bad ${part} in the middle is damage, whatever has gone: units, boot, watermark`,
    async t => {
      const { disk, made } = await dead(NO_WITNESS)
      flip(disk, made[30]!, byte)
      const b = await Process.start(disk)
      const known = part === 'body'
      const crc = entryHeaderCrc(made[30]!.bytes)
      t.match(b.log.recovery.faults, [
        { index: 31, position: made[30]!.position, term: known ? 3 : null, headerCrc: crc }
      ])
      t.equal(b.log.lastIndex, ENTRIES)
      t.equal(b.log.termAt(31), known ? 3 : null)
      t.equal((await b.wait(b.log.readEntries(29, 100_000))).at(-1)!.index, 30)
      await repairAll(b, made)
      t.equal(b.log.termAt(31), 3)
      await same(t, b, made)
      await b.stop()
    }
  )
}

t.test('below the watermark nothing is cut, not even after a power loss', async t => {
  const { disk, made } = await dead()
  dropIndex(disk)
  flip(disk, made[ENTRIES - 2]!, 5)
  const b = await Process.start(disk, { bootId: 'boot-2' })
  t.match(b.log, { lastIndex: ENTRIES })
  t.match(b.log.recovery, { powerLoss: true, recovering: null, faults: [{ index: ENTRIES - 1 }] })
  await repairAll(b, made)
  await same(t, b, made)
  await b.stop()
})

t.test(
  'damage at the end of the log leaves the node recovering: what followed it may be gone',
  async t => {
    const { disk, made } = await dead(NO_WATERMARK)
    const { path, at } = place(made[ENTRIES - 2]!.position)
    disk.shorten(path, at + 100)
    const b = await Process.start(disk)
    t.same([...b.log.faults.keys()], [ENTRIES - 1, ENTRIES], 'known by their units')
    t.match(b.log.recovery.recovering, /end of the log is damaged/)
    await repairAll(b, made)
    await b.wait(b.log.markWhole())
    disk.kill()
    const c = await Process.start(disk)
    t.match(c.log.recovery, { faults: [], recovering: null })
    await same(t, c, made)
    await c.stop()
  }
)

t.test('the last files are gone: damage, which is fetched again into new ones', async t => {
  for (const gone of [1, 2]) {
    const { disk, made } = await dead(NO_WATERMARK)
    const last = place(made[ENTRIES - 1]!.position).path
    const files = disk.paths().filter(path => path.startsWith(`${DATA}/0`) && path <= last)
    for (const path of files.slice(-gone)) disk.delete(path)
    const first = made.findIndex(({ position }) => place(position).path === files.at(-gone)) + 1
    for (const start of ['first', 'second']) {
      const b = await Process.start(disk)
      t.same(
        [...b.log.faults.keys()],
        made.map(({ index }) => index).filter(index => index >= first),
        `${gone} gone, the ${start} start`
      )
      t.equal(b.log.segments().length, files.length)
      t.equal(b.log.segments().at(-gone)?.firstIndex, first)
      if (start === 'second') {
        await repairAll(b, made)
        await b.wait(b.log.markWhole())
        b.append(10, { term: 3 })
        await b.written()
      }
      disk.kill()
    }
    const c = await Process.start(disk)
    t.match(c.log.recovery, { faults: [], recovering: null })
    t.equal(c.log.lastIndex, ENTRIES + 1)
    await same(t, c, [...made, (await c.wait(c.log.readEntries(ENTRIES + 1, 1)))[0]!])
    await c.stop()
  }
})

/** A log without index units whose last entry has `ofPage` of its bytes in one page, the rest in the next. */
async function deadAcrossPages(ofPage: number): Promise<Dead & { file: string; at: number }> {
  const disk = new MemoryDisk()
  const process = await Process.start(disk, NO_WITNESS)
  const filler = PAGE_BYTES - ofPage - 2 * ENTRY_HEADER_BYTES - 100
  const made = [100, filler, 1000].map(bytes => process.append(bytes, { term: 1 }))
  await process.written()
  await process.rest()
  disk.kill()
  const { path: file, at } = place(made[2]!.position)
  return { disk, made, file, at }
}

for (const [part, ofPage] of [
  ['header', 20],
  ['body', 500]
] as const) {
  t.test(`a last ${part} that stops at a page, and nobody was told: a kill stopped it`, async t => {
    const { disk, made, file, at } = await deadAcrossPages(ofPage)
    t.equal(at, PAGE_BYTES - ofPage)
    await notTold(disk, 2)
    disk.overwrite(file, PAGE_BYTES, Buffer.alloc(PAGE_BYTES))
    const b = await Process.start(disk)
    t.match(b.log.recovery, { powerLoss: false, recovering: null, faults: [], cutFrom: 3 })
    t.equal(b.log.hardState.bootId, 'boot-1')
    t.ok(isZeroBehind(disk, b.log.endPosition))
    await same(t, b, made)
    await b.stop()
  })

  t.test(`a last ${part} that was acknowledged is missed, whatever is left of it`, async t => {
    for (const [from, bytes] of [
      [0, 2000],
      [ofPage - 3, 40],
      [ofPage, 80],
      [ofPage, 2000],
      [ofPage + 200, 2000]
    ] as const) {
      const { disk, made, file, at } = await deadAcrossPages(ofPage)
      disk.overwrite(file, at + from, Buffer.alloc(bytes))
      const b = await Process.start(disk)
      t.equal(b.log.lastIndex, 2)
      const cutFrom = from === 0 ? 0 : 3
      t.match(b.log.recovery, { recovering: /and 3 may have been acknowledged/, cutFrom })
      t.ok(isZeroBehind(disk, b.log.endPosition))
      await same(t, b, made)
      await b.stop()
    }
  })
}

t.test(
  'acknowledged entries without units are missed when the file that had them is gone or shorter',
  async t => {
    for (const left of [null, 0, 30, 100]) {
      const { disk, made } = await dead(NO_WITNESS)
      const { path, at } = place(made[ENTRIES - 2]!.position)
      if (left === null) disk.delete(path)
      else disk.shorten(path, at + left)
      const b = await Process.start(disk)
      if (left === null) t.ok(b.log.lastIndex < ENTRIES - 1)
      else t.equal(b.log.lastIndex, ENTRIES - 2)
      t.match(b.log.recovery.recovering, /40 may have been acknowledged/, `${left} bytes are left`)
      await b.stop()
    }
  }
)

t.test(
  'nobody is told of an entry before the mark says so: one that finds no room waits for it',
  async t => {
    const disk = new MemoryDisk()
    const a = await Process.start(disk)
    disk.failNext('write', 'ENOSPC', { times: 2, path: `/${ACKNOWLEDGED_NAME}` })
    a.append(100)
    await a.until('the disk is full', () => a.told.full.length === 1)
    t.equal(a.log.writtenIndex, 0)
    await a.written()
    t.same(a.told.full, [true, false])
    await a.stop()
  }
)

t.test(
  'without a mark that can be believed a killed node recovers, one that stopped orderly does not',
  async t => {
    for (const harm of ['flip', 'empty', 'gone'] as const) {
      for (const orderly of [false, true]) {
        const { disk, made } = await dead()
        const path = `${DIRECTORY}/${ACKNOWLEDGED_NAME}`
        if (orderly) await (await Process.start(disk)).stop()
        if (harm === 'flip') disk.corrupt(path, 12)
        else if (harm === 'empty') disk.shorten(path, 0)
        else disk.delete(path)
        const b = await Process.start(disk)
        const { recovering } = b.log.recovery
        t.match(b.log.recovery, { faults: [], cutFrom: 0 })
        if (orderly) t.equal(recovering, null, harm)
        else t.match(recovering, /is damaged or gone/, harm)
        await same(t, b, made)
        await b.wait(b.log.markWhole())
        disk.kill()
        const c = await Process.start(disk)
        t.equal(c.log.recovery.recovering, null, 'the mark is made again')
        await c.stop()
      }
    }
  }
)

t.test('a cut that a kill stopped left headers of zeros with bodies behind: no damage', async t => {
  const { disk, made } = await dead(NO_WITNESS)
  await notTold(disk, ENTRIES - 2)
  for (const { position } of made.slice(-2)) {
    const { path, at } = place(position)
    disk.overwrite(path, at, Buffer.alloc(ENTRY_HEADER_BYTES))
  }
  const b = await Process.start(disk)
  t.equal(b.log.lastIndex, ENTRIES - 2)
  t.match(b.log.recovery, { recovering: null, faults: [], cutFrom: ENTRIES - 1 })
  t.ok(isZeroBehind(disk, b.log.endPosition))
  await same(t, b, made)
  await b.stop()
})

t.test('a last entry without any identity is dropped, and the node is recovering', async t => {
  const { disk, made } = await dead()
  dropIndex(disk)
  flip(disk, made[ENTRIES - 1]!, 5)
  const b = await Process.start(disk)
  t.equal(b.log.lastIndex, ENTRIES - 1)
  t.match(b.log.recovery, { faults: [], cutFrom: ENTRIES })
  t.type(b.log.recovery.recovering, 'string')
  await same(t, b, made)
  await b.stop()
})

t.test(
  'several damaged headers in a row get their identity from above, one after the other',
  async t => {
    const { disk, made } = await dead(NO_WITNESS)
    for (const i of [9, 10, 11, 12]) flip(disk, made[i]!, 6)
    const b = await Process.start(disk)
    t.same([...b.log.faults.keys()], [10, 11, 12, 13])
    t.same(
      [...b.log.faults.values()].map(fault => fault.headerCrc !== null),
      [false, false, false, true]
    )
    const end = made[8]!.position + made[8]!.bytes.length
    t.same(
      [...b.log.faults.values()].map(fault => fault.previousEnd ?? null),
      [end, null, null, null],
      'only where the first one may begin is known'
    )
    await t.rejects(b.wait(b.log.writeRepair(13, made[11]!.bytes)), { code: 'LMQ_LOG_REPAIR' })
    for (const index of [13, 12, 11]) {
      await b.wait(b.log.writeRepair(index, made[index - 1]!.bytes))
      t.equal(b.log.faults.get(index - 1)!.headerCrc, entryHeaderCrc(made[index - 2]!.bytes))
    }
    await b.wait(b.log.writeRepair(10, made[9]!.bytes))
    t.same(b.log.faults.size, 0)
    await same(t, b, made)
    await b.stop()
  }
)

t.test(
  'entries that lost their headers are cut with what follows, and wherever that is stopped the node recovers',
  async t => {
    const before = await dead(NO_WITNESS)
    for (const i of [9, 10, 11]) flip(before.disk, before.made[i]!, 6)
    const b = await Process.start(before.disk)
    b.cut(10, true)
    b.append(700, { term: 4 })
    await b.until('the cut to be done', () => b.log.writtenIndex === 10)
    t.match(b.log.hardState, { recovering: true, bootId: '', watermark: 9 })
    await b.wait(b.log.markWhole())
    before.disk.kill()
    const c = await Process.start(before.disk)
    t.match(c.log, { lastIndex: 10, lastTerm: 4 })
    t.match(c.log.recovery, { faults: [], recovering: null })
    await c.stop()

    const stopped = { uncut: 0, recovering: 0 }
    for (let operation = 1; operation <= 30; operation++) {
      const { disk, made } = await dead(NO_WITNESS)
      for (const i of [9, 10, 11]) flip(disk, made[i]!, 6)
      const d = await Process.start(disk)
      let killed = false
      disk.killAt(operation, () => {
        killed = true
      })
      d.cut(10, true)
      await d.until('the end', () => killed || d.told.written.lastIndex === 9)
      if (!killed) disk.kill()
      const e = await Process.start(disk)
      const { recovering, faults } = e.log.recovery
      if (e.log.lastIndex === ENTRIES && faults.length >= 3) stopped.uncut += 1
      else if (recovering !== null) stopped.recovering += 1
      else t.fail(`operation ${operation}: the log ends at ${e.log.lastIndex} and counts as whole`)
      await e.stop()
    }
    t.ok(stopped.uncut > 0 && stopped.recovering > 0, JSON.stringify(stopped))
  }
)

t.test('the index is rebuilt when it is missing, cut short or damaged', async t => {
  for (const harm of ['missing', 'short', 'flips'] as const) {
    const { disk, made } = await dead()
    const file = `${INDEX}/${'0'.repeat(20)}`
    const before = disk.contents(file)
    if (harm === 'missing') dropIndex(disk)
    if (harm === 'short') disk.shorten(file, 700)
    if (harm === 'flips') for (let at = 40; at < before.length; at += 97) disk.corrupt(file, at)
    const b = await Process.start(disk)
    t.match(b.log.recovery, { faults: [], recovering: null, cutFrom: 0 }, harm)
    t.same(
      b.log.recovery.terms.map(({ term, firstIndex }) => [term, firstIndex]),
      [
        [1, 1],
        [2, 16],
        [3, 31]
      ]
    )
    await b.stop()
    await t.test('all units are there again', async t => {
      const c = await Process.start(disk, { tailCacheBytes: 0 })
      await same(t, c, made)
      t.same(disk.contents(file).subarray(32), before.subarray(32, disk.contents(file).length))
      await c.stop()
    })
  }
})

t.test(
  'a segment that is cut short or missing is damage, and comes back from the peers',
  async t => {
    for (const harm of ['short', 'missing'] as const) {
      const { disk, made } = await dead()
      const path = `${DATA}/${String(SEGMENT_BYTES).padStart(20, '0')}`
      if (harm === 'short') disk.shorten(path, 1000)
      else disk.delete(path)
      const b = await Process.start(disk)
      t.match(b.log, { lastIndex: ENTRIES })
      const later = await b.wait(b.log.readEntries(ENTRIES - 5, 1_000_000))
      t.equal(later.at(-1)!.index, ENTRIES)
      const lost = made.filter(({ position }) => Math.floor(position / SEGMENT_BYTES) === 1)
      for (const entry of lost) {
        await b.wait(b.log.read(entry.position, 64)).catch(() => {})
      }
      t.equal(b.log.faults.size, lost.length - (harm === 'short' ? 1 : 0), harm)
      await repairAll(b, made)
      await same(t, b, made)
      await b.stop()
      const c = await Process.start(disk)
      t.match(c.log.recovery, { faults: [], recovering: null })
      await same(t, c, made)
      await c.stop()
    }
  }
)

t.test('a lost write under a good one is found by the chain', async t => {
  const { disk, made } = await dead(NO_WATERMARK)
  const old = Buffer.from(made[36]!.bytes).fill(9, 64)
  sealEntry(old, { ...made[36]!, prevCrc: entryHeaderCrc(made[35]!.bytes) })
  const { path, at } = place(made[36]!.position)
  disk.overwrite(path, at, old)
  const b = await Process.start(disk)
  t.match(b.log.recovery.faults, [{ index: 37, headerCrc: entryHeaderCrc(made[36]!.bytes) }])
  await repairAll(b, made)
  await same(t, b, made)
  await b.stop()
})

t.test(
  'no damage of one file of the hard state brings an older promise back; of both, the node ends',
  async t => {
    const copy = `${HARD_STATE}.copy`
    for (const damage of ['newest slot', 'both slots', 'zeros', 'other slot', 'gone'] as const) {
      for (const [harmed, kept] of [
        [HARD_STATE, copy],
        [copy, HARD_STATE]
      ] as const) {
        const disk = new MemoryDisk()
        const a = await Process.start(disk, NO_WATERMARK)
        a.append(10)
        await a.written()
        await a.wait(a.log.saveHardState({ term: 7, vote: 'n1' }))
        await a.wait(a.log.saveHardState({ term: 8, vote: 'n2' }))
        disk.kill()
        const slots = disk.contents(harmed)
        const newest = slots.readUInt32BE(12) > slots.readUInt32BE(4096 + 12) ? 0 : 4096
        if (damage === 'newest slot' || damage === 'both slots') disk.corrupt(harmed, newest + 30)
        if (damage === 'both slots') disk.corrupt(harmed, 4096 - newest + 30)
        if (damage === 'zeros') disk.overwrite(harmed, 0, Buffer.alloc(8192))
        // As a write that never came down would leave it.
        if (damage === 'other slot') {
          disk.overwrite(harmed, newest, slots.subarray(4096 - newest, 8192 - newest))
        }
        if (damage === 'gone') disk.delete(harmed)
        const b = await Process.start(disk)
        t.match(b.log.hardState, { term: 8, vote: 'n2' }, `${damage} of ${harmed}`)
        await b.wait(b.log.saveHardState({ term: 9, vote: 'n0' }))
        await b.wait(b.log.saveHardState({ term: 10, vote: 'n0' }))
        disk.kill()
        disk.overwrite(kept, 0, Buffer.alloc(8192, 7))
        const c = await Process.start(disk)
        t.match(c.log.hardState, { term: 10, vote: 'n0' }, 'what was harmed is whole again')
        disk.kill()
        disk.overwrite(harmed, 0, Buffer.alloc(8192, 7))
        disk.overwrite(kept, 0, Buffer.alloc(8192, 7))
        await t.rejects(Process.start(disk), UnusableLogError)
        await t.rejects(Process.start(disk), /damaged in all of their slots/)
        disk.delete(harmed)
        disk.delete(kept)
        await t.rejects(Process.start(disk), /must not vote/)
      }
    }
  }
)

t.test('a power loss before the first entry takes nothing that was acknowledged', async t => {
  const disk = new MemoryDisk()
  const a = await Process.start(disk, { flushMode: 'async' })
  await a.rest()
  disk.powerLoss('drop')
  const b = await Process.start(disk, { flushMode: 'async', bootId: 'boot-2' })
  t.match(b.log.recovery, { powerLoss: true, recovering: null })
  await b.rest()
  disk.powerLoss('drop')
  const c = await Process.start(disk, {
    flushMode: 'async',
    bootId: 'boot-3',
    flushIntervalMs: 1e9
  })
  t.match(c.log.recovery, { powerLoss: true, recovering: null }, 'nor does another')
  c.append(100)
  await c.written()
  disk.powerLoss('drop')
  const d = await Process.start(disk, { flushMode: 'async', bootId: 'boot-4' })
  t.equal(d.log.lastIndex, 0)
  t.match(d.log.recovery.recovering, /went down/, 'one entry was there')
  await d.stop()
})

t.test('a power loss in async mode is recovering even when nothing looks wrong', async t => {
  const { disk } = await dead({ flushMode: 'async' })
  const b = await Process.start(disk, { bootId: 'boot-2', flushMode: 'sync' })
  t.match(b.log.recovery, { powerLoss: true, recovering: /page cache/, faults: [] })
  await b.wait(b.log.markWhole())
  disk.kill()
  const c = await Process.start(disk, { bootId: 'boot-3', flushMode: 'sync' })
  t.match(c.log.recovery, { powerLoss: true, recovering: null }, 'all since was synced')
  await c.stop()
  const d = await Process.start(disk, { bootId: 'boot-4', flushMode: 'sync' })
  t.match(d.log.recovery, { powerLoss: false, recovering: null }, 'an orderly stop')
  await d.stop()
})

t.test(
  'only the segment of the watermark is scanned; older damage is found when it is read',
  async t => {
    const { disk, made } = await dead()
    const a = await Process.start(disk)
    await a.stop()
    flip(disk, made[3]!, 200)
    const b = await Process.start(disk, { tailCacheBytes: 0 })
    t.equal(b.log.recovery.faults.length, 0)
    t.ok(b.log.recovery.scannedBytes <= 2 * SEGMENT_BYTES, `${b.log.recovery.scannedBytes}`)
    await t.rejects(b.wait(b.log.read(made[3]!.position, 64)), { code: 'LMQ_LOG_DAMAGED_ENTRY' })
    t.match(b.told.damaged, [{ index: 4, headerCrc: entryHeaderCrc(made[3]!.bytes) }])
    await repairAll(b, made)
    await same(t, b, made)
    await b.stop()
  }
)

t.test('a full disk is no obstacle to a start, even when the index is lost', async t => {
  const { disk, made } = await dead()
  dropIndex(disk)
  disk.capacityBytes = disk.usedBytes()
  const b = await Process.start(disk, { tailCacheBytes: 0 })
  t.match(b.log, { lastIndex: ENTRIES })
  await same(t, b, made)
  b.append(500)
  await b.written()
  t.same(b.told.full, [], 'there are zeros in reserve')
  t.equal(disk.usedBytes(), disk.capacityBytes)
  await same(t, b, [...made, b.log.entryAt(ENTRIES + 1)!])
  disk.capacityBytes += 100_000
  await b.stop()
  const c = await Process.start(disk)
  t.match(c.log, { lastIndex: ENTRIES + 1 })
  t.same(c.log.recovery.faults, [])
  await c.stop()
})
