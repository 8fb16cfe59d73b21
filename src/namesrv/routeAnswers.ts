import {
  BrokerData,
  ClusterInfo,
  type TopicList,
  TopicPerm,
  TopicRouteData,
  TopicSysFlag
} from '../protocol/index.ts'
import type { RouteTable } from './routeTable.ts'
import { type BrokerGroup, LEADER_ID, type TopicQueues } from './routeTypes.ts'

/** Bodies of the route requests, made of the tables (remoting.md 3.1). */

/** null: no broker has the topic. */
export function routeOf(
  table: RouteTable,
  topic: string,
  options: { orderTopicConf: string | null; supportActingMaster: boolean }
): TopicRouteData | null {
  const byBroker = table.topics.get(topic)
  if (byBroker === undefined) return null
  const route = TopicRouteData.of()
  for (const [brokerName, queues] of byBroker) {
    const group = table.groups.get(brokerName)
    if (group === undefined) continue
    const data = brokerData(group)
    if (options.supportActingMaster) putActingMaster(group, queues, data)
    route.brokerDatas.push(data)
    route.queueDatas.push(queues)
    for (const { brokerAddr, filterServers } of group.members.values()) {
      if (filterServers.length > 0) route.filterServerTable.set(brokerAddr, [...filterServers])
    }
  }
  if (route.brokerDatas.length === 0) return null
  if (options.orderTopicConf !== null) route.orderTopicConf = options.orderTopicConf
  return route
}

export function clusterInfo(table: RouteTable): ClusterInfo {
  const info = ClusterInfo.of()
  for (const group of table.groups.values()) {
    info.brokerAddrTable.set(group.brokerName, brokerData(group))
  }
  for (const [cluster, names] of table.clusters) info.clusterAddrTable.set(cluster, [...names])
  return info
}

export function allTopics(table: RouteTable): TopicList {
  return { topicList: [...table.topics.keys()] }
}

export function topicsOfCluster(table: RouteTable, cluster: string): TopicList {
  const names = [...(table.clusters.get(cluster) ?? [])]
  return topicsWhere(table, byBroker => names.some(name => byBroker.has(name)))
}

/** Names of clusters and brokers, which are topics too, and one broker to ask for the rest (305). */
export function systemTopics(table: RouteTable): TopicList {
  const topicList = [...new Set([...table.clusters.keys(), ...table.groups.keys()])]
  for (const group of table.groups.values()) {
    for (const member of group.members.values()) {
      return { brokerAddr: member.brokerAddr, topicList }
    }
  }
  return { topicList }
}

export function unitTopics(table: RouteTable): TopicList {
  return topicsWhere(table, byBroker => (flagOf(byBroker) & TopicSysFlag.unit) !== 0)
}

export function unitSubscribedTopics(table: RouteTable): TopicList {
  return topicsWhere(table, byBroker => (flagOf(byBroker) & TopicSysFlag.unitSub) !== 0)
}

export function unitSubscribedNotUnitTopics(table: RouteTable): TopicList {
  const both = TopicSysFlag.unit | TopicSysFlag.unitSub
  return topicsWhere(table, byBroker => (flagOf(byBroker) & both) === TopicSysFlag.unitSub)
}

function topicsWhere(
  table: RouteTable,
  wanted: (byBroker: ReadonlyMap<string, TopicQueues>) => boolean
): TopicList {
  const topicList: string[] = []
  for (const [topic, byBroker] of table.topics) if (wanted(byBroker)) topicList.push(topic)
  return { topicList }
}

/** The original looks at the first broker's flag only. */
function flagOf(byBroker: ReadonlyMap<string, TopicQueues>): number {
  for (const queues of byBroker.values()) return queues.topicSysFlag
  return 0
}

function brokerData(group: BrokerGroup): BrokerData {
  const members = [...group.members.values()].sort((a, b) => a.brokerId - b.brokerId)
  const data = BrokerData.of({
    brokerAddrs: new Map(members.map(({ brokerId, brokerAddr }) => [brokerId, brokerAddr])),
    brokerName: group.brokerName,
    cluster: group.clusterName,
    enableActingMaster: group.enableActingMaster === true
  })
  if (group.zoneName !== null) data.zoneName = group.zoneName
  return data
}

/** 5.3: without a leader the smallest id is shown as 0, so that clients lock, query and commit there. */
function putActingMaster(group: BrokerGroup, queues: TopicQueues, data: BrokerData): void {
  if (group.enableActingMaster !== true || group.members.has(LEADER_ID)) return
  if ((queues.perm & TopicPerm.write) !== 0) return
  for (const [smallest, address] of data.brokerAddrs) {
    data.brokerAddrs.delete(smallest)
    data.brokerAddrs.set(LEADER_ID, address)
    return
  }
}
