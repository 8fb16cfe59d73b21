import {
  ConsumeStats,
  ConsumeStatsList,
  optionalBoolean,
  RequestCode
} from '../../../protocol/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { addTopic } from './consumeStats.ts'

/** GET_BROKER_CONSUME_STATS (317): progress of every group on every topic it has offsets for. Facts: remoting.md 2.13. */
export const brokerConsumeStats: Handler = {
  code: RequestCode.GET_BROKER_CONSUME_STATS,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const orderedOnly = optionalBoolean(request.extFields, 'isOrder') === true
    if (broker.isLeader()) await broker.store.flushOffsets()
    const list = ConsumeStatsList.of({ brokerAddr: broker.address })
    const topicsOf = topicsByGroup(broker)
    for (const group of [...broker.store.tables.groups.keys()]) {
      const ofTopics: ConsumeStats[] = []
      for (const topic of topicsOf.get(group) ?? []) {
        const settings = broker.topics.find(topic)
        if (settings === undefined || (orderedOnly && !settings.order)) continue
        const stats = ConsumeStats.of()
        await addTopic(stats, group, settings, settings.writeQueueNums, broker)
        for (const [, { brokerOffset, consumerOffset }] of stats.offsetTable)
          list.totalDiff += brokerOffset - consumerOffset
        ofTopics.push(stats)
      }
      list.consumeStatsList.push(new Map([[group, ofTopics]]))
    }
    return success(ConsumeStatsList.encode(list))
  }
}

/** One pass over the offsets, where asking for each group would be one pass each. */
function topicsByGroup(broker: BrokerContext): Map<string, string[]> {
  const topics = new Map<string, string[]>()
  for (const key of broker.store.tables.offsets.keys()) {
    const at = key.indexOf('@')
    const group = key.slice(at + 1)
    const known = topics.get(group)
    if (known === undefined) topics.set(group, [key.slice(0, at)])
    else known.push(key.slice(0, at))
  }
  return topics
}
