import {
  ConsumerRunningInfo,
  GetConsumerStatusBody,
  OWN_VERSION,
  type ProcessQueueInfo,
  versionName
} from '../protocol/index.ts'
import { type ConsumeFrom, consumeFromName } from './consumerOptions.ts'
import type { TopicStats } from './consumeStats.ts'
import type { ConsumerGroup } from './group.ts'
import type { ClientInstance } from './instance.ts'
import type { ProcessQueue } from './processQueue.ts'
import type { MessageQueue } from './queue.ts'
import { type Subscription, subscriptionBody } from './subscription.ts'

const MIB = 1_048_576

/** What a consumer of either kind tells of itself. Offsets by the queue's full name. */
export interface RunningInfo {
  readonly instance: ClientInstance
  readonly group: string
  readonly consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY'
  readonly orderly: boolean
  readonly clustering: boolean
  readonly concurrency: number
  readonly consumeFrom: ConsumeFrom
  /** ms since 1970. */
  readonly startedMs: number
  readonly queues: readonly (readonly [MessageQueue, ProcessQueueInfo])[]
  readonly stats: ReadonlyMap<string, TopicStats>
  readonly subscriptions: readonly Subscription[]
}

/** The body of GET_CONSUMER_RUNNING_INFO's answer (307): remoting.md 3.3. */
export function runningInfoBody(info: RunningInfo): Buffer {
  return ConsumerRunningInfo.encode({
    mqPopTable: [],
    mqTable: info.queues.map(([queue, each]) => [queue, each]),
    properties: new Map([
      ['PROP_CLIENT_VERSION', versionName(OWN_VERSION)],
      ['PROP_CONSUMEORDERLY', String(info.orderly)],
      ['PROP_CONSUMER_START_TIMESTAMP', String(info.startedMs)],
      ['PROP_CONSUME_TYPE', info.consumeType],
      ['PROP_NAMESERVER_ADDR', info.instance.nameServers.addresses.join(';')],
      ['PROP_THREADPOOL_CORE_SIZE', String(info.concurrency)],
      ['consumeFromWhere', consumeFromName(info.consumeFrom)],
      ['consumerGroup', info.group],
      ['messageModel', info.clustering ? 'CLUSTERING' : 'BROADCASTING']
    ]),
    statusTable: new Map([...info.stats].map(([topic, each]) => [topic, each.body()])),
    subscriptionSet: info.subscriptions.map(subscriptionBody),
    userConsumerInfo: new Map()
  })
}

/** What a push consumer tells of itself. */
export function pushRunningInfo(group: ConsumerGroup, startedMs: number): RunningInfo {
  const { instance, options, offsets, queues, stats, subscriptions } = group
  const { clock } = instance.platform
  const shiftMs = clock.wallMs() - clock.monotonicMs()
  return {
    ...options,
    instance,
    consumeType: 'CONSUME_PASSIVELY',
    startedMs,
    queues: [...queues.values()].map(process => [
      process.queue,
      queueInfo(process, offsets.current(process.queue), shiftMs)
    ]),
    stats,
    subscriptions: [...subscriptions.values()]
  }
}

/** The body of GET_CONSUMER_STATUS_FROM_CLIENT's answer (221): offsets of one topic. */
export function consumerStatusBody(
  queues: readonly MessageQueue[],
  topic: string,
  offsetOf: (queue: MessageQueue) => number | null
): Buffer {
  const table: [MessageQueue, number][] = []
  for (const queue of queues) {
    const offset = offsetOf(queue)
    if (queue.topic === topic && offset !== null) table.push([queue, offset])
  }
  return GetConsumerStatusBody.encode({ consumerTable: new Map(), messageQueueTable: table })
}

function queueInfo(
  process: ProcessQueue,
  commitOffset: number | null,
  shiftMs: number
): ProcessQueueInfo {
  const wall = (monotonicMs: number): number =>
    Number.isFinite(monotonicMs) && monotonicMs > 0 ? Math.round(monotonicMs + shiftMs) : 0
  return {
    cachedMsgCount: process.count,
    cachedMsgMaxOffset: process.lastOffset ?? 0,
    cachedMsgMinOffset: process.firstOffset ?? 0,
    cachedMsgSizeInMiB: Math.floor(process.bytes / MIB),
    commitOffset: commitOffset ?? 0,
    droped: process.dropped,
    lastConsumeTimestamp: wall(process.lastConsumeMs),
    lastLockTimestamp: wall(process.lockedAtMs),
    lastPullTimestamp: wall(process.lastPullMs),
    locked: Number.isFinite(process.lockedAtMs),
    transactionMsgCount: 0,
    transactionMsgMaxOffset: 0,
    transactionMsgMinOffset: 0,
    tryUnlockTimes: 0
  }
}

/** A queue of which only the place is known. */
export function idleQueueInfo(commitOffset: number | null): ProcessQueueInfo {
  return {
    cachedMsgCount: 0,
    cachedMsgMaxOffset: 0,
    cachedMsgMinOffset: 0,
    cachedMsgSizeInMiB: 0,
    commitOffset: commitOffset ?? 0,
    droped: false,
    lastConsumeTimestamp: 0,
    lastLockTimestamp: 0,
    lastPullTimestamp: 0,
    locked: false,
    transactionMsgCount: 0,
    transactionMsgMaxOffset: 0,
    transactionMsgMinOffset: 0,
    tryUnlockTimes: 0
  }
}
