import type { Clock, Timer } from '../../src/platform/index.ts'

interface Pending {
  dueMs: number
  order: number
  periodMs: number | null
  callback: () => void
}

/** Time stands still until `advance`. The end of a turn is the event loop's, so that real sockets can be used beside it. */
export class FakeClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #pending = new Set<Pending>()
  readonly #wallStartMs: number

  constructor(wallStartMs = 1_700_000_000_000) {
    this.#wallStartMs = wallStartMs
  }

  wallMs(): number {
    return this.#wallStartMs + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#add(delayMs, null, callback)
  }

  every(periodMs: number, callback: () => void): Timer {
    return this.#add(periodMs, periodMs, callback)
  }

  turnEnd(callback: () => void): void {
    setImmediate(callback)
  }

  /** Timers that are set. */
  get timers(): number {
    return this.#pending.size
  }

  /** Lets `ms` pass: calls what falls due, in order, each at its time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#earliest()
      if (next === null || next.dueMs > endMs) break
      this.#nowMs = next.dueMs
      if (next.periodMs === null) this.#pending.delete(next)
      else next.dueMs += next.periodMs
      next.callback()
    }
    this.#nowMs = endMs
  }

  /** The process stands still for `ms`: afterwards everything overdue is called once, late. */
  stall(ms: number): void {
    this.#nowMs += ms
    const overdue = [...this.#pending].filter(pending => pending.dueMs <= this.#nowMs)
    overdue.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order)
    for (const pending of overdue) {
      if (pending.periodMs === null) this.#pending.delete(pending)
      else pending.dueMs = this.#nowMs + pending.periodMs
      pending.callback()
    }
  }

  #add(delayMs: number, periodMs: number | null, callback: () => void): Timer {
    const pending = { dueMs: this.#nowMs + delayMs, order: this.#order++, periodMs, callback }
    this.#pending.add(pending)
    return { cancel: () => void this.#pending.delete(pending) }
  }

  #earliest(): Pending | null {
    let first: Pending | null = null
    for (const pending of this.#pending) {
      if (
        first === null ||
        pending.dueMs < first.dueMs ||
        (pending.dueMs === first.dueMs && pending.order < first.order)
      ) {
        first = pending
      }
    }
    return first
  }
}
