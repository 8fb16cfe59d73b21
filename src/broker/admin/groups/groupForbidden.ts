import {
  GroupForbidden,
  optionalBoolean,
  RequestCode,
  ResponseCode,
  requiredText,
  response
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** UPDATE_AND_GET_GROUP_FORBIDDEN (353, 5.3): whether a group may read a topic; `readable` sets it. */
export const groupForbidden: Handler = {
  code: RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN,
  needsLeader: true,
  async handle(request, caller, broker) {
    const group = requiredText(request.extFields, 'group')
    const topic = requiredText(request.extFields, 'topic')
    const readable = optionalBoolean(request.extFields, 'readable')
    if (readable !== null) {
      // Of names that anybody makes up the log would grow.
      if (broker.groups.find(group) === undefined)
        return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} does not exist`)
      if (broker.topics.find(topic) === undefined)
        return response(ResponseCode.TOPIC_NOT_EXIST, `Topic ${topic} does not exist`)
      await broker.forbidden.set(group, topic, !readable)
      broker.logger.info('Reading of a topic changed', {
        group,
        topic,
        readable,
        by: caller.address
      })
    }
    const body = { group, topic, readable: !broker.forbidden.isForbidden(group, topic) }
    return success(GroupForbidden.encode(GroupForbidden.of(body)))
  }
}
