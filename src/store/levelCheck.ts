/**
 * Looks at a LevelDB before it is opened: that the manifest can be read, that every table that it names is there and each of
 * its blocks is what was written, and that the logs have no hole. LevelDB would use a rotten block, and jump over a hole:
 * batches behind it would count and those in it would not, which is a state that never was.
 */
import { join } from 'node:path'
import type { Disk } from '../platform/index.ts'
import { crc32c, maskedCrc, readLevelLog, unsnappy, VarintReader } from './levelFormat.ts'

const FOOTER_BYTES = 48
const TRAILER_BYTES = 5
const TABLE_MAGIC = Buffer.from('57fb808b247547db', 'hex')
const SNAPPY = 1
const BATCH_HEADER_BYTES = 12
const EditTag = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLog: 9
} as const

/** Where a log has to end so that what is left is a state that was. */
export interface LevelCut {
  readonly name: string
  readonly atBytes: number
  /** Later logs. */
  readonly behind: readonly string[]
}

export interface LevelReport {
  /** Nothing is there. */
  readonly isEmpty: boolean
  /** What makes it useless as a whole; empty: nothing. */
  readonly faults: readonly string[]
  readonly cut: LevelCut | null
  readonly tables: number
  readonly bytes: number
}

/** Reads everything; rejects with the disk's error only when the directory itself cannot be read. */
export async function checkLevel(disk: Disk, directory: string): Promise<LevelReport> {
  const files = new Map((await disk.list(directory)).map(info => [info.name, info.bytes]))
  const report = { isEmpty: !files.has('CURRENT') && !hasData(files), tables: 0, bytes: 0 }
  const faults: string[] = []
  let cut: LevelCut | null = null
  if (!report.isEmpty) {
    try {
      const version = await readVersion(disk, directory)
      for (const [number, bytes] of version.tables) {
        const fault = await tableFault(disk, directory, files, number, bytes)
        if (fault !== null) faults.push(fault)
        report.tables += 1
        report.bytes += bytes
      }
      cut = await cutOfLogs(disk, directory, files, version.logNumber)
    } catch (error) {
      faults.push((error as Error).message)
    }
  }
  return { ...report, faults, cut }
}

function hasData(files: ReadonlyMap<string, number>): boolean {
  return [...files.keys()].some(name => /\.(ldb|sst)$|^MANIFEST-/.test(name))
}

interface Version {
  readonly tables: ReadonlyMap<number, number>
  readonly logNumber: number
}

/** Throws with a sentence when there is none. */
async function readVersion(disk: Disk, directory: string): Promise<Version> {
  const current = (await read(disk, join(directory, 'CURRENT'))).toString('latin1')
  if (!/^MANIFEST-\d+\n$/.test(current)) throw new Error('CURRENT does not name a manifest')
  const name = current.trim()
  const manifest = readLevelLog(await read(disk, join(directory, name)))
  if (manifest.badAt !== -1) throw new Error(`${name} is damaged at byte ${manifest.badAt}`)
  if (manifest.records.length === 0) throw new Error(`${name} is empty`)
  const tables = new Map<number, number>()
  let logNumber = 0
  for (const { bytes } of manifest.records) {
    const reader = new VarintReader(bytes)
    while (!reader.isAtEnd) {
      const tag = reader.number()
      if (tag === EditTag.comparator) reader.slice()
      else if (tag === EditTag.logNumber) logNumber = reader.number()
      else if (tag === EditTag.compactPointer) {
        reader.number()
        reader.slice()
      } else if (tag === EditTag.deletedFile) {
        reader.number()
        tables.delete(reader.number())
      } else if (tag === EditTag.newFile) {
        reader.number()
        const number = reader.number()
        tables.set(number, reader.number())
        reader.slice()
        reader.slice()
      } else if (
        tag === EditTag.nextFile ||
        tag === EditTag.lastSequence ||
        tag === EditTag.previousLog
      ) {
        reader.number()
      } else throw new Error(`${name} has an edit of unknown kind ${tag}`)
    }
  }
  return { tables, logNumber }
}

async function tableFault(
  disk: Disk,
  directory: string,
  files: ReadonlyMap<string, number>,
  number: number,
  bytes: number
): Promise<string | null> {
  const digits = String(number).padStart(6, '0')
  const name = [`${digits}.ldb`, `${digits}.sst`].find(candidate => files.has(candidate))
  if (name === undefined) return `${digits}.ldb is missing`
  const has = files.get(name)
  if (has !== bytes) return `${name} has ${has} bytes, not ${bytes}`
  try {
    const badAt = badBlock(await read(disk, join(directory, name)))
    return badAt === -1 ? null : `${name} is damaged at byte ${badAt}`
  } catch (error) {
    return error instanceof RangeError ? `${name} is damaged` : `${name}: ${String(error)}`
  }
}

/** Where the first block begins that is not what was written; -1: none. */
function badBlock(table: Buffer): number {
  const footerAt = table.length - FOOTER_BYTES
  if (footerAt < 0 || !table.subarray(table.length - 8).equals(TABLE_MAGIC)) {
    return Math.max(footerAt, 0)
  }
  const footer = new VarintReader(table, footerAt)
  const metaindex = { at: footer.number(), bytes: footer.number() }
  const index = { at: footer.number(), bytes: footer.number() }
  if (!isSoundBlock(table, metaindex.at, metaindex.bytes)) return metaindex.at
  if (!isSoundBlock(table, index.at, index.bytes)) return index.at
  const end = index.at + index.bytes
  const raw = table.subarray(index.at, end)
  const entries = table[end] === SNAPPY ? unsnappy(raw) : raw
  const restarts = entries.readUInt32LE(entries.length - 4)
  const reader = new VarintReader(entries.subarray(0, entries.length - 4 - restarts * 4))
  let next = 0
  while (!reader.isAtEnd) {
    reader.number() // bytes that the key has in common with the one before
    const keyBytes = reader.number()
    reader.number() // of the value
    reader.at += keyBytes
    const at = reader.number()
    const bytes = reader.number()
    if (at !== next || !isSoundBlock(table, at, bytes)) return next
    next = at + bytes + TRAILER_BYTES
  }
  return -1
}

function isSoundBlock(table: Buffer, at: number, bytes: number): boolean {
  const end = at + bytes
  if (end + TRAILER_BYTES > table.length) return false
  return maskedCrc(crc32c(table, at, end + 1)) === table.readUInt32LE(end + 1)
}

/** Batches are numbered through all logs: after a bad record or a gap nothing may count. */
async function cutOfLogs(
  disk: Disk,
  directory: string,
  files: ReadonlyMap<string, number>,
  logNumber: number
): Promise<LevelCut | null> {
  const names = [...files.keys()]
    .filter(name => /^\d+\.log$/.test(name) && Number.parseInt(name, 10) >= logNumber)
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  let expected = -1
  let end: { name: string; atBytes: number } | null = null
  for (const [i, name] of names.entries()) {
    const log = readLevelLog(await read(disk, join(directory, name)))
    // An end that goes on in a later log was none.
    if (end !== null && log.records.length > 0) {
      return { ...end, behind: names.slice(names.indexOf(end.name) + 1) }
    }
    const behind = names.slice(i + 1)
    for (const { at, bytes } of log.records) {
      const sequence = bytes.length < BATCH_HEADER_BYTES ? -1 : Number(bytes.readBigUInt64LE(0))
      if (sequence === -1 || (expected !== -1 && sequence !== expected)) {
        return { name, atBytes: at, behind }
      }
      expected = sequence + bytes.readUInt32LE(8)
    }
    if (log.badAt === -1) continue
    if (log.goesOn) return { name, atBytes: log.badAt, behind }
    end ??= { name, atBytes: log.badAt }
  }
  return end === null ? null : { ...end, behind: [] }
}

async function read(disk: Disk, path: string): Promise<Buffer> {
  try {
    return await disk.readFile(path)
  } catch (error) {
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}
