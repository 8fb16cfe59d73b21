import type { Clock, Logger } from '../../platform/index.ts'

/** Share of the progress by which an entry's time may be drawn towards the wall clock. */
const DRAW_SHARE = 0.1
const WORTH_A_LINE_MS = 1000
const LOG_PERIOD_MS = 60_000

/**
 * The time that a leader writes into its entries (raft.md 4.2, `time`): never falls, never jumps,
 * never stands still, whatever the wall clocks of successive leaders say.
 */
export class EntryClock {
  readonly #clock: Clock
  readonly #logger: Logger
  /** With its fraction, so that many entries within one ms do not hold it up. */
  #lastMs: number
  /** When the last entry was written or received; null before the first since the start. */
  #lastSeenMs: number | null = null
  #loggedMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, logger: Logger, lastEntryTimeMs: number) {
    this.#clock = clock
    this.#logger = logger
    this.#lastMs = lastEntryTimeMs
  }

  /** An entry of another leader arrived. */
  received(entryTimeMs: number): void {
    this.#lastMs = entryTimeMs
    this.#lastSeenMs = this.#clock.monotonicMs()
  }

  /** Time that an entry would have if it were written now. */
  now(): number {
    return Math.floor(this.#timeAt(this.#clock.monotonicMs(), this.#clock.wallMs()))
  }

  #timeAt(nowMs: number, wallMs: number): number {
    if (this.#lastSeenMs === null) return Math.max(this.#lastMs, wallMs)
    const progressMs = nowMs - this.#lastSeenMs
    const aheadMs = wallMs - (this.#lastMs + progressMs)
    const drawMs = Math.max(-DRAW_SHARE * progressMs, Math.min(DRAW_SHARE * progressMs, aheadMs))
    return this.#lastMs + progressMs + drawMs
  }

  /** Time of the entry that is written now. */
  next(): number {
    const nowMs = this.#clock.monotonicMs()
    const wallMs = this.#clock.wallMs()
    this.#lastMs = this.#timeAt(nowMs, wallMs)
    this.#lastSeenMs = nowMs
    const differenceMs = this.#lastMs - wallMs
    if (Math.abs(differenceMs) > WORTH_A_LINE_MS && nowMs - this.#loggedMs > LOG_PERIOD_MS) {
      this.#loggedMs = nowMs
      this.#logger.warn('The wall clock differs from the time in the log', {
        logMinusWallMs: Math.round(differenceMs)
      })
    }
    return Math.floor(this.#lastMs)
  }
}
