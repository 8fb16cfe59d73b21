import {
  QueryConsumeTimeSpanBody,
  type QueueTimeSpan,
  RequestCode,
  requiredText
} from '../../../protocol/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success, topicUnknown } from '../refusals.ts'

/** QUERY_CONSUME_TIME_SPAN (303): oldest, newest and consumed store time of each queue. Facts: remoting.md 2.13. */
export const consumeTimeSpan: Handler = {
  code: RequestCode.QUERY_CONSUME_TIME_SPAN,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const group = requiredText(request.extFields, 'group')
    const settings = broker.topics.find(topic)
    if (settings === undefined) return topicUnknown(topic)
    const body = QueryConsumeTimeSpanBody.of()
    for (let queueId = 0; queueId < settings.writeQueueNums; queueId++)
      body.consumeTimeSpanSet.push(await spanOf(group, topic, queueId, broker))
    return success(QueryConsumeTimeSpanBody.encode(body))
  }
}

async function spanOf(
  group: string,
  topic: string,
  queueId: number,
  broker: BrokerContext
): Promise<QueueTimeSpan> {
  const { store } = broker
  const timeAt = (offset: number): Promise<number> => store.storeTimeAt(topic, queueId, offset)
  const maxOffset = store.maxOffset(topic, queueId)
  const minTimeStamp = await timeAt(store.minOffset(topic, queueId))
  const consumed = store.tables.consumerOffset(group, topic, queueId)
  const consumeTimeStamp = consumed > 0 ? await timeAt(consumed - 1) : minTimeStamp
  const next = consumed < maxOffset ? await timeAt(Math.max(0, consumed)) : -1
  return {
    messageQueue: { brokerName: broker.config.settings.brokerName, queueId, topic },
    minTimeStamp,
    maxTimeStamp: await timeAt(maxOffset - 1),
    consumeTimeStamp,
    delayTime: next >= 0 ? Math.max(0, broker.platform.clock.wallMs() - next) : 0
  }
}
