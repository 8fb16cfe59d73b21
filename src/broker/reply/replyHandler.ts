import {
  decodeProperties,
  hostText,
  isForbiddenForSending,
  MessageProperty,
  offsetMessageId,
  propertiesText,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  SendHeader,
  sendHeaderFromCommand,
  TopicSysFlag,
  topicProblem,
  topicProblemText
} from '../../protocol/index.ts'
import type { MessageInput, TopicSettings } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Caller, Handler } from '../dispatch/handler.ts'
import { PromiseWaiter, PropertyScan, type SendPath } from '../send/index.ts'
import { storedBytes } from '../stats/index.ts'
import { LimitReachedError } from '../topics/index.ts'
import { pushReply } from './push.ts'

const empty = Buffer.alloc(0)
/** Replies whose askers have not answered yet, and their bodies; a client that hangs may take 10 s. */
const waitingMax = 4_096
const waitingBytesMax = 64 * 1_048_576

/** What the replies under way take. */
interface Load {
  replies: number
  bytes: number
}

/** SEND_REPLY_MESSAGE (324) and its short form (325). Facts: remoting.md 2.3 (end), broker.md 5.5. */
export function replyHandlers(path: SendPath): Handler[] {
  const scan = new PropertyScan()
  const load: Load = { replies: 0, bytes: 0 }
  const codes = [RequestCode.SEND_REPLY_MESSAGE, RequestCode.SEND_REPLY_MESSAGE_V2]
  return codes.map(code => ({
    code,
    needsLeader: true,
    async handle(request, caller, broker) {
      const bytes = request.body?.length ?? 0
      if (load.replies >= waitingMax || load.bytes + bytes > waitingBytesMax)
        return path.answers.refused('busy', request.version)
      load.replies++
      load.bytes += bytes
      try {
        return await new Reply(path, scan, request, caller, broker).run()
      } finally {
        load.replies--
        load.bytes -= bytes
      }
    }
  }))
}

/** One reply: checked as a send, pushed to the client that asked, and stored for the record when the settings say so. */
class Reply {
  readonly #path: SendPath
  readonly #scan: PropertyScan
  readonly #caller: Caller
  readonly #broker: BrokerContext
  readonly #header = new SendHeader()
  readonly #body: Buffer

  constructor(
    path: SendPath,
    scan: PropertyScan,
    request: RemotingCommand,
    caller: Caller,
    broker: BrokerContext
  ) {
    this.#path = path
    this.#scan = scan
    this.#caller = caller
    this.#broker = broker
    sendHeaderFromCommand(request, this.#header)
    // It outlives this turn: the asker is awaited before the reply is stored.
    this.#body = request.body === null ? empty : Buffer.from(request.body)
  }

  async run(): Promise<RemotingCommand> {
    const topic = await this.#topic()
    if ('code' in topic) return topic
    const { answers } = this.#path
    const header = this.#header
    const refusal = this.#path.refusal(header, topic, this.#caller.address)
    if (refusal !== null) return refusal
    if (header.batch || this.#body.length > this.#broker.config.values.maxMessageSize)
      return answers.illegal()
    const queueId = header.queueId >= 0 ? header.queueId : this.#anyQueue(topic)
    const failure = await this.#push(queueId)
    const answer =
      failure === null
        ? answers.answer(ResponseCode.SUCCESS, null, { msgId: '0', queueId: '0', queueOffset: '0' })
        : answers.error(ResponseCode.SYSTEM_ERROR, failure)
    if (this.#broker.config.values.storeReplyMessageEnable) await this.#store(queueId, answer)
    return answer
  }

  async #topic(): Promise<TopicSettings | RemotingCommand> {
    const { topic, defaultTopic, defaultTopicQueueNums, unitMode, version } = this.#header
    const { answers } = this.#path
    const problem = topicProblem(topic)
    if (problem !== null) return answers.badParameter(version, topicProblemText(problem))
    if (isForbiddenForSending(topic)) return this.#path.forbidden(topic)
    try {
      const made = await this.#broker.topics.createBySend(
        topic,
        defaultTopic,
        defaultTopicQueueNums,
        unitMode ? TopicSysFlag.unit : 0
      )
      if (made !== null) return made
    } catch (error) {
      if (!(error instanceof LimitReachedError)) throw error
      return answers.error(ResponseCode.SYSTEM_ERROR, error.message)
    }
    return answers.error(
      ResponseCode.TOPIC_NOT_EXIST,
      `topic[${topic}] not exist, apply first please!`
    )
  }

  #anyQueue(topic: TopicSettings): number {
    return topic.writeQueueNums > 0 ? this.#broker.platform.random.below(topic.writeQueueNums) : 0
  }

  /** The remark of what went wrong; null: the asker has the reply. */
  async #push(queueId: number): Promise<string | null> {
    const properties = decodeProperties(this.#header.properties)
    const clientId = properties.get(MessageProperty.REPLY_TO_CLIENT)
    if (clientId === undefined)
      return `reply message properties[${MessageProperty.REPLY_TO_CLIENT}] is null`
    const fields = this.#pushFields(queueId, properties)
    switch (await pushReply(this.#broker, clientId, { fields, body: this.#body })) {
      case 'pushed':
        return null
      case 'failed':
        return `push reply message to ${clientId}fail.`
      case 'absent':
        return `push reply message fail, channel of <${clientId}> not found.`
    }
  }

  #pushFields(queueId: number, properties: Map<string, string>): Record<string, string> {
    const header = this.#header
    const { config, platform, address } = this.#broker
    const nowText = String(platform.clock.wallMs())
    properties.set(MessageProperty.PUSH_REPLY_TIME, nowText)
    const port = Number(address.slice(address.lastIndexOf(':') + 1))
    return {
      producerGroup: header.producerGroup,
      topic: header.topic,
      defaultTopic: header.defaultTopic,
      defaultTopicQueueNums: String(header.defaultTopicQueueNums),
      queueId: String(queueId),
      sysFlag: String(header.sysFlag),
      bornTimestamp: String(header.bornTimestamp),
      flag: String(header.flag),
      properties: propertiesText(properties),
      reconsumeTimes: String(header.reconsumeTimes),
      unitMode: String(header.unitMode),
      bornHost: this.#caller.address,
      storeHost: hostText({ address: config.settings.storeAddress, port }),
      storeTimestamp: nowText
    }
  }

  /** Under the topic of replies, whatever came of the push. A reply that is not stored is a line in the log only. */
  async #store(queueId: number, answer: RemotingCommand): Promise<void> {
    const { store, stats, storeHost, logger, config } = this.#broker
    const header = this.#header
    const { topic } = header
    const max = config.values.maxMessageSize
    const scan = this.#scan
    if (
      !scan.scan(header.propertiesSource, header.propertiesAt, header.propertiesBytes) ||
      this.#body.length === 0
    ) {
      logger.warn('Reply not stored: illegal', { topic, bytes: this.#body.length, max })
      return
    }
    const settings = this.#broker.topics.find(topic)
    const waiter = new PromiseWaiter()
    const message: MessageInput | null =
      settings === undefined
        ? null
        : {
            topic,
            queueId,
            flag: header.flag,
            sysFlag: this.#path.sysFlagOf(header.sysFlag, settings, this.#caller.hostBytes),
            bornTimestamp: header.bornTimestamp,
            bornHost: this.#caller.hostBytes,
            storeHost,
            reconsumeTimes: header.reconsumeTimes,
            preparedTransactionOffset: 0,
            body: this.#body,
            properties: scan.stored
          }
    const bytes = message === null ? 0 : storedBytes(message)
    const refused = message === null ? 'no topic' : store.append(message, waiter)
    const outcome = refused === null ? await waiter.outcome : { stored: false, reason: refused }
    if (!outcome.stored) {
      logger.warn('Reply not stored', { topic, ...outcome })
      return
    }
    stats.put(topic, queueId, 1, bytes)
    Object.assign(answer.extFields!, {
      msgId: offsetMessageId(storeHost, waiter.physicalOffset),
      queueId: String(queueId),
      queueOffset: String(waiter.queueOffset)
    })
  }
}
