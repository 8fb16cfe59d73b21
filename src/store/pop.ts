/**
 * Messages that a pop gave out and nobody acknowledged yet (broker.md 4.10, grpc.md 6.9). One checkpoint for each batch, alike on every
 * replica: made by the command of the pop, which moves the group's offset too, emptied by acknowledgements, by changes of the invisible
 * time and by the revival, which is an acknowledgement in the entry of the retry message. The messages stay in the log, which is not
 * trimmed beyond the oldest of them.
 *
 * All checkpoints are in memory: the broker's `popCkMaxBufferSize` says how many there may be, some 300 bytes each.
 */
import type { KeyValueChange } from './keyValueStore.ts'
import {
  decodeCheckpointRecord,
  encodeCheckpointRecord,
  type PopCheckpointRecord
} from './popCodec.ts'

/** As many as one pop may give out of one queue: a checkpoint's messages are bits of 32. */
export const POP_MESSAGES_MAX = 32

/** A queue as a group reads it; `topic` is the real one: a retried message's is the retry topic. */
export interface PopQueueRef {
  readonly group: string
  readonly topic: string
  readonly queueId: number
}

/** What names a checkpoint: it stands in the handles that clients hold. */
export interface PopCheckpointRef extends PopQueueRef {
  /** The group's offset at which the pop read. */
  readonly startOffset: number
  /** Time of the log at the pop, ms. */
  readonly popTime: number
}

/** What a pop took of one queue. */
export interface PopTake extends PopCheckpointRef {
  readonly invisibleMs: number
  /** The group's offset as the leader knew it, -1 for none: the offset moves to `nextOffset` only if it is still that. */
  readonly expectedOffset: number
  readonly nextOffset: number
  /** What was given out, ascending; none: only the offset moves. */
  readonly offsets: readonly number[]
  /** Place in the log of the first message. */
  readonly position: number
}

export interface PopAck extends PopCheckpointRef {
  readonly offsets: readonly number[]
}

/** One message becomes a checkpoint of its own, with `offset` as its start. */
export interface PopChange extends PopCheckpointRef {
  readonly offset: number
  readonly newPopTime: number
  readonly newInvisibleMs: number
}

/** A batch in flight. */
export class PopCheckpoint implements PopCheckpointRef {
  readonly queue: PopQueue
  readonly startOffset: number
  readonly popTime: number
  invisibleMs: number
  position: number
  /** Offsets given out, as distances from the first of them; null: they have no gaps. */
  #distances: readonly number[] | null
  readonly #first: number
  readonly #count: number
  /** Bit i: message i is not acknowledged. */
  #left: number
  /** A record of it is, or will be with the checkpoint under way, in the state database. */
  written: boolean = false

  constructor(queue: PopQueue, record: Omit<PopCheckpointRecord, keyof PopQueueRef>) {
    const { offsets } = record
    this.queue = queue
    this.startOffset = record.startOffset
    this.popTime = record.popTime
    this.invisibleMs = record.invisibleMs
    this.position = record.position
    this.#first = offsets[0] ?? 0
    this.#count = offsets.length
    const last = offsets[offsets.length - 1] ?? 0
    const isDense = last - this.#first === offsets.length - 1
    this.#distances = isDense ? null : offsets.map(offset => offset - this.#first)
    this.#left = record.left
  }

  get group(): string {
    return this.queue.group
  }

  get topic(): string {
    return this.queue.topic
  }

  get queueId(): number {
    return this.queue.queueId
  }

  /** Time of the log, ms: what is not acknowledged then is given out again. */
  get dueMs(): number {
    return this.popTime + this.invisibleMs
  }

  /** Messages that are not acknowledged. 0: the checkpoint is gone from the table. */
  get remaining(): number {
    let bits = this.#left
    let count = 0
    for (; bits !== 0; bits &= bits - 1) count++
    return count
  }

  /** All that were given out. */
  offsets(): number[] {
    const offsets: number[] = []
    for (let i = 0; i < this.#count; i++) offsets.push(this.#offsetAt(i))
    return offsets
  }

  remainingOffsets(): number[] {
    const offsets: number[] = []
    for (let i = 0; i < this.#count; i++)
      if ((this.#left & (1 << i)) !== 0) offsets.push(this.#offsetAt(i))
    return offsets
  }

  has(offset: number): boolean {
    const i = this.#indexOf(offset)
    return i >= 0 && (this.#left & (1 << i)) !== 0
  }

  /** False: it is not there any more. */
  take(offset: number): boolean {
    if (!this.has(offset)) return false
    this.#left &= ~(1 << this.#indexOf(offset))
    return true
  }

  get record(): PopCheckpointRecord {
    const { group, topic, queueId, startOffset, popTime, invisibleMs, position } = this
    const left = this.#left >>> 0
    return {
      group,
      topic,
      queueId,
      startOffset,
      popTime,
      invisibleMs,
      position,
      left,
      offsets: this.offsets()
    }
  }

  #offsetAt(i: number): number {
    return this.#first + (this.#distances === null ? i : this.#distances[i]!)
  }

  #indexOf(offset: number): number {
    const distance = offset - this.#first
    if (this.#distances !== null) return this.#distances.indexOf(distance)
    return distance >= 0 && distance < this.#count && Number.isInteger(distance) ? distance : -1
  }
}

/** What is in flight of one queue for one group. */
export class PopQueue implements PopQueueRef {
  readonly group: string
  readonly topic: string
  readonly queueId: number
  /** By `startOffset popTime`. */
  readonly checkpoints = new Map<string, PopCheckpoint>()
  /** Messages. */
  inFlight = 0

  constructor({ group, topic, queueId }: PopQueueRef) {
    this.group = group
    this.topic = topic
    this.queueId = queueId
  }
}

/** Read side. */
export interface PopView {
  /** Checkpoints in flight. */
  readonly count: number
  find(ref: PopCheckpointRef): PopCheckpoint | undefined
  /** Messages of a queue that a group has in flight. */
  inFlight(queue: PopQueueRef): number
  all(): Iterable<PopCheckpoint>
}

export class PopTable implements PopView {
  readonly #queues = new Map<string, PopQueue>()
  /** What the next checkpoint writes or removes. */
  #dirty = new Set<PopCheckpoint>()
  #added: PopCheckpoint[] = []
  count = 0

  find(ref: PopCheckpointRef): PopCheckpoint | undefined {
    return this.#queues.get(queueName(ref))?.checkpoints.get(checkpointName(ref))
  }

  inFlight(queue: PopQueueRef): number {
    return this.#queues.get(queueName(queue))?.inFlight ?? 0
  }

  *all(): Iterable<PopCheckpoint> {
    for (const queue of this.#queues.values()) yield* queue.checkpoints.values()
  }

  /** No message in flight lies before it; infinite when there is none. */
  get oldestPosition(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const { checkpoints } of this.#queues.values())
      for (const { position } of checkpoints.values()) if (position < oldest) oldest = position
    return oldest
  }

  /** The messages of a take are in flight now. */
  add(take: Omit<PopTake, 'expectedOffset' | 'nextOffset'>): void {
    const left = take.offsets.length === POP_MESSAGES_MAX ? -1 : (1 << take.offsets.length) - 1
    this.#added.push(this.#put({ ...take, left }))
  }

  /** What came since the last call. */
  takeAdded(): readonly PopCheckpoint[] {
    const added = this.#added
    if (added.length > 0) this.#added = []
    return added
  }

  /** False: none of them was in flight. */
  acknowledge(ack: PopAck): boolean {
    const checkpoint = this.find(ack)
    if (checkpoint === undefined) return false
    let any = false
    for (const offset of ack.offsets) any = this.#takeOne(checkpoint, offset) || any
    return any
  }

  /** False: it was not in flight, and nothing is. */
  change(change: PopChange): boolean {
    const checkpoint = this.find(change)
    if (checkpoint === undefined || !this.#takeOne(checkpoint, change.offset)) return false
    const { group, topic, queueId, offset } = change
    this.add({
      group,
      topic,
      queueId,
      startOffset: offset,
      popTime: change.newPopTime,
      invisibleMs: change.newInvisibleMs,
      offsets: [offset],
      position: checkpoint.position
    })
    return true
  }

  /** Topic or group is gone, and what was in flight with it. */
  remove(goes: (queue: PopQueueRef) => boolean): void {
    for (const [name, queue] of this.#queues) {
      if (!goes(queue)) continue
      for (const checkpoint of queue.checkpoints.values()) {
        for (const offset of checkpoint.remainingOffsets()) checkpoint.take(offset)
        this.#gone(checkpoint)
      }
      this.#queues.delete(name)
    }
  }

  capture(into: KeyValueChange[]): void {
    const dirty = this.#dirty
    this.#dirty = new Set()
    for (const checkpoint of dirty) {
      const isGone = checkpoint.remaining === 0
      checkpoint.written = !isGone
      into.push(encodeCheckpointRecord(checkpoint.record, isGone))
    }
  }

  load(key: Buffer, value: Buffer): void {
    const checkpoint = this.#put(decodeCheckpointRecord(key, value))
    checkpoint.written = true
    this.#dirty.delete(checkpoint)
  }

  #put(record: PopCheckpointRecord): PopCheckpoint {
    const name = queueName(record)
    let queue = this.#queues.get(name)
    queue ??= new PopQueue(record)
    const checkpoint = new PopCheckpoint(queue, this.#merged(queue, record))
    // The merge may have emptied it.
    this.#queues.set(name, queue)
    queue.checkpoints.set(checkpointName(checkpoint), checkpoint)
    queue.inFlight += checkpoint.remaining
    this.count += 1
    this.#dirty.add(checkpoint)
    return checkpoint
  }

  /**
   * The offset went back, and the same messages were given out in the same millisecond: what either pop has in flight stays so under
   * the one name. Beyond 32 messages the older ones come back with the offset that went back.
   */
  #merged(queue: PopQueue, record: PopCheckpointRecord): PopCheckpointRecord {
    const before = queue.checkpoints.get(checkpointName(record))
    if (before === undefined) return record
    const offsets = [...new Set([...record.offsets, ...before.remainingOffsets()])]
      .slice(0, POP_MESSAGES_MAX)
      .sort((a, b) => a - b)
    const kept = new Set([...leftOf(record), ...before.remainingOffsets()])
    let left = 0
    for (let i = 0; i < offsets.length; i++) if (kept.has(offsets[i]!)) left |= 1 << i
    const invisibleMs = Math.max(record.invisibleMs, before.invisibleMs)
    const position = Math.min(record.position, before.position)
    for (const offset of before.remainingOffsets()) this.#takeOne(before, offset)
    return { ...record, offsets, left, invisibleMs, position }
  }

  #takeOne(checkpoint: PopCheckpoint, offset: number): boolean {
    if (!checkpoint.take(offset)) return false
    const { queue } = checkpoint
    queue.inFlight -= 1
    this.#dirty.add(checkpoint)
    if (checkpoint.remaining > 0) return true
    queue.checkpoints.delete(checkpointName(checkpoint))
    this.#gone(checkpoint)
    if (queue.checkpoints.size === 0) this.#queues.delete(queueName(queue))
    return true
  }

  #gone(checkpoint: PopCheckpoint): void {
    this.count -= 1
    // One that came and went between two checkpoints of the state leaves no trace.
    if (checkpoint.written) this.#dirty.add(checkpoint)
    else this.#dirty.delete(checkpoint)
  }
}

function leftOf({ offsets, left }: PopCheckpointRecord): number[] {
  return offsets.filter((_, i) => (left & (1 << i)) !== 0)
}

function queueName({ group, topic, queueId }: PopQueueRef): string {
  return `${topic}@${group}@${queueId}`
}

function checkpointName({ startOffset, popTime }: PopCheckpointRef): string {
  return `${startOffset} ${popTime}`
}
