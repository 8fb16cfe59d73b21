/**
 * Transactions in doubt: half messages that were stored and neither committed nor rolled back. One record for each, alike on every
 * replica: opened when the half message is applied, counted up and closed by commands. The message itself stays in the log, which is not
 * trimmed beyond the oldest of them.
 */
import {
  ByteRange,
  findProperty,
  getInt64,
  getUint32,
  MessageProperty,
  putInt32,
  putInt64,
  SystemTopic
} from '../protocol/index.ts'
import type { StoredMessageView } from './storedMessageView.ts'

export const HALF_TOPIC: string = SystemTopic.TRANS_HALF

const RECORD_BYTES = 28
const CHECK_BYTES = 12
const IMMUNITY_SECONDS_MAX = 9_000_000_000
const immunityName = Buffer.from(MessageProperty.CHECK_IMMUNITY_TIME_IN_SECONDS)

/** One transaction in doubt. Times in ms since 1970, of the log's entries. */
export interface TransactionInDoubt {
  /** Where the half message lies in the log: what producers call commitLogOffset. Names the transaction. */
  readonly physicalOffset: number
  readonly storeTimestamp: number
  /** CHECK_IMMUNITY_TIME_IN_SECONDS of the message in ms; -1 when it has none. */
  readonly immunityMs: number
  /** How often its producers were asked. */
  readonly checks: number
  /** When they were asked last; 0 when never. */
  readonly checkedMs: number
}

/** The `times`-th check of a transaction. */
export interface TransactionCheck {
  physicalOffset: number
  /** From 1; it counts only as the one behind the last that counted. */
  times: number
}

type Mutable = { -readonly [K in keyof TransactionInDoubt]: TransactionInDoubt[K] }

export class TransactionTable {
  /** By physical offset, the oldest first: half messages are applied in the order of the log, and restored in it. */
  readonly byOffset = new Map<number, Mutable>()

  open(message: StoredMessageView): TransactionInDoubt {
    const opened = {
      physicalOffset: message.physicalOffset,
      storeTimestamp: message.storeTimestamp,
      immunityMs: immunityOf(message),
      checks: 0,
      checkedMs: 0
    }
    this.byOffset.set(opened.physicalOffset, opened)
    return opened
  }

  /** False: it is not in doubt any more, or this is not its next check. */
  check(check: TransactionCheck, timeMs: number): boolean {
    const transaction = this.byOffset.get(check.physicalOffset)
    if (transaction === undefined || transaction.checks !== check.times - 1) return false
    transaction.checks = check.times
    transaction.checkedMs = timeMs
    return true
  }

  /** Position in the log of the oldest half message in doubt; infinite when there is none. */
  get oldestPosition(): number {
    for (const position of this.byOffset.keys()) return position
    return Number.POSITIVE_INFINITY
  }
}

/** As the original reads it: no number, or a negative one, is none. */
function immunityOf(message: StoredMessageView): number {
  const value = new ByteRange()
  const { bytes, propertiesStart, propertiesEnd } = message
  if (!findProperty(bytes, propertiesStart, propertiesEnd, immunityName, value)) return -1
  const text = Buffer.from(
    bytes.buffer,
    bytes.byteOffset + value.start,
    value.end - value.start
  ).toString('latin1')
  if (!/^\d{1,19}$/.test(text)) return -1
  return Math.min(Number(text), IMMUNITY_SECONDS_MAX) * 1_000
}

/** Record of the state database: i64 store time · i64 immunity · u32 checks · i64 time of the last. */
export function encodeTransaction(transaction: TransactionInDoubt): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES)
  putInt64(bytes, 0, transaction.storeTimestamp)
  putInt64(bytes, 8, transaction.immunityMs)
  putInt32(bytes, 16, transaction.checks)
  putInt64(bytes, 20, transaction.checkedMs)
  return bytes
}

export function decodeTransaction(physicalOffset: number, bytes: Buffer): TransactionInDoubt {
  return {
    physicalOffset,
    storeTimestamp: getInt64(bytes, 0),
    immunityMs: getInt64(bytes, 8),
    checks: getUint32(bytes, 16),
    checkedMs: getInt64(bytes, 20)
  }
}

/** Body of the command: (i64 physical offset · u32 times) … */
export function encodeChecks(checks: readonly TransactionCheck[]): Buffer {
  const bytes = Buffer.allocUnsafe(checks.length * CHECK_BYTES)
  let at = 0
  for (const { physicalOffset, times } of checks) {
    putInt64(bytes, at, physicalOffset)
    putInt32(bytes, at + 8, times)
    at += CHECK_BYTES
  }
  return bytes
}

export function decodeChecks(bytes: Buffer): TransactionCheck[] {
  const checks: TransactionCheck[] = []
  for (let at = 0; at + CHECK_BYTES <= bytes.length; at += CHECK_BYTES) {
    checks.push({ physicalOffset: getInt64(bytes, at), times: getUint32(bytes, at + 8) })
  }
  return checks
}
