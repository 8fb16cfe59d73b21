import { type Entry, entryBytesMax, entryPrevCrc, positionAfter } from './entry.ts'

/** Where a log ends, and what its next entry has to continue. */
export interface LogEnd {
  readonly lastIndex: number
  readonly lastTerm: number
  readonly lastHeaderCrc: number
  readonly endPosition: number
}

/** Throws unless `entry` is the next one of a log that ends so: its number, its place, the chain of CRCs, the term (raft.md 4.2). */
export function mustContinue(entry: Entry, end: LogEnd, segmentBytes: number): void {
  const { index, position, term, bytes } = entry
  if (index !== end.lastIndex + 1)
    throw new Error(`entry ${index} does not follow ${end.lastIndex}`)
  const expected = positionAfter(end.endPosition, bytes.length, segmentBytes)
  if (position !== expected || bytes.length > entryBytesMax(segmentBytes)) {
    throw new Error(
      `entry ${index} of ${bytes.length} bytes stands at ${position}, it belongs to ${expected}`
    )
  }
  if (entryPrevCrc(bytes) !== end.lastHeaderCrc || term < end.lastTerm) {
    throw new Error(
      `entry ${index} of term ${term} does not continue the chain of ${end.lastIndex} of term ${end.lastTerm}`
    )
  }
}
