import { crc32 } from 'node:zlib'
import type { Configuration, SnapshotFacts } from '../core/index.ts'
import { BLANK_HEADER_BYTES, ENTRY_HEADER_BYTES } from './entry.ts'
import type { LogStart, RaftLog } from './types.ts'

/**
 * What a snapshot consists of (R-S): the segments of the log from its start to the entry `index`, as they stand on the disk,
 * and one file with the state that was derived from them. Written as JSON behind a CRC: on the wire behind the offer, on
 * the disk beside the copy.
 *
 *    0  u32  crc   over the rest
 *    4       JSON
 */
export interface Manifest extends SnapshotFacts {
  readonly version: 1
  readonly segmentBytes: number
  /** The last entry before the log that is shipped. */
  readonly start: LogStart
  /** End of the entry `index`. */
  readonly endPosition: number
  /** One behind the other, from `start.position` on. */
  readonly segments: readonly CopiedSegment[]
  readonly stateBytes: number
  readonly stateCrc: number
  /** The members at `index`, and the entry that made them so; 0: the founders. */
  readonly configurationIndex: number
  readonly configuration: Configuration
}

/** The part of a segment that is shipped; two nodes that agree on its last header CRC have the same bytes. */
export interface CopiedSegment {
  readonly firstPosition: number
  readonly firstIndex: number
  readonly lastIndex: number
  readonly lastHeaderCrc: number
  /** From the segment's beginning to the end of its last entry, and the blank record if that is not the log's last one. */
  readonly bytes: number
}

/** Some 70 bytes a segment: 100 TB of log in segments of 1 GiB. */
const MANIFEST_BYTES_MAX = 8 * 1024 * 1024

export function encodeManifest(manifest: Manifest): Buffer {
  const json = Buffer.from(JSON.stringify(manifest))
  const bytes = Buffer.alloc(4 + json.length)
  json.copy(bytes, 4)
  bytes.writeUInt32BE(crc32(json), 0)
  return bytes
}

/** Null: this is no manifest that this program understands, or it contradicts itself. */
export function decodeManifest(bytes: Buffer): Manifest | null {
  if (bytes.length < 4 || bytes.length > MANIFEST_BYTES_MAX) return null
  const json = bytes.subarray(4)
  if (crc32(json) !== bytes.readUInt32BE(0)) return null
  let manifest: Manifest
  try {
    manifest = JSON.parse(json.toString('utf8')) as Manifest
    return isConsistent(manifest) ? manifest : null
  } catch {
    return null
  }
}

/** A manifest comes from a member; what it says must still add up before a byte is written for it. */
function isConsistent(m: Manifest): boolean {
  const { start, segments, segmentBytes } = m
  const numbers = [
    m.index,
    m.indexTerm,
    m.headerCrc,
    segmentBytes,
    m.endPosition,
    m.stateBytes,
    m.stateCrc,
    m.configurationIndex,
    start.index,
    start.term,
    start.headerCrc,
    start.position
  ]
  if (m.version !== 1 || typeof m.snapshotId !== 'string') return false
  if (!numbers.every(isCount) || !Array.isArray(m.configuration.members)) return false
  if (start.position % segmentBytes !== 0 || segments.length === 0) return false
  let position = start.position
  let index = start.index
  for (const [at, segment] of segments.entries()) {
    const { firstPosition, firstIndex, lastIndex, lastHeaderCrc, bytes } = segment
    if (![firstPosition, firstIndex, lastIndex, lastHeaderCrc, bytes].every(isCount)) return false
    if (firstPosition !== position || firstIndex !== index + 1 || lastIndex < firstIndex)
      return false
    if (bytes < ENTRY_HEADER_BYTES || bytes > segmentBytes) return false
    const isLast = at === segments.length - 1
    if (isLast && (lastIndex !== m.index || lastHeaderCrc !== m.headerCrc)) return false
    if (isLast && firstPosition + bytes !== m.endPosition) return false
    position += segmentBytes
    index = lastIndex
  }
  return true
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

export function manifestBytes(manifest: Manifest): number {
  let bytes = manifest.stateBytes
  for (const segment of manifest.segments) bytes += segment.bytes
  return bytes
}

/** The log up to the entry `index`, as a manifest names it. Rejects with a sentence when this log cannot give it. */
export async function logPart(
  log: RaftLog,
  index: number,
  segmentBytes: number
): Promise<Pick<Manifest, 'start' | 'segments' | 'endPosition' | 'headerCrc' | 'indexTerm'>> {
  const { start } = log.hardState
  if (index <= start.index) throw new Error(`its log holds nothing up to entry ${index}`)
  for (const fault of log.faults.keys())
    if (fault <= index) throw new Error(`its own entry ${fault} is damaged`)
  const infos = log.segments().filter(info => info.firstIndex > 0 && info.firstIndex <= index)
  const segments: CopiedSegment[] = []
  let endPosition = 0
  for (const [at, { firstPosition, firstIndex }] of infos.entries()) {
    const next = infos[at + 1]
    const lastIndex = next === undefined ? index : next.firstIndex - 1
    const place = await log.shipping.placeOf(lastIndex)
    endPosition = place.position + place.sizeBytes
    const used = endPosition - firstPosition
    const bytes = next === undefined ? used : Math.min(segmentBytes, used + BLANK_HEADER_BYTES)
    segments.push({ firstPosition, firstIndex, lastIndex, lastHeaderCrc: place.headerCrc, bytes })
  }
  const last = segments.at(-1)
  const indexTerm = log.termAt(index)
  if (last === undefined || segments[0]?.firstPosition !== start.position || indexTerm === null)
    throw new Error('its log was trimmed meanwhile')
  return { start, segments, endPosition, headerCrc: last.lastHeaderCrc, indexTerm }
}
