/**
 * The replicated tables: changed by applied commands only, alike on every replica. Kept whole in memory;
 * what changed since the last checkpoint is remembered by key, and written by it (tablesCodec.ts).
 */
import type {
  Command,
  CommandResult,
  ConsumerOffset,
  GroupSettings,
  QueueRef,
  TopicSettings
} from './commands.ts'
import { type PopQueueRef, PopTable, type PopTake, type PopView } from './pop.ts'
import { type PopOrder, type PopOrderAck, PopOrderTable, type PopOrderTake } from './popOrders.ts'
import type { StoredMessageView } from './storedMessageView.ts'
import { TimerTable } from './timers.ts'
import { type TransactionCheck, type TransactionInDoubt, TransactionTable } from './transactions.ts'

/** RocketMQ's DataVersion: counter + 1 and the entry's time at each change. */
export interface DataVersion {
  counter: number
  timestamp: number
}

export interface QueueLock {
  clientId: string
  /** Entry time of the last grant or renewal. */
  timeMs: number
}

/** Read side. Maps must not be changed or kept over a turn where identity matters. */
export interface StoreTables {
  readonly topics: ReadonlyMap<string, TopicSettings>
  readonly topicsVersion: Readonly<DataVersion>
  readonly groups: ReadonlyMap<string, GroupSettings>
  readonly groupsVersion: Readonly<DataVersion>
  readonly brokerConfig: ReadonlyMap<string, string>
  readonly brokerConfigVersion: Readonly<DataVersion>
  /** By `topic@group` (as in consumerOffset.json), then by queue id. */
  readonly offsets: ReadonlyMap<string, ReadonlyMap<number, number>>
  /** -1 when the group has none for the queue. */
  consumerOffset(group: string, topic: string, queueId: number): number
  /** Groups that have an offset for the topic. */
  groupsOf(topic: string): string[]
  /** Topics for which the group has an offset. */
  topicsOf(group: string): string[]
  /** Next queue offset of the level (from 1) to deliver; 0 when none was yet. */
  delayProgress(level: number): number
  /** Who holds the queue at that time (of the log, `timeMs` below), null when nobody or expired. */
  lockOwner(group: string, queue: QueueRef, atMs: number): string | null
  /** A queue is locked for the group. */
  hasLocks(group: string, atMs: number): boolean
  /** Of putValue. */
  values(room: string): ReadonlyMap<string, string>
  /** Half messages that were neither committed nor rolled back, by their place in the log, the oldest first. */
  readonly transactions: ReadonlyMap<number, TransactionInDoubt>
  /** Messages that wait for a time of their own; which ones: `Store.timers`. */
  readonly timers: { readonly count: number }
  /** What pops gave out and nobody acknowledged. */
  readonly pops: PopView
  /** The batch that a group has of a queue by pops in order. */
  popOrder(queue: PopQueueRef): PopOrder | undefined
  /** The log's decided start: entry index and position. */
  readonly trim: { readonly index: number; readonly position: number }
  /** Time of the last applied entry. */
  readonly timeMs: number
}

/** A lock not renewed for this long is free (broker.md 4.8). */
export const LOCK_LIVE_MS = 60_000

/** What a checkpoint writes again; keys of the map in question. */
export class DirtyKeys {
  readonly topics = new Set<string>()
  readonly groups = new Set<string>()
  readonly offsets = new Set<string>()
  readonly delays = new Set<number>()
  readonly locks = new Set<string>()
  readonly brokerConfig = new Set<string>()
  /** `room\0key` */
  readonly values = new Set<string>()
  /** Physical offsets. */
  readonly transactions = new Set<number>()
}

const NOTHING: CommandResult = Object.freeze({ changed: false, granted: Object.freeze([]) })
const CHANGED: CommandResult = Object.freeze({ changed: true, granted: Object.freeze([]) })
const NO_VALUES: ReadonlyMap<string, string> = new Map()

export class Tables implements StoreTables {
  readonly topics = new Map<string, TopicSettings>()
  readonly topicsVersion: DataVersion = { counter: 0, timestamp: 0 }
  readonly groups = new Map<string, GroupSettings>()
  readonly groupsVersion: DataVersion = { counter: 0, timestamp: 0 }
  readonly brokerConfig = new Map<string, string>()
  readonly brokerConfigVersion: DataVersion = { counter: 0, timestamp: 0 }
  readonly offsets = new Map<string, Map<number, number>>()
  readonly delays = new Map<number, number>()
  /** group → queue (`topic@queueId`) → lock. */
  readonly locks = new Map<string, Map<string, QueueLock>>()
  readonly rooms = new Map<string, Map<string, string>>()
  readonly timers = new TimerTable()
  readonly inDoubt = new TransactionTable()
  readonly pops = new PopTable()
  readonly orders = new PopOrderTable()
  trim = { index: 0, position: 0 }
  timeMs = 0
  dirty = new DirtyKeys()
  #movedBack: ConsumerOffset[] = []

  consumerOffset(group: string, topic: string, queueId: number): number {
    return this.offsets.get(offsetsKey(topic, group))?.get(queueId) ?? -1
  }

  groupsOf(topic: string): string[] {
    const prefix = `${topic}@`
    const found: string[] = []
    for (const key of this.offsets.keys()) {
      if (key.startsWith(prefix)) found.push(key.slice(prefix.length))
    }
    return found
  }

  topicsOf(group: string): string[] {
    const suffix = `@${group}`
    const found: string[] = []
    for (const key of this.offsets.keys()) {
      if (key.endsWith(suffix)) found.push(key.slice(0, -suffix.length))
    }
    return found
  }

  delayProgress(level: number): number {
    return this.delays.get(level) ?? 0
  }

  lockOwner(group: string, queue: QueueRef, atMs: number): string | null {
    const lock = this.locks.get(group)?.get(queueKey(queue))
    return lock === undefined || isExpired(lock, atMs) ? null : lock.clientId
  }

  hasLocks(group: string, atMs: number): boolean {
    for (const lock of this.locks.get(group)?.values() ?? [])
      if (!isExpired(lock, atMs)) return true
    return false
  }

  values(room: string): ReadonlyMap<string, string> {
    return this.rooms.get(room) ?? NO_VALUES
  }

  get transactions(): ReadonlyMap<number, TransactionInDoubt> {
    return this.inDoubt.byOffset
  }

  popOrder(queue: PopQueueRef): PopOrder | undefined {
    return this.orders.find(queue)
  }

  /** A half message was applied. */
  openTransaction(message: StoredMessageView): TransactionInDoubt {
    this.dirty.transactions.add(message.physicalOffset)
    return this.inDoubt.open(message)
  }

  /** `timeMs` is the entry's. The queues of a deleted topic and the files below a trim are the caller's. */
  apply(command: Command, timeMs: number): CommandResult {
    switch (command.type) {
      case 'putTopic':
        return this.#putTopic(command.topic, command.ifAbsent === true, timeMs)
      case 'deleteTopic':
        return this.#deleteTopic(command.topic, timeMs)
      case 'putGroup':
        return this.#putGroup(command.group, command.ifAbsent === true, timeMs)
      case 'deleteGroup':
        return this.#deleteGroup(command.group, command.cleanOffsets === true, timeMs)
      case 'commitOffsets':
        return this.#setOffsets(command.offsets, false)
      case 'setOffsets':
        return this.#setOffsets(command.offsets, true)
      case 'deleteOffsets':
        return this.#deleteOffsets(command.group, command.topic)
      case 'delayProgress':
        if (this.delays.get(command.level) === command.offset) return NOTHING
        this.delays.set(command.level, command.offset)
        this.dirty.delays.add(command.level)
        return CHANGED
      case 'lockQueues':
        return this.#lock(command.group, command.clientId, command.queues, timeMs)
      case 'unlockQueues':
        return this.#unlock(command.group, command.clientId, command.queues)
      case 'putBrokerConfig':
        return this.#putBrokerConfig(command.entries, timeMs)
      case 'putValue':
        return this.#putValue(command.room, command.key, command.value)
      case 'checkTransactions':
        return this.#checkTransactions(command.checks, timeMs)
      case 'closeTransaction':
        if (!this.inDoubt.byOffset.delete(command.physicalOffset)) return NOTHING
        this.dirty.transactions.add(command.physicalOffset)
        return CHANGED
      case 'timersDone':
        for (const timer of command.timers) this.timers.remove(timer)
        return CHANGED
      case 'popTake':
        return this.#popTake(command.take)
      case 'popAcks': {
        let any = false
        for (const ack of command.acks) any = this.pops.acknowledge(ack) || any
        return any ? CHANGED : NOTHING
      }
      case 'popChange':
        return this.pops.change(command.change) ? CHANGED : NOTHING
      case 'popOrderTake':
        return this.#popOrderTake(command.take)
      case 'popOrderAck':
        return this.#popOrderAck(command.ack)
      case 'popOrderChange':
        return this.orders.change(command.change) ? CHANGED : NOTHING
      case 'trimPrefix':
        if (command.position <= this.trim.position) return NOTHING
        // Looked at here too: what was decided may be older than the half message that it would take along (raft.md 4.10).
        if (command.position > this.inDoubt.oldestPosition) return NOTHING
        if (command.position > this.pops.oldestPosition) return NOTHING
        this.trim = { index: command.index, position: command.position }
        return CHANGED
    }
  }

  #putTopic(topic: TopicSettings, ifAbsent: boolean, timeMs: number): CommandResult {
    if (ifAbsent && this.topics.has(topic.topicName)) return NOTHING
    this.topics.set(topic.topicName, topic)
    this.dirty.topics.add(topic.topicName)
    return changed(this.topicsVersion, timeMs)
  }

  #deleteTopic(topic: string, timeMs: number): CommandResult {
    const offsets = this.#deleteOffsets(undefined, topic)
    this.pops.remove(queue => queue.topic === topic)
    if (!this.topics.delete(topic)) return offsets
    this.dirty.topics.add(topic)
    return changed(this.topicsVersion, timeMs)
  }

  #putGroup(group: GroupSettings, ifAbsent: boolean, timeMs: number): CommandResult {
    if (ifAbsent && this.groups.has(group.groupName)) return NOTHING
    this.groups.set(group.groupName, group)
    this.dirty.groups.add(group.groupName)
    return changed(this.groupsVersion, timeMs)
  }

  #deleteGroup(group: string, cleanOffsets: boolean, timeMs: number): CommandResult {
    const offsets = cleanOffsets ? this.#deleteOffsets(group, undefined) : NOTHING
    if (this.locks.delete(group)) this.dirty.locks.add(group)
    this.pops.remove(queue => queue.group === group)
    this.orders.remove(group, undefined)
    if (!this.groups.delete(group)) return offsets
    this.dirty.groups.add(group)
    return changed(this.groupsVersion, timeMs)
  }

  #setOffsets(offsets: readonly ConsumerOffset[], mayGoBack: boolean): CommandResult {
    let any = false
    for (const { group, topic, queueId, offset } of offsets) {
      const key = offsetsKey(topic, group)
      let queues = this.offsets.get(key)
      if (queues === undefined) {
        queues = new Map()
        this.offsets.set(key, queues)
      }
      const before = queues.get(queueId)
      if (before !== undefined && (mayGoBack ? before === offset : before >= offset)) continue
      queues.set(queueId, offset)
      this.dirty.offsets.add(key)
      if (mayGoBack) {
        const freed = this.orders.forget({ group, topic, queueId })
        if (freed || (before !== undefined && offset < before))
          this.#movedBack.push({ group, topic, queueId, offset })
      }
      any = true
    }
    return any ? CHANGED : NOTHING
  }

  /** Offsets that went back since the last call, and those that ended a batch in order. */
  takeMovedBack(): readonly ConsumerOffset[] {
    const moved = this.#movedBack
    if (moved.length > 0) this.#movedBack = []
    return moved
  }

  #deleteOffsets(group: string | undefined, topic: string | undefined): CommandResult {
    let any = false
    this.orders.remove(group, topic)
    for (const key of this.offsets.keys()) {
      if (topic !== undefined && !key.startsWith(`${topic}@`)) continue
      if (group !== undefined && !key.endsWith(`@${group}`)) continue
      this.offsets.delete(key)
      this.dirty.offsets.add(key)
      any = true
    }
    return any ? CHANGED : NOTHING
  }

  #lock(
    group: string,
    clientId: string,
    queues: readonly QueueRef[],
    timeMs: number
  ): CommandResult {
    let locks = this.locks.get(group)
    if (locks === undefined) {
      locks = new Map()
      this.locks.set(group, locks)
    }
    // Abandoned queues would stay for ever otherwise; a group's lock table is small.
    for (const [key, lock] of locks) if (isExpired(lock, timeMs)) locks.delete(key)
    const granted: QueueRef[] = []
    for (const queue of queues) {
      const key = queueKey(queue)
      const lock = locks.get(key)
      if (lock !== undefined && lock.clientId !== clientId) continue
      locks.set(key, { clientId, timeMs })
      granted.push(queue)
    }
    this.dirty.locks.add(group)
    if (locks.size === 0) this.locks.delete(group)
    return { changed: granted.length > 0, granted }
  }

  #unlock(group: string, clientId: string, queues: readonly QueueRef[]): CommandResult {
    const locks = this.locks.get(group)
    if (locks === undefined) return NOTHING
    let any = false
    for (const queue of queues) {
      const key = queueKey(queue)
      if (locks.get(key)?.clientId !== clientId) continue
      locks.delete(key)
      any = true
    }
    if (!any) return NOTHING
    if (locks.size === 0) this.locks.delete(group)
    this.dirty.locks.add(group)
    return CHANGED
  }

  #putBrokerConfig(
    entries: Readonly<Record<string, string | null>>,
    timeMs: number
  ): CommandResult {
    let any = false
    for (const [key, value] of Object.entries(entries)) {
      if (value === null) {
        if (!this.brokerConfig.delete(key)) continue
      } else {
        if (this.brokerConfig.get(key) === value) continue
        this.brokerConfig.set(key, value)
      }
      this.dirty.brokerConfig.add(key)
      any = true
    }
    return any ? changed(this.brokerConfigVersion, timeMs) : NOTHING
  }

  #checkTransactions(checks: readonly TransactionCheck[], timeMs: number): CommandResult {
    let any = false
    for (const check of checks) {
      if (!this.inDoubt.check(check, timeMs)) continue
      this.dirty.transactions.add(check.physicalOffset)
      any = true
    }
    return any ? CHANGED : NOTHING
  }

  #popTake(take: PopTake): CommandResult {
    // A topic or group that went away in the meantime takes what was read of it along.
    if (!this.topics.has(take.topic) || !this.groups.has(take.group)) return NOTHING
    this.#moveOffset(take, take.expectedOffset, take.nextOffset)
    if (take.offsets.length > 0) this.pops.add(take)
    return CHANGED
  }

  #popOrderTake(take: PopOrderTake): CommandResult {
    if (!this.topics.has(take.topic) || !this.groups.has(take.group)) return NOTHING
    if (!this.#moveOffset(take, take.expectedOffset, take.startOffset)) return NOTHING
    this.orders.take(take)
    return CHANGED
  }

  #popOrderAck(ack: PopOrderAck): CommandResult {
    const before = this.consumerOffset(ack.group, ack.topic, ack.queueId)
    const next = this.orders.acknowledge(ack)
    if (next < 0) return NOTHING
    if (next > before) this.#moveOffset(ack, before, next)
    return CHANGED
  }

  /** False: somebody set the offset in the meantime, and that stands. */
  #moveOffset(queue: PopQueueRef, expected: number, next: number): boolean {
    const { group, topic, queueId } = queue
    if (this.consumerOffset(group, topic, queueId) !== expected) return false
    if (next === expected) return true
    const key = offsetsKey(topic, group)
    const queues = this.offsets.get(key) ?? new Map<number, number>()
    this.offsets.set(key, queues.set(queueId, next))
    this.dirty.offsets.add(key)
    return true
  }

  #putValue(room: string, key: string, value: string | null): CommandResult {
    let values = this.rooms.get(room)
    if (value === null) {
      if (!values?.delete(key)) return NOTHING
      if (values.size === 0) this.rooms.delete(room)
    } else {
      if (values === undefined) {
        values = new Map()
        this.rooms.set(room, values)
      }
      if (values.get(key) === value) return NOTHING
      values.set(key, value)
    }
    this.dirty.values.add(`${room}\0${key}`)
    return CHANGED
  }
}

function offsetsKey(topic: string, group: string): string {
  return `${topic}@${group}`
}

function queueKey(queue: QueueRef): string {
  return `${queue.topic}@${queue.queueId}`
}

function isExpired(lock: QueueLock, atMs: number): boolean {
  return atMs - lock.timeMs > LOCK_LIVE_MS
}

function changed(version: DataVersion, timeMs: number): CommandResult {
  version.counter += 1
  version.timestamp = timeMs
  return CHANGED
}
