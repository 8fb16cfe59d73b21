import { BrokerStatsData, RequestCode, requiredText } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success, systemError } from '../refusals.ts'

/** VIEW_BROKER_STATS_DATA (315): what this node counted in the last minute, hour and day (broker.md 7.4). */
export const statsData: Handler = {
  code: RequestCode.VIEW_BROKER_STATS_DATA,
  needsLeader: false,
  handle(request, _caller, broker) {
    const name = requiredText(request.extFields, 'statsName')
    const key = requiredText(request.extFields, 'statsKey')
    const item = broker.stats.find(name, key)
    if (item === null) return systemError(`The stats <${name}> <${key}> not exist`)
    const { minute, hour, day } = item.spans()
    return success(BrokerStatsData.encode({ statsMinute: minute, statsHour: hour, statsDay: day }))
  }
}
