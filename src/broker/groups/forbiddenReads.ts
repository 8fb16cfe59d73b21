import type { Store } from '../../store/index.ts'

/** Where the log keeps them. */
const room = 'forbiddenReads'

/** Topics that a group may not read, by order of an operator (353, 5.3). They are in the log. */
export class ForbiddenReads {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  isForbidden(group: string, topic: string): boolean {
    const all = this.#store.tables.values(room)
    return all.size > 0 && all.has(keyOf(group, topic))
  }

  /** Groups with the topics that they may not read. */
  byGroup(): Map<string, string[]> {
    const topics = new Map<string, string[]>()
    for (const key of this.#store.tables.values(room).keys()) {
      const [topic, group] = key.split('@') as [string, string]
      const known = topics.get(group)
      if (known === undefined) topics.set(group, [topic])
      else known.push(topic)
    }
    return topics
  }

  /** Resolves when it is committed. Rejects as `Store.execute`. */
  async set(group: string, topic: string, forbidden: boolean): Promise<void> {
    if (this.isForbidden(group, topic) === forbidden) return
    const key = keyOf(group, topic)
    await this.#store.execute({ type: 'putValue', room, key, value: forbidden ? '1' : null })
  }

  /** The topic, or the group, is gone. */
  async forget(of: { group?: string; topic?: string }): Promise<void> {
    for (const [group, topics] of this.byGroup())
      for (const topic of topics)
        if (of.group === group || of.topic === topic) await this.set(group, topic, false)
  }
}

/** No name has an `@`. */
function keyOf(group: string, topic: string): string {
  return `${topic}@${group}`
}
