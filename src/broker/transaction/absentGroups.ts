import type { Clock, Timer } from '../../platform/index.ts'
import { DueQueue } from './dueQueue.ts'

/** Between two looks whether a producer came, ms. */
const lookMs = 500

/**
 * Transactions whose group has no producer here: nobody can be asked, and nothing is counted, so that whoever comes gets the question that
 * is next. They come back when a producer is there, or each when its patience is over.
 */
export class AbsentGroups {
  readonly #clock: Clock
  readonly #timeMs: () => number
  readonly #isThere: (group: string) => boolean
  readonly #release: (physicalOffset: number) => void
  readonly #released: () => void
  readonly #groups = new Map<string, DueQueue>()
  #timer: Timer | null = null

  constructor(
    clock: Clock,
    told: {
      /** Of the log. */
      timeMs: () => number
      isThere: (group: string) => boolean
      /** For each transaction that is to be looked at again. */
      release: (physicalOffset: number) => void
      /** After some were released. */
      released: () => void
    }
  ) {
    this.#clock = clock
    this.#timeMs = told.timeMs
    this.#isThere = told.isThere
    this.#release = told.release
    this.#released = told.released
  }

  has(group: string): boolean {
    return this.#groups.has(group)
  }

  /** `untilMs`, by the time of the log: no later it comes back. */
  add(group: string, physicalOffset: number, untilMs: number): void {
    let waiting = this.#groups.get(group)
    if (waiting === undefined) {
      waiting = new DueQueue()
      this.#groups.set(group, waiting)
    }
    waiting.add(untilMs, physicalOffset)
    this.#timer ??= this.#clock.every(lookMs, () => this.#look())
  }

  clear(): void {
    this.#groups.clear()
    this.#timer?.cancel()
    this.#timer = null
  }

  #look(): void {
    const nowMs = this.#timeMs()
    let any = false
    for (const [group, waiting] of this.#groups) {
      const untilMs = this.#isThere(group) ? Number.POSITIVE_INFINITY : nowMs
      while (waiting.size > 0 && waiting.nextDueMs <= untilMs) {
        this.#release(waiting.take()!)
        any = true
      }
      if (waiting.size === 0) this.#groups.delete(group)
    }
    if (this.#groups.size === 0) {
      this.#timer?.cancel()
      this.#timer = null
    }
    if (any) this.#released()
  }
}
