import { bean } from '../json/bean.ts'
import {
  boolean,
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

export const topicFilterTypes = ['SINGLE_TAG', 'MULTI_TAG'] as const
export type TopicFilterType = (typeof topicFilterTypes)[number]

/** A topic's settings on one broker (remoting.md 3.2). `attributes` is 5.x; 4.9 ignores it. */
export const TopicConfig = bean('TopicConfig', {
  attributes: mapOf(text()),
  order: boolean(),
  perm: integer(6),
  readQueueNums: integer(16),
  topicFilterType: enumeration(topicFilterTypes, 'SINGLE_TAG'),
  topicName: text(),
  topicSysFlag: integer(),
  writeQueueNums: integer(16)
})
export type TopicConfig = Of<typeof TopicConfig>

/** 5.x static topics: where logical queues lie. Only carried, never made here. */
export const TopicQueueMappingInfo = bean('TopicQueueMappingInfo', {
  bname: text(),
  currIdMap: integerMapOf(integer(), 'quoted'),
  dirty: boolean(),
  epoch: integer(),
  scope: text('__global__'),
  topic: text(),
  totalQueues: integer()
})
export type TopicQueueMappingInfo = Of<typeof TopicQueueMappingInfo>

export const LogicQueueMappingItem = bean('LogicQueueMappingItem', {
  bname: text(),
  endOffset: integer(-1),
  gen: integer(),
  logicOffset: integer(),
  queueId: integer(),
  startOffset: integer(),
  timeOfEnd: integer(-1),
  timeOfStart: integer(-1)
})
export type LogicQueueMappingItem = Of<typeof LogicQueueMappingItem>

export const TopicQueueMappingDetail = bean('TopicQueueMappingDetail', {
  bname: text(),
  currIdMap: integerMapOf(integer(), 'quoted'),
  dirty: boolean(),
  epoch: integer(),
  hostedQueues: integerMapOf(list(LogicQueueMappingItem), 'quoted'),
  scope: text('__global__'),
  topic: text(),
  totalQueues: integer()
})
export type TopicQueueMappingDetail = Of<typeof TopicQueueMappingDetail>

/** Answer to GET_ALL_TOPIC_CONFIG (21) and main part of a registration; the mapping fields are 5.x. */
export const TopicConfigSerializeWrapper = bean('TopicConfigSerializeWrapper', {
  dataVersion: DataVersion,
  mappingDataVersion: optional(DataVersion),
  topicConfigTable: mapOf(TopicConfig),
  topicQueueMappingDetailMap: optional(mapOf(TopicQueueMappingDetail)),
  topicQueueMappingInfoMap: optional(mapOf(TopicQueueMappingInfo))
})
export type TopicConfigSerializeWrapper = Of<typeof TopicConfigSerializeWrapper>

/** Answer to GET_TOPIC_CONFIG (351): the topic's fields, and its mapping if it is static. */
export const TopicConfigAndQueueMapping = bean('TopicConfigAndQueueMapping', {
  attributes: mapOf(text()),
  mappingDetail: optional(TopicQueueMappingDetail),
  order: boolean(),
  perm: integer(6),
  readQueueNums: integer(16),
  topicFilterType: enumeration(topicFilterTypes, 'SINGLE_TAG'),
  topicName: text(),
  topicSysFlag: integer(),
  writeQueueNums: integer(16)
})
export type TopicConfigAndQueueMapping = Of<typeof TopicConfigAndQueueMapping>

/** Body of UPDATE_AND_CREATE_TOPIC_LIST (18). */
export const CreateTopicListRequestBody = bean('CreateTopicListRequestBody', {
  topicConfigList: list(TopicConfig)
})
export type CreateTopicListRequestBody = Of<typeof CreateTopicListRequestBody>

/** Body of many questions for names; `brokerAddr` with 304 and 343. */
export const TopicList = bean('TopicList', {
  brokerAddr: optional(text()),
  topicList: list(text())
})
export type TopicList = Of<typeof TopicList>
