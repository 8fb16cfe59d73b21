import {
  popRetryTopic,
  type RemotingCommand,
  ResponseCode,
  response,
  TopicPerm
} from '../../protocol/index.ts'
import { POP_MESSAGES_MAX, type TopicSettings } from '../../store/index.ts'
import { isTagType, SubscriptionSyntaxError, tagSubscription } from '../clients/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { FilterSyntaxError, SQL92 } from '../filter/index.ts'
import type { PopRequest } from './popRequest.ts'

/** A pop that comes so much later than its client waits for it has nobody to answer, ms. */
const lateMs = 500
/** A retry topic's name is a directory's name. */
const topicBytesMax = 255

interface Asked {
  readonly group: string
  readonly topic: string
  readonly queueId: number
}

/** What PEEK, NOTIFICATION and POLLING_INFO check too, in the original's order. The answer that refuses, or the topic. */
export function checkRead(
  asked: Asked,
  broker: BrokerContext,
  remoteAddress: string,
  verb = 'peeking'
): RemotingCommand | TopicSettings {
  const { config, groups, topics } = broker
  if ((config.settings.permission & TopicPerm.read) === 0)
    return response(
      ResponseCode.NO_PERMISSION,
      `the broker[${config.settings.publicHost}] ${verb} message is forbidden`
    )
  return checkTopic(asked, topics.find(asked.topic), remoteAddress) ?? checkGroup()

  function checkGroup(): RemotingCommand | TopicSettings {
    const group = groups.findOrDefault(asked.group)
    if (group === undefined)
      return response(
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
        `subscription group [${asked.group}] does not exist`
      )
    if (!group.consumeEnable)
      return response(
        ResponseCode.NO_PERMISSION,
        `subscription group no permission, ${asked.group}`
      )
    return topics.find(asked.topic)!
  }
}

function checkTopic(
  { topic: name, queueId }: Asked,
  topic: TopicSettings | undefined,
  remoteAddress: string
): RemotingCommand | null {
  if (topic === undefined)
    return response(ResponseCode.TOPIC_NOT_EXIST, `topic[${name}] not exist, apply first please!`)
  if ((topic.perm & TopicPerm.read) === 0)
    return response(ResponseCode.NO_PERMISSION, `the topic[${name}] peeking message is forbidden`)
  if (queueId >= topic.readQueueNums)
    return response(
      ResponseCode.INVALID_PARAMETER,
      `queueId[${queueId}] is illegal, topic:[${name}] topicConfig.readQueueNums:[${topic.readQueueNums}] consumer:[${remoteAddress}]`
    )
  return null
}

/** Checks of POP_MESSAGE (broker.md 4.10); what passes them has its filter. The answer that refuses, or the topic. */
export function checkPop(pop: PopRequest, broker: BrokerContext): RemotingCommand | TopicSettings {
  const { config, platform } = broker
  const host = config.settings.publicHost
  if (platform.clock.wallMs() - pop.bornMs - pop.pollMs > lateMs)
    return response(
      ResponseCode.POLLING_TIMEOUT,
      `the broker[${host}] pop message is timeout too much`
    )
  if (pop.maxMessages > POP_MESSAGES_MAX)
    return response(
      ResponseCode.INVALID_PARAMETER,
      `the broker[${host}] pop message's num is greater than ${POP_MESSAGES_MAX}`
    )
  if (!config.values.timerWheelEnable)
    return response(
      ResponseCode.SYSTEM_ERROR,
      `the broker[${host}] pop message is forbidden because timerWheelEnable is false`
    )
  const invisible = checkInvisible(pop.invisibleMs, broker)
  if (invisible !== null) return invisible
  const checked = checkRead(pop, broker, pop.connection.remoteAddress, 'pop')
  if ('code' in checked) return checked
  const retryTopic = popRetryTopic(pop.topic, pop.group, config.values.enableRetryTopicV2)
  if (!pop.order && Buffer.byteLength(retryTopic) > topicBytesMax)
    return response(
      ResponseCode.INVALID_PARAMETER,
      `the name of the retry topic, ${retryTopic}, is longer than ${topicBytesMax} bytes`
    )
  return setFilter(pop, broker) ?? checked
}

/** The original writes a timer message, and gives nothing out when it may not wait that long. */
export function checkInvisible(invisibleMs: number, broker: BrokerContext): RemotingCommand | null {
  const longestMs = broker.config.values.timerMaxDelaySec * 1_000
  if (invisibleMs >= 0 && invisibleMs <= longestMs) return null
  return response(
    ResponseCode.INVALID_PARAMETER,
    `invisibleTime[${invisibleMs}] is illegal, it must be from 0 to ${longestMs} ms`
  )
}

function setFilter(pop: PopRequest, broker: BrokerContext): RemotingCommand | null {
  pop.tagHashes = null
  pop.filter = null
  if (pop.expression === null) return null
  if (!isTagType(pop.expressionType)) {
    const filter =
      pop.expressionType === SQL92
        ? broker.filters.compile(pop.expression)
        : new FilterSyntaxError('')
    if (filter instanceof FilterSyntaxError) return parseFailed()
    pop.filter = filter
    return null
  }
  try {
    pop.tagHashes = tagSubscription(pop.topic, pop.expression, 0).codes
    return null
  } catch (error) {
    if (error instanceof SubscriptionSyntaxError) return parseFailed()
    throw error
  }
}

function parseFailed(): RemotingCommand {
  return response(
    ResponseCode.SUBSCRIPTION_PARSE_FAILED,
    "parse the consumer's subscription failed"
  )
}
