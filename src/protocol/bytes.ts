/** Big-endian integers on raw bytes. Written out by hand: Buffer's own methods check more and cost several times as much on the hot path. */

const TWO_32 = 4_294_967_296

export function getInt16(bytes: Uint8Array, at: number): number {
  return (((bytes[at]! << 8) | bytes[at + 1]!) << 16) >> 16
}

export function getUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

export function getInt32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

export function getUint32(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at) >>> 0
}

/** A signed 64-bit integer as a number: exact within ±2^53, which all offsets and times are. */
export function getInt64(bytes: Uint8Array, at: number): number {
  return getInt32(bytes, at) * TWO_32 + getUint32(bytes, at + 4)
}

export function putInt16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8
  bytes[at + 1] = value
}

export function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24
  bytes[at + 1] = value >> 16
  bytes[at + 2] = value >> 8
  bytes[at + 3] = value
}

/** Writes a number within ±2^53 as a signed 64-bit integer. */
export function putInt64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_32)
  putInt32(bytes, at, high)
  putInt32(bytes, at + 4, value - high * TWO_32)
}

/** Unsigned 48 bits: positions in the log (up to 256 TiB) and times in the store's key index. */
export function getUint48(bytes: Uint8Array, at: number): number {
  return getUint16(bytes, at) * TWO_32 + getUint32(bytes, at + 2)
}

export function putUint48(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_32)
  putInt16(bytes, at, high)
  putInt32(bytes, at + 2, value - high * TWO_32)
}
