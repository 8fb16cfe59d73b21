/**
 * Texts of POP (remoting.md 2.5, grpc.md 6.2): what an answer says about its messages, and the handle that a client makes of it for each
 * message and gives back with an acknowledgement. Records are joined by `;`, fields by one blank.
 */
import { ProtocolError } from './errors.ts'
import { RETRY_PREFIX } from './names.ts'

/** Stands for the number of a revive queue in handles of pops in order. */
export const POP_ORDER_REVIVE_QUEUE = 999

/** From which topic a message came: itself, or the group's retry topic in the old or the new naming. */
export const RetryMark = { none: '0', v1: '1', v2: '2' } as const
export type RetryMark = (typeof RetryMark)[keyof typeof RetryMark]

/** Where messages of a topic wait that a group did not acknowledge in time; V1 names cannot be taken apart again. */
export function popRetryTopic(topic: string, group: string, v2: boolean): string {
  return `${RETRY_PREFIX}${group}${v2 ? '+' : '_'}${topic}`
}

export function retryMarkOf(topic: string): RetryMark {
  if (!topic.startsWith(RETRY_PREFIX)) return RetryMark.none
  return topic.includes('+') ? RetryMark.v2 : RetryMark.v1
}

/** The topic whose queue holds the message; throws ProtocolError for another mark. */
export function markedTopic(topic: string, group: string, mark: string): string {
  if (mark === RetryMark.none) return topic
  if (mark === RetryMark.v1 || mark === RetryMark.v2)
    return popRetryTopic(topic, group, mark === RetryMark.v2)
  throw new ProtocolError('LMQ_BAD_HEADER', `'${mark.slice(0, 20)}' is no mark of a retry topic`)
}

/** POP_CK: names one message in flight. */
export interface PopHandle {
  /** Where the pop began to read; with the pop time the name of its checkpoint. */
  startOffset: number
  /** ms since 1970, of the broker's clock. */
  popTime: number
  invisibleMs: number
  reviveQueueId: number
  mark: string
  brokerName: string
  queueId: number
  /** Absent in handles of old clients. */
  offset: number | null
}

export function encodePopHandle(handle: PopHandle & { offset: number }): string {
  const { startOffset, popTime, invisibleMs, reviveQueueId, mark, brokerName, queueId } = handle
  return `${startOffset} ${popTime} ${invisibleMs} ${reviveQueueId} ${mark} ${brokerName} ${queueId} ${handle.offset}`
}

/** Throws ProtocolError LMQ_BAD_HEADER. */
export function decodePopHandle(text: string): PopHandle {
  const fields = text.split(' ')
  const handle = {
    startOffset: whole(fields[0]),
    popTime: whole(fields[1]),
    invisibleMs: whole(fields[2]),
    reviveQueueId: whole(fields[3]),
    mark: fields[4] ?? RetryMark.none,
    brokerName: fields[5] ?? '',
    queueId: fields[6] === undefined ? 0 : whole(fields[6]),
    offset: fields[7] === undefined ? null : whole(fields[7])
  }
  const { startOffset, popTime, invisibleMs, reviveQueueId, queueId, offset } = handle
  const numbers = [startOffset, popTime, invisibleMs, reviveQueueId, queueId, offset ?? 0]
  if (numbers.every(Number.isSafeInteger)) return handle
  throw new ProtocolError('LMQ_BAD_HEADER', `'${text.slice(0, 80)}' is no handle of a pop`)
}

/** What an answer says about the messages of one queue. */
export interface PopQueueInfo {
  mark: string
  queueId: number
  startOffset: number
  /** In the order of the queue's messages in the body. */
  offsets: readonly number[]
}

export function startOffsetInfo(queues: readonly PopQueueInfo[]): string {
  return queues
    .map(({ mark, queueId, startOffset }) => `${mark} ${queueId} ${startOffset}`)
    .join(';')
}

export function msgOffsetInfo(queues: readonly PopQueueInfo[]): string {
  return queues
    .map(({ mark, queueId, offsets }) => `${mark} ${queueId} ${offsets.join(',')}`)
    .join(';')
}

/** Both texts of an answer taken together. Throws ProtocolError LMQ_BAD_HEADER. */
export function parsePopInfo(startOffsets: string, msgOffsets: string): PopQueueInfo[] {
  const starts = new Map(
    records(startOffsets).map(([mark, queueId, start]) => [`${mark} ${queueId}`, start])
  )
  return records(msgOffsets).map(([mark, queueId, list]) => {
    const start = starts.get(`${mark} ${queueId}`)
    const info = {
      mark: mark!,
      queueId: whole(queueId),
      startOffset: whole(start),
      offsets: (list ?? '').split(',').map(whole)
    }
    if ([info.queueId, info.startOffset, ...info.offsets].every(Number.isSafeInteger)) return info
    throw new ProtocolError('LMQ_BAD_HEADER', 'the offsets of a pop cannot be read')
  })
}

/** Deliveries before this one, by `mark qo<queue>%<offset>` or, as a minimum, by `mark queue`. */
export function parseOrderCounts(text: string): Map<string, number> {
  return new Map(records(text).map(([mark, key, count]) => [`${mark} ${key}`, whole(count)]))
}

function records(text: string): string[][] {
  return text === '' ? [] : text.split(';').map(record => record.split(' '))
}

function whole(text: string | undefined): number {
  return text !== undefined && /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN
}
