import type { ConfigKey } from './table.ts'

/**
 * What `mqbroker -m` prints: the fields that RocketMQ 4.9 and 5.3 mark as important in BrokerConfig and MessageStoreConfig, as far as
 * they mean something here, and behind them the keys that make a member of a group.
 */
export const importantKeys: readonly ConfigKey[] = [
  'namesrvAddr',
  'listenPort',
  'brokerIP1',
  'brokerName',
  'brokerClusterName',
  'brokerId',
  'autoCreateTopicEnable',
  'autoCreateSubscriptionGroup',
  'msgTraceTopicName',
  'traceTopicEnable',
  'rejectTransactionMessage',
  'fetchNamesrvAddrByAddressServer',
  'transactionTimeOut',
  'transactionCheckMax',
  'transactionCheckInterval',
  'aclEnable',
  'storePathRootDir',
  'storePathCommitLog',
  'flushIntervalCommitLog',
  'commitIntervalCommitLog',
  'flushCommitLogTimed',
  'deleteWhen',
  'fileReservedTime',
  'maxTransferBytesOnMessageInMemory',
  'maxTransferCountOnMessageInMemory',
  'maxTransferBytesOnMessageInDisk',
  'maxTransferCountOnMessageInDisk',
  'accessMessageInMemoryMaxRatio',
  'messageIndexEnable',
  'messageIndexSafe',
  'haMasterAddress',
  'brokerRole',
  'flushDiskType',
  'cleanFileForciblyEnable',
  'transientStorePoolEnable',
  'enableDLegerCommitLog',
  'dLegerGroup',
  'dLegerPeers',
  'dLegerSelfId',
  'preferredLeaderId'
]
