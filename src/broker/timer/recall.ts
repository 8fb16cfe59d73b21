import {
  decodeStoredMessage,
  MessageProperty,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  requiredText,
  response,
  SystemTopic,
  TopicPerm
} from '../../protocol/index.ts'
import type { TimerRef } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { parseRecallHandle, type RecallHandle } from './handle.ts'
import type { TimerService } from './timerService.ts'

const unavailable = 'recall failed, broker service not available'
/** Messages of one UNIQ_KEY: a producer that tried a send again may have made a few. */
const candidatesMax = 32

/**
 * RECALL_MESSAGE (370): a message that waits for its time is taken back. Facts: broker.md 5.3, remoting.md 2.12. The original writes a
 * tombstone that works when the time comes; here the message waits no more when the answer is given.
 */
export function recallMessage(timers: TimerService): Handler {
  return {
    code: RequestCode.RECALL_MESSAGE,
    needsLeader: true,
    async handle(request, _caller, broker) {
      const topic = requiredText(request.extFields, 'topic')
      const handle = checked(broker, topic, requiredText(request.extFields, 'recallHandle'))
      if ('code' in handle) return handle
      const waiting = await findWaiting(broker, handle)
      if (waiting === null)
        return response(
          ResponseCode.SYSTEM_ERROR,
          'recall failed, it cannot be read now, try again'
        )
      if (waiting.length > 0 && !(await timers.recall(waiting)))
        return response(ResponseCode.ILLEGAL_OPERATION, 'recall failed, timestamp invalid')
      return response(ResponseCode.SUCCESS, null, { msgId: handle.uniqueKey })
    }
  }
}

function checked(
  broker: BrokerContext,
  topic: string,
  text: string
): RecallHandle | RemotingCommand {
  const { values, settings } = broker.config
  const nowMs = broker.platform.clock.wallMs()
  if (!values.recallMessageEnable)
    return response(ResponseCode.NO_PERMISSION, 'recall failed, operation is forbidden')
  if (
    nowMs < values.startAcceptSendRequestTimeStamp ||
    ((settings.permission & TopicPerm.write) === 0 && !values.allowRecallWhenBrokerNotWriteable)
  )
    return response(ResponseCode.SERVICE_NOT_AVAILABLE, unavailable)
  if (broker.topics.find(topic) === undefined)
    return response(ResponseCode.TOPIC_NOT_EXIST, `recall failed, the topic[${topic}] not exist`)
  const handle = parseRecallHandle(text)
  if (handle === null) return illegal('recall handle is invalid')
  if (handle.topic !== topic) return illegal('recall failed, topic not match')
  if (handle.brokerName !== settings.brokerName) return illegal(unavailable)
  const leftMs = handle.dueMs - broker.store.timeMs()
  if (!(leftMs > 0 && leftMs <= values.timerMaxDelaySec * 1_000))
    return illegal('recall failed, timestamp invalid')
  return handle
}

function illegal(remark: string): RemotingCommand {
  return response(ResponseCode.ILLEGAL_OPERATION, remark)
}

/**
 * Messages of the timer topic with the handle's key, topic and time; whether they still wait is the service's to say. Null: one that
 * cannot be read may be among them.
 */
async function findWaiting(
  broker: BrokerContext,
  handle: RecallHandle
): Promise<TimerRef[] | null> {
  const { messages, unreadable } = await broker.store.query({
    topic: SystemTopic.TIMER,
    key: handle.uniqueKey,
    maxMessages: candidatesMax,
    beginTimestamp: 0,
    endTimestamp: Number.MAX_SAFE_INTEGER
  })
  if (unreadable > 0) return null
  return messages
    .map(bytes => decodeStoredMessage(bytes))
    .filter(
      ({ properties }) =>
        properties.get(MessageProperty.UNIQ_KEY) === handle.uniqueKey &&
        properties.get(MessageProperty.REAL_TOPIC) === handle.topic &&
        properties.get(MessageProperty.TIMER_DELIVER_MS) === String(handle.dueMs)
    )
    .map(({ physicalOffset }) => ({ dueMs: handle.dueMs, position: physicalOffset }))
}
