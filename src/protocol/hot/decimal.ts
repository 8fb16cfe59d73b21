const TEN_8 = 100_000_000

/** Decimal ASCII of an integer within ±2^53, written at `at`; answers where it ends. */
export function writeDecimal(target: Uint8Array, at: number, value: number): number {
  if (value < 0) {
    target[at++] = 0x2d
    value = -value
  }
  if (value < TEN_8) return writeSmall(target, at, value)
  const high = Math.floor(value / TEN_8)
  at = high < TEN_8 ? writeSmall(target, at, high) : writeDecimal(target, at, high)
  let low = value - high * TEN_8
  for (let i = at + 7; i >= at; i--) {
    const next = (low / 10) | 0
    target[i] = 48 + low - next * 10
    low = next
  }
  return at + 8
}

function writeSmall(target: Uint8Array, at: number, value: number): number {
  let digits = 1
  for (let limit = 10; value >= limit && digits < 8; limit *= 10) digits++
  for (let i = at + digits - 1; i >= at; i--) {
    const next = (value / 10) | 0
    target[i] = 48 + value - next * 10
    value = next
  }
  return at + digits
}

/** How many characters `writeDecimal` writes. */
export function decimalBytes(value: number): number {
  let bytes = 1
  if (value < 0) {
    bytes = 2
    value = -value
  }
  for (let limit = 10; value >= limit; limit *= 10) bytes++
  return bytes
}

const HEX = Buffer.from('0123456789ABCDEF')

/** Upper-case hexadecimal of `source`, two characters a byte; answers where it ends. */
export function writeHex(target: Uint8Array, at: number, source: Uint8Array): number {
  for (let i = 0; i < source.length; i++) {
    const byte = source[i]!
    target[at++] = HEX[byte >> 4]!
    target[at++] = HEX[byte & 15]!
  }
  return at
}

/** Sixteen upper-case hexadecimal digits of an offset (0 to 2^53); answers where they end. */
export function writeHexLong(target: Uint8Array, at: number, value: number): number {
  let high = Math.floor(value / 4_294_967_296)
  let low = (value - high * 4_294_967_296) | 0
  for (let i = at + 15; i >= at + 8; i--) {
    target[i] = HEX[low & 15]!
    low >>>= 4
  }
  for (let i = at + 7; i >= at; i--) {
    target[i] = HEX[high & 15]!
    high >>>= 4
  }
  return at + 16
}

/** An integer in decimal ASCII that fits 32 bits; NaN when the bytes are none. */
export function readInt(bytes: Uint8Array, at: number, length: number): number {
  const value = readLong(bytes, at, length)
  return value >= -2_147_483_648 && value <= 2_147_483_647 ? value : Number.NaN
}

/** An integer in decimal ASCII of at most 15 digits; NaN when the bytes are none, or longer. */
export function readLong(bytes: Uint8Array, at: number, length: number): number {
  const negative = bytes[at] === 0x2d
  const first = negative ? at + 1 : at
  const end = at + length
  if (first >= end || end - first > 15) return Number.NaN
  let value = 0
  for (let i = first; i < end; i++) {
    const digit = bytes[i]! - 48
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  return negative ? -value : value
}

/** Java's rule: `true` in any case. */
export function readBoolean(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    length === 4 &&
    (bytes[at]! | 0x20) === 0x74 &&
    (bytes[at + 1]! | 0x20) === 0x72 &&
    (bytes[at + 2]! | 0x20) === 0x75 &&
    (bytes[at + 3]! | 0x20) === 0x65
  )
}
