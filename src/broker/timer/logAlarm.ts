import type { Clock, Timer } from '../../platform/index.ts'

/** The time of the log draws near to the wall clock and is not this node's, so it is looked at again after so long, ms. */
const sleepMsMax = 5_000

/** Wakes somebody at a time of the log, or some seconds before: whoever is woken looks what is due. One time is set, or none. */
export class LogAlarm {
  readonly #clock: Clock
  readonly #logTimeMs: () => number
  readonly #wake: () => void
  #timer: Timer | null = null
  /** What is set, by the time of the log; infinite: nothing. */
  atMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock, logTimeMs: () => number, wake: () => void) {
    this.#clock = clock
    this.#logTimeMs = logTimeMs
    this.#wake = wake
  }

  get isSet(): boolean {
    return this.#timer !== null
  }

  /** Instead of what was set before; infinite: never. */
  set(logMs: number): void {
    this.cancel()
    if (logMs === Number.POSITIVE_INFINITY) return
    this.atMs = logMs
    const ms = Math.min(sleepMsMax, Math.max(1, Math.ceil(logMs - this.#logTimeMs())))
    this.#timer = this.#clock.after(ms, this.#wake)
  }

  cancel(): void {
    this.#timer?.cancel()
    this.#timer = null
    this.atMs = Number.POSITIVE_INFINITY
  }
}
