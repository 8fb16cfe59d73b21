/**
 * Commands and records of pops as bytes. A text is u16 length · UTF-8; a queue is text group · text topic · u32 queue id;
 * a name of a checkpoint is queue · i64 start offset · i64 pop time.
 *
 *   take     name · i64 invisible · i64 expected offset · i64 next offset · i64 position · offsets
 *   acks     (name · offsets) …
 *   change   name · i64 offset · i64 new pop time · i64 new invisible
 *   offsets  u8 count · i64 first · u32 distance from the first, for each of the others
 *
 *   record   P group 00 topic 00 u32 queue id · i64 start offset · i64 pop time
 *              → i64 invisible · i64 position · u32 bits of what is not acknowledged · offsets
 */
import { getInt64, getUint32, putInt32, putInt64 } from '../protocol/index.ts'
import type { KeyValueChange } from './keyValueStore.ts'
import type { PopAck, PopChange, PopCheckpointRef, PopTake } from './pop.ts'

export const POP_RECORD = 'P'
const RECORD_KEY_TAIL_BYTES = 20
const RECORD_HEAD_BYTES = 20

/** A checkpoint as the state database has it. */
export interface PopCheckpointRecord extends PopCheckpointRef {
  readonly invisibleMs: number
  readonly position: number
  readonly offsets: readonly number[]
  /** Bit i: message i is not acknowledged. */
  readonly left: number
}

class Writer {
  bytes = Buffer.allocUnsafe(256)
  at = 0

  text(text: string): void {
    const length = Buffer.byteLength(text)
    this.#room(2 + length)
    this.bytes.writeUInt16BE(length, this.at)
    this.bytes.write(text, this.at + 2)
    this.at += 2 + length
  }

  u8(value: number): void {
    this.#room(1)
    this.bytes[this.at++] = value
  }

  u32(value: number): void {
    this.#room(4)
    putInt32(this.bytes, this.at, value)
    this.at += 4
  }

  i64(value: number): void {
    this.#room(8)
    putInt64(this.bytes, this.at, value)
    this.at += 8
  }

  name(ref: PopCheckpointRef): void {
    this.text(ref.group)
    this.text(ref.topic)
    this.u32(ref.queueId)
    this.i64(ref.startOffset)
    this.i64(ref.popTime)
  }

  offsets(offsets: readonly number[]): void {
    if (offsets.length > 255) throw new RangeError(`${offsets.length} offsets of a pop, limit 255`)
    this.u8(offsets.length)
    if (offsets.length === 0) return
    this.i64(offsets[0]!)
    for (let i = 1; i < offsets.length; i++) this.u32(offsets[i]! - offsets[0]!)
  }

  end(): Buffer {
    return this.bytes.subarray(0, this.at)
  }

  #room(more: number): void {
    if (this.at + more <= this.bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.at + more))
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
  }
}

class Reader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get more(): boolean {
    return this.at < this.bytes.length
  }

  text(): string {
    const start = this.at + 2
    this.at = start + this.bytes.readUInt16BE(this.at)
    return this.bytes.toString('utf8', start, this.at)
  }

  u32(): number {
    this.at += 4
    return getUint32(this.bytes, this.at - 4)
  }

  i64(): number {
    this.at += 8
    return getInt64(this.bytes, this.at - 8)
  }

  name(): PopCheckpointRef {
    const group = this.text()
    const topic = this.text()
    const queueId = this.u32()
    const startOffset = this.i64()
    return { group, topic, queueId, startOffset, popTime: this.i64() }
  }

  offsets(): number[] {
    const count = this.bytes.readUInt8(this.at++)
    if (count === 0) return []
    const first = this.i64()
    const offsets = [first]
    for (let i = 1; i < count; i++) offsets.push(first + this.u32())
    return offsets
  }
}

export function encodeTake(take: PopTake): Buffer {
  const writer = new Writer()
  writer.name(take)
  writer.i64(take.invisibleMs)
  writer.i64(take.expectedOffset)
  writer.i64(take.nextOffset)
  writer.i64(take.position)
  writer.offsets(take.offsets)
  return writer.end()
}

export function decodeTake(bytes: Buffer): PopTake {
  const reader = new Reader(bytes)
  const name = reader.name()
  const invisibleMs = reader.i64()
  const expectedOffset = reader.i64()
  const nextOffset = reader.i64()
  const position = reader.i64()
  return { ...name, invisibleMs, expectedOffset, nextOffset, position, offsets: reader.offsets() }
}

export function encodeAcks(acks: readonly PopAck[]): Buffer {
  const writer = new Writer()
  for (const ack of acks) {
    writer.name(ack)
    writer.offsets(ack.offsets)
  }
  return writer.end()
}

export function decodeAcks(bytes: Buffer): PopAck[] {
  const reader = new Reader(bytes)
  const acks: PopAck[] = []
  while (reader.more) acks.push({ ...reader.name(), offsets: reader.offsets() })
  return acks
}

export function encodeChange(change: PopChange): Buffer {
  const writer = new Writer()
  writer.name(change)
  writer.i64(change.offset)
  writer.i64(change.newPopTime)
  writer.i64(change.newInvisibleMs)
  return writer.end()
}

export function decodeChange(bytes: Buffer): PopChange {
  const reader = new Reader(bytes)
  const name = reader.name()
  const offset = reader.i64()
  const newPopTime = reader.i64()
  return { ...name, offset, newPopTime, newInvisibleMs: reader.i64() }
}

/** `gone`: takes the record away. */
export function encodeCheckpointRecord(record: PopCheckpointRecord, gone: boolean): KeyValueChange {
  const key = recordKey(record)
  if (gone) return { key, value: null }
  const writer = new Writer()
  writer.i64(record.invisibleMs)
  writer.i64(record.position)
  writer.u32(record.left)
  writer.offsets(record.offsets)
  return { key, value: writer.end() }
}

export function decodeCheckpointRecord(key: Buffer, value: Buffer): PopCheckpointRecord {
  const tail = key.length - RECORD_KEY_TAIL_BYTES
  const [group, topic] = key.toString('utf8', 1, tail - 1).split('\0') as [string, string]
  return {
    group,
    topic,
    queueId: getUint32(key, tail),
    startOffset: getInt64(key, tail + 4),
    popTime: getInt64(key, tail + 12),
    invisibleMs: getInt64(value, 0),
    position: getInt64(value, 8),
    left: getUint32(value, 16),
    offsets: new Reader(value, RECORD_HEAD_BYTES).offsets()
  }
}

function recordKey(ref: PopCheckpointRef): Buffer {
  const names = Buffer.from(`${POP_RECORD}${ref.group}\0${ref.topic}\0`)
  const key = Buffer.alloc(names.length + RECORD_KEY_TAIL_BYTES)
  names.copy(key)
  putInt32(key, names.length, ref.queueId)
  putInt64(key, names.length + 4, ref.startOffset)
  putInt64(key, names.length + 12, ref.popTime)
  return key
}
