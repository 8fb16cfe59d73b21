import type { Clock } from '../platform/index.ts'

/** RocketMQ's table: an answer that took so long keeps its broker group out of the rotation for that time, both ms. */
const ISOLATIONS: readonly (readonly [latencyMs: number, isolationMs: number])[] = [
  [15_000, 30_000],
  [5_000, 10_000],
  [3_000, 6_000],
  [1_800, 5_000],
  [550, 2_000],
  [100, 0]
]
/** A send that failed counts as an answer after this time. */
const FAILED_LATENCY_MS = 10_000

/** Broker groups that were slow or failed lately (`sendLatencyFaultEnable`). One entry a broker group. */
export class LatencyFaults {
  readonly #clock: Clock
  readonly #untilMs = new Map<string, number>()
  readonly #unreachable = new Set<string>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** An attempt at the group ended after `latencyMs`. `unreachable`: nothing of it answered. */
  ended(
    brokerName: string,
    latencyMs: number,
    outcome: 'answered' | 'failed' | 'unreachable'
  ): void {
    const countedMs = outcome === 'answered' ? latencyMs : FAILED_LATENCY_MS
    const isolationMs = ISOLATIONS.find(([fromMs]) => countedMs >= fromMs)?.[1] ?? 0
    if (outcome === 'unreachable') this.#unreachable.add(brokerName)
    else this.#unreachable.delete(brokerName)
    if (isolationMs === 0) return
    const untilMs = this.#clock.monotonicMs() + isolationMs
    if (untilMs > (this.#untilMs.get(brokerName) ?? 0)) this.#untilMs.set(brokerName, untilMs)
  }

  /** Neither slow nor failing of late. */
  isAvailable(brokerName: string): boolean {
    return this.#clock.monotonicMs() >= (this.#untilMs.get(brokerName) ?? 0)
  }

  /** Its last attempt reached it, however slow it was. */
  isReachable(brokerName: string): boolean {
    return !this.#unreachable.has(brokerName)
  }
}
