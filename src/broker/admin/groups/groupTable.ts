import {
  RequestCode,
  type SubscriptionGroupConfig,
  SubscriptionGroupWrapper
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { groupConfigOf } from './settings.ts'

/** Reading, in the original's table of what is forbidden. */
const readBit = 4

/** GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): the replicated table, from every member. */
export const groupTable: Handler = {
  code: RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const { groups, groupsVersion } = broker.store.tables
    const subscriptionGroupTable = new Map<string, SubscriptionGroupConfig>()
    for (const [name, settings] of groups) subscriptionGroupTable.set(name, groupConfigOf(settings))
    const forbidden = [...broker.forbidden.byGroup()].map(
      ([group, topics]) => [group, new Map(topics.map(topic => [topic, readBit]))] as const
    )
    return success(
      SubscriptionGroupWrapper.encode({
        dataVersion: { ...groupsVersion, stateVersion: 0 },
        subscriptionGroupTable,
        ...(forbidden.length > 0 ? { forbiddenTable: new Map(forbidden) } : {})
      })
    )
  }
}
