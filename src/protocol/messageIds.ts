import { getInt64, getUint32, putInt16, putInt32 } from './bytes.ts'
import { decodeHost, encodeAddress, type Host } from './hosts.ts'
import { writeHex, writeHexLong } from './hot/decimal.ts'

/** The server's message id: hex of the store host (8 or 20 bytes) and the physical offset; 32 or 56 characters (remoting.md 4.4). */
export function offsetMessageId(storeHost: Uint8Array, physicalOffset: number): string {
  const id = Buffer.allocUnsafe(storeHost.length * 2 + 16)
  writeHexLong(id, writeHex(id, 0, storeHost), physicalOffset)
  return id.toString('latin1')
}

/** What an offset message id says, or null when the text is none. A client's unique key has the same form: it gives a senseless host. */
export function parseOffsetMessageId(id: string): { host: Host; physicalOffset: number } | null {
  if ((id.length !== 32 && id.length !== 56) || !/^[0-9a-fA-F]+$/.test(id)) return null
  const bytes = Buffer.from(id, 'hex')
  const hostBytes = bytes.length - 8
  return { host: decodeHost(bytes, 0, hostBytes), physicalOffset: getInt64(bytes, hostBytes) }
}

const DAY_MS = 86_400_000

/** Start of the month of `wallMs`, and of the next one, both at `utcOffsetMs` east of UTC. */
function monthOf(wallMs: number, utcOffsetMs: number): { startMs: number; endMs: number } {
  // Days since 0000-03-01 in a calendar whose year begins with March, so that leap days come last.
  const days = Math.floor((wallMs + utcOffsetMs) / DAY_MS) + 719_468
  const era = Math.floor(days / 146_097)
  const dayOfEra = days - era * 146_097
  const year = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365
  )
  const dayOfYear = dayOfEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100))
  const month = Math.floor((5 * dayOfYear + 2) / 153)
  const firstOf = (m: number): number => Math.floor((153 * m + 2) / 5)
  const toMs = (day: number): number => (days - dayOfYear + day - 719_468) * DAY_MS - utcOffsetMs
  // The year ends with February, which has a leap day or not.
  const fullYear = era * 400 + year + 1
  const leap = fullYear % 4 === 0 && (fullYear % 100 !== 0 || fullYear % 400 === 0)
  const endDay = month === 11 ? 365 + (leap ? 1 : 0) : firstOf(month + 1)
  return { startMs: toMs(firstOf(month)), endMs: toMs(endDay) }
}

export interface UniqueKeyOptions {
  /** Numeric IP of this host. */
  address: string
  /** Its low 16 bits go into the key. */
  processId: number
  /** Four random bytes: tell two generators of one process apart. */
  random: Uint8Array
  /** Local time east of UTC in ms, as tools that show the key's time expect it; 0 is UTC. */
  utcOffsetMs?: number
}

/**
 * The client's message id, property UNIQ_KEY (remoting.md 4.4): hex of IP (4 or 16), process id (2), a random mark (4), ms since the start
 * of the month (4, unsigned) and a counter (2); 32 or 56 characters.
 */
export class UniqueKeyGenerator {
  readonly #prefix: string
  readonly #utcOffsetMs: number
  readonly #tail = Buffer.alloc(6)
  #monthStartMs = 0
  #monthEndMs = 0
  #counter = 0

  constructor(options: UniqueKeyOptions) {
    const ip = encodeAddress(options.address)
    const prefix = Buffer.alloc(ip.length + 6)
    prefix.set(ip)
    putInt16(prefix, ip.length, options.processId)
    prefix.set(options.random.subarray(0, 4), ip.length + 2)
    this.#prefix = prefix.toString('hex').toUpperCase()
    this.#utcOffsetMs = options.utcOffsetMs ?? 0
  }

  next(wallMs: number): string {
    if (wallMs < this.#monthStartMs || wallMs >= this.#monthEndMs) {
      const month = monthOf(wallMs, this.#utcOffsetMs)
      this.#monthStartMs = month.startMs
      this.#monthEndMs = month.endMs
    }
    putInt32(this.#tail, 0, wallMs - this.#monthStartMs)
    putInt16(this.#tail, 4, this.#counter)
    this.#counter = (this.#counter + 1) & 0xffff
    return this.#prefix + this.#tail.toString('hex').toUpperCase()
  }
}

/** Time of a unique key in ms, next before `nowMs`; null when the text is no unique key. A bound for queries by key. */
export function uniqueKeyTimeMs(key: string, nowMs: number, utcOffsetMs = 0): number | null {
  if ((key.length !== 32 && key.length !== 56) || !/^[0-9a-fA-F]+$/.test(key)) return null
  const bytes = Buffer.from(key, 'hex')
  const sinceMonthMs = getUint32(bytes, bytes.length - 6)
  const monthStartMs = monthOf(nowMs, utcOffsetMs).startMs
  const timeMs = monthStartMs + sinceMonthMs
  return timeMs <= nowMs ? timeMs : monthOf(monthStartMs - 1, utcOffsetMs).startMs + sinceMonthMs
}
