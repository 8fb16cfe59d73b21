import type { Clock, Timer } from '../../platform/index.ts'

const tickMs = 250
/** A loop that stood still for longer may read what was meant for the time before: its sender may have asked another member meanwhile. */
const stallMs = 1_000
/** What is read within this after a stall may have waited in a socket all the while. */
const suspectMs = 1_000

/** Knows whether this process stood still a moment ago (SIGSTOP, a suspended machine), by the monotonic clock. */
export class StallWatch {
  readonly #clock: Clock
  readonly #timer: Timer
  #seenMs: number
  #suspectUntilMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#seenMs = clock.monotonicMs()
    this.#timer = clock.every(tickMs, () => void this.stalled())
  }

  /** Sockets are read before timers run: so whoever reads asks, too. */
  stalled(): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#seenMs > stallMs) this.#suspectUntilMs = nowMs + suspectMs
    this.#seenMs = nowMs
    return nowMs < this.#suspectUntilMs
  }

  stop(): void {
    this.#timer.cancel()
  }
}
