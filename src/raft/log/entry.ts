import { crc32 } from 'node:zlib'
import { BLANK_BYTES } from '../core/index.ts'

/** The rule of places is the core's: leader, followers and files must agree on it. */
export { entryPosition as positionAfter } from '../core/index.ts'

/**
 * One entry of the log: a batch, 64 bytes of header and the body, big-endian (raft.md 4.2).
 *
 *    0  u32  magic
 *    4  u32  size        header + body
 *    8  u64  index       from 1; 0 means "nothing"
 *   16  u64  term        never lower than the one before
 *   24  u64  position    of this header in the log, the same on all replicas
 *   32  u8   kind        EntryKind
 *   33  u8   version     1
 *   34  u16  flags
 *   36  u32  count       messages or commands in the body
 *   40  u32  bodyCrc     CRC-32, IEEE
 *   44  u32  prevCrc     headerCrc of the entry before: a chain, 0 before the first
 *   48  u64  timeMs
 *   56  u32  reserved    0
 *   60  u32  headerCrc   over bytes 0-59
 *
 * The last bytes of a segment that no entry fits in are blank: magic 4, length 4, then zeros.
 */
export const ENTRY_HEADER_BYTES = 64
/** Largest entry that a log takes, header included (raft.md 4.2). */
export const ENTRY_BYTES_MAX = 16 * 1024 * 1024
export const ENTRY_MAGIC = 0x4c444d51
const ENTRY_VERSION = 1
export const BLANK_MAGIC = 0x4c444d42
export const BLANK_HEADER_BYTES: number = BLANK_BYTES

export const EntryKind = { messages: 1, commands: 2, configuration: 3, noop: 4 } as const
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind]

/** `bytes` is header and body in one piece; the other fields are those of the header. */
export interface Entry {
  readonly index: number
  readonly term: number
  /** Of the header, bytes from the beginning of the log. */
  readonly position: number
  readonly kind: EntryKind
  readonly flags: number
  readonly count: number
  readonly timeMs: number
  readonly bytes: Buffer
}

export interface EntryHeader {
  readonly index: number
  readonly term: number
  readonly position: number
  readonly kind: EntryKind
  readonly flags: number
  readonly count: number
  readonly timeMs: number
  /** `headerCrc` of the entry before. */
  readonly prevCrc: number
}

const TWO_32 = 4_294_967_296

export function getUint64(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at) * TWO_32 + buffer.readUInt32BE(at + 4)
}

export function putUint64(buffer: Buffer, value: number, at: number): void {
  buffer.writeUInt32BE(Math.floor(value / TWO_32), at)
  buffer.writeUInt32BE(value % TWO_32, at + 4)
}

export const entryMagic = (b: Buffer, at = 0): number => b.readUInt32BE(at)
export const entrySize = (b: Buffer, at = 0): number => b.readUInt32BE(at + 4)
export const entryIndex = (b: Buffer, at = 0): number => getUint64(b, at + 8)
export const entryTerm = (b: Buffer, at = 0): number => getUint64(b, at + 16)
export const entryPosition = (b: Buffer, at = 0): number => getUint64(b, at + 24)
const entryKind = (b: Buffer, at = 0): number => b.readUInt8(at + 32)
export const entryBodyCrc = (b: Buffer, at = 0): number => b.readUInt32BE(at + 40)
export const entryPrevCrc = (b: Buffer, at = 0): number => b.readUInt32BE(at + 44)
export const entryTimeMs = (b: Buffer, at = 0): number => getUint64(b, at + 48)
export const entryHeaderCrc = (b: Buffer, at = 0): number => b.readUInt32BE(at + 60)

/**
 * Writes the header into the first 64 bytes of `bytes`, whose rest is the finished body, and returns the entry.
 * Everything that stands in the body (physical offsets, store times) must be there already: its CRC is taken here.
 */
export function sealEntry(bytes: Buffer, header: EntryHeader): Entry {
  bytes.writeUInt32BE(ENTRY_MAGIC, 0)
  bytes.writeUInt32BE(bytes.length, 4)
  putUint64(bytes, header.index, 8)
  putUint64(bytes, header.term, 16)
  putUint64(bytes, header.position, 24)
  bytes.writeUInt8(header.kind, 32)
  bytes.writeUInt8(ENTRY_VERSION, 33)
  bytes.writeUInt16BE(header.flags, 34)
  bytes.writeUInt32BE(header.count, 36)
  bytes.writeUInt32BE(crc32(bytes.subarray(ENTRY_HEADER_BYTES)), 40)
  bytes.writeUInt32BE(header.prevCrc, 44)
  putUint64(bytes, header.timeMs, 48)
  bytes.writeUInt32BE(0, 56)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 60)), 60)
  return decodeEntry(bytes)
}

/** The header's fields beside `bytes`, unchecked: for bytes that were verified. */
export function decodeEntry(bytes: Buffer): Entry {
  return {
    index: getUint64(bytes, 8),
    term: getUint64(bytes, 16),
    position: getUint64(bytes, 24),
    kind: bytes.readUInt8(32) as EntryKind,
    flags: bytes.readUInt16BE(34),
    count: bytes.readUInt32BE(36),
    timeMs: getUint64(bytes, 48),
    bytes
  }
}

/** Whether 64 bytes at `at` are a header that was written as such: magic, version, kind, size, CRC. */
export function headerIsSound(buffer: Buffer, at = 0): boolean {
  if (at + ENTRY_HEADER_BYTES > buffer.length) return false
  if (buffer.readUInt32BE(at) !== ENTRY_MAGIC) return false
  if (crc32(buffer.subarray(at, at + 60)) !== buffer.readUInt32BE(at + 60)) return false
  const size = entrySize(buffer, at)
  const kind = entryKind(buffer, at)
  return (
    buffer.readUInt8(at + 33) === ENTRY_VERSION &&
    kind >= EntryKind.messages &&
    kind <= EntryKind.noop &&
    size >= ENTRY_HEADER_BYTES &&
    size <= ENTRY_BYTES_MAX
  )
}

/** Whether the body behind a sound header at `at` is whole and has the header's CRC. */
export function bodyIsSound(buffer: Buffer, at = 0): boolean {
  const end = at + entrySize(buffer, at)
  return (
    end <= buffer.length &&
    crc32(buffer.subarray(at + ENTRY_HEADER_BYTES, end)) === entryBodyCrc(buffer, at)
  )
}

/** Whether `bytes` is exactly one sound entry. */
export function entryIsSound(bytes: Buffer): boolean {
  return headerIsSound(bytes) && entrySize(bytes) === bytes.length && bodyIsSound(bytes)
}

/** Largest entry that fits into a segment of this size. */
export function entryBytesMax(segmentBytes: number): number {
  return Math.min(ENTRY_BYTES_MAX, segmentBytes - BLANK_HEADER_BYTES)
}
