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

/**
 * GET_SUBSCRIPTIONGROUP_CONFIG (352, 5.x). An unknown group that may be made is shown with its defaults, on which proxies rely; the original makes it.
 */
export const groupConfig: Handler = {
  code: RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG,
  needsLeader: false,
  handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'group')
    const settings = broker.groups.peek(group)
    if (settings === undefined)
      return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, 'No group in this broker')
    return success(SubscriptionGroupConfig.encode(groupConfigOf(settings)))
  }
}
