import { crc32 } from 'node:zlib'
import t from 'tap'
import type { Disk } from '../../../src/platform/index.ts'
import {
  CopyDamagedError,
  decodeManifest,
  type Entry,
  encodeManifest,
  LogCopy,
  logPart,
  type Manifest,
  type OldTail,
  openLog,
  pendingInstall,
  STATE_NAME,
  switchToCopy
} from '../../../src/raft/log/index.ts'
import { encodeConfiguration } from '../../../src/raft/wire/index.ts'
import { FakeClock } from '../../helpers/fakeClock.ts'
import { generator } from '../../helpers/generator.ts'
import { MemoryDisk } from '../../helpers/memoryDisk.ts'
import { DIRECTORY, logOptions, Process, readAll, SEGMENT_BYTES } from './harness.ts'

const UNITS = 64
const SEEDS = Number(process.env['CRASH_SEEDS'] ?? 10)
const STATE = Buffer.from('what was derived from the log '.repeat(200))
const CONFIGURATION = {
  version: 1,
  clusterId: 'c1',
  members: ['n0', 'n1', 'n2'].map(id => ({
    id,
    uid: `${id}-uid`,
    role: 'voter' as const,
    raftAddress: `${id}:1`,
    brokerAddress: `${id}:2`,
    priority: 0
  }))
}

interface Source {
  process: Process
  /** All that it ever had, by index - 1. */
  entries: Entry[]
  manifest: Manifest
}

/** A log of several segments whose beginning is trimmed, and a snapshot of it up to entry `index`. */
async function source(count: number, index: number): Promise<Source> {
  const process = await Process.start(new MemoryDisk({ seed: 1 }))
  const { log } = process
  const entries: Entry[] = []
  for (let i = 0; i < count; i++) {
    entries.push(process.append(200 + ((i * 137) % 1500), { term: 1 + Math.floor(i / 20) }))
  }
  await process.written()
  log.commitTo(count)
  log.release(count)
  const keep = log.segments()[2]!
  await process.wait(log.trimPrefix(keep.firstIndex, keep.firstPosition))
  return { process, entries, manifest: await manifestOf(process, index, 's1') }
}

async function manifestOf(process: Process, index: number, snapshotId: string): Promise<Manifest> {
  return {
    version: 1,
    snapshotId,
    index,
    segmentBytes: SEGMENT_BYTES,
    stateBytes: STATE.length,
    stateCrc: crc32(STATE),
    configurationIndex: 1,
    configuration: CONFIGURATION,
    ...(await process.wait(logPart(process.log, index, SEGMENT_BYTES)))
  }
}

/** Fetches what is missing, `pieces` at most; true: all is there. */
async function fetch(
  from: Source,
  copy: LogCopy,
  pieces = Number.MAX_SAFE_INTEGER
): Promise<boolean> {
  for (let i = 0; i < pieces; i++) {
    const part = await copy.nextMissing(1500)
    if (part === null) return true
    const bytes =
      part.file === STATE_NAME
        ? STATE.subarray(part.offset, part.offset + part.bytes)
        : await from.process.log.shipping.read(Number(part.file) + part.offset, part.bytes)
    await copy.write(part, bytes!)
  }
  return false
}

function openCopy(disk: Disk, manifest: Manifest): Promise<LogCopy> {
  return LogCopy.open(disk, new FakeClock(), DIRECTORY, manifest, UNITS)
}

function change(disk: Disk, manifest: Manifest, tail: OldTail | null): Promise<void> {
  const configurationBody = Buffer.from(encodeConfiguration(CONFIGURATION))
  const options = {
    disk,
    clock: new FakeClock(),
    directory: DIRECTORY,
    unitsPerIndexFile: UNITS,
    configurationBody
  }
  return switchToCopy(options, manifest, tail)
}

/** A follower that has the first entries of the source, has voted, and was closed in order. */
async function follower(disk: MemoryDisk, from: Source, count: number): Promise<void> {
  const process = await Process.start(disk)
  for (const [at, entry] of from.entries.slice(0, count).entries())
    process.log.append([entry], at + 1)
  await process.written()
  process.log.commitTo(Math.min(count, 5))
  await process.wait(process.log.saveHardState({ term: 7, vote: 'n1' }))
  await process.stop()
}

/** What a start finds when the copy has taken the log's place. */
async function checkInstalled(
  disk: MemoryDisk,
  from: Source,
  lastIndex: number
): Promise<string | null> {
  const process = await Process.start(disk)
  const { log } = process
  const { hardState } = log
  const { start } = from.manifest
  if (log.faults.size > 0) return `faults ${JSON.stringify([...log.faults.values()][0])}`
  if (log.firstIndex !== start.index + 1) return `begins with ${log.firstIndex}`
  if (log.startPosition !== start.position) return `begins at ${log.startPosition}`
  if (log.lastIndex !== lastIndex) return `ends with ${log.lastIndex}`
  if (log.termAt(start.index) !== start.term) return `starts in term ${log.termAt(start.index)}`
  if (hardState.term !== 7 || hardState.vote !== 'n1') return 'forgot its vote'
  if (hardState.clusterId !== 'c1') return `belongs to ${hardState.clusterId}`
  if (hardState.install !== '') return 'the change is not done'
  if (hardState.commit < from.manifest.index) return `knows commit ${hardState.commit}`
  const entries = await readAll(process)
  for (const entry of entries)
    if (!entry.bytes.equals(from.entries[entry.index - 1]!.bytes))
      return `entry ${entry.index} differs`
  if (entries.length !== lastIndex - start.index) return `has ${entries.length} entries`
  const next = from.entries[lastIndex]
  if (next !== undefined) {
    log.append([next], 1)
    await process.written()
  }
  const left = await disk.mount().list(`${DIRECTORY}/copy`)
  await process.stop()
  return left.length === 0 ? null : 'the copy is still there'
}

t.test(
  'a whole copy takes the place of the log, with its start, term, commit and members',
  async t => {
    const from = await source(60, 55)
    const disk = new MemoryDisk({ seed: 2 })
    await follower(disk, from, 12)
    const copy = await openCopy(disk.mount(), from.manifest)
    t.ok(await fetch(from, copy))
    t.equal(copy.doneBytes, copy.totalBytes)
    await copy.close()
    t.equal(await pendingInstall(disk.mount(), new FakeClock(), DIRECTORY), null)
    await change(disk.mount(), from.manifest, null)
    const pending = await pendingInstall(disk.mount(), new FakeClock(), DIRECTORY)
    t.match(pending, { snapshotId: 's1', index: 55, firstIndex: from.manifest.start.index + 1 })
    t.strictSame(await disk.mount().readFile(pending!.statePath), STATE)
    t.equal(await checkInstalled(disk, from, 55), null)
  }
)

t.test(
  'what the old log has behind the entry of the snapshot stays: it may be acknowledged',
  async t => {
    const from = await source(60, 40)
    const disk = new MemoryDisk({ seed: 3 })
    await follower(disk, from, 58)
    const copy = await openCopy(disk.mount(), from.manifest)
    t.ok(await fetch(from, copy))
    await copy.close()
    const { position, bytes } = from.entries[57]!
    await change(disk.mount(), from.manifest, {
      lastIndex: 58,
      endPosition: position + bytes.length
    })
    t.equal(await checkInstalled(disk, from, 58), null)
  }
)

t.test('a copy goes on where it stopped, also under a newer manifest', async t => {
  const from = await source(60, 40)
  const disk = new MemoryDisk({ seed: 4 })
  await follower(disk, from, 12)
  const first = await openCopy(disk.mount(), from.manifest)
  t.notOk(await fetch(from, first, 10))
  const { doneBytes, verifiedSegments } = first
  t.ok(verifiedSegments > 0 && doneBytes > 0)
  await first.close()
  const again = await openCopy(disk.mount(), from.manifest)
  t.equal(again.doneBytes, doneBytes, 'nothing is fetched twice')
  t.equal(again.verifiedSegments, verifiedSegments)
  await again.close()
  from.manifest = await manifestOf(from.process, 56, 's2')
  const newer = await openCopy(disk.mount(), from.manifest)
  t.equal(
    newer.verifiedSegments,
    verifiedSegments,
    'a segment of the same chain is the same segment'
  )
  t.ok(await fetch(from, newer))
  await newer.close()
  await change(disk.mount(), from.manifest, null)
  t.equal(await checkInstalled(disk, from, 56), null)
})

t.test('an older manifest cuts a longer copy', async t => {
  const from = await source(60, 58)
  const disk = new MemoryDisk({ seed: 5 })
  await follower(disk, from, 12)
  const longer = await openCopy(disk.mount(), from.manifest)
  await fetch(from, longer)
  await longer.close()
  from.manifest = await manifestOf(from.process, 50, 's2')
  const copy = await openCopy(disk.mount(), from.manifest)
  t.ok(await fetch(from, copy))
  await copy.close()
  await change(disk.mount(), from.manifest, null)
  t.equal(await checkInstalled(disk, from, 50), null)
})

t.test(
  'a part that is not what was offered is found when it is read back, and fetched again',
  async t => {
    const from = await source(60, 55)
    const disk = new MemoryDisk({ seed: 6 })
    const copy = await openCopy(disk.mount(), from.manifest)
    const part = (await copy.nextMissing(1500))!
    const bytes = (await from.process.log.shipping.read(Number(part.file), part.bytes))!
    bytes[700] = bytes[700]! ^ 1
    await copy.write(part, bytes)
    await t.rejects(fetch(from, copy), CopyDamagedError)
    t.ok(await fetch(from, copy))
    await copy.close()
  }
)

t.test('a manifest that contradicts itself, or is damaged, is none', async t => {
  const { manifest } = await source(60, 55)
  const bytes = encodeManifest(manifest)
  t.strictSame(decodeManifest(bytes), manifest)
  for (const wrong of [
    { ...manifest, endPosition: manifest.endPosition + 1 },
    { ...manifest, index: 54 },
    { ...manifest, start: { ...manifest.start, position: manifest.start.position + 1 } },
    { ...manifest, segments: manifest.segments.slice(1) },
    { ...manifest, segments: [] },
    { ...manifest, stateBytes: -1 },
    { ...manifest, version: 2 }
  ])
    t.equal(decodeManifest(encodeManifest(wrong as Manifest)), null)
  bytes[20] = bytes[20]! ^ 1
  t.equal(decodeManifest(bytes), null)
  t.equal(decodeManifest(Buffer.alloc(3)), null)
})

t.test('what is left of a copy that brings nothing any more goes at a start', async t => {
  const from = await source(60, 30)
  const disk = new MemoryDisk({ seed: 7 })
  await follower(disk, from, 12)
  const copy = await openCopy(disk.mount(), from.manifest)
  await fetch(from, copy, 6)
  await copy.close()
  const process = await Process.start(disk)
  t.ok((await disk.mount().list(`${DIRECTORY}/copy`)).length > 0, 'it may be gone on with')
  for (const [at, entry] of from.entries.slice(12, 40).entries())
    process.log.append([entry], at + 1)
  await process.written()
  process.log.commitTo(35)
  await process.stop()
  const again = await Process.start(disk)
  t.equal((await disk.mount().list(`${DIRECTORY}/copy`)).length, 0, 'its entry is committed here')
  await again.stop()
})

/** Dies at some operation, starts again, goes on, until the copy is in place. The log is the old one or the new one, never less. */
async function dieOnTheWay(seed: number, power: boolean): Promise<string | null> {
  const dice = generator(seed)
  const index = 30 + Math.floor(dice() * 25)
  const from = await source(60, index)
  const disk = new MemoryDisk({ seed })
  const had = dice() < 0.5 ? 12 : Math.min(58, index + Math.floor(dice() * 10))
  await follower(disk, from, had)
  let boot = 1
  for (let life = 0; life < 40; life++) {
    let dead = false
    const operations = 5 + Math.floor(dice() * (200 + 60 * life))
    disk.killAt(operations, () => {
      dead = true
    })
    const mounted = disk.mount()
    let done = false
    const clock = new FakeClock()
    const work = (async (): Promise<void> => {
      const install = await pendingInstall(mounted, new FakeClock(), DIRECTORY)
      if (install !== null) {
        const state = await mounted.readFile(install.statePath)
        if (!state.equals(STATE)) throw new Error('the state is another one')
      }
      // Time passes in the loop below: what waits for it must not go on when the disk is dead.
      const log = await openLog({ ...logOptions(mounted, clock), bootId: `boot-${boot}` })
      const isNew = log.firstIndex > 1
      const tail = had > index ? had : index
      const expected = isNew ? tail : had
      if (log.faults.size > 0) throw new Error(`faults in life ${life}`)
      if (log.lastIndex !== expected)
        throw new Error(`life ${life}: ends with ${log.lastIndex}, not ${expected}`)
      if (log.hardState.term !== 7) throw new Error(`life ${life}: term ${log.hardState.term}`)
      if (isNew) {
        await log.close({ orderly: true })
        done = true
        return
      }
      const own = await log.headerCrcAt(index)
      const isOwn = own === from.manifest.headerCrc && log.lastIndex > index
      const { lastIndex, endPosition } = log
      await log.close({ orderly: true })
      const copy = await openCopy(mounted, from.manifest)
      // What a power loss left half written is found when it is read back.
      for (let whole = false; !whole; ) {
        whole = await fetch(from, copy).catch(error => {
          if (error instanceof CopyDamagedError) return false
          throw error
        })
      }
      await copy.close()
      await change(mounted, from.manifest, isOwn ? { lastIndex, endPosition } : null)
    })()
    let failure: Error | null = null
    let settled = false
    work.then(
      () => {
        settled = true
      },
      (error: Error) => {
        settled = true
        failure = error
      }
    )
    while (!settled && !dead) {
      clock.advance(1)
      await new Promise(resolve => setImmediate(resolve))
    }
    if (failure !== null && !dead) return (failure as Error).stack ?? 'failed'
    if (done) break
    if (!dead) {
      disk.killAt(Number.MAX_SAFE_INTEGER, () => {})
      continue
    }
    if (power) {
      disk.powerLoss('random')
      boot += 1
    } else disk.kill()
  }
  disk.killAt(Number.MAX_SAFE_INTEGER, () => {})
  return checkInstalled(disk, from, Math.max(had, index))
}

for (const power of [false, true]) {
  const what = power ? 'a power loss' : 'kill -9'
  t.test(
    `${what} at any step of the copy and of the change leaves the old log or the new one (${SEEDS} seeds)`,
    async t => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const wrong = await dieOnTheWay(seed, power)
        if (wrong !== null) t.fail(`seed ${seed}: ${wrong}`)
      }
      t.pass('all seeds')
    }
  )
}
