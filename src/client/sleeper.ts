import type { Clock, Timer } from '../platform/index.ts'

/** A pause that another party may end early; at most one waiter at a time. */
export class Sleeper {
  readonly #clock: Clock
  #timer: Timer | null = null
  #wake: (() => void) | null = null
  #stopped: boolean = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Resolves after `delayMs`, at `wake()`, or at once after `stop()`. */
  sleep(delayMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise(resolve => {
      this.#wake = resolve
      this.#timer = this.#clock.after(delayMs, () => this.wake())
    })
  }

  wake(): void {
    this.#timer?.cancel()
    this.#timer = null
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  stop(): void {
    this.#stopped = true
    this.wake()
  }
}

/** Resolves with the work, or after `limitMs` whatever the work does; the timer goes when the work is done first. */
export async function atMost(clock: Clock, limitMs: number, work: Promise<unknown>): Promise<void> {
  const sleeper = new Sleeper(clock)
  await Promise.race([work, sleeper.sleep(limitMs)]).finally(() => sleeper.stop())
}

/** A pause that nobody ends early. */
export function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise(resolve => {
    clock.after(delayMs, resolve)
  })
}
