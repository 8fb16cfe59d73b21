import { RequestCode, requiredText, TopicList } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** QUERY_TOPICS_BY_CONSUMER (343, 5.3): topics that a group has offsets for. */
export const topicsByConsumer: Handler = {
  code: RequestCode.QUERY_TOPICS_BY_CONSUMER,
  needsLeader: false,
  handle(request, _caller, broker) {
    const group = requiredText(request.extFields, 'group')
    const topicList = broker.store.tables.topicsOf(group)
    return success(TopicList.encode({ brokerAddr: broker.address, topicList }))
  }
}
