import type { Clock } from '../../platform/index.ts'
import type { Caller } from '../dispatch/handler.ts'

const PRUNE_EVERY_MS = 10_000

/**
 * Tells which commits surely came in the order in which their client made them: only those may move an offset back. A client that gets no
 * answer asks another member and goes on there, while a partition keeps what it had asked first: that comes when the partition heals.
 *
 * - By way of another member nothing is sure: either connection may have kept it.
 * - What came directly may be older than this leadership, or than a commit for the same queue that came by way of a member since.
 *   It is not when its connection was opened later; nor when the server's idle time has passed, as a connection that was not heard for
 *   so long is closed.
 */
export class CommitOrder {
  readonly #clock: Clock
  readonly #idleMs: number
  /** When a commit for a queue last came by way of a member, monotonic ms. */
  readonly #forwardedMs = new Map<string, number>()
  #leadsSinceMs = Number.NEGATIVE_INFINITY
  #prunedMs = Number.NEGATIVE_INFINITY

  /** `idleMs`: after so long in silence the server closes a client's connection. */
  constructor(clock: Clock, idleMs: number) {
    this.#clock = clock
    this.#idleMs = idleMs
  }

  /** A leadership begins. */
  led(): void {
    this.#leadsSinceMs = this.#clock.monotonicMs()
    this.#forwardedMs.clear()
  }

  /** Notes the commit, whose queue of a group is `key`. */
  isSure({ forwarded, connection, heldMs }: Caller, key: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (forwarded) {
      this.#prune(nowMs)
      this.#forwardedMs.set(key, nowMs)
      return false
    }
    const doubtMs = Math.max(
      this.#leadsSinceMs,
      this.#forwardedMs.get(key) ?? Number.NEGATIVE_INFINITY
    )
    return heldMs === 0 && (connection.openedMs >= doubtMs || nowMs - doubtMs > this.#idleMs)
  }

  #prune(nowMs: number): void {
    if (nowMs - this.#prunedMs < PRUNE_EVERY_MS) return
    this.#prunedMs = nowMs
    for (const [key, atMs] of this.#forwardedMs)
      if (nowMs - atMs > this.#idleMs) this.#forwardedMs.delete(key)
  }
}
