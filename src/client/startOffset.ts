import { RETRY_PREFIX, RequestCode } from '../protocol/index.ts'
import type { ConsumeFrom } from './consumerOptions.ts'
import type { ClientInstance } from './instance.ts'
import { offsetByTime, queueEdge } from './offsets.ts'
import type { MessageQueue } from './queue.ts'

/** Where a group begins in a queue for which it has no offset: remoting.md 2.7. */
export async function startOffset(
  instance: ClientInstance,
  queue: MessageQueue,
  from: ConsumeFrom
): Promise<number> {
  const isRetry = queue.topic.startsWith(RETRY_PREFIX)
  if (from === 'first' || (from === 'last' && isRetry)) return 0
  if (from === 'last' || isRetry) return queueEdge(instance, RequestCode.GET_MAX_OFFSET, queue)
  return offsetByTime(instance, queue, from.timestampMs)
}
