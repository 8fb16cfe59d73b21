import { NotLeaderError } from '../../raft/index.ts'
import type { Store } from '../../store/index.ts'
import type { CommitOrder } from './commitOrder.ts'

/** Consumers' progress. It is in the log (R-A2): nothing here is remembered beside it. */
export class OffsetService {
  readonly order: CommitOrder
  readonly #store: Store

  constructor(store: Store, order: CommitOrder) {
    this.#store = store
    this.order = order
  }

  /** An offset that rides on a pull: forward only, nothing happens when it is known. */
  ride(group: string, topic: string, queueId: number, offset: number): void {
    if (!this.#store.ready || this.#store.tables.consumerOffset(group, topic, queueId) >= offset)
      return
    this.#store.commitOffset({ group, topic, queueId, offset })
  }

  /** UPDATE_CONSUMER_OFFSET: may go back (broker.md 4.5). `heldMs`: how long a forwarder held it. Throws NotLeaderError. */
  update(
    offset: { group: string; topic: string; queueId: number; offset: number },
    { heldMs, mayGoBack }: { heldMs: number; mayGoBack: boolean }
  ): void {
    const taken = this.#store.commitOffset(offset, { ageMs: heldMs, mayGoBack })
    if (!taken && !this.#store.ready) throw new NotLeaderError(this.#store.status().leaderId)
  }

  /** The same, resolved when it is committed. */
  updateAndWait(
    offset: { group: string; topic: string; queueId: number; offset: number },
    { heldMs, mayGoBack }: { heldMs: number; mayGoBack: boolean }
  ): Promise<void> {
    return this.#store.commitOffsetAndWait(offset, { ageMs: heldMs, mayGoBack })
  }

  /**
   * The stored offset, -1 when there is none: linearizable, with what this node took before the question (raft.md 4.13).
   * Rejects with NotLeaderError.
   */
  async query(group: string, topic: string, queueId: number): Promise<number> {
    await this.#store.flushOffsets()
    await this.#store.readIndex()
    return this.#store.tables.consumerOffset(group, topic, queueId)
  }
}
