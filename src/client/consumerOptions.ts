import type { ConsumeFromWhere } from '../protocol/index.ts'
import { type AllocationStrategy, averageAllocation } from './allocation.ts'
import { badArgument } from './errors.ts'
import type { MessageListener } from './listener.ts'
import { Namespace } from './namespace.ts'
import { type ClientOptions, checkGroup, positive, whole } from './options.ts'

/** Where a group starts in a queue for which it has no offset yet; a young queue is always read from its start (remoting.md 2.7). */
export type ConsumeFrom = 'last' | 'first' | { readonly timestampMs: number }

/** What a push consumer takes; wrong values are refused with BAD_ARGUMENT. */
export interface PushConsumerOptions extends ClientOptions {
  /** Members of a group share the messages of its topics, and must all have the same subscriptions. */
  group: string
  /** Gets the messages. */
  listener: MessageListener
  /** Each queue's messages one after the other, one listener call at a time. Default false. */
  orderly?: boolean
  /** Clustering: members share the messages. Broadcasting: each gets all. Default clustering. */
  messageModel?: 'clustering' | 'broadcasting'
  /** Default last. */
  consumeFrom?: ConsumeFrom
  /** How members divide the queues; must be the same for all of a group. Default averageAllocation. */
  allocation?: AllocationStrategy
  /** Listener calls at the same time, from 1 on. Default 20. */
  concurrency?: number
  /** Messages that one listener call gets at most, from 1 on. Default 1. */
  messagesPerCall?: number
  /** Messages that one pull asks for, from 1 on; brokers give fewer when they are large. Default 32. */
  messagesPerPull?: number
  /** Deliveries after the first until a message becomes a dead letter; -1: 16, orderly: without end. Default -1. */
  maxReconsumeTimes?: number
  /** A message that a listener holds for so long is sent back (concurrent, clustering); ms. Default 900000. */
  consumeTimeoutMs?: number
  /** The broker holds a pull for so long when there is no message; ms. Default 15000. */
  pullSuspendMs?: number
  /** Messages of one queue in memory above which it is not pulled. Default 1000. */
  queueMessagesMax?: number
  /** The same in bytes of body. Default 100 MiB. */
  queueBytesMax?: number
  /** Distance of first and last offset in memory, likewise (concurrent). Default 2000. */
  queueSpanMax?: number
  /** Offsets are stored this often; ms. Default 5000. */
  persistIntervalMs?: number
  /** Queues are divided anew this often; ms. Default 20000; membership changes rebalance at once. */
  rebalanceIntervalMs?: number
  /** `close` waits so long for running listeners, and so does a queue that goes to another member; ms, from 0 on. Default 10000. */
  closeTimeoutMs?: number
  /** Broadcasting: directory of the offset files; needed for that model, made when it is not there. */
  offsetDirectory?: string
}

export interface ResolvedConsumerOptions {
  readonly group: string
  readonly listener: MessageListener
  readonly orderly: boolean
  readonly clustering: boolean
  readonly consumeFrom: ConsumeFrom
  readonly allocation: AllocationStrategy
  readonly concurrency: number
  readonly messagesPerCall: number
  readonly messagesPerPull: number
  readonly maxReconsumeTimes: number
  readonly consumeTimeoutMs: number
  readonly pullSuspendMs: number
  readonly queueMessagesMax: number
  readonly queueBytesMax: number
  readonly queueSpanMax: number
  readonly persistIntervalMs: number
  readonly rebalanceIntervalMs: number
  readonly closeTimeoutMs: number
  readonly offsetDirectory: string | null
}

/** "For ever", as the original counts it. */
const UNLIMITED = 2_147_483_647
const RETRIES_DEFAULT = 16

export function resolveConsumerOptions(options: PushConsumerOptions): ResolvedConsumerOptions {
  const group = new Namespace(options.namespace ?? '').full(options.group)
  checkGroup(group)
  const orderly = options.orderly ?? false
  const clustering = options.messageModel !== 'broadcasting'
  if (!clustering && options.offsetDirectory === undefined) {
    throw badArgument('a broadcasting consumer needs an offsetDirectory for its offsets')
  }
  const retries = whole('maxReconsumeTimes', options.maxReconsumeTimes, -1, -1)
  return {
    group,
    listener: options.listener,
    orderly,
    clustering,
    consumeFrom: options.consumeFrom ?? 'last',
    allocation: options.allocation ?? averageAllocation,
    concurrency: whole('concurrency', options.concurrency, 20, 1),
    messagesPerCall: whole('messagesPerCall', options.messagesPerCall, 1, 1),
    messagesPerPull: whole('messagesPerPull', options.messagesPerPull, 32, 1),
    maxReconsumeTimes: retries === -1 ? (orderly ? UNLIMITED : RETRIES_DEFAULT) : retries,
    consumeTimeoutMs: positive('consumeTimeoutMs', options.consumeTimeoutMs, 900_000),
    pullSuspendMs: positive('pullSuspendMs', options.pullSuspendMs, 15_000),
    queueMessagesMax: whole('queueMessagesMax', options.queueMessagesMax, 1_000, 1),
    queueBytesMax: whole('queueBytesMax', options.queueBytesMax, 100 * 1_048_576, 1),
    queueSpanMax: whole('queueSpanMax', options.queueSpanMax, 2_000, 1),
    persistIntervalMs: positive('persistIntervalMs', options.persistIntervalMs, 5_000),
    rebalanceIntervalMs: positive('rebalanceIntervalMs', options.rebalanceIntervalMs, 20_000),
    closeTimeoutMs: whole('closeTimeoutMs', options.closeTimeoutMs, 10_000, 0),
    offsetDirectory: options.offsetDirectory ?? null
  }
}

/** The name that heartbeats carry. */
export function consumeFromName(from: ConsumeFrom): ConsumeFromWhere {
  if (from === 'last') return 'CONSUME_FROM_LAST_OFFSET'
  return from === 'first' ? 'CONSUME_FROM_FIRST_OFFSET' : 'CONSUME_FROM_TIMESTAMP'
}
