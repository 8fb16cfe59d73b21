/**
 * Items by due time, the earliest first: a binary heap in two arrays, so that a hundred thousand numbers cost no object each. What is
 * done with stays in it until its time comes; the owner looks whether it still counts, and fills it anew when too much does not.
 */
export class DueQueue<T = number> {
  #due: number[] = []
  #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** Time of the first; infinite when empty. */
  get nextDueMs(): number {
    return this.#due[0] ?? Number.POSITIVE_INFINITY
  }

  clear(): void {
    this.#due = []
    this.#items = []
  }

  add(dueMs: number, item: T): void {
    let at = this.#items.length
    this.#due.push(dueMs)
    this.#items.push(item)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#due[parent]! <= dueMs) break
      this.#move(parent, at)
      at = parent
    }
    this.#due[at] = dueMs
    this.#items[at] = item
  }

  /** Takes the first out; undefined when empty. */
  take(): T | undefined {
    const first = this.#items[0]
    const dueMs = this.#due.pop()
    const item = this.#items.pop()
    if (first === undefined || dueMs === undefined || item === undefined) return undefined
    const size = this.#items.length
    if (size === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && this.#due[child + 1]! < this.#due[child]!) child++
      if (this.#due[child]! >= dueMs) break
      this.#move(child, at)
      at = child
    }
    this.#due[at] = dueMs
    this.#items[at] = item
    return first
  }

  #move(from: number, to: number): void {
    this.#due[to] = this.#due[from]!
    this.#items[to] = this.#items[from]!
  }
}
