import {
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  SerializeType
} from '../protocol/index.ts'
import { numberField } from './caller.ts'
import { refused } from './errors.ts'
import type { PreparedMessage } from './outgoing.ts'
import type { MessageQueue } from './queue.ts'

/** RocketMQ's words for how safely a message was stored when the broker answered. */
export type SendStatus =
  | 'SEND_OK'
  | 'FLUSH_DISK_TIMEOUT'
  | 'FLUSH_SLAVE_TIMEOUT'
  | 'SLAVE_NOT_AVAILABLE'

/** What became of a send. */
export interface SendResult {
  /** All four mean that the message is stored; only SEND_OK that it is as safe as the broker was told to make it. */
  readonly status: SendStatus
  /** The unique key that this client gave the message; joined by `,` for a batch. */
  readonly messageId: string
  /** The broker's id: address and position; joined by `,` for a batch. */
  readonly offsetMessageId: string
  readonly queue: MessageQueue
  /** Of the first message for a batch. */
  readonly queueOffset: number
  /** For a message that names a time: what `recall` takes it back by, where the broker allows that; else null. */
  readonly recallHandle: string | null
}

const STATUS: ReadonlyMap<number, SendStatus> = new Map([
  [ResponseCode.SUCCESS, 'SEND_OK'],
  [ResponseCode.FLUSH_DISK_TIMEOUT, 'FLUSH_DISK_TIMEOUT'],
  [ResponseCode.SLAVE_NOT_AVAILABLE, 'SLAVE_NOT_AVAILABLE'],
  [ResponseCode.FLUSH_SLAVE_TIMEOUT, 'FLUSH_SLAVE_TIMEOUT']
])

/** Template topic for topics that come to life with their first message. */
export const TEMPLATE_TOPIC = 'TBW102'

/** What is the same for every attempt of one send. */
export interface SendParts {
  readonly topic: string
  readonly uniqueKeys: string
  readonly body: Buffer
  readonly sysFlag: number
  readonly flag: number
  readonly propertiesText: string
  readonly batch: boolean
  /** An answer to a request: the broker pushes it to who asked. */
  readonly reply: boolean
  /** ms since 1970. */
  readonly bornTimestamp: number
  /** Set when a consumer sends a message to its group's retry topic (remoting.md 2.8). */
  readonly reconsumeTimes: number
  readonly maxReconsumeTimes: number | null
}

export function singleParts(message: PreparedMessage, bornTimestamp: number): SendParts {
  return {
    topic: message.topic,
    uniqueKeys: message.uniqueKey,
    body: message.body,
    sysFlag: message.sysFlag,
    flag: message.flag,
    propertiesText: message.propertiesText,
    batch: false,
    reply: false,
    bornTimestamp,
    reconsumeTimes: 0,
    maxReconsumeTimes: null
  }
}

/** SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320) or SEND_REPLY_MESSAGE_V2 (325) with the one-letter header names of remoting.md 2.3. */
export function sendCommand(
  parts: SendParts,
  sender: { group: string; newTopicQueues: number; binaryHeaders: boolean },
  queue: MessageQueue
): RemotingCommand {
  const fields: Record<string, string> = {
    a: sender.group,
    b: parts.topic,
    c: TEMPLATE_TOPIC,
    d: String(sender.newTopicQueues),
    e: String(queue.queueId),
    f: String(parts.sysFlag),
    g: String(parts.bornTimestamp),
    h: String(parts.flag),
    i: parts.propertiesText,
    j: String(parts.reconsumeTimes),
    k: 'false',
    m: String(parts.batch),
    n: queue.brokerName
  }
  if (parts.maxReconsumeTimes !== null) fields['l'] = String(parts.maxReconsumeTimes)
  const single = parts.reply ? RequestCode.SEND_REPLY_MESSAGE_V2 : RequestCode.SEND_MESSAGE_V2
  const code = parts.batch ? RequestCode.SEND_BATCH_MESSAGE : single
  const command = request(code, fields, parts.body)
  command.serializeType = sender.binaryHeaders ? SerializeType.ROCKETMQ : SerializeType.JSON
  return command
}

/** Throws REFUSED for a code that does not mean "stored". */
export function readSendAnswer(
  address: string,
  answer: RemotingCommand,
  parts: SendParts,
  queue: MessageQueue
): SendResult {
  const status = STATUS.get(answer.code)
  if (status === undefined) throw refused(address, answer.code, answer.remark)
  return {
    status,
    messageId: parts.uniqueKeys,
    offsetMessageId: answer.extFields?.['msgId'] ?? '',
    queue: { ...queue, queueId: numberField(address, answer, 'queueId') },
    queueOffset: numberField(address, answer, 'queueOffset'),
    recallHandle: answer.extFields?.['recallHandle'] ?? null
  }
}

/** Whether the broker wants sends traced, and the region that records of them name. */
export function answerRegion(answer: RemotingCommand): {
  regionId: string | null
  traceOn: boolean
} {
  const fields = answer.extFields ?? {}
  return { regionId: fields['MSG_REGION'] ?? null, traceOn: fields['TRACE_ON'] !== 'false' }
}
