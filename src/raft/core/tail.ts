/**
 * Positions and sizes of the newest entries, so that frames and windows can be counted without the bodies. What is in
 * here, the driver has in memory; what is older is read by `readEntries`.
 * Invariant: covers `firstIndex … firstIndex + length - 1` without a gap, `bytes` is the sum of their sizes.
 */
export class Tail {
  #positions: number[] = []
  #sizes: number[] = []
  /** Elements before it are dead; they are removed in one go when they are many. */
  #head = 0
  #firstIndex: number
  #bytes = 0
  readonly #bytesLimit: number
  readonly #entriesLimit: number

  constructor(nextIndex: number, bytesLimit: number, entriesLimit: number) {
    this.#firstIndex = nextIndex
    this.#bytesLimit = bytesLimit
    this.#entriesLimit = entriesLimit
  }

  get firstIndex(): number {
    return this.#firstIndex
  }

  #length(): number {
    return this.#positions.length - this.#head
  }

  has(index: number): boolean {
    return index >= this.#firstIndex && index < this.#firstIndex + this.#length()
  }

  push(positionBytes: number, sizeBytes: number): void {
    this.#positions.push(positionBytes)
    this.#sizes.push(sizeBytes)
    this.#bytes += sizeBytes
    while (
      this.#length() > 1 &&
      (this.#bytes > this.#bytesLimit || this.#length() > this.#entriesLimit)
    ) {
      this.#bytes -= this.#sizes[this.#head] as number
      this.#head++
      this.#firstIndex++
    }
    if (this.#head > 1024 && this.#head * 2 > this.#positions.length) {
      this.#positions.splice(0, this.#head)
      this.#sizes.splice(0, this.#head)
      this.#head = 0
    }
  }

  sizeAt(index: number): number {
    return this.#sizes[this.#head + index - this.#firstIndex] as number
  }

  /** First byte behind the entry. */
  endAt(index: number): number {
    return (this.#positions[this.#head + index - this.#firstIndex] as number) + this.sizeAt(index)
  }

  positionAt(index: number): number {
    return this.#positions[this.#head + index - this.#firstIndex] as number
  }

  /** Removes `index` and what is behind it; the next entry pushed is `index`. */
  cutFrom(index: number): void {
    if (index <= this.#firstIndex) {
      this.#positions = []
      this.#sizes = []
      this.#head = 0
      this.#bytes = 0
      this.#firstIndex = index
      return
    }
    while (this.#firstIndex + this.#length() > index) {
      this.#bytes -= this.#sizes.pop() as number
      this.#positions.pop()
    }
  }
}
