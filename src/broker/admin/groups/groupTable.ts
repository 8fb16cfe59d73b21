import {
  RequestCode,
  type SubscriptionGroupConfig,
  SubscriptionGroupWrapper
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { groupConfigOf } from './settings.ts'

/** GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): the replicated table, from every member. */
export const groupTable: Handler = {
  code: RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const { groups, groupsVersion } = broker.store.tables
    const subscriptionGroupTable = new Map<string, SubscriptionGroupConfig>()
    for (const [name, settings] of groups) subscriptionGroupTable.set(name, groupConfigOf(settings))
    return success(
      SubscriptionGroupWrapper.encode({
        dataVersion: { ...groupsVersion, stateVersion: 0 },
        subscriptionGroupTable
      })
    )
  }
}
