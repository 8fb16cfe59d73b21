import {
  RequestCode,
  ResponseCode,
  requiredText,
  response,
  SubscriptionGroupConfig
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { groupConfigOf } from './settings.ts'

/** GET_SUBSCRIPTIONGROUP_CONFIG (352, 5.x). Asking makes no group. */
export const groupConfig: Handler = {
  code: RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG,
  needsLeader: false,
  handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'group')
    const settings = broker.groups.find(group)
    if (settings === undefined)
      return response(
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
        `No group in this broker. group: ${group}`
      )
    return success(SubscriptionGroupConfig.encode(groupConfigOf(settings)))
  }
}
