import {
  optionalBoolean,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredText,
  response
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { Handler } from '../dispatch/handler.ts'

/**
 * QUERY_CONSUMER_OFFSET (14). Facts: broker.md 4.5, remoting.md 2.7. Without a leader it stays unanswered: a Java 4.9 client takes
 * every error for "no offset" and skips to the end of the queue.
 */
export const queryConsumerOffset: Handler = {
  code: RequestCode.QUERY_CONSUMER_OFFSET,
  needsLeader: true,
  withoutLeader: 'silence',
  async handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'consumerGroup')
    const topic = requiredText(request.extFields, 'topic')
    const queueId = requiredInt(request.extFields, 'queueId')
    const tellsNone = optionalBoolean(request.extFields, 'setZeroIfNotFound') === false
    let offset: number
    let isYoung: boolean
    try {
      offset = await broker.offsets.query(group, topic, queueId)
      isYoung =
        offset < 0 &&
        !tellsNone &&
        broker.store.minOffset(topic, queueId) <= 0 &&
        !(await broker.store.isInDisk(topic, queueId, 0))
    } catch (error) {
      if (error instanceof NotLeaderError) throw error
      // Too many wait (a large cluster starts anew), or the queue's units are being built again: no answer, as without a
      // leader; clients ask again.
      const reason = error instanceof Error ? error.message : String(error)
      broker.logger.warn('Offset query left unanswered', { group, topic, queueId, reason })
      return null
    }
    if (offset >= 0) return response(ResponseCode.SUCCESS, null, { offset: String(offset) })
    if (tellsNone)
      return response(
        ResponseCode.QUERY_NOT_FOUND,
        'Not found, do not set to zero, maybe this group boot first'
      )
    // A new group on a young queue starts at its beginning, whatever the consumer asked for.
    if (isYoung) return response(ResponseCode.SUCCESS, null, { offset: '0' })
    return response(
      ResponseCode.QUERY_NOT_FOUND,
      'Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first'
    )
  }
}
