import { bean } from '../json/bean.ts'
import {
  boolean,
  integer,
  integerMapOf,
  list,
  mapOf,
  type Of,
  optional,
  text
} from '../json/schema.ts'
import { TopicQueueMappingInfo } from './topics.ts'

/** Queues of a topic on one broker group (remoting.md 3.1). */
export const QueueData = bean('QueueData', {
  brokerName: text(),
  perm: integer(),
  readQueueNums: integer(),
  topicSysFlag: integer(),
  writeQueueNums: integer()
})
export type QueueData = Of<typeof QueueData>

/** Addresses of one broker group by broker id; id 0 takes writes. */
export const BrokerData = bean('BrokerData', {
  brokerAddrs: integerMapOf(text(), 'quoted'),
  brokerName: text(),
  cluster: text(),
  enableActingMaster: boolean(),
  zoneName: optional(text())
})
export type BrokerData = Of<typeof BrokerData>

/** Answer to GET_ROUTEINFO_BY_TOPIC (105); broker ids are always quoted, all clients read that. */
export const TopicRouteData = bean('TopicRouteData', {
  brokerDatas: list(BrokerData),
  filterServerTable: mapOf(list(text())),
  orderTopicConf: optional(text()),
  queueDatas: list(QueueData),
  topicQueueMappingByBroker: optional(mapOf(TopicQueueMappingInfo))
})
export type TopicRouteData = Of<typeof TopicRouteData>

/** Answer to GET_BROKER_CLUSTER_INFO (106). */
export const ClusterInfo = bean('ClusterInfo', {
  brokerAddrTable: mapOf(BrokerData),
  clusterAddrTable: mapOf(list(text()))
})
export type ClusterInfo = Of<typeof ClusterInfo>

/** Answer to GET_BROKER_MEMBER_GROUP (901). */
export const BrokerMemberGroup = bean('BrokerMemberGroup', {
  brokerAddrs: integerMapOf(text(), 'bare'),
  brokerName: text(),
  cluster: text()
})
export type BrokerMemberGroup = Of<typeof BrokerMemberGroup>
export const GetBrokerMemberGroupResponseBody = bean('GetBrokerMemberGroupResponseBody', {
  brokerMemberGroup: BrokerMemberGroup
})
export type GetBrokerMemberGroupResponseBody = Of<typeof GetBrokerMemberGroupResponseBody>
