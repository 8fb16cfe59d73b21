/** A small seeded generator (mulberry32): the core's only source of chance, part of its state. */
export class Generator {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Uniform integer in [0, limit); `limit` >= 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return Math.floor((((z ^ (z >>> 14)) >>> 0) / 0x1_0000_0000) * limit)
  }

  /** Uniform integer in [least, most]. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }
}
