import { RequestCode, SubscriptionGroupConfig } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { changeFailed, success } from '../refusals.ts'
import { groupRefusal, groupSettingsOf, putGroup } from './settings.ts'

/** UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200). Makes no retry topic: the group's first heartbeat does (observed.md). */
export const updateGroup: Handler = {
  code: RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
  needsLeader: true,
  async handle(request, caller, broker) {
    const wanted = SubscriptionGroupConfig.decode(request.body)
    const refusal = groupRefusal(request, wanted)
    if (refusal !== null) return refusal
    try {
      const settings = groupSettingsOf(wanted, broker.groups.find(wanted.groupName))
      await putGroup(settings, caller, broker)
      return success()
    } catch (error) {
      return changeFailed(error)
    }
  }
}
