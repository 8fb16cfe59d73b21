import { deflateSync, inflateSync } from 'node:zlib'
import { ProtocolError } from './errors.ts'
import { MessageSysFlag } from './sysFlags.ts'

/** From this size on clients compress bodies (remoting.md 4.2). */
export const COMPRESS_BODY_OVER_BYTES = 4096
const ZLIB_LEVEL = 5

/** Zlib stream of a body; its message carries `COMPRESSED_SYS_FLAG`. */
export function compressBody(body: Uint8Array): Buffer {
  return deflateSync(body, { level: ZLIB_LEVEL })
}

export const COMPRESSED_SYS_FLAG = MessageSysFlag.compressed | MessageSysFlag.compressionZlib

/**
 * The body in plain. Not compressed: as it is. Throws ProtocolError LMQ_BAD_BODY when it is broken, larger than `maxBytes` when unpacked,
 * or of a kind other than zlib.
 */
export function plainBody(body: Buffer, sysFlag: number, maxBytes: number): Buffer {
  if ((sysFlag & MessageSysFlag.compressed) === 0) return body
  const kind = sysFlag & MessageSysFlag.compressionMask
  if (kind !== 0 && kind !== MessageSysFlag.compressionZlib)
    throw new ProtocolError(
      'LMQ_BAD_BODY',
      `compression type ${kind >> 8} is not supported, only zlib`
    )
  return inflateLimited(body, maxBytes)
}

/** Unpacks a zlib stream of at most `maxBytes` plain bytes. */
export function inflateLimited(packed: Uint8Array, maxBytes: number): Buffer {
  try {
    return inflateSync(packed, { maxOutputLength: maxBytes })
  } catch (error) {
    // biome-ignore lint/style/useErrorCause: the cause is there, as the third argument
    throw new ProtocolError(
      'LMQ_BAD_BODY',
      `the zlib stream is broken or has over ${maxBytes} bytes`,
      { cause: error }
    )
  }
}
