import {
  msgOffsetInfo,
  POP_ORDER_REVIVE_QUEUE,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response,
  startOffsetInfo
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import { type PopOrder, StoreError, type TopicSettings } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { checkPop } from './checks.ts'
import { PopHolds } from './holds.ts'
import { PopRequest, pollMsOf, requirePopFields } from './popRequest.ts'
import { PopPositions } from './positions.ts'
import { type Taken, type TakenQueue, Taker } from './take.ts'

/** Messages that wait for the log's word before they are given out. */
const pendingBytesMax = 67_108_864
/** A pop that was kept from queues by a limit looks again after so long, ms. */
const limitedMs = 1_000
/** Looks in a row of one pop that only moved offsets over messages that do not match. */
const passesMax = 16

/** POP_MESSAGE (200050) on the leader: take, wait for the log, answer; or hold (broker.md 4.10, grpc.md 6.3). */
export class PopPath {
  readonly #broker: BrokerContext
  readonly holds: PopHolds
  #positions: PopPositions
  #taker: Taker
  #reviveCounter = 0
  #pendingBytes = 0

  constructor(broker: BrokerContext) {
    const { platform, config, store } = broker
    this.#broker = broker
    this.holds = new PopHolds(platform.clock, config, store, pop => this.#again(pop))
    this.#positions = new PopPositions(store, platform.clock)
    this.#taker = new Taker(broker, this.#positions)
  }

  /** This node leads now and has applied everything before. */
  start(): void {
    const { store, platform } = this.#broker
    this.#positions.end()
    this.#positions = new PopPositions(store, platform.clock)
    this.#taker = new Taker(this.#broker, this.#positions)
    this.holds.start()
  }

  stop(): void {
    this.#positions.end()
    this.holds.stop()
  }

  get handler(): Handler {
    return {
      code: RequestCode.POP_MESSAGE,
      needsLeader: true,
      heldMs: pollMsOf,
      handle: (request, caller, broker) => {
        const { clock } = broker.platform
        requirePopFields(request)
        return this.#run(new PopRequest(request, caller, clock.monotonicMs(), clock.wallMs()))
      }
    }
  }

  /** A pop that was held. */
  #again(pop: PopRequest): void {
    const answer = (command: RemotingCommand | null): void => {
      if (command !== null) pop.connection.respond(pop, command)
    }
    if (!this.#broker.store.ready) {
      answer(this.#nothing(pop, null, ResponseCode.POLLING_TIMEOUT))
      return
    }
    this.#run(pop).then(answer, (error: unknown) => {
      if (error instanceof NotLeaderError)
        answer(this.#nothing(pop, null, ResponseCode.POLLING_TIMEOUT))
      else answer(response(ResponseCode.SYSTEM_ERROR, textOf(error)))
    })
  }

  /** Null: held. */
  async #run(pop: PopRequest): Promise<RemotingCommand | null> {
    const topic = checkPop(pop, this.#broker)
    if ('code' in topic) return topic
    if (this.#pendingBytes >= pendingBytesMax)
      return response(ResponseCode.SYSTEM_BUSY, 'too many pops wait for the log, try again')
    // Commands of a pop count only for groups that are in the table.
    await this.#broker.groups.ensure(pop.group)
    const reviveQueueId = pop.order ? POP_ORDER_REVIVE_QUEUE : this.#nextReviveQueue()
    const { found: taken, missed } = await this.holds.looking(pop, () =>
      this.#take(pop, topic, reviveQueueId)
    )
    if (taken.queues.length === 0) return this.#holdOr(pop, taken, missed)
    if (taken.restNum > 0) this.holds.wakeOne(pop.topic, pop.group, Math.max(-1, pop.queueId))
    const given = await this.#committed(taken)
    if (given.length === 0) return this.#holdOr(pop, taken, missed)
    return this.#found(pop, taken, given)
  }

  async #take(pop: PopRequest, topic: TopicSettings, reviveQueueId: number): Promise<Taken> {
    let taken = await this.#taker.take(pop, topic, reviveQueueId)
    for (let i = 1; i < passesMax && isPassing(taken); i++)
      taken = await this.#taker.take(pop, topic, reviveQueueId)
    return taken
  }

  #nextReviveQueue(): number {
    this.#reviveCounter = (this.#reviveCounter + 1) % this.#broker.config.values.reviveQueueNum
    return this.#reviveCounter
  }

  #holdOr(pop: PopRequest, taken: Taken, missed: boolean): RemotingCommand | null {
    if (taken.busy)
      return response(ResponseCode.SYSTEM_BUSY, 'the log takes nothing now, try again')
    const limitMs = taken.limited ? this.#broker.store.timeMs() + limitedMs : taken.freeMs
    const held = this.holds.hold(pop, Math.min(taken.freeMs, limitMs))
    if (held !== 'held')
      return this.#nothing(
        pop,
        taken,
        held === 'full' ? ResponseCode.POLLING_FULL : ResponseCode.POLLING_TIMEOUT
      )
    // What came while it was read, or what is left of a long walk over messages that do not match.
    if (missed || isPassing(taken))
      this.holds.wakeOne(pop.topic, pop.group, Math.max(-1, pop.queueId))
    return null
  }

  /** Waits for the log's word on each queue; those that were not done as proposed are left out. */
  async #committed(taken: Taken): Promise<TakenQueue[]> {
    this.#pendingBytes += taken.bytes
    try {
      const done = await Promise.all(taken.queues.map(queue => queue.done))
      return taken.queues.filter((_, i) => done[i])
    } catch (error) {
      if (error instanceof StoreError)
        throw new Error(`the pop was not committed in time, try again: ${error.message}`, {
          cause: error
        })
      throw error
    } finally {
      this.#pendingBytes -= taken.bytes
    }
  }

  #found(pop: PopRequest, taken: Taken, queues: readonly TakenQueue[]): RemotingCommand {
    const { stats, platform } = this.#broker
    const tookMs = platform.clock.monotonicMs() - pop.arrivedMs
    for (const { topic, queueId, offsets, bytes, behindBytes, lastStoreMs } of queues)
      stats.got(pop.group, topic, queueId, {
        messages: offsets.length,
        bytes,
        tookMs,
        behindBytes,
        lastStoreMs,
        nextOffset: offsets.at(-1)! + 1
      })
    if (!pop.order) stats.popped(pop.group, pop.topic)
    const fields = {
      popTime: String(taken.popTime),
      invisibleTime: String(pop.invisibleMs),
      reviveQid: String(taken.reviveQueueId),
      restNum: String(taken.restNum),
      startOffsetInfo: startOffsetInfo(queues),
      msgOffsetInfo: msgOffsetInfo(queues),
      ...(pop.order ? { orderCountInfo: this.#orderCounts(taken, queues) } : {})
    }
    const body = Buffer.concat(queues.flatMap(queue => queue.messages))
    return response(ResponseCode.SUCCESS, 'FOUND', fields, body)
  }

  #nothing(pop: PopRequest, taken: Taken | null, code: number): RemotingCommand {
    return response(code, 'NO_MESSAGE_IN_QUEUE', {
      popTime: String(taken?.popTime ?? this.#broker.store.timeMs()),
      invisibleTime: String(pop.invisibleMs),
      reviveQid: String(taken?.reviveQueueId ?? 0),
      restNum: String(taken?.restNum ?? 0),
      startOffsetInfo: '',
      msgOffsetInfo: '',
      ...(pop.order ? { orderCountInfo: '' } : {})
    })
  }

  #orderCounts(taken: Taken, queues: readonly TakenQueue[]): string {
    const { tables } = this.#broker.store
    return queues
      .flatMap(queue => {
        const order = tables.popOrder(queue)
        return order?.popTime === taken.popTime ? countsOf(order, queue) : []
      })
      .join(';')
  }
}

/** Nothing was found, and there is more behind what was looked at. */
function isPassing({ queues, moved, restNum, busy }: Taken): boolean {
  return queues.length === 0 && moved && restNum > 0 && !busy
}

/** Who was delivered before, message by message, and for old clients the least of them. */
function countsOf({ messages }: PopOrder, { mark, queueId }: TakenQueue): string[] {
  const again = messages.filter(({ consumed }) => consumed > 0)
  const least = Math.min(...messages.map(({ consumed }) => consumed))
  return [
    ...again.map(({ offset, consumed }) => `${mark} qo${queueId}%${offset} ${consumed}`),
    `${mark} ${queueId} ${least}`
  ]
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
