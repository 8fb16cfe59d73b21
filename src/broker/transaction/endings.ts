import { NotLeaderError } from '../../raft/index.ts'
import { type AppendRefusal, type MessageInput, StoreError } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { PromiseWaiter } from '../send/index.ts'
import { storedBytes } from '../stats/index.ts'

/** Between two tries when too much waits for its commit, ms. */
const busyPauseMs = 20
/** Between two looks whether an entry without an answer was committed after all, ms. */
const fateLookMs = 50

/** `open`: nothing was done, for this reason. */
export type Ending = 'ended' | 'notInDoubt' | { open: AppendRefusal }

/**
 * Ends transactions, one attempt at a time for each: the message that comes of it and the mark stand in one entry (R-A3). A second end finds
 * the transaction closed; while the fate of the first is open, it waits for it.
 */
export class Endings {
  readonly #broker: BrokerContext
  readonly #underWay = new Map<number, Promise<void>>()

  constructor(broker: BrokerContext) {
    this.#broker = broker
  }

  /** Transactions whose end is under way. */
  get size(): number {
    return this.#underWay.size
  }

  isUnderWay(physicalOffset: number): boolean {
    return this.#underWay.has(physicalOffset)
  }

  /** Runs the work when no other for this transaction runs. */
  async alone<T>(physicalOffset: number, work: () => Promise<T>): Promise<T> {
    for (;;) {
      const other = this.#underWay.get(physicalOffset)
      if (other === undefined) break
      await other
    }
    let ended = (): void => {}
    const until = new Promise<void>(resolve => {
      ended = resolve
    })
    this.#underWay.set(physicalOffset, until)
    try {
      return await work()
    } finally {
      this.#underWay.delete(physicalOffset)
      ended()
    }
  }

  /**
   * Closes a transaction and stores what comes of it (null: nothing). Only within `alone`. Throws NotLeaderError when the leadership was lost; the next
   * leader knows whether it was done.
   */
  async close(physicalOffset: number, message: MessageInput | null): Promise<Ending> {
    const { store, platform, config } = this.#broker
    const { clock } = platform
    const untilMs = clock.monotonicMs() + config.values.waitTimeMillsInTransactionQueue
    for (;;) {
      if (!store.ready) throw this.#notLeader()
      if (!store.tables.transactions.has(physicalOffset)) return 'notInDoubt'
      const outcome = await this.#propose(physicalOffset, message)
      switch (outcome) {
        case 'done':
          return 'ended'
        case 'timeout':
          await this.#fate(physicalOffset)
          return 'ended'
        case 'busy':
          if (clock.monotonicMs() >= untilMs) return { open: outcome }
          await this.#pause(busyPauseMs)
          break
        case 'notLeader':
        case 'stopped':
          throw this.#notLeader()
        default:
          return { open: outcome }
      }
    }
  }

  async #propose(
    physicalOffset: number,
    message: MessageInput | null
  ): Promise<AppendRefusal | 'timeout' | 'done'> {
    const { store, stats } = this.#broker
    const mark = { type: 'closeTransaction', physicalOffset } as const
    if (message === null) {
      try {
        await store.execute(mark)
        return 'done'
      } catch (error) {
        if (error instanceof StoreError) return error.reason
        throw error
      }
    }
    const waiter = new PromiseWaiter()
    const refused = store.appendAtomic([message], [mark], waiter)
    if (refused !== null) return refused
    const outcome = await waiter.outcome
    if (!outcome.stored) return outcome.reason === 'timeout' ? 'timeout' : 'notLeader'
    stats.put(message.topic, message.queueId, 1, storedBytes(message))
    return 'done'
  }

  /** What is in a leader's log will be committed as long as it leads; a second entry would deliver twice. */
  async #fate(physicalOffset: number): Promise<void> {
    const { store } = this.#broker
    const { term } = store.status()
    while (store.tables.transactions.has(physicalOffset)) {
      await this.#pause(fateLookMs)
      if (!store.ready || store.status().term !== term) throw this.#notLeader()
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.#broker.platform.clock.after(ms, resolve)
    })
  }

  #notLeader(): NotLeaderError {
    return new NotLeaderError(this.#broker.store.status().leaderId)
  }
}
