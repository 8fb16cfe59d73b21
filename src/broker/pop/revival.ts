import { getReconsumeTimes, popRetryTopic, RETRY_PREFIX } from '../../protocol/index.ts'
import type {
  Command,
  ConsumerOffset,
  MessageInput,
  PopAck,
  PopCheckpoint
} from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { PromiseWaiter } from '../send/index.ts'
import { storedBytes } from '../stats/index.ts'
import { LogAlarm } from '../timer/index.ts'
import { newTopic } from '../topics/index.ts'
import { DueQueue } from '../transaction/index.ts'
import type { InFlight } from './inFlight.ts'
import { deadMessage, revivedMessage } from './retryMessage.ts'

/** Messages of one round, and of one entry. */
const messagesMax = 1_024
/** Bodies of one entry; the first message always goes. */
const entryBytesMax = 1_048_576
/** Wait after a failure, ms. */
const retryMs = 100
/** What could not be given out anew is tried again after so long, while the others go on. Ms. */
const againMs = 1_000
/** The queue of what comes due is filled anew when so much of it is done with, and this many more. */
const staleFactor = 2
const staleRoom = 10_000

interface Revived {
  readonly messages: MessageInput[]
  readonly acks: PopAck[]
  /** Retry topics that the group reads for the first time. */
  readonly firstOffsets: ConsumerOffset[]
  bytes: number
  dead: number
}

/**
 * Gives out anew what was not acknowledged in time (grpc.md 6.4): the message goes into the retry topic of its group and topic, or to the
 * dead letters when it was delivered as often as the group allows, and the mark that it is not in flight any more stands in the same entry
 * (R-A3). On the leader, to the millisecond of the log's time; acknowledgements that came before the time are waited for, later ones are late.
 */
export class Revival {
  readonly #broker: BrokerContext
  readonly #inFlight: InFlight
  #due = new DueQueue<PopCheckpoint>()
  /** Of the leadership that the service works for; whoever awaited something under an older one stops. */
  #generation = 0
  #running: boolean = false
  #pumping: boolean = false
  readonly #alarm: LogAlarm
  /** Messages given out anew since the start, and those of them that went to the dead letters. */
  revived = 0
  dead = 0

  constructor(broker: BrokerContext, inFlight: InFlight) {
    this.#broker = broker
    this.#inFlight = inFlight
    const { platform, store } = broker
    this.#alarm = new LogAlarm(
      platform.clock,
      () => store.timeMs(),
      () => this.#wake()
    )
    store.onPops(added => {
      if (this.#running) this.#added(added)
    })
  }

  start(): void {
    if (this.#running) return
    this.#running = true
    this.#generation++
    this.#fill()
    this.#wake()
  }

  stop(): void {
    this.#running = false
    this.#generation++
    this.#due.clear()
    this.#alarm.cancel()
  }

  #fill(): void {
    this.#due = new DueQueue()
    for (const checkpoint of this.#broker.store.tables.pops.all())
      this.#due.add(checkpoint.dueMs, checkpoint)
  }

  #added(added: readonly PopCheckpoint[]): void {
    for (const checkpoint of added) this.#due.add(checkpoint.dueMs, checkpoint)
    const { count } = this.#broker.store.tables.pops
    if (this.#due.size > staleFactor * count + staleRoom) this.#fill()
    if (!this.#pumping && this.#due.nextDueMs < this.#alarm.atMs)
      this.#alarm.set(this.#due.nextDueMs)
  }

  #wake(): void {
    this.#alarm.cancel()
    if (this.#pumping) return
    this.#pumping = true
    const generation = this.#generation
    this.#pump(generation)
      .catch((error: unknown) => {
        if (generation !== this.#generation) return
        this.#broker.logger.warn('Messages in flight not revived, trying again', {
          reason: error instanceof Error ? error.message : String(error)
        })
        this.#alarm.set(this.#broker.store.timeMs() + retryMs)
      })
      .finally(() => {
        this.#pumping = false
        if (!this.#running) return
        // A new leadership began while this one's last answer was awaited.
        if (generation !== this.#generation) this.#wake()
        else if (!this.#alarm.isSet) this.#alarm.set(this.#due.nextDueMs)
      })
  }

  async #pump(generation: number): Promise<void> {
    const { store } = this.#broker
    while (generation === this.#generation) {
      const nowMs = store.timeMs()
      const due: PopCheckpoint[] = []
      let messages = 0
      while (messages < messagesMax && this.#due.nextDueMs <= nowMs) {
        const checkpoint = this.#due.take()!
        if (checkpoint.remaining === 0) continue
        due.push(checkpoint)
        messages += checkpoint.remaining
      }
      if (due.length === 0) return
      this.#inFlight.close(due)
      try {
        await this.#inFlight.settle()
        if (generation === this.#generation) await this.#reviveAll(due, generation)
      } finally {
        if (generation === this.#generation) {
          this.#inFlight.open(due)
          for (const checkpoint of due)
            if (checkpoint.remaining > 0) this.#due.add(nowMs + againMs, checkpoint)
        }
      }
    }
  }

  async #reviveAll(due: readonly PopCheckpoint[], generation: number): Promise<void> {
    let part = newPart()
    for (const checkpoint of due) {
      for (const offset of checkpoint.remainingOffsets()) {
        const message = await this.#tryMessageOf(checkpoint, offset)
        if (generation !== this.#generation) return
        if (message === undefined) break
        const bytes = message === null ? 0 : message.body.length + message.properties.length
        if (part.acks.length > 0 && part.bytes + bytes > entryBytesMax) {
          await this.#commit(part, generation)
          if (generation !== this.#generation) return
          part = newPart()
        }
        this.#add(part, checkpoint, offset, message)
        part.bytes += bytes
      }
    }
    if (part.acks.length > 0) await this.#commit(part, generation)
  }

  #add(
    part: Revived,
    checkpoint: PopCheckpoint,
    offset: number,
    message: MessageInput | null
  ): void {
    const { group, topic, queueId, startOffset, popTime } = checkpoint
    part.acks.push({ group, topic, queueId, startOffset, popTime, offsets: [offset] })
    if (message === null) return
    part.messages.push(message)
    if (!message.topic.startsWith(RETRY_PREFIX)) {
      part.dead += 1
    } else if (this.#broker.store.tables.consumerOffset(group, message.topic, 0) < 0)
      part.firstOffsets.push({ group, topic: message.topic, queueId: 0, offset: 0 })
  }

  /** Undefined: not now. One that cannot be read, or whose retry topic cannot be made, does not hold up the others. */
  async #tryMessageOf(
    checkpoint: PopCheckpoint,
    offset: number
  ): Promise<MessageInput | null | undefined> {
    try {
      return await this.#messageOf(checkpoint, offset)
    } catch (error) {
      const { group, topic, queueId } = checkpoint
      const reason = error instanceof Error ? error.message : String(error)
      this.#broker.logger.warn('Message in flight not given out anew, trying again', {
        group,
        topic,
        queueId,
        offset,
        reason
      })
      return undefined
    }
  }

  /** As it is stored again; null: it is gone, or its group or topic is. Rejects when it cannot be read now. */
  async #messageOf(checkpoint: PopCheckpoint, offset: number): Promise<MessageInput | null> {
    const { store, topics, groups, config, storeHost, logger } = this.#broker
    const { group, topic, queueId } = checkpoint
    const settings = groups.find(group)
    if (settings === undefined || topics.find(topic) === undefined) return null
    const unit = await store.unit(topic, queueId, offset)
    const stored = unit === null ? null : await store.messageAt(unit.physicalOffset)
    if (stored === null) {
      if (unit !== null && unit.physicalOffset >= store.runtime().logStartPosition)
        throw new Error(`no message can be read at ${unit.physicalOffset}`)
      logger.warn('Message in flight dropped: it is gone', { group, topic, queueId, offset })
      return null
    }
    if (getReconsumeTimes(stored, 0) >= settings.retryMaxTimes) {
      await topics.ensureDeadLetter(group)
      return deadMessage(stored, group, topic, storeHost)
    }
    const retryTopic = topic.startsWith(RETRY_PREFIX)
      ? topic
      : popRetryTopic(topic, group, config.values.enableRetryTopicV2)
    await topics.ensure(newTopic(retryTopic, 1))
    return revivedMessage(stored, checkpoint, retryTopic, storeHost)
  }

  async #commit(part: Revived, generation: number): Promise<void> {
    const { store, stats, logger } = this.#broker
    const commands: Command[] = [{ type: 'popAcks', acks: part.acks }]
    if (part.firstOffsets.length > 0)
      commands.unshift({ type: 'commitOffsets', offsets: part.firstOffsets })
    if (part.messages.length === 0) {
      await store.execute(commands[0]!)
      return
    }
    const waiter = new PromiseWaiter()
    const refused = store.appendAtomic(part.messages, commands, waiter)
    if (refused === 'tooLarge' || refused === 'illegal') {
      if (part.acks.length > 1) return await this.#commitOneByOne(part, generation)
      // It was stored once, so only what was added can be too much; it would hold up nothing but itself, and come due for ever.
      logger.error('Message in flight dropped: the log does not take it again', {
        ...part.acks[0],
        refused
      })
      await store.execute({ type: 'popAcks', acks: part.acks })
      return
    }
    if (refused !== null) throw new Error(`the log does not take them: ${refused}`)
    const outcome = await waiter.outcome
    if (!outcome.stored) {
      if (outcome.reason === 'notStarted') throw new Error('they did not reach the log')
      if (!(await this.#whetherDone(part, generation))) return
    }
    this.revived += part.messages.length
    this.dead += part.dead
    for (const message of part.messages)
      stats.put(message.topic, message.queueId, 1, storedBytes(message))
  }

  async #commitOneByOne(part: Revived, generation: number): Promise<void> {
    // Messages that are gone have no place among `messages`: which belongs to which is found by taking each anew.
    for (const ack of part.acks) {
      const checkpoint = this.#broker.store.tables.pops.find(ack)
      const offset = ack.offsets[0]!
      if (checkpoint?.has(offset) !== true) continue
      const single = newPart()
      this.#add(single, checkpoint, offset, await this.#messageOf(checkpoint, offset))
      if (generation !== this.#generation) return
      await this.#commit(single, generation)
    }
  }

  /**
   * After a failure the entry may still be committed: as long as this node leads, an entry in its log will be. Sending it again would
   * deliver twice, so the mark itself is waited for.
   */
  async #whetherDone(part: Revived, generation: number): Promise<boolean> {
    const first = part.acks[0]!
    while (generation === this.#generation) {
      const checkpoint = this.#broker.store.tables.pops.find(first)
      if (checkpoint?.has(first.offsets[0]!) !== true) return true
      await new Promise<void>(resolve => {
        this.#broker.platform.clock.after(retryMs, resolve)
      })
    }
    return false
  }
}

function newPart(): Revived {
  return { messages: [], acks: [], firstOffsets: [], bytes: 0, dead: 0 }
}
