import {
  popRetryTopic,
  RequestCode,
  ResponseCode,
  requiredInt,
  requiredText,
  response
} from '../../protocol/index.ts'
import { PullStatus } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { checkRead } from './checks.ts'
import type { PopHolds } from './holds.ts'

/** One pop's worth; the original has no limit but the client's. */
const messagesMax = 32

interface Peeked {
  readonly chunks: Buffer[]
  count: number
  bytes: number
  restNum: number
}

/** PEEK_MESSAGE (200052): what a pop would find, without taking it (remoting.md 2.5). */
export const peekMessage: Handler = {
  code: RequestCode.PEEK_MESSAGE,
  needsLeader: true,
  repeatable: true,
  async handle(request, caller, broker) {
    const fields = request.extFields
    const asked = {
      group: requiredText(fields, 'consumerGroup'),
      topic: requiredText(fields, 'topic'),
      queueId: requiredInt(fields, 'queueId')
    }
    const maxMessages = Math.min(messagesMax, requiredInt(fields, 'maxMsgNums'))
    const topic = checkRead(asked, broker, caller.connection.remoteAddress)
    if ('code' in topic) return topic
    const { platform, config, topics } = broker
    const chance = platform.random.below(100)
    const retryFirst = chance % 5 === 0
    const retry = topics.find(
      popRetryTopic(asked.topic, asked.group, config.values.enableRetryTopicV2)
    )
    const queues: [string, number][] = []
    const addAll = (name: string, count: number): void => {
      for (let i = 0; i < count; i++) queues.push([name, (chance + i) % count])
    }
    if (retryFirst && retry !== undefined) addAll(retry.topicName, retry.readQueueNums)
    if (asked.queueId < 0) addAll(topic.topicName, topic.readQueueNums)
    else queues.push([topic.topicName, asked.queueId])
    if (!retryFirst && retry !== undefined) addAll(retry.topicName, retry.readQueueNums)
    const peeked: Peeked = { chunks: [], count: 0, bytes: 0, restNum: 0 }
    for (const [name, queueId] of queues)
      await peek(broker, asked.group, name, queueId, maxMessages, peeked)
    const restNum = { restNum: String(peeked.restNum) }
    if (peeked.count === 0)
      return response(ResponseCode.PULL_NOT_FOUND, PullStatus.NO_MESSAGE_IN_QUEUE, restNum)
    return response(ResponseCode.SUCCESS, PullStatus.FOUND, restNum, Buffer.concat(peeked.chunks))
  }
}

async function peek(
  broker: BrokerContext,
  group: string,
  topic: string,
  queueId: number,
  maxMessages: number,
  peeked: Peeked
): Promise<void> {
  const { store, stats, platform } = broker
  const startedMs = platform.clock.monotonicMs()
  const known = store.tables.consumerOffset(group, topic, queueId)
  let offset = known >= 0 ? known : store.minOffset(topic, queueId)
  peeked.restNum += Math.max(0, store.maxOffset(topic, queueId) - offset)
  const missing = maxMessages - peeked.count
  if (missing <= 0) return
  const pull = async (from: number) =>
    await store.pull({ topic, queueId, offset: from, maxMessages: missing, tagHashes: null })
  let result = await pull(offset)
  if (
    result.status === PullStatus.OFFSET_TOO_SMALL ||
    result.status === PullStatus.OFFSET_OVERFLOW_BADLY
  ) {
    offset = result.nextBeginOffset
    result = await pull(offset)
  }
  if (result.messageCount === 0) return
  // Views of the log's memory, good for this turn only.
  for (const chunk of result.chunks) peeked.chunks.push(Buffer.from(chunk))
  peeked.count += result.messageCount
  peeked.bytes += result.bytes
  stats.got(group, topic, queueId, {
    messages: result.messageCount,
    bytes: result.bytes,
    tookMs: platform.clock.monotonicMs() - startedMs,
    behindBytes: result.behindBytes,
    lastStoreMs: result.lastStoreTimestamp
  })
}

/** POLLING_INFO (200055): how many pops wait for this topic, group and queue. */
export function pollingInfo(holds: PopHolds): Handler {
  return {
    code: RequestCode.POLLING_INFO,
    needsLeader: true,
    repeatable: true,
    handle(request, caller, broker) {
      const fields = request.extFields
      const group = requiredText(fields, 'consumerGroup')
      const topic = requiredText(fields, 'topic')
      const queueId = requiredInt(fields, 'queueId')
      const checked = checkRead({ group, topic, queueId }, broker, caller.connection.remoteAddress)
      if ('code' in checked) return checked
      const waiting = holds.waitingOf(topic, group, queueId)
      return response(ResponseCode.SUCCESS, null, { pollingNum: String(waiting) })
    }
  }
}
