import {
  type BatchAck,
  BatchAckMessageRequestBody,
  decodePopHandle,
  markedTopic,
  POP_ORDER_REVIVE_QUEUE,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response
} from '../../protocol/index.ts'
import type { PopQueueRef } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import type { PopHolds } from './holds.ts'
import type { InFlight } from './inFlight.ts'

const nothingNamed = 'the batch names no message'

/** Acknowledged messages of one queue, as a request names them. */
interface Acknowledged extends PopQueueRef {
  readonly startOffset: number
  readonly popTime: number
  readonly reviveQueueId: number
  readonly offsets: readonly number[]
}

/**
 * ACK_MESSAGE (200051) and BATCH_ACK_MESSAGE (200151), broker.md 4.10. Answered when the log has them. What is not in flight any more is
 * passed over without a word, as in the original: acknowledged before, or given out anew.
 */
export class Acks {
  readonly #broker: BrokerContext
  readonly #inFlight: InFlight
  readonly #holds: PopHolds

  constructor(broker: BrokerContext, inFlight: InFlight, holds: PopHolds) {
    this.#broker = broker
    this.#inFlight = inFlight
    this.#holds = holds
  }

  handlers(): Handler[] {
    return [
      {
        code: RequestCode.ACK_MESSAGE,
        needsLeader: true,
        repeatable: true,
        handle: (request, caller) => this.#one(request, caller.connection.remoteAddress)
      },
      {
        code: RequestCode.BATCH_ACK_MESSAGE,
        needsLeader: true,
        repeatable: true,
        handle: request => this.#batch(request)
      }
    ]
  }

  async #one(request: RemotingCommand, remoteAddress: string): Promise<RemotingCommand> {
    const fields = request.extFields
    const queue = {
      group: requiredText(fields, 'consumerGroup'),
      topic: requiredText(fields, 'topic'),
      queueId: requiredInt(fields, 'queueId')
    }
    const offset = requiredLong(fields, 'offset')
    const extraInfo = requiredText(fields, 'extraInfo')
    const refused =
      checkQueue(queue, this.#broker, remoteAddress) ??
      checkOffset(
        queue,
        offset,
        this.#broker.store.maxOffset(queue.topic, queue.queueId) + 1,
        this.#broker
      )
    if (refused !== null) return refused
    const { startOffset, popTime, reviveQueueId } = decodePopHandle(extraInfo)
    const refusal = await this.#acknowledge({
      ...queue,
      startOffset,
      popTime,
      reviveQueueId,
      offsets: [offset]
    })
    return refusal ?? response(ResponseCode.SUCCESS)
  }

  async #batch(request: RemotingCommand): Promise<RemotingCommand> {
    if (request.body === null) return response(ResponseCode.NO_MESSAGE, nothingNamed)
    const { acks } = BatchAckMessageRequestBody.decode(request.body)
    if (acks.length === 0) return response(ResponseCode.NO_MESSAGE, nothingNamed)
    const named = acks.map(ack => this.#named(ack)).filter(ack => ack !== null)
    const refusals = await Promise.all(named.map(ack => this.#acknowledge(ack)))
    return refusals.find(refusal => refusal !== null) ?? response(ResponseCode.SUCCESS)
  }

  /** What of it may be in flight: only a batch that was given out can be acknowledged. Null: nothing. */
  #named(ack: BatchAck): Acknowledged | null {
    const { consumerGroup: group, queueId, startOffset, popTime, reviveQueueId } = ack
    const topic = markedTopic(ack.topic, group, ack.retry)
    const name = { group, topic, queueId, startOffset, popTime }
    const { tables } = this.#broker.store
    const given =
      reviveQueueId === POP_ORDER_REVIVE_QUEUE
        ? tables.popOrder(name)?.messages.map(({ offset }) => offset)
        : tables.pops.find(name)?.remainingOffsets()
    const offsets = (given ?? []).filter(offset => isSet(ack.bits, offset - startOffset))
    return offsets.length === 0 ? null : { ...name, reviveQueueId, offsets }
  }

  /** Null: done, or nothing to do. */
  async #acknowledge(ack: Acknowledged): Promise<RemotingCommand | null> {
    const { group, topic, offsets } = ack
    this.#broker.stats.acknowledged(group, topic, offsets.length)
    if (ack.reviveQueueId === POP_ORDER_REVIVE_QUEUE) return await this.#inOrder(ack)
    await this.#inFlight.acknowledge(ack)
    return null
  }

  async #inOrder(ack: Acknowledged): Promise<RemotingCommand | null> {
    const { group, topic, queueId, popTime } = ack
    const { store } = this.#broker
    const { tables } = store
    const before = tables.consumerOffset(group, topic, queueId)
    const order = tables.popOrder(ack)
    const offsets = ack.offsets.filter(offset => offset >= before)
    // Of another batch, or behind it: acknowledged before, or given out anew.
    if (offsets.length === 0 || order === undefined || order.popTime !== popTime) return null
    const strange = offsets.find(offset =>
      order.messages.every(message => message.offset !== offset)
    )
    if (strange !== undefined)
      return response(
        ResponseCode.MESSAGE_ILLEGAL,
        `offset is illegal, key:${topic}@${group}@${queueId}, old:${before}, commit:${strange}, next:-1, `
      )
    const ackCommand = { group, topic, queueId, popTime, offsets }
    await store.execute({ type: 'popOrderAck', ack: ackCommand })
    if (this.#inFlight.isFree(ack)) this.#holds.wakeQueue(topic, group, queueId)
    return null
  }
}

/** The answer to a request that names a queue which is not there. */
export function checkQueue(
  { topic, queueId }: PopQueueRef,
  broker: BrokerContext,
  remoteAddress: string
): RemotingCommand | null {
  const settings = broker.topics.find(topic)
  if (settings === undefined)
    return response(ResponseCode.TOPIC_NOT_EXIST, `topic[${topic}] not exist, apply first please!`)
  if (queueId >= 0 && queueId < settings.readQueueNums) return null
  return response(
    ResponseCode.MESSAGE_ILLEGAL,
    `queueId[${queueId}] is illegal, topic:[${topic}] topicConfig.readQueueNums:[${settings.readQueueNums}] consumer:[${remoteAddress}]`
  )
}

/** The answer to a request that names a message which is not there; `end`: the first offset that is too large. */
export function checkOffset(
  { topic, queueId }: PopQueueRef,
  offset: number,
  end: number,
  { store }: BrokerContext
): RemotingCommand | null {
  const minOffset = store.minOffset(topic, queueId)
  if (offset >= minOffset && offset < end) return null
  return response(
    ResponseCode.NO_MESSAGE,
    `offset is illegal, key:${topic}@${queueId}, commit:${offset}, store:${minOffset}~${store.maxOffset(topic, queueId)}`
  )
}

/** Of Java's BitSet. */
function isSet(bits: Buffer, i: number): boolean {
  return i >= 0 && ((bits[i >> 3] ?? 0) & (1 << (i & 7))) !== 0
}
