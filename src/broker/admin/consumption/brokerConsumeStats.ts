import {
  ConsumeStats,
  ConsumeStatsList,
  optionalBoolean,
  RequestCode
} from '../../../protocol/index.ts'
import type { TopicSettings } from '../../../store/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { addTopic, liveTopics } from './consumeStats.ts'

/** GET_BROKER_CONSUME_STATS (317): progress of every group on every topic it has offsets for. Facts: remoting.md 2.13. */
export const brokerConsumeStats: Handler = {
  code: RequestCode.GET_BROKER_CONSUME_STATS,
  needsLeader: false,
  async handle(request, caller, broker) {
    const orderedOnly = optionalBoolean(request.extFields, 'isOrder') === true
    if (broker.isLeader()) await broker.store.flushOffsets()
    const topicsOf = topicsByGroup(broker, orderedOnly)
    let queues = 0
    for (const topics of topicsOf.values())
      for (const { writeQueueNums } of topics) queues += writeQueueNums
    return await broker.largeAnswers.run(queues, caller.connection, async pace => {
      const list = ConsumeStatsList.of({ brokerAddr: broker.address })
      for (const [group, topics] of topicsOf) {
        const ofTopics: ConsumeStats[] = []
        const live = liveTopics(group, broker)
        for (const settings of topics) {
          if (live !== null && !live.has(settings.topicName)) continue
          const stats = ConsumeStats.of()
          await addTopic(stats, group, settings, settings.writeQueueNums, broker, pace)
          for (const [, { brokerOffset, consumerOffset, pullOffset }] of stats.offsetTable) {
            list.totalDiff += brokerOffset - consumerOffset
            list.totalInflightDiff += pullOffset - consumerOffset
          }
          ofTopics.push(stats)
        }
        list.consumeStatsList.push(new Map([[group, ofTopics]]))
      }
      return success(ConsumeStatsList.encode(list))
    })
  }
}

/** Of every group, in one pass over the offsets, where asking for each group would be one pass each. */
function topicsByGroup(broker: BrokerContext, orderedOnly: boolean): Map<string, TopicSettings[]> {
  const topics = new Map<string, TopicSettings[]>()
  for (const group of broker.store.tables.groups.keys()) topics.set(group, [])
  for (const key of broker.store.tables.offsets.keys()) {
    const at = key.indexOf('@')
    const settings = broker.topics.find(key.slice(0, at))
    if (settings === undefined || (orderedOnly && !settings.order)) continue
    topics.get(key.slice(at + 1))?.push(settings)
  }
  return topics
}
