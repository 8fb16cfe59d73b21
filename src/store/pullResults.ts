/** Answers of pulls without messages: statuses and next offsets of broker.md 4.2. */
import type { ConsumeQueue } from './consumeQueue.ts'
import { type PullResult, PullStatus } from './pull.ts'

export function edgeStatus(queue: ConsumeQueue | undefined, offset: number): PullStatus | null {
  if (queue === undefined || queue.maxOffset === 0) return PullStatus.NO_MESSAGE_IN_QUEUE
  if (!Number.isSafeInteger(offset) || offset < queue.minOffset) return PullStatus.OFFSET_TOO_SMALL
  if (offset === queue.maxOffset) return PullStatus.OFFSET_OVERFLOW_ONE
  if (offset > queue.maxOffset) return PullStatus.OFFSET_OVERFLOW_BADLY
  return null
}

export function edgeResult(
  status: PullStatus,
  queue: ConsumeQueue | undefined,
  offset: number
): PullResult {
  switch (status) {
    case PullStatus.OFFSET_TOO_SMALL:
      return emptyResult(status, queue, queue?.minOffset ?? 0)
    case PullStatus.OFFSET_OVERFLOW_BADLY:
      return emptyResult(status, queue, queue?.maxOffset ?? 0)
    case PullStatus.OFFSET_OVERFLOW_ONE:
      return emptyResult(status, queue, offset)
    default:
      return emptyResult(status, queue, 0)
  }
}

export function emptyResult(
  status: PullStatus,
  queue: ConsumeQueue | undefined,
  nextBeginOffset: number
): PullResult {
  return {
    status,
    nextBeginOffset,
    minOffset: queue?.minOffset ?? 0,
    maxOffset: queue?.maxOffset ?? 0,
    chunks: [],
    bytes: 0,
    messageCount: 0,
    behindBytes: 0,
    lastStoreTimestamp: 0
  }
}
