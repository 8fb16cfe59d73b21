import {
  isForbiddenForSending,
  popRetryTopic,
  RequestCode,
  requiredText,
  topicProblemText
} from '../../../protocol/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { invalidParameter, success, systemTopicText } from '../refusals.ts'

/**
 * DELETE_TOPIC_IN_BROKER (215): settings, queues and all groups' offsets go in log order, so that a topic of the same name starts anew
 * everywhere (5.3; 4.9 leaves the offsets). A topic that is not there is no error. Facts: broker.md 2.8.
 */
export const deleteTopic: Handler = {
  code: RequestCode.DELETE_TOPIC_IN_BROKER,
  needsLeader: true,
  async handle(request, caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    if (topic.trim() === '') return invalidParameter(request, topicProblemText('blank'))
    // What waits in the broker's own topics cannot be without them, whatever the settings say.
    const { validateSystemTopicWhenUpdateTopic: validates } = broker.config.values
    if (isForbiddenForSending(topic) || (validates && broker.topics.isSystem(topic)))
      return invalidParameter(request, systemTopicText(topic))
    if (broker.config.values.clearRetryTopicWhenDeleteTopic) await deleteRetryTopics(topic, broker)
    const { changed } = await broker.store.execute({ type: 'deleteTopic', topic })
    broker.resets.forget({ topic })
    await broker.forbidden.forget({ topic })
    if (broker.config.values.autoDeleteUnusedStats) broker.stats.forgetTopic(topic)
    if (changed) broker.logger.info('Topic deleted', { topic, by: caller.address })
    return success()
  }
}

/** Where groups that read the topic by POP have what they did not acknowledge (5.3). */
async function deleteRetryTopics(topic: string, broker: BrokerContext): Promise<void> {
  for (const group of broker.store.tables.groupsOf(topic))
    for (const v2 of [false, true]) {
      const name = popRetryTopic(topic, group, v2)
      if (broker.topics.find(name) !== undefined)
        await broker.store.execute({ type: 'deleteTopic', topic: name })
    }
}
