import { MessageProperty, PROPERTIES_BYTES_MAX } from '../../protocol/index.ts'

const nameEnd = 0x01
const pairEnd = 0x02
/** Room for what a broker adds behind a message's own properties. */
const additionsMax = 2_048

const delayName = Buffer.from(MessageProperty.DELAY)
const waitName = Buffer.from(MessageProperty.WAIT)
const popName = Buffer.from(MessageProperty.POP_CK)
const transactionName = Buffer.from(MessageProperty.TRAN_MSG)
const timerNames = [
  MessageProperty.TIMER_DELAY_SEC,
  MessageProperty.TIMER_DELAY_MS,
  MessageProperty.TIMER_DELIVER_MS,
  MessageProperty.TIMER_OUT_MS,
  MessageProperty.TIMER_DEL_UNIQKEY
].map(name => ({ name, bytes: Buffer.from(name) }))
const firstOfDelay = delayName[0]
const firstOfWait = waitName[0]
const firstOfPop = popName[0]
/** TRAN_MSG and TIMER_… */
const firstOfT = transactionName[0]

function startsWith(bytes: Uint8Array, at: number, end: number, name: Uint8Array): boolean {
  if (at + name.length >= end || bytes[at + name.length] !== nameEnd) return false
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name[i]) return false
  return true
}

/** `TRUE` in any case, as Java's parseBoolean. */
function isTrue(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    end - at === 4 &&
    Buffer.from(bytes.buffer, bytes.byteOffset + at, 4)
      .toString('latin1')
      .toLowerCase() === 'true'
  )
}

/** Java's Integer.parseInt on ASCII digits; 0 when it is none. */
function parseLevel(bytes: Uint8Array, at: number, end: number): number {
  let value = 0
  const negative = bytes[at] === 0x2d
  const start = negative ? at + 1 : at
  if (start >= end || end - start > 10) return 0
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - 48
    if (digit < 0 || digit > 9) return 0
    value = value * 10 + digit
  }
  return negative ? -value : value
}

/**
 * One pass over the properties of a send: notes what a broker acts on, and copies the rest into `bytes` without what is not stored:
 * WAIT (broker.md 3.10), and POP_CK (5.3), with which a message that is sent on would be acknowledged as the one that was received.
 * One object serves all sends of a broker, one after the other; `bytes[0, length)` is valid until the next scan.
 */
export class PropertyScan {
  readonly bytes: Buffer = Buffer.allocUnsafe(PROPERTIES_BYTES_MAX + additionsMax)
  length = 0
  /** DELAY; 0 when absent or no number. */
  delayLevel = 0
  isTransaction: boolean = false
  /** What it says of timers, by name; null: nothing. */
  timers: Map<string, string> | null = null

  /** False: longer than a stored message can hold. */
  scan(source: Uint8Array, from: number, length: number): boolean {
    this.length = 0
    this.delayLevel = 0
    this.isTransaction = false
    this.timers = null
    if (length > PROPERTIES_BYTES_MAX) return false
    const end = from + length
    const target = this.bytes
    let to = 0
    let at = from
    while (at < end) {
      const start = at
      const first = source[at]
      const keep = !(
        (first === firstOfWait && startsWith(source, at, end, waitName)) ||
        (first === firstOfPop && startsWith(source, at, end, popName))
      )
      const looked = first === firstOfDelay || first === firstOfT
      if (keep) while (at < end && source[at] !== pairEnd) target[to++] = source[at++]!
      else while (at < end && source[at] !== pairEnd) at++
      if (looked) this.#look(source, start, at)
      if (keep && at > start) target[to++] = pairEnd
      at++
    }
    this.length = to
    return to <= PROPERTIES_BYTES_MAX
  }

  #look(source: Uint8Array, start: number, end: number): void {
    if (startsWith(source, start, end, delayName))
      this.delayLevel = parseLevel(source, start + delayName.length + 1, end)
    else if (startsWith(source, start, end, transactionName))
      this.isTransaction = isTrue(source, start + transactionName.length + 1, end)
    else
      for (const { name, bytes } of timerNames) {
        if (!startsWith(source, start, end, bytes)) continue
        const at = start + bytes.length + 1
        const value = Buffer.from(source.buffer, source.byteOffset + at, end - at)
        this.timers ??= new Map()
        this.timers.set(name, value.toString('utf8'))
      }
  }

  /** It names a time, and did not wait for it yet (broker.md 5.3). */
  get isTimer(): boolean {
    const { timers } = this
    if (timers === null || timers.has(MessageProperty.TIMER_OUT_MS)) return false
    return (
      timers.has(MessageProperty.TIMER_DELAY_SEC) ||
      timers.has(MessageProperty.TIMER_DELAY_MS) ||
      timers.has(MessageProperty.TIMER_DELIVER_MS)
    )
  }

  /** Appends pairs that are encoded already, each with its end mark. False: there is no room, nothing was appended. */
  append(pairs: Uint8Array): boolean {
    if (this.length + pairs.length > PROPERTIES_BYTES_MAX) return false
    this.bytes.set(pairs, this.length)
    this.length += pairs.length
    return true
  }

  /** The stored properties; a view, valid until the next scan. */
  get stored(): Buffer {
    return this.bytes.subarray(0, this.length)
  }
}

/** One pair with its end mark. */
export function encodePair(name: string, value: string): Buffer {
  return Buffer.from(`${name}\u0001${value}\u0002`)
}
