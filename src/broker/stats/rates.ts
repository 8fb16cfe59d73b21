import type { Clock, Timer } from '../../platform/index.ts'

/** Cumulative counters at one moment. */
export interface RateCounters {
  putMessages: number
  getFound: number
  getMissed: number
  getMessages: number
}

const samplePeriodMs = 1_000
/** Spans that the runtime table shows, s (broker.md 7.5). */
const spansSeconds = [10, 60, 600] as const
const samplesKept = 601
const counterNames = ['putMessages', 'getFound', 'getMissed', 'getMessages'] as const
/** Time, then the counters. */
const cellsPerSample = counterNames.length + 1

/**
 * Rates over the last 10, 60 and 600 s from a sample each second. The samples lie in a ring:
 *
 *   cells: [t0 p0 f0 m0 g0 | t1 p1 f1 m1 g1 | … ]   newest at (count - 1) % 601
 */
export class RuntimeRates {
  readonly #clock: Clock
  readonly #counters: RateCounters
  readonly #cells = new Float64Array(samplesKept * cellsPerSample)
  #count = 0
  #timer: Timer | null = null

  /** `counters` is read at each sample. */
  constructor(clock: Clock, counters: RateCounters) {
    this.#clock = clock
    this.#counters = counters
  }

  start(): void {
    this.sample()
    this.#timer = this.#clock.every(samplePeriodMs, () => this.sample())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  sample(): void {
    const at = (this.#count % samplesKept) * cellsPerSample
    this.#cells[at] = this.#clock.monotonicMs()
    for (let i = 0; i < counterNames.length; i++)
      this.#cells[at + 1 + i] = this.#counters[counterNames[i]!]
    this.#count++
  }

  /**
   * Per second over the last 10, 60 and 600 s, of the sum of the named counters. Over what there is while the samples do not reach that
   * far yet, so that there are always three numbers (mqadmin.md 10: tools fail on an empty one).
   */
  perSecond(...names: (keyof RateCounters)[]): [number, number, number] {
    const rates = spansSeconds.map(span => {
      const reach = Math.min(span, this.#count - 1, samplesKept - 1)
      if (reach < 1) return 0
      const newest = this.#at(this.#count - 1)
      const oldest = this.#at(this.#count - 1 - reach)
      const elapsedMs = this.#cells[newest]! - this.#cells[oldest]!
      let difference = 0
      for (const name of names) {
        const cell = 1 + counterNames.indexOf(name)
        difference += this.#cells[newest + cell]! - this.#cells[oldest + cell]!
      }
      return elapsedMs > 0 ? (difference * 1_000) / elapsedMs : 0
    })
    return rates as [number, number, number]
  }

  #at(sample: number): number {
    return (sample % samplesKept) * cellsPerSample
  }
}
