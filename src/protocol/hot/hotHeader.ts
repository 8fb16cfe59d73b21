import { BINARY_HEADER_FIXED_BYTES } from '../binaryHeader.ts'
import { getInt16, getInt32, getUint16 } from '../bytes.ts'
import { SerializeType } from '../command.ts'
import type { Frame } from '../frame.ts'
import { languageCode } from '../languageCodes.ts'
import { InternTable } from './internTable.ts'
import { JsonCursor } from './jsonCursor.ts'

/**
 * A header that is filled from a frame's bytes without building a command: one pass, no allocation. The object is reused; what it says is
 * valid until the next scan into it, and while the frame's bytes stand.
 */
export abstract class HotHeader {
  code = 0
  language = 0
  version = 0
  opaque = 0
  /** CommandFlag bits of the frame. */
  commandFlag = 0
  serializeType = 0

  /** Sets all custom fields to their defaults. */
  abstract reset(): void
  /** One custom field; the value's bytes are unescaped. False: the value does not parse, take the general way. */
  abstract setField(
    bytes: Buffer,
    keyAt: number,
    keyBytes: number,
    valueAt: number,
    valueBytes: number
  ): boolean
  /** False: a required field is missing. */
  abstract complete(): boolean

  get oneway(): boolean {
    return (this.commandFlag & 2) !== 0
  }
}

/** Names of topics and groups, shared by all hot headers. */
export const names = new InternTable(4096)

/**
 * Fills `into` from the frame's header. False means: take the general way (`decodeCommand`), which knows every form and says what is wrong;
 * `into` is then undefined.
 */
export function scanHeader(frame: Frame, into: HotHeader): boolean {
  into.reset()
  into.serializeType = frame.serializeType
  const scanned =
    frame.serializeType === SerializeType.ROCKETMQ ? scanBinary(frame, into) : scanJson(frame, into)
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
    if (!into.setField(bytes, keyAt, keyBytes, valueAt, valueBytes)) return false
  }
  return true
}

const cursor = new JsonCursor()

function scanJson(frame: Frame, into: HotHeader): boolean {
  cursor.open(frame.bytes, frame.headerAt, frame.bodyAt)
  into.code = 0
  into.language = 0
  into.version = 0
  into.opaque = 0
  into.commandFlag = 0
  if (!cursor.enterObject()) return false
  let seen = false
  while (cursor.nextKey()) {
    switch (names.text(cursor.bytes, cursor.keyAt, cursor.keyBytes)) {
      case 'extFields':
        if (seen || !scanExtFields(into)) return false
        seen = true
        break
      case 'language':
        if (!cursor.readString()) return false
        into.language = languageOf(cursor)
        break
      case 'code':
        if (!cursor.readInteger()) return false
        into.code = cursor.integer
        break
      case 'flag':
        if (!cursor.readInteger()) return false
        into.commandFlag = cursor.integer
        break
      case 'opaque':
        if (!cursor.readInteger()) return false
        into.opaque = cursor.integer
        break
      case 'version':
        if (!cursor.readInteger()) return false
        into.version = cursor.integer
        break
      default:
        if (!cursor.skipValue()) return false
    }
  }
  return cursor.atEnd()
}

function scanExtFields(into: HotHeader): boolean {
  if (!cursor.enterObject()) return false
  while (cursor.nextKey()) {
    const keyAt = cursor.keyAt
    const keyBytes = cursor.keyBytes
    if (!cursor.readString()) return false
    if (cursor.stringInScratch) {
      // Keys have no escapes (checked by the cursor), so the key's bytes may lie elsewhere: copy them next to the value.
      const moved = cursor.keyIntoScratch(keyAt, keyBytes)
      if (!into.setField(cursor.scratch, moved, keyBytes, cursor.stringAt, cursor.stringBytes))
        return false
    } else if (!into.setField(cursor.bytes, keyAt, keyBytes, cursor.stringAt, cursor.stringBytes))
      return false
  }
  return cursor.closed
}

function languageOf(from: JsonCursor): number {
  const bytes = from.stringInScratch ? from.scratch : from.bytes
  return languageCode(names.text(bytes, from.stringAt, from.stringBytes))
}
