import {
  javaDouble,
  KVTable,
  OWN_VERSION,
  RequestCode,
  SystemTopic,
  versionName
} from '../../../protocol/index.ts'
import { PENDING_SENDS_MAX } from '../../../store/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'
import { distributionText, latencyAt } from './latency.ts'
import { bytesText, runtimeText } from './texts.ts'

/** As the original says that it has no pool of buffers. */
const noBufferPool = 2_147_483_647

/**
 * GET_BROKER_RUNTIME_INFO (28): every key that 4.9 or 5.3 has, so that each of their readers finds its own (broker.md 7.5, mqadmin.md 8).
 * There are no thread pools here: what their keys show is the queue of sends that wait for their commit, and 0 where nothing queues.
 */
export const runtimeInfo: Handler = {
  code: RequestCode.GET_BROKER_RUNTIME_INFO,
  needsLeader: false,
  async handle(_request, _caller, broker) {
    const values: Record<string, string | number> = {
      ...identity(broker),
      ...dailyTotals(broker),
      ...puts(broker),
      ...rates(broker),
      ...log(broker),
      ...queues(broker),
      ...delays(broker),
      ...timers(broker),
      earliestMessageTimeStamp: await broker.store.earliestLogTime(),
      commitLogDirCapacity: await capacity(broker)
    }
    const table = new Map<string, string>()
    for (const name of Object.keys(values).sort((a, b) => (a < b ? -1 : 1)))
      table.set(name, String(values[name]))
    return success(KVTable.encode({ table }))
  }
}

type Part = Record<string, string | number>

function identity(broker: BrokerContext): Part {
  return {
    bootTimestamp: broker.startedMs,
    runtime: runtimeText(broker.platform.clock.wallMs() - broker.startedMs),
    brokerVersion: OWN_VERSION,
    brokerVersionDesc: versionName(OWN_VERSION),
    brokerActive: String(broker.isLeader()),
    startAcceptSendRequestTimeStamp: 0
  }
}

function dailyTotals({ stats }: BrokerContext): Part {
  return {
    msgPutTotalYesterdayMorning: stats.putTotalYesterdayMorning,
    msgPutTotalTodayMorning: stats.putTotalTodayMorning,
    msgPutTotalTodayNow: stats.putTotal,
    msgGetTotalYesterdayMorning: stats.getTotalYesterdayMorning,
    msgGetTotalTodayMorning: stats.getTotalTodayMorning,
    msgGetTotalTodayNow: stats.getTotal
  }
}

function puts({ store, stats }: BrokerContext): Part {
  const { counters } = store
  const { putLatencyBuckets: buckets, putLatencyMaxMs: longestMs } = counters
  const times = Math.max(1, counters.putMessages)
  return {
    putMessageEntireTimeMax: Math.round(longestMs),
    putMessageTimesTotal: times,
    putMessageFailedTimes: counters.putFailed + counters.putRefused,
    putMessageSizeTotal: counters.putBytes,
    putMessageAverageSize: javaDouble(counters.putBytes / times),
    putMessageDistributeTime: distributionText(buckets),
    putLatency99: latencyAt(0.99, buckets, longestMs).toFixed(2),
    putLatency999: latencyAt(0.999, buckets, longestMs).toFixed(2),
    getMessageEntireTimeMax: Math.round(stats.getTookMaxMs)
  }
}

/** Three numbers each: over 10, 60 and 600 s. */
function rates({ rates }: BrokerContext): Part {
  const text = (...names: Parameters<typeof rates.perSecond>): string =>
    rates
      .perSecond(...names)
      .map(javaDouble)
      .join(' ')
  const transferred = text('getMessages')
  return {
    putTps: text('putMessages'),
    getFoundTps: text('getFound'),
    getMissTps: text('getMissed'),
    getTotalTps: text('getFound', 'getMissed'),
    // 4.9 spells it with one r, 5.3 with two.
    getTransferedTps: transferred,
    getTransferredTps: transferred
  }
}

function log(broker: BrokerContext): Part {
  const runtime = broker.store.runtime()
  const ratio = javaDouble(runtime.diskRatio)
  return {
    commitLogDiskRatio: ratio,
    [`commitLogDiskRatio_${broker.config.settings.logDirectory}`]: ratio,
    consumeQueueDiskRatio: ratio,
    commitLogMinOffset: runtime.logStartPosition,
    commitLogMaxOffset: runtime.logEndPosition,
    // A message enters its queue when it is committed: what was accepted and is not committed is what is behind.
    dispatchBehindBytes: runtime.pendingBytes,
    dispatchMaxBuffer: 0,
    pageCacheLockTimeMills: 0,
    remainTransientStoreBufferNumbs: noBufferPool,
    remainHowManyDataToFlush: bytesText(runtime.pendingBytes),
    scrubPhase: runtime.scrub.phase,
    scrubPercent: runtime.scrub.percent,
    scrubBytes: runtime.scrub.bytes,
    scrubDamaged: runtime.scrub.damaged,
    scrubLastRoundTime: runtime.scrub.lastRoundMs,
    damagedQueueBlocks: runtime.damage.queueBlocks,
    damagedIndexRuns: runtime.damage.indexRuns,
    rebuiltQueueBlocks: runtime.damage.rebuiltBlocks,
    rebuiltIndexRuns: runtime.damage.rebuiltRuns
  }
}

function queues(broker: BrokerContext): Part {
  const { values } = broker.config
  const part: Part = {
    sendThreadPoolQueueSize: broker.store.runtime().pendingSends,
    sendThreadPoolQueueCapacity: PENDING_SENDS_MAX,
    sendThreadPoolQueueHeadWaitTimeMills: 0,
    EndTransactionQueueSize: 0,
    EndTransactionThreadPoolQueueCapacity: values.endTransactionPoolQueueCapacity
  }
  const capacities = {
    pull: values.pullThreadPoolQueueCapacity,
    query: values.queryThreadPoolQueueCapacity,
    litePull: values.litePullThreadPoolQueueCapacity,
    ack: values.ackThreadPoolQueueCapacity
  }
  for (const [name, queueCapacity] of Object.entries(capacities)) {
    part[`${name}ThreadPoolQueueSize`] = 0
    part[`${name}ThreadPoolQueueCapacity`] = queueCapacity
    part[`${name}ThreadPoolQueueHeadWaitTimeMills`] = 0
  }
  return part
}

/** `delivered,stored` of each delay level that was used. */
function delays(broker: BrokerContext): Part {
  const { store, config } = broker
  const part: Part = {}
  for (let level = 1; level <= config.settings.delayLevelsMs.length; level++) {
    const stored = store.maxOffset(SystemTopic.SCHEDULE, level - 1)
    const delivered = store.tables.delayProgress(level)
    if (stored > 0 || delivered > 0)
      part[`scheduleMessageOffset_${level}`] = `${delivered},${stored}`
  }
  return part
}

/** Of 5.3's timer wheel: how many messages wait for their time. There is no wheel that could lag behind its queue. */
function timers(broker: BrokerContext): Part {
  return {
    timerReadBehind: 0,
    timerOffsetBehind: 0,
    timerCongestNum: broker.store.tables.timers.count,
    timerEnqueueTps: '0.0',
    timerDequeueTps: '0.0'
  }
}

async function capacity(broker: BrokerContext): Promise<string> {
  const { rootDirectory } = broker.config.settings
  const { totalBytes, freeBytes } = await broker.platform.disk.space(rootDirectory)
  return `Total : ${bytesText(totalBytes)}, Free : ${bytesText(freeBytes)}.`
}
