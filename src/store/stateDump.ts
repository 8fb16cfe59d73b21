/**
 * The state database as one file, for a member that gets a snapshot (raft.md 4.10, R-S): everything but what is rebuilt from the
 * log, in key order, as of the checkpoint that its meta record names. Integers big-endian:
 *
 *    0  u32  magic
 *    4  u32  version      1
 *    8       records      u32 length of the key · u32 length of the value · key · value
 *       u32  0xffffffff   the end
 *       u64  number of records
 *
 * Its CRC travels in the manifest. Queues and key index are not in it: the receiver builds them from the log's segments, which
 * are shipped anyway, so they are right or the log is wrong. Of a queue only its end is: one whose messages are all
 * trimmed goes on from there.
 */
import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../platform/index.ts'
import type { PendingInstall, SavedState } from '../raft/index.ts'
import type { KeyValueChange, KeyValueStore } from './keyValueStore.ts'
import { FIRST_KEY, LAST_KEY } from './restore.ts'
import { decodeQueue, encodeMeta, encodeQueue, type MetaRecord, RecordKind } from './tablesCodec.ts'

const MAGIC = 0x4c4d5153
const VERSION = 1
const HEADER_BYTES = 8
const END = 0xffff_ffff
const END_BYTES = 12
const BLOCK_BYTES = 1024 * 1024
const BATCH_RECORDS = 1000
/** More than any record: a topic's settings, a group's offsets. */
const RECORD_BYTES_MAX = 64 * 1024 * 1024

/** Kinds that say something about this node's files only. */
const OWN_KINDS: ReadonlySet<string> = new Set([
  RecordKind.run,
  RecordKind.queueBlock,
  RecordKind.scrub
])

/** Writes blocks of some size, and knows the CRC of all. */
class Output {
  bytes = 0
  crc = 0
  readonly #file: DiskFile
  #parts: Buffer[] = []
  #waiting = 0

  constructor(file: DiskFile) {
    this.#file = file
  }

  /** The buffer must not change any more. */
  async add(part: Buffer): Promise<void> {
    this.#parts.push(part)
    this.#waiting += part.length
    if (this.#waiting >= BLOCK_BYTES) await this.flush()
  }

  async flush(): Promise<void> {
    const parts = this.#parts
    const length = this.#waiting
    this.#parts = []
    this.#waiting = 0
    await this.#file.write(parts, this.bytes)
    for (const part of parts) this.crc = crc32(part, this.crc)
    this.bytes += length
  }
}

/** Rejects when there is no checkpoint yet, or one whose queues are not up with its tables. */
export async function dumpState(
  disk: Disk,
  state: KeyValueStore,
  path: string
): Promise<SavedState> {
  await disk.remove(path)
  const file = await disk.open(path, { create: true })
  try {
    const output = new Output(file)
    const head = Buffer.alloc(HEADER_BYTES)
    head.writeUInt32BE(MAGIC, 0)
    head.writeUInt32BE(VERSION, 4)
    await output.add(head)
    let meta: MetaRecord | null = null
    let records = 0
    // One walk sees one moment of the database, whatever is written to it meanwhile.
    for await (const block of state.entries(FIRST_KEY, LAST_KEY)) {
      for (const [key, value] of block) {
        const kind = String.fromCharCode(key[0]!)
        if (OWN_KINDS.has(kind)) continue
        if (kind === RecordKind.meta) meta = JSON.parse(value.toString('utf8')) as MetaRecord
        const lengths = Buffer.alloc(8)
        lengths.writeUInt32BE(key.length, 0)
        lengths.writeUInt32BE(value.length, 4)
        await output.add(lengths)
        await output.add(Buffer.from(key))
        await output.add(Buffer.from(value))
        records += 1
      }
    }
    if (meta === null) throw new Error('its state was not written yet')
    if (meta.queuesIndex !== undefined) throw new Error('its queues are being built again')
    const end = Buffer.alloc(END_BYTES)
    end.writeUInt32BE(END, 0)
    end.writeBigUInt64BE(BigInt(records), 4)
    await output.add(end)
    await output.flush()
    return { index: meta.appliedIndex, bytes: output.bytes, crc: output.crc }
  } finally {
    await file.close()
  }
}

/**
 * Fills the empty state database from a dump; the queues and the key index are to be built from the log's first entry on. May
 * be repeated: the meta record, which makes the rest count, comes last.
 */
export async function loadState(
  disk: Disk,
  state: KeyValueStore,
  install: PendingInstall,
  bootId: string
): Promise<void> {
  const file = await disk.open(install.statePath)
  try {
    let changes: KeyValueChange[] = []
    let meta: MetaRecord | null = null
    for await (const { key, value } of recordsOf(file)) {
      const kind = String.fromCharCode(key[0]!)
      if (kind === RecordKind.meta) meta = JSON.parse(value.toString('utf8')) as MetaRecord
      else if (kind === RecordKind.queue) changes.push(endOfQueue(key, value))
      else changes.push({ key, value })
      if (changes.length < BATCH_RECORDS) continue
      await state.write(changes, { sync: false })
      changes = []
    }
    if (meta?.appliedIndex !== install.index)
      throw new Error(`${file.path} is not the state of snapshot ${install.snapshotId}`)
    const before = install.firstIndex - 1
    changes.push(
      encodeMeta({
        ...meta,
        queuesIndex: before,
        syncedIndex: before,
        indexedIndex: before,
        bootId,
        clean: false
      })
    )
    await state.write(changes, { sync: true })
  } finally {
    await file.close()
  }
}

/** Nothing of the queue is here yet; its first message in the log says where it begins (machine.ts). */
function endOfQueue(key: Buffer, value: Buffer): KeyValueChange {
  const { topic, queueId, maxOffset } = decodeQueue(key, value)
  return encodeQueue({
    topic,
    queueId,
    minOffset: maxOffset,
    maxOffset,
    syncedOffset: maxOffset,
    maxCrc: 0,
    syncedCrc: 0,
    // The block in which it goes on has no beginning here.
    checkedFrom: maxOffset
  })
}

async function* recordsOf(file: DiskFile): AsyncGenerator<{ key: Buffer; value: Buffer }> {
  const input = new Input(file)
  const head = await input.take(HEADER_BYTES)
  if (head.readUInt32BE(0) !== MAGIC || head.readUInt32BE(4) !== VERSION)
    throw new Error(`${file.path} is no state that this program understands`)
  for (let records = 0; ; records++) {
    const first = (await input.take(4)).readUInt32BE(0)
    if (first === END) {
      const count = Number((await input.take(8)).readBigUInt64BE(0))
      if (count !== records) throw new Error(`${file.path} has ${records} records, not ${count}`)
      return
    }
    const second = (await input.take(4)).readUInt32BE(0)
    if (first === 0 || first + second > RECORD_BYTES_MAX)
      throw new Error(`${file.path}: record ${records} is damaged`)
    const key = Buffer.from(await input.take(first))
    yield { key, value: Buffer.from(await input.take(second)) }
  }
}

/** Sequential reading by blocks. */
class Input {
  readonly #file: DiskFile
  #window: Buffer = Buffer.alloc(0)
  #at = 0
  #position = 0

  constructor(file: DiskFile) {
    this.#file = file
  }

  /** A view that holds until the next call. Throws when the file ends before. */
  async take(length: number): Promise<Buffer> {
    if (this.#at + length > this.#window.length) {
      const rest = this.#window.subarray(this.#at)
      const window = Buffer.allocUnsafe(Math.max(length, BLOCK_BYTES))
      rest.copy(window)
      const wanted = window.length - rest.length
      const got = await this.#file.read(window, rest.length, wanted, this.#position)
      this.#position += got
      this.#window = window.subarray(0, rest.length + got)
      this.#at = 0
      if (this.#window.length < length) throw new Error(`${this.#file.path} ends too early`)
    }
    this.#at += length
    return this.#window.subarray(this.#at - length, this.#at)
  }
}
