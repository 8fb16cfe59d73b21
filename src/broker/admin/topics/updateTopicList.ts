import { CreateTopicListRequestBody, RequestCode } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { changeFailed, invalidParameter, success } from '../refusals.ts'
import { putTopic, topicRefusal, topicSettingsOf } from './settings.ts'

/** Topics of one request; more are asked for in several. */
const topicsMax = 1_000

/** UPDATE_AND_CREATE_TOPIC_LIST (18, 5.3): each as with 17; nothing is done when one of them cannot be. */
export const updateTopicList: Handler = {
  code: RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
  needsLeader: true,
  async handle(request, caller, broker) {
    const list = CreateTopicListRequestBody.decode(request.body).topicConfigList
    if (list.length > topicsMax)
      return invalidParameter(request, `${list.length} topics in one request, at most ${topicsMax}`)
    try {
      const topics = []
      for (const { attributes, ...config } of list) {
        const wanted = { ...config, attributeChanges: attributes }
        const refusal = topicRefusal(request, wanted, broker)
        if (refusal !== null) return refusal
        topics.push(topicSettingsOf(wanted, broker.topics.find(wanted.topicName)))
      }
      await Promise.all(topics.map(topic => putTopic(topic, caller, broker)))
      await broker.registration.told()
      return success()
    } catch (error) {
      return changeFailed(error)
    }
  }
}
