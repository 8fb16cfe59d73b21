import {
  decodeStoredMessage,
  encodeHost,
  encodeProperties,
  MessageProperty,
  MessageSysFlag,
  offsetMessageId,
  optionalBoolean,
  optionalInt,
  PROPERTIES_BYTES_MAX,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredLong,
  requiredText,
  response,
  type StoredMessage,
  SystemTopic,
  TopicPerm,
  Version
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { GroupSettings, MessageInput } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { PromiseWaiter } from '../send/index.ts'
import { storedBytes } from '../stats/index.ts'
import { queueCount } from '../topics/index.ts'

/** The first retry waits for this level: 10 s (broker.md 5.2). */
const firstRetryLevel = 3
const ipv6HostBytes = 20

interface SendBack {
  group: GroupSettings
  message: StoredMessage
  delayLevel: number
  maxReconsumeTimes: number
  unitMode: boolean
  /** Of commercial clients; for statistics. */
  owner: string | undefined
}

/** CONSUMER_SEND_MSG_BACK (36): a failed message is stored again, to come back later or never. Facts: broker.md 3.10, remoting.md 2.8. */
export const consumerSendBack: Handler = {
  code: RequestCode.CONSUMER_SEND_MSG_BACK,
  needsLeader: true,
  async handle(request, _caller, broker) {
    const fields = request.extFields
    const offset = requiredLong(fields, 'offset')
    const groupName = requiredText(fields, 'group')
    const delayLevel = requiredInt(fields, 'delayLevel')
    const group = broker.groups.findOrDefault(groupName)
    if (group === undefined)
      return response(
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
        `subscription group not exist, ${groupName}`
      )
    const { settings } = broker.config
    if ((settings.permission & TopicPerm.write) === 0)
      return response(
        ResponseCode.NO_PERMISSION,
        `the broker[${settings.publicHost}] sending message is forbidden`
      )
    if (group.retryQueueNums <= 0) return response(ResponseCode.SUCCESS)
    const bytes = await broker.store.messageAt(offset)
    if (bytes === null)
      return response(ResponseCode.SYSTEM_ERROR, `look message by offset failed, ${offset}`)
    const given =
      request.version >= Version.V3_4_9 ? optionalInt(fields, 'maxReconsumeTimes') : null
    return await putBack(broker, {
      group,
      message: decodeStoredMessage(bytes),
      delayLevel,
      maxReconsumeTimes: given ?? group.retryMaxTimes,
      unitMode: optionalBoolean(fields, 'unitMode') ?? false,
      owner: fields?.['Owner']
    })
  }
}

async function putBack(broker: BrokerContext, back: SendBack): Promise<RemotingCommand> {
  const { group, message } = back
  const retry = await broker.topics.ensureRetry(
    group.groupName,
    group.retryQueueNums,
    back.unitMode
  )
  if ((retry.perm & TopicPerm.write) === 0)
    return response(
      ResponseCode.NO_PERMISSION,
      `the topic[${retry.topicName}] sending message is forbidden`
    )
  const dead = message.reconsumeTimes >= back.maxReconsumeTimes || back.delayLevel < 0
  const target = dead ? await broker.topics.ensureDeadLetter(group.groupName) : retry
  // A group may have been given more retry queues since: what lies in one that the topic does not have, nobody reads.
  const queues = Math.min(group.retryQueueNums, Math.max(1, queueCount(retry)))
  const queueId = dead ? 0 : broker.platform.random.below(queues)
  const level = dead ? 0 : back.delayLevel || firstRetryLevel + message.reconsumeTimes
  const input = inputOf(broker, message, { topic: target.topicName, queueId }, level)
  if (input === null) return response(ResponseCode.SYSTEM_ERROR, 'PROPERTIES_SIZE_EXCEEDED')
  const waiter = new PromiseWaiter()
  const refused = broker.store.append(input, waiter)
  if (refused === 'notLeader') throw new NotLeaderError(broker.store.status().leaderId)
  if (refused !== null) return response(ResponseCode.SYSTEM_ERROR, refused)
  const outcome = await waiter.outcome
  if (!outcome.stored)
    // Clients then send the message themselves.
    return response(ResponseCode.SYSTEM_ERROR, `message not stored: ${outcome.reason}`)
  const origin = message.properties.get(MessageProperty.RETRY_TOPIC) ?? message.topic
  const { topic } = input
  broker.stats.sentBack(origin, group.groupName, {
    topic,
    queueId: input.queueId,
    bytes: storedBytes(input)
  })
  if (dead) broker.stats.sentToDeadLetters(origin, group.groupName, back.owner)
  return response(ResponseCode.SUCCESS)
}

/** The message as it is stored again; null: its properties have become too long. `level` 0: at once. */
function inputOf(
  broker: BrokerContext,
  message: StoredMessage,
  target: { topic: string; queueId: number },
  level: number
): MessageInput | null {
  const properties = new Map(message.properties)
  if (!properties.has(MessageProperty.RETRY_TOPIC))
    properties.set(MessageProperty.RETRY_TOPIC, message.topic)
  if (!properties.has(MessageProperty.ORIGIN_MESSAGE_ID)) {
    const storeHost = encodeHost(message.storeHost.address, message.storeHost.port)
    properties.set(
      MessageProperty.ORIGIN_MESSAGE_ID,
      offsetMessageId(storeHost, message.physicalOffset)
    )
  }
  const levels = broker.config.settings.delayLevelsMs.length
  const delayed = level > 0 && levels > 0
  const usedLevel = Math.min(level, levels)
  properties.set(MessageProperty.DELAY, String(usedLevel))
  properties.set(MessageProperty.WAIT, 'false')
  if (delayed) {
    properties.set(MessageProperty.REAL_TOPIC, target.topic)
    properties.set(MessageProperty.REAL_QID, String(target.queueId))
  }
  const encoded = encodeProperties(properties)
  if (encoded.length > PROPERTIES_BYTES_MAX) return null
  const bornHost = encodeHost(message.bornHost.address, message.bornHost.port)
  return {
    topic: delayed ? SystemTopic.SCHEDULE : target.topic,
    queueId: delayed ? usedLevel - 1 : target.queueId,
    flag: message.flag,
    sysFlag: hostBits(message.sysFlag, bornHost, broker.storeHost),
    bornTimestamp: message.bornTimestamp,
    bornHost,
    storeHost: broker.storeHost,
    reconsumeTimes: message.reconsumeTimes + 1,
    preparedTransactionOffset: 0,
    body: message.body,
    properties: encoded
  }
}

/** A sysFlag whose host bits say what the hosts are. */
export function hostBits(sysFlag: number, bornHost: Uint8Array, storeHost: Uint8Array): number {
  const plain = sysFlag & ~(MessageSysFlag.bornHostV6 | MessageSysFlag.storeHostV6)
  const born = bornHost.length === ipv6HostBytes ? MessageSysFlag.bornHostV6 : 0
  return plain | born | (storeHost.length === ipv6HostBytes ? MessageSysFlag.storeHostV6 : 0)
}
