import { panic } from './panic.ts'

/**
 * Which term each index has, as the sorted first index of each term: a log of millions of entries has a few of them.
 * Invariant: both arrays rise strictly; the first element covers the index before the log's start.
 */
export class TermMap {
  readonly #terms: number[] = []
  readonly #firstIndexes: number[] = []
  #startIndex: number
  #lastIndex: number

  /** `startIndex` is the index before the first entry (0 for a whole log), `startTerm` its term (0 when there is none). */
  constructor(startIndex: number, startTerm: number) {
    this.#startIndex = startIndex
    this.#lastIndex = startIndex
    this.#terms.push(startTerm)
    this.#firstIndexes.push(startIndex)
  }

  get startIndex(): number {
    return this.#startIndex
  }

  get lastIndex(): number {
    return this.#lastIndex
  }

  get lastTerm(): number {
    return this.#terms[this.#terms.length - 1] as number
  }

  /** Entries up to `lastIndex` follow the present last one, all of `term`. */
  append(lastIndex: number, term: number): void {
    if (term < this.lastTerm) panic(`term ${term} behind an entry of term ${this.lastTerm}`)
    if (lastIndex <= this.#lastIndex) panic(`append up to ${lastIndex} behind ${this.#lastIndex}`)
    if (term > this.lastTerm) {
      this.#terms.push(term)
      this.#firstIndexes.push(this.#lastIndex + 1)
    }
    this.#lastIndex = lastIndex
  }

  /** Term of `index`, 0 when it is outside of what is known. */
  termAt(index: number): number {
    if (index < this.#startIndex || index > this.#lastIndex) return 0
    return this.#terms[this.#slot(index)] as number
  }

  /**
   * An entry whose term was guessed as that of the one before it turns out to be of `term`. What follows it up to the
   * next known term was guessed by the same, and cannot be of an older one.
   */
  correct(index: number, term: number): void {
    if (index <= this.#startIndex || index > this.#lastIndex) return
    const slot = this.#slot(index)
    if (term <= (this.#terms[slot] as number)) return
    const next = this.#terms[slot + 1]
    if (next !== undefined && term > next)
      panic(`entry ${index} of term ${term} before one of ${next}`)
    const isFirst = this.#firstIndexes[slot] === index
    const from = isFirst ? slot : slot + 1
    const replaced = (isFirst ? 1 : 0) + (next === term ? 1 : 0)
    this.#terms.splice(from, replaced, term)
    this.#firstIndexes.splice(from, replaced, index)
  }

  /** Removes `fromIndex` and everything behind it. */
  cutFrom(fromIndex: number): void {
    if (fromIndex <= this.#startIndex)
      panic(`cut at ${fromIndex}, the log starts behind ${this.#startIndex}`)
    if (fromIndex > this.#lastIndex) return
    const keep = this.#slot(fromIndex - 1) + 1
    this.#terms.length = keep
    this.#firstIndexes.length = keep
    this.#lastIndex = fromIndex - 1
  }

  /** Forgets what stands before `startIndex`, whose own term is kept. */
  trimTo(startIndex: number): void {
    if (startIndex <= this.#startIndex) return
    if (startIndex > this.#lastIndex)
      panic(`trim to ${startIndex}, the log ends at ${this.#lastIndex}`)
    const slot = this.#slot(startIndex)
    this.#terms.splice(0, slot)
    this.#firstIndexes.splice(0, slot)
    this.#firstIndexes[0] = startIndex
    this.#startIndex = startIndex
  }

  /** Greatest known index <= `index` whose term is <= `term` (R-L3); the start when there is none above it. */
  findAtMost(index: number, term: number): number {
    let slot = this.#slot(Math.min(Math.max(index, this.#startIndex), this.#lastIndex))
    if ((this.#terms[slot] as number) <= term) {
      return Math.min(Math.max(index, this.#startIndex), this.#lastIndex)
    }
    while (slot > 0 && (this.#terms[slot] as number) > term) slot--
    if ((this.#terms[slot] as number) > term) return this.#startIndex
    return (this.#firstIndexes[slot + 1] as number) - 1
  }

  /** The slot that covers `index`, by bisection. */
  #slot(index: number): number {
    let low = 0
    let high = this.#firstIndexes.length - 1
    if (index >= (this.#firstIndexes[high] as number)) return high
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#firstIndexes[middle] as number) <= index) low = middle
      else high = middle - 1
    }
    return low
  }
}
