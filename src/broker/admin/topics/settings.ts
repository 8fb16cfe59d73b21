import {
  type RemotingCommand,
  ResponseCode,
  response,
  TopicConfig,
  type TopicFilterType,
  topicProblem,
  topicProblemText
} from '../../../protocol/index.ts'
import { QUEUE_ID_MAX, type TopicSettings } from '../../../store/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Caller } from '../../dispatch/handler.ts'
import { LimitReachedError } from '../../topics/index.ts'
import { type AttributeRules, alterAttributes, oneOf, wholeNumber } from '../attributes.ts'
import { invalidParameter, systemTopicText } from '../refusals.ts'

const permMax = 15
const messageTypes = ['NORMAL', 'FIFO', 'DELAY', 'TRANSACTION', 'UNSPECIFIED', 'MIXED']

/** Attributes of topics (remoting.md 3.2). Kinds of queues and of cleaning that are not kept here are refused, not promised. */
const attributeRules: AttributeRules = {
  'queue.type': oneOf(['SimpleCQ'], false),
  'cleanup.policy': oneOf(['DELETE'], false),
  'message.type': oneOf(messageTypes, true),
  'reserve.time': wholeNumber(-1, Number.MAX_SAFE_INTEGER)
}

/** What an operator wants of a topic; attributes as changes with a sign. */
export interface WantedTopic {
  topicName: string
  readQueueNums: number
  writeQueueNums: number
  perm: number
  topicFilterType: TopicFilterType
  topicSysFlag: number
  order: boolean
  attributeChanges: ReadonlyMap<string, string>
}

/** Why the topic cannot be made or changed so; null: it can. */
export function topicRefusal(
  request: RemotingCommand,
  wanted: WantedTopic,
  broker: BrokerContext
): RemotingCommand | null {
  const name = wanted.topicName
  const problem = topicProblem(name)
  if (problem !== null) return invalidParameter(request, topicProblemText(problem))
  if (broker.config.values.validateSystemTopicWhenUpdateTopic && broker.topics.isSystem(name))
    return invalidParameter(request, systemTopicText(name))
  const queues = [wanted.readQueueNums, wanted.writeQueueNums]
  if (queues.some(count => count < 0 || count > QUEUE_ID_MAX + 1))
    return invalidParameter(
      request,
      `topic[${name}] cannot have ${queues.join('/')} read/write queues: use 0 to ${QUEUE_ID_MAX + 1}`
    )
  if (
    wanted.attributeChanges.get('+message.type') === 'MIXED' &&
    !broker.config.values.enableMixedMessageType
  )
    return invalidParameter(request, 'MIXED message type is not supported.')
  if (wanted.perm < 0 || wanted.perm > permMax)
    return invalidParameter(
      request,
      `topic[${name}] cannot have perm ${wanted.perm}: use 2, 4 or 6`
    )
  return null
}

/** The topic as it shall be. Throws AttributeError. */
export function topicSettingsOf(
  wanted: WantedTopic,
  present: TopicSettings | undefined
): TopicSettings {
  const { attributeChanges, ...settings } = wanted
  const before = present === undefined ? undefined : (present.attributes ?? {})
  const attributes = alterAttributes(before, attributeChanges, attributeRules)
  return Object.keys(attributes).length === 0 ? settings : { ...settings, attributes }
}

/** Puts the topic into the log unless nothing changes (5.3). Rejects with LimitReachedError, NotLeaderError, StoreError. */
export async function putTopic(
  settings: TopicSettings,
  caller: Caller,
  broker: BrokerContext
): Promise<void> {
  const present = broker.topics.find(settings.topicName)
  if (present === undefined) {
    const topicsMax = broker.config.values.maxTopics
    if (broker.store.tables.topics.size >= topicsMax)
      throw new LimitReachedError(
        `topic[${settings.topicName}] was not made: maxTopics is ${topicsMax}`
      )
  } else if (sameTopic(present, settings)) return
  await broker.store.execute({ type: 'putTopic', topic: settings })
  broker.logger.info(present === undefined ? 'Topic made' : 'Topic changed', {
    topic: settings.topicName,
    readQueues: settings.readQueueNums,
    writeQueues: settings.writeQueueNums,
    perm: settings.perm,
    by: caller.address
  })
}

function sameTopic(a: TopicSettings, b: TopicSettings): boolean {
  return topicBody(a).equals(topicBody(b))
}

function topicBody(settings: TopicSettings): Buffer {
  return TopicConfig.encode(topicConfigOf(settings))
}

export function topicConfigOf(settings: TopicSettings): TopicConfig {
  const attributes = Object.entries(settings.attributes ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  return { ...settings, attributes: new Map(attributes) }
}

export function noSuchTopic(topic: string): RemotingCommand {
  return response(ResponseCode.TOPIC_NOT_EXIST, `No topic in this broker. topic: ${topic}`)
}
