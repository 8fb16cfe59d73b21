/**
 * The tables as records of the state database. Key: one letter for the kind, then the name; so a kind is a range.
 *
 *   M            {appliedIndex, syncedIndex, …}          T topic           settings
 *   G group      settings                                O topic@group     (u32 queueId · i64 offset) …
 *   D u32 level  i64 offset                              L group           {queue: [clientId, timeMs]}
 *   B key        text                                    V room 00 key     text
 *   H i64 physical offset   a transaction in doubt (transactions.ts)
 *   W i64 due time · i64 place   nothing: a waiting message (timers.ts); read when it is due, not at the start
 *   N i64 MiB of the log         u32 waiting messages that lie in it
 *   P …         a batch that was popped: popCodec.ts       S topic@group@queueId   the batch of pops in order: popOrders.ts
 *   Q topic 00 u32 queueId   i64 min · i64 max · i64 synced · u32 crc of max · u32 crc of synced · i64 checked from
 *   C topic 00 u32 queueId u48 unit   u32 crc of a block (queueChecks.ts); read with its block
 *   R u48 sequence   a run of the key index               X   where the scrubber is
 */
import { getInt64, getUint32, putInt32, putInt64 } from '../protocol/index.ts'
import type { GroupSettings, TopicSettings } from './commands.ts'
import type { KeyValueChange } from './keyValueStore.ts'
import { POP_RECORD } from './popCodec.ts'
import { POP_ORDER_RECORD, type PopOrder } from './popOrders.ts'
import { type DataVersion, DirtyKeys, type QueueLock, type Tables } from './tables.ts'
import { TIMER_RECORD, TIMER_REGION_RECORD } from './timers.ts'
import { decodeTransaction, encodeTransaction } from './transactions.ts'

export const RecordKind = {
  meta: 'M',
  topic: 'T',
  group: 'G',
  offsets: 'O',
  delay: 'D',
  locks: 'L',
  brokerConfig: 'B',
  value: 'V',
  transaction: 'H',
  timer: TIMER_RECORD,
  timerRegion: TIMER_REGION_RECORD,
  pop: POP_RECORD,
  popOrder: POP_ORDER_RECORD,
  queue: 'Q',
  queueBlock: 'C',
  run: 'R',
  scrub: 'X'
} as const

const OFFSET_BYTES = 12

/** The one record of kind M. */
export interface MetaRecord {
  /** Version of this layout. */
  version: 1
  /** Everything up to this entry is in the tables and the queues. */
  appliedIndex: number
  /** End of that entry in the log. */
  appliedPosition: number
  /** Only while queues and key index are built again under a state that came with a snapshot: up to here the queues are. */
  queuesIndex?: number
  /** Up to this entry the queues' files are fdatasynced: where a start after a power loss begins. */
  syncedIndex: number
  /** The key index is whole up to here. */
  indexedIndex: number
  bootId: string
  /** Set by an orderly stop: everything is fdatasynced. */
  clean: boolean
  /** Size of the queues' files in units, for their life; absent: as configured. */
  queueFileUnits?: number
  /** For tools that build queues again without the broker's configuration. */
  delayLevelsMs?: readonly number[]
  timeMs: number
  topicsVersion: DataVersion
  groupsVersion: DataVersion
  brokerConfigVersion: DataVersion
  trim: { index: number; position: number }
}

function recordKey(kind: string, name: string): Buffer {
  return Buffer.from(kind + name)
}

/** What changed since the last time, as records; the tables count as unchanged afterwards. */
export function takeDirtyRecords(tables: Tables, into: KeyValueChange[]): void {
  tables.timers.capture(into)
  tables.pops.capture(into)
  for (const [name, order] of tables.orders.takeDirty())
    into.push(jsonChange(RecordKind.popOrder, name, order ?? undefined))
  const dirty = tables.dirty
  tables.dirty = new DirtyKeys()
  for (const name of dirty.topics) {
    into.push(jsonChange(RecordKind.topic, name, tables.topics.get(name)))
  }
  for (const name of dirty.groups) {
    into.push(jsonChange(RecordKind.group, name, tables.groups.get(name)))
  }
  for (const name of dirty.offsets) {
    const queues = tables.offsets.get(name)
    into.push({
      key: recordKey(RecordKind.offsets, name),
      value: queues === undefined ? null : encodeOffsets(queues)
    })
  }
  for (const level of dirty.delays) {
    const key = Buffer.from(`${RecordKind.delay}....`)
    putInt32(key, 1, level)
    const value = Buffer.alloc(8)
    putInt64(value, 0, tables.delayProgress(level))
    into.push({ key, value })
  }
  for (const group of dirty.locks) {
    const locks = tables.locks.get(group)
    const plain = locks && [...locks].map(([queue, lock]) => [queue, lock.clientId, lock.timeMs])
    into.push(jsonChange(RecordKind.locks, group, plain))
  }
  for (const name of dirty.brokerConfig) {
    const value = tables.brokerConfig.get(name)
    into.push({
      key: recordKey(RecordKind.brokerConfig, name),
      value: value === undefined ? null : Buffer.from(value)
    })
  }
  for (const name of dirty.values) {
    const cut = name.indexOf('\0')
    const value = tables.values(name.slice(0, cut)).get(name.slice(cut + 1))
    into.push({
      key: recordKey(RecordKind.value, name),
      value: value === undefined ? null : Buffer.from(value)
    })
  }
  for (const physicalOffset of dirty.transactions) {
    const transaction = tables.transactions.get(physicalOffset)
    into.push({
      key: transactionKey(physicalOffset),
      value: transaction === undefined ? null : encodeTransaction(transaction)
    })
  }
}

function transactionKey(physicalOffset: number): Buffer {
  const key = Buffer.from(`${RecordKind.transaction}........`)
  putInt64(key, 1, physicalOffset)
  return key
}

/** Puts one record back into the tables; false when it is of another kind (queues, runs, meta). */
export function loadRecord(tables: Tables, key: Buffer, value: Buffer): boolean {
  const kind = String.fromCharCode(key[0]!)
  const name = key.toString('utf8', 1)
  switch (kind) {
    case RecordKind.topic:
      tables.topics.set(name, JSON.parse(value.toString('utf8')) as TopicSettings)
      return true
    case RecordKind.group:
      tables.groups.set(name, JSON.parse(value.toString('utf8')) as GroupSettings)
      return true
    case RecordKind.offsets:
      tables.offsets.set(name, decodeOffsets(value))
      return true
    case RecordKind.delay:
      tables.delays.set(getUint32(key, 1), getInt64(value, 0))
      return true
    case RecordKind.locks:
      tables.locks.set(name, decodeLocks(value))
      return true
    case RecordKind.brokerConfig:
      tables.brokerConfig.set(name, value.toString('utf8'))
      return true
    case RecordKind.value: {
      const cut = name.indexOf('\0')
      const room = name.slice(0, cut)
      let values = tables.rooms.get(room)
      if (values === undefined) {
        values = new Map()
        tables.rooms.set(room, values)
      }
      values.set(name.slice(cut + 1), value.toString('utf8'))
      return true
    }
    case RecordKind.transaction: {
      const physicalOffset = getInt64(key, 1)
      tables.inDoubt.byOffset.set(physicalOffset, decodeTransaction(physicalOffset, value))
      return true
    }
    case RecordKind.pop:
      tables.pops.load(key, value)
      return true
    case RecordKind.popOrder:
      tables.orders.load(name, JSON.parse(value.toString('utf8')) as PopOrder)
      return true
    case RecordKind.timerRegion:
      tables.timers.load(key, value)
      return true
    default:
      return false
  }
}

export interface QueueRecord {
  topic: string
  queueId: number
  minOffset: number
  maxOffset: number
  syncedOffset: number
  /** CRC of the last block up to `maxOffset`, and up to `syncedOffset`. */
  maxCrc: number
  syncedCrc: number
  checkedFrom: number
}

const QUEUE_BYTES = 40

export function queueKey(topic: string, queueId: number): Buffer {
  const name = Buffer.from(`${RecordKind.queue}${topic}\0....`)
  putInt32(name, name.length - 4, queueId)
  return name
}

export function encodeQueue(queue: QueueRecord): KeyValueChange {
  const value = Buffer.alloc(QUEUE_BYTES)
  putInt64(value, 0, queue.minOffset)
  putInt64(value, 8, queue.maxOffset)
  putInt64(value, 16, queue.syncedOffset)
  putInt32(value, 24, queue.maxCrc)
  putInt32(value, 28, queue.syncedCrc)
  putInt64(value, 32, queue.checkedFrom)
  return { key: queueKey(queue.topic, queue.queueId), value }
}

export function decodeQueue(key: Buffer, value: Buffer): QueueRecord {
  const hasChecks = value.length >= QUEUE_BYTES
  return {
    topic: key.toString('utf8', 1, key.length - 5),
    queueId: getUint32(key, key.length - 4),
    minOffset: getInt64(value, 0),
    maxOffset: getInt64(value, 8),
    syncedOffset: getInt64(value, 16),
    maxCrc: hasChecks ? getUint32(value, 24) : 0,
    syncedCrc: hasChecks ? getUint32(value, 28) : 0,
    // Without checksums: one that begins with what comes from now on.
    checkedFrom: hasChecks ? getInt64(value, 32) : getInt64(value, 8)
  }
}

export function encodeMeta(meta: MetaRecord): KeyValueChange {
  return { key: Buffer.from(RecordKind.meta), value: Buffer.from(JSON.stringify(meta)) }
}

function jsonChange(kind: string, name: string, value: unknown): KeyValueChange {
  return {
    key: recordKey(kind, name),
    value: value === undefined ? null : Buffer.from(JSON.stringify(value))
  }
}

function encodeOffsets(queues: ReadonlyMap<number, number>): Buffer {
  const bytes = Buffer.alloc(queues.size * OFFSET_BYTES)
  let at = 0
  for (const [queueId, offset] of queues) {
    putInt32(bytes, at, queueId)
    putInt64(bytes, at + 4, offset)
    at += OFFSET_BYTES
  }
  return bytes
}

function decodeOffsets(bytes: Buffer): Map<number, number> {
  const queues = new Map<number, number>()
  for (let at = 0; at + OFFSET_BYTES <= bytes.length; at += OFFSET_BYTES) {
    queues.set(getUint32(bytes, at), getInt64(bytes, at + 4))
  }
  return queues
}

function decodeLocks(bytes: Buffer): Map<string, QueueLock> {
  const plain = JSON.parse(bytes.toString('utf8')) as [string, string, number][]
  return new Map(plain.map(([queue, clientId, timeMs]) => [queue, { clientId, timeMs }]))
}
