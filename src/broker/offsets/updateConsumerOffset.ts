import {
  isOneway,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response
} from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'
import { queueCount } from '../topics/index.ts'

/**
 * UPDATE_CONSUMER_OFFSET (15). Facts: broker.md 4.5. One-way it joins the next coalesced command; two-way it is answered when committed.
 */
export const updateConsumerOffset: Handler = {
  code: RequestCode.UPDATE_CONSUMER_OFFSET,
  needsLeader: true,
  async handle(request, caller, broker) {
    const group = requiredText(request.extFields, 'consumerGroup')
    const topic = requiredText(request.extFields, 'topic')
    const queueId = requiredInt(request.extFields, 'queueId')
    const offset = requiredLong(request.extFields, 'commitOffset')
    // As 5.3; 4.9 stores what comes, and its table grows with every name that anybody makes up.
    if (broker.groups.findOrDefault(group) === undefined)
      return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} not exist!`)
    const settings = broker.topics.find(topic)
    if (settings === undefined)
      return response(ResponseCode.TOPIC_NOT_EXIST, `Topic ${topic} not exist!`)
    const queues = queueCount(settings)
    const problem = offsetProblem(queueId, queues, offset)
    if (problem !== null) return response(ResponseCode.SYSTEM_ERROR, problem)
    if (broker.resets.find(group, topic, queueId) !== null)
      return response(ResponseCode.SUCCESS, 'Offset has been previously reset')
    const progress = { group, topic, queueId, offset }
    const isSure = broker.offsets.order.isSure(caller, `${topic}@${group}@${queueId}`)
    const mayGoBack = isSure && !broker.consumers.isReplaced(group, caller.connection)
    const { heldMs } = caller
    if (isOneway(request)) {
      broker.offsets.update(progress, { heldMs, mayGoBack })
      return response(ResponseCode.SUCCESS)
    }
    // A client that still waits asks again; one that has asked another member since has gone on.
    if (!mayGoBack && broker.store.tables.consumerOffset(group, topic, queueId) > offset)
      return response(ResponseCode.SERVICE_NOT_AVAILABLE, backRemark)
    await broker.offsets.updateAndWait(progress, { heldMs, mayGoBack })
    return response(ResponseCode.SUCCESS)
  }
}

const backRemark =
  'the group has a larger offset, and this one may have been long on its way: it came by way of another broker, or over a connection that is older than this leader. ' +
  'If it is to go back, try again over a new connection to the leader.'

/** What no queue has. */
function offsetProblem(queueId: number, queues: number, offset: number): string | null {
  if (queueId < 0 || queueId >= queues) return `queueId[${queueId}] is illegal`
  if (offset < 0 || offset > Number.MAX_SAFE_INTEGER) return `commitOffset[${offset}] is illegal`
  return null
}
