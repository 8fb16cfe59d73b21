import {
  ConsumeStats,
  type OffsetWrapper,
  optionalText,
  RequestCode,
  requiredText
} from '../../../protocol/index.ts'
import type { TopicSettings } from '../../../store/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import type { Pace } from '../../dispatch/largeAnswers.ts'
import { StatName } from '../../stats/index.ts'
import { success } from '../refusals.ts'

/** GET_CONSUME_STATS (208): how far a group is behind, by queue. Facts: remoting.md 2.13. */
export const consumeStats: Handler = {
  code: RequestCode.GET_CONSUME_STATS,
  needsLeader: false,
  async handle(request, caller, broker) {
    const group = requiredText(request.extFields, 'consumerGroup')
    const topic = optionalText(request.extFields, 'topic') ?? ''
    const topicList = (optionalText(request.extFields, 'topicList') ?? '')
      .split(';')
      .filter(name => name !== '')
    // What this node was told a moment ago counts too.
    if (broker.isLeader()) await broker.store.flushOffsets()
    const topics: TopicSettings[] = []
    for (const name of topicsToShow(group, topic, topicList, broker)) {
      const settings = broker.topics.find(name)
      if (settings !== undefined) topics.push(settings)
    }
    const queues = topics.reduce((sum, { readQueueNums }) => sum + readQueueNums, 0)
    return await broker.largeAnswers.run(queues, caller.connection, async pace => {
      const stats = ConsumeStats.of()
      for (const settings of topics)
        await addTopic(stats, group, settings, settings.readQueueNums, broker, pace)
      return success(ConsumeStats.encode(stats))
    })
  }
}

function topicsToShow(
  group: string,
  topic: string,
  topicList: string[],
  broker: BrokerContext
): string[] {
  // Each once, however often it is named.
  if (topicList.length > 0) return [...new Set(topicList)]
  const topics = topic === '' ? broker.store.tables.topicsOf(group) : [topic]
  const live = liveTopics(group, broker)
  return live === null ? topics : topics.filter(name => live.has(name))
}

/** What a group subscribes that consumes now: it is not behind in what it unsubscribed. Null: it does not consume. */
export function liveTopics(
  group: string,
  broker: BrokerContext
): { has(topic: string): boolean } | null {
  const live = broker.consumers.find(group)?.subscriptions
  return live === undefined || live.size === 0 ? null : live
}

/** Adds queues 0 to `queues` - 1 of a topic, and the group's rate on it. */
export async function addTopic(
  stats: ConsumeStats,
  group: string,
  settings: TopicSettings,
  queues: number,
  broker: BrokerContext,
  pace: Pace
): Promise<void> {
  const topic = settings.topicName
  const { brokerName } = broker.config.settings
  for (let queueId = 0; queueId < queues; queueId++) {
    await pace.step()
    stats.offsetTable.push([
      { brokerName, queueId, topic },
      await queueProgress(group, topic, queueId, broker)
    ])
  }
  const rate = broker.stats.find(StatName.GROUP_GET_NUMS, `${topic}@${group}`)
  stats.consumeTps += rate?.spans().minute.tps ?? 0
}

async function queueProgress(
  group: string,
  topic: string,
  queueId: number,
  broker: BrokerContext
): Promise<OffsetWrapper> {
  const { store } = broker
  const brokerOffset = store.maxOffset(topic, queueId)
  const consumerOffset = Math.max(0, store.tables.consumerOffset(group, topic, queueId))
  // What this node gave out of a topic that was deleted since lies behind the new one's end.
  const pulled = Math.min(brokerOffset, broker.stats.pulledOffset(group, topic, queueId))
  const before =
    consumerOffset > 0 ? await store.storeTimeAt(topic, queueId, consumerOffset - 1) : 0
  return {
    brokerOffset,
    consumerOffset,
    lastTimestamp: Math.max(0, before),
    pullOffset: Math.max(consumerOffset, pulled)
  }
}
