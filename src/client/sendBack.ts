import {
  COMPRESS_BODY_OVER_BYTES,
  COMPRESSED_SYS_FLAG,
  compressBody,
  MessageProperty,
  propertiesText,
  RequestCode,
  retryTopic
} from '../protocol/index.ts'
import { asError } from './errors.ts'
import type { ConsumerGroup } from './group.ts'
import type { ReceivedMessage } from './received.ts'
import type { Sender } from './sender.ts'
import { roundRobin } from './sender.ts'

/** remoting.md 2.8 */
const SEND_BACK_TIMEOUT_MS = 5_000
/** Delay level of the first retry; each further one is a level higher (broker.md 5.2). */
const FIRST_RETRY_LEVEL = 3

/** Properties of this delivery only, which must not travel with the message. */
const NOT_SENT: ReadonlySet<string> = new Set([
  MessageProperty.MIN_OFFSET,
  MessageProperty.MAX_OFFSET,
  MessageProperty.CONSUME_START_TIME,
  MessageProperty.REAL_TOPIC,
  MessageProperty.REAL_QID
])

/**
 * Gives a message back for a later delivery: the broker copies it to the retry topic (36); when it cannot, the client
 * sends the copy itself. False when neither worked.
 */
export async function sendBack(
  group: ConsumerGroup,
  sender: Sender,
  message: ReceivedMessage,
  delayLevel: number
): Promise<boolean> {
  const { instance, options } = group
  const { brokerName } = message.queue
  try {
    const address = await instance.leader(message.queue.topic, brokerName)
    await instance.caller.ask(
      address,
      RequestCode.CONSUMER_SEND_MSG_BACK,
      {
        offset: message.commitLogOffset,
        group: options.group,
        delayLevel,
        originMsgId: message.messageId,
        originTopic: message.topic,
        unitMode: false,
        maxReconsumeTimes: options.maxReconsumeTimes,
        bname: brokerName
      },
      { timeoutMs: SEND_BACK_TIMEOUT_MS }
    )
    return true
  } catch (error) {
    instance.logger.info('A message could not be sent back, it is sent as a copy', {
      group: options.group,
      messageId: message.messageId,
      error: asError(error).message
    })
  }
  return sendRetryCopy(group, sender, message, delayLevel)
}

/** Sends the message to the group's retry topic by 310; the broker makes a dead letter of it when it came too often. */
export async function sendRetryCopy(
  group: ConsumerGroup,
  sender: Sender,
  message: ReceivedMessage,
  delayLevel = 0
): Promise<boolean> {
  const { instance, options } = group
  const properties = new Map([...message.properties].filter(([name]) => !NOT_SENT.has(name)))
  const originId = properties.get(MessageProperty.ORIGIN_MESSAGE_ID) ?? message.offsetMessageId
  const level = delayLevel === 0 ? FIRST_RETRY_LEVEL + message.reconsumeTimes : delayLevel
  // A level below 0 asks for the dead letter queue, which the broker chooses by the number of deliveries.
  const reconsumeTimes = delayLevel < 0 ? options.maxReconsumeTimes + 1 : message.reconsumeTimes + 1
  properties.set(MessageProperty.RETRY_TOPIC, message.topic)
  properties.set(MessageProperty.ORIGIN_MESSAGE_ID, originId)
  properties.set(MessageProperty.DELAY, String(Math.max(level, 1)))
  properties.set(MessageProperty.WAIT, 'true')
  const compress = message.body.length >= COMPRESS_BODY_OVER_BYTES && message.undecoded === null
  const compressedAsIs = message.undecoded === null ? 0 : message.sysFlag & 0x701
  try {
    await sender.send(
      {
        topic: retryTopic(options.group),
        uniqueKeys: message.messageId,
        body: compress ? compressBody(message.body) : message.body,
        sysFlag: compress ? COMPRESSED_SYS_FLAG : compressedAsIs,
        flag: message.flag,
        propertiesText: propertiesText(properties),
        batch: false,
        reply: false,
        bornTimestamp: instance.platform.clock.wallMs(),
        reconsumeTimes,
        maxReconsumeTimes: options.maxReconsumeTimes
      },
      roundRobin(0)
    )
    return true
  } catch (error) {
    instance.logger.warn('A message could neither be sent back nor copied, it stays here', {
      group: options.group,
      messageId: message.messageId,
      error: asError(error).message
    })
    return false
  }
}
