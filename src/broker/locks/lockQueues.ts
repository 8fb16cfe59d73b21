import {
  LockBatchRequestBody,
  LockBatchResponseBody,
  RequestCode,
  ResponseCode,
  response
} from '../../protocol/index.ts'
import type { QueueRef } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { queueCount } from '../topics/index.ts'

/** Queues of one request; a consumer asks for those of one broker that it subscribes. */
const queuesMax = 65_536

const nothing: LockBatchResponseBody = { lockOKMQSet: [] }

/** Queues of topics that this broker has; there is nothing to lock of others. */
function queuesOf(body: LockBatchRequestBody, broker: BrokerContext): QueueRef[] {
  const queues: QueueRef[] = []
  for (const { topic, queueId } of body.mqSet.slice(0, queuesMax)) {
    const settings = broker.topics.find(topic)
    if (settings === undefined || !Number.isInteger(queueId) || queueId < 0) continue
    if (queueId < queueCount(settings)) queues.push({ topic, queueId })
  }
  return queues
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
    // Locks stay in the table until their group asks again: only groups that are in a table of their own may have some.
    if (broker.groups.find(body.consumerGroup) === undefined) {
      if (!broker.groups.mayBeMade(body.consumerGroup))
        return response(ResponseCode.SUCCESS, null, null, LockBatchResponseBody.encode(nothing))
      await broker.groups.ensure(body.consumerGroup)
    }
    const granted = await broker.store.lockQueues(
      body.consumerGroup,
      body.clientId,
      queuesOf(body, broker)
    )
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
      queues: queuesOf(body, broker)
    })
    return response(ResponseCode.SUCCESS)
  }
}
