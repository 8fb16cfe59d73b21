import { type Keys, keysNotHonoured, keysWithoutEffect } from './keys.ts'

/** How the store of 5.3 keeps its files (MessageStoreConfig, and that of the tiered store): what has no counterpart here. */
export const storageKeys = {
  ...keysWithoutEffect('Nothing is mapped; what is read again and again stays in memory.', {
    mappedFileSwapEnable: true,
    commitLogForceSwapMapInterval: 43_200_000,
    commitLogSwapMapInterval: 3_600_000,
    commitLogSwapMapReserveFileNum: 100,
    logicQueueForceSwapMapInterval: 43_200_000,
    logicQueueSwapMapInterval: 3_600_000,
    logicQueueSwapMapReserveFileNum: 20,
    cleanSwapedMapInterval: 300_000,
    dataReadAheadEnable: true
  }),
  ...keysWithoutEffect('Consume queues follow the log entry by entry, in one thread.', {
    dispatchCqThreads: 10,
    dispatchCqCacheNum: 4_096,
    enableAsyncReput: true,
    recheckReputOffsetFromCq: false,
    dispatchFromSenderThread: false,
    enableBuildConsumeQueueConcurrently: false,
    batchDispatchRequestThreadPoolNums: 16,
    putConsumeQueueDataByFileChannel: true,
    travelCqFileNumWhenGetMessage: 1,
    correctLogicMinOffsetSleepInterval: 1,
    correctLogicMinOffsetForceInterval: 300_000,
    mapperFileSizeBatchConsumeQueue: 13_800_000,
    searchBcqByCacheEnable: true,
    maxConsumeQueueScan: 20_000,
    sampleCountThreshold: 5_000,
    sampleSteps: 32,
    enableCleanExpiredOffset: false
  }),
  ...keysWithoutEffect('There is no put lock, and one writer for the log.', {
    asyncSendEnable: true,
    topicQueueLockNum: 32,
    spinLockCollisionRetreatOptimalDegree: 1_000,
    useABSLock: false,
    wakeCommitWhenPutMessage: true,
    wakeFlushWhenPutMessage: false,
    maxAsyncPutMessageRequests: 5_000
  }),
  ...keysWithoutEffect('See maxTransferCountOnMessageInMemory.', {
    pullBatchMaxMessageCount: 160,
    accessMessageInMemoryHotRatio: 26
  }),
  ...keysWithoutEffect('Names of topics have up to 127 characters.', {
    maxTopicLength: 127,
    autoMessageVersionOnTopicLen: true
  }),
  ...keysWithoutEffect('Every entry of the log has a checksum, which is compared at each read.', {
    enabledAppendPropCRC: false,
    forceVerifyPropCRC: false
  }),
  ...keysWithoutEffect('Segments and queue files go in one step.', {
    deleteFileBatchMax: 10,
    maxBatchDeleteFilesNum: 50,
    logicalDiskSpaceCleanForciblyThreshold: '0.8',
    replicasPerDiskPartition: 1
  }),
  ...keysWithoutEffect('A start reads on from the last checkpoint.', {
    recoverConcurrently: false,
    recoverThreadPoolNums: 32,
    maxRecoveryCommitlogFiles: 30
  }),
  ...keysNotHonoured('Reads of old messages are limited by what one pull may cost.', {
    coldDataFlowControlEnable: false,
    coldCtrStrategyEnable: false
  }),
  ...keysWithoutEffect('Of coldDataFlowControlEnable.', {
    coldDataScanEnable: false,
    timerColdDataCheckIntervalMs: 60_000,
    usePIDColdCtrStrategy: true,
    cgColdReadThreshold: 3_145_728,
    globalColdReadThreshold: 104_857_600
  }),
  ...keysWithoutEffect('Compaction is not built: topics that ask for it are refused.', {
    enableCompaction: true,
    compactionMappedFileSize: 104_857_600,
    compactionCqMappedFileSize: 10_485_760,
    compactionScheduleInternal: 900_000,
    maxOffsetMapSize: 104_857_600,
    compactionThreadNum: 6
  }),
  ...keysNotHonoured('Messages that name a time are always taken in and delivered.', {
    timerStopEnqueue: false,
    timerStopDequeue: false
  }),
  ...keysWithoutEffect('What waits for a time is a table in the log; there is no wheel.', {
    mappedFileSizeTimerLog: 104_857_600,
    timerRollWindowSlot: 172_800,
    timerFlushIntervalMs: 1_000,
    timerGetMessageThreadNum: 3,
    timerPutMessageThreadNum: 3,
    timerEnableDisruptor: false,
    timerEnableCheckMetrics: true,
    timerInterceptDelayLevel: false,
    timerCheckMetricsWhen: '05',
    timerSkipUnknownError: false,
    timerWarmEnable: false,
    timerEnableRetryUntilSuccess: false,
    timerCongestNumEachSlot: 2_147_483_647,
    timerMetricSmallThreshold: 1_000_000,
    timerProgressLogIntervalMs: 10_000
  }),
  ...keysWithoutEffect('RocksDB is not used.', {
    cleanRocksDBDirtyCQIntervalMin: 60,
    statRocksDBCQIntervalSec: 10,
    memTableFlushIntervalMs: 3_600_000,
    realTimePersistRocksDBConfig: true,
    enableRocksDBLog: false,
    rocksdbCQDoubleWriteEnable: false,
    bottomMostCompressionTypeForConsumeQueueStore: 'zstd',
    rocksdbCompressionType: 'lz4',
    rocksdbFlushWalFrequency: 1_024,
    rocksdbWalFileRollingThreshold: 1_073_741_824
  }),
  ...keysWithoutEffect('Of the tiered store, which messageStorePlugIn names.', {
    tieredStorageLevel: 'NOT_IN_DISK',
    recordGetMessageResult: false,
    tieredStoreCommitLogMaxSize: 1_073_741_824,
    tieredStoreConsumeQueueMaxSize: 104_857_600,
    tieredStoreIndexFileMaxHashSlotNum: 5_000_000,
    tieredStoreIndexFileMaxIndexNum: 20_000_000,
    tieredMetadataServiceProvider: '',
    tieredBackendServiceProvider: '',
    tieredStoreDeleteFileEnable: true,
    tieredStoreFileReservedTime: 72,
    tieredStoreDeleteFileInterval: 3_600_000,
    commitLogRollingInterval: 24,
    commitLogRollingMinimumSize: 16_777_216,
    tieredStoreGroupCommit: true,
    tieredStoreGroupCommitTimeout: 30_000,
    tieredStoreGroupCommitCount: 4_096,
    tieredStoreGroupCommitSize: 4_194_304,
    tieredStoreMaxGroupCommitCount: 10_000,
    readAheadCacheEnable: true,
    readAheadMessageCountThreshold: 4_096,
    readAheadMessageSizeThreshold: 16_777_216,
    readAheadCacheExpireDuration: 15_000,
    readAheadCacheSizeThresholdRate: '0.3',
    tieredStoreMaxPendingLimit: 10_000,
    tieredStoreCrcCheckEnable: false,
    tieredStoreFilePath: '',
    objectStoreEndpoint: '',
    objectStoreBucket: '',
    objectStoreAccessKey: '',
    objectStoreSecretKey: ''
  })
} as const satisfies Keys
