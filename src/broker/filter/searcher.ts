/** Looks for one text in many; linear in the length of what is searched, whatever both texts are (Knuth, Morris, Pratt). */
export class Searcher {
  readonly #wanted: Uint8Array
  /** For each length of a match so far: the longest shorter one that may go on. */
  readonly #shorter: Uint32Array

  /** `wanted`: at least one byte. */
  constructor(wanted: Uint8Array) {
    this.#wanted = wanted
    this.#shorter = new Uint32Array(wanted.length)
    let length = 0
    for (let i = 1; i < wanted.length; i++) {
      while (length > 0 && wanted[i] !== wanted[length]) length = this.#shorter[length - 1]!
      if (wanted[i] === wanted[length]) length += 1
      this.#shorter[i] = length
    }
  }

  isIn(bytes: Uint8Array, start: number, end: number): boolean {
    const wanted = this.#wanted
    let length = 0
    for (let at = start; at < end; at++) {
      while (length > 0 && bytes[at] !== wanted[length]) length = this.#shorter[length - 1]!
      if (bytes[at] === wanted[length]) length += 1
      if (length === wanted.length) return true
    }
    return false
  }
}
