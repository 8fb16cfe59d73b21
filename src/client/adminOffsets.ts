import {
  ConsumeMessageDirectlyResult,
  ConsumeStats,
  GetConsumerStatusBody,
  QueryConsumeTimeSpanBody,
  RequestCode,
  ResetOffsetBody
} from '../protocol/index.ts'
import type * as Answers from './adminAnswers.ts'
import { readBody } from './bodies.ts'
import type { ClientInstance } from './instance.ts'
import type { MessageQueue } from './queue.ts'

/** These ask all of a group's queues or a client: remoting.md 5.3. */
const SLOW_CALL_TIMEOUT_MS = 15_000

/** How far groups are, and how to change it: remoting.md 2.7, 2.13. */
export class OffsetAdmin {
  readonly #instance: ClientInstance

  constructor(instance: ClientInstance) {
    this.#instance = instance
  }

  /** GET_CONSUME_STATS (208): of one topic, or of all that the group has offsets in. */
  async consumeStats(
    broker: string,
    consumerGroup: string,
    topic: string | null = null
  ): Promise<Answers.ConsumeStats> {
    const answer = await this.#instance.caller.ask(
      broker,
      RequestCode.GET_CONSUME_STATS,
      { consumerGroup, topic: topic ?? '' },
      { timeoutMs: SLOW_CALL_TIMEOUT_MS }
    )
    return readBody(ConsumeStats, answer.body, broker)
  }

  /** QUERY_CONSUME_TIME_SPAN (303). */
  async timeSpans(broker: string, topic: string, group: string): Promise<Answers.QueueTimeSpan[]> {
    const code = RequestCode.QUERY_CONSUME_TIME_SPAN
    const answer = await this.#instance.caller.ask(broker, code, { topic, group })
    return readBody(QueryConsumeTimeSpanBody, answer.body, broker).consumeTimeSpanSet
  }

  /**
   * INVOKE_BROKER_TO_RESET_OFFSET (222): the offsets that the group has now. `timestamp` in ms since 1970, -1: the
   * end. Response code 206: the broker wants a member to be connected, `set` the offsets one by one instead.
   */
  async reset(
    broker: string,
    where: { topic: string; group: string; timestamp: number; isForce: boolean }
  ): Promise<Answers.QueueTable<number>> {
    const code = RequestCode.INVOKE_BROKER_TO_RESET_OFFSET
    const answer = await this.#instance.caller.ask(broker, code, {
      ...where,
      queueId: -1,
      offset: -1
    })
    return readBody(ResetOffsetBody, answer.body, broker).offsetTable
  }

  /** UPDATE_CONSUMER_OFFSET (15). */
  async set(
    broker: string,
    consumerGroup: string,
    queue: MessageQueue,
    commitOffset: number
  ): Promise<void> {
    const { topic, queueId } = queue
    const code = RequestCode.UPDATE_CONSUMER_OFFSET
    await this.#instance.caller.ask(broker, code, { consumerGroup, topic, queueId, commitOffset })
  }

  /** CLONE_GROUP_OFFSET (314): one topic's offsets from one group to another. */
  async clone(broker: string, srcGroup: string, destGroup: string, topic: string): Promise<void> {
    const code = RequestCode.CLONE_GROUP_OFFSET
    await this.#instance.caller.ask(broker, code, { srcGroup, destGroup, topic, offline: false })
  }

  /** INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223): what the members hold, by client id. */
  async consumerStatus(
    broker: string,
    topic: string,
    group: string,
    clientAddr: string | null = null
  ): Promise<ReadonlyMap<string, Answers.QueueTable<number>>> {
    const answer = await this.#instance.caller.ask(
      broker,
      RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS,
      { topic, group, clientAddr },
      { timeoutMs: SLOW_CALL_TIMEOUT_MS }
    )
    return readBody(GetConsumerStatusBody, answer.body, broker).consumerTable
  }

  /** GET_CONSUMER_RUNNING_INFO (307), as the member's own text: clients differ in what they write. */
  async runningInfoText(broker: string, consumerGroup: string, clientId: string): Promise<string> {
    const answer = await this.#instance.caller.ask(
      broker,
      RequestCode.GET_CONSUMER_RUNNING_INFO,
      { consumerGroup, clientId, jstackEnable: false },
      { timeoutMs: SLOW_CALL_TIMEOUT_MS }
    )
    return answer.body?.toString('utf8') ?? ''
  }

  /** CONSUME_MESSAGE_DIRECTLY (309): one member consumes the message with this offset id now. */
  async consumeDirectly(
    broker: string,
    consumerGroup: string,
    clientId: string,
    msgId: string
  ): Promise<Answers.ConsumeMessageDirectlyResult> {
    const answer = await this.#instance.caller.ask(
      broker,
      RequestCode.CONSUME_MESSAGE_DIRECTLY,
      { consumerGroup, clientId, msgId },
      { timeoutMs: SLOW_CALL_TIMEOUT_MS }
    )
    return readBody(ConsumeMessageDirectlyResult, answer.body, broker)
  }
}
