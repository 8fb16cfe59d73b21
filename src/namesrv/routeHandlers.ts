import {
  ClusterInfo,
  optionalText,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  requiredText,
  response,
  TopicList,
  TopicPerm,
  TopicRouteData
} from '../protocol/index.ts'
import type { RequestHandler } from '../remoting/index.ts'
import type { NameServerContext } from './context.ts'
import { ORDER_TOPIC_CONFIG } from './kvTable.ts'
import {
  allTopics,
  clusterInfo,
  routeOf,
  systemTopics,
  topicsOfCluster,
  unitSubscribedNotUnitTopics,
  unitSubscribedTopics,
  unitTopics
} from './routeAnswers.ts'

/** Clients and tools look for this text. */
const NO_ROUTE = 'No topic route info in name server for the topic: '
const NO_ROUTE_HINT = '\nSee http://rocketmq.apache.org/docs/faq/ for further details.'

/** A broker's limit is half of it. */
const TOPIC_CHARACTERS_MAX = 255
const ALL_PERMISSIONS = TopicPerm.read | TopicPerm.write

/** Questions for routes and topics, and changes of them that tools ask for (broker.md 1.4, 1.5, 1.8). */
export function routeHandlers(context: NameServerContext): [number, RequestHandler][] {
  const { table, config, log } = context

  const route: RequestHandler = request => {
    const topic = requiredText(request.extFields, 'topic')
    if (!context.ready()) return response(ResponseCode.SYSTEM_ERROR, 'name server not ready')
    const body = routeOf(table, topic, {
      orderTopicConf: config.orderMessageEnable ? context.kv.get(ORDER_TOPIC_CONFIG, topic) : null,
      supportActingMaster: config.supportActingMaster
    })
    if (body !== null) return success(TopicRouteData.encode(body))
    return response(ResponseCode.TOPIC_NOT_EXIST, `${NO_ROUTE}${topic}${NO_ROUTE_HINT}`)
  }

  const changePermissions =
    (header: string, change: (perm: number) => number): RequestHandler =>
    request => {
      const brokerName = requiredText(request.extFields, 'brokerName')
      const count = table.changePermissions(brokerName, change)
      log.info('Write permission changed', { brokerName, request: header, topics: count })
      return response(ResponseCode.SUCCESS, null, { [header]: String(count) })
    }

  const deleteTopic: RequestHandler = request => {
    const topic = requiredText(request.extFields, 'topic')
    const clusterName = optionalText(request.extFields, 'clusterName')
    table.deleteTopic(topic, clusterName === '' ? null : clusterName)
    log.info('Topic deleted', { topic, clusterName })
    return response(ResponseCode.SUCCESS)
  }

  const registerTopic: RequestHandler = request => {
    const topic = requiredText(request.extFields, 'topic')
    if (request.body === null) return response(ResponseCode.SUCCESS)
    if (topic.length > TOPIC_CHARACTERS_MAX) {
      const remark = `the topic's name has ${topic.length} characters, allowed are ${TOPIC_CHARACTERS_MAX}`
      return response(ResponseCode.SYSTEM_ERROR, remark)
    }
    const { queueDatas } = TopicRouteData.decode(request.body)
    if (queueDatas.length === 0) return response(ResponseCode.SUCCESS)
    const added = table.addTopic(topic, queueDatas)
    log.info(added ? 'topic registered' : 'topic refused: unknown broker or no room', { topic })
    return response(ResponseCode.SUCCESS)
  }

  const list =
    (enabled: () => boolean, topics: (request: RemotingCommand) => TopicList): RequestHandler =>
    request =>
      enabled()
        ? success(TopicList.encode(topics(request)))
        : response(ResponseCode.SYSTEM_ERROR, 'disable')

  const listsEnabled = (): boolean => config.enableTopicList

  return [
    [RequestCode.GET_ROUTEINFO_BY_TOPIC, route],
    [RequestCode.GET_BROKER_CLUSTER_INFO, () => success(ClusterInfo.encode(clusterInfo(table)))],
    [
      RequestCode.WIPE_WRITE_PERM_OF_BROKER,
      changePermissions('wipeTopicCount', perm => perm & ~TopicPerm.write)
    ],
    [
      RequestCode.ADD_WRITE_PERM_OF_BROKER,
      changePermissions('addTopicCount', () => ALL_PERMISSIONS)
    ],
    [RequestCode.DELETE_TOPIC_IN_NAMESRV, deleteTopic],
    [RequestCode.REGISTER_TOPIC_IN_NAMESRV, registerTopic],
    [
      RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER,
      list(
        () => config.enableAllTopicList,
        () => allTopics(table)
      )
    ],
    [
      RequestCode.GET_TOPICS_BY_CLUSTER,
      list(listsEnabled, request =>
        topicsOfCluster(table, requiredText(request.extFields, 'cluster'))
      )
    ],
    [
      RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS,
      list(
        () => true,
        () => systemTopics(table)
      )
    ],
    [RequestCode.GET_UNIT_TOPIC_LIST, list(listsEnabled, () => unitTopics(table))],
    [
      RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST,
      list(listsEnabled, () => unitSubscribedTopics(table))
    ],
    [
      RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
      list(listsEnabled, () => unitSubscribedNotUnitTopics(table))
    ]
  ]
}

function success(body: Buffer): RemotingCommand {
  return response(ResponseCode.SUCCESS, null, null, body)
}
