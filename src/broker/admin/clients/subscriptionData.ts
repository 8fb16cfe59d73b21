import { SubscriptionData } from '../../../protocol/index.ts'
import type { Subscription } from '../../clients/index.ts'

/** A subscription as bodies show it. */
export function subscriptionDataOf(subscription: Subscription): SubscriptionData {
  return SubscriptionData.of({
    topic: subscription.topic,
    subString: subscription.expression,
    expressionType: subscription.expressionType,
    subVersion: subscription.version,
    tagsSet: [...subscription.tags],
    codeSet: [...(subscription.codes ?? [])],
    classFilterMode: subscription.classFilterMode
  })
}
