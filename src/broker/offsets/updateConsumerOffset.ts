import {
  isOneway,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response,
  Version
} from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'

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
    if (request.version >= Version.V5_0_0) {
      // 5.3 looks whether they exist, 4.9 stores what comes.
      if (broker.groups.findOrDefault(group) === undefined)
        return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} not exist!`)
      if (broker.topics.find(topic) === undefined)
        return response(ResponseCode.TOPIC_NOT_EXIST, `Topic ${topic} not exist!`)
    }
    const problem = offsetProblem(queueId, offset)
    if (problem !== null) return response(ResponseCode.SYSTEM_ERROR, problem)
    const progress = { group, topic, queueId, offset }
    if (isOneway(request)) broker.offsets.update(progress, caller.heldMs)
    else await broker.offsets.updateAndWait(progress, caller.heldMs)
    return response(ResponseCode.SUCCESS)
  }
}

/** What no queue has. */
function offsetProblem(queueId: number, offset: number): string | null {
  if (queueId < 0 || queueId > 65_535) return `queueId[${queueId}] is illegal`
  if (offset < 0 || offset > Number.MAX_SAFE_INTEGER) return `commitOffset[${offset}] is illegal`
  return null
}
