import { type ProducerInfo, ProducerTableInfo, RequestCode } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** GET_ALL_PRODUCER_INFO (328): every producer group that this node hears. */
export const allProducers: Handler = {
  code: RequestCode.GET_ALL_PRODUCER_INFO,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const data = new Map<string, ProducerInfo[]>()
    for (const group of broker.producers.groups())
      data.set(
        group,
        broker.producers.members(group).map(client => ({
          clientId: client.clientId,
          language: client.language,
          lastUpdateTimestamp: client.lastHeartbeatWallMs,
          remoteIP: client.connection.remoteAddress,
          version: client.version
        }))
      )
    return success(ProducerTableInfo.encode({ data }))
  }
}
