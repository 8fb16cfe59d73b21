import type { ReceivedMessage } from '../client/index.ts'
import { MessageProperty } from '../protocol/index.ts'
import { timeWithMillis } from './format.ts'
import { javaMapText } from './javaOrder.ts'

/** Bounds of the queue that a message was pulled from; the original's clients add them to its properties. */
export interface QueueBounds {
  readonly minOffset: number
  readonly maxOffset: number
}

function propertiesMapText(message: ReceivedMessage, bounds: QueueBounds | null): string {
  const properties = new Map(message.properties)
  if (bounds !== null) {
    properties.set(MessageProperty.MIN_OFFSET, String(bounds.minOffset))
    properties.set(MessageProperty.MAX_OFFSET, String(bounds.maxOffset))
  }
  return javaMapText(properties)
}

/** A whole message in one line, as RocketMQ's `toString` has it (mqadmin.md 6.5). */
export function messageText(message: ReceivedMessage, bounds: QueueBounds | null): string {
  return (
    `MessageExt [brokerName=${message.queue.brokerName}, queueId=${message.queue.queueId}, ` +
    `storeSize=${message.storeSizeBytes}, queueOffset=${message.queueOffset}, sysFlag=${message.sysFlag}, ` +
    `bornTimestamp=${message.bornTimestamp}, bornHost=/${message.bornHost}, ` +
    `storeTimestamp=${message.storeTimestamp}, storeHost=/${message.storeHost}, ` +
    `msgId=${message.offsetMessageId}, commitLogOffset=${message.commitLogOffset}, bodyCRC=${message.bodyCrc}, ` +
    `reconsumeTimes=${message.reconsumeTimes}, preparedTransactionOffset=${message.preparedTransactionOffset}, ` +
    `toString()=Message{topic='${message.topic}', flag=${message.flag}, ` +
    `properties=${propertiesMapText(message, bounds)}, body=[${[...message.body].map(signed).join(', ')}], ` +
    `transactionId='null'}]`
  )
}

/** Java's bytes are signed. */
function signed(byte: number): number {
  return byte > 127 ? byte - 256 : byte
}

/** The lines that the queries for one message print, without the body's path. */
export function messageLines(
  message: ReceivedMessage,
  bounds: QueueBounds | null
): readonly (readonly [string, string])[] {
  return [
    ['Topic:', message.topic],
    ['Tags:', `[${message.tag ?? 'null'}]`],
    ['Keys:', `[${message.properties.get(MessageProperty.KEYS) ?? 'null'}]`],
    ['Queue ID:', String(message.queue.queueId)],
    ['Queue Offset:', String(message.queueOffset)],
    ['CommitLog Offset:', String(message.commitLogOffset)],
    ['Reconsume Times:', String(message.reconsumeTimes)],
    ['Born Timestamp:', timeWithMillis(message.bornTimestamp)],
    ['Store Timestamp:', timeWithMillis(message.storeTimestamp)],
    ['Born Host:', message.bornHost],
    ['Store Host:', message.storeHost],
    ['System Flag:', String(message.sysFlag)],
    ['Properties:', propertiesMapText(message, bounds)]
  ]
}
