/** All JSON bodies (remoting.md part 3): each name is a type and its form with `of`, `encode`, `decode`. */
export {
  AclInfo,
  aclInfoList,
  BrokerStatsData,
  BrokerStatsItem,
  EpochEntryCache,
  HAClientRuntimeInfo,
  HAConnectionRuntimeInfo,
  HARuntimeInfo,
  KVTable,
  UserInfo,
  userInfoList
} from './brokers.ts'
export {
  CheckClientRequestBody,
  ClientConnection,
  type ConsumeFromWhere,
  ConsumerConnection,
  ConsumerData,
  type ConsumeType,
  consumeFromWheres,
  consumeTypes,
  GetConsumerListByGroupResponseBody,
  HeartbeatData,
  LockBatchRequestBody,
  LockBatchResponseBody,
  type MessageModel,
  MessageQueueAssignment,
  messageModels,
  messageRequestModes,
  ProducerConnection,
  ProducerData,
  ProducerInfo,
  ProducerTableInfo,
  QueryAssignmentRequestBody,
  QueryAssignmentResponseBody,
  SetMessageRequestModeRequestBody
} from './clients.ts'
export {
  ConsumeMessageDirectlyResult,
  ConsumeQueueData,
  type ConsumeResult,
  ConsumerOffsetSerializeWrapper,
  ConsumeStats,
  ConsumeStatsList,
  consumeResults,
  DelayOffsetSerializeWrapper,
  GetConsumerStatusBody,
  OffsetWrapper,
  QueryConsumeQueueResponseBody,
  QueryConsumeTimeSpanBody,
  QueryCorrectionOffsetBody,
  QueueTimeSpan,
  ResetOffsetBody,
  ResetOffsetBodyForC,
  TopicOffset,
  TopicStatsTable
} from './consumption.ts'
export {
  DataVersion,
  sameDataVersion
} from './dataVersion.ts'
export {
  GroupForbidden,
  GroupList,
  GroupRetryPolicy,
  QuerySubscriptionResponseBody,
  SimpleSubscriptionData,
  SubscriptionData,
  SubscriptionGroupConfig,
  SubscriptionGroupList,
  SubscriptionGroupWrapper
} from './groups.ts'
export {
  MessageQueue,
  type QueueTable,
  queueTableOf
} from './messageQueue.ts'
export { BatchAck, BatchAckMessageRequestBody } from './pop.ts'
export { RaftAnswerBody, RaftMemberInfo, RaftStatusBody } from './raft.ts'
export {
  decodeRegisterBrokerBody,
  encodePackedRegisterBrokerBody,
  encodeRegistration,
  REGISTER_BODY_BYTES_MAX,
  RegisterBrokerBody,
  registrationText
} from './registerBroker.ts'
export {
  BrokerData,
  BrokerMemberGroup,
  ClusterInfo,
  GetBrokerMemberGroupResponseBody,
  QueueData,
  TopicRouteData
} from './route.ts'
export {
  ConsumerRunningInfo,
  ConsumeStatus,
  PopProcessQueueInfo,
  ProcessQueueInfo
} from './runningInfo.ts'
export {
  CreateTopicListRequestBody,
  LogicQueueMappingItem,
  TopicConfig,
  TopicConfigAndQueueMapping,
  TopicConfigSerializeWrapper,
  type TopicFilterType,
  TopicList,
  TopicQueueMappingDetail,
  TopicQueueMappingInfo,
  topicFilterTypes
} from './topics.ts'
