import { type AllocationStrategy, averageAllocation } from './allocation.ts'
import type { ConsumeFrom } from './consumerOptions.ts'
import { badArgument } from './errors.ts'
import { Namespace } from './namespace.ts'
import { type ClientOptions, checkGroup, positive, whole } from './options.ts'

/** What a pull consumer takes; wrong values are refused with BAD_ARGUMENT. */
export interface PullConsumerOptions extends ClientOptions {
  /** Offsets are stored for the group; members that subscribe share the queues. */
  group: string
  /** Clustering: members that subscribe share the queues, and offsets lie at the brokers. Broadcasting: each has all queues, and offsets of its own. Default clustering. */
  messageModel?: 'clustering' | 'broadcasting'
  /** Broadcasting: directory of the offset files; needed for that model, made when it is not there. */
  offsetDirectory?: string
  /** Messages that one pull asks for, from 1 on; brokers give fewer when they are large. Default 32. */
  messagesPerPull?: number
  /** The broker holds a pull of `poll` for so long when there is no message; ms. Default 20000. */
  pullSuspendMs?: number
  /** While a broker group has no leader, calls are tried again for so long; ms. Default 10000. */
  retryWithinMs?: number
  /** Where `poll` begins in a queue for which the group has no offset yet. Default first. */
  consumeFrom?: ConsumeFrom
  /** How members divide the queues of subscribed topics; must be the same for all of a group. Default averageAllocation. */
  allocation?: AllocationStrategy
  /** Positions are stored every `autoCommitIntervalMs`, when a queue goes to another member, and at `close`. Default false: `commit` stores them. */
  autoCommit?: boolean
  /** ms. Default 5000. */
  autoCommitIntervalMs?: number
  /** Queues are divided anew this often; ms. Default 20000; membership changes rebalance at once. */
  rebalanceIntervalMs?: number
}

export interface ResolvedPullOptions {
  readonly group: string
  readonly clustering: boolean
  readonly offsetDirectory: string | null
  readonly messagesPerPull: number
  readonly pullSuspendMs: number
  readonly retryWithinMs: number
  readonly consumeFrom: ConsumeFrom
  readonly allocation: AllocationStrategy
  readonly autoCommit: boolean
  readonly autoCommitIntervalMs: number
  readonly rebalanceIntervalMs: number
}

export function resolvePullOptions(options: PullConsumerOptions): ResolvedPullOptions {
  const group = new Namespace(options.namespace ?? '').full(options.group)
  checkGroup(group)
  const clustering = options.messageModel !== 'broadcasting'
  if (!clustering && options.offsetDirectory === undefined) {
    throw badArgument('a broadcasting consumer needs an offsetDirectory for its offsets')
  }
  return {
    group,
    clustering,
    offsetDirectory: options.offsetDirectory ?? null,
    messagesPerPull: whole('messagesPerPull', options.messagesPerPull, 32, 1),
    pullSuspendMs: positive('pullSuspendMs', options.pullSuspendMs, 20_000),
    retryWithinMs: positive('retryWithinMs', options.retryWithinMs, 10_000),
    consumeFrom: options.consumeFrom ?? 'first',
    allocation: options.allocation ?? averageAllocation,
    autoCommit: options.autoCommit ?? false,
    autoCommitIntervalMs: positive('autoCommitIntervalMs', options.autoCommitIntervalMs, 5_000),
    rebalanceIntervalMs: positive('rebalanceIntervalMs', options.rebalanceIntervalMs, 20_000)
  }
}
