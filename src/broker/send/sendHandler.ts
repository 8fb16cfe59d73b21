import {
  isForbiddenForSending,
  RETRY_PREFIX,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SendHeader,
  sendHeaderFromCommand,
  TopicSysFlag,
  topicProblem,
  topicProblemText,
  Version
} from '../../protocol/index.ts'
import type { TopicSettings } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Caller, Handler } from '../dispatch/handler.ts'
import { LimitReachedError } from '../topics/index.ts'
import { putBatch } from './batch.ts'
import type { SendPath, SendTarget } from './sendPath.ts'

const unitBit = TopicSysFlag.unit
const empty = Buffer.alloc(0)

/**
 * SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320), the general way: new topics, retry topics, batches, forwarded
 * sends, refusals. Facts: remoting.md 2.3, broker.md 3.10.
 */
export function sendHandlers(path: SendPath): Handler[] {
  const codes = [
    RequestCode.SEND_MESSAGE,
    RequestCode.SEND_MESSAGE_V2,
    RequestCode.SEND_BATCH_MESSAGE
  ]
  return codes.map(code => ({
    code,
    needsLeader: true,
    handle: (request, caller, broker) => new GeneralSend(path, request, caller, broker).run()
  }))
}

/** One send on the general way; lives until the message is with the store. */
class GeneralSend {
  readonly #path: SendPath
  readonly #request: RemotingCommand
  readonly #caller: Caller
  readonly #broker: BrokerContext
  readonly #header = new SendHeader()

  constructor(path: SendPath, request: RemotingCommand, caller: Caller, broker: BrokerContext) {
    this.#path = path
    this.#request = request
    this.#caller = caller
    this.#broker = broker
    sendHeaderFromCommand(request, this.#header)
  }

  run(): RemotingCommand | null | Promise<RemotingCommand | null> {
    const header = this.#header
    const problem = topicProblem(header.topic)
    if (problem !== null)
      return this.#path.answers.badParameter(header.version, topicProblemText(problem))
    // Before it could be made.
    if (isForbiddenForSending(header.topic)) return this.#path.forbidden(header.topic)
    const topic = this.#broker.topics.find(header.topic)
    if (topic !== undefined && !header.topic.startsWith(RETRY_PREFIX)) return this.#put(topic)
    // What is awaited outlives this turn, the received bytes do not.
    if (this.#request.body !== null) this.#request.body = Buffer.from(this.#request.body)
    return this.#putLater(topic)
  }

  async #putLater(known: TopicSettings | undefined): Promise<RemotingCommand | null> {
    const header = this.#header
    const { answers } = this.#path
    try {
      if (header.topic.startsWith(RETRY_PREFIX)) return await this.#retry(known)
      const topic = await this.#broker.topics.createBySend(
        header.topic,
        header.defaultTopic,
        header.defaultTopicQueueNums,
        header.unitMode ? unitBit : 0
      )
      if (topic !== null) return this.#put(topic)
      return answers.error(
        ResponseCode.TOPIC_NOT_EXIST,
        `topic[${header.topic}] not exist, apply first please!`
      )
    } catch (error) {
      if (error instanceof LimitReachedError)
        return answers.error(ResponseCode.SYSTEM_ERROR, error.message)
      throw error
    }
  }

  /** A consumer sends a failed message itself (broker.md 3.10, step 6). */
  async #retry(known: TopicSettings | undefined): Promise<RemotingCommand | null> {
    const header = this.#header
    const { answers } = this.#path
    if (header.batch)
      return answers.error(
        ResponseCode.MESSAGE_ILLEGAL,
        `batch request does not support retry group ${header.topic}`
      )
    const groupName = header.topic.slice(RETRY_PREFIX.length)
    const group = this.#broker.groups.findOrDefault(groupName)
    if (group === undefined)
      return answers.error(
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
        `subscription group not exist, ${groupName}`
      )
    const topic = known ?? (await this.#broker.topics.ensureRetry(groupName, 1, header.unitMode))
    const max =
      header.version >= Version.V3_4_9 && header.maxReconsumeTimes !== null
        ? header.maxReconsumeTimes
        : group.retryMaxTimes
    // Orderly consumers before 5.1.4 count the last attempt one less than the others: the original knows them by their locks.
    const { tables } = this.#broker.store
    const atMax =
      header.version < Version.V5_0_0 || tables.hasLocks(groupName, this.#broker.store.timeMs())
    const dead = atMax ? header.reconsumeTimes >= max : header.reconsumeTimes > max
    if (!dead) return this.#put(topic)
    const refusal = this.#path.refusal(header, topic, this.#caller.address)
    if (refusal !== null) return refusal
    const deadLetters = await this.#broker.topics.ensureDeadLetter(groupName)
    return this.#finish(deadLetters, 0, true)
  }

  #put(topic: TopicSettings): RemotingCommand | null {
    const refusal = this.#path.refusal(this.#header, topic, this.#caller.address)
    return refusal ?? this.#finish(topic, this.#header.queueId, false)
  }

  #finish(topic: TopicSettings, queueId: number, ignoreDelay: boolean): RemotingCommand | null {
    const header = this.#header
    const body = this.#request.body ?? empty
    const { connection, hostBytes } = this.#caller
    const target: SendTarget = { connection, bornHost: hostBytes, topic, queueId, ignoreDelay }
    const refused = header.batch
      ? putBatch(this.#path, this.#broker, header, body, target)
      : this.#path.put(header, body, target)
    if (refused === 'notLeader') throw this.#path.notLeader()
    return refused
  }
}
