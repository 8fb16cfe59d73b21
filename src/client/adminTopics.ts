import {
  ConsumerConnection,
  GetConsumerListByGroupResponseBody,
  GroupList,
  ProducerConnection,
  QueryConsumeQueueResponseBody,
  RequestCode,
  SubscriptionGroupConfig,
  SubscriptionGroupWrapper,
  TopicConfig,
  TopicConfigSerializeWrapper,
  TopicStatsTable
} from '../protocol/index.ts'
import type * as Answers from './adminAnswers.ts'
import { readBody } from './bodies.ts'
import { ClientError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import type { MessageQueue } from './queue.ts'
import { TEMPLATE_TOPIC } from './sendRequest.ts'

/** Topics, groups and who is connected, at single brokers: remoting.md 2.13, 2.14. */
export class TopicAdmin {
  readonly #instance: ClientInstance

  constructor(instance: ClientInstance) {
    this.#instance = instance
  }

  /** UPDATE_AND_CREATE_TOPIC (17); what is not given has RocketMQ's defaults (16 queues, perm 6). */
  async put(
    broker: string,
    given: Partial<Answers.TopicConfig> & { topicName: string }
  ): Promise<Answers.TopicConfig> {
    const config = TopicConfig.of(given)
    const attributes = [...config.attributes].map(([name, value]) =>
      /^[+-]/.test(name) ? (name.startsWith('+') ? `${name}=${value}` : name) : `+${name}=${value}`
    )
    await this.#instance.caller.ask(broker, RequestCode.UPDATE_AND_CREATE_TOPIC, {
      topic: config.topicName,
      defaultTopic: TEMPLATE_TOPIC,
      readQueueNums: config.readQueueNums,
      writeQueueNums: config.writeQueueNums,
      perm: config.perm,
      topicFilterType: config.topicFilterType,
      topicSysFlag: config.topicSysFlag,
      order: config.order,
      attributes: attributes.length === 0 ? null : attributes.join(',')
    })
    return config
  }

  /** DELETE_TOPIC_IN_BROKER (215). */
  async delete(broker: string, topic: string): Promise<void> {
    await this.#instance.caller.ask(broker, RequestCode.DELETE_TOPIC_IN_BROKER, { topic })
  }

  /** GET_ALL_TOPIC_CONFIG (21), by name. */
  async all(broker: string): Promise<ReadonlyMap<string, Answers.TopicConfig>> {
    const answer = await this.#instance.caller.ask(broker, RequestCode.GET_ALL_TOPIC_CONFIG)
    return readBody(TopicConfigSerializeWrapper, answer.body, broker).topicConfigTable
  }

  /** GET_TOPIC_STATS_INFO (202): offsets of the topic's queues at this broker. */
  async stats(broker: string, topic: string): Promise<Answers.TopicStatsTable> {
    const answer = await this.#instance.caller.ask(broker, RequestCode.GET_TOPIC_STATS_INFO, {
      topic
    })
    return readBody(TopicStatsTable, answer.body, broker)
  }

  /** QUERY_TOPIC_CONSUME_BY_WHO (300): groups that consume the topic or have an offset in it. */
  async consumerGroups(broker: string, topic: string): Promise<readonly string[]> {
    const answer = await this.#instance.caller.ask(broker, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, {
      topic
    })
    return readBody(GroupList, answer.body, broker).groupList
  }

  /** QUERY_CONSUME_QUEUE (321): entries of a consume queue from `index` on. */
  async consumeQueue(
    broker: string,
    queue: Pick<MessageQueue, 'topic' | 'queueId'>,
    range: { index: number; count: number },
    consumerGroup: string | null
  ): Promise<Answers.ConsumeQueuePart> {
    const { topic, queueId } = queue
    const code = RequestCode.QUERY_CONSUME_QUEUE
    const fields = { topic, queueId, ...range, consumerGroup }
    const answer = await this.#instance.caller.ask(broker, code, fields)
    if (answer.body === null && answer.remark !== null) {
      throw new ClientError('REFUSED', answer.remark, {
        responseCode: answer.code,
        address: broker
      })
    }
    return readBody(QueryConsumeQueueResponseBody, answer.body, broker)
  }

  /** UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200); what is not given has RocketMQ's defaults. */
  async putGroup(
    broker: string,
    given: Partial<Answers.SubscriptionGroupConfig> & { groupName: string }
  ): Promise<Answers.SubscriptionGroupConfig> {
    const config = SubscriptionGroupConfig.of(given)
    const body = SubscriptionGroupConfig.encode(config)
    const code = RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP
    await this.#instance.caller.ask(broker, code, {}, { body })
    return config
  }

  /** DELETE_SUBSCRIPTIONGROUP (207), with the group's offsets if `removeOffsets`. */
  async deleteGroup(broker: string, groupName: string, removeOffsets: boolean): Promise<void> {
    await this.#instance.caller.ask(broker, RequestCode.DELETE_SUBSCRIPTIONGROUP, {
      groupName,
      // 5.3 reads the first name, 4.9 the second.
      cleanOffset: removeOffsets,
      removeOffset: removeOffsets
    })
  }

  /** GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201), by name. */
  async groups(broker: string): Promise<ReadonlyMap<string, Answers.SubscriptionGroupConfig>> {
    const code = RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG
    const answer = await this.#instance.caller.ask(broker, code)
    return readBody(SubscriptionGroupWrapper, answer.body, broker).subscriptionGroupTable
  }

  /** GET_CONSUMER_LIST_BY_GROUP (38): client ids. */
  async consumerIds(broker: string, consumerGroup: string): Promise<readonly string[]> {
    const code = RequestCode.GET_CONSUMER_LIST_BY_GROUP
    const answer = await this.#instance.caller.ask(broker, code, { consumerGroup })
    return readBody(GetConsumerListByGroupResponseBody, answer.body, broker).consumerIdList
  }

  /** GET_CONSUMER_CONNECTION_LIST (203). Response code 206: no member is connected. */
  async consumerConnection(
    broker: string,
    consumerGroup: string
  ): Promise<Answers.ConsumerConnection> {
    const code = RequestCode.GET_CONSUMER_CONNECTION_LIST
    const answer = await this.#instance.caller.ask(broker, code, { consumerGroup })
    return readBody(ConsumerConnection, answer.body, broker)
  }

  /** GET_PRODUCER_CONNECTION_LIST (204). */
  async producerConnections(
    broker: string,
    producerGroup: string
  ): Promise<Answers.ClientConnection[]> {
    const code = RequestCode.GET_PRODUCER_CONNECTION_LIST
    const answer = await this.#instance.caller.ask(broker, code, { producerGroup })
    return readBody(ProducerConnection, answer.body, broker).connectionSet
  }
}
