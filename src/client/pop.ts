import {
  type BatchAck,
  BatchAckMessageRequestBody,
  decodePopHandle,
  encodePopHandle,
  MessageProperty,
  markedTopic,
  POP_ORDER_REVIVE_QUEUE,
  type PopQueueInfo,
  parseOrderCounts,
  parsePopInfo,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  retryMarkOf
} from '../protocol/index.ts'
import { field, numberField } from './caller.ts'
import { malformedAnswer, refused } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import type { ResolvedPopOptions } from './popConsumerOptions.ts'
import { type ReceivedMessage, readMessages } from './received.ts'
import type { Subscription } from './subscription.ts'

/** A call may take this much longer than the broker holds it. */
const ANSWER_MARGIN_MS = 15_000

/** A message that was popped. */
export interface PoppedMessage extends ReceivedMessage {
  /** Names this delivery: what `ack` and `changeInvisible` give back. */
  readonly handle: string
  /** From 1 on. */
  readonly deliveryAttempt: number
}

/** A topic on one broker group. */
export interface PopTarget {
  readonly topic: string
  readonly brokerName: string
}

export interface PopCall {
  readonly subscription: Subscription
  readonly maxMessages: number
  readonly invisibleMs: number
  readonly waitMs: number
  /** Orderly: names the attempt, so that a repeated one gets the same messages. */
  readonly attemptId: string
}

/** One POP_MESSAGE (200050) to the leader. Empty: nothing came in time. */
export async function pop(
  instance: ClientInstance,
  options: ResolvedPopOptions,
  target: PopTarget,
  call: PopCall
): Promise<PoppedMessage[]> {
  const address = await instance.leader(target.topic, target.brokerName)
  const answer = await instance.caller.call(
    address,
    RequestCode.POP_MESSAGE,
    {
      consumerGroup: options.group,
      topic: target.topic,
      queueId: -1,
      maxMsgNums: call.maxMessages,
      invisibleTime: call.invisibleMs,
      pollTime: call.waitMs,
      // The broker's own time counts: clocks differ.
      bornTime: 0,
      initMode: options.popFrom === 'first' ? 0 : 1,
      expType: call.subscription.expressionType,
      exp: call.subscription.expression,
      order: options.orderly,
      attemptId: options.orderly ? call.attemptId : null,
      bname: target.brokerName
    },
    { timeoutMs: call.waitMs + ANSWER_MARGIN_MS }
  )
  if (answer.code === ResponseCode.POLLING_TIMEOUT || answer.code === ResponseCode.PULL_NOT_FOUND)
    return []
  if (answer.code !== ResponseCode.SUCCESS) throw refused(address, answer.code, answer.remark)
  try {
    return readPopped(address, answer, target.brokerName)
  } catch (error) {
    throw malformedAnswer(address, error)
  }
}

function readPopped(address: string, answer: RemotingCommand, brokerName: string): PoppedMessage[] {
  const infos = parsePopInfo(
    field(address, answer, 'startOffsetInfo'),
    field(address, answer, 'msgOffsetInfo')
  )
  const counts = parseOrderCounts(answer.extFields?.['orderCountInfo'] ?? '')
  const common = {
    popTime: numberField(address, answer, 'popTime'),
    invisibleMs: numberField(address, answer, 'invisibleTime'),
    reviveQueueId: numberField(address, answer, 'reviveQid'),
    brokerName
  }
  return readMessages(answer.body, brokerName).map(message => {
    const handle =
      message.properties.get(MessageProperty.POP_CK) ?? ownHandle(message, infos, common)
    const { mark } = decodePopHandle(handle)
    const { queueId } = message.queue
    const before =
      common.reviveQueueId === POP_ORDER_REVIVE_QUEUE
        ? (counts.get(`${mark} qo${queueId}%${message.queueOffset}`) ?? 0)
        : message.reconsumeTimes
    return { ...message, handle, deliveryAttempt: before + 1 }
  })
}

function ownHandle(
  message: ReceivedMessage,
  infos: readonly PopQueueInfo[],
  common: { popTime: number; invisibleMs: number; reviveQueueId: number; brokerName: string }
): string {
  const { queueId, topic } = message.queue
  const offset = message.queueOffset
  const named = infos.filter(each => each.queueId === queueId && each.offsets.includes(offset))
  // A retry topic's queue has the same number and the same offsets; only retries that had no room for their handle hide their topic.
  const info = named.find(each => each.mark === retryMarkOf(topic)) ?? named[0]
  if (info === undefined) throw new Error(`nothing is said of queue ${queueId}, offset ${offset}`)
  const { mark, startOffset } = info
  return encodePopHandle({ ...common, mark, startOffset, queueId, offset })
}

/** NOTIFICATION (200054): resolves to whether there is something to pop, after `waitMs` at the latest. */
export async function popNotification(
  instance: ClientInstance,
  options: ResolvedPopOptions,
  target: PopTarget,
  waitMs: number
): Promise<boolean> {
  const address = await instance.leader(target.topic, target.brokerName)
  const answer = await instance.caller.ask(
    address,
    RequestCode.NOTIFICATION,
    {
      consumerGroup: options.group,
      topic: target.topic,
      queueId: -1,
      pollTime: waitMs,
      bornTime: 0,
      order: options.orderly,
      bname: target.brokerName
    },
    { timeoutMs: waitMs + ANSWER_MARGIN_MS }
  )
  return answer.extFields?.['hasMsg'] === 'true'
}

/** The topic of a popped message as servers know it: handles say only whether it is a retry topic. */
export interface Handled {
  readonly topic: string
  readonly handle: string
}

/** Messages of one broker group as BATCH_ACK_MESSAGE (200151) names them: one record for each pop and queue. */
export function batchAckBody(
  group: string,
  brokerName: string,
  messages: readonly Handled[]
): Buffer {
  const acks = new Map<string, BatchAck>()
  for (const { topic, handle } of messages) {
    const named = decodePopHandle(handle)
    const key = `${topic} ${handle.slice(0, handle.lastIndexOf(' '))}`
    const ack = acks.get(key) ?? {
      consumerGroup: group,
      topic,
      retry: named.mark,
      startOffset: named.startOffset,
      queueId: named.queueId,
      reviveQueueId: named.reviveQueueId,
      popTime: named.popTime,
      invisibleTime: named.invisibleMs,
      bits: Buffer.alloc(0)
    }
    ack.bits = withBit(ack.bits, (named.offset ?? named.startOffset) - named.startOffset)
    acks.set(key, ack)
  }
  return BatchAckMessageRequestBody.encode({ brokerName, acks: [...acks.values()] })
}

function withBit(bits: Buffer, i: number): Buffer {
  const wider = Buffer.alloc(Math.max(bits.length, (i >> 3) + 1))
  bits.copy(wider)
  wider[i >> 3]! |= 1 << (i & 7)
  return wider
}

/** CHANGE_MESSAGE_INVISIBLETIME (200053). Resolves to the handle that counts from now on. */
export async function changeInvisibleTime(
  instance: ClientInstance,
  group: string,
  { topic, handle }: Handled,
  invisibleMs: number
): Promise<string> {
  const named = decodePopHandle(handle)
  const { brokerName, queueId, mark } = named
  const offset = named.offset ?? named.startOffset
  const address = await instance.leader(topic, brokerName)
  const answer = await instance.caller.ask(
    address,
    RequestCode.CHANGE_MESSAGE_INVISIBLETIME,
    {
      consumerGroup: group,
      topic: markedTopic(topic, group, mark),
      queueId,
      offset,
      extraInfo: handle,
      invisibleTime: invisibleMs,
      bname: brokerName
    },
    {}
  )
  // In order, and acknowledged meanwhile: nothing is said.
  if (answer.extFields?.['popTime'] === undefined) return handle
  const reviveQueueId = numberField(address, answer, 'reviveQid')
  return encodePopHandle({
    ...named,
    startOffset: reviveQueueId === POP_ORDER_REVIVE_QUEUE ? named.startOffset : offset,
    popTime: numberField(address, answer, 'popTime'),
    invisibleMs: numberField(address, answer, 'invisibleTime'),
    reviveQueueId,
    offset
  })
}
