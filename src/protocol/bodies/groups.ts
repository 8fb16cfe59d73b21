import { bean } from '../json/bean.ts'
import {
  boolean,
  double,
  enumeration,
  integer,
  list,
  mapOf,
  type Of,
  optional,
  text
} from '../json/schema.ts'
import { DataVersion } from './dataVersion.ts'

/** What a consumer group wants of one topic (remoting.md 3.4). */
export const SubscriptionData = bean('SubscriptionData', {
  classFilterMode: boolean(),
  /** Java hashes of the tags. */
  codeSet: list(integer()),
  expressionType: text('TAG'),
  subString: text(),
  /** ms timestamp, grows with each change. */
  subVersion: integer(),
  tagsSet: list(text()),
  topic: text()
})
export type SubscriptionData = Of<typeof SubscriptionData>

export const GroupRetryPolicy = bean('GroupRetryPolicy', {
  customizedRetryPolicy: optional(bean('CustomizedRetryPolicy', { next: list(integer()) })),
  exponentialRetryPolicy: optional(
    bean('ExponentialRetryPolicy', {
      initial: integer(5000),
      max: integer(7_200_000),
      multiplier: double(2)
    })
  ),
  type: enumeration(['EXPONENTIAL', 'CUSTOMIZED'], 'CUSTOMIZED')
})
export type GroupRetryPolicy = Of<typeof GroupRetryPolicy>

export const SimpleSubscriptionData = bean('SimpleSubscriptionData', {
  expression: text(),
  expressionType: text('TAG'),
  topic: text(),
  version: integer()
})
export type SimpleSubscriptionData = Of<typeof SimpleSubscriptionData>

/** A consumer group's settings (remoting.md 3.2); what 4.9 does not send has the original's defaults. */
export const SubscriptionGroupConfig = bean('SubscriptionGroupConfig', {
  attributes: mapOf(text()),
  brokerId: integer(),
  consumeBroadcastEnable: boolean(true),
  consumeEnable: boolean(true),
  consumeFromMinEnable: boolean(true),
  consumeMessageOrderly: boolean(),
  consumeTimeoutMinute: integer(15),
  groupName: text(),
  groupRetryPolicy: GroupRetryPolicy,
  groupSysFlag: integer(),
  notifyConsumerIdsChangedEnable: boolean(true),
  retryMaxTimes: integer(16),
  retryQueueNums: integer(1),
  subscriptionDataSet: optional(list(SimpleSubscriptionData)),
  whichBrokerWhenConsumeSlowly: integer(1)
})
export type SubscriptionGroupConfig = Of<typeof SubscriptionGroupConfig>

/** Answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201). `forbiddenTable`: group, topic, bits; 5.3. */
export const SubscriptionGroupWrapper = bean('SubscriptionGroupWrapper', {
  dataVersion: DataVersion,
  forbiddenTable: optional(mapOf(mapOf(integer()))),
  subscriptionGroupTable: mapOf(SubscriptionGroupConfig)
})
export type SubscriptionGroupWrapper = Of<typeof SubscriptionGroupWrapper>

/** Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225). */
export const SubscriptionGroupList = bean('SubscriptionGroupList', {
  groupConfigList: list(SubscriptionGroupConfig)
})
export type SubscriptionGroupList = Of<typeof SubscriptionGroupList>

export const GroupList = bean('GroupList', { groupList: list(text()) })
export type GroupList = Of<typeof GroupList>

/** Answer to UPDATE_AND_GET_GROUP_FORBIDDEN (353). */
export const GroupForbidden = bean('GroupForbidden', {
  group: text(),
  readable: boolean(true),
  topic: text()
})
export type GroupForbidden = Of<typeof GroupForbidden>

/** Answer to QUERY_SUBSCRIPTION_BY_CONSUMER (345). */
export const QuerySubscriptionResponseBody = bean('QuerySubscriptionResponseBody', {
  group: text(),
  subscriptionData: optional(SubscriptionData),
  topic: optional(text())
})
export type QuerySubscriptionResponseBody = Of<typeof QuerySubscriptionResponseBody>
