/**
 * Checksums of the consume queues' files, whose units are RocketMQ's and have room for none: one CRC-32 for each block of
 * 1024 units. Those of whole blocks are records of the state database, written in the batch that makes their units count;
 * that of the last, growing block stands in the queue's own record. CRCs of growing blocks go on from what was written
 * before, so nothing is read for them, and apply does not know of them at all.
 *
 *   C topic 00 u32 queueId u48 first unit   u32 crc
 *
 * A queue that came with a snapshot begins in the middle of a block, behind units that were never here: the CRC of that
 * block begins there too (`queue.checkedFrom`). Nothing behind it is believed unchecked, for a file that was cut shorter
 * reads as zeros once it has grown again.
 *
 * A lost, torn, stale or misplaced write makes another CRC, for the key says which block of which queue it is of.
 */
import { crc32 } from 'node:zlib'
import { getUint32, putInt32, putUint48 } from '../protocol/index.ts'
import { type ConsumeQueue, UNIT_BYTES } from './consumeQueue.ts'
import type { KeyValueChange, KeyValueStore } from './keyValueStore.ts'
import { RecordKind } from './tablesCodec.ts'

export const BLOCK_UNITS = 1024
const KEY_TAIL_BYTES = 10

/** Which units belong to one block: blocks begin anew with each file, so that none lies in two. */
export class BlockGeometry {
  readonly fileUnits: number

  constructor(fileBytes: number) {
    this.fileUnits = Math.max(1, Math.ceil(fileBytes / UNIT_BYTES))
  }

  fileFirst(unit: number): number {
    return unit - (unit % this.fileUnits)
  }

  blockFirst(unit: number): number {
    const inFile = unit % this.fileUnits
    return unit - (inFile % BLOCK_UNITS)
  }

  /** One behind the last unit of the block that begins with `first`. */
  blockEnd(first: number): number {
    return Math.min(first + BLOCK_UNITS, this.fileFirst(first) + this.fileUnits)
  }
}

export class QueueChecks {
  readonly geometry: BlockGeometry
  readonly #state: KeyValueStore
  /** Of blocks that are written and whose records are not yet in the state database. */
  readonly #pending = new Map<string, number>()

  constructor(state: KeyValueStore, geometry: BlockGeometry) {
    this.#state = state
    this.geometry = geometry
  }

  /**
   * The units behind `queue.flushedOffset` were written to the file: moves `flushedOffset` and `flushedCrc` on, and puts
   * the records of blocks that are full now into `changes`.
   */
  flushed(queue: ConsumeQueue, bytes: Uint8Array, changes: KeyValueChange[]): void {
    let unit = queue.flushedOffset
    let crc = queue.flushedCrc
    let at = 0
    while (at < bytes.length) {
      const first = this.geometry.blockFirst(unit)
      const end = this.geometry.blockEnd(first)
      const units = Math.min(end - unit, (bytes.length - at) / UNIT_BYTES)
      crc = checkedCrc(queue, unit, bytes.subarray(at, at + units * UNIT_BYTES), crc)
      unit += units
      at += units * UNIT_BYTES
      if (unit < end) break
      if (end > queue.checkedFrom) changes.push(this.record(queue, first, crc))
      crc = 0
    }
    queue.flushedOffset = unit
    queue.flushedCrc = crc
  }

  /** The record of a whole block; counts at once for reads of this process. */
  record(queue: ConsumeQueue, first: number, crc: number): KeyValueChange {
    const key = blockRecordKey(queue.topic, queue.queueId, first)
    this.#pending.set(key.toString('latin1'), crc)
    const value = Buffer.alloc(4)
    putInt32(value, 0, crc)
    return { key, value }
  }

  /** All records that were made are in the state database. */
  committed(): void {
    this.#pending.clear()
  }

  /** Of a whole block; null: there is none, though there should be. */
  async expected(queue: ConsumeQueue, first: number): Promise<number | null> {
    const key = blockRecordKey(queue.topic, queue.queueId, first)
    const pending = this.#pending.get(key.toString('latin1'))
    if (pending !== undefined) return pending
    const behind = Buffer.concat([key, Buffer.alloc(1)])
    for await (const block of this.#state.entries(key, behind)) {
      for (const [, value] of block) return getUint32(value, 0)
    }
    return null
  }

  /** Removes the records of blocks that end at or below the unit. */
  async trim(queue: ConsumeQueue, minUnit: number): Promise<void> {
    const from = blockRecordKey(queue.topic, queue.queueId, 0)
    const to = blockRecordKey(queue.topic, queue.queueId, this.geometry.blockFirst(minUnit))
    for await (const block of this.#state.entries(from, to)) {
      await this.#state.write(
        block.map(([key]) => ({ key, value: null })),
        { sync: false }
      )
    }
  }

  /** Puts the removal of all records of a queue that is no more into `changes`. */
  async remove(topic: string, queueId: number, changes: KeyValueChange[]): Promise<void> {
    const from = blockRecordKey(topic, queueId, 0)
    const to = blockRecordKey(topic, queueId, 0xffff_ffff_ffff)
    for await (const block of this.#state.entries(from, to)) {
      for (const [key] of block) changes.push({ key, value: null })
    }
    const prefix = from.subarray(0, from.length - 6).toString('latin1')
    for (const key of [...this.#pending.keys()]) {
      if (!key.startsWith(prefix) || key.length !== from.length) continue
      this.#pending.delete(key)
      changes.push({ key: Buffer.from(key, 'latin1'), value: null })
    }
  }
}

/** CRC of units of one block, from `first` on: of those that are checked, going on from `before`. */
export function checkedCrc(
  queue: ConsumeQueue,
  first: number,
  units: Uint8Array,
  before = 0
): number {
  const uncheckedBytes = Math.max(0, queue.checkedFrom - first) * UNIT_BYTES
  return uncheckedBytes >= units.length ? before : crc32(units.subarray(uncheckedBytes), before)
}

export function blockRecordKey(topic: string, queueId: number, first: number): Buffer {
  const name = Buffer.from(`${RecordKind.queueBlock}${topic}\0..........`)
  putInt32(name, name.length - KEY_TAIL_BYTES, queueId)
  putUint48(name, name.length - 6, first)
  return name
}
