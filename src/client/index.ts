export type { Logger, Platform } from '../platform/index.ts'
export { Admin } from './admin.ts'
export type * from './adminAnswers.ts'
export { BrokerAdmin } from './adminBroker.ts'
export { type KeyQuery, MessageAdmin, TOOLS_GROUP } from './adminMessages.ts'
export { type Clusters, NameServerAdmin } from './adminNameServer.ts'
export { OffsetAdmin } from './adminOffsets.ts'
export { TopicAdmin } from './adminTopics.ts'
export {
  type AllocationStrategy,
  allocateQueues,
  averageAllocation,
  circleAllocation,
  fixedAllocation,
  type MachineRooms,
  machineRoomAllocation,
  nearbyAllocation
} from './allocation.ts'
export { splitBatch } from './batch.ts'
export type { Compression } from './compression.ts'
export { consistentHashAllocation } from './consistentHash.ts'
export type { ConsumeFrom, PushConsumerOptions } from './consumerOptions.ts'
export type { AssignmentListener } from './division.ts'
export {
  asError,
  ClientError,
  type ClientErrorCode,
  type ClientErrorDetails,
  isRefusal
} from './errors.ts'
export type { ConsumeContext, ConsumeVerdict, MessageListener } from './listener.ts'
export { type ClientOptions, parseNameServers } from './options.ts'
export type { Message } from './outgoing.ts'
export type { PoppedMessage } from './pop.ts'
export { PopConsumer, type ReceiveOptions } from './popConsumer.ts'
export type { PopConsumerOptions } from './popConsumerOptions.ts'
export { Producer, type RequestOptions, type SendOptions } from './producer.ts'
export type { BatchingOptions, ProducerOptions } from './producerOptions.ts'
export type { PullResult } from './pull.ts'
export { PullConsumer, type PullRequest } from './pullConsumer.ts'
export type { PullConsumerOptions } from './pullConsumerOptions.ts'
export { PushConsumer } from './pushConsumer.ts'
export { compareQueues, compareText, describeQueue, type MessageQueue, queueKey } from './queue.ts'
export type { ReceivedMessage } from './received.ts'
export {
  anyAddress,
  type BrokerData,
  leaderAddress,
  publishQueues,
  type QueueData,
  subscribeQueues,
  type TopicRoute
} from './route.ts'
export type { SendResult, SendStatus } from './sendRequest.ts'
export {
  type TransactionListener,
  TransactionProducer,
  type TransactionProducerOptions,
  type TransactionResult,
  type TransactionVerdict
} from './transactionProducer.ts'
