/** A deadline or a period that can be called off. */
export interface Timer {
  /** After this the callback is not called any more. May be called twice. */
  cancel(): void
}

/** All time of the program comes from here, so that a simulation can own it. */
export interface Clock {
  /** Wall clock in ms since 1970; may jump both ways. For what people and messages see. */
  wallMs(): number
  /** Monotonic clock in ms with fraction, from an arbitrary start; never falls. For durations. */
  monotonicMs(): number
  /** Calls back once, not before `delayMs` (>= 0) have passed. */
  after(delayMs: number, callback: () => void): Timer
  /** Calls back every `periodMs` (>= 1) until cancelled; a late call does not make up for missed ones. */
  every(periodMs: number, callback: () => void): Timer
  /** Calls back once at the end of this turn of the event loop, after all sockets that were readable have been read. */
  turnEnd(callback: () => void): void
}
