import type { Clock, Timer } from '../../platform/index.ts'

/** Of one callback: a stall of this process is no silence of the leader (raft.md 4.6 a). */
const TICKS_MAX = 2

/**
 * Turns time into ticks and forgives the own stalls: what was slept through counts as two ticks at
 * most, and after a late call the sockets are read first (raft.md 4.6 a, b).
 */
export class Ticker {
  readonly #clock: Clock
  readonly #tickMs: number
  readonly #tick: (ticks: number) => void
  #timer: Timer | null = null
  #lastMs = 0

  constructor(clock: Clock, tickMs: number, tick: (ticks: number) => void) {
    this.#clock = clock
    this.#tickMs = tickMs
    this.#tick = tick
  }

  start(): void {
    this.#lastMs = this.#clock.monotonicMs()
    this.#timer = this.#clock.every(this.#tickMs, () => this.#called())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  #called(): void {
    const nowMs = this.#clock.monotonicMs()
    const passed = Math.floor((nowMs - this.#lastMs) / this.#tickMs)
    if (passed === 0) return
    this.#lastMs = passed > TICKS_MAX ? nowMs : this.#lastMs + passed * this.#tickMs
    const ticks = Math.min(passed, TICKS_MAX)
    if (passed <= TICKS_MAX) {
      this.#tick(ticks)
      return
    }
    // At least one poll phase runs before the decision.
    this.#clock.turnEnd(() =>
      this.#clock.turnEnd(() => {
        if (this.#timer !== null) this.#tick(ticks)
      })
    )
  }
}
