import type { MessageQueue } from './queue.ts'

/** A value for each of some queues. */
export type QueueTable<T> = [queue: MessageQueue, value: T][]

/** How a topic is set up at a broker; RocketMQ's names and defaults. */
export interface TopicConfig {
  topicName: string
  /** Queues that are read. */
  readQueueNums: number
  /** Queues that are written to; fewer than are read while a topic shrinks. */
  writeQueueNums: number
  /** Bits: 2 writable, 4 readable. */
  perm: number
  topicFilterType: 'SINGLE_TAG' | 'MULTI_TAG'
  /** Bits: 1 unit, 2 has a unit subscription. */
  topicSysFlag: number
  /** Its queues stay where they are when a broker group is gone. */
  order: boolean
  /** Of 5.x, such as `message.type`. */
  attributes: Map<string, string>
}

/** How far one queue is. */
export interface TopicOffset {
  /** The oldest message's offset. */
  minOffset: number
  /** One behind the newest message. */
  maxOffset: number
  /** Store time of the newest message, ms since 1970; 0: none. */
  lastUpdateTimestamp: number
}

/** How far a topic's queues at one broker are. */
export interface TopicStatsTable {
  offsetTable: QueueTable<TopicOffset>
  /** Messages a second. */
  topicPutTps: number
}

/** How far a group is in one queue. */
export interface ConsumeOffset {
  /** One behind the queue's newest message. */
  brokerOffset: number
  /** What the group stored. */
  consumerOffset: number
  /** Up to where it was pulled. */
  pullOffset: number
  /** Store time of the message consumed last, ms since 1970; 0: unknown. */
  lastTimestamp: number
}

/** How far a group is. */
export interface ConsumeStats {
  offsetTable: QueueTable<ConsumeOffset>
  /** Messages a second. */
  consumeTps: number
}

/** How far all groups of one broker are. */
export interface ConsumeStatsList {
  brokerAddr: string
  /** Each by group, one for each of its topics. */
  consumeStatsList: ReadonlyMap<string, ConsumeStats[]>[]
  /** Messages not consumed yet, of all. */
  totalDiff: number
  /** Messages pulled and not consumed yet, of all. */
  totalInflightDiff: number
}

/** Times of one queue, ms since 1970. */
export interface QueueTimeSpan {
  messageQueue: MessageQueue
  /** Of its oldest message. */
  minTimeStamp: number
  /** Of its newest message. */
  maxTimeStamp: number
  /** Of the message that the group consumed last. */
  consumeTimeStamp: number
  /** How long the oldest message that is not consumed has waited, ms. */
  delayTime: number
}

/** One connected client. */
export interface ClientConnection {
  clientId: string
  /** `ip:port`. */
  clientAddr: string
  /** RocketMQ's number of the client's language: 0 is Java. */
  language: number
  /** RocketMQ's number of the client's version. */
  version: number
}

/** A producer that a broker knows. */
export interface ProducerInfo {
  clientId: string
  remoteIP: string
  /** RocketMQ's number of the client's language: 0 is Java. */
  language: number
  /** RocketMQ's number of the client's version. */
  version: number
  /** Of its last heartbeat, ms since 1970. */
  lastUpdateTimestamp: number
}

/** What a group wants of one topic. */
export interface SubscriptionData {
  topic: string
  /** Tags joined by `||`, `*`, or an SQL92 expression. */
  subString: string
  /** `TAG` or `SQL92`. */
  expressionType: string
  tagsSet: string[]
  /** Grows with each change. */
  subVersion: number
}

/** The members of a group at one broker, and what they want. */
export interface ConsumerConnection {
  connectionSet: ClientConnection[]
  consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY' | 'CONSUME_POP'
  messageModel: 'CLUSTERING' | 'BROADCASTING'
  /** `CONSUME_FROM_LAST_OFFSET`, `CONSUME_FROM_FIRST_OFFSET`, `CONSUME_FROM_TIMESTAMP`, or an old name of the first. */
  consumeFromWhere: string
  /** By topic. */
  subscriptionTable: ReadonlyMap<string, SubscriptionData>
}

/** How a member fared with a message that it was told to consume. */
export interface ConsumeMessageDirectlyResult {
  /** `CR_SUCCESS`, `CR_LATER`, `CR_THROW_EXCEPTION` …; nothing when the client did not say. */
  consumeResult?: string | undefined
  /** What was thrown. */
  remark?: string | undefined
  /** Whether the member consumes in order. */
  order: boolean
  autoCommit: boolean
  /** ms. */
  spentTimeMills: number
}

/** Figures of one time span. */
export interface BrokerStatsItem {
  sum: number
  /** Per second. */
  tps: number
  /** Average per event. */
  avgpt: number
}

/** Figures of a statistic over the last minute, hour and day. */
export interface BrokerStatsData {
  statsMinute: BrokerStatsItem
  statsHour: BrokerStatsItem
  statsDay: BrokerStatsItem
}

/** One entry of a consume queue. */
export interface ConsumeQueueData {
  /** Position of the message in the log, bytes. */
  physicOffset: number
  /** Bytes. */
  physicSize: number
  /** Hash of its tag. */
  tagsCode: number
  /** Whether the group's filter takes it. */
  eval: boolean
  /** Of an original's bloom filter, as text. */
  bitMap?: string | undefined
  extendDataJson?: string | undefined
  /** The message as text, or why it is not there. */
  msg?: string | undefined
}

/** A part of a consume queue. */
export interface ConsumeQueuePart {
  minQueueIndex: number
  /** One behind the last. */
  maxQueueIndex: number
  queueData?: ConsumeQueueData[] | undefined
  /** What the broker says of the group's filter. */
  filterData?: string | undefined
  /** What the group wants, when one was named. */
  subscriptionData?: SubscriptionData | undefined
}

/** How a consumer group is set up at a broker; RocketMQ's names and defaults. */
export interface SubscriptionGroupConfig {
  groupName: string
  /** `false`: its members get nothing. */
  consumeEnable: boolean
  consumeBroadcastEnable: boolean
  consumeFromMinEnable: boolean
  consumeMessageOrderly: boolean
  /** Deliveries after the first until a message becomes a dead letter. */
  retryMaxTimes: number
  /** Queues of its retry topic. */
  retryQueueNums: number
  /** Minutes that a member may hold a message. */
  consumeTimeoutMinute: number
  /** Broker id that its members are told to read from. */
  brokerId: number
  /** The same for members that lag behind. */
  whichBrokerWhenConsumeSlowly: number
  /** Whether members are told of each other. */
  notifyConsumerIdsChangedEnable: boolean
  groupSysFlag: number
  /** Of 5.x. */
  attributes: Map<string, string>
}

/** How the members of a group get the messages of a topic. */
export interface MessageRequestMode {
  topic: string
  consumerGroup: string
  mode: 'PULL' | 'POP'
  /** POP: queues that each member shares with others; 0: all. */
  popShareQueueNum: number
}

/** A member of a Raft group as the asked node sees it. */
export interface RaftMember {
  /** As in `dLegerSelfId`. */
  id: string
  /** Where it is for the other members, `host:port`. */
  raftAddr: string
  /** Where it is for clients, `host:port`. */
  brokerAddr: string
  /** Whether it votes. */
  role: string
  priority: number
  connected: boolean
  /** Whether the leader heard of it of late; the leader's knowledge. */
  active: boolean
  /** Up to where its log is the leader's; the leader's knowledge. */
  matchIndex: number
  /** Entries that it lacks; the leader's knowledge. */
  lagEntries: number
  /** Of its disk. */
  uid: string
}

/** A broker's Raft group as this node sees it. */
export interface RaftStatus {
  group: string
  selfId: string
  role: string
  term: number
  /** Empty while none is known. */
  leaderId: string
  leaderAddr: string
  /** Indexes of entries: `appliedIndex` <= `commitIndex` <= `lastIndex`. */
  appliedIndex: number
  commitIndex: number
  durableIndex: number
  lastIndex: number
  members: RaftMember[]
  /** Whether it belongs to the group. */
  membership: string
  configurationVersion: number
  /** Whether its newest membership is agreed upon. */
  configurationCommitted: boolean
  /** Empty: none. */
  trouble: string
}

/** What became of a change of a Raft group. */
export interface RaftAnswer {
  /** Empty: done. */
  refusal: string
  /** The same as a sentence. */
  text: string
  /** Who leads as far as the node knows. */
  leaderId: string
}
