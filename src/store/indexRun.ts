/**
 * Runs of the key index on the disk: files of sorted records (indexChunk.ts), searched by pages and merged by streams.
 * Behind the records stands a CRC-32 for each page of 256 of them, begun with the run's number and the page's, so that
 * a page of another place is none either.
 */
import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../platform/index.ts'
import { getUint32, putInt32 } from '../protocol/index.ts'
import {
  RECORD_BYTES,
  RecordRange,
  recordHash,
  recordPosition,
  recordTime,
  searchSorted
} from './indexChunk.ts'

const PAGE_RECORDS = 256
const PAGE_BYTES = PAGE_RECORDS * RECORD_BYTES
const CRC_BYTES = 4
/** Whole pages. */
const STREAM_BYTES = 16 * PAGE_BYTES

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
  /** Absent: written before there were checksums. */
  checked?: boolean
}

/** A run's file is not what was written. It is built again from the log: try again. */
export class RunDamagedError extends Error {
  override readonly name = 'RunDamagedError'
  readonly sequence: number
  constructor(sequence: number, what: string) {
    super(`run ${sequence} of the key index ${what}; it is built again from the log`)
    this.sequence = sequence
  }
}

/** Bytes of its file. */
export function runBytes({ records, checked }: RunRecord): number {
  const pages = checked === true ? Math.ceil(records / PAGE_RECORDS) : 0
  return records * RECORD_BYTES + pages * CRC_BYTES
}

function pageCrc(sequence: number, page: number, bytes: Buffer): number {
  return crc32(bytes, (Math.imul(sequence, 65_599) + page) >>> 0)
}

/** Reads `count` pages from `first` on into `target` and verifies them; returns the bytes of records. */
async function readPages(
  file: DiskFile,
  run: RunRecord,
  first: number,
  count: number,
  target: Buffer
): Promise<number> {
  const from = first * PAGE_RECORDS
  const bytes = Math.min(count * PAGE_RECORDS, run.records - from) * RECORD_BYTES
  await readExactly(file, run, target, bytes, from * RECORD_BYTES)
  if (run.checked !== true) return bytes
  const pages = Math.ceil(bytes / PAGE_BYTES)
  const crcs = Buffer.allocUnsafe(pages * CRC_BYTES)
  await readExactly(file, run, crcs, crcs.length, run.records * RECORD_BYTES + first * CRC_BYTES)
  for (let i = 0; i < pages; i++) {
    const page = target.subarray(i * PAGE_BYTES, Math.min((i + 1) * PAGE_BYTES, bytes))
    if (pageCrc(run.sequence, first + i, page) === getUint32(crcs, i * CRC_BYTES)) continue
    throw new RunDamagedError(run.sequence, `is damaged in page ${first + i}`)
  }
  return bytes
}

/** Reads the run as a whole and verifies it, 64 KiB at a time; `paused` between. Rejects with RunDamagedError. */
export async function verifyRun(
  file: DiskFile,
  run: RunRecord,
  paused: (bytes: number) => Promise<void>
): Promise<void> {
  const target = Buffer.allocUnsafe(STREAM_BYTES)
  const pages = Math.ceil(run.records / PAGE_RECORDS)
  for (let page = 0; page < pages; page += STREAM_BYTES / PAGE_BYTES) {
    await paused(await readPages(file, run, page, STREAM_BYTES / PAGE_BYTES, target))
  }
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
  const page = Buffer.allocUnsafe(PAGE_BYTES)
  let low = 0
  let high = pages
  while (low < high) {
    const middle = (low + high) >>> 1
    await readPages(file, run, middle, 1, page)
    if (recordHash(page, 0) <= hash) low = middle + 1
    else high = middle
  }
  // The hash's records end in the last page that begins at or below it, and may go back over several.
  const wanted = into.length + max
  for (let at = low - 1; at >= 0 && into.length < wanted; at--) {
    const records = (await readPages(file, run, at, 1, page)) / RECORD_BYTES
    searchSorted(page, records, hash, beginTime, endTime, wanted - into.length, into)
    if (recordHash(page, 0) !== hash) return
  }
}

/** Records in order, from memory or from a file. */
export class RecordStream {
  bytes: Uint8Array
  at = 0
  end: number
  readonly #source: { readonly file: DiskFile; readonly run: RunRecord } | null
  #page = 0

  private constructor(
    bytes: Uint8Array,
    end: number,
    source: { readonly file: DiskFile; readonly run: RunRecord } | null
  ) {
    this.bytes = bytes
    this.end = end
    this.#source = source
  }

  static ofMemory(bytes: Uint8Array): RecordStream {
    return new RecordStream(bytes, bytes.length, null)
  }

  static ofFile(file: DiskFile, run: RunRecord): RecordStream {
    return new RecordStream(Buffer.allocUnsafe(STREAM_BYTES), 0, { file, run })
  }

  /** False: at the end. */
  async fill(): Promise<boolean> {
    const source = this.#source
    if (source === null || this.#page * PAGE_RECORDS >= source.run.records) return false
    const pages = STREAM_BYTES / PAGE_BYTES
    this.at = 0
    this.end = await readPages(source.file, source.run, this.#page, pages, this.bytes as Buffer)
    this.#page += pages
    return true
  }
}

export interface MergedRun {
  records: number
  range: RecordRange
}

/** Writes the records of all streams, sorted, to the new file of a run, without those below `startPosition`. Yields at each 64 KiB. */
export async function mergeRuns(
  disk: Disk,
  streams: RecordStream[],
  path: string,
  sequence: number,
  startPosition: number
): Promise<MergedRun> {
  const file = await disk.open(path, { create: true })
  const range = new RecordRange()
  const crcs: Buffer[] = []
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
        crcs.push(crcsOf(sequence, written / PAGE_BYTES, out))
        written += outAt
        out = Buffer.allocUnsafe(STREAM_BYTES)
        outAt = 0
      }
      const exhausted = empty?.exhausted ?? null
      if (exhausted !== null && !(await exhausted.fill())) {
        live = live.filter(stream => stream !== exhausted)
      }
    }
    const rest = out.subarray(0, outAt)
    crcs.push(crcsOf(sequence, written / PAGE_BYTES, rest))
    const behind = Buffer.concat(crcs)
    if (outAt > 0) await file.write([rest], written)
    written += outAt
    if (behind.length > 0) await file.write([behind], written)
    await file.truncate(written + behind.length)
    await file.datasync()
  } finally {
    await file.close()
  }
  return { records: written / RECORD_BYTES, range }
}

function crcsOf(sequence: number, firstPage: number, records: Buffer): Buffer {
  const pages = Math.ceil(records.length / PAGE_BYTES)
  const crcs = Buffer.allocUnsafe(pages * CRC_BYTES)
  for (let i = 0; i < pages; i++) {
    const page = records.subarray(i * PAGE_BYTES, (i + 1) * PAGE_BYTES)
    putInt32(crcs, i * CRC_BYTES, pageCrc(sequence, firstPage + i, page))
  }
  return crcs
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
  run: RunRecord,
  target: Buffer,
  length: number,
  position: number
): Promise<void> {
  const read = await file.read(target, 0, length, position).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0
    throw error
  })
  if (read === length) return
  throw new RunDamagedError(run.sequence, `has ${read} bytes at ${position}, not ${length}`)
}
