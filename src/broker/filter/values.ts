/** Java's numbers and comparisons, as far as a filter needs them (broker.md 4.4). Texts are the bytes of properties. */

export interface JavaNumber {
  readonly kind: 'int' | 'long' | 'double'
  /** A bigint only beyond 2^53, and never of kind `double`. */
  readonly value: number | bigint
}

/** What the original answers with an exception: the whole expression does not match. */
export const FAILED = Symbol('failed')
export type Failed = typeof FAILED

export type Value = string | boolean | JavaNumber

const longMin = -9_223_372_036_854_775_808n
const longMax = 9_223_372_036_854_775_807n
const longDigitsMax = 19
const safeDigits = 15

/** `Integer.valueOf`; NaN: it is none. */
export function parseInteger(bytes: Uint8Array, start: number, end: number): number {
  const value = parseLong(bytes, start, end)
  if (typeof value === 'bigint') return Number.NaN
  return value >= -2_147_483_648 && value <= 2_147_483_647 ? value : Number.NaN
}

/** `Long.valueOf`; NaN: it is none. A bigint only where a number would not be exact. */
export function parseLong(bytes: Uint8Array, start: number, end: number): number | bigint {
  const signByte = bytes[start]
  const negative = signByte === 0x2d
  let at = negative || signByte === 0x2b ? start + 1 : start
  if (at >= end) return Number.NaN
  while (at < end - 1 && bytes[at] === 0x30) at++
  if (end - at > longDigitsMax) return Number.NaN
  let value = 0
  for (let i = at; i < end; i++) {
    const digit = bytes[i]! - 0x30
    if (digit < 0 || digit > 9) return Number.NaN
    value = value * 10 + digit
  }
  if (end - at > safeDigits) return longOf(latin1(bytes, at, end), negative)
  return negative ? 0 - value : value
}

function longOf(digits: string, negative: boolean): number | bigint {
  const value = negative ? -BigInt(digits) : BigInt(digits)
  if (value < longMin || value > longMax) return Number.NaN
  const exact = Number(value)
  return Number.isSafeInteger(exact) ? exact : value
}

const decimalDouble = /^[+-]?(?:NaN|Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?)$/
const hexDouble = /^([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?\d+)[fFdD]?$/

/** `Double.valueOf`; null: it is none. NaN is a value. */
export function parseDouble(bytes: Uint8Array, start: number, end: number): number | null {
  let from = start
  let to = end
  while (from < to && bytes[from]! <= 0x20) from++
  while (to > from && bytes[to - 1]! <= 0x20) to--
  const text = latin1(bytes, from, to)
  if (decimalDouble.test(text)) return Number(text.replace(/[fFdD]$/, ''))
  return hexOf(text)
}

function hexOf(text: string): number | null {
  const parts = hexDouble.exec(text)
  if (parts === null) return null
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts
  if (whole === '' && fraction === '') return null
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  if (digits === '') return sign === '-' ? -0 : 0
  // 32 digits are twice what a double holds; the rest only shifts the exponent.
  const kept = digits.slice(0, 32)
  const power = Number(exponent) + 4 * (digits.length - kept.length - fraction.length)
  const value = scaled(Number(BigInt(`0x${kept}`)), power)
  return sign === '-' ? -value : value
}

/** value * 2^power, in steps that neither overflow nor vanish early. */
function scaled(value: number, power: number): number {
  let rest = Math.max(-4_400, Math.min(4_400, power))
  let result = value
  while (rest > 0 && Number.isFinite(result)) {
    const step = Math.min(rest, 1_000)
    result *= 2 ** step
    rest -= step
  }
  while (rest < 0 && result !== 0) {
    const step = Math.min(-rest, 1_000)
    result /= 2 ** step
    rest += step
  }
  return result
}

/** `Boolean.valueOf`: "true" in any case, else false. */
export function isTrueText(bytes: Uint8Array, start: number, end: number): boolean {
  return (
    end - start === 4 &&
    (bytes[start]! | 0x20) === 0x74 &&
    (bytes[start + 1]! | 0x20) === 0x72 &&
    (bytes[start + 2]! | 0x20) === 0x75 &&
    (bytes[start + 3]! | 0x20) === 0x65
  )
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

/** `Double.compareTo`: NaN is greater than all, and -0.0 is less than 0.0. */
export function compareDoubles(left: number, right: number): number {
  if (left < right) return -1
  if (left > right) return 1
  if (Object.is(left, right)) return 0
  if (left === right) return Object.is(left, -0) ? -1 : 1
  return Number.isNaN(left) ? 1 : -1
}

/** Integers exactly, as doubles where one of them is one. */
function compareNumbers(left: JavaNumber, right: JavaNumber): number {
  if (left.kind === 'double' || right.kind === 'double')
    return compareDoubles(Number(left.value), Number(right.value))
  return left.value < right.value ? -1 : left.value > right.value ? 1 : 0
}

/** A text as the number it is compared with. */
function converted(text: string, kind: JavaNumber['kind']): JavaNumber | Failed {
  const bytes = Buffer.from(text)
  let value: number | bigint | null
  if (kind === 'double') value = parseDouble(bytes, 0, bytes.length)
  else {
    value =
      kind === 'int' ? parseInteger(bytes, 0, bytes.length) : parseLong(bytes, 0, bytes.length)
    if (Number.isNaN(value)) return FAILED
  }
  return value === null ? FAILED : { kind, value }
}

/** Two values that are both there, the text converted to the other's type. */
export function compareValues(left: Value, right: Value): number | Failed {
  if (typeof left === 'string') return compareText(left, right)
  if (typeof left === 'boolean') {
    // A text on the right is taken for a text on the left: a ClassCastException.
    if (typeof right === 'string') return FAILED
    return typeof right === 'boolean' ? Number(left) - Number(right) : -1
  }
  if (typeof right === 'boolean') return -1
  if (typeof right !== 'string') return compareNumbers(left, right)
  const number = converted(right, left.kind)
  return number === FAILED ? FAILED : compareNumbers(left, number)
}

function compareText(left: string, right: Value): number | Failed {
  if (typeof right === 'string') return left < right ? -1 : left > right ? 1 : 0
  if (typeof right === 'boolean') return Number(left.toLowerCase() === 'true') - Number(right)
  const number = converted(left, right.kind)
  return number === FAILED ? FAILED : compareNumbers(number, right)
}

/** For `<` and its like: two texts are compared as doubles, or not at all. */
export function orderValues(left: Value, right: Value): number | Failed {
  if (typeof left !== 'string' || typeof right !== 'string') return compareValues(left, right)
  const one = converted(left, 'double')
  const other = converted(right, 'double')
  return one === FAILED || other === FAILED ? FAILED : compareNumbers(one, other)
}
