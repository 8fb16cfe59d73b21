/** Runs of the key index on the disk: files of sorted records (indexChunk.ts), searched by pages and merged by streams. */
import type { Disk, DiskFile } from '../platform/index.ts'
import { getUint32 } from '../protocol/index.ts'
import {
  RECORD_BYTES,
  RecordRange,
  recordHash,
  recordPosition,
  recordTime,
  searchSorted
} from './indexChunk.ts'

const PAGE_RECORDS = 256
const STREAM_BYTES = 64 * 1024

/** What the state database knows of a run; the file is `index/<sequence, 20 digits>`. */
export interface RunRecord {
  sequence: number
  /** 0 = written from memory; a merge of several of one level is of the next. */
  level: number
  records: number
  completeIndex: number
  firstPosition: number
  lastPosition: number
  beginTime: number
  endTime: number
}

export function runFileName(sequence: number): string {
  return String(sequence).padStart(20, '0')
}

/** Positions of the hash within the times, the last in the log first, at most `max`. */
export async function searchRun(
  file: DiskFile,
  run: RunRecord,
  hash: number,
  beginTime: number,
  endTime: number,
  max: number,
  into: number[]
): Promise<void> {
  const pages = Math.ceil(run.records / PAGE_RECORDS)
  const page = Buffer.allocUnsafe(PAGE_RECORDS * RECORD_BYTES)
  let low = 0
  let high = pages
  const head = Buffer.allocUnsafe(4)
  while (low < high) {
    const middle = (low + high) >>> 1
    await readExactly(file, head, 4, middle * PAGE_RECORDS * RECORD_BYTES)
    if (getUint32(head, 0) <= hash) low = middle + 1
    else high = middle
  }
  // The hash's records end in the last page that begins at or below it, and may go back over several.
  const wanted = into.length + max
  for (let at = low - 1; at >= 0 && into.length < wanted; at--) {
    const records = Math.min(PAGE_RECORDS, run.records - at * PAGE_RECORDS)
    await readExactly(file, page, records * RECORD_BYTES, at * PAGE_RECORDS * RECORD_BYTES)
    searchSorted(page, records, hash, beginTime, endTime, wanted - into.length, into)
    if (recordHash(page, 0) !== hash) return
  }
}

/** Records in order, from memory or from a file. */
export class RecordStream {
  bytes: Uint8Array
  at = 0
  end: number
  readonly #file: DiskFile | null
  #position = 0
  readonly #fileBytes: number

  private constructor(bytes: Uint8Array, end: number, file: DiskFile | null, fileBytes: number) {
    this.bytes = bytes
    this.end = end
    this.#file = file
    this.#fileBytes = fileBytes
  }

  static ofMemory(bytes: Uint8Array): RecordStream {
    return new RecordStream(bytes, bytes.length, null, 0)
  }

  static ofFile(file: DiskFile, records: number): RecordStream {
    return new RecordStream(Buffer.allocUnsafe(STREAM_BYTES), 0, file, records * RECORD_BYTES)
  }

  /** False: at the end. */
  async fill(): Promise<boolean> {
    const file = this.#file
    if (file === null) return false
    const length = Math.min(STREAM_BYTES, this.#fileBytes - this.#position)
    if (length === 0) return false
    await readExactly(file, this.bytes as Buffer, length, this.#position)
    this.#position += length
    this.at = 0
    this.end = length
    return true
  }
}

export interface MergedRun {
  records: number
  range: RecordRange
}

/** Writes the records of all streams, sorted, to a new file, without those below `startPosition`. Yields at each 64 KiB. */
export async function mergeRuns(
  disk: Disk,
  streams: RecordStream[],
  path: string,
  startPosition: number
): Promise<MergedRun> {
  const file = await disk.open(path, { create: true })
  const range = new RecordRange()
  let written = 0
  try {
    let live: RecordStream[] = []
    for (const stream of streams)
      if (stream.at < stream.end || (await stream.fill())) live.push(stream)
    let out = Buffer.allocUnsafe(STREAM_BYTES)
    let outAt = 0
    const last = { hash: -1, position: -1 }
    while (live.length > 0) {
      const full = outAt === STREAM_BYTES
      const empty = full ? null : drain(live, out, outAt, startPosition, last, range)
      outAt = empty === null ? outAt : empty.outAt
      if (outAt === STREAM_BYTES || full) {
        await file.write([out], written)
        written += outAt
        out = Buffer.allocUnsafe(STREAM_BYTES)
        outAt = 0
      }
      const exhausted = empty?.exhausted ?? null
      if (exhausted !== null && !(await exhausted.fill())) {
        live = live.filter(stream => stream !== exhausted)
      }
    }
    if (outAt > 0) await file.write([out.subarray(0, outAt)], written)
    written += outAt
    await file.truncate(written)
    await file.datasync()
  } finally {
    await file.close()
  }
  return { records: written / RECORD_BYTES, range }
}

/** Moves records until the output is full or a stream has no more in memory. */
function drain(
  live: readonly RecordStream[],
  out: Buffer,
  outAt: number,
  startPosition: number,
  last: { hash: number; position: number },
  range: RecordRange
): { outAt: number; exhausted: RecordStream | null } {
  while (outAt < out.length) {
    let least = live[0]!
    let hash = recordHash(least.bytes, least.at)
    let position = recordPosition(least.bytes, least.at)
    for (let i = 1; i < live.length; i++) {
      const stream = live[i]!
      const otherHash = recordHash(stream.bytes, stream.at)
      if (otherHash > hash) continue
      const otherPosition = recordPosition(stream.bytes, stream.at)
      if (otherHash === hash && otherPosition >= position) continue
      least = stream
      hash = otherHash
      position = otherPosition
    }
    // The same record twice: it was indexed again after a restart.
    const repeated = hash === last.hash && position === last.position
    if (position >= startPosition && !repeated) {
      out.set(least.bytes.subarray(least.at, least.at + RECORD_BYTES), outAt)
      outAt += RECORD_BYTES
      range.add(position, recordTime(least.bytes, least.at))
      last.hash = hash
      last.position = position
    }
    least.at += RECORD_BYTES
    if (least.at === least.end) return { outAt, exhausted: least }
  }
  return { outAt, exhausted: null }
}

async function readExactly(
  file: DiskFile,
  target: Buffer,
  length: number,
  position: number
): Promise<void> {
  const read = await file.read(target, 0, length, position)
  if (read !== length) {
    throw new Error(`${file.path}: ${read} bytes at ${position} where ${length} were expected`)
  }
}
