import { AcknowledgedMark } from './acknowledgedMark.ts'
import { ConfigurationFile } from './configurationFile.ts'
import { restoreConfigurations } from './configurations.ts'
import { removeCopy } from './copy.ts'
import {
  ENTRY_HEADER_BYTES,
  entryIndex,
  entryPosition,
  entryTimeMs,
  headerIsSound
} from './entry.ts'
import { UnusableLogError } from './errors.ts'
import { HARD_STATE_NAME, HardStateFile, type StoredState } from './hardState.ts'
import { IndexFile } from './indexFile.ts'
import type { LogFiles } from './logParts.ts'
import { fileName, fileNumber, joinPath } from './names.ts'
import { withPreviousEnd } from './previousEnd.ts'
import { DiskLog } from './raftLog.ts'
import { Scanner, SEARCH_BYTES } from './scanner.ts'
import { RECYCLED_NAME, Segment, Segments, SPARE_UNFINISHED_NAME } from './segments.ts'
import { putInPlace, removeLeftCopy } from './switchLog.ts'
import type { LogOptions, RaftLog, Recovery } from './types.ts'
import { ignoreUnreadable } from './unreadable.ts'
import { isElsewhere } from './whereabouts.ts'

const SEGMENT_BYTES_MIN = 4096
const CHUNK_BYTES = 1024 * 1024
export const UNITS_PER_INDEX_FILE = 1_048_576

/**
 * Opens the log in `options.directory`, or makes one: hard state, segments, index; judges and mends what it finds
 * (raft.md 4.9), makes all of it durable (R-D2), and saves the hard state of this start, incarnation counted up.
 * Rejects with UnusableLogError when this node must not take part, else with the disk's error.
 */
export async function openLog(options: LogOptions): Promise<RaftLog> {
  if (!(options.segmentBytes >= SEGMENT_BYTES_MIN)) {
    throw new UnusableLogError(`segments of ${options.segmentBytes} bytes are too small`)
  }
  const dataDirectory = joinPath(options.directory, 'data')
  const indexDirectory = joinPath(options.directory, 'index')
  await options.disk.makeDirectory(options.directory)
  const hardState = await HardStateFile.open(options.disk, options.clock, options.directory)
  try {
    const { install = '', commit = 0 } = hardState.state ?? {}
    if (install === '') await removeLeftCopy(options.disk, options.directory, commit)
    else await putInPlace(options.disk, options.directory)
  } catch (error) {
    await hardState.close()
    throw error
  }
  await options.disk.makeDirectory(dataDirectory)
  await options.disk.makeDirectory(indexDirectory)
  await options.disk.syncDirectory(options.directory)
  if (hardState.damagedSlots > 0) {
    options.logger.warn('The hard state is damaged; its copy holds', {
      directory: options.directory,
      damagedSlots: hardState.damagedSlots
    })
  }
  const segments = new Segments(options.disk, dataDirectory, options.segmentBytes)
  const index = new IndexFile(
    {
      disk: options.disk,
      clock: options.clock,
      directory: indexDirectory,
      unitsPerFile: options.unitsPerIndexFile ?? UNITS_PER_INDEX_FILE,
      delayMs: options.indexDelayMs ?? 10
    },
    0
  )
  const opened: { close(): Promise<void> }[] = [hardState, index]
  try {
    const configurations = await ConfigurationFile.open(options.disk, options.directory)
    opened.push(configurations)
    const fresh = hardState.state === null
    const acknowledged = await AcknowledgedMark.open(options.disk, options.directory, fresh)
    opened.push(acknowledged, { close: () => segments.closeAll() })
    return await recover(options, { hardState, segments, index, configurations, acknowledged })
  } catch (error) {
    for (const file of opened) await file.close().catch(() => {})
    throw error
  }
}

async function recover(options: LogOptions, files: LogFiles): Promise<RaftLog> {
  const { hardState, segments, index, configurations, acknowledged } = files
  const startedMs = options.clock.monotonicMs()
  const fresh = hardState.state === null
  const whereabouts = await options.disk.identity(joinPath(options.directory, HARD_STATE_NAME))
  const found = hardState.state ?? freshState(options)
  const isCopy = isElsewhere(found.whereabouts, whereabouts)
  // Of a copy it is not known how old it is, nor whether its files are of one moment: it starts like one that lost power (R-D7).
  const state = isCopy ? { ...found, clean: false, bootId: '' } : found
  if (state.segmentBytes !== options.segmentBytes) {
    throw new UnusableLogError(
      `the log in ${options.directory} has segments of ${state.segmentBytes} bytes, configured are ${options.segmentBytes}: the size cannot be changed`
    )
  }
  await loadSegments(segments, state, fresh)
  const powerLoss =
    !fresh && !state.clean && (state.bootId === '' || state.bootId !== options.bootId)
  const start = { ...state.start, sizeBytes: 0, timeMs: 0 }
  const scanner = new Scanner({
    segments,
    index,
    start,
    watermark: state.watermark,
    powerLoss,
    weakestMode: state.weakestMode,
    keepFrom: Math.max(state.commit, start.index),
    tailCacheBytes: options.tailCacheBytes
  })
  const scanFrom = segments.ofIndex(Math.max(state.watermark, start.index + 1))
  await goThrough(scanner, segments, scanFrom)

  const lastIndex = scanner.nextIndex - 1
  const behind = state.clean ? null : await findBehind(segments, scanner.end, powerLoss)
  const leftovers = behind?.found === true
  const { droppedUnknown } = scanner
  const torn = leftovers || droppedUnknown
  // That file is written and synced before the first entry.
  const neverTookIn = lastIndex === 0 && configurations.found === 'nothing'
  const endDamaged = !state.clean && scanner.faults.has(lastIndex)
  const recovering = whyRecovering(
    state,
    {
      isCopy,
      endDamaged,
      acknowledged: state.clean ? 0 : acknowledged.index,
      mayHaveLost: powerLoss && !neverTookIn,
      leftovers,
      droppedUnknown
    },
    lastIndex
  )
  // What shows it goes now, and this start may not come to its end.
  if (recovering !== null && torn && !fresh)
    await hardState.update({ recovering: true, bootId: '' })
  if (behind !== null) await wipe(segments, scanner.end, behind)
  await index.zeroFrom(scanner.nextIndex)
  index.writtenIndex = lastIndex
  if (!state.clean && scanner.aboveWatermark !== null) {
    await rewrite(segments, scanner.aboveWatermark, scanner.end)
  }
  if (!state.clean) await syncFrom(segments, scanFrom)
  await fillLastTimes(segments, index)

  const damaged = scanner.faults.size > 0
  await hardState.update({
    ...state,
    incarnation: state.incarnation + 1,
    clean: false,
    recovering: recovering !== null,
    bootId: recovering !== null || damaged ? '' : options.bootId,
    watermark: lastIndex,
    weakestMode: options.flushMode,
    commit: Math.min(state.commit, lastIndex),
    install: '',
    whereabouts
  })
  // Not before: the hard state remembers what it showed.
  await acknowledged.set(lastIndex)
  if (state.install !== '') await removeCopy(options.disk, options.directory)
  const tail = scanner.tail()
  for (const [at, fault] of scanner.faults)
    scanner.faults.set(at, withPreviousEnd(fault, tail, scanner.faults))
  const recovery: Recovery = {
    fresh,
    powerLoss,
    recovering,
    terms: scanner.terms,
    faults: [...scanner.faults.values()].sort((a, b) => a.index - b.index),
    cutFrom: torn ? lastIndex + 1 : 0,
    commit: Math.min(state.commit, lastIndex),
    scannedBytes: scanner.bytes.bytesRead,
    durationMs: options.clock.monotonicMs() - startedMs
  }
  report(options, recovery, lastIndex)
  const log = new DiskLog(options, { ...files, recovery, tail, faults: scanner.faults })
  log.known = await restoreConfigurations(configurations, log, fresh, options.logger)
  return log
}

function freshState(options: LogOptions): StoredState {
  return {
    segmentBytes: options.segmentBytes,
    term: 0,
    vote: '',
    incarnation: 0,
    uid: options.random.bytes(16).toString('hex'),
    clusterId: '',
    founders: [],
    bootId: options.bootId,
    clean: false,
    recovering: false,
    watermark: 0,
    weakestMode: options.flushMode,
    start: { index: 0, term: 0, headerCrc: 0, position: 0 },
    commit: 0,
    install: '',
    whereabouts: ''
  }
}

/** Lists the segments from the log's start on; missing ones are made, for their entries are damage and not an end. */
async function loadSegments(segments: Segments, state: StoredState, fresh: boolean): Promise<void> {
  const { disk, directory, segmentBytes } = segments
  await disk.remove(joinPath(directory, SPARE_UNFINISHED_NAME))
  await disk.remove(joinPath(directory, RECYCLED_NAME))
  let end = state.start.position
  for (const file of await disk.list(directory)) {
    const position = fileNumber(file.name)
    if (position === null) continue
    const path = joinPath(directory, file.name)
    if (position % segmentBytes !== 0 || file.bytes > segmentBytes) {
      throw new UnusableLogError(
        `${path} of ${file.bytes} bytes is no segment of a log with segments of ${segmentBytes} bytes`
      )
    }
    if (position < state.start.position) await disk.remove(path)
    else end = Math.max(end, position + segmentBytes)
  }
  for (let position = state.start.position; position < end; position += segmentBytes) {
    const segment = new Segment(position, joinPath(directory, fileName(position)))
    segments.list.push(segment)
    const file = await segments.acquire(segment)
    try {
      segment.preparedBytes = await file.size()
    } finally {
      segments.release(segment)
    }
    const header = await readHeader(segments, segment, 0)
    if (header !== null) segment.firstIndex = entryIndex(header)
    if (fresh && header !== null) {
      throw new UnusableLogError(
        `${segment.path} holds entries, but the hard state beside it is gone: term and vote are lost, so this node must not vote. Move the whole directory away and let the node join as a new one`
      )
    }
  }
  if (segments.list.length === 0) {
    const first = new Segment(state.start.position, segments.pathOf(state.start.position))
    segments.list.push(first)
    await segments.acquire(first)
    segments.release(first)
  }
  await disk.syncDirectory(directory)
}

/** A sound header that stands where it says, or null. */
async function readHeader(
  segments: Segments,
  segment: Segment,
  at: number
): Promise<Buffer | null> {
  const header = Buffer.alloc(ENTRY_HEADER_BYTES)
  try {
    await segments.read(segment, header, ENTRY_HEADER_BYTES, at)
  } catch (error) {
    ignoreUnreadable(error)
    return null
  }
  return headerIsSound(header) && entryPosition(header) === segment.firstPosition + at
    ? header
    : null
}

/** By index units up to the segment of the watermark, by the bytes from there on, and wherever units are bad. */
async function goThrough(scanner: Scanner, segments: Segments, scanFrom: Segment): Promise<void> {
  while (scanner.nextIndex < scanFrom.firstIndex) {
    await scanner.walk(scanFrom.firstIndex)
    if (scanner.nextIndex >= scanFrom.firstIndex) break
    const bad = scanner.nextIndex
    const known = segments.list.find(segment => segment.firstIndex > bad)
    if (!(await scanner.scan(known?.firstIndex ?? scanFrom.firstIndex))) return
  }
  await scanner.scan(Number.MAX_SAFE_INTEGER)
}

interface Behind {
  /** Whether anything is there but zeros. */
  readonly found: boolean
  /** In the segment that the log ends in. */
  readonly chunks: readonly { readonly at: number; readonly length: number }[]
}

/** What lies behind the end of the log. */
async function findBehind(segments: Segments, end: number, powerLoss: boolean): Promise<Behind> {
  let found = false
  let last = segments.list.length - 1
  for (; last > 0 && segments.list[last]!.firstPosition >= end; last--) {
    const segment = segments.list[last]!
    found ||= (await nonZeroChunks(segments, segment, 0, Number.MAX_SAFE_INTEGER)).length > 0
  }
  const segment = segments.list[last]!
  const from = end - segment.firstPosition
  // After a kill the writes stand in order, and one at a time is under way: no need to look further.
  const limit = powerLoss ? Number.MAX_SAFE_INTEGER : from + SEARCH_BYTES
  const chunks = await nonZeroChunks(segments, segment, from, limit)
  return { found: found || chunks.length > 0, chunks }
}

/**
 * Puts zeros over what lies behind the end, from the back, and removes later segments: a leftover could be taken for an entry once
 * others stand before it (R-L5).
 */
async function wipe(segments: Segments, end: number, { chunks }: Behind): Promise<void> {
  while (segments.list.length > 1 && segments.last().firstPosition >= end)
    await segments.retireLast()
  await segments.disk.syncDirectory(segments.directory)
  const segment = segments.last()
  const file = await segments.acquire(segment)
  try {
    for (const { at, length } of chunks.toReversed()) await file.write([Buffer.alloc(length)], at)
    if (chunks.length > 0) await file.datasync()
  } finally {
    segments.release(segment)
  }
}

async function nonZeroChunks(
  segments: Segments,
  segment: Segment,
  from: number,
  limit: number
): Promise<{ at: number; length: number }[]> {
  const zeros = Buffer.alloc(CHUNK_BYTES)
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  const found: { at: number; length: number }[] = []
  const end = Math.min(segment.preparedBytes, limit)
  for (let at = from; at < end; at += CHUNK_BYTES) {
    const length = Math.min(CHUNK_BYTES, end - at)
    let got = length
    try {
      got = await segments.read(segment, chunk, length, at)
    } catch (error) {
      ignoreUnreadable(error)
      chunk.fill(1)
    }
    if (chunk.compare(zeros, 0, got, 0, got) !== 0) found.push({ at, length: got })
  }
  return found
}

/** R-D2: after a failed fsync pages may be clean and yet not on the disk; written again they are dirty again. */
async function rewrite(segments: Segments, from: number, end: number): Promise<void> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let position = from
  while (position < end) {
    const segment = segments.at(position)
    if (segment === null) return
    const at = position - segment.firstPosition
    const length = Math.min(CHUNK_BYTES, segments.segmentBytes - at, end - position)
    const file = await segments.acquire(segment)
    try {
      const got = await file.read(chunk, 0, length, at)
      if (got > 0) await file.write([chunk.subarray(0, got)], at)
    } catch (error) {
      ignoreUnreadable(error)
    } finally {
      segments.release(segment)
    }
    position += length
  }
}

async function syncFrom(segments: Segments, first: Segment): Promise<void> {
  for (const segment of segments.list) {
    if (segment.firstPosition < first.firstPosition) continue
    const file = await segments.acquire(segment)
    try {
      await file.datasync()
    } finally {
      segments.release(segment)
    }
  }
}

async function fillLastTimes(segments: Segments, index: IndexFile): Promise<void> {
  for (const segment of segments.list) {
    const next = segments.next(segment)
    if (segment.lastTimeMs !== 0 || next === null || next.firstIndex <= 1) continue
    const unit = await index.unit(next.firstIndex - 1)
    if (unit === null) continue
    const at = unit.position - segment.firstPosition
    if (at < 0 || at >= segments.segmentBytes) continue
    const header = await readHeader(segments, segment, at)
    if (header !== null) segment.lastTimeMs = entryTimeMs(header)
  }
}

/** R-D6 and raft.md 4.9. */
function whyRecovering(
  state: StoredState,
  found: {
    isCopy: boolean
    endDamaged: boolean
    /** null: nobody knows how far. */
    acknowledged: number | null
    mayHaveLost: boolean
    leftovers: boolean
    droppedUnknown: boolean
  },
  lastIndex: number
): string | null {
  const { isCopy, endDamaged, acknowledged, mayHaveLost, leftovers, droppedUnknown } = found
  if (isCopy)
    return 'its directory is a copy or a backup, and may be older than what it acknowledged'
  if (state.recovering) return 'it was recovering when it stopped'
  if (state.commit > lastIndex) {
    return `the log ends at entry ${lastIndex}, and ${state.commit} was committed`
  }
  if (lastIndex < state.watermark) {
    return `the log ends at entry ${lastIndex}, and ${state.watermark} was on the disk`
  }
  if (acknowledged === null) {
    return 'the file that says how far the log was acknowledged is damaged or gone'
  }
  if (lastIndex < acknowledged) {
    return `the log ends at entry ${lastIndex}, and ${acknowledged} may have been acknowledged`
  }
  if (endDamaged) return 'the end of the log is damaged, and acknowledged entries may have followed'
  if (droppedUnknown) return 'the last entries were damaged beyond recognition'
  if (mayHaveLost && state.weakestMode === 'async') {
    return 'the machine went down while entries were acknowledged from the page cache'
  }
  if (mayHaveLost && leftovers) return 'the machine went down, and a torn record was cut'
  return null
}

function report(options: LogOptions, recovery: Recovery, lastIndex: number): void {
  const fields = {
    directory: options.directory,
    lastIndex,
    commit: recovery.commit,
    cutFrom: recovery.cutFrom,
    faults: recovery.faults.length,
    scannedBytes: recovery.scannedBytes,
    durationMs: Math.round(recovery.durationMs)
  }
  if (recovery.faults.length > 0) {
    const first = recovery.faults[0]
    options.logger.error('The log has damaged entries; they are fetched from the peers', {
      ...fields,
      first
    })
  }
  if (recovery.recovering !== null) {
    options.logger.warn(`Neither votes nor campaigns for now: ${recovery.recovering}`, fields)
  } else {
    options.logger.info(recovery.fresh ? 'Made a new log' : 'Opened the log', fields)
  }
}
