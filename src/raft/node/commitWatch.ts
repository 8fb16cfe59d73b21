import type { Clock } from '../../platform/index.ts'

/** Commits that take longer than this make catch-up reads give way. */
const SLOW_COMMIT_MS = 20
const SMOOTHING = 0.05

/** How long the leader's own entries take from append to commit. */
export class CommitWatch {
  readonly #clock: Clock
  #indexes: number[] = []
  #timesMs: number[] = []
  #head = 0
  #smoothedMs = 0
  commits = 0
  sumMs = 0
  maxMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get slow(): boolean {
    return this.#smoothedMs > SLOW_COMMIT_MS
  }

  appended(index: number): void {
    this.#indexes.push(index)
    this.#timesMs.push(this.#clock.monotonicMs())
  }

  committed(index: number): void {
    if (this.#head === this.#indexes.length || this.#indexes[this.#head]! > index) return
    const nowMs = this.#clock.monotonicMs()
    while (this.#head < this.#indexes.length && this.#indexes[this.#head]! <= index) {
      const tookMs = nowMs - this.#timesMs[this.#head]!
      this.#head += 1
      this.commits += 1
      this.sumMs += tookMs
      if (tookMs > this.maxMs) this.maxMs = tookMs
      this.#smoothedMs += (tookMs - this.#smoothedMs) * SMOOTHING
    }
    if (this.#head === this.#indexes.length) this.reset()
    else if (this.#head > 1024) {
      this.#indexes = this.#indexes.slice(this.#head)
      this.#timesMs = this.#timesMs.slice(this.#head)
      this.#head = 0
    }
  }

  /** Nothing of the own is under way. */
  reset(): void {
    this.#indexes.length = 0
    this.#timesMs.length = 0
    this.#head = 0
  }
}
