import {
  ConsumerConnection,
  RequestCode,
  ResponseCode,
  requiredText,
  response,
  type SubscriptionData
} from '../../../protocol/index.ts'
import type { ClientInfo } from '../../clients/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { subscriptionDataOf } from './subscriptionData.ts'

/** GET_CONSUMER_CONNECTION_LIST (203): members as this node hears them. 206 decides how tools reset offsets (remoting.md 2.13). */
export const consumerConnections: Handler = {
  code: RequestCode.GET_CONSUMER_CONNECTION_LIST,
  needsLeader: false,
  handle(request, _caller, broker) {
    const name = requiredText(request.extFields, 'consumerGroup')
    const group = broker.consumers.find(name)
    if (group === undefined)
      return response(ResponseCode.CONSUMER_NOT_ONLINE, `the consumer group[${name}] not online`)
    const subscriptionTable = new Map<string, SubscriptionData>()
    for (const [topic, subscription] of group.subscriptions)
      subscriptionTable.set(topic, subscriptionDataOf(subscription))
    return success(
      ConsumerConnection.encode({
        connectionSet: [...group.members.values()].map(connectionOf),
        // What a heartbeat said went through the same enumerations.
        consumeType: group.consumeType as ConsumerConnection['consumeType'],
        messageModel: group.messageModel as ConsumerConnection['messageModel'],
        consumeFromWhere: group.consumeFromWhere as ConsumerConnection['consumeFromWhere'],
        subscriptionTable
      })
    )
  }
}

export function connectionOf(client: ClientInfo): {
  clientAddr: string
  clientId: string
  language: number
  version: number
} {
  return {
    clientAddr: client.connection.remoteAddress,
    clientId: client.clientId,
    language: client.language,
    version: client.version
  }
}
