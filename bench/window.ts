import hdr from 'hdr-histogram-js'
import { costs, cpuOf, type Watched } from './processes.ts'
import { nowUs } from './slots.ts'

/** What every load program prints as one line of JSON, whatever the system that it loads. */
export interface Report {
  messagesPerSecond: number
  p50Ms?: number
  p99Ms?: number
  p999Ms?: number
  maxMs?: number
  /** Longest time within the window in which nothing was acknowledged. */
  longestPauseMs?: number
  /** Open loop: the messages that were due in a second. */
  targetPerSecond?: number
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
  #lastUs = 0
  #longestPauseUs = 0
  readonly #latencyUs = hdr.build({
    highestTrackableValue: LATENCY_US_MAX,
    numberOfSignificantValueDigits: 3
  })

  /** One request that began at `startedUs` was acknowledged at `nowUs`. */
  acknowledge(startedUs: number, nowUs: number): void {
    if (!this.#open) return
    this.#acknowledged += 1
    this.#endPause(nowUs)
    this.#latencyUs.recordValue(Math.min(LATENCY_US_MAX, Math.round(nowUs - startedUs)))
  }

  #endPause(nowUs: number): void {
    if (nowUs - this.#lastUs > this.#longestPauseUs) this.#longestPauseUs = nowUs - this.#lastUs
    this.#lastUs = nowUs
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
    const before = cpuOf(watched)
    const beganUs = nowUs()
    this.#lastUs = beganUs
    this.#open = true
    await pause(seconds)
    this.#open = false
    const endedUs = nowUs()
    this.#endPause(endedUs)
    const elapsed = (endedUs - beganUs) / 1_000_000
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
      longestPauseMs: this.#longestPauseUs / 1000,
      refused: this.#refused,
      ...(this.#refused > 0 ? { lastRefusal: this.#lastRefusal } : {}),
      ...costs(watched, before, messages)
    }
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, seconds * 1000))
}
