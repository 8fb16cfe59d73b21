import { RequestCode, replyTopic, SystemTopic, TopicList } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305): tools leave these out of users' lists. */
export const systemTopics: Handler = {
  code: RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const { clusterName, brokerName } = broker.config.settings
    const names = new Set<string>([
      ...Object.values(SystemTopic),
      clusterName,
      brokerName,
      replyTopic(clusterName)
    ])
    for (const name of broker.store.tables.topics.keys())
      if (broker.topics.isSystem(name)) names.add(name)
    return success(TopicList.encode({ topicList: [...names].sort() }))
  }
}
