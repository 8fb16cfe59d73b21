/** Longer names are decoded each time: nobody's topic is that long. */
const NAME_BYTES_MAX = 255

/**
 * Strings for names that come again and again as bytes, so that a topic costs no allocation per message. A direct-mapped cache: a slot
 * holds one name, another name of the same slot takes its place. Holds at most `slots` names of 255 bytes.
 */
export class InternTable {
  readonly #mask: number
  readonly #texts: (string | undefined)[]
  readonly #names: Uint8Array[]

  /** `slots`: a power of two. */
  constructor(slots: number) {
    this.#mask = slots - 1
    this.#texts = new Array(slots).fill(undefined)
    this.#names = new Array(slots).fill(new Uint8Array(0))
  }

  text(bytes: Buffer, at: number, length: number): string {
    if (length > NAME_BYTES_MAX) return bytes.toString('utf8', at, at + length)
    // Long names are told apart by sixteen of their bytes: names that only differ elsewhere share a slot, which costs time, not truth.
    const step = length <= 16 ? 1 : length >> 4
    let hash = length
    for (let i = length - 1; i >= 0; i -= step) hash = (Math.imul(hash, 31) + bytes[at + i]!) | 0
    const slot = (hash ^ (hash >>> 15)) & this.#mask
    const name = this.#names[slot]!
    if (name.length === length) {
      let same = 0
      while (same < length && name[same] === bytes[at + same]) same++
      const text = this.#texts[slot]
      if (same === length && text !== undefined) return text
    }
    const text = bytes.toString('utf8', at, at + length)
    this.#names[slot] = new Uint8Array(bytes.subarray(at, at + length))
    this.#texts[slot] = text
    return text
  }
}
