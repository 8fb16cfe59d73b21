/**
 * The leader's way into the log: gives queue offsets, collects messages and commands into entries, lets the
 * log's node pull them, and tells who waits when they were applied. All of it is speculative and is thrown
 * away when the leadership is lost (R-E9, raft.md 4.12); the next leader starts from applied state.
 *
 *   append → open batch → closed → taken (index, term known) → applied: waiters told
 */
import type { Blocks, Clock, Timer } from '../platform/index.ts'
import { type MessageFields, storedMessageSize, writeStoredMessage } from '../protocol/index.ts'
import { ENTRY_HEADER_BYTES, type Proposal, type ProposalSource } from '../raft/index.ts'
import {
  APPEND_BYTES_MAX,
  APPEND_TIMEOUT_MS,
  type AppendFailure,
  type AppendRefusal,
  type AppendWaiter,
  type BatchAppendWaiter,
  type MessageInput,
  PENDING_BYTES_MAX,
  PENDING_SENDS_MAX,
  type PendingVisitor
} from './append.ts'
import {
  BATCH_BYTES_TARGET,
  CommandBatch,
  type CommandWaiter,
  MessageBatch,
  Slab
} from './batch.ts'
import { TRAILER_LENGTH_BYTES } from './commandCodec.ts'
import type { CommandResult } from './commands.ts'
import type { StoreCounters } from './counters.ts'
import { messageRefusal, topicRefusal } from './messageChecks.ts'
import type { QueueTable } from './queueTable.ts'
import { belongsToQueue } from './storedMessageView.ts'

const NOTHING = new Uint8Array(0)
const TIMEOUT_CHECK_MS = 250
/** Topics whose next offsets are remembered; beyond, they are looked up again when nothing is pending. */
const LANES_MAX = 20_000
/** Commands may wait beyond the limit of sends: offsets and admin commands go on when sends are refused. */
const PENDING_COMMANDS_MAX = 10_000

/** A topic as the leader proposes into it. */
class Lane {
  readonly topicBytes: Uint8Array
  /** Next queue offset to give, by queue id. */
  readonly next = new Map<number, number>()
  /** The topic's deletion was proposed: its queues begin at 0 again, whatever the applied state still says. */
  fromZero = false
  /** And nobody proposed it anew: what a producer sends would lie in queues without a topic. */
  deleted = false

  constructor(topicBytes: Uint8Array) {
    this.topicBytes = topicBytes
  }
}

export interface AppenderHost {
  readonly clock: Clock
  readonly blocks: Blocks
  readonly queues: QueueTable
  readonly counters: StoreCounters
  /** A waiter threw. */
  waiterFailed(error: unknown): void
  /** Proposals wait. */
  wake(): void
  /** Why no send is taken at the moment besides leadership and limits; null = taken. */
  intakeRefusal(): AppendRefusal | null
}

export class Appender implements ProposalSource {
  readonly #host: AppenderHost
  readonly #lanes = new Map<string, Lane>()
  readonly #slab: Slab
  /** Messages and commands of one entry at most. */
  readonly #appendBytesMax: number
  /** The one that grows. */
  #open: MessageBatch | CommandBatch | null = null
  readonly #closed: (MessageBatch | CommandBatch)[] = []
  /** Taken by the log, in its order. */
  #taken: (MessageBatch | CommandBatch)[] = []
  #takenHead = 0
  #ready = false
  #term = 0
  #stopped = false
  #pendingSends = 0
  #pendingBytes = 0
  #pendingCommands = 0
  readonly #timer: Timer
  #idleListeners: (() => void)[] = []

  /** `entryBytesMax`: what the log takes as one entry, header included. */
  constructor(host: AppenderHost, entryBytesMax: number) {
    this.#host = host
    this.#slab = new Slab(Math.min(BATCH_BYTES_TARGET, entryBytesMax), host.blocks)
    const roomBytes = entryBytesMax - ENTRY_HEADER_BYTES - TRAILER_LENGTH_BYTES
    this.#appendBytesMax = Math.min(APPEND_BYTES_MAX, roomBytes)
    this.#timer = host.clock.every(TIMEOUT_CHECK_MS, () => this.#checkTimeouts())
  }

  get ready(): boolean {
    return this.#ready
  }

  get pendingSends(): number {
    return this.#pendingSends
  }

  get isFullOfCommands(): boolean {
    return this.#pendingCommands >= PENDING_COMMANDS_MAX
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  append(message: MessageInput, waiter: AppendWaiter): AppendRefusal | null {
    let lane: Lane | AppendRefusal | undefined = this.#lanes.get(message.topic)
    if (lane === undefined) {
      this.#forgetLanes()
      lane = this.#newLane(message.topic)
    }
    if (typeof lane === 'string') return this.#refused(lane)
    if (lane.deleted) return this.#refused('topicDeleted')
    const size = this.#fill(message, lane)
    const refusal = this.#intakeRefusal(size) ?? messageRefusal(message)
    if (refusal !== null) return this.#refused(refusal)
    const batch = this.#batchFor(size)
    waiter.queueOffset = this.#write(batch, lane, message, size)
    waiter.physicalOffset = this.#lastBodyOffset
    batch.addWaiter(waiter)
    this.#accepted(batch, size)
    return null
  }

  /** Messages that a producer sent together. */
  appendBatch(messages: readonly MessageInput[], waiter: BatchAppendWaiter): AppendRefusal | null {
    for (const { topic } of messages)
      if (this.#lanes.get(topic)?.deleted === true) return this.#refused('topicDeleted')
    return this.appendAll(messages, [], waiter)
  }

  /** `commands`: applied with the messages, in one entry. */
  appendAll(
    messages: readonly MessageInput[],
    commands: readonly Buffer[],
    waiter: BatchAppendWaiter
  ): AppendRefusal | null {
    this.#forgetLanes()
    let size = 0
    for (const message of messages) {
      const lane = this.#lanes.get(message.topic) ?? this.#newLane(message.topic)
      const refusal = typeof lane === 'string' ? lane : messageRefusal(message)
      if (refusal !== null) return this.#refused(refusal)
      size += this.#fill(message, lane as Lane)
    }
    if (messages.length === 0) return this.#refused('illegal')
    let commandBytes = 0
    for (const command of commands) commandBytes += command.length
    const refusal = this.#intakeRefusal(size + commandBytes)
    if (refusal !== null) return this.#refused(refusal)
    const batch = this.#batchFor(size + commandBytes + TRAILER_LENGTH_BYTES)
    waiter.physicalOffsets.length = 0
    waiter.queueOffsets.length = 0
    for (const message of messages) {
      const lane = this.#lanes.get(message.topic)!
      const bytes = this.#fill(message, lane)
      waiter.queueOffsets.push(this.#write(batch, lane, message, bytes))
      waiter.physicalOffsets.push(this.#lastBodyOffset)
    }
    waiter.queueOffset = waiter.queueOffsets[0]!
    waiter.physicalOffset = waiter.physicalOffsets[0]!
    for (const command of commands) batch.addCommand(command, null)
    this.#pendingCommands += commands.length
    batch.addBatchWaiter(waiter)
    this.#accepted(batch, size + commandBytes)
    return null
  }

  /**
   * `topic`: what becomes of a topic by the command. What comes behind a deletion must not join its entry, and starts the topic's queues
   * anew.
   */
  addCommand(
    command: Buffer,
    waiter: CommandWaiter | null,
    topic?: { name: string; deleted: boolean }
  ): AppendRefusal | null {
    if (this.#stopped) return 'stopped'
    if (!this.#ready) return 'notLeader'
    if (command.length > this.#appendBytesMax) return 'tooLarge'
    if (this.isFullOfCommands) return 'busy'
    let batch = this.#open
    const fits =
      batch instanceof MessageBatch
        ? batch.hasRoom(this.#slab, command.length + TRAILER_LENGTH_BYTES)
        : batch?.hasRoom(command.length, this.#slab.batchBytesMax)
    if (batch === null || fits !== true) {
      this.#closeOpen()
      batch = new CommandBatch()
      this.#opened(batch)
    }
    batch.addCommand(command, waiter)
    batch.bytesHeld += command.length
    this.#pendingBytes += command.length
    this.#pendingCommands += 1
    if (topic?.deleted === true) this.#topicDeleted(topic.name)
    else if (topic !== undefined) {
      const lane = this.#lanes.get(topic.name)
      if (lane !== undefined) lane.deleted = false
    }
    return null
  }

  #topicDeleted(topic: string): void {
    this.#closeOpen()
    const lane = this.#lanes.get(topic) ?? this.#newLane(topic)
    if (typeof lane === 'string') return
    lane.next.clear()
    lane.fromZero = true
    lane.deleted = true
  }

  take(): Proposal | null {
    if (!this.#ready) return null
    if (this.#closed.length === 0) this.#closeOpen()
    const batch = this.#closed.shift()
    if (batch === undefined) return null
    this.#taken.push(batch)
    return batch
  }

  /** Its own entry when this node proposed it in this leadership and still waits for it, else null. In log order. */
  appliedEntry(index: number, term: number): MessageBatch | CommandBatch | null {
    const head = this.#taken[this.#takenHead]
    if (head === undefined || head.index !== index || head.term !== term) return null
    this.#takenHead += 1
    if (this.#takenHead === this.#taken.length) {
      this.#taken.length = 0
      this.#takenHead = 0
    } else if (this.#takenHead > 256) {
      this.#taken = this.#taken.slice(this.#takenHead)
      this.#takenHead = 0
    }
    return head
  }

  /** After it was applied: tells who waits. `results` of the commands in the entry. */
  tell(batch: MessageBatch | CommandBatch, results: readonly CommandResult[]): void {
    if (batch.waiting > 0) {
      const latencyMs = this.#host.clock.monotonicMs() - batch.openedMs
      this.#host.counters.latency(latencyMs, batch.waiting)
    }
    this.#release(batch)
    this.#releaseBytes(batch)
    this.#telling(() => batch.stored())
    this.#telling(() => batch.commandsApplied(results))
    this.#tellIdle()
  }

  /** Leadership won (and everything before is applied), lost, or another term: nothing proposed before counts any more. */
  roleChanged(ready: boolean, term: number): void {
    if (ready && this.#ready && term === this.#term) return
    this.#ready = false
    this.failAll('notLeader')
    this.#lanes.clear()
    this.#ready = ready
    this.#term = term
  }

  /** Shows every sender that waits, and those that waited too long. */
  visitPending(visitor: PendingVisitor): void {
    for (let i = this.#takenHead; i < this.#taken.length; i++) visit(this.#taken[i]!, visitor)
    for (const batch of this.#closed) visit(batch, visitor)
    if (this.#open !== null) visit(this.#open, visitor)
  }

  /** No more is taken in; what was accepted goes on. */
  refuseAll(): void {
    this.#stopped = true
  }

  failAll(reason: AppendFailure): void {
    const taken = this.#taken.slice(this.#takenHead)
    const waiting = this.#closed.splice(0)
    if (this.#open !== null) waiting.push(this.#open)
    this.#open = null
    this.#taken = []
    this.#takenHead = 0
    for (const batch of taken) this.#fail(batch, reason)
    for (const batch of waiting) this.#fail(batch, 'notStarted')
    for (const batch of taken) this.#releaseBytes(batch)
    for (const batch of waiting) this.#releaseBytes(batch)
    this.#tellIdle()
  }

  /** Resolves when nothing is pending (told, failed or timed out). */
  whenIdle(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve()
    return new Promise(resolve => this.#idleListeners.push(resolve))
  }

  close(): void {
    this.#timer.cancel()
    this.failAll('notLeader')
  }

  #lastBodyOffset = 0
  /** Filled again for each message. */
  readonly #fields: MessageFields = {
    topicBytes: NOTHING,
    queueId: 0,
    flag: 0,
    queueOffset: 0,
    sysFlag: 0,
    bornTimestamp: 0,
    bornHost: NOTHING,
    storeTimestamp: 0,
    storeHost: NOTHING,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body: NOTHING,
    properties: NOTHING
  }

  /** The message's bytes in the log. */
  #fill(message: MessageInput, lane: Lane): number {
    const fields = this.#fields
    fields.topicBytes = lane.topicBytes
    fields.queueId = message.queueId
    fields.flag = message.flag
    fields.sysFlag = message.sysFlag
    fields.bornTimestamp = message.bornTimestamp
    fields.bornHost = message.bornHost
    fields.storeHost = message.storeHost
    fields.reconsumeTimes = message.reconsumeTimes
    fields.preparedTransactionOffset = message.preparedTransactionOffset
    fields.body = message.body
    fields.properties = message.properties
    return storedMessageSize(fields)
  }

  /** After `#fill`. */
  #write(batch: MessageBatch, lane: Lane, message: MessageInput, size: number): number {
    const at = batch.reserve(this.#slab, size)
    let queueOffset = 0
    if (belongsToQueue(message.sysFlag)) {
      queueOffset = lane.next.get(message.queueId) ?? this.#firstOffset(lane, message)
      lane.next.set(message.queueId, queueOffset + 1)
    }
    this.#fields.queueOffset = queueOffset
    writeStoredMessage(this.#slab.bytes, at, this.#fields)
    this.#lastBodyOffset = batch.bodyOffset(at)
    return queueOffset
  }

  #firstOffset(lane: Lane, message: MessageInput): number {
    if (lane.fromZero) return 0
    return this.#host.queues.find(message.topic, message.queueId)?.maxOffset ?? 0
  }

  #newLane(topic: string): Lane | AppendRefusal {
    const topicBytes = Buffer.from(topic)
    const refusal = topicRefusal(topic, topicBytes.length)
    if (refusal !== null) return refusal
    const lane = new Lane(topicBytes)
    this.#lanes.set(topic, lane)
    return lane
  }

  /** When they are many, and all offsets that were given are applied: nobody waiting any more does not mean that. */
  #forgetLanes(): void {
    if (this.#lanes.size < LANES_MAX) return
    const pending = this.#taken.length - this.#takenHead + this.#closed.length
    if (pending === 0 && this.#open === null) this.#lanes.clear()
  }

  #intakeRefusal(bytes: number): AppendRefusal | null {
    if (this.#stopped) return 'stopped'
    if (!this.#ready) return 'notLeader'
    if (bytes > this.#appendBytesMax) return 'tooLarge'
    if (this.#pendingSends >= PENDING_SENDS_MAX) return 'busy'
    if (this.#pendingBytes + bytes > PENDING_BYTES_MAX) return 'busy'
    return this.#host.intakeRefusal()
  }

  #refused(refusal: AppendRefusal): AppendRefusal {
    this.#host.counters.putRefused += 1
    return refusal
  }

  #batchFor(bytes: number): MessageBatch {
    const open = this.#open
    if (open instanceof MessageBatch && open.hasRoom(this.#slab, bytes)) return open
    this.#closeOpen()
    const batch = new MessageBatch(this.#slab, bytes)
    this.#opened(batch)
    return batch
  }

  #opened(batch: MessageBatch | CommandBatch): void {
    batch.openedMs = this.#host.clock.monotonicMs()
    this.#open = batch
    this.#host.wake()
  }

  #accepted(batch: MessageBatch, bytes: number): void {
    batch.bytesHeld += bytes
    this.#pendingBytes += bytes
    this.#pendingSends += 1
    if (batch.isFull(this.#slab)) this.#closeOpen()
  }

  #closeOpen(): void {
    const batch = this.#open
    if (batch === null) return
    this.#open = null
    batch.close(this.#slab)
    this.#closed.push(batch)
  }

  #release(batch: MessageBatch | CommandBatch): void {
    this.#pendingSends -= batch.waiting
    this.#pendingCommands -= batch.commandWaiters.length
  }

  /** Bytes count until the entry is applied or its fate is no longer ours, also when nobody waits any more. */
  #releaseBytes(batch: MessageBatch | CommandBatch): void {
    this.#pendingBytes -= batch.bytesHeld
    batch.bytesHeld = 0
  }

  #tellIdle(): void {
    if (this.#idleListeners.length === 0 || !this.#isIdle()) return
    const listeners = this.#idleListeners
    this.#idleListeners = []
    for (const listener of listeners) listener()
  }

  #fail(batch: MessageBatch | CommandBatch, reason: AppendFailure): void {
    this.#host.counters.putFailed += batch.waiting
    this.#release(batch)
    this.#telling(() => batch.failed(reason))
  }

  /** Who is told is not our code: what it throws is reported, and the others are told all the same. */
  #telling(tell: () => void): void {
    for (;;) {
      try {
        tell()
        return
      } catch (error) {
        this.#host.waiterFailed(error)
      }
    }
  }

  #isIdle(): boolean {
    return this.#pendingSends === 0 && this.#pendingCommands === 0
  }

  /** Who waited too long is told; the entry keeps its place in line, because it may still be applied. */
  #checkTimeouts(): void {
    const deadlineMs = this.#host.clock.monotonicMs() - APPEND_TIMEOUT_MS
    for (let i = this.#takenHead; i < this.#taken.length; i++) {
      const batch = this.#taken[i]!
      if (batch.openedMs > deadlineMs) break
      if (batch.waiting > 0 || batch.commandWaiters.length > 0) this.#fail(batch, 'timeout')
    }
    for (const batch of this.#closed) {
      if (batch.openedMs > deadlineMs) break
      if (batch.waiting > 0 || batch.commandWaiters.length > 0) this.#fail(batch, 'timeout')
    }
    const open = this.#open
    if (open !== null && open.openedMs <= deadlineMs) {
      this.#closeOpen()
      this.#fail(open, 'timeout')
    }
    this.#tellIdle()
  }
}

function visit(batch: MessageBatch | CommandBatch, visitor: PendingVisitor): void {
  if (batch instanceof MessageBatch) batch.visit(visitor)
}
