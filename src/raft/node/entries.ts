/** The payload of an Append or a RepairReply: entries as they stand on the disk. */
import type { EntrySummary, Message } from '../core/index.ts'
import {
  decodeEntry,
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  entryHeaderCrc,
  entryIsSound,
  entryPrevCrc,
  entrySize
} from '../log/index.ts'
import { decodeConfiguration, WireError } from '../wire/index.ts'

export interface ReceivedEntries {
  /** Views of the payload. */
  entries: Entry[]
  summaries: EntrySummary[]
}

const NOTHING: ReceivedEntries = { entries: [], summaries: [] }

/**
 * Cuts the payload into `count` entries, the first with `firstIndex`, and verifies each: header and
 * body CRC, index, the chain among them. Throws WireError.
 */
export function receiveEntries(
  payload: Buffer,
  firstIndex: number,
  count: number
): ReceivedEntries {
  if (count === 0 && payload.length === 0) return NOTHING
  const entries: Entry[] = []
  const summaries: EntrySummary[] = []
  let at = 0
  let before: Entry | null = null
  while (at < payload.length) {
    const size = at + ENTRY_HEADER_BYTES <= payload.length ? entrySize(payload, at) : 0
    if (size < ENTRY_HEADER_BYTES || at + size > payload.length) {
      throw new WireError(`the entries end in the middle of one, ${payload.length - at} bytes left`)
    }
    const bytes = payload.subarray(at, at + size)
    const expected = firstIndex + entries.length
    if (!entryIsSound(bytes)) throw new WireError(`entry ${expected} came damaged`)
    const entry = decodeEntry(bytes)
    if (entry.index !== expected) {
      throw new WireError(`entry ${entry.index} came where ${expected} belongs`)
    }
    if (before !== null && entryPrevCrc(bytes) !== entryHeaderCrc(before.bytes)) {
      throw new WireError(`entry ${entry.index} does not continue the one before`)
    }
    entries.push(entry)
    summaries.push(summaryOf(entry))
    before = entry
    at += size
  }
  if (entries.length !== count) {
    throw new WireError(`${entries.length} entries came where ${count} were announced`)
  }
  return { entries, summaries }
}

/** What a message brings behind its header, verified; nothing for most. Throws WireError. */
export function entriesOf(message: Message, payload: Buffer): ReceivedEntries {
  switch (message.type) {
    case 'append':
      return receiveEntries(payload, message.prevIndex + 1, message.count)
    case 'repairReply':
      return payload.length > 0 ? receiveEntries(payload, message.index, 1) : NOTHING
    default:
      return NOTHING
  }
}

/** Throws WireError when a configuration does not parse. */
function summaryOf(entry: Entry): EntrySummary {
  return {
    index: entry.index,
    term: entry.term,
    positionBytes: entry.position,
    sizeBytes: entry.bytes.length,
    headerCrc: entryHeaderCrc(entry.bytes),
    prevCrc: entryPrevCrc(entry.bytes),
    kind: entry.kind,
    configuration:
      entry.kind === EntryKind.configuration
        ? decodeConfiguration(entry.bytes.subarray(ENTRY_HEADER_BYTES))
        : null
  }
}
