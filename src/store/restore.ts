/** What a start finds: tables and queues from the state database, and from which entries on the log has to be applied. */
import { join } from 'node:path'
import type { Disk, Logger } from '../platform/index.ts'
import type { RunRecord } from './indexRun.ts'
import type { KeyValueChange, KeyValueStore } from './keyValueStore.ts'
import { StateOpenError } from './keyValueStore.ts'
import type { QueueEnd, RestoredIndexes } from './machine.ts'
import type { QueueTable } from './queueTable.ts'
import type { ScrubRecord } from './scrubber.ts'
import type { Tables } from './tables.ts'
import { decodeQueue, loadRecord, type MetaRecord, RecordKind } from './tablesCodec.ts'
import { kindRange } from './timers.ts'

export const FIRST_KEY = Buffer.from([0])
export const LAST_KEY = Buffer.from([255])
/** Kinds whose records would stay when the log, applied anew, does not mention them. */
const LEFT_OVER: readonly string[] = [RecordKind.timerRegion, RecordKind.pop, RecordKind.popOrder]

export interface Restored {
  readonly indexes: RestoredIndexes
  /** Up to here the queues' files are fdatasynced; behind it another process may have left them to the page cache. */
  readonly syncedIndex: number
  /** The log is applied from the entry behind it. */
  readonly appliedIndex: number
  readonly appliedPosition: number
  readonly runs: readonly RunRecord[]
  /** Of the queues' files that are there; null: of none, or not known. */
  readonly queueFileUnits: number | null
  readonly delayLevelsMs: readonly number[] | null
  /** null: it never ran. */
  readonly scrub: ScrubRecord | null
  /** There was nothing. */
  readonly isNew: boolean
}

export async function restore(
  state: KeyValueStore,
  tables: Tables,
  queues: QueueTable,
  bootId: string,
  logger: Logger
): Promise<Restored> {
  let meta: MetaRecord | null = null
  const runs: RunRecord[] = []
  let scrub: ScrubRecord | null = null
  const queueRecords: ReturnType<typeof decodeQueue>[] = []
  for await (const block of startRecords(state)) {
    for (const [key, value] of block) {
      const kind = String.fromCharCode(key[0]!)
      // Meta comes before them; without it they are left over (below).
      if (meta === null && LEFT_OVER.includes(kind)) continue
      if (kind === RecordKind.meta) meta = JSON.parse(value.toString('utf8')) as MetaRecord
      else if (kind === RecordKind.queue) queueRecords.push(decodeQueue(key, value))
      else if (kind === RecordKind.run) runs.push(JSON.parse(value.toString('utf8')) as RunRecord)
      else if (kind === RecordKind.scrub) scrub = JSON.parse(value.toString('utf8')) as ScrubRecord
      else loadRecord(tables, key, value)
    }
  }
  if (meta === null) {
    // Left over from a removal that was interrupted; the other kinds are overwritten as the log is applied.
    for (const kind of [...LEFT_OVER, RecordKind.timer, RecordKind.queueBlock]) {
      await clear(state, kind)
    }
    return {
      indexes: { tables: 0, queues: 0, keys: 0, isRebuilding: false, ends: [] },
      syncedIndex: 0,
      appliedIndex: 0,
      appliedPosition: 0,
      runs,
      queueFileUnits: null,
      delayLevelsMs: null,
      scrub: null,
      isNew: true
    }
  }
  if (meta.version !== 1) {
    throw new StateOpenError(
      `the state database was written by a newer version (layout ${String(meta.version)}): start that one`
    )
  }
  Object.assign(tables.topicsVersion, meta.topicsVersion)
  Object.assign(tables.groupsVersion, meta.groupsVersion)
  Object.assign(tables.brokerConfigVersion, meta.brokerConfigVersion)
  tables.trim = meta.trim
  tables.timeMs = meta.timeMs
  // Another boot: what the page cache had of the queues' files may be gone with the power.
  const filesWhole = meta.clean || (bootId !== '' && meta.bootId === bootId)
  if (!filesWhole) {
    logger.warn('The machine went down without a clean stop: queues go back to what was synced', {
      appliedIndex: meta.appliedIndex,
      syncedIndex: meta.syncedIndex
    })
  }
  const isRebuilding = meta.queuesIndex !== undefined
  const ends: QueueEnd[] = []
  for (const record of queueRecords) {
    const maxOffset = filesWhole ? record.maxOffset : record.syncedOffset
    const maxCrc = filesWhole ? record.maxCrc : record.syncedCrc
    const minOffset = Math.min(record.minOffset, maxOffset)
    const queue = queues.obtain(record.topic, record.queueId)
    // Nothing of it is built yet; who asks meanwhile must not be told that its messages are gone.
    if (isRebuilding && minOffset === maxOffset) ends.push({ queue, maxOffset })
    else queue.restore({ ...record, minOffset, maxOffset, maxCrc })
  }
  const indexes = {
    tables: meta.appliedIndex,
    queues: filesWhole ? (meta.queuesIndex ?? meta.appliedIndex) : meta.syncedIndex,
    // Keys of what is trimmed are not missed.
    keys: Math.max(meta.indexedIndex, meta.trim.index - 1, ...runs.map(run => run.completeIndex)),
    isRebuilding,
    ends
  }
  const appliedIndex = Math.min(indexes.tables, indexes.queues, indexes.keys)
  const { syncedIndex, appliedPosition } = meta
  return {
    indexes,
    syncedIndex,
    appliedIndex,
    appliedPosition,
    runs,
    queueFileUnits: meta.queueFileUnits ?? null,
    delayLevelsMs: meta.delayLevelsMs ?? null,
    scrub,
    isNew: false
  }
}

/** All but the waiting messages and the queues' checksums, of which there may be a million. */
async function* startRecords(
  state: KeyValueStore
): AsyncGenerator<readonly (readonly [Buffer, Buffer])[]> {
  let from: Buffer = FIRST_KEY
  for (const kind of [RecordKind.queueBlock, RecordKind.timer]) {
    const skipped = kindRange(kind)
    yield* state.entries(from, skipped.from)
    from = skipped.to
  }
  yield* state.entries(from, LAST_KEY)
}

async function clear(state: KeyValueStore, kind: string): Promise<void> {
  const { from, to } = kindRange(kind)
  for await (const block of state.entries(from, to)) {
    await state.write(
      block.map(([key]) => ({ key: Buffer.from(key), value: null })),
      { sync: false }
    )
  }
}

/** All derived state goes; it is built anew from the log (raft.md 4.9, applied index beyond the last entry). */
export async function discard(state: KeyValueStore, disk: Disk, directory: string): Promise<void> {
  // First what makes the rest count: an interrupted removal must not leave half of it valid.
  await state.write([{ key: Buffer.from(RecordKind.meta), value: null }], { sync: true })
  for await (const block of state.entries(FIRST_KEY, LAST_KEY)) {
    const changes: KeyValueChange[] = block.map(([key]) => ({ key, value: null }))
    await state.write(changes, { sync: true })
  }
  await disk.remove(join(directory, 'consumequeue'))
  await disk.remove(join(directory, 'index'))
}
