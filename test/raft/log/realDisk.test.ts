import { cpSync, renameSync } from 'node:fs'
import t from 'tap'
import { createRealPlatform, silentLogger } from '../../../src/platform/index.ts'
import {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  entryHeaderCrc,
  type FlushMode,
  type LogOptions,
  openLog,
  positionAfter,
  type RaftLog,
  sealEntry
} from '../../../src/raft/log/index.ts'

const SEGMENT_BYTES = 1024 * 1024
const { clock, disk, random } = createRealPlatform()

function options(directory: string, flushMode: FlushMode): LogOptions {
  return {
    disk,
    clock,
    random,
    logger: silentLogger,
    directory,
    segmentBytes: SEGMENT_BYTES,
    flushMode,
    flushIntervalMs: 20,
    tailCacheBytes: 200_000,
    bootId: 'boot',
    prepare: { aheadBytes: 256 * 1024, bytesPerSecond: 64 * 1024 * 1024, spare: true },
    watermarkIntervalMs: 5
  }
}

function make(log: RaftLog, bodyBytes: number): Entry {
  const bytes = Buffer.alloc(ENTRY_HEADER_BYTES + bodyBytes, log.lastIndex % 251)
  return sealEntry(bytes, {
    index: log.lastIndex + 1,
    term: 1 + Math.floor(log.lastIndex / 100),
    position: positionAfter(log.endPosition, bytes.length, SEGMENT_BYTES),
    kind: EntryKind.messages,
    flags: 0,
    count: 1,
    timeMs: log.lastIndex,
    prevCrc: log.lastHeaderCrc
  })
}

for (const mode of ['sync', 'async'] as const) {
  t.test(`on a real directory: write, roll, trim, cut, stop and open again (${mode})`, async t => {
    const directory = `${t.testdir()}/dledger-n0`
    const log = await openLog(options(directory, mode))
    let seq = 0
    let wake: () => void = () => {}
    const told = { failed: '', synced: 0 }
    log.listen({
      written: () => wake(),
      synced: index => {
        told.synced = index
        wake()
      },
      failed: operation => {
        told.failed = operation
        wake()
      },
      diskFull: () => {},
      damaged: () => {}
    })
    const until = async (condition: () => boolean): Promise<void> => {
      while (!condition() && told.failed === '') {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    }
    const crcs: number[] = []
    for (let i = 0; i < 300; i++) {
      const entry = make(log, 1000 + ((i * 7919) % 40_000))
      crcs.push(entryHeaderCrc(entry.bytes))
      seq += 1
      log.append([entry], seq)
      if (i % 20 === 0) await until(() => log.writtenIndex >= i - 40)
    }
    await until(() => log.writtenIndex === 300)
    log.commitTo(250)
    log.release(250)
    log.cut(281, ++seq)
    await until(() => log.writtenIndex === 280)
    const third = log.segments()[2]!
    await log.trimPrefix(third.firstIndex, third.firstPosition)
    await log.saveHardState({ term: 9, vote: 'n1' })
    await until(() => told.synced === 280)
    t.equal(told.failed, '')
    await log.close({ orderly: true })

    const again = await openLog(options(directory, mode))
    t.match(again.recovery, { fresh: false, faults: [], recovering: null, cutFrom: 0, commit: 250 })
    t.match(again, {
      firstIndex: third.firstIndex,
      startPosition: third.firstPosition,
      lastIndex: 280
    })
    t.match(again.hardState, { term: 9, vote: 'n1', incarnation: 2 })
    let index = again.firstIndex
    while (index <= again.lastIndex) {
      for (const entry of await again.readEntries(index, 300_000)) {
        t.equal(entryHeaderCrc(entry.bytes), crcs[entry.index - 1])
        index = entry.index + 1
      }
    }
    await again.close({ orderly: false })
  })
}

t.test(
  'a directory that was moved is the same one, a copy of it recovers until it is whole',
  async t => {
    const root = t.testdir()
    const [first, copy, moved] = ['first', 'copy', 'moved'].map(name => `${root}/${name}`) as [
      string,
      string,
      string
    ]
    const log = await openLog(options(first, 'sync'))
    log.append([make(log, 1000)], 1)
    await log.close({ orderly: true })
    cpSync(first, copy, { recursive: true, preserveTimestamps: true })
    renameSync(first, moved)
    const open = async (directory: string): Promise<string | null> => {
      const { recovery, close } = await openLog(options(directory, 'sync')).then(opened => ({
        recovery: opened.recovery,
        close: () => opened.close({ orderly: true })
      }))
      t.same(recovery.faults, [])
      await close()
      return recovery.recovering
    }
    t.equal(await open(moved), null)
    t.match(await open(copy), /is a copy or a backup/)
    t.match(await open(copy), /it was recovering/, 'an orderly stop does not make it whole')
    const again = await openLog(options(copy, 'sync'))
    await again.markWhole()
    await again.close({ orderly: true })
    t.equal(await open(copy), null, 'it is where it was')
  }
)
