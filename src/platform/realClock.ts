import type { Clock, Timer } from './clock.ts'

/** The machine's own clocks and the event loop's timers. */
export const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback): Timer {
    const handle = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
  every(periodMs, callback): Timer {
    const handle = setInterval(callback, periodMs)
    return { cancel: () => clearInterval(handle) }
  },
  // The check phase follows the poll phase: whatever was readable has been read by then.
  turnEnd(callback) {
    setImmediate(callback)
  }
}
