import {
  getPhysicalOffset,
  getQueueOffset,
  getTotalSize,
  POP_ORDER_REVIVE_QUEUE,
  popRetryTopic,
  RETRY_PREFIX,
  retryMarkOf
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import {
  type Command,
  orderFreeMs,
  type PopQueueRef,
  type PullResult,
  PullStatus,
  REPAIR_PATIENCE_MS,
  StoreError,
  type TopicSettings
} from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { PopRequest } from './popRequest.ts'
import type { PopPositions } from './positions.ts'
import { underOwnTopic } from './retryMessage.ts'

/** Messages that one pop took of one queue; given out when `done` says that the log has it. */
export interface TakenQueue extends PopQueueRef {
  readonly mark: string
  readonly startOffset: number
  readonly offsets: readonly number[]
  readonly messages: readonly Buffer[]
  readonly bytes: number
  readonly behindBytes: number
  readonly lastStoreMs: number
  /** True: applied as proposed. */
  readonly done: Promise<boolean>
}

/** What one pass over the queues of a pop found. */
export class Taken {
  readonly popTime: number
  readonly reviveQueueId: number
  readonly queues: TakenQueue[] = []
  count = 0
  bytes = 0
  /** Messages that wait behind what was taken, all queues together. */
  restNum = 0
  /** The log takes nothing at the moment. */
  busy = false
  /** Something was passed over for a limit of what may be in flight. */
  limited = false
  /** An offset moved over messages that did not match. */
  moved = false
  /** Of the first queue that cannot be read just now: what it is made of is damaged, and being put back. */
  unreadable: unknown = null
  /** When the first queue that is blocked becomes free, time of the log. */
  freeMs = Number.POSITIVE_INFINITY

  constructor(popTime: number, reviveQueueId: number) {
    this.popTime = popTime
    this.reviveQueueId = reviveQueueId
  }
}

/** Statuses behind which a group's offset moves although nothing is given out (broker.md 4.10). */
const passing: readonly PullStatus[] = [
  PullStatus.NO_MATCHED_MESSAGE,
  PullStatus.OFFSET_FOUND_NULL,
  PullStatus.MESSAGE_WAS_REMOVING,
  PullStatus.NO_MATCHED_LOGIC_QUEUE
]
const wrongOffset: readonly PullStatus[] = [
  PullStatus.OFFSET_TOO_SMALL,
  PullStatus.OFFSET_OVERFLOW_BADLY,
  PullStatus.OFFSET_FOUND_NULL
]

/**
 * Takes messages for one pop: reads each queue where its group stands, and proposes the command that hides what was read and moves the
 * offset, in the same step, so that no other pop can come between. Nothing is given out before its command is applied.
 */
export class Taker {
  readonly #broker: BrokerContext
  readonly #positions: PopPositions

  constructor(broker: BrokerContext, positions: PopPositions) {
    this.#broker = broker
    this.#positions = positions
  }

  /** All queues of a pop in the original's order, until it is full. Rejects when none gives anything and one cannot be read. */
  async take(pop: PopRequest, topic: TopicSettings, reviveQueueId: number): Promise<Taken> {
    const { platform, store, config, topics } = this.#broker
    const { popFromRetryProbability, enableRetryTopicV2, retrieveMessageFromPopRetryTopicV1 } =
      config.values
    const taken = new Taken(store.timeMs(), reviveQueueId)
    const chance = platform.random.below(100)
    const retryFirst = chance < popFromRetryProbability
    const v1 = enableRetryTopicV2 && retrieveMessageFromPopRetryTopicV1 && chance % 2 === 0
    const retryName = popRetryTopic(pop.topic, pop.group, enableRetryTopicV2 && !v1)
    const retry = pop.order ? undefined : topics.find(retryName)
    if (retryFirst && retry !== undefined) await this.#takeTopic(pop, taken, retry, chance)
    if (pop.queueId < 0) await this.#takeTopic(pop, taken, topic, chance)
    else await this.#takeQueue(pop, taken, topic.topicName, pop.queueId)
    if (!retryFirst && retry !== undefined) await this.#takeTopic(pop, taken, retry, chance)
    if (taken.count === 0 && taken.unreadable !== null) throw taken.unreadable
    return taken
  }

  async #takeTopic(
    pop: PopRequest,
    taken: Taken,
    { topicName, readQueueNums }: TopicSettings,
    from: number
  ): Promise<void> {
    for (let i = 0; i < readQueueNums; i++) {
      const queueId = (from + i) % readQueueNums
      await this.#takeQueue(pop, taken, topicName, queueId)
    }
  }

  /** Not looked into: what waits there counts. */
  #pass(taken: Taken, queue: PopQueueRef): void {
    const { store } = this.#broker
    const next = Math.max(this.#positions.next(queue), store.minOffset(queue.topic, queue.queueId))
    taken.restNum += Math.max(0, store.maxOffset(queue.topic, queue.queueId) - next)
  }

  async #takeQueue(pop: PopRequest, taken: Taken, topic: string, queueId: number): Promise<void> {
    const queue = { group: pop.group, topic, queueId }
    if (taken.busy || taken.count >= pop.maxMessages) {
      this.#pass(taken, queue)
      return
    }
    await this.#positions.alone(queue, async () => {
      if (this.#positions.ended || !this.#broker.store.ready)
        throw new NotLeaderError(this.#broker.store.status().leaderId)
      if (this.#isBlocked(pop, taken, queue)) return
      if (this.#isLimited(queue)) {
        taken.limited = true
        return
      }
      await this.#read(pop, taken, queue)
    })
  }

  /** The group has a batch of the queue, in order, that is neither acknowledged nor out of time. */
  #isBlocked(pop: PopRequest, taken: Taken, queue: PopQueueRef): boolean {
    if (!pop.order) return false
    if (this.#positions.isPending(queue)) return true
    const order = this.#broker.store.tables.popOrder(queue)
    if (order === undefined) return false
    if (order.attemptId !== null && order.attemptId === pop.attemptId) return false
    const freeMs = orderFreeMs(order)
    if (freeMs <= this.#broker.store.timeMs()) return false
    taken.freeMs = Math.min(taken.freeMs, freeMs)
    return true
  }

  #isLimited(queue: PopQueueRef): boolean {
    const { config, store } = this.#broker
    const { popCkMaxBufferSize, enablePopMessageThreshold, popInflightMessageThreshold } =
      config.values
    return (
      store.tables.pops.count >= popCkMaxBufferSize ||
      (enablePopMessageThreshold && store.tables.pops.inFlight(queue) > popInflightMessageThreshold)
    )
  }

  async #read(pop: PopRequest, taken: Taken, queue: PopQueueRef): Promise<void> {
    const known = this.#positions.next(queue)
    const { resets } = this.#broker
    // Its offset is the group's already.
    if (resets.find(queue.group, queue.topic, queue.queueId) !== null)
      resets.followed(queue.group, queue.topic, queue.queueId)
    const looked = await this.#look(pop, taken, queue, known)
    if (looked === null) return
    const { offset, result } = looked
    const next = passing.includes(result.status) ? Math.max(offset, result.nextBeginOffset) : offset
    if (result.messageCount > 0) this.#found(pop, taken, queue, { known, offset, result })
    else if (next !== known) {
      taken.moved ||= next > offset
      this.#propose(taken, queue, next, this.#moveCommand(pop, taken, queue, known, next))?.catch(
        () => {}
      )
    }
    const seen = result.messageCount > 0 ? result.nextBeginOffset : next
    taken.restNum += Math.max(0, result.maxOffset - seen)
  }

  /**
   * Null: it cannot be read. What was taken of other queues is hidden already and must be given out: pops that failed each
   * time would wear its deliveries out.
   */
  async #look(
    pop: PopRequest,
    taken: Taken,
    queue: PopQueueRef,
    known: number
  ): Promise<{ offset: number; result: PullResult } | null> {
    try {
      const offset = known >= 0 ? known : await this.#firstOffset(pop, queue)
      const result = await this.#pull(pop, taken, queue, offset)
      if (!wrongOffset.includes(result.status)) return { offset, result }
      const next = result.nextBeginOffset
      const again = await this.#pull(pop, taken, queue, next)
      return { offset: next, result: again }
    } catch (error) {
      if (error instanceof NotLeaderError) throw error
      taken.unreadable ??= error
      this.#pass(taken, queue)
      return null
    }
  }

  async #firstOffset(pop: PopRequest, { topic, queueId }: PopQueueRef): Promise<number> {
    const { store, config } = this.#broker
    const minOffset = store.minOffset(topic, queueId)
    if (!pop.fromMax || topic.startsWith(RETRY_PREFIX)) return minOffset
    const isYoung =
      config.values.initPopOffsetByCheckMsgInMem &&
      minOffset <= 0 &&
      !(await store.isInDisk(topic, queueId, 0))
    if (isYoung && store.maxOffset(topic, queueId) > 0) return 0
    return Math.max(0, store.maxOffset(topic, queueId) - 1)
  }

  async #pull(
    pop: PopRequest,
    taken: Taken,
    { topic, queueId }: PopQueueRef,
    offset: number
  ): Promise<PullResult> {
    const { tagHashes, filter } = pop
    // Once for a pop, and not while what it has taken already is hidden from others.
    const patienceMs = taken.count === 0 && taken.unreadable === null ? REPAIR_PATIENCE_MS : 0
    // Queues of followers may be read at any time; what a pop takes must be the leader's.
    return await this.#broker.store.pull({
      topic,
      queueId,
      offset,
      maxMessages: pop.maxMessages - taken.count,
      tagHashes,
      filter,
      patienceMs
    })
  }

  #found(
    pop: PopRequest,
    taken: Taken,
    queue: PopQueueRef,
    read: { known: number; offset: number; result: PullResult }
  ): void {
    const { known, offset, result } = read
    const stored: Buffer[] = []
    for (const chunk of result.chunks) {
      // A view of the log's memory, good for this turn only.
      const bytes = Buffer.from(chunk)
      for (let at = 0; at < bytes.length; at += getTotalSize(bytes, at))
        stored.push(bytes.subarray(at, at + getTotalSize(bytes, at)))
    }
    const offsets = stored.map(message => getQueueOffset(message, 0))
    const command = this.#takeCommand(pop, taken, queue, {
      known,
      offset,
      next: result.nextBeginOffset,
      offsets,
      position: Math.min(...stored.map(message => getPhysicalOffset(message, 0)))
    })
    const next = pop.order ? offset : result.nextBeginOffset
    const done = this.#propose(taken, queue, next, command)
    if (done === null) return
    // Awaited when all queues were looked at.
    done.catch(() => {})
    const mark = retryMarkOf(queue.topic)
    const renamed = mark !== '0' && !this.#broker.config.values.popResponseReturnActualRetryTopic
    const messages = renamed
      ? stored.map(message => this.#renamed(message, pop, taken, queue, offset))
      : stored
    taken.count += messages.length
    taken.bytes += result.bytes
    taken.queues.push({
      ...queue,
      mark,
      startOffset: offset,
      offsets,
      messages,
      bytes: result.bytes,
      behindBytes: result.behindBytes,
      lastStoreMs: result.lastStoreTimestamp,
      done
    })
  }

  #renamed(
    message: Buffer,
    pop: PopRequest,
    taken: Taken,
    { topic, queueId }: PopQueueRef,
    startOffset: number
  ): Buffer {
    return underOwnTopic(message, pop.topic, {
      startOffset,
      popTime: taken.popTime,
      invisibleMs: pop.invisibleMs,
      reviveQueueId: taken.reviveQueueId,
      mark: retryMarkOf(topic),
      brokerName: this.#broker.config.settings.brokerName,
      queueId
    })
  }

  #moveCommand(
    pop: PopRequest,
    taken: Taken,
    queue: PopQueueRef,
    known: number,
    next: number
  ): Command {
    const read = { known, offset: next, next, offsets: [], position: 0 }
    return this.#takeCommand(pop, taken, queue, read)
  }

  #takeCommand(
    pop: PopRequest,
    taken: Taken,
    queue: PopQueueRef,
    read: {
      known: number
      offset: number
      next: number
      offsets: readonly number[]
      position: number
    }
  ): Command {
    const common = {
      ...queue,
      startOffset: read.offset,
      popTime: taken.popTime,
      invisibleMs: pop.invisibleMs,
      expectedOffset: read.known,
      offsets: read.offsets
    }
    if (taken.reviveQueueId === POP_ORDER_REVIVE_QUEUE)
      return { type: 'popOrderTake', take: { ...common, attemptId: pop.attemptId } }
    return {
      type: 'popTake',
      take: { ...common, nextOffset: read.next, position: read.position }
    }
  }

  /** Null: the log takes nothing at the moment, and nothing was taken. */
  #propose(
    taken: Taken,
    queue: PopQueueRef,
    next: number,
    command: Command
  ): Promise<boolean> | null {
    const { store } = this.#broker
    if (this.#positions.ended || !store.ready) throw new NotLeaderError(store.status().leaderId)
    if (store.isFullOfCommands) {
      taken.busy = true
      return null
    }
    return this.#positions.move(queue, next, command)
  }
}

/** Why a pop that is not given out failed: the leadership may be asked again elsewhere, the rest is the client's to repeat. */
export function isBusy(error: unknown): boolean {
  return error instanceof StoreError && (error.reason === 'busy' || error.reason === 'timeout')
}
