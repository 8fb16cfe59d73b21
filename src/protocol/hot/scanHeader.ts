import { BINARY_HEADER_FIXED_BYTES } from '../binaryHeader.ts'
import { getInt16, getInt32, getUint16 } from '../bytes.ts'
import { SerializeType } from '../command.ts'
import type { Frame } from '../frame.ts'
import type { HotHeader } from './hotHeader.ts'
import { scanJsonHeader } from './scanJson.ts'

/**
 * Fills `into` from the frame's header. False means: take the general way (`decodeCommand`), which knows every form and says what is wrong;
 * `into` is then undefined.
 */
export function scanHeader(frame: Frame, into: HotHeader): boolean {
  into.reset()
  into.serializeType = frame.serializeType
  const scanned =
    frame.serializeType === SerializeType.ROCKETMQ
      ? scanBinary(frame, into)
      : scanJsonHeader(frame.bytes, frame.headerAt, frame.bodyAt, into)
  return scanned && into.complete()
}

function scanBinary(frame: Frame, into: HotHeader): boolean {
  const bytes = frame.bytes
  const end = frame.bodyAt
  let at = frame.headerAt
  if (end - at < BINARY_HEADER_FIXED_BYTES) return false
  into.code = getInt16(bytes, at)
  into.language = bytes[at + 2]!
  into.version = getInt16(bytes, at + 3)
  into.opaque = getInt32(bytes, at + 5)
  into.commandFlag = getInt32(bytes, at + 9)
  const remarkBytes = getInt32(bytes, at + 13)
  at += 17
  if (remarkBytes < 0 || at + remarkBytes + 4 > end) return false
  at += remarkBytes
  const mapEnd = at + 4 + getInt32(bytes, at)
  at += 4
  if (mapEnd < at || mapEnd > end) return false
  while (at < mapEnd) {
    if (at + 6 > mapEnd) return false
    const keyBytes = getUint16(bytes, at)
    const keyAt = at + 2
    if (keyAt + keyBytes + 4 > mapEnd) return false
    const valueBytes = getInt32(bytes, keyAt + keyBytes)
    const valueAt = keyAt + keyBytes + 4
    at = valueAt + valueBytes
    if (valueBytes < 0 || at > mapEnd) return false
    // An empty value counts as absent; where it might take an earlier one away the general way decides.
    if (valueBytes === 0) return false
    if (!into.setField(bytes, keyAt, keyBytes, bytes, valueAt, valueBytes)) return false
  }
  return true
}
