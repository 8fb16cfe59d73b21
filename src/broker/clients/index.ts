import type { Handler } from '../dispatch/handler.ts'
import { checkClientConfig } from './checkClientConfig.ts'
import { consumerList } from './consumerList.ts'
import { heartbeat } from './heartbeat.ts'
import { unregisterClient } from './unregisterClient.ts'

export { ChangeNotices } from './changeNotices.ts'
export type { ClientInfo } from './clientInfo.ts'
export { type ConsumerGroup, ConsumerTable } from './consumers.ts'
export { ClientHousekeeping } from './housekeeping.ts'
export { ProducerTable } from './producers.ts'
export {
  isTagType,
  type Subscription,
  SubscriptionSyntaxError,
  tagSubscription
} from './subscription.ts'

export const clientHandlers: readonly Handler[] = [
  heartbeat,
  unregisterClient,
  consumerList,
  checkClientConfig
]
