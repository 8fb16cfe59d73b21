import {
  decodePopHandle,
  POP_ORDER_REVIVE_QUEUE,
  type PopHandle,
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
import { checkOffset, checkQueue } from './acks.ts'
import { checkInvisible } from './checks.ts'
import type { PopHolds } from './holds.ts'
import type { InFlight } from './inFlight.ts'

/** Each changed message is a batch of its own; so many times the batches that pops may make. */
const changesFactor = 2

/**
 * CHANGE_MESSAGE_INVISIBLETIME (200053): a message in flight comes back at another time, and has another handle (grpc.md 6.5). One that is
 * not in flight any more stays as it is; the answer is the same, as in the original.
 */
export function changeInvisibleTime(inFlight: InFlight, holds: PopHolds): Handler {
  return {
    code: RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
    needsLeader: true,
    repeatable: true,
    async handle(request, caller, broker) {
      const fields = request.extFields
      const queue = {
        group: requiredText(fields, 'consumerGroup'),
        topic: requiredText(fields, 'topic'),
        queueId: requiredInt(fields, 'queueId')
      }
      const offset = requiredLong(fields, 'offset')
      const invisibleMs = requiredLong(fields, 'invisibleTime')
      const extraInfo = requiredText(fields, 'extraInfo')
      const refused =
        checkQueue(queue, broker, caller.connection.remoteAddress) ??
        checkOffset(queue, offset, broker.store.maxOffset(queue.topic, queue.queueId), broker) ??
        checkInvisible(invisibleMs, broker)
      if (refused !== null) return refused
      const handle = decodePopHandle(extraInfo)
      if (handle.reviveQueueId === POP_ORDER_REVIVE_QUEUE)
        return await changeInOrder(broker, holds, queue, offset, handle, invisibleMs)
      const popTime = broker.store.timeMs()
      const checkpoint = inFlight.find({ ...queue, ...handle })
      if (checkpoint?.has(offset) === true) {
        const { count } = broker.store.tables.pops
        const isFull = count >= changesFactor * broker.config.values.popCkMaxBufferSize
        if (isFull && checkpoint.remaining > 1)
          return response(ResponseCode.SYSTEM_ERROR, 'too many messages are in flight')
        await inFlight.change(checkpoint, offset, { popTime, invisibleMs })
        broker.stats.acknowledged(queue.group, queue.topic, 1)
      }
      return changed(popTime, invisibleMs, handle)
    }
  }
}

async function changeInOrder(
  broker: BrokerContext,
  holds: PopHolds,
  queue: PopQueueRef,
  offset: number,
  handle: PopHandle,
  invisibleMs: number
): Promise<RemotingCommand> {
  const { group, topic, queueId } = queue
  const { store } = broker
  // The original's answer to what is behind the offset has no fields.
  if (offset < store.tables.consumerOffset(group, topic, queueId))
    return response(ResponseCode.SUCCESS)
  const { popTime } = handle
  const visibleMs = store.timeMs() + invisibleMs
  const change = { group, topic, queueId, popTime, offset, visibleMs }
  await store.execute({ type: 'popOrderChange', change })
  // It may be free earlier than those know who wait for it.
  holds.wakeQueue(topic, group, queueId)
  return changed(popTime, visibleMs - popTime, handle)
}

function changed(popTime: number, invisibleMs: number, handle: PopHandle): RemotingCommand {
  return response(ResponseCode.SUCCESS, null, {
    popTime: String(popTime),
    invisibleTime: String(invisibleMs),
    reviveQid: String(handle.reviveQueueId)
  })
}
