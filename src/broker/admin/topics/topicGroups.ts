import { GroupList, RequestCode, requiredText } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** QUERY_TOPIC_CONSUME_BY_WHO (300): groups that subscribe the topic now, and those that have an offset for it. */
export const topicGroups: Handler = {
  code: RequestCode.QUERY_TOPIC_CONSUME_BY_WHO,
  needsLeader: false,
  handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const groups = new Set([
      ...broker.consumers.groupsOfTopic(topic),
      ...broker.store.tables.groupsOf(topic)
    ])
    return success(GroupList.encode({ groupList: [...groups] }))
  }
}
