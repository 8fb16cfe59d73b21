/** The door's class: puts the parts together and passes calls on; what a call does is in the part that it goes to. */
import type { RaftNode, RaftStatus, SavedState, StateMachine, StopOptions } from '../raft/index.ts'
import type {
  AppendRefusal,
  AppendWaiter,
  BatchAppendWaiter,
  MessageInput,
  PendingVisitor
} from './append.ts'
import { Appender } from './appender.ts'
import { Checkpoints } from './checkpoint.ts'
import { encodeCommand } from './commandCodec.ts'
import {
  type Command,
  type CommandResult,
  type ConsumerOffset,
  type QueueRef,
  topicOf
} from './commands.ts'
import type { ConsumeQueue } from './consumeQueue.ts'
import type { StoreCounters } from './counters.ts'
import { DerivedRepair } from './derivedRepair.ts'
import { failureOf } from './failures.ts'
import { StoreEvents } from './listeners.ts'
import { Lookups } from './lookups.ts'
import { Machine } from './machine.ts'
import { type OffsetCommitOptions, OffsetCommits } from './offsetCommits.ts'
import type { MessageFilter, PullRequest, PullResult } from './pull.ts'
import { Reader } from './reader.ts'
import { Retention } from './retention.ts'
import { Scrubber } from './scrubber.ts'
import { dumpState } from './stateDump.ts'
import type { StoreParts } from './storeParts.ts'
import type { StoreTables } from './tables.ts'
import { readTimers, type TimerRef } from './timers.ts'
import { Trimmer } from './trimmer.ts'
import type { Arrival, KeyQuery, KeyQueryResult, QueueUnit, Store, StoreRuntime } from './types.ts'

const STOP_GRACE_MS = 3_000

/** One opening of the store; over several, liveStore.ts. */
export class LedgerStore extends StoreEvents implements Omit<Store, 'group'>, StateMachine {
  readonly tables: StoreTables
  readonly counters: StoreCounters
  /** Where the log's node pulls from. */
  readonly appender: Appender
  readonly #parts: StoreParts
  readonly #machine: Machine
  readonly #reader: Reader
  readonly #lookups: Lookups
  readonly #checkpoints: Checkpoints
  readonly #repair: DerivedRepair
  readonly #scrubber: Scrubber
  readonly #trimmer: Trimmer
  readonly #retention: Retention
  readonly #offsetCommits: OffsetCommits
  #node: RaftNode | null = null
  #started = false
  #stopping: Promise<void> | null = null

  constructor(parts: StoreParts) {
    const { platform, logger, tables, queues, files, index, counters, state, restored } = parts
    super(parts.events)
    const { clock, disk, blocks } = platform
    const node = (): RaftNode => this.node
    const log = (): RaftNode['log'] => this.node.log
    this.#parts = parts
    this.tables = tables
    this.counters = counters
    this.appender = new Appender(
      {
        clock,
        blocks,
        queues,
        counters,
        waiterFailed: error => logger.error('An answer to a sender failed', { error }),
        wake: () => this.node.wake(),
        intakeRefusal: () => this.#intakeRefusal()
      },
      parts.entryBytesMax
    )
    this.#machine = new Machine(
      {
        queues,
        tables,
        index,
        counters,
        appender: this.appender,
        delayLevelsMs: parts.delayLevelsMs,
        arrived: this.arrivals.tell,
        tablesChanged: this.tableChanges.tell,
        transactionsOpened: this.newTransactions.tell,
        timersAdded: this.newTimers.tell,
        popsAdded: this.newPops.tell,
        offsetsMovedBack: this.offsetsBack.tell,
        inherited: (bytes, at, entry) =>
          this.inheritances.tell({ bytes, at, timeMs: entry.timeMs }),
        queuesRemoved: removed => this.#checkpoints.queuesRemoved(removed),
        trimDecided: () => clock.turnEnd(() => this.#trimmer.look())
      },
      restored.indexes,
      restored.appliedPosition
    )
    const machine = this.#machine
    this.#reader = new Reader(
      {
        blocks,
        queues,
        files,
        counters,
        log,
        whenBack: (...block) => this.#repair.whenBack(...block)
      },
      parts.pullLimits
    )
    const appliedPosition = (): number => machine.appliedPosition
    const lookups = new Lookups({ files, index, log, appliedPosition })
    this.#lookups = lookups
    this.#checkpoints = new Checkpoints(
      {
        clock,
        logger,
        state,
        files,
        tables,
        machine,
        index,
        counters,
        bootId: parts.bootId,
        delayLevelsMs: parts.delayLevelsMs,
        durableIndex: () => this.node.durableIndex
      },
      parts.checkpointIntervalMs,
      { checkpointIndex: restored.indexes.tables, syncedIndex: restored.syncedIndex },
      queues.all()
    )
    const checkpoints = this.#checkpoints
    this.#repair = new DerivedRepair({
      clock,
      logger,
      state,
      files,
      queues,
      index,
      checkpoints,
      delayLevelsMs: parts.delayLevelsMs,
      log,
      appliedPosition,
      noteChanged: queue => machine.noteChanged(queue)
    })
    this.#scrubber = new Scrubber(
      {
        clock,
        logger,
        state,
        queues,
        files,
        index,
        node,
        isBusy: () => this.appender.pendingSends > 0
      },
      parts.scrub,
      restored.scrub
    )
    this.#trimmer = new Trimmer({
      logger,
      tables,
      queues,
      files,
      index,
      machine,
      lookups,
      checkpoints,
      mustTrim: () => this.#retention.mustTrim,
      node
    })
    this.#retention = new Retention(
      {
        clock,
        disk,
        logger,
        directory: parts.directory,
        tables,
        queues,
        lookups,
        trimmer: this.#trimmer,
        node,
        execute: command => this.execute(command)
      },
      parts.retention
    )
    this.#offsetCommits = new OffsetCommits(
      {
        clock,
        tables,
        propose: (command, waiter) => this.appender.addCommand(encodeCommand(command), waiter)
      },
      parts.offsetCommitIntervalMs
    )
  }

  /** Once, before `start`. */
  attach(node: RaftNode): void {
    this.#node = node
  }

  get node(): RaftNode {
    if (this.#node === null) throw new Error('the store has no log yet')
    return this.#node
  }

  async start(): Promise<void> {
    this.#started = true
    await this.#retention.start()
    await this.node.start()
    this.#checkpoints.start()
    this.#repair.start()
    this.#scrubber.start()
  }

  apply(entries: Parameters<StateMachine['apply']>[0]): void {
    this.#machine.apply(entries)
  }

  roleChanged(status: RaftStatus): void {
    const wasReady = this.appender.ready
    this.#machine.roleChanged(status)
    this.appender.roleChanged(status.ready, status.term)
    if (wasReady && !status.ready) this.#offsetCommits.clear('notLeader')
    if (status.ready) this.#trimmer.look()
    this.roles.tell(status)
  }

  mustWait(): boolean {
    const { index } = this.#parts
    return this.#machine.isReplaying && (this.#checkpoints.isBehind || index?.isBehind === true)
  }

  async saveState(path: string): Promise<SavedState> {
    await this.#checkpoints.sync()
    return await dumpState(this.#parts.platform.disk, this.#parts.state, path)
  }

  append(message: MessageInput, waiter: AppendWaiter): AppendRefusal | null {
    return this.appender.append(message, waiter)
  }

  appendBatch(messages: readonly MessageInput[], waiter: BatchAppendWaiter): AppendRefusal | null {
    return this.appender.appendBatch(messages, waiter)
  }

  appendAtomic(
    messages: readonly MessageInput[],
    commands: readonly Command[],
    waiter: BatchAppendWaiter
  ): AppendRefusal | null {
    // A topic's deletion starts its queues anew, which needs an entry's end behind it.
    if (commands.some(command => command.type === 'deleteTopic')) return 'illegal'
    return this.appender.appendAll(messages, commands.map(encodeCommand), waiter)
  }

  get isFullOfCommands(): boolean {
    return this.appender.isFullOfCommands
  }

  execute(command: Command): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const refusal = this.appender.addCommand(
        encodeCommand(command),
        { applied: resolve, failed: reason => reject(failureOf(reason, this.node.leaderId)) },
        topicOf(command)
      )
      if (refusal !== null) reject(failureOf(refusal, this.node.leaderId))
    })
  }

  commitOffset(offset: ConsumerOffset, options: OffsetCommitOptions = {}): boolean {
    if (!this.appender.ready) return false
    return this.#offsetCommits.add(offset, options.ageMs ?? 0, options.mayGoBack === true, null)
  }

  commitOffsetAndWait(offset: ConsumerOffset, options: OffsetCommitOptions = {}): Promise<void> {
    if (!this.appender.ready) return Promise.reject(failureOf('notLeader', this.node.leaderId))
    return new Promise((resolve, reject) => {
      const taken = this.#offsetCommits.add(
        offset,
        options.ageMs ?? 0,
        options.mayGoBack === true,
        { done: resolve, failed: reason => reject(failureOf(reason, this.node.leaderId)) }
      )
      if (!taken) reject(failureOf('busy', this.node.leaderId))
    })
  }

  flushOffsets(): Promise<void> {
    return this.#offsetCommits.settle()
  }

  async lockQueues(
    group: string,
    clientId: string,
    queues: readonly QueueRef[]
  ): Promise<readonly QueueRef[]> {
    return (await this.execute({ type: 'lockQueues', group, clientId, queues })).granted
  }

  pull(request: PullRequest): PullResult | Promise<PullResult> {
    return this.#reader.pull(request)
  }

  arrivedMatches(arrival: Arrival, filter: MessageFilter): boolean {
    return this.#reader.arrivedMatches(arrival, filter)
  }

  minOffset(topic: string, queueId: number): number {
    return this.#queue(topic, queueId)?.minOffset ?? 0
  }

  maxOffset(topic: string, queueId: number): number {
    return this.#queue(topic, queueId)?.maxOffset ?? 0
  }

  async offsetByTime(
    topic: string,
    queueId: number,
    timestamp: number,
    boundary: 'lower' | 'upper' = 'lower'
  ): Promise<number> {
    const queue = this.#queue(topic, queueId)
    return queue === undefined ? 0 : await this.#lookups.offsetByTime(queue, timestamp, boundary)
  }

  async earliestStoreTime(topic: string, queueId: number): Promise<number> {
    const queue = this.#queue(topic, queueId)
    return queue === undefined ? -1 : await this.#lookups.storeTime(queue, queue.minOffset)
  }

  async storeTimeAt(topic: string, queueId: number, offset: number): Promise<number> {
    const queue = this.#queue(topic, queueId)
    return queue === undefined ? -1 : await this.#lookups.storeTime(queue, offset)
  }

  async earliestLogTime(): Promise<number> {
    return await this.#lookups.earliestLogTime(this.tables.trim.position, this.#parts.queues)
  }

  messageAt(physicalOffset: number): Promise<Buffer | null> {
    return this.#lookups.messageAt(physicalOffset)
  }

  async unit(topic: string, queueId: number, offset: number): Promise<QueueUnit | null> {
    const queue = this.#queue(topic, queueId)
    return queue === undefined ? null : await this.#lookups.unit(queue, offset)
  }

  async units(
    topic: string,
    queueId: number,
    offset: number,
    maxUnits: number
  ): Promise<QueueUnit[]> {
    const queue = this.#queue(topic, queueId)
    return queue === undefined ? [] : await this.#lookups.units(queue, offset, maxUnits)
  }

  async isInDisk(topic: string, queueId: number, offset: number): Promise<boolean> {
    const unit = await this.unit(topic, queueId, offset)
    if (unit === null) return false
    const behindBytes = this.node.log.committedPosition - unit.physicalOffset
    return behindBytes > this.#parts.pullLimits.memoryReachBytes
  }

  query(query: KeyQuery): Promise<KeyQueryResult> {
    return this.#lookups.query(query)
  }

  queueIds(topic: string): number[] {
    return this.#parts.queues.queueIds(topic)
  }

  /** Topics that have queues, with settings or without. */
  topicsWithQueues(): string[] {
    return this.#parts.queues.topics()
  }

  timers(from: TimerRef, untilMs: number, max: number): Promise<TimerRef[]> {
    const { tables, state } = this.#parts
    return readTimers(tables.timers, state, from, untilMs, max)
  }

  visitPending(visitor: PendingVisitor): void {
    this.appender.visitPending(visitor)
  }

  status(): RaftStatus {
    return this.node.status()
  }

  timeMs(): number {
    return this.node.timeMs()
  }

  get ready(): boolean {
    return this.appender.ready
  }

  readIndex(): Promise<number> {
    return this.node.readIndex()
  }

  transferLeadership(targetId?: string): Promise<boolean> {
    return this.node.transferLeadership(targetId)
  }

  runtime(): StoreRuntime {
    const { queues, index } = this.#parts
    return {
      diskRatio: this.#retention.usedPercent / 100,
      diskFull: this.#retention.diskFull || !this.node.diskRoom,
      logStartPosition: this.node.log.startPosition,
      logEndPosition: this.node.log.committedPosition,
      appliedIndex: this.#machine.appliedIndex,
      checkpointIndex: this.#checkpoints.checkpointIndex,
      queueCount: queues.count,
      pendingSends: this.appender.pendingSends,
      pendingBytes: this.appender.pendingBytes,
      indexRuns: index?.runCount ?? 0,
      damage: this.#repair.damage,
      scrub: this.#scrubber.status,
      counters: this.counters
    }
  }

  /** For tools: looks at all queues and runs now, and resolves when what is damaged was built again, as far as it can be. */
  async repairDerived(): Promise<void> {
    await this.#scrubber.lookAtDerived()
    await this.#repair.settle()
  }

  cleanExpired(): Promise<boolean> {
    return this.#retention.cleanExpired()
  }

  stop(options: StopOptions = {}): Promise<void> {
    this.#stopping ??= this.#stop(options, true)
    return this.#stopping
  }

  /** What is here is thrown away: closes without a last checkpoint. */
  abandon(): Promise<void> {
    this.#stopping ??= this.#stop({ transfer: false, graceMs: 0 }, false)
    return this.#stopping
  }

  async #stop(options: StopOptions, checkpoint: boolean): Promise<void> {
    const { clock } = this.#parts.platform
    const { state, files, index, logger } = this.#parts
    this.#retention.stop()
    if (this.appender.ready) this.#offsetCommits.flush()
    this.appender.refuseAll()
    const grace = new Promise<void>(resolve => {
      const timer = clock.after(options.graceMs ?? STOP_GRACE_MS, resolve)
      void this.appender.whenIdle().then(() => {
        timer.cancel()
        resolve()
      })
    })
    if (this.appender.ready) await grace
    await this.#scrubber.stop()
    await this.#repair.stop()
    await this.#trimmer.stop()
    await this.node.stop(options)
    this.appender.close()
    try {
      const durable =
        checkpoint && this.#started && this.node.durableIndex >= this.#machine.appliedIndex
      await this.#checkpoints.stop(durable && (await index?.tryFlush()) !== false)
    } catch (error) {
      logger.error('The last checkpoint failed; the next start applies more of the log', { error })
    }
    await index?.close()
    await files.close()
    await state.close()
    await this.#parts.lock?.release()
  }

  #queue(topic: string, queueId: number): ConsumeQueue | undefined {
    return this.#parts.queues.find(topic, queueId)
  }

  #intakeRefusal(): AppendRefusal | null {
    if (this.#retention.diskFull || !this.node.diskRoom) return 'diskFull'
    const { tables, index } = this.#parts
    if (this.#checkpoints.isBehind || index?.isBehind || tables.timers.isBehind) return 'busy'
    return null
  }
}
