import { javaHashOfBytes } from '../protocol/index.ts'
import type { StoredMessageView } from './storedMessageView.ts'

export const SCHEDULE_TOPIC = 'SCHEDULE_TOPIC_XXXX'

/** What stands in the unit of a message: the hash of its tag, or when it is due (broker.md 3.3). Its properties must have been scanned. */
export function tagsCodeOf(
  message: StoredMessageView,
  queue: { readonly topic: string; readonly queueId: number },
  delayLevelsMs: readonly number[]
): number {
  if (queue.topic === SCHEDULE_TOPIC) {
    const level = Math.min(queue.queueId + 1, delayLevelsMs.length)
    return message.storeTimestamp + (delayLevelsMs[level - 1] ?? 0)
  }
  if (message.tagsStart === message.tagsEnd) return 0
  return javaHashOfBytes(message.bytes, message.tagsStart, message.tagsEnd)
}
