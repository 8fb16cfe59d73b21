/**
 * One consume queue: which messages of the log belong to it, in order. Units as RocketMQ's (broker.md 3.3).
 *
 *   unit      min          flushed            tailFirst...          max
 *    0 … gone | on disk ......................| in memory (tail) .....|
 *                           ^ tail covers everything from here on at least
 *
 * Appended by apply only. The tail's bytes are never moved while a checkpoint writes them: a full tail grows
 * into a new buffer, and is made small again by `compact` when nothing is being written.
 */
import { getInt32, getInt64, putInt32, putInt64 } from '../protocol/index.ts'
import type { Arrival, QueueUnit } from './types.ts'

/**
 * A unit: 20 bytes, big-endian.
 *    0  i64  physicalOffset  where the stored message begins in the log
 *    8  i32  size            of the whole stored message, in bytes
 *   12  i64  tagsCode        hash of the tag (sign-extended), or a delayed message's due time in ms
 */
export const UNIT_BYTES = 20
const TAIL_UNITS_START = 16

/** Several units in a row in memory; `at` is the byte of the first. */
export class UnitSpan {
  bytes: Uint8Array = EMPTY
  at = 0
  units = 0
}

const EMPTY = new Uint8Array(0)

export class ConsumeQueue implements Arrival {
  readonly topic: string
  readonly queueId: number
  /** Different for each queue that ever was in this process: a deleted one's cached blocks are never taken for its successor's. */
  readonly serial: number
  /** Of the key index: the hash's state after this topic (keyHash.ts). */
  readonly keySeed: number
  /** First unit whose message is still in the log. */
  minOffset = 0
  /** One behind the last unit. Invariant: minOffset <= maxOffset, flushedOffset <= maxOffset. */
  maxOffset = 0
  /** Units below stand in the queue's files. */
  flushedOffset = 0
  /** Units below stand there fdatasynced. */
  syncedOffset = 0
  /** CRC of the checked units from the beginning of the block that `flushedOffset` lies in (queueChecks.ts) up to it. */
  flushedCrc = 0
  /** The same of `syncedOffset`. */
  syncedCrc = 0
  /** Units below have no checksums: they were written before there were any, or never here. */
  checkedFrom = 0
  /** `min` or `max` are not as the last checkpoint wrote them. */
  changed = false
  /** Its topic was deleted; nothing of it is written any more. */
  removed = false
  arrivedFrom = -1
  #tail: Uint8Array = EMPTY
  #tailFirst = 0
  #tailUnits = 0

  constructor(topic: string, queueId: number, serial: number, keySeed: number) {
    this.topic = topic
    this.queueId = queueId
    this.serial = serial
    this.keySeed = keySeed
  }

  /** Nothing of it is here below this offset. */
  beginAt(offset: number): void {
    this.restore({
      minOffset: offset,
      maxOffset: offset,
      syncedOffset: offset,
      maxCrc: 0,
      syncedCrc: 0,
      // What the block in which it begins has before is not the queue's.
      checkedFrom: offset
    })
  }

  /** As the checkpoint left it; nothing in memory. */
  restore(record: {
    readonly minOffset: number
    readonly maxOffset: number
    readonly syncedOffset: number
    readonly maxCrc: number
    readonly syncedCrc: number
    readonly checkedFrom: number
  }): void {
    const { maxOffset } = record
    this.minOffset = record.minOffset
    this.maxOffset = maxOffset
    this.flushedOffset = maxOffset
    this.flushedCrc = record.maxCrc
    this.syncedOffset = record.syncedOffset
    this.syncedCrc = record.syncedCrc
    this.checkedFrom = record.checkedFrom
    this.#tailFirst = maxOffset
  }

  append(physicalOffset: number, size: number, tagsCode: number): void {
    const at = this.#tailUnits * UNIT_BYTES
    if (at === this.#tail.length) this.#grow()
    const tail = this.#tail
    putInt64(tail, at, physicalOffset)
    putInt32(tail, at + 8, size)
    putInt64(tail, at + 12, tagsCode)
    this.#tailUnits += 1
    this.maxOffset += 1
  }

  /** False: not in memory. Else all units from `offset` to the end. */
  spanInMemory(offset: number, into: UnitSpan): boolean {
    if (offset < this.#tailFirst || offset >= this.maxOffset) return false
    into.bytes = this.#tail
    into.at = (offset - this.#tailFirst) * UNIT_BYTES
    into.units = this.maxOffset - offset
    return true
  }

  /** Bytes of the units [from, to), which must be in the tail; a view that stays as it is until `compact`. */
  unflushedBytes(from: number, to: number): Uint8Array {
    if (from < this.#tailFirst || to > this.maxOffset) {
      throw new Error(`queue ${this.topic}/${this.queueId}: units ${from}-${to} are not in memory`)
    }
    return this.#tail.subarray(
      (from - this.#tailFirst) * UNIT_BYTES,
      (to - this.#tailFirst) * UNIT_BYTES
    )
  }

  /** Keeps what is not flushed and at most `hotUnits` before it. */
  compact(hotUnits: number): void {
    const first = Math.max(
      this.#tailFirst,
      Math.min(this.flushedOffset, Math.max(this.maxOffset - hotUnits, 0))
    )
    const units = this.maxOffset - first
    const roomUnits = this.#tail.length / UNIT_BYTES
    if (first === this.#tailFirst && roomUnits <= units * 2 + TAIL_UNITS_START) return
    // Only when it saves something: otherwise an active queue would be copied at each checkpoint.
    if (this.#tailUnits < hotUnits * 2 && roomUnits <= units * 4 + TAIL_UNITS_START) return
    const tail = new Uint8Array((units + TAIL_UNITS_START) * UNIT_BYTES)
    tail.set(
      this.#tail.subarray(
        (first - this.#tailFirst) * UNIT_BYTES,
        (this.maxOffset - this.#tailFirst) * UNIT_BYTES
      )
    )
    this.#tail = tail
    this.#tailFirst = first
    this.#tailUnits = units
  }

  get tailBytes(): number {
    return this.#tail.length
  }

  arrivedMatches(tagHashes: ReadonlySet<number>): boolean {
    const span = new UnitSpan()
    if (this.arrivedFrom < 0 || !this.spanInMemory(this.arrivedFrom, span)) return true
    for (let i = 0; i < span.units; i++) {
      if (tagHashes.has(unitTagsLow(span.bytes, span.at + i * UNIT_BYTES))) return true
    }
    return false
  }

  #grow(): void {
    const units = this.#tailUnits === 0 ? TAIL_UNITS_START : this.#tailUnits * 2
    const tail = new Uint8Array(units * UNIT_BYTES)
    tail.set(this.#tail)
    this.#tail = tail
  }
}

export function unitPosition(bytes: Uint8Array, at: number): number {
  return getInt64(bytes, at)
}

export function unitSize(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + 8)
}

/** The low 32 bits, which a tag filter compares (broker.md 4.4). */
export function unitTagsLow(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at + 16)
}

export function decodeUnit(bytes: Uint8Array, at: number): QueueUnit {
  return {
    physicalOffset: getInt64(bytes, at),
    size: getInt32(bytes, at + 8),
    tagsCode: getInt64(bytes, at + 12)
  }
}
