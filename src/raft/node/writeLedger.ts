/**
 * Which writes are still on their way to the disk. Appends and cuts are finished by the log in
 * their order, rewrites of damaged entries whenever they are; the core wants to hear of a number
 * only when all up to it are durable.
 */
export class WriteLedger {
  /** Sequence numbers of unfinished writes, rising. */
  readonly #appends: number[] = []
  readonly #rewrites: number[] = []
  #lastSeq = 0
  #reportedSeq = 0

  /** Appends and cuts on their way. */
  get appendsWaiting(): number {
    return this.#appends.length
  }

  appending(writeSeq: number): void {
    this.#appends.push(writeSeq)
    this.#lastSeq = writeSeq
  }

  rewriting(writeSeq: number): void {
    this.#rewrites.push(writeSeq)
    this.#lastSeq = writeSeq
  }

  /** The log has finished all appends and cuts up to `writeSeq`. */
  appended(writeSeq: number): void {
    let done = 0
    while (done < this.#appends.length && this.#appends[done]! <= writeSeq) done += 1
    this.#appends.splice(0, done)
  }

  rewritten(writeSeq: number): void {
    const at = this.#rewrites.indexOf(writeSeq)
    if (at >= 0) this.#rewrites.splice(at, 1)
  }

  /** All up to this are durable; 0: nothing new since the last call. */
  takeDone(): number {
    const oldest = Math.min(
      this.#appends[0] ?? Number.POSITIVE_INFINITY,
      this.#rewrites[0] ?? Number.POSITIVE_INFINITY
    )
    const done = Math.min(oldest - 1, this.#lastSeq)
    if (done <= this.#reportedSeq) return 0
    this.#reportedSeq = done
    return done
  }
}
