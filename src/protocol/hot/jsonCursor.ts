const QUOTE = 0x22
const BACKSLASH = 0x5c

/**
 * Walks through JSON bytes without building anything. Strict about what it takes: everything unusual (escapes in keys, numbers with
 * fraction, deep nesting) makes it answer false, and the caller takes the general way. One cursor serves all frames, one after the other.
 */
export class JsonCursor {
  bytes: Buffer = Buffer.alloc(0)
  at = 0
  end = 0
  keyAt = 0
  keyBytes = 0
  /** The last string's bytes: in `scratch` if it had escapes, else in `bytes`. Strings of one header lie one behind the other in scratch. */
  stringAt = 0
  stringBytes = 0
  stringInScratch: boolean = false
  integer = 0
  /** Whether the object that `nextKey` answered false for ended properly. */
  closed: boolean = false
  scratch: Buffer = Buffer.allocUnsafe(64 * 1024)
  #scratchAt = 0
  #first: boolean = false

  open(bytes: Buffer, at: number, end: number): void {
    this.bytes = bytes
    this.at = at
    this.end = end
    // Unescaped text and moved keys together never need more room than the header itself.
    if (this.scratch.length < end - at) this.scratch = Buffer.allocUnsafe(end - at)
    this.#scratchAt = 0
  }

  enterObject(): boolean {
    this.#first = true
    this.closed = false
    return this.#take(0x7b)
  }

  /** Steps to the next key of the object and behind its colon. False: the object ended (`closed`) or is broken. */
  nextKey(): boolean {
    if (this.#take(0x7d)) {
      this.#first = false
      this.closed = true
      return false
    }
    this.closed = false
    if (!this.#first && !this.#take(0x2c)) return false
    this.#first = false
    if (!this.#take(QUOTE)) return false
    const bytes = this.bytes
    const start = this.at
    let at = start
    while (at < this.end && bytes[at] !== QUOTE && bytes[at] !== BACKSLASH) at++
    if (at >= this.end || bytes[at] !== QUOTE) return false
    this.keyAt = start
    this.keyBytes = at - start
    this.at = at + 1
    return this.#take(0x3a)
  }

  readString(): boolean {
    if (!this.#take(QUOTE)) return false
    const bytes = this.bytes
    const end = this.end
    const start = this.at
    let at = start
    while (at < end) {
      const byte = bytes[at]!
      if (byte === QUOTE) {
        this.stringAt = start
        this.stringBytes = at - start
        this.stringInScratch = false
        this.at = at + 1
        return true
      }
      if (byte === BACKSLASH) return this.#readEscaped(start, at)
      at++
    }
    return false
  }

  /** The whole string goes to the scratch, its escapes resolved. */
  #readEscaped(start: number, firstEscape: number): boolean {
    const bytes = this.bytes
    const scratch = this.scratch
    const end = this.end
    const scratchStart = this.#scratchAt
    let to = scratchStart
    for (let at = start; at < firstEscape; at++) scratch[to++] = bytes[at]!
    let at = firstEscape
    while (at < end) {
      const byte = bytes[at]!
      if (byte === QUOTE) {
        this.stringAt = scratchStart
        this.stringBytes = to - scratchStart
        this.stringInScratch = true
        this.#scratchAt = to
        this.at = at + 1
        return true
      }
      if (byte !== BACKSLASH) {
        scratch[to++] = byte
        at++
        continue
      }
      if (at + 1 >= end) return false
      const kind = bytes[at + 1]!
      if (kind !== 0x75) {
        const plain = simpleEscape(kind)
        if (plain < 0) return false
        scratch[to++] = plain
        at += 2
        continue
      }
      let unit = hex4(bytes, at + 2, end)
      if (unit < 0) return false
      at += 6
      if (unit < 0x80) {
        scratch[to++] = unit
      } else if (unit < 0x800) {
        scratch[to++] = 0xc0 | (unit >> 6)
        scratch[to++] = 0x80 | (unit & 0x3f)
      } else if (unit < 0xd800 || unit > 0xdfff) {
        scratch[to++] = 0xe0 | (unit >> 12)
        scratch[to++] = 0x80 | ((unit >> 6) & 0x3f)
        scratch[to++] = 0x80 | (unit & 0x3f)
      } else {
        // A pair of surrogates; a single one has no UTF-8 and is left to the general way.
        if (unit > 0xdbff || bytes[at] !== BACKSLASH || bytes[at + 1] !== 0x75) return false
        const low = hex4(bytes, at + 2, end)
        if (low < 0xdc00 || low > 0xdfff) return false
        at += 6
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
        scratch[to++] = 0xf0 | (unit >> 18)
        scratch[to++] = 0x80 | ((unit >> 12) & 0x3f)
        scratch[to++] = 0x80 | ((unit >> 6) & 0x3f)
        scratch[to++] = 0x80 | (unit & 0x3f)
      }
    }
    return false
  }

  /** Copies a key behind the last string of the scratch and tells where it lies. */
  keyIntoScratch(keyAt: number, keyBytes: number): number {
    const to = this.#scratchAt
    for (let i = 0; i < keyBytes; i++) this.scratch[to + i] = this.bytes[keyAt + i]!
    this.#scratchAt = to + keyBytes
    return to
  }

  /** A plain integer of at most 15 digits. */
  readInteger(): boolean {
    const bytes = this.bytes
    const negative = this.#take(0x2d)
    if (!negative) this.#skipBlanks()
    let at = this.at
    let value = 0
    const start = at
    for (; at < this.end && at - start <= 15; at++) {
      const digit = bytes[at]! - 48
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at === start || at - start > 15 || at >= this.end) return false
    const after = bytes[at]!
    if (after !== 0x2c && after !== 0x7d && after > 32) return false
    this.integer = negative ? -value : value
    this.at = at
    return true
  }

  /** A string, number or word; false for objects and lists, which no header of interest has. */
  skipValue(): boolean {
    this.#skipBlanks()
    const bytes = this.bytes
    if (bytes[this.at] === QUOTE) return this.readString()
    const start = this.at
    while (this.at < this.end) {
      const byte = bytes[this.at]!
      if (byte === 0x2c || byte === 0x7d || byte <= 32) break
      if (byte === 0x7b || byte === 0x5b || byte === QUOTE) return false
      this.at++
    }
    return this.at > start
  }

  /** Whether the object was closed and nothing but blanks follows. */
  atEnd(): boolean {
    this.#skipBlanks()
    return this.closed && this.at === this.end
  }

  #take(byte: number): boolean {
    if (this.bytes[this.at] !== byte) this.#skipBlanks()
    if (this.at >= this.end || this.bytes[this.at] !== byte) return false
    this.at++
    return true
  }

  #skipBlanks(): void {
    while (this.at < this.end && this.bytes[this.at]! <= 32) this.at++
  }
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
