import {
  booleanKey,
  intKey,
  type Keys,
  keysNotHonoured,
  keysWithoutEffect,
  longKey,
  stringKey
} from './keys.ts'

const pool = 'Size of a thread pool of the original; there are no such pools here.'
const queue =
  'Length of a thread pool queue of the original; the store takes 10 000 sends or 64 MiB at a time.'
const filterBits = 'SQL92 filters look at each message when it is pulled; no bit maps are kept.'

/** BrokerConfig of 4.9.8 and what of 5.3 concerns us (broker.md 2.4). */
export const brokerKeys = {
  rocketmqHome: stringKey('', 'start', 'Installation directory; environment ROCKETMQ_HOME.'),
  namesrvAddr: stringKey('', 'start', 'Name servers, host:port separated by ";".'),
  brokerIP1: stringKey('', 'start', 'Address told to clients; default: an address of this host.'),
  brokerIP2: stringKey('', 'start', 'Address in haServerAddr of the registration.'),
  brokerName: stringKey(
    '',
    'start',
    'Name of the group; default: host name, in a group its dLegerGroup.'
  ),
  brokerClusterName: stringKey('DefaultCluster', 'start', 'Cluster to which the group belongs.'),
  brokerId: longKey(
    0,
    'none',
    'Given by the role: leader 0, else the number in dLegerSelfId + 1.',
    -1
  ),
  brokerPermission: intKey(
    6,
    'now',
    'Mask over the permission of every topic: 4 read, 2 write.',
    0,
    15
  ),
  defaultTopicQueueNums: intKey(8, 'start', 'Queues of TBW102.', 1, 65_535),
  autoCreateTopicEnable: booleanKey(true, 'now', 'A send to an unknown topic makes it.'),
  clusterTopicEnable: booleanKey(
    true,
    'start',
    'The topic named like the cluster may be inherited from.'
  ),
  brokerTopicEnable: booleanKey(
    true,
    'start',
    'The topic named like the broker may be inherited from.'
  ),
  autoCreateSubscriptionGroup: booleanKey(
    true,
    'now',
    'An unknown consumer group is made when it is met.'
  ),
  messageStorePlugIn: stringKey('', 'missing', 'Java classes around the store.'),
  msgTraceTopicName: stringKey('RMQ_SYS_TRACE_TOPIC', 'start', 'Topic for message traces.'),
  traceTopicEnable: booleanKey(false, 'start', 'Make the trace topic at the first start.'),
  traceOn: booleanKey(true, 'now', 'Value of TRACE_ON in send answers.'),
  regionId: stringKey('DefaultRegion', 'now', 'Value of MSG_REGION in send answers.'),
  sendMessageThreadPoolNums: intKey(4, 'none', pool),
  putMessageFutureThreadPoolNums: intKey(4, 'none', pool),
  pullMessageThreadPoolNums: intKey(20, 'none', pool),
  litePullMessageThreadPoolNums: intKey(20, 'none', pool),
  ackMessageThreadPoolNums: intKey(16, 'none', pool),
  processReplyMessageThreadPoolNums: intKey(20, 'none', pool),
  queryMessageThreadPoolNums: intKey(10, 'none', pool),
  adminBrokerThreadPoolNums: intKey(16, 'none', pool),
  clientManageThreadPoolNums: intKey(32, 'none', pool),
  consumerManageThreadPoolNums: intKey(32, 'none', pool),
  heartbeatThreadPoolNums: intKey(2, 'none', pool),
  endTransactionThreadPoolNums: intKey(12, 'none', pool),
  sendThreadPoolQueueCapacity: intKey(10_000, 'none', queue),
  putThreadPoolQueueCapacity: intKey(10_000, 'none', queue),
  replyThreadPoolQueueCapacity: intKey(10_000, 'none', queue),
  pullThreadPoolQueueCapacity: intKey(
    100_000,
    'now',
    'Pulls that may be held at a time (long polling); beyond it they are answered at once.',
    1
  ),
  litePullThreadPoolQueueCapacity: intKey(100_000, 'none', queue),
  ackThreadPoolQueueCapacity: intKey(100_000, 'none', queue),
  endTransactionPoolQueueCapacity: intKey(
    100_000,
    'now',
    'Ends of transactions that may be under way; further ones are refused.'
  ),
  queryThreadPoolQueueCapacity: intKey(20_000, 'none', queue),
  clientManagerThreadPoolQueueCapacity: intKey(1_000_000, 'none', queue),
  consumerManagerThreadPoolQueueCapacity: intKey(1_000_000, 'none', queue),
  heartbeatThreadPoolQueueCapacity: intKey(50_000, 'none', queue),
  adminBrokerThreadPoolQueueCapacity: intKey(10_000, 'none', queue),
  filterServerNums: intKey(0, 'missing', 'Class filter servers are obsolete.'),
  flushConsumerOffsetInterval: intKey(5_000, 'none', 'Offsets are commands in the log here.'),
  flushConsumerOffsetHistoryInterval: intKey(60_000, 'none', 'Not used by the original either.'),
  rejectTransactionMessage: booleanKey(false, 'now', 'Refuse half messages with NO_PERMISSION.'),
  fetchNamesrvAddrByAddressServer: booleanKey(
    false,
    'missing',
    'Address servers over HTTP are not read.'
  ),
  longPollingEnable: booleanKey(
    true,
    'now',
    'Hold a pull as long as it asks for, else shortPollingTimeMills.'
  ),
  shortPollingTimeMills: longKey(
    1_000,
    'now',
    'Hold of a pull with longPollingEnable=false, ms.',
    0,
    60_000
  ),
  notifyConsumerIdsChangedEnable: booleanKey(true, 'now', 'Tell the members when a group changes.'),
  highSpeedMode: booleanKey(false, 'none', 'Not used by the original either.'),
  commercialEnable: booleanKey(true, 'none', 'Billing of the original’s makers.'),
  commercialBaseCount: intKey(1, 'none', 'Billing.'),
  commercialBigCount: intKey(1, 'none', 'Billing.'),
  commercialTimerCount: intKey(1, 'none', 'Billing.'),
  commercialTransCount: intKey(1, 'none', 'Billing.'),
  transferMsgByHeap: booleanKey(
    true,
    'none',
    'Answers are always made of views of the log’s memory.'
  ),
  maxDelayTime: intKey(40, 'none', 'Not used by the original either.'),
  registerBrokerTimeoutMills: intKey(6_000, 'now', 'Patience with a name server, ms.', 100, 60_000),
  registerNameServerPeriod: intKey(
    30_000,
    'start',
    'Between registrations, ms; taken as 10000 to 60000.',
    1
  ),
  forceRegister: booleanKey(true, 'none', 'Registration never asks first.'),
  compressedRegister: booleanKey(false, 'none', 'The registration is sent as plain JSON.'),
  slaveReadEnable: booleanKey(false, 'now', 'Slow readers are sent to a follower.'),
  disableConsumeIfConsumerReadSlowly: booleanKey(
    false,
    'missing',
    'Slow groups are never cut off.'
  ),
  consumerFallbehindThreshold: longKey(
    17_179_869_184,
    'none',
    'Of disableConsumeIfConsumerReadSlowly.'
  ),
  brokerFastFailureEnable: booleanKey(true, 'none', 'Nothing waits in thread pool queues here.'),
  waitTimeMillsInSendQueue: longKey(200, 'none', 'Of brokerFastFailureEnable.'),
  waitTimeMillsInPullQueue: longKey(5_000, 'none', 'Of brokerFastFailureEnable.'),
  waitTimeMillsInLitePullQueue: longKey(5_000, 'none', 'Of brokerFastFailureEnable.'),
  waitTimeMillsInHeartbeatQueue: longKey(31_000, 'none', 'Of brokerFastFailureEnable.'),
  waitTimeMillsInTransactionQueue: longKey(
    3_000,
    'now',
    'An end of a transaction waits so long while the store is busy, ms.'
  ),
  waitTimeMillsInAckQueue: longKey(3_000, 'none', 'Of brokerFastFailureEnable.'),
  waitTimeMillsInAdminBrokerQueue: longKey(5_000, 'none', 'Of brokerFastFailureEnable.'),
  startAcceptSendRequestTimeStamp: longKey(
    0,
    'now',
    'Sends are refused before this time, ms since 1970.'
  ),
  enableCalcFilterBitMap: booleanKey(false, 'none', filterBits),
  expectConsumerNumUseFilter: intKey(32, 'none', filterBits),
  maxErrorRateOfBloomFilter: intKey(20, 'none', filterBits),
  filterDataCleanTimeSpan: longKey(
    86_400_000,
    'none',
    'Filters live as long as their group is connected.'
  ),
  filterSupportRetry: booleanKey(
    false,
    'now',
    'Filter retried messages too, by the subscription of the topic from which they came.'
  ),
  enablePropertyFilter: booleanKey(
    false,
    'now',
    'SQL92 subscriptions are served; else they are refused with SYSTEM_ERROR.'
  ),
  transactionTimeOut: longKey(
    6_000,
    'now',
    'A half message so old is asked about, unless it says another time itself, ms.'
  ),
  transactionCheckMax: intKey(
    15,
    'now',
    'After so many questions it goes to TRANS_CHECK_MAX_TIME_TOPIC.'
  ),
  transactionCheckInterval: longKey(
    30_000,
    'now',
    'Between two questions about one half message, ms.',
    1
  ),
  storeReplyMessageEnable: booleanKey(true, 'now', 'Store replies (324, 325) too.'),
  enableDetailStat: booleanKey(true, 'none', 'Statistics are kept for queues too.'),
  enableScheduleMessageStats: booleanKey(true, 'none', 'Delay statistics are always kept.'),
  autoDeleteUnusedStats: booleanKey(
    false,
    'now',
    'Drop the statistics of deleted topics and groups.'
  ),
  isolateLogEnable: booleanKey(false, 'none', 'Logs are configured by the launcher.'),
  recallMessageEnable: booleanKey(
    false,
    'now',
    'Let producers take back messages that wait for a time (370).'
  ),
  allowRecallWhenBrokerNotWriteable: booleanKey(
    true,
    'now',
    'Also while brokerPermission takes the right to write away.'
  ),
  channelExpiredTimeout: longKey(
    120_000,
    'now',
    'A consumer without a heartbeat for so long is disconnected, ms.',
    1_000
  ),
  litePullMessageEnable: booleanKey(true, 'now', 'Serve LITE_PULL_MESSAGE (361).'),
  rejectPullConsumerEnable: booleanKey(
    false,
    'now',
    'Serve no consumers that pull by themselves, but those of the system.'
  ),
  enableCreateSysGroup: booleanKey(
    true,
    'now',
    'Groups named CID_RMQ_SYS_… are made when they are met.'
  ),
  validateSystemTopicWhenUpdateTopic: booleanKey(
    true,
    'now',
    'Refuse changes and deletion of system topics; false: those in which messages wait are kept all the same.'
  ),
  enableMixedMessageType: booleanKey(
    false,
    'now',
    'Topics may have the attribute message.type MIXED.'
  ),
  useServerSideResetOffset: booleanKey(
    false,
    'now',
    'Resets are stored at the broker, which tells them to the next pull (5.3); false: connected clients are told, as in 4.9.'
  ),
  ...keysNotHonoured('Subscriptions are those that the members of a group name.', {
    useStaticSubscription: false
  }),
  ...keysWithoutEffect(pool, { loadBalanceProcessorThreadPoolNums: 32 }),
  ...keysWithoutEffect(queue, { loadBalanceThreadPoolQueueCapacity: 100_000 }),
  ...keysWithoutEffect('A subscription lasts as long as its group is connected.', {
    subscriptionExpiredTimeout: 600_000
  }),
  ...keysWithoutEffect('Members that broadcast keep their offsets themselves.', {
    enableBroadcastOffsetStore: true,
    broadcastOffsetExpireSecond: 120,
    broadcastOffsetExpireMaxSecond: 300
  }),
  ...keysWithoutEffect('Members are told of each other at once, as with true.', {
    realTimeNotifyConsumerChange: true,
    enableFastChannelEventProcess: false
  }),
  ...keysWithoutEffect('Producers are always known; see maxClientsPerGroup.', {
    enableRegisterProducer: true
  }),
  ...keysWithoutEffect('What a slow connection has not read is limited for each.', {
    enableNetWorkFlowControl: false
  }),
  ...keysWithoutEffect('Ends of transactions are commands in the log.', {
    transactionOpMsgMaxSize: 4_096,
    transactionOpBatchInterval: 3_000
  }),
  brokerConfigPath: stringKey('', 'start', 'The file given with -c.'),
  configBlackList: stringKey(
    'configBlackList;brokerConfigPath',
    'start',
    'Keys that 25 may not change, ";" between.'
  )
} as const satisfies Keys
