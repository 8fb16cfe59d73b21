import type { Clock } from '../../platform/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import { type Command, type PopQueueRef, type Store, StoreError } from '../../store/index.ts'

/** Wait before an entry whose fate is open is asked about again, ms. */
const settleMs = 100

interface Position {
  next: number
  /** Commands on their way that move the group's offset. */
  pending: number
}

/**
 * Where each group goes on reading, while commands that say so are on their way into the log: the next pop need not wait for them. In
 * the log's tables is the rest. One for each leadership.
 */
export class PopPositions {
  readonly #store: Store
  readonly #clock: Clock
  readonly #positions = new Map<string, Position>()
  /** Queues that are read from the disk just now: one pop at a time. */
  readonly #reading = new Map<string, Promise<void>>()
  #ended: boolean = false

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** The leadership is over: nothing that is on its way is followed any longer. */
  end(): void {
    this.#ended = true
    this.#positions.clear()
  }

  get ended(): boolean {
    return this.#ended
  }

  /** The offset at which the group goes on; -1: it has none. */
  next(queue: PopQueueRef): number {
    return this.#positions.get(nameOf(queue))?.next ?? this.committed(queue)
  }

  committed({ group, topic, queueId }: PopQueueRef): number {
    return this.#store.tables.consumerOffset(group, topic, queueId)
  }

  /** A command on its way decides what comes next. */
  isPending(queue: PopQueueRef): boolean {
    return this.#positions.has(nameOf(queue))
  }

  /** Nobody else reads the queue for the group until `read` is done. */
  async alone(queue: PopQueueRef, read: () => Promise<void>): Promise<void> {
    const name = nameOf(queue)
    for (;;) {
      const other = this.#reading.get(name)
      if (other === undefined) break
      await other
    }
    let done: () => void = () => {}
    const reading = new Promise<void>(resolve => {
      done = resolve
    })
    this.#reading.set(name, reading)
    try {
      await read()
    } finally {
      this.#reading.delete(name)
      done()
    }
  }

  /**
   * Proposes a command that moves the group's offset to `next`. Resolves to whether it did what it says, when it is applied. Rejects as
   * `Store.execute`; whoever reads on goes on behind `next` for as long as it may still be applied.
   */
  async move(queue: PopQueueRef, next: number, command: Command): Promise<boolean> {
    const name = nameOf(queue)
    const position = this.#positions.get(name) ?? { next, pending: 0 }
    position.next = next
    position.pending += 1
    this.#positions.set(name, position)
    try {
      const { changed } = await this.#store.execute(command)
      this.#landed(name, position)
      return changed
    } catch (error) {
      if (error instanceof StoreError && error.reason === 'timeout')
        void this.#settle(name, position)
      else this.#landed(name, position)
      throw error
    }
  }

  #landed(name: string, position: Position): void {
    position.pending -= 1
    if (position.pending === 0 && this.#positions.get(name) === position)
      this.#positions.delete(name)
  }

  /** What was not committed in time may be later: a command behind it in the log tells when its fate is known. */
  async #settle(name: string, position: Position): Promise<void> {
    while (!this.#ended) {
      try {
        await this.#store.execute({ type: 'popAcks', acks: [] })
        break
      } catch (error) {
        if (error instanceof NotLeaderError) break
        if (error instanceof StoreError && error.reason === 'stopped') break
      }
      await new Promise<void>(resolve => {
        this.#clock.after(settleMs, resolve)
      })
    }
    this.#landed(name, position)
  }
}

function nameOf({ topic, group, queueId }: PopQueueRef): string {
  return `${topic}@${group}@${queueId}`
}
