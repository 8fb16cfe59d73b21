import {
  LockBatchRequestBody,
  LockBatchResponseBody,
  RequestCode,
  ResponseCode,
  response
} from '../../protocol/index.ts'
import type { QueueRef } from '../../store/index.ts'
import type { Handler } from '../dispatch/handler.ts'

/** Queues of one request; a consumer asks for those of one broker that it subscribes. */
const queuesMax = 65_536

function queuesOf(body: LockBatchRequestBody): QueueRef[] {
  return body.mqSet.slice(0, queuesMax).map(({ topic, queueId }) => ({ topic, queueId }))
}

/**
 * LOCK_BATCH_MQ (41). Facts: broker.md 4.8. Locks are in the log (R-A4): a new leader knows who owns which queue. They expire by the
 * log's time, 60 s after the last renewal.
 */
export const lockQueues: Handler = {
  code: RequestCode.LOCK_BATCH_MQ,
  needsLeader: true,
  async handle(request, _caller, broker) {
    const body = LockBatchRequestBody.decode(request.body)
    const granted = await broker.store.lockQueues(body.consumerGroup, body.clientId, queuesOf(body))
    const { brokerName } = broker.config.settings
    const named = new Map(
      body.mqSet.map(queue => [`${queue.topic}@${queue.queueId}`, queue.brokerName])
    )
    const lockOKMQSet = granted.map(({ topic, queueId }) => ({
      topic,
      queueId,
      brokerName: named.get(`${topic}@${queueId}`) ?? brokerName
    }))
    return response(ResponseCode.SUCCESS, null, null, LockBatchResponseBody.encode({ lockOKMQSet }))
  }
}

/** UNLOCK_BATCH_MQ (42): gives back those that the client owns; often one-way. */
export const unlockQueues: Handler = {
  code: RequestCode.UNLOCK_BATCH_MQ,
  needsLeader: true,
  async handle(request, _caller, broker) {
    const body = LockBatchRequestBody.decode(request.body)
    await broker.store.execute({
      type: 'unlockQueues',
      group: body.consumerGroup,
      clientId: body.clientId,
      queues: queuesOf(body)
    })
    return response(ResponseCode.SUCCESS)
  }
}
