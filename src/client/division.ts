import type { Timer } from '../platform/index.ts'
import { asError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { type MessageQueue, queueKey } from './queue.ts'
import { assignTopic, type DividedGroup } from './rebalance.ts'

/** While some topic could not be divided, it is tried again this often. */
const UNFINISHED_MS = 1_000

export interface DivisionHooks {
  /** Full names of the topics that are divided now. */
  topics(): readonly string[]
  /** The queues of one topic that are ours from now on. */
  divided(topic: string, queues: readonly MessageQueue[]): Promise<void> | void
}

/** Divides topics among the members of a group: at once when asked, and every `intervalMs`; calls meanwhile make one more round. */
export class Division {
  readonly #group: DividedGroup
  readonly #hooks: DivisionHooks
  readonly #every: Timer
  #running: Promise<void> | null = null
  #again: boolean = false
  #retry: Timer | null = null
  #stopped: boolean = false

  constructor(group: DividedGroup, intervalMs: number, hooks: DivisionHooks) {
    this.#group = group
    this.#hooks = hooks
    this.#every = group.instance.platform.clock.every(intervalMs, () => void this.run())
  }

  /** Resolves when the round that runs now is over. Never rejects. */
  run(): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    if (this.#running !== null) {
      this.#again = true
      return this.#running
    }
    this.#running = this.#round()
      .catch((error: unknown) =>
        this.#group.instance.logger.error('Queues could not be divided', {
          group: this.#group.options.group,
          error: asError(error).message
        })
      )
      .finally(() => {
        this.#running = null
        if (!this.#again) return
        this.#again = false
        void this.run()
      })
    return this.#running
  }

  stop(): void {
    this.#stopped = true
    this.#every.cancel()
    this.#retry?.cancel()
  }

  async #round(): Promise<void> {
    let unfinished = false
    for (const topic of this.#hooks.topics()) {
      const queues = await assignTopic(this.#group, topic)
      if (this.#stopped) return
      if (queues === null) unfinished = true
      else await this.#hooks.divided(topic, queues)
    }
    this.#retry?.cancel()
    const { clock } = this.#group.instance.platform
    this.#retry = unfinished ? clock.after(UNFINISHED_MS, () => void this.run()) : null
  }
}

/** What a new list of queues adds to an old one and takes from it. */
export function difference(
  before: readonly MessageQueue[],
  after: readonly MessageQueue[]
): { added: MessageQueue[]; removed: MessageQueue[] } {
  const old = new Set(before.map(queueKey))
  const now = new Set(after.map(queueKey))
  return {
    added: after.filter(queue => !old.has(queueKey(queue))),
    removed: before.filter(queue => !now.has(queueKey(queue)))
  }
}

/** Who is told that the queues of a consumer changed: those that came, and those that went to others. */
export type AssignmentListener = (
  added: readonly MessageQueue[],
  removed: readonly MessageQueue[]
) => void

/** Calls what the user gave us, with plain names; what it throws is logged. */
export function tellAssignment(
  instance: ClientInstance,
  listeners: readonly AssignmentListener[],
  added: readonly MessageQueue[],
  removed: readonly MessageQueue[]
): void {
  if (listeners.length === 0) return
  const plain = (queues: readonly MessageQueue[]): MessageQueue[] =>
    queues.map(queue => instance.namespace.plainQueue(queue))
  for (const listener of listeners) {
    try {
      listener(plain(added), plain(removed))
    } catch (error) {
      instance.logger.error('A listener of queue changes failed', {
        error: asError(error).stack
      })
    }
  }
}
