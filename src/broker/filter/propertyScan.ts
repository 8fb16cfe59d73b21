const NAME_END = 0x01
const PAIR_END = 0x02

/**
 * Where the properties that an expression names lie in the bytes of one message: found in one pass, nothing is decoded.
 * Filled again for each message; as in protocol's `findProperty` a later value wins, and an empty one is none.
 */
export class PropertyScan {
  bytes: Uint8Array = new Uint8Array(0)
  readonly #names: Buffer[] = []
  readonly #slots = new Map<string, number>()
  /** Slots by the length of their name. */
  readonly #byLength = new Map<number, number[]>()
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  /** The slot of a name, from 0; the same for the same name. */
  slotOf(name: string): number {
    const known = this.#slots.get(name)
    if (known !== undefined) return known
    const slot = this.#names.length
    const bytes = Buffer.from(name)
    this.#slots.set(name, slot)
    this.#names.push(bytes)
    this.#starts.push(-1)
    this.#ends.push(-1)
    const slots = this.#byLength.get(bytes.length)
    if (slots === undefined) this.#byLength.set(bytes.length, [slot])
    else slots.push(slot)
    return slot
  }

  read(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes
    this.#starts.fill(-1)
    let at = start
    while (at < end) {
      let nameEnd = at
      let byte = bytes[nameEnd]!
      while (nameEnd < end && byte !== NAME_END && byte !== PAIR_END) byte = bytes[++nameEnd]!
      let pairEnd = nameEnd
      while (pairEnd < end && bytes[pairEnd] !== PAIR_END) pairEnd++
      if (nameEnd + 1 < pairEnd) this.#found(at, nameEnd, pairEnd)
      at = pairEnd + 1
    }
  }

  #found(nameAt: number, nameEnd: number, pairEnd: number): void {
    const slots = this.#byLength.get(nameEnd - nameAt)
    if (slots === undefined) return
    for (const slot of slots) {
      if (!startsWith(this.bytes, nameAt, this.#names[slot]!)) continue
      this.#starts[slot] = nameEnd + 1
      this.#ends[slot] = pairEnd
      return
    }
  }

  has(slot: number): boolean {
    return this.#starts[slot]! >= 0
  }

  startOf(slot: number): number {
    return this.#starts[slot]!
  }

  endOf(slot: number): number {
    return this.#ends[slot]!
  }

  /** Null: the message does not have it. */
  text(slot: number): string | null {
    const start = this.#starts[slot]!
    if (start < 0) return null
    const { buffer, byteOffset } = this.bytes
    return Buffer.from(buffer, byteOffset + start, this.#ends[slot]! - start).toString('utf8')
  }

  equals(slot: number, value: Uint8Array): boolean {
    const start = this.#starts[slot]!
    return this.#ends[slot]! - start === value.length && startsWith(this.bytes, start, value)
  }
}

/** `prefix` stands at `at`; the caller knows that there is room for it. */
export function startsWith(bytes: Uint8Array, at: number, prefix: Uint8Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (bytes[at + i] !== prefix[i]) return false
  return true
}
