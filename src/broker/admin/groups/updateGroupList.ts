import { RequestCode, SubscriptionGroupList } from '../../../protocol/index.ts'
import type { GroupSettings } from '../../../store/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { changeFailed, invalidParameter, success } from '../refusals.ts'
import { groupRefusal, groupSettingsOf, putGroup } from './settings.ts'

/** Groups of one request; more are asked for in several. */
const groupsMax = 1_000

/** UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225, 5.3): each as with 200; nothing is done when one of them cannot be. */
export const updateGroupList: Handler = {
  code: RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
  needsLeader: true,
  async handle(request, caller, broker) {
    const list = SubscriptionGroupList.decode(request.body).groupConfigList
    if (list.length > groupsMax)
      return invalidParameter(request, `${list.length} groups in one request, at most ${groupsMax}`)
    try {
      const groups: GroupSettings[] = []
      for (const wanted of list) {
        const refusal = groupRefusal(request, wanted)
        if (refusal !== null) return refusal
        groups.push(groupSettingsOf(wanted, broker.groups.find(wanted.groupName)))
      }
      await Promise.all(groups.map(group => putGroup(group, caller, broker)))
      return success()
    } catch (error) {
      return changeFailed(error)
    }
  }
}
