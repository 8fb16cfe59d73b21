import { CheckClientRequestBody, RequestCode } from '../protocol/index.ts'
import type { ClientInstance } from './instance.ts'
import { leaderAddress } from './route.ts'
import { type Subscription, subscriptionBody } from './subscription.ts'

/**
 * CHECK_CLIENT_CONFIG (46): the brokers compile an SQL92 text. Rejects with their words when they cannot, so that a
 * consumer does not start that would never get a message.
 */
export async function checkFilter(
  group: { readonly instance: ClientInstance; readonly options: { readonly group: string } },
  subscription: Subscription
): Promise<void> {
  const { instance, options } = group
  const route = await instance.routes.get(subscription.topic)
  const body = CheckClientRequestBody.encode({
    clientId: instance.clientId,
    group: options.group,
    subscriptionData: subscriptionBody(subscription)
  })
  for (const broker of route?.brokers ?? []) {
    const address = leaderAddress(broker)
    if (address !== null) {
      await instance.caller.ask(address, RequestCode.CHECK_CLIENT_CONFIG, {}, { body })
    }
  }
}
