import {
  BLANK_HEADER_BYTES,
  BLANK_MAGIC,
  ENTRY_HEADER_BYTES,
  entryPosition,
  entrySize,
  headerIsSound
} from './entry.ts'
import type { Segment, Segments } from './segments.ts'

/** A write that a kill interrupts has come to the end of a page. */
export const PAGE_BYTES = 4096
const CHUNK_BYTES = 1024 * 1024
const ZEROS = Buffer.alloc(CHUNK_BYTES)

/**
 * Whether what lies behind `end` cannot be what a kill leaves of the write under way. An entry is acknowledged some
 * milliseconds before its index unit is written, so that without a unit a rotten entry and a torn one differ in nothing
 * else: a torn one is all zeros from the end of a page on, within its header if that is not sound. What a cut leaves that
 * was interrupted begins with a header of zeros. Looks no further than `limitBytes` into a segment; not for use after a
 * power loss, which may leave anything.
 */
export async function isNoKilledWrite(
  segments: Segments,
  end: number,
  limitBytes: number
): Promise<boolean> {
  const segment = segments.at(end)
  if (segment === null) return false
  const at = end - segment.firstPosition
  const used = await endOfUse(segments, segment, at, limitBytes)
  const next = segments.next(segment)
  const goesOn = next !== null && (await endOfUse(segments, next, 0, limitBytes)) > 0
  if (used === at) return goesOn
  const header = Buffer.alloc(ENTRY_HEADER_BYTES)
  await read(segments, segment, header, at)
  const isBlank =
    header.readUInt32BE(0) === BLANK_MAGIC && header.readUInt32BE(4) === segments.segmentBytes - at
  if (isBlank) {
    // Pieces of a write go to their segments one after the other: this one was written whole.
    const behind = used > at + BLANK_HEADER_BYTES
    return (
      behind || (next !== null && (await isNoKilledWrite(segments, next.firstPosition, limitBytes)))
    )
  }
  if (header.readUInt32BE(0) === 0) return false
  const sound = headerIsSound(header)
  if (goesOn || (sound && entryPosition(header) !== end)) return true
  const bytes = sound ? entrySize(header) : ENTRY_HEADER_BYTES
  return Math.ceil(used / PAGE_BYTES) * PAGE_BYTES >= at + bytes
}

/** Where in the segment the zeros begin that reach to its end; `from` when there is nothing else behind it. */
async function endOfUse(
  segments: Segments,
  segment: Segment,
  from: number,
  limitBytes: number
): Promise<number> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  const end = Math.min(segment.preparedBytes, from + limitBytes)
  let used = from
  for (let at = from; at < end; at += CHUNK_BYTES) {
    const piece = chunk.subarray(0, Math.min(CHUNK_BYTES, end - at))
    let length = await read(segments, segment, piece, at)
    if (piece.compare(ZEROS, 0, length, 0, length) === 0) continue
    while (piece[length - 1] === 0) length -= 1
    used = at + length
  }
  return used
}

/** Bytes that the file has there; what the disk cannot give is no zeros. */
async function read(
  segments: Segments,
  segment: Segment,
  target: Buffer,
  at: number
): Promise<number> {
  try {
    return await segments.read(segment, target, target.length, at)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
    target.fill(1)
    return target.length
  }
}
