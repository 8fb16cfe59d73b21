import {
  type ConsumerData,
  HeartbeatData,
  RequestCode,
  ResponseCode,
  response,
  retryTopic,
  type SubscriptionData
} from '../../protocol/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Caller, Handler } from '../dispatch/handler.ts'
import { type FilterCache, SQL92, SqlFilter } from '../filter/index.ts'
import { nameCharactersMax, type Registrant } from './clientInfo.ts'
import {
  isTagType,
  type Subscription,
  SubscriptionSyntaxError,
  tagSubscription
} from './subscription.ts'

/** A client with a thousand subscriptions sends some 200 KiB; what it says is kept as long as it is connected. */
const bodyBytesMax = 1_048_576

/**
 * HEART_BEAT (34): answered with 0, or 1 where a limit is reached. Facts: broker.md 4.6, remoting.md 2.6. Every member of the group hears heartbeats of its own;
 * what they make (groups, retry topics) the leader makes, and a client sends them to the leader too.
 */
export const heartbeat: Handler = {
  code: RequestCode.HEART_BEAT,
  needsLeader: false,
  async handle(request, caller, broker) {
    if ((request.body?.length ?? 0) > bodyBytesMax)
      return response(
        ResponseCode.SYSTEM_ERROR,
        `the heartbeat has ${request.body?.length} bytes, limit ${bodyBytesMax}`
      )
    const data = HeartbeatData.decode(request.body)
    if (data.clientID.length > nameCharactersMax)
      return response(
        ResponseCode.SYSTEM_ERROR,
        `the client id has ${data.clientID.length} characters, the limit is ${nameCharactersMax}`
      )
    const client = { clientId: data.clientID, language: request.language, version: request.version }
    let refused = 0
    for (const producer of data.producerDataSet)
      if (!broker.producers.register(producer.groupName, client, caller.connection)) refused++
    const taken: ConsumerData[] = []
    const rejectsPulls = broker.config.values.rejectPullConsumerEnable
    for (const consumer of data.consumerDataSet)
      if (rejectsPulls && consumer.consumeType === 'CONSUME_ACTIVELY') continue
      else if (takeConsumer(consumer, data.withoutSub, client, caller, broker)) taken.push(consumer)
      else refused++
    await Promise.all(taken.map(consumer => makeGroup(consumer, broker)))
    if (refused > 0) {
      broker.logger.warn('Heartbeat refused: a limit is reached', {
        clientId: data.clientID,
        address: caller.address,
        groups: refused
      })
      return response(
        ResponseCode.SYSTEM_ERROR,
        `${refused} groups of this heartbeat were refused: a limit of this broker is reached`
      )
    }
    return response(ResponseCode.SUCCESS)
  }
}

function takeConsumer(
  consumer: ConsumerData,
  withoutSub: boolean,
  client: Registrant,
  caller: Caller,
  broker: BrokerContext
): boolean {
  if (withoutSub && broker.consumers.touch(consumer.groupName, caller.connection)) return true
  const outcome = broker.consumers.register(
    {
      group: consumer.groupName,
      consumeType: consumer.consumeType,
      messageModel: consumer.messageModel,
      consumeFromWhere: consumer.consumeFromWhere,
      subscriptions: consumer.subscriptionDataSet.map(data => subscriptionOf(data, broker.filters))
    },
    client,
    caller.connection
  )
  return outcome !== 'refused'
}

/** As the client says it; the hashes are made here, so that they are right whatever the client's language. */
function subscriptionOf(data: SubscriptionData, filters: FilterCache): Subscription {
  const kept = {
    topic: data.topic,
    expression: data.subString,
    expressionType: data.expressionType,
    version: data.subVersion,
    classFilterMode: data.classFilterMode
  }
  if (data.classFilterMode) return { ...kept, tags: data.tagsSet, codes: null, filter: null }
  if (!isTagType(data.expressionType)) {
    const filter = data.expressionType === SQL92 ? filters.compile(data.subString) : null
    return { ...kept, tags: [], codes: null, filter: filter instanceof SqlFilter ? filter : null }
  }
  try {
    return tagSubscription(data.topic, data.subString, data.subVersion)
  } catch (error) {
    if (!(error instanceof SubscriptionSyntaxError)) throw error
    // Separators only: nothing carries such a tag.
    return { ...kept, tags: [], codes: new Set(), filter: null }
  }
}

async function makeGroup(consumer: ConsumerData, broker: BrokerContext): Promise<void> {
  const name = consumer.groupName
  if (!broker.isLeader() || !(broker.groups.find(name) || broker.groups.mayBeMade(name))) return
  try {
    const group = await broker.groups.ensure(name)
    if (broker.topics.find(retryTopic(name)) !== undefined) return
    await broker.topics.ensureRetry(name, Math.max(1, group.retryQueueNums), consumer.unitMode)
    // Tools find a group by its retry topic's route, as soon as its first member runs.
    await broker.registration.told()
  } catch (error) {
    // The next heartbeat tries again; a consumer can work without its retry topic until then.
    broker.logger.warn('Retry topic not made', {
      group: name,
      reason: error instanceof Error ? error.message : String(error)
    })
  }
}
