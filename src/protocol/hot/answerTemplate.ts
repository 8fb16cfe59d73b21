import { putInt16, putInt32 } from '../bytes.ts'
import { decimalBytes, writeDecimal } from './decimal.ts'

/** Pieces of answer frames that never change, made once, so that an answer is a few copies and some digits. */

/** One entry of a binary header whose value never changes. */
export function binaryEntry(key: string, value: string): Buffer {
  const head = binaryKey(key)
  const bytes = Buffer.from(value)
  putInt32(head, head.length - 4, bytes.length)
  return Buffer.concat([head, bytes])
}

/** Key and the length word of a value that is still to be written. */
export function binaryKey(key: string): Buffer {
  const bytes = Buffer.from(key)
  const head = Buffer.alloc(2 + bytes.length + 4)
  putInt16(head, 0, bytes.length)
  bytes.copy(head, 2)
  return head
}

/** Copies a piece; answers where it ends. A loop, as pieces are short and a call into the runtime is not cheaper. */
export function putBytes(target: Uint8Array, at: number, piece: Uint8Array): number {
  for (let i = 0; i < piece.length; i++) target[at + i] = piece[i]!
  return at + piece.length
}

/** Writes one entry of a binary header with a decimal value behind a `binaryKey`; answers where it ends. */
export function numberEntry(
  target: Uint8Array,
  from: number,
  key: Uint8Array,
  value: number
): number {
  const at = putBytes(target, from, key)
  putInt32(target, at - 4, decimalBytes(value))
  return writeDecimal(target, at, value)
}
