/** A look at a log whose node does not run: every byte is read, nothing is changed, and it says what a start would do. */
import {
  type Clock,
  type Disk,
  type Random,
  readOnlyDisk,
  silentLogger
} from '../../platform/index.ts'
import { type Entry, EntryKind } from './entry.ts'
import { HardStateFile, type StoredState } from './hardState.ts'
import { fileName, fileNumber } from './names.ts'
import { openLog } from './open.ts'
import { RECYCLED_NAME, SPARE_NAME, SPARE_UNFINISHED_NAME } from './segments.ts'
import type { Fault, RaftLog, Recovery } from './types.ts'

const STEP_BYTES = 1024 * 1024
const ORDINARY = [SPARE_NAME, SPARE_UNFINISHED_NAME, RECYCLED_NAME]

export interface InspectOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  /** As the node's: below it lie `data`, `index` and `hardstate`. */
  readonly directory: string
  /** Of the running boot of the machine. */
  readonly bootId: string
  /** Bytes read so far, and bytes of the log. */
  progress?(doneBytes: number, allBytes: number): void
}

export interface SegmentReport {
  readonly name: string
  readonly firstPosition: number
  entries: number
  messages: number
  firstIndex: number
  lastIndex: number
  firstTerm: number
  lastTerm: number
  usedBytes: number
  readonly faults: Fault[]
}

export interface LogInspection {
  /** The node's own state as it stands on the disk; null: there is none. */
  readonly hardState: StoredState | null
  /** What a start would do before it reads everything. */
  readonly recovery: Recovery
  readonly segments: readonly SegmentReport[]
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastTerm: number
  readonly endPosition: number
  /** Index units that do not say what their entries say; a reader writes them again. */
  readonly badUnits: number
  /** Files that do not belong there. */
  readonly strange: readonly string[]
}

/** Rejects as `openLog` does when the log cannot be opened at all: the message says what to do. */
export async function inspectLog(options: InspectOptions): Promise<LogInspection> {
  const { directory } = options
  const hardState = await readHardState(options)
  const log = await openForReading(options, hardState?.segmentBytes ?? STEP_BYTES)
  try {
    const reports = log.segments().map(segment => emptyReport(segment.firstPosition))
    const { badUnits, faults } = await readAll(log, reports, options)
    for (const fault of faults) reportAt(reports, fault.position)?.faults.push(fault)
    return {
      hardState,
      recovery: log.recovery,
      segments: reports,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      lastTerm: log.lastTerm,
      endPosition: log.endPosition,
      badUnits,
      strange: await strangeFiles(options.disk, directory)
    }
  } finally {
    await log.close({ orderly: false })
  }
}

/** The log as a start would find it, without a change to the disk. */
export async function openForReading(
  options: InspectOptions,
  segmentBytes: number
): Promise<RaftLog> {
  return openLog({
    disk: readOnlyDisk(options.disk),
    clock: options.clock,
    random: options.random,
    logger: silentLogger,
    directory: options.directory,
    segmentBytes,
    flushMode: 'sync',
    flushIntervalMs: 1000,
    tailCacheBytes: 1024 * 1024,
    bootId: options.bootId,
    prepare: { aheadBytes: 0, spare: false }
  })
}

/** null: there is none. Rejects with UnusableLogError when both slots are damaged. */
export async function readHardState(options: InspectOptions): Promise<StoredState | null> {
  const { disk, clock, directory } = options
  const file = await HardStateFile.open(readOnlyDisk(disk), clock, directory)
  await file.close()
  return file.state
}

async function readAll(
  log: RaftLog,
  reports: readonly SegmentReport[],
  { progress }: InspectOptions
): Promise<{ badUnits: number; faults: readonly Fault[] }> {
  const { startPosition } = log
  const allBytes = log.endPosition - startPosition
  let badUnits = 0
  let nextIndex = log.firstIndex
  let position = startPosition
  const visit = (entries: readonly Entry[]): void => {
    for (const entry of entries) {
      position = entry.position + entry.bytes.length
      count(reportAt(reports, entry.position), entry)
    }
  }
  log.listen(NOBODY)
  while (nextIndex <= log.lastIndex) {
    const found = await log.verify(nextIndex, STEP_BYTES, visit)
    badUnits += found.mendedUnits
    if (found.nextIndex <= nextIndex) break
    nextIndex = found.nextIndex
    progress?.(position - startPosition, allBytes)
  }
  return { badUnits, faults: [...log.faults.values()].sort((a, b) => a.index - b.index) }
}

const NOBODY = { written() {}, synced() {}, failed() {}, diskFull() {}, damaged() {} }

function emptyReport(firstPosition: number): SegmentReport {
  return {
    name: fileName(firstPosition),
    firstPosition,
    entries: 0,
    messages: 0,
    firstIndex: 0,
    lastIndex: 0,
    firstTerm: 0,
    lastTerm: 0,
    usedBytes: 0,
    faults: []
  }
}

function reportAt(reports: readonly SegmentReport[], position: number): SegmentReport | undefined {
  return reports.findLast(report => report.firstPosition <= position)
}

function count(report: SegmentReport | undefined, entry: Entry): void {
  if (report === undefined) return
  const { index, term, bytes, position } = entry
  if (report.entries === 0) {
    report.firstIndex = index
    report.firstTerm = term
  }
  report.entries += 1
  if (entry.kind === EntryKind.messages) report.messages += entry.count
  report.lastIndex = index
  report.lastTerm = term
  report.usedBytes = position + bytes.length - report.firstPosition
}

async function strangeFiles(disk: Disk, directory: string): Promise<string[]> {
  const strange: string[] = []
  for (const folder of ['data', 'index']) {
    for (const { name } of await disk.list(`${directory}/${folder}`)) {
      if (fileNumber(name) === null && !ORDINARY.includes(name)) strange.push(`${folder}/${name}`)
    }
  }
  return strange
}
