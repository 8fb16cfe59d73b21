import { bean } from '../json/bean.ts'
import {
  boolean,
  double,
  enumeration,
  integer,
  list,
  mapOf,
  type Of,
  optional,
  text
} from '../json/schema.ts'

/** Runtime table (28), KV namespaces (219). */
export const KVTable = bean('KVTable', { table: mapOf(text()) })
export type KVTable = Of<typeof KVTable>

export const BrokerStatsItem = bean('BrokerStatsItem', {
  avgpt: double(),
  sum: integer(),
  tps: double()
})
export type BrokerStatsItem = Of<typeof BrokerStatsItem>

/** Answer to VIEW_BROKER_STATS_DATA (315). */
export const BrokerStatsData = bean('BrokerStatsData', {
  statsDay: BrokerStatsItem,
  statsHour: BrokerStatsItem,
  statsMinute: BrokerStatsItem
})
export type BrokerStatsData = Of<typeof BrokerStatsData>

export const HAConnectionRuntimeInfo = bean('HAConnectionRuntimeInfo', {
  addr: text(),
  diff: integer(),
  inSync: boolean(),
  slaveAckOffset: integer(),
  transferFromWhere: integer(),
  transferredByteInSecond: integer()
})
export type HAConnectionRuntimeInfo = Of<typeof HAConnectionRuntimeInfo>

export const HAClientRuntimeInfo = bean('HAClientRuntimeInfo', {
  activated: boolean(),
  lastReadTimestamp: integer(),
  lastWriteTimestamp: integer(),
  masterAddr: optional(text()),
  masterFlushOffset: integer(),
  maxOffset: integer(),
  transferredByteInSecond: integer()
})
export type HAClientRuntimeInfo = Of<typeof HAClientRuntimeInfo>

/** Answer to GET_BROKER_HA_STATUS (907). */
export const HARuntimeInfo = bean('HARuntimeInfo', {
  haClientRuntimeInfo: HAClientRuntimeInfo,
  haConnectionInfo: list(HAConnectionRuntimeInfo),
  inSyncSlaveNums: integer(),
  master: boolean(),
  masterCommitLogMaxOffset: integer()
})
export type HARuntimeInfo = Of<typeof HARuntimeInfo>

/** Answer to GET_BROKER_EPOCH_CACHE (1007): where each leader's term began in the log. */
export const EpochEntryCache = bean('EpochEntryCache', {
  brokerId: integer(),
  brokerName: text(),
  clusterName: text(),
  epochList: list(bean('EpochEntry', { epoch: integer(), startOffset: integer() })),
  maxOffset: integer()
})
export type EpochEntryCache = Of<typeof EpochEntryCache>

/** Users of 5.3 (3001 to 3005). */
export const UserInfo = bean('UserInfo', {
  password: optional(text()),
  userStatus: optional(enumeration(['enable', 'disable'], 'enable')),
  userType: optional(enumeration(['Super', 'Normal'], 'Normal')),
  username: optional(text())
})
export type UserInfo = Of<typeof UserInfo>

/** Access rules of 5.3 (3006 to 3010). */
export const AclInfo = bean('AclInfo', {
  policies: optional(
    list(
      bean('PolicyInfo', {
        entries: optional(
          list(
            bean('PolicyEntryInfo', {
              actions: optional(list(text())),
              decision: optional(text()),
              resource: optional(text()),
              sourceIps: optional(list(text()))
            })
          )
        ),
        policyType: optional(text())
      })
    )
  ),
  subject: optional(text())
})
export type AclInfo = Of<typeof AclInfo>

/** Lists of users and rules (3005, 3010). */
export const userInfoList = list(UserInfo)
export const aclInfoList = list(AclInfo)
