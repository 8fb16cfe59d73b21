import {
  ConsumerRunningInfo,
  GetConsumerStatusBody,
  OWN_VERSION,
  type ProcessQueueInfo,
  versionName
} from '../protocol/index.ts'
import { consumeFromName } from './consumerOptions.ts'
import type { ConsumerGroup } from './group.ts'
import type { ProcessQueue } from './processQueue.ts'
import type { MessageQueue } from './queue.ts'
import { subscriptionBody } from './subscription.ts'

const MIB = 1_048_576

/** The body of GET_CONSUMER_RUNNING_INFO's answer (307): remoting.md 3.3. */
export function runningInfoBody(group: ConsumerGroup, startedMs: number): Buffer {
  const { instance, options, offsets, queues, stats, subscriptions } = group
  const { clock } = instance.platform
  const shiftMs = clock.wallMs() - clock.monotonicMs()
  return ConsumerRunningInfo.encode({
    mqPopTable: [],
    mqTable: [...queues.values()].map(process => [
      process.queue,
      queueInfo(process, offsets.current(process.queue), shiftMs)
    ]),
    properties: new Map([
      ['PROP_CLIENT_VERSION', versionName(OWN_VERSION)],
      ['PROP_CONSUMEORDERLY', String(options.orderly)],
      ['PROP_CONSUMER_START_TIMESTAMP', String(startedMs)],
      ['PROP_CONSUME_TYPE', 'CONSUME_PASSIVELY'],
      ['PROP_NAMESERVER_ADDR', instance.nameServers.addresses.join(';')],
      ['PROP_THREADPOOL_CORE_SIZE', String(options.concurrency)],
      ['consumeFromWhere', consumeFromName(options.consumeFrom)],
      ['consumerGroup', options.group],
      ['messageModel', options.clustering ? 'CLUSTERING' : 'BROADCASTING']
    ]),
    statusTable: new Map([...stats].map(([topic, each]) => [topic, each.body()])),
    subscriptionSet: [...subscriptions.values()].map(subscriptionBody),
    userConsumerInfo: new Map()
  })
}

/** The body of GET_CONSUMER_STATUS_FROM_CLIENT's answer (221): offsets of one topic. */
export function consumerStatusBody(group: ConsumerGroup, topic: string): Buffer {
  const table: [MessageQueue, number][] = []
  for (const { queue } of group.queues.values()) {
    const offset = group.offsets.current(queue)
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
