import type { Clock, Timer } from '../../platform/index.ts'
import { DamagedEntryError } from './errors.ts'

/** Who reads damaged entries at once, and is kept waiting for them. */
const WAITING_MAX = 4096

interface Waiter {
  readonly index: number
  readonly timer: Timer
  resolve(again: boolean): void
}

/** Readers of damaged entries, until these are back: a peer gives them back within milliseconds as a rule. */
export class RepairWaits {
  readonly #clock: Clock
  readonly #faults: ReadonlyMap<number, unknown>
  readonly #waiters = new Set<Waiter>()
  #closed = false

  constructor(clock: Clock, faults: ReadonlyMap<number, unknown>) {
    this.#clock = clock
    this.#faults = faults
  }

  /** What `read` gives, which is asked again when the damaged entry that it met is back; at most for `patienceMs`. */
  async patiently<T>(read: () => Promise<T>, patienceMs: number): Promise<T> {
    const endMs = this.#clock.monotonicMs() + patienceMs
    for (;;) {
      try {
        return await read()
      } catch (error) {
        if (!(error instanceof DamagedEntryError)) throw error
        if (!(await this.#until(error.fault.index, endMs))) throw error
      }
    }
  }

  /** True: read again. False: the time is over, too many wait, or the log is closed. */
  #until(index: number, endMs: number): Promise<boolean> {
    const leftMs = endMs - this.#clock.monotonicMs()
    if (this.#closed || leftMs <= 0) return Promise.resolve(false)
    // It may have come back while the error was on its way.
    if (!this.#faults.has(index)) return Promise.resolve(true)
    if (this.#waiters.size >= WAITING_MAX) return Promise.resolve(false)
    return new Promise(resolve => {
      const timer = this.#clock.after(leftMs, () => {
        this.#waiters.delete(waiter)
        resolve(false)
      })
      const waiter: Waiter = { index, timer, resolve }
      this.#waiters.add(waiter)
    })
  }

  /** Entries were repaired, cut or trimmed: who waits for one that is not damaged any more finds out. */
  changed(): void {
    for (const waiter of this.#waiters) {
      if (!this.#faults.has(waiter.index)) this.#end(waiter, true)
    }
  }

  close(): void {
    this.#closed = true
    for (const waiter of this.#waiters) this.#end(waiter, false)
  }

  #end(waiter: Waiter, again: boolean): void {
    this.#waiters.delete(waiter)
    waiter.timer.cancel()
    waiter.resolve(again)
  }
}
