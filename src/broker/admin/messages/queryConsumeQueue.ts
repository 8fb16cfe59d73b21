import {
  type ConsumeQueueData,
  QueryConsumeQueueResponseBody,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response
} from '../../../protocol/index.ts'
import { isTagType, type Subscription } from '../../clients/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { queueCount } from '../../topics/index.ts'
import { subscriptionDataOf } from '../clients/subscriptionData.ts'
import { success, systemError } from '../refusals.ts'

/** Units of one answer; whoever wants more asks from a later index. */
const unitsMax = 10_000

/** QUERY_CONSUME_QUEUE (321): units of a queue, and whether a group's filter lets them pass. Facts: remoting.md 2.13. */
export const queryConsumeQueue: Handler = {
  code: RequestCode.QUERY_CONSUME_QUEUE,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const fields = request.extFields
    const topic = requiredText(fields, 'topic')
    const queueId = requiredInt(fields, 'queueId')
    const index = requiredLong(fields, 'index')
    const count = Math.min(unitsMax, requiredInt(fields, 'count'))
    const group = fields?.['consumerGroup'] ?? ''
    if (!hasQueue(topic, queueId, broker)) return systemError(`${queueId}@${topic} is not exist!`)
    const maxQueueIndex = broker.store.maxOffset(topic, queueId)
    const minQueueIndex = broker.store.minOffset(topic, queueId)
    if (index < minQueueIndex || index >= maxQueueIndex)
      return response(ResponseCode.SUCCESS, `Index ${index} of ${queueId}@${topic} is not exist!`)
    const subscription = broker.consumers.find(group)?.subscriptions.get(topic)
    const body = QueryConsumeQueueResponseBody.of({
      maxQueueIndex,
      minQueueIndex,
      queueData: await unitsFrom({ topic, queueId, index, count }, subscription, broker)
    })
    if (subscription !== undefined) {
      body.subscriptionData = subscriptionDataOf(subscription)
      body.filterData = filterText(group, subscription)
    } else if (group !== '') body.filterData = `${group}@${topic} is not online!`
    return success(QueryConsumeQueueResponseBody.encode(body))
  }
}

function hasQueue(topic: string, queueId: number, broker: BrokerContext): boolean {
  const settings = broker.topics.find(topic)
  const queues = settings === undefined ? 0 : queueCount(settings)
  return (queueId >= 0 && queueId < queues) || broker.store.queueIds(topic).includes(queueId)
}

/** The group's filter as JSON; `null` when it has none, or its expression does not compile. */
function filterText(group: string, subscription: Subscription): string {
  const { topic, expression, expressionType, version, filter } = subscription
  if (filter === null) return 'null'
  const data = {
    clientVersion: version,
    consumerGroup: group,
    expression,
    expressionType,
    topic
  }
  return JSON.stringify(data, null, '\t')
}

/** An expression over properties is not asked: the units do not hold them (the original says false too). */
function passesByTag(subscription: Subscription | undefined, tagsCode: number): boolean {
  if (subscription === undefined || !isTagType(subscription.expressionType)) return false
  return subscription.codes?.has(tagsCode) ?? true
}

async function unitsFrom(
  from: { topic: string; queueId: number; index: number; count: number },
  subscription: Subscription | undefined,
  broker: BrokerContext
): Promise<ConsumeQueueData[]> {
  const data: ConsumeQueueData[] = []
  while (data.length < from.count) {
    const offset = from.index + data.length
    const units = await broker.store.units(
      from.topic,
      from.queueId,
      offset,
      from.count - data.length
    )
    if (units.length === 0) break
    for (const unit of units)
      data.push({
        physicOffset: unit.physicalOffset,
        physicSize: unit.size,
        tagsCode: unit.tagsCode,
        eval: passesByTag(subscription, unit.tagsCode)
      })
  }
  return data
}
