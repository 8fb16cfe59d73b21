import {
  optionalText,
  QuerySubscriptionResponseBody,
  RequestCode,
  requiredText
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { subscriptionDataOf } from '../clients/subscriptionData.ts'
import { success } from '../refusals.ts'

/** QUERY_SUBSCRIPTION_BY_CONSUMER (345, 5.3): what a group that is online wants of a topic. */
export const subscriptionByConsumer: Handler = {
  code: RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER,
  needsLeader: false,
  handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'group')
    const topic = optionalText(request.extFields, 'topic') ?? ''
    const subscription = broker.consumers.find(group)?.subscriptions.get(topic)
    return success(
      QuerySubscriptionResponseBody.encode({
        group,
        topic,
        subscriptionData: subscription === undefined ? undefined : subscriptionDataOf(subscription)
      })
    )
  }
}
