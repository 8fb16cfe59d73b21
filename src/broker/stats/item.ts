interface Sample {
  atMs: number
  value: number
  times: number
}

/** What a span of time shows of an item (broker.md 7.4). */
export interface Span {
  sum: number
  /** Per second. */
  tps: number
  /** Value per time counted. */
  avgpt: number
}

const noSpan: Span = { sum: 0, tps: 0, avgpt: 0 }

class Window {
  readonly #samples: Sample[] = []
  readonly #periodMs: number
  readonly #kept: number

  constructor(periodMs: number, kept: number) {
    this.#periodMs = periodMs
    this.#kept = kept
  }

  sample(atMs: number, value: number, times: number): void {
    // The first one needs something to differ from: the original takes a zero one period earlier.
    if (this.#samples.length === 0)
      this.#samples.push({ atMs: atMs - this.#periodMs, value: 0, times: 0 })
    this.#samples.push({ atMs, value, times })
    if (this.#samples.length > this.#kept) this.#samples.shift()
  }

  span(): Span {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last === first) return noSpan
    const sum = last.value - first.value
    const times = last.times - first.times
    const elapsedMs = last.atMs - first.atMs
    return {
      sum,
      tps: elapsedMs > 0 ? (sum * 1_000) / elapsedMs : 0,
      avgpt: times > 0 ? sum / times : 0
    }
  }
}

export const samplePeriodMs = 10_000
const samplesPerTenMinutes = 60
const samplesPerHour = 360
const minuteSamples = 7
const hourSamples = 7
const daySamples = 25

/** One counted thing. The hot path adds to `value` and `times`; everything else is done by the sampling. */
export class StatItem {
  value = 0
  times = 0
  readonly #minute = new Window(samplePeriodMs, minuteSamples)
  readonly #hour = new Window(samplePeriodMs * samplesPerTenMinutes, hourSamples)
  readonly #day = new Window(samplePeriodMs * samplesPerHour, daySamples)

  add(value: number, times: number): void {
    this.value += value
    this.times += times
  }

  /** `round` counts the samplings since the start, from 1: each sixtieth goes to the hour, each 360th to the day. */
  sample(round: number, nowMs: number): void {
    this.#minute.sample(nowMs, this.value, this.times)
    if (round % samplesPerTenMinutes === 0) this.#hour.sample(nowMs, this.value, this.times)
    if (round % samplesPerHour === 0) this.#day.sample(nowMs, this.value, this.times)
  }

  spans(): { minute: Span; hour: Span; day: Span } {
    return { minute: this.#minute.span(), hour: this.#hour.span(), day: this.#day.span() }
  }
}
