import { ENTRY_HEADER_BYTES, type Entry, entryBodyCrc, entryHeaderCrc } from './entry.ts'
import { DamagedEntryError, LogError, TrimmedError } from './errors.ts'
import { getUnit, type IndexFile, UNIT_BYTES, type Unit } from './indexFile.ts'
import { ignoreNoSpace } from './noSpace.ts'
import type { EntryReader } from './reader.ts'
import type { VerifiedRange } from './types.ts'

export interface VerifyHost {
  readonly index: IndexFile
  readonly faults: ReadonlyMap<number, unknown>
  readonly firstIndex: number
  readonly writtenIndex: number
  /** Counts cuts: what was read across one proves nothing. */
  readonly cuts: number
}

export interface VerifyRequest {
  readonly fromIndex: number
  readonly maxBytes: number
  /** Told of all that are sound, in order. */
  visit(entries: readonly Entry[]): void
}

/**
 * Reads written entries and their index units from the disk itself, whatever memory holds, and tells the log of damage as
 * any reader does. A bad unit is written again from its entry.
 */
export async function verifyRange(
  host: VerifyHost,
  reader: EntryReader,
  { fromIndex, maxBytes, visit }: VerifyRequest
): Promise<VerifiedRange> {
  let nextIndex = Math.max(fromIndex, host.firstIndex)
  let bytes = 0
  let damagedEntries = 0
  let mendedUnits = 0
  while (bytes < maxBytes && nextIndex <= host.writtenIndex) {
    if (host.faults.has(nextIndex)) {
      damagedEntries += 1
      nextIndex += 1
      continue
    }
    const { cuts } = host
    let entries: readonly Entry[]
    try {
      entries = await reader.entriesFrom(nextIndex, maxBytes - bytes)
    } catch (error) {
      if (error instanceof TrimmedError) nextIndex = Math.max(nextIndex + 1, host.firstIndex)
      else if (error instanceof DamagedEntryError) {
        damagedEntries += 1
        bytes += ENTRY_HEADER_BYTES
        nextIndex += 1
      } else if (error instanceof LogError && cuts !== host.cuts) break
      else throw error
      continue
    }
    for (const entry of entries) bytes += entry.bytes.length
    visit(entries)
    mendedUnits += await mendUnits(host, entries, cuts)
    nextIndex += entries.length
  }
  return { nextIndex, bytes, damagedEntries, mendedUnits }
}

async function mendUnits(
  host: VerifyHost,
  entries: readonly Entry[],
  cuts: number
): Promise<number> {
  const first = entries[0]!.index
  const count = Math.min(entries.length, host.index.writtenIndex - first + 1)
  if (count <= 0) return 0
  const raw = await host.index.readRaw(first, count)
  let mended = 0
  for (let i = 0; i < count; i++) {
    const { index, position, term, bytes } = entries[i]!
    const unit: Unit = {
      position,
      term,
      sizeBytes: bytes.length,
      headerCrc: entryHeaderCrc(bytes),
      bodyCrc: entryBodyCrc(bytes)
    }
    const found = getUnit(raw, i * UNIT_BYTES, index)
    const isSame = found?.headerCrc === unit.headerCrc && found.position === position
    if (isSame && found.bodyCrc === unit.bodyCrc) continue
    if (cuts !== host.cuts || index < host.firstIndex) return mended
    await host.index.rewrite(index, unit).catch(ignoreNoSpace)
    mended += 1
  }
  return mended
}
