import * as zlib from 'node:zlib'
import { MessageSysFlag } from '../protocol/index.ts'
import { badArgument } from './errors.ts'
import { decodeLz4Frame } from './lz4.ts'

/** Unpacked bodies larger than this are not made: a few bytes can claim gigabytes. */
const BODY_BYTES_MAX = 64 * 1_048_576
/** Compressions of message bodies; clients before 5.0 know zlib only. */
export type Compression = 'ZLIB' | 'LZ4' | 'ZSTD'

/** What the bits of the flag say; 0 is what clients before 5.0 wrote. */
const KINDS: readonly Compression[] = ['ZLIB', 'LZ4', 'ZSTD', 'ZLIB']

/** There from Node.js 22.15 on. */
const zstd = zlib as unknown as {
  zstdCompressSync?: (data: Uint8Array, options: object) => Buffer
  zstdDecompressSync?: (data: Uint8Array, options: { maxOutputLength: number }) => Buffer
}
const ZSTD_LEVEL_PARAMETER = 100

/** How bodies are packed before they are sent. */
export interface Compressor {
  readonly sysFlag: number
  pack(body: Buffer): Buffer
}

/** `level`: 0 to 9 for zlib, 1 to 22 for zstd. Throws BAD_ARGUMENT for other levels, and for zstd where Node.js lacks it. */
export function compressorOf(kind: 'zlib' | 'zstd', level: number): Compressor {
  const [least, most] = kind === 'zlib' ? [0, 9] : [1, 22]
  if (!Number.isInteger(level) || level < least || level > most) {
    throw badArgument(`compressLevel of ${kind} must be ${least} to ${most}, not ${level}`)
  }
  if (kind === 'zlib') {
    return {
      sysFlag: MessageSysFlag.compressed | MessageSysFlag.compressionZlib,
      pack: body => zlib.deflateSync(body, { level })
    }
  }
  const pack = zstd.zstdCompressSync
  if (pack === undefined) throw badArgument('zstd needs Node.js 22.15 or later')
  return {
    sysFlag: MessageSysFlag.compressed | MessageSysFlag.compressionZstd,
    pack: body => pack(body, { params: { [ZSTD_LEVEL_PARAMETER]: level } })
  }
}

/** The body in plain; `undecoded` names a compression that could not be undone: then the body is as it came. */
export function unpackBody(
  body: Buffer,
  sysFlag: number
): { body: Buffer; undecoded: Compression | null } {
  if ((sysFlag & MessageSysFlag.compressed) === 0) return { body, undecoded: null }
  const kind = KINDS[(sysFlag & MessageSysFlag.compressionMask) >> 8] ?? 'ZLIB'
  try {
    return { body: unpack(kind, body), undecoded: null }
  } catch {
    // The sender's damage is the consumer's to judge; losing the message would be worse.
    return { body, undecoded: kind }
  }
}

function unpack(kind: Compression, body: Buffer): Buffer {
  if (kind === 'LZ4') return decodeLz4Frame(body, BODY_BYTES_MAX)
  const limit = { maxOutputLength: BODY_BYTES_MAX }
  if (kind === 'ZLIB') return zlib.inflateSync(body, limit)
  if (zstd.zstdDecompressSync === undefined) throw new Error('this Node.js has no zstd')
  return zstd.zstdDecompressSync(body, limit)
}
