import type { Logger } from '../platform/index.ts'
import type { RaftStatus } from '../raft/index.ts'
import type { TransactionInDoubt } from './transactions.ts'
import type { Arrival, InheritedMessage, TablesChange } from './types.ts'

type Listener<T> = (value: T) => void

/** Who wants to know what was applied; `Store` says when each is told. */
export class Listeners {
  readonly arrival: Listener<readonly Arrival[]>[] = []
  readonly role: Listener<RaftStatus>[] = []
  readonly tables: Listener<TablesChange>[] = []
  readonly timers: Listener<number>[] = []
  readonly transactions: Listener<readonly TransactionInDoubt[]>[] = []
  readonly inherited: Listener<InheritedMessage>[] = []
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** A listener that throws must not stop the log, which takes any error of apply for a broken invariant. */
  tell<T>(listeners: readonly Listener<T>[], value: T): void {
    for (const listener of listeners) {
      try {
        listener(value)
      } catch (error) {
        this.#logger.error('A listener of the store failed', { error })
      }
    }
  }
}
