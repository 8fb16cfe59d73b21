import { Namespace } from './namespace.ts'
import { type ClientOptions, checkGroup, positive, whole } from './options.ts'

/** A broker gives no more at once. */
const MESSAGES_MAX = 32

export interface PopConsumerOptions extends ClientOptions {
  group: string
  /** A message that was received and not acknowledged within this time is given out again. Default 60000. */
  invisibleMs?: number
  /** `receive` waits so long for a message. Default 5000. */
  waitMs?: number
  /** Messages of one `receive`, up to 32. Default 16. */
  messagesPerReceive?: number
  /** Where a group without offsets begins. `last`: at the end, but a young queue is read from its beginning. Default first. */
  popFrom?: 'first' | 'last'
  /** Each queue gives its next messages out only when those before are acknowledged or out of time. Default false. */
  orderly?: boolean
  /** While a broker group has no leader, calls are tried again for so long. Default 10000. */
  retryWithinMs?: number
}

export interface ResolvedPopOptions {
  readonly group: string
  readonly invisibleMs: number
  readonly waitMs: number
  readonly messagesPerReceive: number
  readonly popFrom: 'first' | 'last'
  readonly orderly: boolean
  readonly retryWithinMs: number
}

export function resolvePopOptions(options: PopConsumerOptions): ResolvedPopOptions {
  const group = new Namespace(options.namespace ?? '').full(options.group)
  checkGroup(group)
  return {
    group,
    invisibleMs: positive('invisibleMs', options.invisibleMs, 60_000),
    waitMs: whole('waitMs', options.waitMs, 5_000, 0),
    messagesPerReceive: Math.min(
      MESSAGES_MAX,
      whole('messagesPerReceive', options.messagesPerReceive, 16, 1)
    ),
    popFrom: options.popFrom ?? 'first',
    orderly: options.orderly ?? false,
    retryWithinMs: positive('retryWithinMs', options.retryWithinMs, 10_000)
  }
}
