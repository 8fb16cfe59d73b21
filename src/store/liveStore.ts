/**
 * The store as the broker holds it. What lies below is opened anew when a snapshot takes the place of this node's log (raft.md
 * 4.10): tables, queues and key index are then other objects, the door and who listens at it stay.
 */
import type { StoreCounters } from './counters.ts'
import type { LedgerStore } from './ledgerStore.ts'
import { StoreEvents } from './listeners.ts'
import type { StoreTables } from './tables.ts'
import type { Store } from './types.ts'

export interface LiveStoreHost {
  /** Everything anew, from what lies on the disk. */
  open(): Promise<LedgerStore>
  /** It could not be opened: the broker cannot go on. */
  failed(reason: string): void
}

export class LiveStore extends StoreEvents implements Store {
  readonly counters: StoreCounters
  readonly #host: LiveStoreHost
  #store: LedgerStore
  #started = false
  #reopening: Promise<void> = Promise.resolve()
  #stopping: Promise<void> | null = null

  constructor(store: LedgerStore, events: StoreEvents, host: LiveStoreHost) {
    super(events)
    this.#store = store
    this.#host = host
    this.counters = store.counters
  }

  async start(): Promise<void> {
    this.#started = true
    await this.#store.start()
  }

  /** The node below has closed itself: the hard state names a copy that takes the place of the log. */
  reopen(): void {
    this.#reopening = this.#reopening
      .then(() => this.#reopen())
      .catch((error: Error) => {
        this.#host.failed(`the store could not be opened with its snapshot: ${error.message}`)
      })
  }

  async #reopen(): Promise<void> {
    if (this.#stopping !== null) return
    const before = this.#store
    await before.abandon()
    if (this.#stopping !== null) return
    this.#store = await this.#host.open()
    if (this.#started && this.#stopping === null) await this.#store.start()
  }

  stop(options?: { transfer?: boolean; graceMs?: number }): Promise<void> {
    this.#stopping ??= this.#stop(options)
    return this.#stopping
  }

  async #stop(options?: { transfer?: boolean; graceMs?: number }): Promise<void> {
    await this.#reopening
    await this.#store.stop(options)
  }

  get tables(): StoreTables {
    return this.#store.tables
  }

  get group(): Store['group'] {
    return this.#store.node
  }

  get ready(): boolean {
    return this.#store.ready
  }

  get isFullOfCommands(): boolean {
    return this.#store.isFullOfCommands
  }

  readonly append: Store['append'] = (message, waiter) => this.#store.append(message, waiter)
  readonly appendBatch: Store['appendBatch'] = (messages, waiter) =>
    this.#store.appendBatch(messages, waiter)
  readonly appendAtomic: Store['appendAtomic'] = (messages, commands, waiter) =>
    this.#store.appendAtomic(messages, commands, waiter)
  readonly execute: Store['execute'] = command => this.#store.execute(command)
  readonly commitOffset: Store['commitOffset'] = (offset, options) =>
    this.#store.commitOffset(offset, options)
  readonly commitOffsetAndWait: Store['commitOffsetAndWait'] = (offset, options) =>
    this.#store.commitOffsetAndWait(offset, options)
  readonly flushOffsets: Store['flushOffsets'] = () => this.#store.flushOffsets()
  readonly lockQueues: Store['lockQueues'] = (group, clientId, queues) =>
    this.#store.lockQueues(group, clientId, queues)
  readonly visitPending: Store['visitPending'] = visitor => this.#store.visitPending(visitor)

  readonly pull: Store['pull'] = request => this.#store.pull(request)
  readonly arrivedMatches: Store['arrivedMatches'] = (arrival, filter) =>
    this.#store.arrivedMatches(arrival, filter)
  readonly minOffset: Store['minOffset'] = (topic, queueId) => this.#store.minOffset(topic, queueId)
  readonly maxOffset: Store['maxOffset'] = (topic, queueId) => this.#store.maxOffset(topic, queueId)
  readonly offsetByTime: Store['offsetByTime'] = (topic, queueId, timestamp, boundary) =>
    this.#store.offsetByTime(topic, queueId, timestamp, boundary)
  readonly earliestStoreTime: Store['earliestStoreTime'] = (topic, queueId) =>
    this.#store.earliestStoreTime(topic, queueId)
  readonly storeTimeAt: Store['storeTimeAt'] = (topic, queueId, offset) =>
    this.#store.storeTimeAt(topic, queueId, offset)
  readonly earliestLogTime: Store['earliestLogTime'] = () => this.#store.earliestLogTime()
  readonly messageAt: Store['messageAt'] = physicalOffset => this.#store.messageAt(physicalOffset)
  readonly unit: Store['unit'] = (topic, queueId, offset) =>
    this.#store.unit(topic, queueId, offset)
  readonly units: Store['units'] = (topic, queueId, offset, maxUnits) =>
    this.#store.units(topic, queueId, offset, maxUnits)
  readonly isInDisk: Store['isInDisk'] = (topic, queueId, offset) =>
    this.#store.isInDisk(topic, queueId, offset)
  readonly query: Store['query'] = query => this.#store.query(query)
  readonly queueIds: Store['queueIds'] = topic => this.#store.queueIds(topic)
  readonly topicsWithQueues: Store['topicsWithQueues'] = () => this.#store.topicsWithQueues()
  readonly timers: Store['timers'] = (from, untilMs, max) => this.#store.timers(from, untilMs, max)

  readonly status: Store['status'] = () => this.#store.status()
  readonly timeMs: Store['timeMs'] = () => this.#store.timeMs()
  readonly readIndex: Store['readIndex'] = () => this.#store.readIndex()
  readonly transferLeadership: Store['transferLeadership'] = targetId =>
    this.#store.transferLeadership(targetId)
  readonly runtime: Store['runtime'] = () => this.#store.runtime()
  readonly cleanExpired: Store['cleanExpired'] = () => this.#store.cleanExpired()
}
