import {
  request as clientRequest,
  LanguageCode,
  optionalBoolean,
  optionalInt,
  optionalLong,
  type QueueTable,
  type RemotingCommand,
  RequestCode,
  ResetOffsetBody,
  ResetOffsetBodyForC,
  ResponseCode,
  requiredLong,
  requiredText,
  response,
  Version,
  versionName
} from '../../../protocol/index.ts'
import type { ConsumerOffset, TopicSettings } from '../../../store/index.ts'
import { readsByPop } from '../../assignment/index.ts'
import type { ClientInfo } from '../../clients/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Caller, Handler } from '../../dispatch/handler.ts'
import { queueCount } from '../../topics/index.ts'
import { success, systemError } from '../refusals.ts'

interface Reset {
  topic: TopicSettings
  group: string
  /** ms; -1 stands for the queue's end. */
  timestamp: number
  /** Also forwards: without it an offset only moves back. */
  force: boolean
}

/**
 * INVOKE_BROKER_TO_RESET_OFFSET (222): by time, or with `queueId` and `offset` (5.3) one queue to an offset (broker.md 4.5). The members
 * are told (220), stop, and commit what they are told; of a group that is not online 206 lets tools of 4.9 set the offsets themselves, and
 * for those of 5.x it is done here. With useServerSideResetOffset the broker does it for all, and tells the next pull.
 */
export const resetOffset: Handler = {
  code: RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
  needsLeader: true,
  async handle(request, caller, broker) {
    const fields = request.extFields
    const name = requiredText(fields, 'topic')
    const topic = broker.topics.find(name)
    if (topic === undefined) return noTopic(request, name)
    const reset: Reset = {
      topic,
      group: requiredText(fields, 'group'),
      timestamp: requiredLong(fields, 'timestamp'),
      force: optionalBoolean(fields, 'isForce') ?? false
    }
    await broker.store.flushOffsets()
    if (broker.config.values.useServerSideResetOffset)
      return await atBroker(request, reset, caller, broker)
    const queueId = optionalInt(fields, 'queueId') ?? -1
    const offset = optionalLong(fields, 'offset') ?? -1
    const table =
      queueId >= 0 && offset >= 0
        ? oneQueue(reset, queueId, offset, broker)
        : await byTime(reset, queueId, broker)
    if (!Array.isArray(table)) return table
    const isPop = readsByPop(broker, name, reset.group)
    const members = isPop ? [] : [...(broker.consumers.find(reset.group)?.members.values() ?? [])]
    const old = members.find(member => member.version < Version.V3_0_7_SNAPSHOT)
    if (old !== undefined)
      return systemError(
        `the client does not support this feature. version=${versionName(old.version)}`
      )
    if (members.length > 0) tellMembers(reset, table, members)
    else if (isPop || queueId >= 0 || request.version >= Version.V5_0_0)
      await storeOffsets(reset, table, broker)
    else
      return response(
        ResponseCode.CONSUMER_NOT_ONLINE,
        `Consumer not online, so can not reset offset, Group: ${reset.group} Topic: ${name} Timestamp: ${reset.timestamp}`
      )
    broker.logger.info('Consumer offsets reset', {
      group: reset.group,
      topic: name,
      timestamp: reset.timestamp,
      members: members.length,
      by: caller.address
    })
    return success(ResetOffsetBody.encode({ offsetTable: table }))
  }
}

/** As 5.3: whether anybody is online does not count, nor whether the offset moves forward. */
async function atBroker(
  request: RemotingCommand,
  reset: Reset,
  caller: Caller,
  broker: BrokerContext
): Promise<RemotingCommand> {
  const { topic, group, timestamp } = reset
  const { store } = broker
  const name = topic.topicName
  if (broker.groups.find(group) === undefined)
    return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} does not exist`)
  const queueId = optionalInt(request.extFields, 'queueId') ?? -1
  const offset = optionalLong(request.extFields, 'offset') ?? -1
  let table: QueueTable<number> = []
  if (queueId >= 0 && offset >= 0) {
    const one = oneQueue(reset, queueId, offset, broker)
    if (!Array.isArray(one)) return one
    table = one
  } else {
    const { brokerName } = broker.config.settings
    for (let id = 0; id < topic.readQueueNums; id++) {
      if (queueId >= 0 && id !== queueId) continue
      const target =
        timestamp < 0 ? store.maxOffset(name, id) : await store.offsetByTime(name, id, timestamp)
      table.push([{ brokerName, queueId: id, topic: name }, Math.max(0, target)])
    }
  }
  if (table.length === 0) return systemError('No queues to reset.')
  await broker.resets.put(
    group,
    name,
    table.map(([queue, target]) => ({ queueId: queue.queueId, offset: target }))
  )
  broker.holds.wake(name)
  broker.logger.info('Consumer offsets reset at the broker', {
    group,
    topic: name,
    timestamp,
    queues: table.length,
    by: caller.address
  })
  return success(ResetOffsetBody.encode({ offsetTable: table }))
}

function noTopic(request: RemotingCommand, topic: string): RemotingCommand {
  if (request.version >= Version.V5_0_0)
    return response(ResponseCode.TOPIC_NOT_EXIST, `Topic ${topic} does not exist`)
  return systemError(`[reset-offset] reset offset failed, no topic in this broker. topic=${topic}`)
}

function oneQueue(
  { topic, group }: Reset,
  queueId: number,
  offset: number,
  broker: BrokerContext
): QueueTable<number> | RemotingCommand {
  const min = broker.store.minOffset(topic.topicName, queueId)
  const max = broker.store.maxOffset(topic.topicName, queueId)
  if (queueId >= queueCount(topic))
    return systemError(`Queue ${queueId} of topic ${topic.topicName} does not exist`)
  if (broker.groups.find(group) === undefined)
    return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} does not exist`)
  if (offset < min || offset > max)
    return systemError(`Target offset ${offset} not in consume queue range [${min}-${max}]`)
  const { brokerName } = broker.config.settings
  return [[{ brokerName, queueId, topic: topic.topicName }, offset]]
}

/** `only`: this queue, -1 all that are written. */
async function byTime(
  reset: Reset,
  only: number,
  broker: BrokerContext
): Promise<QueueTable<number> | RemotingCommand> {
  const topic = reset.topic.topicName
  const { store } = broker
  const { brokerName } = broker.config.settings
  const table: QueueTable<number> = []
  for (let queueId = 0; queueId < reset.topic.writeQueueNums; queueId++) {
    if (only >= 0 && queueId !== only) continue
    const current = store.tables.consumerOffset(reset.group, topic, queueId)
    if (current < 0) return systemError(`THe consumer group <${reset.group}> not exist`)
    const target =
      reset.timestamp === -1
        ? store.maxOffset(topic, queueId)
        : Math.max(0, await store.offsetByTime(topic, queueId, reset.timestamp))
    table.push([{ brokerName, queueId, topic }, reset.force || target < current ? target : current])
  }
  return table
}

function tellMembers(
  reset: Reset,
  table: QueueTable<number>,
  members: readonly ClientInfo[]
): void {
  const fields = {
    topic: reset.topic.topicName,
    group: reset.group,
    timestamp: String(reset.timestamp),
    isForce: String(reset.force)
  }
  const body = ResetOffsetBody.encode({ offsetTable: table })
  const bodyForC = ResetOffsetBodyForC.encode({
    offsetTable: table.map(([queue, offset]) => ({ ...queue, offset }))
  })
  for (const member of members)
    member.connection.oneway(
      clientRequest(
        RequestCode.RESET_CONSUMER_CLIENT_OFFSET,
        fields,
        member.language === LanguageCode.CPP ? bodyForC : body
      )
    )
}

async function storeOffsets(
  reset: Reset,
  table: QueueTable<number>,
  broker: BrokerContext
): Promise<void> {
  const offsets: ConsumerOffset[] = table.map(([queue, offset]) => ({
    group: reset.group,
    topic: queue.topic,
    queueId: queue.queueId,
    offset
  }))
  await broker.store.execute({ type: 'setOffsets', offsets })
}
