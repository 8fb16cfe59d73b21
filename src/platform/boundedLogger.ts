import type { Clock } from './clock.ts'
import type { LogFields, Logger } from './logger.ts'

const WINDOW_MS = 10_000
/** Lines of one sentence, and of all together, in a window. */
const LINES_OF_ONE_MAX = 200
const LINES_MAX = 5_000

/**
 * Keeps what strangers can provoke from filling disks: of one sentence 20 lines a second are passed on, of all sentences 500, counted over
 * ten seconds, so that none drowns another; of the rest the next window's first line says how many there were. Debug lines pass uncounted: who asks for them wants all.
 */
export class BoundedLogger implements Logger {
  readonly #target: Logger
  readonly #clock: Clock
  readonly #lines = new Map<string, number>()
  #linesOfAll = 0
  #suppressed = 0
  #windowStartMs = Number.NEGATIVE_INFINITY

  constructor(target: Logger, clock: Clock) {
    this.#target = target
    this.#clock = clock
  }

  debug(message: string, fields?: LogFields): void {
    this.#target.debug(message, fields)
  }

  info(message: string, fields?: LogFields): void {
    if (this.#passes(message)) this.#target.info(message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    if (this.#passes(message)) this.#target.warn(message, fields)
  }

  error(message: string, fields?: LogFields): void {
    if (this.#passes(message)) this.#target.error(message, fields)
  }

  #passes(message: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#windowStartMs >= WINDOW_MS) this.#nextWindow(nowMs)
    // Never more sentences than lines, so the map is bounded too.
    if (this.#linesOfAll >= LINES_MAX) {
      this.#suppressed += 1
      return false
    }
    const lines = this.#lines.get(message) ?? 0
    if (lines >= LINES_OF_ONE_MAX) {
      this.#suppressed += 1
      return false
    }
    this.#lines.set(message, lines + 1)
    this.#linesOfAll += 1
    return true
  }

  #nextWindow(nowMs: number): void {
    if (this.#suppressed > 0)
      this.#target.warn('lines were left out, there were too many', { count: this.#suppressed })
    this.#windowStartMs = nowMs
    this.#lines.clear()
    this.#linesOfAll = 0
    this.#suppressed = 0
  }
}
