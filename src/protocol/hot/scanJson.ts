import { getInt32 } from '../bytes.ts'
import { LanguageCode, languageCode } from '../languageCodes.ts'
import type { HotHeader } from './hotHeader.ts'
import { names } from './names.ts'

/**
 * One pass over a JSON header's bytes that builds nothing. Strict about what it takes: escapes in keys, numbers with fraction, objects where
 * none belong make it answer false, and the caller takes the general way. Reads may touch bytes behind `end`; as positions only grow, the
 * last check of the position finds that.
 */
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN = 0x7b
const CLOSE = 0x7d

/** Strings with escapes come here, one behind the other; a header's strings never need more room than the header. */
let scratch: Buffer = Buffer.allocUnsafe(64 * 1024)
let scratchAt = 0
/** Results of `readInteger` and `scanExtFields` that do not fit their return value. */
let integer = 0

export function scanJsonHeader(bytes: Buffer, from: number, end: number, into: HotHeader): boolean {
  if (scratch.length < end - from) scratch = Buffer.allocUnsafe(end - from)
  scratchAt = 0
  into.code = 0
  into.language = 0
  into.version = 0
  into.opaque = 0
  into.commandFlag = 0
  let at = blanks(bytes, from, end)
  if (bytes[at] !== OPEN) return false
  at = blanks(bytes, at + 1, end)
  let seenFields = false
  if (bytes[at] === CLOSE) return blanks(bytes, at + 1, end) === end
  for (;;) {
    if (bytes[at] !== QUOTE) return false
    const keyAt = at + 1
    const keyEnd = stringEnd(bytes, keyAt, end)
    if (keyEnd < 0) return false
    at = behindColon(bytes, keyEnd + 1, end)
    if (at < 0) return false
    const key = fixedKey(bytes, keyAt, keyEnd - keyAt)
    if (key === KEY_EXT_FIELDS) {
      if (seenFields) return false
      seenFields = true
      at = scanExtFields(bytes, at, end, into)
    } else if (key === KEY_LANGUAGE) {
      at = readLanguage(bytes, at, end)
      into.language = integer
    } else if (key === KEY_OTHER) {
      at = skipValue(bytes, at, end)
    } else {
      at = readInteger(bytes, at, end)
      if (key === KEY_CODE) into.code = integer
      else if (key === KEY_FLAG) into.commandFlag = integer
      else if (key === KEY_OPAQUE) into.opaque = integer
      else into.version = integer
    }
    if (at < 0) return false
    at = blanks(bytes, at, end)
    const separator = bytes[at]
    at = blanks(bytes, at + 1, end)
    if (separator === CLOSE) return at === end
    if (separator !== COMMA) return false
  }
}

const KEY_OTHER = 0
const KEY_CODE = 1
const KEY_EXT_FIELDS = 2
const KEY_FLAG = 3
const KEY_LANGUAGE = 4
const KEY_OPAQUE = 5
const KEY_VERSION = 6
const fixedKeys = ['', 'code', 'extFields', 'flag', 'language', 'opaque', 'version'].map(key =>
  Buffer.from(key)
)

/** Which key of a header it is: by its first byte, then compared as a whole. */
function fixedKey(bytes: Uint8Array, at: number, length: number): number {
  let key = KEY_OTHER
  switch (bytes[at]) {
    case 0x63:
      key = KEY_CODE
      break
    case 0x65:
      key = KEY_EXT_FIELDS
      break
    case 0x66:
      key = KEY_FLAG
      break
    case 0x6c:
      key = KEY_LANGUAGE
      break
    case 0x6f:
      key = KEY_OPAQUE
      break
    case 0x76:
      key = KEY_VERSION
      break
    default:
      return KEY_OTHER
  }
  const wanted = fixedKeys[key]!
  if (wanted.length !== length) return KEY_OTHER
  for (let i = 1; i < length; i++) if (bytes[at + i] !== wanted[i]) return KEY_OTHER
  return key
}

/** Answers where the object ends, or -1. */
function scanExtFields(bytes: Buffer, from: number, end: number, into: HotHeader): number {
  if (bytes[from] !== OPEN) return -1
  let at = blanks(bytes, from + 1, end)
  if (bytes[at] === CLOSE) return at + 1
  for (;;) {
    if (bytes[at] !== QUOTE) return -1
    const keyAt = at + 1
    const keyEnd = stringEnd(bytes, keyAt, end)
    if (keyEnd < 0) return -1
    at = behindColon(bytes, keyEnd + 1, end)
    if (at < 0 || bytes[at] !== QUOTE) return -1
    const valueAt = at + 1
    const valueEnd = stringEnd(bytes, valueAt, end)
    if (valueEnd >= 0) {
      if (!into.setField(bytes, keyAt, keyEnd - keyAt, bytes, valueAt, valueEnd - valueAt))
        return -1
      at = valueEnd + 1
    } else {
      const plainAt = scratchAt
      at = unescapeInto(bytes, valueAt, ~valueEnd, end)
      if (at < 0) return -1
      if (!into.setField(bytes, keyAt, keyEnd - keyAt, scratch, plainAt, scratchAt - plainAt))
        return -1
    }
    at = blanks(bytes, at, end)
    const separator = bytes[at]
    if (separator === CLOSE) return at + 1
    if (separator !== COMMA) return -1
    at = blanks(bytes, at + 1, end)
  }
}

function blanks(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && bytes[at]! <= 32) at++
  return at
}

/** Position of the closing quote; if a backslash comes before it, or the end, the complement of that position. */
function stringEnd(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) return at
    if (byte === BACKSLASH) return ~at
  }
  return ~end
}

function behindColon(bytes: Uint8Array, from: number, end: number): number {
  const at = blanks(bytes, from, end)
  return bytes[at] === COLON ? blanks(bytes, at + 1, end) : -1
}

/** `JAVA` as one word: nearly every client. */
const JAVA_TEXT = 0x4a415641

/** Leaves the language's code in `integer`. */
function readLanguage(bytes: Buffer, at: number, end: number): number {
  if (bytes[at] !== QUOTE) return -1
  const nameEnd = stringEnd(bytes, at + 1, end)
  if (nameEnd < 0) return -1
  integer =
    nameEnd - at === 5 && getInt32(bytes, at + 1) === JAVA_TEXT
      ? LanguageCode.JAVA
      : languageCode(names.text(bytes, at + 1, nameEnd - at - 1))
  return nameEnd + 1
}

/** A plain integer of at most 15 digits, left in `integer`; answers where it ends, or -1. */
function readInteger(bytes: Uint8Array, from: number, end: number): number {
  const negative = bytes[from] === 0x2d
  const start = negative ? from + 1 : from
  let at = start
  let value = 0
  for (; at < end && at - start <= 15; at++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  if (at === start || at - start > 15 || at >= end) return -1
  const after = bytes[at]!
  if (after !== COMMA && after !== CLOSE && after > 32) return -1
  integer = negative ? -value : value
  return at
}

/** A string, number or word; -1 for objects and lists, which no header of interest has. */
function skipValue(bytes: Buffer, from: number, end: number): number {
  if (bytes[from] === QUOTE) {
    const close = stringEnd(bytes, from + 1, end)
    return close >= 0 ? close + 1 : unescapeInto(bytes, from + 1, ~close, end)
  }
  let at = from
  for (; at < end; at++) {
    const byte = bytes[at]!
    if (byte === COMMA || byte === CLOSE || byte <= 32) break
    if (byte === OPEN || byte === 0x5b || byte === QUOTE) return -1
  }
  return at > from ? at : -1
}

/** Puts the whole string that begins at `start` and has its first escape at `firstEscape` into the scratch; answers the position behind it, or -1. */
function unescapeInto(bytes: Buffer, start: number, firstEscape: number, end: number): number {
  // A local name: the loop then works on registers.
  const target = scratch
  let to = scratchAt
  let at = start
  while (at < firstEscape) target[to++] = bytes[at++]!
  while (at < end) {
    const byte = bytes[at]!
    if (byte === QUOTE) {
      scratchAt = to
      return at + 1
    }
    if (byte !== BACKSLASH) {
      target[to++] = byte
      at++
      continue
    }
    if (at + 1 >= end) return -1
    const kind = bytes[at + 1]!
    if (kind !== 0x75) {
      const plain = simpleEscape(kind)
      if (plain < 0) return -1
      target[to++] = plain
      at += 2
      continue
    }
    const unit = shortUnit(bytes, at + 2, end)
    if (unit < 0) return -1
    at += 6
    if (unit < 0x80) {
      target[to++] = unit
    } else if (unit < 0xd800 || unit > 0xdfff) {
      to = putUtf8(to, unit)
    } else {
      // A pair of surrogates; a single one has no UTF-8 and is left to the general way.
      if (unit > 0xdbff || bytes[at] !== BACKSLASH || bytes[at + 1] !== 0x75) return -1
      const low = hex4(bytes, at + 2, end)
      if (low < 0xdc00 || low > 0xdfff) return -1
      at += 6
      to = putUtf8(to, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    }
  }
  return -1
}

/** UTF-8 of a code point above 7F. */
function putUtf8(from: number, point: number): number {
  let to = from
  if (point < 0x800) {
    scratch[to++] = 0xc0 | (point >> 6)
  } else if (point < 0x10000) {
    scratch[to++] = 0xe0 | (point >> 12)
    scratch[to++] = 0x80 | ((point >> 6) & 0x3f)
  } else {
    scratch[to++] = 0xf0 | (point >> 18)
    scratch[to++] = 0x80 | ((point >> 12) & 0x3f)
    scratch[to++] = 0x80 | ((point >> 6) & 0x3f)
  }
  scratch[to++] = 0x80 | (point & 0x3f)
  return to
}

function simpleEscape(kind: number): number {
  switch (kind) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
      return kind
    case 0x6e:
      return 10
    case 0x74:
      return 9
    case 0x72:
      return 13
    case 0x62:
      return 8
    case 0x66:
      return 12
    default:
      return -1
  }
}

/** As `hex4`; the two separators of properties, 0001 and 0002, are by far the most frequent. */
function shortUnit(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 <= end && bytes[at] === 48 && bytes[at + 1] === 48 && bytes[at + 2] === 48) {
    const digit = bytes[at + 3]! - 48
    if (digit >= 0 && digit <= 9) return digit
  }
  return hex4(bytes, at, end)
}

function hex4(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 > end) return -1
  let unit = 0
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + i]!
    const lower = byte | 0x20
    let digit = byte - 48
    if (lower >= 0x61 && lower <= 0x66) digit = lower - 87
    else if (digit < 0 || digit > 9) return -1
    unit = (unit << 4) | digit
  }
  return unit
}
