import { crc32 } from 'node:zlib'
import type { Clock, Disk, DiskFile } from '../../platform/index.ts'
import {
  bodyIsSound,
  ENTRY_BYTES_MAX,
  ENTRY_HEADER_BYTES,
  entryBodyCrc,
  entryHeaderCrc,
  entryIndex,
  entryPosition,
  entryPrevCrc,
  entrySize,
  entryTerm,
  headerIsSound,
  positionAfter
} from './entry.ts'
import { IndexFile, putUnit, UNIT_BYTES } from './indexFile.ts'
import {
  type CopiedSegment,
  decodeManifest,
  encodeManifest,
  type Manifest,
  manifestBytes
} from './manifest.ts'
import { fileName, joinPath } from './names.ts'

/** Below the log's directory: the copy while it grows, and until it is in place. */
export const COPY_NAME = 'copy'
export const STATE_NAME = 'state'
const MANIFEST_NAME = 'manifest'
const VERIFIED_NAME = 'verified'
/** Read back at once. */
const READ_BYTES = 1024 * 1024
const UNITS_A_WRITE = 4096

/** The next piece that is missing: of which file, from where, how much at most. */
export interface MissingPart {
  readonly file: string
  readonly offset: number
  readonly bytes: number
}

/**
 * A snapshot that is being copied, in a directory of its own beside the log (R-S):
 *
 *    copy/manifest      what it consists of
 *    copy/data/…        its segments; they become the log's
 *    copy/index/…       the units of the entries that were verified
 *    copy/verified      which segments are whole, read back and synced
 *    copy/state         the derived state
 *
 * A copy goes on where it stopped, also under another manifest, as far as that names the same segments. Nothing in here
 * counts for anything before a hard state names it (switchLog.ts).
 */
export class LogCopy {
  readonly manifest: Manifest
  readonly totalBytes: number
  readonly directory: string
  readonly #disk: Disk
  readonly #index: IndexFile
  /** Last header CRC of the segments that are whole, by their first position. */
  readonly #verified: Map<number, number>
  /** Bytes on the disk of the files that are not whole yet. */
  readonly #sizes = new Map<string, number>()
  #stateVerified = false
  #open: { name: string; file: DiskFile } | null = null

  private constructor(
    disk: Disk,
    directory: string,
    manifest: Manifest,
    index: IndexFile,
    verified: Map<number, number>
  ) {
    this.#disk = disk
    this.directory = directory
    this.manifest = manifest
    this.totalBytes = manifestBytes(manifest)
    this.#index = index
    this.#verified = verified
  }

  /** Begins the copy below `logDirectory`, or goes on with what is there of the same log. */
  static async open(
    disk: Disk,
    clock: Clock,
    logDirectory: string,
    manifest: Manifest,
    unitsPerIndexFile: number
  ): Promise<LogCopy> {
    const directory = joinPath(logDirectory, COPY_NAME)
    const before = await readCopiedManifest(disk, logDirectory)
    if (before === null || before.segmentBytes !== manifest.segmentBytes)
      await disk.remove(directory)
    for (const name of ['data', 'index']) await disk.makeDirectory(joinPath(directory, name))
    // The derived state belongs to one snapshot, the segments to all of this log.
    if (before?.snapshotId !== manifest.snapshotId)
      await disk.remove(joinPath(directory, STATE_NAME))
    await disk.writeFileAtomic(joinPath(directory, MANIFEST_NAME), encodeManifest(manifest))
    await disk.syncDirectory(logDirectory)
    const index = new IndexFile(
      {
        disk,
        clock,
        directory: joinPath(directory, 'index'),
        unitsPerFile: unitsPerIndexFile,
        delayMs: 0
      },
      0
    )
    const verified = await readVerified(disk, directory)
    const copy = new LogCopy(disk, directory, manifest, index, verified)
    // A longer copy of before may have left some behind the end.
    if (before !== null) await index.zeroFrom(manifest.index + 1)
    await copy.#takeStock()
    return copy
  }

  /** Keeps what fits the manifest, removes the rest. */
  async #takeStock(): Promise<void> {
    const { segments } = this.manifest
    const data = joinPath(this.directory, 'data')
    const wanted = new Map(segments.map(segment => [fileName(segment.firstPosition), segment]))
    for (const { name, bytes } of await this.#disk.list(data)) {
      const segment = wanted.get(name)
      if (segment === undefined) await this.#disk.remove(joinPath(data, name))
      else this.#sizes.set(name, Math.min(bytes, segment.bytes))
      // Of a longer part that is not wanted now: what lies behind the end must be zeros, or not there.
      if (segment !== undefined && bytes > segment.bytes) await this.#truncate(segment)
    }
    const known = new Map(segments.map(segment => [segment.firstPosition, segment]))
    for (const [position, crc] of this.#verified) {
      const segment = known.get(position)
      const size = this.#sizes.get(fileName(position))
      if (segment?.lastHeaderCrc === crc && size === segment.bytes) continue
      this.#verified.delete(position)
    }
    const state = joinPath(this.directory, STATE_NAME)
    if (await this.#disk.exists(state)) {
      const file = await this.#disk.open(state)
      this.#sizes.set(STATE_NAME, Math.min(await file.size(), this.manifest.stateBytes))
      await file.close()
    }
  }

  async #truncate(segment: CopiedSegment): Promise<void> {
    const file = await this.#file(fileName(segment.firstPosition))
    await file.truncate(segment.bytes)
  }

  /** Bytes that are here, verified or not. */
  get doneBytes(): number {
    let bytes = this.#stateVerified ? this.manifest.stateBytes : (this.#sizes.get(STATE_NAME) ?? 0)
    for (const { firstPosition } of this.manifest.segments)
      bytes += this.#sizes.get(fileName(firstPosition)) ?? 0
    return bytes
  }

  get verifiedSegments(): number {
    return this.#verified.size
  }

  /** The segments in order, then the state; null: all is here and verified. Files that are whole are verified on the way. */
  async nextMissing(pieceBytes: number): Promise<MissingPart | null> {
    for (const segment of this.manifest.segments) {
      if (this.#verified.has(segment.firstPosition)) continue
      const file = fileName(segment.firstPosition)
      const missing = this.#missingOf(file, segment.bytes, pieceBytes)
      if (missing !== null) return missing
      await this.#verifySegment(segment)
    }
    if (this.#stateVerified) return null
    const missing = this.#missingOf(STATE_NAME, this.manifest.stateBytes, pieceBytes)
    if (missing !== null) return missing
    await this.#verifyState()
    return null
  }

  #missingOf(file: string, wholeBytes: number, pieceBytes: number): MissingPart | null {
    const offset = this.#sizes.get(file) ?? 0
    if (offset >= wholeBytes) return null
    return { file, offset, bytes: Math.min(pieceBytes, wholeBytes - offset) }
  }

  /** The piece that was missing, or the first part of it. */
  async write(part: MissingPart, bytes: Buffer): Promise<void> {
    const file = await this.#file(part.file)
    await file.write([bytes], part.offset)
    this.#sizes.set(part.file, part.offset + bytes.length)
  }

  async #file(name: string): Promise<DiskFile> {
    if (this.#open?.name === name) return this.#open.file
    await this.#closeFile()
    const path =
      name === STATE_NAME
        ? joinPath(this.directory, name)
        : joinPath(joinPath(this.directory, 'data'), name)
    const file = await this.#disk.open(path, { create: true })
    this.#open = { name, file }
    return file
  }

  async #closeFile(): Promise<void> {
    const open = this.#open
    this.#open = null
    await open?.file.close()
  }

  /**
   * Reads the segment back: every entry's CRCs, index, place and the chain from the segment before to the header CRC that
   * the manifest names. A segment that is not so is fetched again from its beginning.
   */
  async #verifySegment(segment: CopiedSegment): Promise<void> {
    const name = fileName(segment.firstPosition)
    const file = await this.#file(name)
    await file.datasync()
    const wrong = await this.#readThrough(segment, file)
    if (wrong !== null) {
      await file.truncate(0)
      this.#sizes.set(name, 0)
      throw new CopyDamagedError(`segment ${name}: ${wrong}`)
    }
    await this.#index.sync()
    await this.#disk.syncDirectory(joinPath(this.directory, 'data'))
    await this.#disk.syncDirectory(joinPath(this.directory, 'index'))
    this.#verified.set(segment.firstPosition, segment.lastHeaderCrc)
    const json = JSON.stringify([...this.#verified])
    await this.#disk.writeFileAtomic(joinPath(this.directory, VERIFIED_NAME), Buffer.from(json))
  }

  /** Null: all is as it should be. */
  async #readThrough(segment: CopiedSegment, file: DiskFile): Promise<string | null> {
    const { segmentBytes, start, segments } = this.manifest
    const before = segments[segments.indexOf(segment) - 1]
    let prevCrc = before?.lastHeaderCrc ?? start.headerCrc
    let index = segment.firstIndex
    let at = 0
    let term = 0
    let window = Buffer.alloc(0)
    let windowAt = 0
    const units = Buffer.alloc(UNITS_A_WRITE * UNIT_BYTES)
    let unitsFirst = index
    const view = async (length: number): Promise<Buffer> => {
      if (at < windowAt || at + length > windowAt + window.length) {
        const wanted = Math.max(length, Math.min(READ_BYTES, segment.bytes - at))
        window = Buffer.allocUnsafe(wanted)
        windowAt = at
        const got = await file.read(window, 0, wanted, at)
        window = window.subarray(0, got)
      }
      return window.subarray(at - windowAt, Math.min(at - windowAt + length, window.length))
    }
    for (; index <= segment.lastIndex; index++) {
      const header = await view(ENTRY_HEADER_BYTES)
      const position = segment.firstPosition + at
      if (!headerIsSound(header)) return `no entry ${index} stands at ${position}`
      const sizeBytes = entrySize(header)
      if (sizeBytes > ENTRY_BYTES_MAX) return `entry ${index} is too large`
      const fits =
        entryIndex(header) === index &&
        entryPosition(header) === position &&
        entryTerm(header) >= term &&
        entryPrevCrc(header) === prevCrc &&
        positionAfter(position, sizeBytes, segmentBytes) === position
      if (!fits) return `entry ${index} at ${position} does not continue the log`
      term = entryTerm(header)
      prevCrc = entryHeaderCrc(header)
      const unit = { position, term, sizeBytes, headerCrc: prevCrc, bodyCrc: entryBodyCrc(header) }
      if (!bodyIsSound(await view(sizeBytes))) return `entry ${index} at ${position} is damaged`
      putUnit(units, (index - unitsFirst) * UNIT_BYTES, index, unit)
      if (index - unitsFirst + 1 === UNITS_A_WRITE) {
        await this.#index.writeRaw(unitsFirst, units)
        unitsFirst = index + 1
      }
      at += sizeBytes
    }
    if (index > unitsFirst)
      await this.#index.writeRaw(unitsFirst, units.subarray(0, (index - unitsFirst) * UNIT_BYTES))
    return prevCrc === segment.lastHeaderCrc
      ? null
      : `entry ${index - 1} is another one than offered`
  }

  async #verifyState(): Promise<void> {
    const file = await this.#file(STATE_NAME)
    await file.datasync()
    const chunk = Buffer.allocUnsafe(READ_BYTES)
    let crc = 0
    for (let at = 0; at < this.manifest.stateBytes; ) {
      const got = await file.read(chunk, 0, chunk.length, at)
      if (got === 0) break
      crc = crc32(chunk.subarray(0, got), crc)
      at += got
    }
    if (crc !== this.manifest.stateCrc) {
      await file.truncate(0)
      this.#sizes.set(STATE_NAME, 0)
      throw new CopyDamagedError('the derived state has another CRC than offered')
    }
    await this.#disk.syncDirectory(this.directory)
    this.#stateVerified = true
  }

  async close(): Promise<void> {
    await this.#closeFile()
    await this.#index.close()
  }
}

/** What came is not what was offered; it is fetched again. */
export class CopyDamagedError extends Error {
  override readonly name = 'CopyDamagedError'
}

/** Of the copy below this log's directory; null: there is none that can be used. */
export async function readCopiedManifest(
  disk: Disk,
  logDirectory: string
): Promise<Manifest | null> {
  const path = joinPath(joinPath(logDirectory, COPY_NAME), MANIFEST_NAME)
  if (!(await disk.exists(path))) return null
  return decodeManifest(await disk.readFile(path))
}

async function readVerified(disk: Disk, directory: string): Promise<Map<number, number>> {
  const path = joinPath(directory, VERIFIED_NAME)
  if (!(await disk.exists(path))) return new Map()
  try {
    const pairs = JSON.parse((await disk.readFile(path)).toString('utf8')) as [number, number][]
    return new Map(pairs)
  } catch {
    return new Map() // damaged: everything is read back once more
  }
}

export async function removeCopy(disk: Disk, logDirectory: string): Promise<void> {
  await disk.remove(joinPath(logDirectory, COPY_NAME))
  await disk.syncDirectory(logDirectory)
}
