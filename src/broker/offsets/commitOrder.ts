import type { Clock } from '../../platform/index.ts'
import type { Caller } from '../dispatch/handler.ts'

const PRUNE_EVERY_MS = 10_000
/** No queue has this name. */
const LEADERSHIP = ''

/**
 * Tells which commits surely came in the order in which their client made them: only those may move an offset back. A client that gets no
 * answer asks another member and goes on there, while a partition keeps what it had asked first: that comes when the partition heals.
 *
 * - By way of another member nothing is sure: either connection may have kept it.
 * - What came directly may be older than this leadership, or than a commit for the same queue that came by way of a member since.
 *   It is not when its connection was opened later; nor when the server's idle time has passed, as a connection that was not heard for
 *   so long is closed.
 *
 * A client's connection may have stood for a while when this process takes it: a loop that stalled finds connections and what came over
 * older ones at once, in any order. So later is what is taken after a whole turn of the loop, which takes all that wait. (Not seen: a
 * connection whose handshake the network kept in its last step, which the client takes for done.)
 */
export class CommitOrder {
  readonly #clock: Clock
  readonly #idleMs: number
  /** When the leadership began, and when a commit for a queue last came by way of a member, monotonic ms; infinite before the turn is over. */
  readonly #doubtMs = new Map<string, number>()
  /** Doubts of this turn of the loop, and of the one before. */
  #young = new Set<string>()
  #old = new Set<string>()
  #prunedMs = Number.NEGATIVE_INFINITY

  /** `idleMs`: after so long in silence the server closes a client's connection. */
  constructor(clock: Clock, idleMs: number) {
    this.#clock = clock
    this.#idleMs = idleMs
  }

  /** A leadership begins. */
  led(): void {
    this.#doubtMs.clear()
    this.#doubt(LEADERSHIP)
  }

  /** Notes the commit, whose queue of a group is `key`. */
  isSure({ forwarded, connection, heldMs }: Caller, key: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (forwarded) {
      this.#prune(nowMs)
      this.#doubt(key)
      return false
    }
    const doubtMs = Math.max(this.#doubtOf(LEADERSHIP), this.#doubtOf(key))
    return heldMs === 0 && (connection.openedMs > doubtMs || nowMs - doubtMs > this.#idleMs)
  }

  #doubtOf(key: string): number {
    return this.#doubtMs.get(key) ?? Number.NEGATIVE_INFINITY
  }

  #doubt(key: string): void {
    this.#doubtMs.set(key, Number.POSITIVE_INFINITY)
    if (this.#young.size + this.#old.size === 0) this.#clock.turnEnd(() => this.#turned())
    this.#young.add(key)
  }

  /** What waited to be taken at the last call of this is taken now. */
  #turned(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const key of this.#old) if (!this.#young.has(key)) this.#doubtMs.set(key, nowMs)
    this.#old = this.#young
    this.#young = new Set()
    if (this.#old.size > 0) this.#clock.turnEnd(() => this.#turned())
  }

  #prune(nowMs: number): void {
    if (nowMs - this.#prunedMs < PRUNE_EVERY_MS) return
    this.#prunedMs = nowMs
    for (const [key, atMs] of this.#doubtMs)
      if (nowMs - atMs > this.#idleMs) this.#doubtMs.delete(key)
  }
}
