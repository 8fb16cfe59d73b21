import type { Logger } from '../../platform/index.ts'
import type { Store } from '../../store/index.ts'

/** Where the log keeps them. */
const room = 'resetOffsets'

/**
 * Offsets that were reset at the broker (5.3's useServerSideResetOffset, broker.md 4.5) and that their consumers do not know yet: the next
 * pull is told, and until then nothing that consumers commit counts. They are in the log, so that a new leader tells them too. A reset is
 * over when the queue is pulled from its offset; the original forgets it with the first answer, lost or not.
 */
export class PendingResets {
  readonly #store: Store
  readonly #logger: Logger
  /** Over, and on its way into the log. */
  readonly #ending = new Set<string>()

  constructor(store: Store, logger: Logger) {
    this.#store = store
    this.#logger = logger
  }

  /** The offset from which the consumer has to pull; null: it may go on. */
  find(group: string, topic: string, queueId: number): number | null {
    const pending = this.#store.tables.values(room)
    if (pending.size === 0 || !this.#store.ready) return null
    const key = keyOf(group, topic, queueId)
    const offset = pending.get(key)
    return offset === undefined || this.#ending.has(key) ? null : Number(offset)
  }

  /** Resolves when they are stored, as offsets of the group too. Rejects as `Store.execute`. */
  async put(
    group: string,
    topic: string,
    offsets: readonly { queueId: number; offset: number }[]
  ): Promise<void> {
    const store = this.#store
    await Promise.all([
      ...offsets.map(({ queueId, offset }) => {
        const key = keyOf(group, topic, queueId)
        this.#ending.delete(key)
        return store.execute({ type: 'putValue', room, key, value: String(offset) })
      }),
      store.execute({
        type: 'setOffsets',
        offsets: offsets.map(offset => ({ group, topic, ...offset }))
      })
    ])
  }

  /** The consumer pulls from there. */
  followed(group: string, topic: string, queueId: number): void {
    this.#end(keyOf(group, topic, queueId))
  }

  /** The topic, or the group, is gone. */
  forget(of: { group?: string; topic?: string }): void {
    for (const key of this.#store.tables.values(room).keys()) {
      const [topic, group] = key.split('@')
      if (of.topic === topic || of.group === group) this.#end(key)
    }
  }

  #end(key: string): void {
    if (this.#ending.has(key)) return
    this.#ending.add(key)
    this.#store
      .execute({ type: 'putValue', room, key, value: null })
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        this.#logger.warn('A followed reset of offsets stays in the log', { key, reason })
      })
      .finally(() => this.#ending.delete(key))
  }
}

/** No name has an `@`. */
function keyOf(group: string, topic: string, queueId: number): string {
  return `${topic}@${group}@${queueId}`
}
