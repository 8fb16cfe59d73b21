import type { Blocks } from '../../platform/index.ts'

/** What a socket was given and may still have to read, in its order: blocks that are held for it are given back when it was taken. */
export class SentBytes {
  readonly #blocks: Blocks
  #views: Buffer[] = []
  /** Where each ends in all that was given. */
  #ends: number[] = []
  #givenBytes = 0

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  /** The socket has these; each has a hold. */
  given(views: readonly Buffer[]): void {
    for (const view of views) {
      this.#givenBytes += view.length
      this.#views.push(view)
      this.#ends.push(this.#givenBytes)
    }
  }

  /** So much of what the socket was given, by others too, still waits in it. */
  waiting(bytes: number): void {
    const takenBytes = this.#givenBytes - bytes
    let count = 0
    while (count < this.#ends.length && this.#ends[count]! <= takenBytes) {
      this.#blocks.release(this.#views[count]!)
      count += 1
    }
    if (count === 0) return
    this.#views.splice(0, count)
    this.#ends.splice(0, count)
  }

  /** The socket is gone: nobody says any more what it has taken. */
  forget(): void {
    this.#views = []
    this.#ends = []
    this.#givenBytes = 0
  }
}
