/**
 * Applies committed entries: consume queue units, index keys and tables, the same on every replica (raft.md 4.12).
 * What a checkpoint already holds is skipped by index, each kind by its own, so a replay from any earlier
 * entry gives the same state.
 */
import { ENTRY_HEADER_BYTES, type Entry, EntryKind, type RaftStatus } from '../raft/index.ts'
import type { Appender } from './appender.ts'
import type { CommandBatch, MessageBatch } from './batch.ts'
import { decodeCommands, FLAG_COMMANDS_TRAILER, trailerStart } from './commandCodec.ts'
import type { CommandResult, ConsumerOffset } from './commands.ts'
import type { ConsumeQueue } from './consumeQueue.ts'
import type { StoreCounters } from './counters.ts'
import { topicSeed } from './keyHash.ts'
import type { KeyIndex } from './keyIndex.ts'
import { addKeys } from './keySink.ts'
import type { PopCheckpoint } from './pop.ts'
import type { QueueTable } from './queueTable.ts'
import { belongsToQueue, StoredMessageView } from './storedMessageView.ts'
import type { Tables } from './tables.ts'
import { tagsCodeOf } from './tagsCode.ts'
import { TIMER_TOPIC } from './timers.ts'
import { HALF_TOPIC, type TransactionInDoubt } from './transactions.ts'
import type { Arrival, TablesChange } from './types.ts'

const NO_RESULTS: readonly CommandResult[] = []

/** Up to which entry each kind of derived state came from the disk. */
export interface RestoredIndexes {
  tables: number
  queues: number
  keys: number
  /** Queues and key index are built from the log's beginning under tables that came with a snapshot. */
  isRebuilding: boolean
  /** Where queues end of which nothing is built yet: those that get no message from the log go on from there. */
  ends: readonly QueueEnd[]
}

export interface QueueEnd {
  readonly queue: ConsumeQueue
  readonly maxOffset: number
}

export interface MachineHost {
  readonly queues: QueueTable
  readonly tables: Tables
  /** null: [messageIndexEnable] is off. */
  readonly index: KeyIndex | null
  readonly appender: Appender
  readonly counters: StoreCounters
  readonly delayLevelsMs: readonly number[]
  arrived(arrivals: readonly Arrival[]): void
  tablesChanged(change: TablesChange): void
  transactionsOpened(opened: readonly TransactionInDoubt[]): void
  /** New messages wait for their times; the earliest. */
  timersAdded(earliestDueMs: number): void
  /** A message of an earlier leader, which may not have answered for it. */
  inherited(bytes: Uint8Array, at: number, entry: Entry): void
  /** Messages were given out. */
  popsAdded(added: readonly PopCheckpoint[]): void
  offsetsMovedBack(moved: readonly ConsumerOffset[]): void
  /** Their files are to go with the next checkpoint. */
  queuesRemoved(queues: readonly ConsumeQueue[]): void
  trimDecided(): void
}

export class Machine {
  readonly #host: MachineHost
  readonly #restored: RestoredIndexes
  readonly #message = new StoredMessageView()
  /** Queues whose records are not as in the state database. */
  changedQueues: ConsumeQueue[] = []
  appliedIndex: number
  /** End of the last applied entry in the log. */
  appliedPosition: number
  /** Messages behind it are an earlier leader's that this one found in its log; infinite while it does not take over. */
  #inheritsBehind = Number.POSITIVE_INFINITY
  #ends: readonly QueueEnd[]
  #arrivals: ConsumeQueue[] = []
  #opened: TransactionInDoubt[] = []
  #earliestTimerMs = Number.POSITIVE_INFINITY
  #own: (MessageBatch | CommandBatch)[] = []
  #ownResults: (readonly CommandResult[])[] = []
  #topics = false
  #deletedTopics: string[] = []
  #groups = false
  #brokerConfig = false

  constructor(host: MachineHost, restored: RestoredIndexes, appliedPosition: number) {
    this.#host = host
    this.#restored = restored
    this.appliedIndex = Math.min(restored.tables, restored.queues, restored.keys)
    this.appliedPosition = appliedPosition
    this.#ends = restored.ends
    if (!this.isReplaying) this.#settleEnds()
  }

  /** Some of the state is still behind the rest, as the last checkpoint left it: no whole state to write. */
  get isReplaying(): boolean {
    const { tables, queues, keys } = this.#restored
    return this.appliedIndex < Math.max(tables, queues, keys)
  }

  /** What is behind is behind by a whole log: it is written as it grows. */
  get isRebuilding(): boolean {
    return this.#restored.isRebuilding && this.isReplaying
  }

  /** Last entry that is in the tables. */
  get tablesIndex(): number {
    return Math.max(this.appliedIndex, this.#restored.tables)
  }

  /** Until it is ready, a new leader applies what its predecessor left: what was not known to be committed may be unanswered. */
  roleChanged({ role, ready, commitIndex }: RaftStatus): void {
    if (role !== 'leader' || ready) this.#inheritsBehind = Number.POSITIVE_INFINITY
    else this.#inheritsBehind = Math.min(this.#inheritsBehind, commitIndex)
  }

  /** Throws when the log says what cannot be: the node stops before it lies. */
  apply(entries: readonly Entry[]): void {
    for (let i = 0; i < entries.length; i++) this.#applyEntry(entries[i]!)
    this.#tellChanges()
    this.#tellOpened()
    this.#tellOwn()
    this.#tellArrivals()
    this.#tellTimers()
    const pops = this.#host.tables.pops.takeAdded()
    if (pops.length > 0) this.#host.popsAdded(pops)
    const moved = this.#host.tables.takeMovedBack()
    if (moved.length > 0) this.#host.offsetsMovedBack(moved)
  }

  #applyEntry(entry: Entry): void {
    const { tables, counters } = this.#host
    const fresh = entry.index > this.#restored.tables
    if (fresh) tables.timeMs = entry.timeMs
    counters.appliedEntries += 1
    let results = NO_RESULTS
    if (entry.kind === EntryKind.messages) {
      const hasCommands = (entry.flags & FLAG_COMMANDS_TRAILER) !== 0
      const end = hasCommands ? trailerStart(entry.bytes, ENTRY_HEADER_BYTES) : entry.bytes.length
      this.#applyMessages(entry, end)
      if (hasCommands && fresh) results = this.#applyCommands(entry, end, entry.bytes.length - 4)
    } else if (entry.kind === EntryKind.commands && fresh) {
      results = this.#applyCommands(entry, ENTRY_HEADER_BYTES, entry.bytes.length)
    } else if (entry.kind === EntryKind.commands && this.#rebuilds(entry)) {
      this.#removeQueuesAgain(entry)
    }
    this.appliedIndex = entry.index
    if (this.#ends.length > 0 && entry.index >= this.#restored.tables) this.#settleEnds()
    if (fresh) {
      this.appliedPosition = entry.position + entry.bytes.length
    }
    const own = this.#host.appender.appliedEntry(entry.index, entry.term)
    if (own !== null) {
      this.#own.push(own)
      this.#ownResults.push(results)
    }
  }

  #applyMessages(entry: Entry, end: number): void {
    const { queues, index, counters } = this.#host
    const message = this.#message
    const bytes = entry.bytes
    const { tables } = this.#host
    // Tables are never behind the queues, so whatever is new to them goes into the queues too.
    const fresh = entry.index > this.#restored.tables
    const intoQueues = entry.index > this.#restored.queues
    const intoIndex = index !== null && entry.index > this.#restored.keys
    const inherited = entry.index > this.#inheritsBehind
    let at = ENTRY_HEADER_BYTES
    for (let i = 0; i < entry.count; i++) {
      const wrong = message.read(bytes, at, end)
      if (wrong !== null) throw new Error(`entry ${entry.index}, byte ${at}: no message: ${wrong}`)
      if (message.physicalOffset !== entry.position + at) {
        throw new Error(
          `entry ${entry.index}: a message at ${entry.position + at} says it lies at ${message.physicalOffset}`
        )
      }
      message.scanProperties()
      if (inherited && message.uniqueKeyEnd > message.uniqueKeyStart)
        this.#host.inherited(bytes, at, entry)
      if (intoQueues) {
        const queue = queues.obtainByBytes(
          bytes,
          message.topicStart,
          message.topicEnd,
          message.queueId
        )
        if (belongsToQueue(message.sysFlag)) this.#appendUnit(entry, queue)
        if (fresh && queue.topic === HALF_TOPIC) this.#opened.push(tables.openTransaction(message))
        if (fresh && queue.topic === TIMER_TOPIC) this.#addTimer()
        if (intoIndex) addKeys(index, message, queue.keySeed, entry.index)
      } else if (intoIndex) {
        const topic = bytes.subarray(message.topicStart, message.topicEnd)
        addKeys(index, message, topicSeed(topic), entry.index)
      }
      at += message.size
    }
    if (at !== end) throw new Error(`entry ${entry.index}: ${end - at} bytes behind its messages`)
    if (intoQueues) {
      counters.putMessages += entry.count
      counters.putBytes += end - ENTRY_HEADER_BYTES
    }
  }

  #appendUnit(entry: Entry, queue: ConsumeQueue): void {
    const message = this.#message
    // The first of its messages that is still in the log.
    if (queue.minOffset === queue.maxOffset && this.#rebuilds(entry))
      queue.beginAt(message.queueOffset)
    if (message.queueOffset !== queue.maxOffset) {
      throw new Error(
        `entry ${entry.index}: queue ${queue.topic}/${queue.queueId} has ${queue.maxOffset} messages, the next says ${message.queueOffset}`
      )
    }
    const tagsCode = tagsCodeOf(message, queue, this.#host.delayLevelsMs)
    if (queue.arrivedFrom < 0) {
      queue.arrivedFrom = queue.maxOffset
      this.#arrivals.push(queue)
    }
    queue.append(message.physicalOffset, message.size, tagsCode)
    this.noteChanged(queue)
  }

  #addTimer(): void {
    const dueMs = this.#host.tables.timers.addMessage(this.#message)
    if (dueMs >= 0) this.#earliestTimerMs = Math.min(this.#earliestTimerMs, dueMs)
  }

  #tellTimers(): void {
    const earliestMs = this.#earliestTimerMs
    if (earliestMs === Number.POSITIVE_INFINITY) return
    this.#earliestTimerMs = Number.POSITIVE_INFINITY
    this.#host.timersAdded(earliestMs)
  }

  /** The entry is in the tables, and its queues are built again. */
  #rebuilds({ index }: Entry): boolean {
    const { isRebuilding, tables, queues } = this.#restored
    return isRebuilding && index <= tables && index > queues
  }

  /** The tables know of the deletion; of the queues those of before are there again, and the topic may have come back since. */
  #removeQueuesAgain(entry: Entry): void {
    for (const command of decodeCommands(entry.bytes, ENTRY_HEADER_BYTES, entry.bytes.length)) {
      if (command.type === 'deleteTopic') this.#removeQueues(command.topic)
    }
  }

  /** Everything is built: what got no message has none in the log. */
  #settleEnds(): void {
    for (const { queue, maxOffset } of this.#ends)
      if (queue.maxOffset === 0 && !queue.removed) queue.beginAt(maxOffset)
    this.#ends = []
  }

  #removeQueues(topic: string): void {
    const removed = this.#host.queues.remove(topic)
    for (const queue of removed) queue.removed = true
    if (removed.length > 0) this.#host.queuesRemoved(removed)
  }

  /** The queue's record must be written again. */
  noteChanged(queue: ConsumeQueue): void {
    if (queue.changed) return
    queue.changed = true
    this.changedQueues.push(queue)
  }

  #applyCommands(entry: Entry, start: number, end: number): readonly CommandResult[] {
    const { tables, counters } = this.#host
    const results: CommandResult[] = []
    for (const command of decodeCommands(entry.bytes, start, end)) {
      const result = tables.apply(command, entry.timeMs)
      results.push(result)
      counters.appliedCommands += 1
      if (command.type === 'deleteTopic') this.#removeQueues(command.topic)
      if (!result.changed) continue
      if (command.type === 'deleteTopic') this.#deletedTopics.push(command.topic)
      if (command.type === 'putTopic' || command.type === 'deleteTopic') this.#topics = true
      else if (command.type === 'putGroup' || command.type === 'deleteGroup') this.#groups = true
      else if (command.type === 'putBrokerConfig') this.#brokerConfig = true
      else if (command.type === 'trimPrefix') this.#host.trimDecided()
    }
    return results
  }

  #tellChanges(): void {
    if (!this.#topics && !this.#groups && !this.#brokerConfig) return
    const change = {
      topics: this.#topics,
      deletedTopics: this.#deletedTopics,
      groups: this.#groups,
      brokerConfig: this.#brokerConfig
    }
    this.#topics = this.#groups = this.#brokerConfig = false
    this.#deletedTopics = []
    this.#host.tablesChanged(change)
  }

  #tellOpened(): void {
    if (this.#opened.length === 0) return
    const opened = this.#opened
    this.#opened = []
    this.#host.transactionsOpened(opened)
  }

  #tellOwn(): void {
    if (this.#own.length === 0) return
    const own = this.#own
    const results = this.#ownResults
    this.#own = []
    this.#ownResults = []
    for (let i = 0; i < own.length; i++) this.#host.appender.tell(own[i]!, results[i]!)
  }

  #tellArrivals(): void {
    if (this.#arrivals.length === 0) return
    const arrivals = this.#arrivals
    this.#arrivals = []
    this.#host.arrived(arrivals)
    for (const queue of arrivals) queue.arrivedFrom = -1
  }
}
