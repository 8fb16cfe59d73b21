import type { LogFields, Logger } from '../platform/index.ts'

/** What strangers can provoke is logged at most so often; the rest is counted. */
const LINES_PER_WINDOW = 10
const WINDOW_MS = 10_000

/** A logger for events that a client can cause at will. */
export class BoundedLog {
  readonly #logger: Logger
  #windowStartMs = Number.NEGATIVE_INFINITY
  #lines = 0
  #suppressed = 0

  constructor(logger: Logger) {
    this.#logger = logger
  }

  warn(nowMs: number, message: string, fields: LogFields): void {
    if (nowMs - this.#windowStartMs >= WINDOW_MS) {
      if (this.#suppressed > 0) {
        this.#logger.warn('Events like the last ones were not logged', { count: this.#suppressed })
      }
      this.#windowStartMs = nowMs
      this.#lines = 0
      this.#suppressed = 0
    }
    if (this.#lines >= LINES_PER_WINDOW) {
      this.#suppressed += 1
      return
    }
    this.#lines += 1
    this.#logger.warn(message, fields)
  }
}
