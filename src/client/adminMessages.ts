import { hostText, parseOffsetMessageId, RequestCode, ResponseCode } from '../protocol/index.ts'
import { NameServerAdmin } from './adminNameServer.ts'
import { numberField } from './caller.ts'
import { badArgument, ClientError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { offsetByTime, queueEdge } from './offsets.ts'
import { type PullResult, pull } from './pull.ts'
import type { MessageQueue } from './queue.ts'
import { type ReceivedMessage, readMessages } from './received.ts'
import { anyAddress, type TopicRoute } from './route.ts'
import { tagSubscription } from './subscription.ts'

/** remoting.md 5.3; queries by key may have to read much. */
const VIEW_TIMEOUT_MS = 6_000
const QUERY_TIMEOUT_MS = 18_000

/** The group that tools pull with; brokers have it from the start. */
export const TOOLS_GROUP = 'TOOLS_CONSUMER'

/** Which messages `byKey` looks for. */
export interface KeyQuery {
  readonly topic: string
  /** One of a message's keys, exactly. */
  readonly key: string
  /** Default 64. */
  readonly maxMessages?: number
  /** ms since 1970; default all times. */
  readonly beginMs?: number
  readonly endMs?: number
}

/** Looking at messages: remoting.md 2.12. */
export class MessageAdmin {
  readonly #instance: ClientInstance

  constructor(instance: ClientInstance) {
    this.#instance = instance
  }

  /**
   * The message of an offset message id. The id names the broker that stored it first; when that one cannot be
   * reached, the leaders are asked, since every member of a group has the same log.
   */
  async byOffsetId(offsetMessageId: string): Promise<ReceivedMessage> {
    const id = parseOffsetMessageId(offsetMessageId)
    if (id === null) throw badArgument(`"${offsetMessageId}" is not an offset message id`)
    try {
      return await this.#view(hostText(id.host), id.physicalOffset)
    } catch (error) {
      if (!(error instanceof ClientError) || error.code === 'REFUSED') throw error
      const message = await this.#viewElsewhere(offsetMessageId, id.physicalOffset)
      if (message === null) throw error
      return message
    }
  }

  async #viewElsewhere(id: string, physicalOffset: number): Promise<ReceivedMessage | null> {
    const { brokers } = await new NameServerAdmin(this.#instance).clusters()
    for (const broker of brokers.values()) {
      const address = anyAddress(broker)
      const message =
        address === null ? null : await this.#view(address, physicalOffset).catch(() => null)
      // Another group's log has other messages at the same place.
      if (message?.offsetMessageId === id.toUpperCase()) return message
    }
    return null
  }

  /** VIEW_MESSAGE_BY_ID (33). */
  async #view(address: string, physicalOffset: number): Promise<ReceivedMessage> {
    const answer = await this.#instance.caller.ask(
      address,
      RequestCode.VIEW_MESSAGE_BY_ID,
      { offset: physicalOffset },
      { timeoutMs: VIEW_TIMEOUT_MS }
    )
    const message = readMessages(answer.body, '')[0]
    if (message === undefined) {
      throw new ClientError('MALFORMED_ANSWER', `${address} sent no message`, { address })
    }
    return message
  }

  /** QUERY_MESSAGE (12) at each broker group of the topic, newest last. Empty when there is none. */
  async byKey(query: KeyQuery): Promise<ReceivedMessage[]> {
    const found = await this.#query(query, false)
    // The index holds hashes: look at the keys themselves.
    return found.filter(message => message.keys.includes(query.key))
  }

  /** The same by the id that the sender gave the message. */
  async byUniqueKey(topic: string, uniqueKey: string): Promise<ReceivedMessage[]> {
    const found = await this.#query({ topic, key: uniqueKey, maxMessages: 32 }, true)
    return found.filter(message => message.messageId === uniqueKey)
  }

  /** One pull in the tools' own group; `expression` are tags. */
  pull(
    queue: MessageQueue,
    offset: number,
    options: { maxMessages?: number; expression?: string } = {}
  ): Promise<PullResult> {
    return pull(this.#instance, {
      group: TOOLS_GROUP,
      queue,
      offset,
      maxMessages: options.maxMessages ?? 32,
      subscription: tagSubscription(
        queue.topic,
        options.expression ?? '*',
        Math.round(this.#instance.platform.clock.wallMs())
      ),
      suspendMs: 0,
      commitOffset: null,
      brokerId: 0
    })
  }

  /** GET_MIN_OFFSET (31). */
  minOffset(queue: MessageQueue): Promise<number> {
    return queueEdge(this.#instance, RequestCode.GET_MIN_OFFSET, queue)
  }

  /** GET_MAX_OFFSET (30): one behind the last message. */
  maxOffset(queue: MessageQueue): Promise<number> {
    return queueEdge(this.#instance, RequestCode.GET_MAX_OFFSET, queue)
  }

  /** SEARCH_OFFSET_BY_TIMESTAMP (29). */
  offsetByTime(queue: MessageQueue, timestampMs: number): Promise<number> {
    return offsetByTime(this.#instance, queue, timestampMs)
  }

  /** GET_EARLIEST_MSG_STORETIME (32): ms since 1970, -1 when the queue is empty. */
  async earliestStoreTime(queue: MessageQueue): Promise<number> {
    const address = await this.#instance.leader(queue.topic, queue.brokerName)
    const { topic, queueId } = queue
    const code = RequestCode.GET_EARLIEST_MSG_STORETIME
    const answer = await this.#instance.caller.ask(address, code, { topic, queueId })
    return numberField(address, answer, 'timestamp')
  }

  async #query(query: KeyQuery, unique: boolean): Promise<ReceivedMessage[]> {
    const route = await this.#route(query.topic)
    const asked = route.brokers.map(async broker => {
      const address = anyAddress(broker)
      if (address === null) return []
      const answer = await this.#instance.caller.call(
        address,
        RequestCode.QUERY_MESSAGE,
        {
          topic: query.topic,
          key: query.key,
          maxNum: query.maxMessages ?? 64,
          beginTimestamp: query.beginMs ?? 0,
          endTimestamp: query.endMs ?? Number.MAX_SAFE_INTEGER,
          _UNIQUE_KEY_QUERY: unique
        },
        { timeoutMs: QUERY_TIMEOUT_MS }
      )
      if (answer.code === ResponseCode.QUERY_NOT_FOUND) return []
      if (answer.code !== ResponseCode.SUCCESS) {
        throw new ClientError('REFUSED', answer.remark ?? `code ${answer.code}`, {
          responseCode: answer.code,
          address
        })
      }
      return readMessages(answer.body, broker.brokerName)
    })
    const found = (await Promise.all(asked)).flat()
    return found.sort((a, b) => a.storeTimestamp - b.storeTimestamp)
  }

  async #route(topic: string): Promise<TopicRoute> {
    const route = await this.#instance.routes.refresh(topic)
    if (route !== null) return route
    throw new ClientError('NO_ROUTE', `no name server knows the topic ${topic}`, {
      responseCode: ResponseCode.TOPIC_NOT_EXIST
    })
  }
}
