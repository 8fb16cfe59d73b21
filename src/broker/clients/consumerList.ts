import {
  GetConsumerListByGroupResponseBody,
  RequestCode,
  ResponseCode,
  requiredText,
  response
} from '../../protocol/index.ts'
import type { Handler } from '../dispatch/handler.ts'

/** GET_CONSUMER_LIST_BY_GROUP (38). Facts: remoting.md 2.6. An empty list is an error, so that clients keep what they have. */
export const consumerList: Handler = {
  code: RequestCode.GET_CONSUMER_LIST_BY_GROUP,
  needsLeader: false,
  handle(request, _caller, broker) {
    const name = requiredText(request.extFields, 'consumerGroup')
    const ids = new Set<string>()
    for (const member of broker.consumers.find(name)?.members.values() ?? [])
      ids.add(member.clientId)
    if (ids.size === 0)
      return response(ResponseCode.SYSTEM_ERROR, `no consumer for this group, ${name}`)
    const body = GetConsumerListByGroupResponseBody.encode({ consumerIdList: [...ids] })
    return response(ResponseCode.SUCCESS, null, null, body)
  }
}
