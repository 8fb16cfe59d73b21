import type { TermStart } from './types.ts'

/** The term of every entry, as the indexes where a new term begins. */
export class TermMap {
  readonly #starts: TermStart[]

  constructor(starts: readonly TermStart[]) {
    this.#starts = [...starts]
  }

  append(index: number, term: number): void {
    const last = this.#starts.at(-1)
    if (last === undefined || term > last.term) this.#starts.push({ term, firstIndex: index })
    else if (term < last.term)
      throw new Error(`term ${term} of entry ${index} is below ${last.term}`)
  }

  cut(fromIndex: number): void {
    while ((this.#starts.at(-1)?.firstIndex ?? 0) >= fromIndex) this.#starts.pop()
  }

  /** The position in `#starts` of the term that holds at `index`, or -1. */
  #find(index: number): number {
    let low = -1
    let high = this.#starts.length - 1
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2)
      if (this.#starts[middle]!.firstIndex <= index) low = middle
      else high = middle - 1
    }
    return low
  }

  /** Term at an index that the log holds. */
  at(index: number): number {
    return this.#starts[this.#find(index)]?.term ?? 0
  }

  /** A repaired entry turns out to be of a later term than was assumed. */
  correct(index: number, term: number): void {
    const found = this.#find(index)
    if (found >= 0 && this.#starts[found]!.term >= term) return
    const next = this.#starts[found + 1]
    if (next !== undefined && next.term === term) this.#starts.splice(found + 1, 1)
    this.#starts.splice(found + 1, 0, { term, firstIndex: index })
  }

  trim(firstIndex: number): void {
    const found = this.#find(firstIndex)
    if (found <= 0) return
    this.#starts.splice(0, found)
    this.#starts[0] = { term: this.#starts[0]!.term, firstIndex }
  }
}
