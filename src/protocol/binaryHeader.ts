import { getInt16, getInt32, putInt16, putInt32 } from './bytes.ts'
import type { RemotingCommand } from './command.ts'
import { ProtocolError } from './errors.ts'

/**
 * The ROCKETMQ binary header (remoting.md 1.6.2), big-endian:
 *    0  i16  code           greater codes are cut
 *    2  u8   language
 *    3  i16  version
 *    5  i32  opaque
 *    9  i32  flag
 *   13  i32  remarkLength   0: no remark
 *   17       remark, UTF-8
 *       i32  extFieldsLength, bytes of all entries, 0: none
 *            entries: i16 key length, key, i32 value length, value; an empty value reads as absent
 */
export const BINARY_HEADER_FIXED_BYTES = 21

export function readBinaryHeader(header: Buffer): Omit<RemotingCommand, 'body' | 'serializeType'> {
  if (header.length < BINARY_HEADER_FIXED_BYTES)
    throw bad(`binary header of ${header.length} bytes`)
  const remarkBytes = getInt32(header, 13)
  const mapLengthAt = 17 + remarkBytes
  if (remarkBytes < 0 || mapLengthAt + 4 > header.length)
    throw bad(`remark of ${remarkBytes} bytes`)
  const mapBytes = getInt32(header, mapLengthAt)
  const mapAt = mapLengthAt + 4
  if (mapBytes < 0 || mapAt + mapBytes > header.length) throw bad(`extFields of ${mapBytes} bytes`)
  return {
    code: getInt16(header, 0),
    language: header[2]!,
    version: getInt16(header, 3),
    opaque: getInt32(header, 5),
    flag: getInt32(header, 9),
    remark: remarkBytes === 0 ? null : header.toString('utf8', 17, mapLengthAt),
    extFields: mapBytes === 0 ? null : readEntries(header, mapAt, mapAt + mapBytes)
  }
}

function readEntries(header: Buffer, from: number, end: number): Record<string, string> {
  const fields: Record<string, string> = {}
  let at = from
  while (at < end) {
    const valueLengthAt = at + 2 + (at + 2 <= end ? getInt16(header, at) : 0)
    if (valueLengthAt < at + 2 || valueLengthAt + 4 > end)
      throw bad('a key of extFields runs past its end')
    const valueBytes = getInt32(header, valueLengthAt)
    const valueAt = valueLengthAt + 4
    if (valueBytes < 0 || valueAt + valueBytes > end)
      throw bad('a value of extFields runs past its end')
    const key = header.toString('utf8', at + 2, valueLengthAt)
    // A later entry wins, and an empty one takes an earlier one away, as in the original.
    if (valueBytes > 0) fields[key] = header.toString('utf8', valueAt, valueAt + valueBytes)
    else delete fields[key]
    at = valueAt + valueBytes
  }
  return fields
}

/** Writes the header behind `prefixBytes` of room for the frame's prefix. */
export function writeBinaryHeader(command: RemotingCommand, prefixBytes: number): Buffer {
  const fields = command.extFields ?? {}
  const keys = Object.keys(fields)
  const remarkBytes = command.remark === null ? 0 : Buffer.byteLength(command.remark)
  let mapBytes = 0
  for (const key of keys) mapBytes += 6 + Buffer.byteLength(key) + Buffer.byteLength(fields[key]!)
  const target = Buffer.allocUnsafe(
    prefixBytes + BINARY_HEADER_FIXED_BYTES + remarkBytes + mapBytes
  )
  let at = prefixBytes
  putInt16(target, at, command.code)
  target[at + 2] = command.language
  putInt16(target, at + 3, command.version)
  putInt32(target, at + 5, command.opaque)
  putInt32(target, at + 9, command.flag)
  putInt32(target, at + 13, remarkBytes)
  at += 17
  if (command.remark !== null) at += target.write(command.remark, at)
  putInt32(target, at, mapBytes)
  at += 4
  for (const key of keys) {
    const keyBytes = target.write(key, at + 2)
    if (keyBytes > 32_767) throw new RangeError(`header key of ${keyBytes} bytes, limit 32767`)
    putInt16(target, at, keyBytes)
    at += 2 + keyBytes
    const valueBytes = target.write(fields[key]!, at + 4)
    putInt32(target, at, valueBytes)
    at += 4 + valueBytes
  }
  return target
}

function bad(what: string): ProtocolError {
  return new ProtocolError('LMQ_BAD_FRAME', `${what}: the binary header is broken`)
}
