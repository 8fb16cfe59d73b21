import { RequestCode, requiredText, TopicConfigAndQueueMapping } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { noSuchTopic, topicConfigOf } from './settings.ts'

/** GET_TOPIC_CONFIG (351, 5.x): one topic; tools of 5.x take only 17 for "there is none". */
export const topicConfig: Handler = {
  code: RequestCode.GET_TOPIC_CONFIG,
  needsLeader: false,
  handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const settings = broker.topics.find(topic)
    if (settings === undefined) return noSuchTopic(topic)
    return success(TopicConfigAndQueueMapping.encode(topicConfigOf(settings)))
  }
}
