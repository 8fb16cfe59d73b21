import { type Keys, keysNotHonoured, keysWithoutEffect } from './keys.ts'

const elected = 'The members of a Raft group elect their leader.'
const copies = 'Replication goes through the Raft group.'

/** How brokers of 5.3 form a group, keep copies and register without a Raft log (BrokerConfig, BrokerIdentity, MessageStoreConfig). */
export const clusterKeys = {
  ...keysNotHonoured(elected, {
    enableControllerMode: false,
    enableSlaveActingMaster: false,
    enableRemoteEscape: false,
    isBrokerContainer: false,
    isInBrokerContainer: false,
    inBrokerContainer: false
  }),
  ...keysWithoutEffect(elected, {
    controllerAddr: '',
    fetchControllerAddrByDnsLookup: false,
    syncBrokerMetadataPeriod: 5_000,
    checkSyncStateSetPeriod: 5_000,
    syncControllerMetadataPeriod: 10_000,
    controllerHeartBeatTimeoutMills: 10_000,
    brokerElectionPriority: 2_147_483_647,
    brokerHeartbeatInterval: 1_000,
    brokerNotActiveTimeoutMillis: 10_000,
    sendHeartbeatTimeoutMillis: 1_000,
    syncBrokerMemberGroupPeriod: 1_000,
    cleanOfflineBrokerInterval: 30_000,
    skipPreOnline: false,
    compatibleWithOldNameSrv: true,
    disappearTimeAfterStart: -1
  }),
  ...keysWithoutEffect('Members that do not lead forward; see forwardTimeoutMillis.', {
    forwardTimeout: 3_000
  }),
  ...keysWithoutEffect('A lock of a queue is in the log, at a majority, as with true.', {
    lockInStrictMode: false
  }),
  ...keysWithoutEffect(copies, {
    storePathEpochFile: '',
    storePathBrokerIdentity: '',
    haMaxGapNotInSync: 268_435_456,
    enableAutoInSyncReplicas: false,
    haFlowControlEnable: false,
    maxHaTransferByteInSecond: 104_857_600,
    haMaxTimeSlaveNotCatchup: 15_000,
    syncMasterFlushOffsetWhenStartup: false,
    maxChecksumRange: 1_073_741_824,
    maxSlaveResendLength: 268_435_456,
    syncFromLastFile: false,
    asyncLearner: false,
    readUnCommitted: false
  }),
  ...keysWithoutEffect('Tables are in the log, each change of them.', {
    consumerOffsetUpdateVersionStep: 500,
    delayOffsetUpdateVersionStep: 200,
    configManagerVersion: 'V1'
  }),
  ...keysWithoutEffect('A registration has all topics; one that is new is told at once.', {
    enableSingleTopicRegister: false,
    enableSplitRegistration: false,
    splitRegistrationSize: 800
  }),
  ...keysNotHonoured('Name servers are those of namesrvAddr, with one address for each name.', {
    fetchNameSrvAddrByDnsLookup: false
  }),
  ...keysWithoutEffect('Address servers over HTTP are not read.', {
    fetchNamesrvAddrInterval: 10_000,
    updateNameServerAddrPeriod: 120_000,
    rmqAddressServerDomain: 'jmenv.tbsite.net',
    rmqAddressServerSubGroup: 'nsaddr'
  })
} as const satisfies Keys
