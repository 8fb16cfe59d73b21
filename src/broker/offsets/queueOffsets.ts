import {
  optionalText,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response
} from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'

/** GET_MAX_OFFSET (30): the queue's end, 0 for a queue that was never written. A client decides by it where to start: read index. */
export const getMaxOffset: Handler = {
  code: RequestCode.GET_MAX_OFFSET,
  needsLeader: true,
  async handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const queueId = requiredInt(request.extFields, 'queueId')
    await broker.store.readIndex()
    return response(ResponseCode.SUCCESS, null, {
      offset: String(broker.store.maxOffset(topic, queueId))
    })
  }
}

/** GET_MIN_OFFSET (31): the queue's first offset that is still there. */
export const getMinOffset: Handler = {
  code: RequestCode.GET_MIN_OFFSET,
  needsLeader: false,
  handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const queueId = requiredInt(request.extFields, 'queueId')
    return response(ResponseCode.SUCCESS, null, {
      offset: String(broker.store.minOffset(topic, queueId))
    })
  }
}

/** SEARCH_OFFSET_BY_TIMESTAMP (29): 5.3.3's answers (observed.md). Near the end a client decides by it: read index. */
export const searchOffset: Handler = {
  code: RequestCode.SEARCH_OFFSET_BY_TIMESTAMP,
  needsLeader: true,
  async handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const queueId = requiredInt(request.extFields, 'queueId')
    const timestamp = requiredLong(request.extFields, 'timestamp')
    const upper = optionalText(request.extFields, 'boundaryType')?.toLowerCase() === 'upper'
    await broker.store.readIndex()
    const offset = await broker.store.offsetByTime(
      topic,
      queueId,
      timestamp,
      upper ? 'upper' : 'lower'
    )
    return response(ResponseCode.SUCCESS, null, { offset: String(offset) })
  }
}

/** GET_EARLIEST_MSG_STORETIME (32): -1 for an empty queue. */
export const getEarliestStoreTime: Handler = {
  code: RequestCode.GET_EARLIEST_MSG_STORETIME,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const queueId = requiredInt(request.extFields, 'queueId')
    const timestamp = await broker.store.earliestStoreTime(topic, queueId)
    return response(ResponseCode.SUCCESS, null, { timestamp: String(timestamp) })
  }
}
