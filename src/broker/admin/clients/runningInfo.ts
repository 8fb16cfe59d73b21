import { RequestCode, requiredText } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { relayToConsumer } from './relay.ts'

/** GET_CONSUMER_RUNNING_INFO (307): relayed to the client that is connected here. */
export const runningInfo: Handler = {
  code: RequestCode.GET_CONSUMER_RUNNING_INFO,
  needsLeader: false,
  handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'consumerGroup')
    const clientId = requiredText(request.extFields, 'clientId')
    return relayToConsumer(
      { group, clientId },
      { code: request.code, fields: { ...request.extFields }, body: null },
      broker
    )
  }
}
