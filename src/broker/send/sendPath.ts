import {
  CommandFlag,
  type Frame,
  isForbiddenForSending,
  MessageProperty,
  MessageSysFlag,
  offsetMessageId,
  type RemotingCommand,
  ResponseCode,
  SendHeader,
  SystemTopic,
  scanSendHeader,
  TopicPerm,
  Version
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { AppendFailure, MessageInput, TopicSettings } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { storedBytes } from '../stats/index.ts'
import { recallHandle } from '../timer/handle.ts'
import { type Timing, timeMessage } from '../timer/timedSend.ts'
import { queueCount } from '../topics/index.ts'
import { SendAnswers } from './answers.ts'
import { appendHalfPairs, isHalf } from './half.ts'
import { typeProblem } from './messageType.ts'
import { OpenSends } from './openSends.ts'
import { encodePair, PropertyScan } from './propertyScan.ts'
import type { StoredSend } from './storedSend.ts'
import { type SendOutcome, SendWaiter } from './waiters.ts'

const percent = 0x25
const hostBitsV6 = MessageSysFlag.bornHostV6 | MessageSysFlag.storeHostV6
const ipv6HostBytes = 20
const empty = Buffer.alloc(0)

/** Who sends, and where the message goes: decided by the checks before it. */
export interface SendTarget {
  /** Gets the answer. */
  connection: Connection
  /** The client as a stored message's born host. */
  bornHost: Buffer
  topic: TopicSettings
  /** Below 0: the broker chooses. */
  queueId: number
  /** A dead letter is not delayed, whatever its properties say. */
  ignoreDelay: boolean
}

/**
 * Single messages from the frame to the store and back to the client (broker.md 3.10). The hot way takes what needs nothing but
 * a look-up: a known, ordinary topic on the leader. Everything else is the general way's (sendHandler.ts), which ends in `put` too.
 */
export class SendPath implements SendOutcome {
  readonly answers: SendAnswers
  /** One scan for all sends, one after the other. */
  readonly properties = new PropertyScan()
  /** What may be repeated although it is stored. */
  readonly open: OpenSends
  readonly #broker: BrokerContext
  readonly #acceptsWrites: () => boolean
  readonly #header = new SendHeader()
  #brokerPairs: Buffer
  readonly #storeHostBit: number
  /** Reused: the store copies what it needs during the call. */
  readonly #message: MessageInput
  readonly #place = { topic: '', queueId: 0, storedQueueId: 0 }

  constructor(broker: BrokerContext, acceptsWrites: () => boolean) {
    this.#broker = broker
    this.#acceptsWrites = acceptsWrites
    this.answers = new SendAnswers(broker.config, broker.storeHost)
    this.open = new OpenSends({
      clock: broker.platform.clock,
      logger: broker.logger,
      store: broker.store,
      outcome: {
        answer: send => this.#answer(send),
        fail: (send, reason) => send.connection.respond(send, this.answers.failed(reason)),
        recallHandle: message => this.#handleOf(message)
      },
      windowMs: () => broker.config.values.sendRetryWindowMillis
    })
    this.#brokerPairs = brokerPairs(broker)
    broker.config.onChange(() => {
      this.#brokerPairs = brokerPairs(broker)
    })
    this.#storeHostBit = broker.storeHost.length === ipv6HostBytes ? MessageSysFlag.storeHostV6 : 0
    this.#message = {
      topic: '',
      queueId: 0,
      flag: 0,
      sysFlag: 0,
      bornTimestamp: 0,
      bornHost: empty,
      storeHost: broker.storeHost,
      reconsumeTimes: 0,
      preparedTransactionOffset: 0,
      body: empty,
      properties: empty
    }
  }

  /** What every stored message gets behind its own properties. */
  get brokerPairs(): Buffer {
    return this.#brokerPairs
  }

  /** The hot way of 10 and 310. False: the general way; nothing was done. */
  readonly takeFrame = (frame: Frame, connection: Connection): boolean => {
    const header = this.#header
    if (!this.#acceptsWrites() || !scanSendHeader(frame, header)) return false
    if (header.batch || (header.commandFlag & CommandFlag.response) !== 0) return false
    // %RETRY%, %DLQ%: checks of their own.
    if (header.topic.charCodeAt(0) === percent) return false
    const topic = this.#broker.topics.find(header.topic)
    if (topic === undefined || this.refusal(header, topic, connection.remoteAddress) !== null)
      return false
    const refused = this.put(header, frame.body, {
      connection,
      bornHost: connection.remoteHostBytes,
      topic,
      queueId: header.queueId,
      ignoreDelay: false
    })
    if (refused === 'notLeader') return false
    if (refused !== null)
      connection.respond(
        { opaque: header.opaque, flag: header.commandFlag, serializeType: header.serializeType },
        refused
      )
    return true
  }

  /** What forbids a send whose topic is known; null: nothing (broker.md 3.10, steps 2 to 5). */
  refusal(header: SendHeader, topic: TopicSettings, address: string): RemotingCommand | null {
    const { values, settings } = this.#broker.config
    if (
      values.startAcceptSendRequestTimeStamp > 0 &&
      this.#broker.platform.clock.wallMs() < values.startAcceptSendRequestTimeStamp
    ) {
      const until = new Date(values.startAcceptSendRequestTimeStamp).toISOString()
      return this.answers.error(
        ResponseCode.SYSTEM_ERROR,
        `broker unable to service, until ${until}`
      )
    }
    if (topic.order && (settings.permission & TopicPerm.write) === 0)
      return this.answers.error(
        ResponseCode.NO_PERMISSION,
        `the broker[${settings.publicHost}] sending message is forbidden`
      )
    if (isForbiddenForSending(header.topic)) return this.forbidden(header.topic)
    const queues = queueCount(topic)
    if (header.queueId >= queues || queues === 0)
      return this.answers.badParameter(
        header.version,
        `request queueId[${header.queueId}] is illegal, TopicConfig [topicName=${topic.topicName}, readQueueNums=${topic.readQueueNums}, writeQueueNums=${topic.writeQueueNums}, perm=${topic.perm}] Producer: ${address}`
      )
    return null
  }

  forbidden(topic: string): RemotingCommand {
    return this.answers.error(
      ResponseCode.NO_PERMISSION,
      `Sending message to topic[${topic}] is forbidden.`
    )
  }

  /**
   * Puts one checked message. Null: accepted, the answer follows when it is stored; else the answer, or 'notLeader': nothing was done.
   * Bytes of `header` and `body` are copied during the call.
   */
  put(header: SendHeader, body: Buffer, target: SendTarget): RemotingCommand | 'notLeader' | null {
    const { topic, bornHost } = target
    const { properties } = this
    if (this.open.size > 0 && this.open.take(header, body, target.connection)) return null
    if (body.length === 0 || body.length > this.#broker.config.values.maxMessageSize)
      return this.answers.illegal()
    if (
      !properties.scan(header.propertiesSource, header.propertiesAt, header.propertiesBytes) ||
      !properties.append(this.#brokerPairs)
    )
      return this.answers.illegal()
    if (this.#broker.config.values.enableTopicMessageTypeCheck && !target.ignoreDelay) {
      const problem = typeProblem(properties, topic)
      if (problem !== null) return this.answers.error(ResponseCode.MESSAGE_ILLEGAL, problem)
    }
    const half = isHalf(header, properties)
    if (half) {
      const refusal = this.#halfRefusal(header)
      if (refusal !== null) return refusal
    }
    const queueId = target.queueId >= 0 ? target.queueId : this.#anyQueue(topic)
    const message = this.#message
    message.topic = topic.topicName
    message.queueId = queueId
    let transactionId: string | null = null
    let recallHandle: string | null = null
    if (half) {
      transactionId = this.#half(topic.topicName, queueId)
      if (transactionId === null) return this.answers.illegal()
    } else if (properties.delayLevel > 0 && !target.ignoreDelay) {
      if (!this.#delay(topic.topicName, queueId)) return this.answers.illegal()
    } else if (properties.isTimer && !target.ignoreDelay) {
      const timing = this.#time(topic.topicName, queueId)
      if (timing.kind === 'tooLong') return this.answers.illegal()
      if (timing.kind === 'refused') return this.answers.error(timing.code, timing.remark)
      if (timing.kind === 'later' && header.version >= Version.V5_0_0) recallHandle = timing.handle
    }
    message.flag = header.flag
    message.sysFlag = this.sysFlagOf(header.sysFlag, topic, bornHost)
    message.bornTimestamp = header.bornTimestamp
    message.bornHost = bornHost
    message.reconsumeTimes = header.reconsumeTimes
    message.body = body
    message.properties = properties.stored
    const place = this.#place
    place.topic = message.topic
    place.queueId = queueId
    place.storedQueueId = message.queueId
    const waiter = new SendWaiter(this, target.connection, header, place, storedBytes(message))
    waiter.transactionId = transactionId
    waiter.recallHandle = recallHandle
    const refused = this.#broker.store.append(message, waiter)
    if (refused === null) return null
    return refused === 'notLeader' ? refused : this.answers.refused(refused, header.version)
  }

  #halfRefusal(header: SendHeader): RemotingCommand | null {
    const { values, settings } = this.#broker.config
    if (values.rejectTransactionMessage)
      return this.answers.error(
        ResponseCode.NO_PERMISSION,
        `the broker[${settings.publicHost}] sending transaction message is forbidden`
      )
    if (this.properties.isTimer)
      // The original loses it (broker.md 5.1): a commit at a later time is not what the sender asked for.
      return this.answers.error(
        ResponseCode.MESSAGE_ILLEGAL,
        'timer message illegal: a transactional message can not have a delivery time'
      )
    if (this.#broker.store.tables.transactions.size >= values.maxTransactionsInDoubt)
      return this.answers.refused('busy', header.version)
    return null
  }

  /**
   * Turns the message under construction into a half message (broker.md 5.4), which a DELAY does not divert. Its transaction's id, or ''; null: its
   * properties do not fit any more.
   */
  #half(topic: string, queueId: number): string | null {
    this.#message.topic = SystemTopic.TRANS_HALF
    this.#message.queueId = 0
    return appendHalfPairs(this.properties, realPlace(topic, queueId))
  }

  /** Turns the message under construction into a delayed one (broker.md 5.1). False: its properties do not fit any more. */
  #delay(topic: string, queueId: number): boolean {
    const levels = this.#broker.config.settings.delayLevelsMs.length
    if (levels === 0) return true
    const level = Math.min(this.properties.delayLevel, levels)
    this.#message.topic = SystemTopic.SCHEDULE
    this.#message.queueId = level - 1
    return this.properties.append(realPlace(topic, queueId))
  }

  /** Turns the message under construction into one that waits for the time that it names (broker.md 5.3), unless that is over. */
  #time(topic: string, queueId: number): Timing {
    const { config, store } = this.#broker
    const place = { topic, realPlace: realPlace(topic, queueId) }
    const timing = timeMessage(this.properties, place, config, store.timeMs())
    if (timing.kind !== 'later') return timing
    this.#message.topic = SystemTopic.TIMER
    this.#message.queueId = 0
    return timing
  }

  /** The bits that a broker sets: hosts' kinds and the topic's filter type; the transaction's are none (remoting.md 4.2). */
  sysFlagOf(sysFlag: number, topic: TopicSettings, bornHost: Buffer): number {
    const bornBit = bornHost.length === ipv6HostBytes ? MessageSysFlag.bornHostV6 : 0
    const tagsBit = topic.topicFilterType === 'MULTI_TAG' ? MessageSysFlag.multiTags : 0
    const kept = sysFlag & ~(hostBitsV6 | MessageSysFlag.transactionMask)
    return kept | bornBit | tagsBit | this.#storeHostBit
  }

  #anyQueue(topic: TopicSettings): number {
    return topic.writeQueueNums > 0 ? this.#broker.platform.random.below(topic.writeQueueNums) : 0
  }

  /** For the general way: leadership was lost between the check and the append. */
  notLeader(): NotLeaderError {
    return new NotLeaderError(this.#broker.store.status().leaderId)
  }

  stored(send: SendWaiter): void {
    this.#broker.stats.put(send.topic, send.storedQueueId, send.messages, send.bytes)
    if ((send.flag & CommandFlag.oneway) !== 0) return
    if (send.open !== null) this.open.stored(send.open)
    else if (send.connection.closed) this.open.unanswered(send)
    else this.#answer(send)
  }

  storedLate(send: SendWaiter): void {
    this.#broker.stats.put(send.topic, send.storedQueueId, send.messages, send.bytes)
    if (send.open !== null) this.open.stored(send.open)
  }

  #answer(send: SendWaiter): void {
    const { connection } = send
    if (send.recallHandle !== null) {
      connection.respond(send, this.#recallable(send, send.recallHandle))
      return
    }
    const { writer } = this.answers
    const room = connection.reserve(writer.bytesMax(send.messages))
    connection.commit(writer.write(room.buffer, room.offset, send))
  }

  #recallable(send: SendWaiter, recallHandle: string): RemotingCommand {
    return this.answers.answer(ResponseCode.SUCCESS, null, {
      msgId: offsetMessageId(this.#broker.storeHost, send.physicalOffset),
      queueId: String(send.queueId),
      queueOffset: String(send.queueOffset),
      recallHandle
    })
  }

  /** As the first answer had it. */
  #handleOf({ topic, key, dueMs }: StoredSend): string | null {
    const { brokerName } = this.#broker.config.settings
    return dueMs === null ? null : recallHandle({ topic, brokerName, dueMs, uniqueKey: key })
  }

  failed(send: SendWaiter, reason: AppendFailure): void {
    if (reason === 'timeout') this.open.tookTooLong()
    send.connection.respond(send, this.answers.failed(reason))
  }
}

/** What 5.3 adds to every message; its consumers trace only what has a region. */
function brokerPairs(broker: BrokerContext): Buffer {
  const { clusterName, regionId, traceOn } = broker.config.settings
  return Buffer.concat([
    encodePair(MessageProperty.CLUSTER, clusterName),
    encodePair(MessageProperty.MSG_REGION, regionId),
    encodePair(MessageProperty.TRACE_ON, traceOn)
  ])
}

/** The pairs that lead a delayed message back. */
function realPlace(topic: string, queueId: number): Buffer {
  return Buffer.concat([
    encodePair(MessageProperty.REAL_TOPIC, topic),
    encodePair(MessageProperty.REAL_QID, String(queueId))
  ])
}
