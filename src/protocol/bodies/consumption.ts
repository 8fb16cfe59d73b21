import { bean } from '../json/bean.ts'
import {
  boolean,
  double,
  enumeration,
  integer,
  integerMapOf,
  list,
  mapOf,
  type Of,
  optional,
  text
} from '../json/schema.ts'
import { DataVersion } from './dataVersion.ts'
import { SubscriptionData } from './groups.ts'
import { MessageQueue, queueTableOf } from './messageQueue.ts'

export const TopicOffset = bean('TopicOffset', {
  lastUpdateTimestamp: integer(),
  maxOffset: integer(),
  minOffset: integer()
})
export type TopicOffset = Of<typeof TopicOffset>

/** Answer to GET_TOPIC_STATS_INFO (202). */
export const TopicStatsTable = bean('TopicStatsTable', {
  offsetTable: queueTableOf(TopicOffset),
  topicPutTps: double()
})
export type TopicStatsTable = Of<typeof TopicStatsTable>

export const OffsetWrapper = bean('OffsetWrapper', {
  brokerOffset: integer(),
  consumerOffset: integer(),
  lastTimestamp: integer(),
  pullOffset: integer()
})
export type OffsetWrapper = Of<typeof OffsetWrapper>

/** Answer to GET_CONSUME_STATS (208). */
export const ConsumeStats = bean('ConsumeStats', {
  consumeTps: double(),
  offsetTable: queueTableOf(OffsetWrapper)
})
export type ConsumeStats = Of<typeof ConsumeStats>

/** Answer to GET_BROKER_CONSUME_STATS (317): a list of maps, group to stats of its topics. */
export const ConsumeStatsList = bean('ConsumeStatsList', {
  brokerAddr: text(),
  consumeStatsList: list(mapOf(list(ConsumeStats))),
  totalDiff: integer(),
  totalInflightDiff: integer()
})
export type ConsumeStatsList = Of<typeof ConsumeStatsList>

/** Body of RESET_CONSUMER_CLIENT_OFFSET (220) and answer to 222. */
export const ResetOffsetBody = bean('ResetOffsetBody', { offsetTable: queueTableOf(integer()) })
export type ResetOffsetBody = Of<typeof ResetOffsetBody>

/** The same for C++ clients: a list. */
export const ResetOffsetBodyForC = bean('ResetOffsetBodyForC', {
  offsetTable: list(
    bean('MessageQueueForC', {
      brokerName: text(),
      offset: integer(),
      queueId: integer(),
      topic: text()
    })
  )
})
export type ResetOffsetBodyForC = Of<typeof ResetOffsetBodyForC>

/** Answers to 221, which fill `messageQueueTable`, and to 223, which fill `consumerTable` by client id. */
export const GetConsumerStatusBody = bean('GetConsumerStatusBody', {
  consumerTable: mapOf(queueTableOf(integer())),
  messageQueueTable: queueTableOf(integer())
})
export type GetConsumerStatusBody = Of<typeof GetConsumerStatusBody>

/** Answer to GET_ALL_CONSUMER_OFFSET (43): `topic@group`, queue id, offset; also the original's consumerOffset.json. */
export const ConsumerOffsetSerializeWrapper = bean('ConsumerOffsetSerializeWrapper', {
  dataVersion: optional(DataVersion),
  groupTopicMap: optional(mapOf(list(text()))),
  offsetTable: mapOf(integerMapOf(integer(), 'bare')),
  pullOffsetTable: optional(mapOf(integerMapOf(integer(), 'bare')))
})
export type ConsumerOffsetSerializeWrapper = Of<typeof ConsumerOffsetSerializeWrapper>

/** Answer to GET_ALL_DELAY_OFFSET (45): delay level to offset. */
export const DelayOffsetSerializeWrapper = bean('DelayOffsetSerializeWrapper', {
  dataVersion: optional(DataVersion),
  offsetTable: integerMapOf(integer(), 'bare')
})
export type DelayOffsetSerializeWrapper = Of<typeof DelayOffsetSerializeWrapper>

/** Answer to QUERY_CORRECTION_OFFSET (308): queue id to offset. */
export const QueryCorrectionOffsetBody = bean('QueryCorrectionOffsetBody', {
  correctionOffsets: integerMapOf(integer(), 'bare')
})
export type QueryCorrectionOffsetBody = Of<typeof QueryCorrectionOffsetBody>

export const QueueTimeSpan = bean('QueueTimeSpan', {
  consumeTimeStamp: integer(),
  consumeTimeStampStr: optional(text()),
  delayTime: integer(),
  maxTimeStamp: integer(),
  maxTimeStampStr: optional(text()),
  messageQueue: MessageQueue,
  minTimeStamp: integer(),
  minTimeStampStr: optional(text())
})
export type QueueTimeSpan = Of<typeof QueueTimeSpan>

/** Answer to QUERY_CONSUME_TIME_SPAN (303). */
export const QueryConsumeTimeSpanBody = bean('QueryConsumeTimeSpanBody', {
  consumeTimeSpanSet: list(QueueTimeSpan)
})
export type QueryConsumeTimeSpanBody = Of<typeof QueryConsumeTimeSpanBody>

export const ConsumeQueueData = bean('ConsumeQueueData', {
  bitMap: optional(text()),
  eval: boolean(),
  extendDataJson: optional(text()),
  msg: optional(text()),
  physicOffset: integer(),
  physicSize: integer(),
  tagsCode: integer()
})
export type ConsumeQueueData = Of<typeof ConsumeQueueData>

/** Answer to QUERY_CONSUME_QUEUE (321). */
export const QueryConsumeQueueResponseBody = bean('QueryConsumeQueueResponseBody', {
  filterData: optional(text()),
  maxQueueIndex: integer(),
  minQueueIndex: integer(),
  queueData: optional(list(ConsumeQueueData)),
  subscriptionData: optional(SubscriptionData)
})
export type QueryConsumeQueueResponseBody = Of<typeof QueryConsumeQueueResponseBody>

export const consumeResults = [
  'CR_SUCCESS',
  'CR_LATER',
  'CR_ROLLBACK',
  'CR_COMMIT',
  'CR_THROW_EXCEPTION',
  'CR_RETURN_NULL'
] as const
export type ConsumeResult = (typeof consumeResults)[number]

/** Answer to CONSUME_MESSAGE_DIRECTLY (309). */
export const ConsumeMessageDirectlyResult = bean('ConsumeMessageDirectlyResult', {
  autoCommit: boolean(true),
  consumeResult: optional(enumeration(consumeResults, 'CR_SUCCESS')),
  order: boolean(),
  remark: optional(text()),
  spentTimeMills: integer()
})
export type ConsumeMessageDirectlyResult = Of<typeof ConsumeMessageDirectlyResult>
