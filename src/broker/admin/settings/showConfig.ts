import { RequestCode, ResponseCode, response } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'

/** GET_BROKER_CONFIG (26): this node's settings, with the role and id that it has now. */
export const showConfig: Handler = {
  code: RequestCode.GET_BROKER_CONFIG,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const { counter, timestampMs } = broker.config.version
    const version = JSON.stringify({ counter, stateVersion: 0, timestamp: timestampMs })
    const lines = broker.config.lines({
      brokerRole: broker.role(),
      brokerId: String(broker.brokerId())
    })
    return response(ResponseCode.SUCCESS, null, { version }, Buffer.from(lines))
  }
}
