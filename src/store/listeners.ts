import type { Logger } from '../platform/index.ts'
import type { RaftStatus } from '../raft/index.ts'
import type { ConsumerOffset } from './commands.ts'
import type { PopCheckpoint } from './pop.ts'
import type { TransactionInDoubt } from './transactions.ts'
import type { Arrival, InheritedMessage, TablesChange } from './types.ts'

type Listener<T> = (value: T) => void

/** Who is told of one kind of event. A listener that throws must not stop the log, which takes any error of apply for a broken invariant. */
class Listeners<T> {
  readonly #logger: Logger
  readonly #all: Listener<T>[] = []

  constructor(logger: Logger) {
    this.#logger = logger
  }

  add(listener: Listener<T>): void {
    this.#all.push(listener)
  }

  readonly tell = (value: T): void => {
    for (const listener of this.#all) {
      try {
        listener(value)
      } catch (error) {
        this.#logger.error('A listener of the store failed', { error })
      }
    }
  }
}

/**
 * The side of the door on which the broker is told what was applied; what each event is, `Store` says. Several may share
 * their listeners: each opening of a store tells those of its door.
 */
export class StoreEvents {
  protected readonly arrivals: Listeners<readonly Arrival[]>
  protected readonly roles: Listeners<RaftStatus>
  protected readonly tableChanges: Listeners<TablesChange>
  protected readonly newTimers: Listeners<number>
  protected readonly newPops: Listeners<readonly PopCheckpoint[]>
  protected readonly offsetsBack: Listeners<readonly ConsumerOffset[]>
  protected readonly newTransactions: Listeners<readonly TransactionInDoubt[]>
  protected readonly inheritances: Listeners<InheritedMessage>

  constructor(from: Logger | StoreEvents) {
    const isShared = from instanceof StoreEvents
    this.arrivals = isShared ? from.arrivals : new Listeners(from)
    this.roles = isShared ? from.roles : new Listeners(from)
    this.tableChanges = isShared ? from.tableChanges : new Listeners(from)
    this.newTimers = isShared ? from.newTimers : new Listeners(from)
    this.newPops = isShared ? from.newPops : new Listeners(from)
    this.offsetsBack = isShared ? from.offsetsBack : new Listeners(from)
    this.newTransactions = isShared ? from.newTransactions : new Listeners(from)
    this.inheritances = isShared ? from.inheritances : new Listeners(from)
  }

  onArrival(listener: Listener<readonly Arrival[]>): void {
    this.arrivals.add(listener)
  }

  onRole(listener: Listener<RaftStatus>): void {
    this.roles.add(listener)
  }

  onTables(listener: Listener<TablesChange>): void {
    this.tableChanges.add(listener)
  }

  onTimers(listener: Listener<number>): void {
    this.newTimers.add(listener)
  }

  onPops(listener: Listener<readonly PopCheckpoint[]>): void {
    this.newPops.add(listener)
  }

  onOffsetsBack(listener: Listener<readonly ConsumerOffset[]>): void {
    this.offsetsBack.add(listener)
  }

  onTransactions(listener: Listener<readonly TransactionInDoubt[]>): void {
    this.newTransactions.add(listener)
  }

  onInherited(listener: Listener<InheritedMessage>): void {
    this.inheritances.add(listener)
  }
}
