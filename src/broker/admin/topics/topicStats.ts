import {
  RequestCode,
  requiredText,
  type TopicOffset,
  TopicStatsTable
} from '../../../protocol/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { StatName } from '../../stats/index.ts'
import { queueCount } from '../../topics/index.ts'
import { success, topicUnknown } from '../refusals.ts'

/** GET_TOPIC_STATS_INFO (202): every queue, empty ones too: who made a topic waits for it (observed.md). Facts: remoting.md 2.13. */
export const topicStats: Handler = {
  code: RequestCode.GET_TOPIC_STATS_INFO,
  needsLeader: false,
  async handle(request, caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const settings = broker.topics.find(topic)
    if (settings === undefined) return topicUnknown(topic)
    const { brokerName } = broker.config.settings
    const queues = queueCount(settings)
    return await broker.largeAnswers.run(queues, caller.connection, async pace => {
      const stats = TopicStatsTable.of({
        topicPutTps: broker.stats.find(StatName.TOPIC_PUT_NUMS, topic)?.spans().minute.tps ?? 0
      })
      for (let queueId = 0; queueId < queues; queueId++) {
        await pace.step()
        stats.offsetTable.push([
          { brokerName, queueId, topic },
          await queueRange(topic, queueId, broker)
        ])
      }
      return success(TopicStatsTable.encode(stats))
    })
  }
}

async function queueRange(
  topic: string,
  queueId: number,
  broker: BrokerContext
): Promise<TopicOffset> {
  const { store } = broker
  const maxOffset = store.maxOffset(topic, queueId)
  const minOffset = store.minOffset(topic, queueId)
  const lastUpdateTimestamp =
    maxOffset > 0 ? await store.storeTimeAt(topic, queueId, maxOffset - 1) : 0
  return { lastUpdateTimestamp, maxOffset, minOffset }
}
