import {
  booleanKey,
  enumKey,
  intKey,
  type Keys,
  keysWithoutEffect,
  longKey,
  stringKey
} from './keys.ts'

const pages = 'Of the original’s flush threads; here see flushDiskType.'
const ha = 'Replication goes through the Raft group.'
const extension =
  'SQL92 filters look at the messages themselves; there are no queue extension files.'
const lmq = 'Light queues are not built.'

/** MessageStoreConfig of 4.9.8 and what of 5.3 concerns us (broker.md 2.5). */
export const storeKeys = {
  storePathRootDir: stringKey(
    '',
    'start',
    'Everything that a node stores lies below; default ~/store.'
  ),
  storePathCommitLog: stringKey(
    '',
    'start',
    'Directory of the log; default {storePathRootDir}/commitlog.'
  ),
  readOnlyCommitLogStorePaths: stringKey('', 'missing', 'One log directory only.'),
  storePathDLedgerCommitLog: stringKey('', 'none', 'See storePathCommitLog.'),
  mappedFileSizeCommitLog: longKey(
    1_073_741_824,
    'start',
    'Size of one segment of the log, bytes.',
    65_536,
    2_147_483_648
  ),
  mappedFileSizeConsumeQueue: intKey(
    6_000_000,
    'start',
    'Size of one consume queue file, bytes; rounded up to a multiple of 20.',
    20,
    1_073_741_824
  ),
  enableConsumeQueueExt: booleanKey(false, 'none', extension),
  mappedFileSizeConsumeQueueExt: intKey(50_331_648, 'none', extension),
  bitMapLengthConsumeQueueExt: intKey(64, 'none', extension),
  flushIntervalCommitLog: intKey(
    500,
    'start',
    'With ASYNC_FLUSH: between two flushes, ms.',
    1,
    60_000
  ),
  commitIntervalCommitLog: intKey(200, 'none', pages),
  useReentrantLockWhenPutMessage: booleanKey(true, 'none', 'There is no put lock.'),
  flushCommitLogTimed: booleanKey(true, 'none', pages),
  flushIntervalConsumeQueue: intKey(1_000, 'none', pages),
  flushCommitLogLeastPages: intKey(4, 'none', pages),
  commitCommitLogLeastPages: intKey(4, 'none', pages),
  flushConsumeQueueLeastPages: intKey(2, 'none', pages),
  flushLeastPagesWhenWarmMapedFile: intKey(4096, 'none', pages),
  flushCommitLogThoroughInterval: intKey(10_000, 'none', pages),
  commitCommitLogThoroughInterval: intKey(200, 'none', pages),
  flushConsumeQueueThoroughInterval: intKey(60_000, 'none', pages),
  cleanResourceInterval: intKey(10_000, 'none', 'Retention looks once a minute.'),
  deleteCommitLogFilesInterval: intKey(100, 'none', 'Segments go in one step.'),
  deleteConsumeQueueFilesInterval: intKey(100, 'none', 'Queue files go in one step.'),
  destroyMapedFileIntervalForcibly: intKey(120_000, 'none', 'Nothing is mapped.'),
  redeleteHangedFileInterval: intKey(120_000, 'none', 'Nothing is mapped.'),
  deleteWhen: stringKey('04', 'start', 'Hours of the day at which old segments go, ";" between.'),
  fileReservedTime: intKey(72, 'start', 'Age at which a segment may go, hours.', 1, 876_000),
  diskMaxUsedSpaceRatio: intKey(
    75,
    'start',
    'Above this share of a full disk old segments go, per cent; 10 to 95.'
  ),
  diskSpaceCleanForciblyRatio: intKey(
    85,
    'start',
    'Above this share of a full disk the oldest segments go whatever their age, per cent; taken as 30 to 85.'
  ),
  diskSpaceWarningLevelRatio: intKey(
    90,
    'start',
    'Above this share of a full disk sends are refused, per cent; taken as 35 to 90.'
  ),
  cleanFileForciblyEnable: booleanKey(
    true,
    'start',
    'When the disk is nearly full the oldest segments go whatever their age; false: sends are refused instead.'
  ),
  diskFallRecorded: booleanKey(true, 'none', 'Statistics of the lag are always kept.'),
  putMsgIndexHightWater: intKey(600_000, 'none', 'The index is never behind.'),
  maxMessageSize: intKey(4_194_304, 'now', 'Largest body, bytes.', 1, 16_000_000),
  checkCRCOnRecover: booleanKey(true, 'none', 'Checksums are always compared.'),
  maxTransferBytesOnMessageInMemory: intKey(
    262_144,
    'now',
    'Most bytes of one pull from memory.',
    1,
    16_000_000
  ),
  maxTransferCountOnMessageInMemory: intKey(
    32,
    'now',
    'Most messages of one pull from memory.',
    1,
    100_000
  ),
  maxTransferBytesOnMessageInDisk: intKey(
    65_536,
    'now',
    'Most bytes of one pull from disk.',
    1,
    16_000_000
  ),
  maxTransferCountOnMessageInDisk: intKey(
    8,
    'now',
    'Most messages of one pull from disk.',
    1,
    100_000
  ),
  maxFilterMessageSize: intKey(
    16_000,
    'start',
    'Bytes of a queue, 20 for each message, that one filtered pull looks at.',
    20,
    1_000_000
  ),
  accessMessageInMemoryMaxRatio: intKey(
    40,
    'start',
    'Messages further behind the end of the log than this share of the machine’s memory count as old, per cent.',
    1,
    100
  ),
  messageIndexEnable: booleanKey(true, 'none', 'Keys are always indexed.'),
  messageIndexSafe: booleanKey(false, 'none', 'The index follows the log.'),
  maxHashSlotNum: intKey(5_000_000, 'none', 'The index has no slots.'),
  maxIndexNum: intKey(20_000_000, 'none', 'The index has no such limit.'),
  maxMsgsNumBatch: intKey(64, 'now', 'Most messages of a query by key.', 1, 100_000),
  defaultQueryMaxNum: intKey(
    32,
    'now',
    'Messages of a query by key that names no number.',
    1,
    100_000
  ),
  haListenPort: intKey(10_912, 'none', ha),
  haSendHeartbeatInterval: intKey(5_000, 'none', ha),
  haHousekeepingInterval: intKey(20_000, 'none', ha),
  haTransferBatchSize: intKey(32_768, 'none', ha),
  haMasterAddress: stringKey('', 'none', ha),
  haSlaveFallbehindMax: intKey(268_435_456, 'none', ha),
  totalReplicas: intKey(1, 'none', ha),
  inSyncReplicas: intKey(1, 'none', ha),
  minInSyncReplicas: intKey(1, 'none', ha),
  allAckInSyncStateSet: booleanKey(false, 'none', ha),
  brokerRole: enumKey(
    ['ASYNC_MASTER', 'SYNC_MASTER', 'SLAVE'],
    'ASYNC_MASTER',
    'start',
    'Shown as the role that the Raft group gives: SYNC_MASTER or SLAVE. SLAVE in a file needs enableDLegerCommitLog.'
  ),
  flushDiskType: enumKey(
    ['SYNC_FLUSH', 'ASYNC_FLUSH'],
    'SYNC_FLUSH',
    'start',
    'SYNC_FLUSH: a send is acknowledged when a majority has it on disk; ASYNC_FLUSH: in the page cache.'
  ),
  syncFlushTimeout: intKey(5_000, 'none', pages),
  slaveTimeout: intKey(3_000, 'none', ha),
  putMessageTimeout: intKey(8_000, 'none', pages),
  messageDelayLevel: stringKey(
    '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h',
    'start',
    'Delay levels from 1 on, single spaces, units s m h d.'
  ),
  flushDelayOffsetInterval: longKey(10_000, 'none', 'Progress is in the log with each delivery.'),
  enableScheduleAsyncDeliver: booleanKey(false, 'none', 'Deliveries are always batched.'),
  scheduleAsyncDeliverMaxPendingLimit: intKey(2_000, 'none', 'See enableScheduleAsyncDeliver.'),
  scheduleAsyncDeliverMaxResendNum2Blocked: intKey(3, 'none', 'See enableScheduleAsyncDeliver.'),
  warmMapedFileEnable: booleanKey(
    false,
    'start',
    'Fill the segment in use and the next one with zeros beforehand: even latency on disks whose first write to a block is slow, for the space of two segments.'
  ),
  offsetCheckInSlave: booleanKey(
    false,
    'now',
    'A follower may tell a reader that its offset is out of range.'
  ),
  debugLockEnable: booleanKey(false, 'none', 'There is no put lock.'),
  duplicationEnable: booleanKey(false, 'none', ha),
  osPageCacheBusyTimeOutMills: longKey(1_000, 'none', 'There is no put lock.'),
  transientStorePoolEnable: booleanKey(false, 'none', 'There is no such pool.'),
  transientStorePoolSize: intKey(5, 'none', 'There is no such pool.'),
  fastFailIfNoBufferInStorePool: booleanKey(false, 'none', 'There is no such pool.'),
  enableDLegerCommitLog: booleanKey(
    false,
    'start',
    'This broker is one of the group dLegerGroup, else a group of one.'
  ),
  dLegerGroup: stringKey('', 'start', 'Name of the Raft group.'),
  dLegerPeers: stringKey('', 'start', 'All members: n0-host:port;n1-host:port;…'),
  dLegerSelfId: stringKey('', 'start', 'Which of dLegerPeers this broker is.'),
  preferredLeaderId: stringKey('', 'start', 'Member that leads when it can.'),
  isEnableBatchPush: booleanKey(false, 'none', 'Replication always sends batches.'),
  enableBatchPush: booleanKey(false, 'none', 'Replication always sends batches.'),
  enableLmq: booleanKey(false, 'missing', lmq),
  enableMultiDispatch: booleanKey(false, 'missing', lmq),
  maxLmqConsumeQueueNum: intKey(20_000, 'none', lmq),
  ...keysWithoutEffect(lmq, { enableLmqStats: false }),
  timerWheelEnable: booleanKey(true, 'now', 'Take messages that name a time (TIMER_…).'),
  timerMaxDelaySec: intKey(259_200, 'now', 'Furthest time that a message may name, s from now.', 1),
  timerPrecisionMs: intKey(
    1_000,
    'now',
    'Step of TIMER_OUT_MS, ms; delivery itself is to the millisecond.',
    1,
    86_400_000
  ),
  storeType: stringKey('default', 'missing', 'There is one store.')
} as const satisfies Keys
