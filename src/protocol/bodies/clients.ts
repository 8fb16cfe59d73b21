import { bean } from '../json/bean.ts'
import {
  absent,
  boolean,
  enumeration,
  type Form,
  integer,
  list,
  mapOf,
  type Of,
  optional,
  text
} from '../json/schema.ts'
import { languageCode, languageName } from '../languageCodes.ts'
import { SubscriptionData } from './groups.ts'
import { MessageQueue } from './messageQueue.ts'

export const consumeTypes = ['CONSUME_ACTIVELY', 'CONSUME_PASSIVELY', 'CONSUME_POP'] as const
export type ConsumeType = (typeof consumeTypes)[number]
export const messageModels = ['BROADCASTING', 'CLUSTERING'] as const
export type MessageModel = (typeof messageModels)[number]
/** The middle three are deprecated and mean CONSUME_FROM_LAST_OFFSET and so on; clients may still send them. */
export const consumeFromWheres = [
  'CONSUME_FROM_LAST_OFFSET',
  'CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST',
  'CONSUME_FROM_MIN_OFFSET',
  'CONSUME_FROM_MAX_OFFSET',
  'CONSUME_FROM_FIRST_OFFSET',
  'CONSUME_FROM_TIMESTAMP'
] as const
export type ConsumeFromWhere = (typeof consumeFromWheres)[number]

const consumeType = enumeration(consumeTypes, 'CONSUME_PASSIVELY')
const messageModel = enumeration(messageModels, 'CLUSTERING')
const consumeFromWhere = enumeration(consumeFromWheres, 'CONSUME_FROM_LAST_OFFSET')

/** A LanguageCode, written by name. */
const language: Form<number> = {
  read: value =>
    absent(value) ? 0 : typeof value === 'number' ? value : languageCode(String(value)),
  write: value => `"${languageName(value)}"`
}

export const ConsumerData = bean('ConsumerData', {
  consumeFromWhere,
  consumeType,
  groupName: text(),
  messageModel,
  subscriptionDataSet: list(SubscriptionData),
  unitMode: boolean()
})
export type ConsumerData = Of<typeof ConsumerData>

export const ProducerData = bean('ProducerData', { groupName: text() })
export type ProducerData = Of<typeof ProducerData>

/** Body of HEART_BEAT (34). The last two of 5.x: remoting.md 2.6, heartbeat V2. */
export const HeartbeatData = bean('HeartbeatData', {
  clientID: text(),
  consumerDataSet: list(ConsumerData),
  heartbeatFingerprint: integer(),
  producerDataSet: list(ProducerData),
  withoutSub: boolean()
})
export type HeartbeatData = Of<typeof HeartbeatData>

/** A connected client; `language` is a LanguageCode. */
export const ClientConnection = bean('Connection', {
  clientAddr: text(),
  clientId: text(),
  language,
  version: integer()
})
export type ClientConnection = Of<typeof ClientConnection>

/** Answer to GET_CONSUMER_CONNECTION_LIST (203). */
export const ConsumerConnection = bean('ConsumerConnection', {
  connectionSet: list(ClientConnection),
  consumeFromWhere,
  consumeType,
  messageModel,
  subscriptionTable: mapOf(SubscriptionData)
})
export type ConsumerConnection = Of<typeof ConsumerConnection>

/** Answer to GET_PRODUCER_CONNECTION_LIST (204). */
export const ProducerConnection = bean('ProducerConnection', {
  connectionSet: list(ClientConnection)
})
export type ProducerConnection = Of<typeof ProducerConnection>

export const ProducerInfo = bean('ProducerInfo', {
  clientId: text(),
  language,
  lastUpdateTimestamp: integer(),
  remoteIP: text(),
  version: integer()
})
export type ProducerInfo = Of<typeof ProducerInfo>

/** Answer to GET_ALL_PRODUCER_INFO (328): by producer group. */
export const ProducerTableInfo = bean('ProducerTableInfo', { data: mapOf(list(ProducerInfo)) })
export type ProducerTableInfo = Of<typeof ProducerTableInfo>

/** Answer to GET_CONSUMER_LIST_BY_GROUP (38). */
export const GetConsumerListByGroupResponseBody = bean('GetConsumerListByGroupResponseBody', {
  consumerIdList: list(text())
})
export type GetConsumerListByGroupResponseBody = Of<typeof GetConsumerListByGroupResponseBody>

/** Body of CHECK_CLIENT_CONFIG (46); namespace is 5.3. */
export const CheckClientRequestBody = bean('CheckClientRequestBody', {
  clientId: text(),
  group: text(),
  namespace: optional(text()),
  subscriptionData: SubscriptionData
})
export type CheckClientRequestBody = Of<typeof CheckClientRequestBody>

/** Body of LOCK_BATCH_MQ (41) and UNLOCK_BATCH_MQ (42). */
export const LockBatchRequestBody = bean('LockBatchRequestBody', {
  clientId: text(),
  consumerGroup: text(),
  mqSet: list(MessageQueue),
  onlyThisBroker: boolean()
})
export type LockBatchRequestBody = Of<typeof LockBatchRequestBody>

export const LockBatchResponseBody = bean('LockBatchResponseBody', {
  lockOKMQSet: list(MessageQueue)
})
export type LockBatchResponseBody = Of<typeof LockBatchResponseBody>

export const messageRequestModes = ['PULL', 'POP'] as const

/** Body of QUERY_ASSIGNMENT (400). */
export const QueryAssignmentRequestBody = bean('QueryAssignmentRequestBody', {
  clientId: text(),
  consumerGroup: text(),
  messageModel,
  strategyName: text(),
  topic: text()
})
export type QueryAssignmentRequestBody = Of<typeof QueryAssignmentRequestBody>

export const MessageQueueAssignment = bean('MessageQueueAssignment', {
  attachments: optional(mapOf(text())),
  messageQueue: MessageQueue,
  mode: enumeration(messageRequestModes, 'PULL')
})
export type MessageQueueAssignment = Of<typeof MessageQueueAssignment>

/** Answer to 400; without the list there is no valid result and the client keeps its queues. */
export const QueryAssignmentResponseBody = bean('QueryAssignmentResponseBody', {
  messageQueueAssignments: optional(list(MessageQueueAssignment))
})
export type QueryAssignmentResponseBody = Of<typeof QueryAssignmentResponseBody>

/** Body of SET_MESSAGE_REQUEST_MODE (401). */
export const SetMessageRequestModeRequestBody = bean('SetMessageRequestModeRequestBody', {
  consumerGroup: text(),
  mode: enumeration(messageRequestModes, 'PULL'),
  popShareQueueNum: integer(),
  topic: text()
})
export type SetMessageRequestModeRequestBody = Of<typeof SetMessageRequestModeRequestBody>
