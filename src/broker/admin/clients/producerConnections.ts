import { ProducerConnection, RequestCode, requiredText } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success, systemError } from '../refusals.ts'
import { connectionOf } from './consumerConnections.ts'

/** GET_PRODUCER_CONNECTION_LIST (204): members of a producer group as this node hears them. */
export const producerConnections: Handler = {
  code: RequestCode.GET_PRODUCER_CONNECTION_LIST,
  needsLeader: false,
  handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'producerGroup')
    const members = broker.producers.members(group)
    if (members.length === 0) return systemError(`the producer group[${group}] not exist`)
    return success(ProducerConnection.encode({ connectionSet: members.map(connectionOf) }))
  }
}
