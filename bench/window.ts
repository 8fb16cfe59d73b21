import hdr from 'hdr-histogram-js'
import { cpuSeconds, residentMb, type Watched } from './processes.ts'

/** What every load program prints as one line of JSON, whatever the system that it loads. */
export interface Report {
  messagesPerSecond: number
  p50Ms?: number
  p99Ms?: number
  p999Ms?: number
  maxMs?: number
  /** Sends that were answered with an error, from the first connection on. */
  refused?: number
  lastRefusal?: string
  /** User and system CPU time of each process within the window, divided by the messages acknowledged in it. */
  cpuMicrosPerMessage: Record<string, number>
  residentMb: Record<string, number>
}

const LATENCY_US_MAX = 60_000_000

/**
 * The part of a load that is measured: it opens after the warm-up and closes after the given time, and only what is
 * acknowledged in between counts.
 */
export class Window {
  #open = false
  #acknowledged = 0
  #refused = 0
  #lastRefusal = ''
  readonly #latencyUs = hdr.build({
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3
  })

  /** One request was acknowledged, `latencyUs` after it was written. */
  acknowledge(latencyUs: number): void {
    if (!this.#open) return
    this.#acknowledged += 1
    this.#latencyUs.recordValue(Math.min(LATENCY_US_MAX, Math.round(latencyUs)))
  }

  /** One request was answered with an error. */
  refuse(why: string): void {
    this.#refused += 1
    this.#lastRefusal = why
  }

  /** Waits for warm-up and window. `batch` is how many messages one request carries. */
  async measure(
    warmupSeconds: number,
    seconds: number,
    watched: readonly Watched[],
    batch: number
  ): Promise<Report> {
    await pause(warmupSeconds)
    const before = watched.map(({ pid }) => cpuSeconds(pid))
    const began = performance.now()
    this.#open = true
    await pause(seconds)
    this.#open = false
    const elapsed = (performance.now() - began) / 1000
    const messages = this.#acknowledged * batch
    if (messages === 0) {
      throw new Error(`nothing was acknowledged in ${seconds} s. ${this.#lastRefusal}`)
    }
    const ms = (percentile: number): number =>
      this.#latencyUs.getValueAtPercentile(percentile) / 1000
    return {
      messagesPerSecond: Math.round(messages / elapsed),
      p50Ms: ms(50),
      p99Ms: ms(99),
      p999Ms: ms(99.9),
      maxMs: this.#latencyUs.maxValue / 1000,
      refused: this.#refused,
      ...(this.#refused > 0 ? { lastRefusal: this.#lastRefusal } : {}),
      cpuMicrosPerMessage: Object.fromEntries(
        watched.map(({ name, pid }, i) => [
          name,
          Math.round(((cpuSeconds(pid) - before[i]!) * 1e8) / messages) / 100
        ])
      ),
      residentMb: Object.fromEntries(watched.map(({ name, pid }) => [name, residentMb(pid)]))
    }
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, seconds * 1000))
}
