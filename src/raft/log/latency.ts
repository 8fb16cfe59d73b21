import type { Clock } from '../../platform/index.ts'
import type { LatencySummary } from './types.ts'

const BUCKETS = 18
const FIRST_BUCKET_MS = 0.25

/** How long one kind of operation takes, of which one at a time is under way (R-D9). */
export class Latency {
  readonly #clock: Clock
  #startedMs: number | null = null
  #count = 0
  #totalMs = 0
  #maxMs = 0
  readonly #buckets: number[] = new Array(BUCKETS).fill(0)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  begin(): void {
    this.#startedMs = this.#clock.monotonicMs()
  }

  end(): void {
    if (this.#startedMs === null) return
    const ms = this.#clock.monotonicMs() - this.#startedMs
    this.#startedMs = null
    this.#count += 1
    this.#totalMs += ms
    if (ms > this.#maxMs) this.#maxMs = ms
    let bucket = 0
    for (let limit = FIRST_BUCKET_MS; ms >= limit && bucket < BUCKETS - 1; limit *= 2) bucket += 1
    this.#buckets[bucket]! += 1
  }

  /** Age of the operation under way, 0 if there is none. */
  runningMs(): number {
    return this.#startedMs === null ? 0 : this.#clock.monotonicMs() - this.#startedMs
  }

  summary(): LatencySummary {
    return {
      count: this.#count,
      totalMs: this.#totalMs,
      maxMs: this.#maxMs,
      buckets: [...this.#buckets]
    }
  }
}
