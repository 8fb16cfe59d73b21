/**
 * What is needed of LevelDB's file formats (its docs: table_format.md, log_format.md, impl.md) to see whether files are
 * what was written: LevelDB itself looks at checksums of tables only when told to, which its binding for Node.js cannot,
 * and skips a bad record of its log without a word.
 */
const CRC32C_POLYNOMIAL = 0x82f63b78
const MASK_DELTA = 0xa282ead8

const CRC_TABLES = crcTables()

function crcTables(): Uint32Array[] {
  const first = new Uint32Array(256)
  for (let i = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC32C_POLYNOMIAL : crc >>> 1
    first[i] = crc >>> 0
  }
  const tables = [first]
  for (let n = 1; n < 4; n++) {
    const before = tables[n - 1]!
    tables.push(before.map(crc => (crc >>> 8) ^ first[crc & 0xff]!))
  }
  return tables
}

/** CRC-32C, four bytes a step. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  const [t0, t1, t2, t3] = CRC_TABLES as [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  let crc = 0xffffffff
  let at = from
  for (; at + 4 <= to; at += 4) {
    const word =
      crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc = t3[word & 0xff]! ^ t2[(word >>> 8) & 0xff]! ^ t1[(word >>> 16) & 0xff]! ^ t0[word >>> 24]!
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

/** As LevelDB stores it: a CRC over bytes that hold CRCs would be a bad one. */
export function maskedCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0
}

/** Reads varints and length-prefixed bytes, one behind the other. Throws RangeError at the end. */
export class VarintReader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get isAtEnd(): boolean {
    return this.at >= this.bytes.length
  }

  number(): number {
    let value = 0
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.bytes.readUInt8(this.at++)
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
    throw new RangeError('a number is too long')
  }

  slice(): Buffer {
    const length = this.number()
    this.at += length
    if (this.at > this.bytes.length) throw new RangeError('a slice reaches over the end')
    return this.bytes.subarray(this.at - length, this.at)
  }
}

/** Snappy's raw format. Throws RangeError on bytes that are none. */
export function unsnappy(input: Buffer): Buffer {
  const reader = new VarintReader(input)
  const output = Buffer.allocUnsafe(reader.number())
  let at = reader.at
  let done = 0
  while (at < input.length) {
    const tag = input.readUInt8(at++)
    const kind = tag & 3
    if (kind === 0) {
      let length = tag >> 2
      if (length >= 60) {
        const bytes = length - 59
        length = input.readUIntLE(at, bytes)
        at += bytes
      }
      length += 1
      if (at + length > input.length || done + length > output.length) {
        throw new RangeError('a literal reaches over the end')
      }
      done += input.copy(output, done, at, at + length)
      at += length
      continue
    }
    let length = (tag >> 2) + 1
    let back: number
    if (kind === 1) {
      length = ((tag >> 2) & 7) + 4
      back = ((tag >> 5) << 8) | input.readUInt8(at++)
    } else {
      const bytes = kind === 2 ? 2 : 4
      back = input.readUIntLE(at, bytes)
      at += bytes
    }
    if (back === 0 || back > done || done + length > output.length) {
      throw new RangeError('a copy reaches over the end')
    }
    for (let i = 0; i < length; i++, done++) output[done] = output[done - back]!
  }
  if (done !== output.length) throw new RangeError('the bytes end early')
  return output
}

const LOG_BLOCK_BYTES = 32_768
const LOG_HEADER_BYTES = 7
const RecordType = { zero: 0, full: 1, first: 2, middle: 3, last: 4 } as const

export interface LevelLogRecord {
  /** Where its first part begins. */
  readonly at: number
  readonly bytes: Buffer
}

export interface LevelLog {
  readonly records: readonly LevelLogRecord[]
  /** Where the first bad part begins; -1: none. Zeros, and a part that the file's end cuts off, are an end and not bad. */
  readonly badAt: number
  /** Whole records stand behind the bad part. */
  readonly goesOn: boolean
}

/** The records of a log or a manifest. */
export function readLevelLog(file: Buffer): LevelLog {
  const records: LevelLogRecord[] = []
  let badAt = -1
  let goesOn = false
  let parts: Buffer[] = []
  let recordAt = 0
  for (let at = 0; at + LOG_HEADER_BYTES <= file.length; ) {
    const blockEnd = at - (at % LOG_BLOCK_BYTES) + LOG_BLOCK_BYTES
    if (blockEnd - at < LOG_HEADER_BYTES) {
      at = blockEnd
      continue
    }
    const length = file.readUInt16LE(at + 4)
    const type = file.readUInt8(at + 6)
    const end = at + LOG_HEADER_BYTES + length
    if (type === RecordType.zero && length === 0) {
      // Behind zeros there may be more: pages of an unsynced file come to the disk in any order.
      const isEnd = file.subarray(at).every(byte => byte === 0)
      if (badAt === -1 && !isEnd) badAt = parts.length > 0 ? recordAt : at
      parts = []
      at = blockEnd
      continue
    }
    if (end > file.length && end <= blockEnd) break
    const isSound =
      end <= blockEnd &&
      type <= RecordType.last &&
      maskedCrc(crc32c(file, at + 6, end)) === file.readUInt32LE(at)
    const continues = type === RecordType.middle || type === RecordType.last
    if (!isSound || continues !== parts.length > 0) {
      if (badAt === -1) badAt = parts.length > 0 ? recordAt : at
      if (!isSound) {
        parts = []
        at = blockEnd
        continue
      }
      parts = []
      if (continues) {
        at = end
        continue
      }
    }
    if (parts.length === 0) recordAt = at
    parts.push(file.subarray(at + LOG_HEADER_BYTES, end))
    at = end
    if (type !== RecordType.full && type !== RecordType.last) continue
    if (badAt === -1) records.push({ at: recordAt, bytes: Buffer.concat(parts) })
    else goesOn = true
    parts = []
  }
  return { records, badAt, goesOn }
}
