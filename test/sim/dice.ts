import type { Random } from '../../src/platform/index.ts'
import { generator } from '../helpers/generator.ts'

/** All chance of a simulation: one seed, and a stream of its own for each use, so that one more throw here changes nothing there. */
export class Dice implements Random {
  readonly #seed: number
  readonly #next: () => number

  constructor(seed: number) {
    this.#seed = seed >>> 0
    this.#next = generator(this.#seed)
    for (let i = 0; i < 3; i++) this.#next()
  }

  /** Another stream, the same for the same name. */
  fork(name: string): Dice {
    let hash = this.#seed ^ 0x9e3779b9
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
    return new Dice(hash ^ (hash >>> 15))
  }

  next(): number {
    return this.#next()
  }

  below(limit: number): number {
    return Math.floor(this.#next() * limit)
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let i = 0; i < length; i++) bytes[i] = this.below(256)
    return bytes
  }

  between(low: number, high: number): number {
    return low + this.#next() * (high - low)
  }

  /** Small values often, large ones now and then: uniform in the logarithm. `low` above 0. */
  skewed(low: number, high: number): number {
    return low * (high / low) ** this.#next()
  }

  chance(probability: number): boolean {
    return this.#next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  /** Time to the next event of a kind that comes each `meanMs` on average. */
  waitMs(meanMs: number): number {
    return -Math.log(1 - this.#next()) * meanMs
  }

  shuffled<T>(list: readonly T[]): T[] {
    const all = [...list]
    for (let i = all.length - 1; i > 0; i--) {
      const at = this.below(i + 1)
      const swapped = all[i]!
      all[i] = all[at]!
      all[at] = swapped
    }
    return all
  }
}
