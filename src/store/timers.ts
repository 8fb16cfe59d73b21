/**
 * Timers: messages that wait in the timer topic for a time of their own. Which ones wait is derived from the log: a message
 * adds one, the command of its delivery takes it away. The index is ordered by due time and lies in the state database, so that a
 * million of them cost no memory; what the last checkpoint has not written yet is held here and laid over it.
 */
import {
  ByteRange,
  findProperty,
  getInt64,
  getUint32,
  MessageProperty,
  putInt32,
  putInt64,
  readLong,
  SystemTopic
} from '../protocol/index.ts'
import type { KeyValueChange, KeyValueStore } from './keyValueStore.ts'
import type { StoredMessageView } from './storedMessageView.ts'

export const TIMER_TOPIC: string = SystemTopic.TIMER
/** One for each waiting message; not read at the start, there may be a million. */
export const TIMER_RECORD = 'W'
/** How many of them lie in one region of the log. */
export const TIMER_REGION_RECORD = 'N'

const KEY_BYTES = 17
const REGION_KEY_BYTES = 9
const TIMER_BYTES = 16
/** Pending timers are counted by region of the log, so that the trimmer knows the oldest without a walk over all. */
const REGION_BYTES = 1_048_576
/** Changes that no checkpoint has written yet; above it sends are refused as busy. */
const UNWRITTEN_MAX = 500_000
/** Records that were deleted and still lie in the files: who begins at the first waiting message reads over them, 1 µs each. */
const BURIED_MAX = 50_000
/** Gathered beyond what is wanted before it is sorted and cut. */
const MERGE_ROOM = 256
const dueName = Buffer.from(MessageProperty.TIMER_DELIVER_MS)
const NO_VALUE = Buffer.alloc(0)

/** One waiting message. */
export interface TimerRef {
  /** ms since 1970. */
  readonly dueMs: number
  /** Where the message lies in the log. */
  readonly position: number
}

/** Changes by position: the due time. */
class Changes {
  readonly added = new Map<number, number>()
  readonly removed = new Map<number, number>()

  get size(): number {
    return this.added.size + this.removed.size
  }
}

export class TimerTable {
  #recent = new Changes()
  /** On their way into the state database. */
  #capturing: Changes | null = null
  readonly #regions = new Map<number, number>()
  readonly #changedRegions = new Set<number>()
  /** Waiting messages. */
  count = 0
  /** Deleted from the state database since `takeBuried`, and the last of their times. */
  #buried = 0
  #buriedUntilMs = 0
  /** Checkpoints that brought changes into the state database. */
  flushes = 0

  /** The disk does not follow. */
  get isBehind(): boolean {
    return this.#recent.size + (this.#capturing?.size ?? 0) > UNWRITTEN_MAX
  }

  /** No waiting message lies before it; infinite when none waits. */
  get oldestPosition(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const region of this.#regions.keys()) oldest = Math.min(oldest, region * REGION_BYTES)
    return oldest
  }

  /** A message of the timer topic was applied. Its due time; -1 when it has none and waits for nothing. */
  addMessage(message: StoredMessageView): number {
    const dueMs = dueOf(message)
    if (dueMs >= 0) {
      this.#recent.added.set(message.physicalOffset, dueMs)
      this.#count(message.physicalOffset, 1)
    }
    return dueMs
  }

  /** Delivered, recalled or lost. For one that waits: whether it does, the leader has to find out before it proposes this. */
  remove({ dueMs, position }: TimerRef): void {
    if (!this.#recent.added.delete(position)) this.#recent.removed.set(position, dueMs)
    this.#count(position, -1)
  }

  /** A record of a region, at the start. */
  load(key: Buffer, value: Buffer): void {
    const waiting = getUint32(value, 0)
    this.#regions.set(getInt64(key, 1), waiting)
    this.count += waiting
  }

  /** In memory, not or not certainly in the state database. */
  isFresh(position: number): boolean {
    return this.#recent.added.has(position) || this.#capturing?.added.has(position) === true
  }

  isRemoved(position: number): boolean {
    return this.#recent.removed.has(position) || this.#capturing?.removed.has(position) === true
  }

  /** Adds those of memory from `from` on that are due by `untilMs`; leaves the first `max` of all, in order. */
  mergeFresh(timers: TimerRef[], from: TimerRef, untilMs: number, max: number): void {
    let lastMs = untilMs
    for (const changes of [this.#capturing, this.#recent]) {
      if (changes === null) continue
      for (const [position, dueMs] of changes.added) {
        if (dueMs > lastMs || dueMs < from.dueMs) continue
        if (dueMs === from.dueMs && position < from.position) continue
        if (changes !== this.#recent && this.#recent.removed.has(position)) continue
        timers.push({ dueMs, position })
        if (timers.length < 2 * max + MERGE_ROOM) continue
        timers.sort(compareTimers)
        timers.length = max
        lastMs = timers[max - 1]!.dueMs
      }
    }
    timers.sort(compareTimers)
    timers.length = Math.min(timers.length, max)
  }

  /** What changed since the last time, as records. They count as unwritten until `flushed`. */
  capture(into: KeyValueChange[]): void {
    if (this.#recent.size === 0) return
    const { added, removed } = this.#recent
    const keys = Buffer.allocUnsafeSlow((added.size + removed.size) * KEY_BYTES)
    let at = 0
    for (const [position, dueMs] of added) {
      into.push({ key: putTimerKey(keys, at, { dueMs, position }), value: NO_VALUE })
      at += KEY_BYTES
    }
    for (const [position, dueMs] of removed) {
      into.push({ key: putTimerKey(keys, at, { dueMs, position }), value: null })
      at += KEY_BYTES
      this.#buriedUntilMs = Math.max(this.#buriedUntilMs, dueMs)
    }
    this.#buried += removed.size
    for (const region of this.#changedRegions) into.push(this.#regionRecord(region))
    this.#changedRegions.clear()
    this.#capturing = this.#recent
    this.#recent = new Changes()
  }

  /** The last capture is in the state database. */
  flushed(): void {
    if (this.#capturing === null) return
    this.#capturing = null
    this.flushes += 1
  }

  /** Where so many records were deleted that it is time to compact; null: nowhere. */
  takeBuried(): { from: Buffer; to: Buffer } | null {
    if (this.#buried < BURIED_MAX) return null
    const from = timerKey({ dueMs: 0, position: 0 })
    const to = timerKey({ dueMs: this.#buriedUntilMs + 1, position: 0 })
    this.#buried = 0
    this.#buriedUntilMs = 0
    return { from, to }
  }

  #regionRecord(region: number): KeyValueChange {
    const key = Buffer.alloc(REGION_KEY_BYTES)
    key[0] = TIMER_REGION_RECORD.charCodeAt(0)
    putInt64(key, 1, region)
    const waiting = this.#regions.get(region)
    if (waiting === undefined) return { key, value: null }
    const value = Buffer.alloc(4)
    putInt32(value, 0, waiting)
    return { key, value }
  }

  #count(position: number, by: 1 | -1): void {
    this.count += by
    const region = Math.floor(position / REGION_BYTES)
    this.#changedRegions.add(region)
    const left = (this.#regions.get(region) ?? 0) + by
    if (left > 0) this.#regions.set(region, left)
    else this.#regions.delete(region)
  }
}

/** By due time, then by place. */
export function compareTimers(a: TimerRef, b: TimerRef): number {
  return a.dueMs - b.dueMs || a.position - b.position
}

/**
 * The first waiting messages from `from` (inclusive) that are due by `untilMs`, in order: `max` of them, or all when there are fewer.
 * Reads the state database under the changes in memory; begins again when a checkpoint moved some from here to there meanwhile.
 */
export async function readTimers(
  table: TimerTable,
  state: KeyValueStore,
  from: TimerRef,
  untilMs: number,
  max: number
): Promise<TimerRef[]> {
  const end = timerKey({ dueMs: untilMs + 1, position: 0 })
  for (;;) {
    const { flushes } = table
    const found = await readWritten(table, state, timerKey(from), end, max)
    if (flushes !== table.flushes) continue
    const isFull = found.length >= max
    const timers = found.filter(({ position }) => !table.isRemoved(position))
    // Taken away while the others were read: there may be more behind them.
    if (isFull && timers.length < max) continue
    table.mergeFresh(timers, from, untilMs, max)
    return timers
  }
}

async function readWritten(
  table: TimerTable,
  state: KeyValueStore,
  start: Buffer,
  end: Buffer,
  max: number
): Promise<TimerRef[]> {
  const found: TimerRef[] = []
  if (start.compare(end) >= 0) return found
  for await (const block of state.entries(start, end, max)) {
    for (const [key] of block) {
      const timer = { dueMs: getInt64(key, 1), position: getInt64(key, 9) }
      if (table.isFresh(timer.position) || table.isRemoved(timer.position)) continue
      found.push(timer)
      if (found.length === max) return found
    }
  }
  return found
}

function timerKey(timer: TimerRef): Buffer {
  return putTimerKey(Buffer.allocUnsafeSlow(KEY_BYTES), 0, timer)
}

/** Record of the state database: i64 due time · i64 place; nothing in it. */
function putTimerKey(target: Buffer, at: number, { dueMs, position }: TimerRef): Buffer {
  target[at] = TIMER_RECORD.charCodeAt(0)
  putInt64(target, at + 1, dueMs)
  putInt64(target, at + 9, position)
  return target.subarray(at, at + KEY_BYTES)
}

/** All keys of a kind of record. */
export function kindRange(kind: string): { from: Buffer; to: Buffer } {
  const code = kind.charCodeAt(0)
  return { from: Buffer.from([code]), to: Buffer.from([code + 1]) }
}

/** The broker that took the message put its due time behind what the client said; of several the last counts. */
function dueOf(message: StoredMessageView): number {
  const value = new ByteRange()
  const { bytes, propertiesStart, propertiesEnd } = message
  if (!findProperty(bytes, propertiesStart, propertiesEnd, dueName, value)) return -1
  const dueMs = readLong(bytes, value.start, value.end - value.start)
  return dueMs >= 0 ? dueMs : -1
}

/** Body of the command: (i64 due time · i64 place) … */
export function encodeTimers(timers: readonly TimerRef[]): Buffer {
  const bytes = Buffer.allocUnsafe(timers.length * TIMER_BYTES)
  let at = 0
  for (const { dueMs, position } of timers) {
    putInt64(bytes, at, dueMs)
    putInt64(bytes, at + 8, position)
    at += TIMER_BYTES
  }
  return bytes
}

export function decodeTimers(bytes: Buffer): TimerRef[] {
  const timers: TimerRef[] = []
  for (let at = 0; at + TIMER_BYTES <= bytes.length; at += TIMER_BYTES)
    timers.push({ dueMs: getInt64(bytes, at), position: getInt64(bytes, at + 8) })
  return timers
}
