import { OWN_VERSION, versionName } from '../protocol/index.ts'
import { consumeFromName } from './consumerOptions.ts'
import type { ConsumerGroup } from './group.ts'
import type { ProcessQueue } from './processQueue.ts'
import { type MessageQueue, queueKey } from './queue.ts'
import { subscriptionBody } from './subscription.ts'

const MIB = 1_048_576

/** The body of GET_CONSUMER_RUNNING_INFO's answer (307): remoting.md 3.3. Queues are written as bare object keys. */
export function runningInfoText(group: ConsumerGroup, startedMs: number): string {
  const { instance, options, offsets, queues, stats, subscriptions } = group
  const { clock } = instance.platform
  const shiftMs = clock.wallMs() - clock.monotonicMs()
  const properties = {
    PROP_CLIENT_VERSION: versionName(OWN_VERSION),
    PROP_CONSUMEORDERLY: String(options.orderly),
    PROP_CONSUMER_START_TIMESTAMP: String(startedMs),
    PROP_CONSUME_TYPE: 'CONSUME_PASSIVELY',
    PROP_NAMESERVER_ADDR: instance.nameServers.addresses.join(';'),
    PROP_THREADPOOL_CORE_SIZE: String(options.concurrency),
    consumeFromWhere: consumeFromName(options.consumeFrom),
    consumerGroup: options.group,
    messageModel: options.clustering ? 'CLUSTERING' : 'BROADCASTING'
  }
  const mqTable = queueMapText(
    [...queues.values()],
    process => process.queue,
    process => JSON.stringify(queueInfo(process, offsets.current(process.queue), shiftMs))
  )
  const statusTable = Object.fromEntries([...stats].map(([topic, s]) => [topic, s.body()]))
  const subscriptionSet = [...subscriptions.values()].map(subscriptionBody)
  return (
    `{"mqPopTable":{},"mqTable":${mqTable},"properties":${JSON.stringify(properties)},` +
    `"statusTable":${JSON.stringify(statusTable)},"subscriptionSet":${JSON.stringify(subscriptionSet)},"userConsumerInfo":{}}`
  )
}

/** The body of GET_CONSUMER_STATUS_FROM_CLIENT's answer (221). */
export function consumerStatusText(group: ConsumerGroup, topic: string): string {
  const known = [...group.queues.values()]
    .map(process => process.queue)
    .filter(queue => queue.topic === topic && group.offsets.current(queue) !== null)
  const table = queueMapText(
    known,
    queue => queue,
    queue => String(group.offsets.current(queue))
  )
  return `{"consumerTable":{},"messageQueueTable":${table}}`
}

function queueInfo(
  process: ProcessQueue,
  commitOffset: number | null,
  shiftMs: number
): Record<string, unknown> {
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

/** `{{"brokerName":…}:value,…}`: not JSON, but what every client of RocketMQ reads and writes (remoting.md 3.0). */
function queueMapText<T>(
  items: readonly T[],
  queueOf: (item: T) => MessageQueue,
  textOf: (item: T) => string
): string {
  const seen = new Set<string>()
  const pairs: string[] = []
  for (const item of items) {
    const queue = queueOf(item)
    if (seen.has(queueKey(queue))) continue
    seen.add(queueKey(queue))
    const { brokerName, queueId, topic } = queue
    pairs.push(`${JSON.stringify({ brokerName, queueId, topic })}:${textOf(item)}`)
  }
  return `{${pairs.join(',')}}`
}
