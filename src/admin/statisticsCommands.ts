import { anyAddress, leaderAddress, type TopicRoute } from '../client/index.ts'
import { type BrokerStatsData, DLQ_PREFIX, RETRY_PREFIX } from '../protocol/index.ts'
import { type Command, type CommandContext, flag, required, value } from './command.ts'
import { frontCut } from './format.ts'
import { consumerGroupsOf, routeOrNull } from './topicQueries.ts'

interface Traffic {
  readonly tps: number
  readonly dayCount: number
}

export const statsAll: Command = {
  name: 'statsAll',
  description: 'Show the traffic of topics and consumer groups',
  options: [
    flag('a', 'activeTopic', 'only topics that have traffic'),
    value('t', 'topic', 'only this topic')
  ],
  async run(context) {
    const only = context.args.get('t')
    const line = '%-64s  %-64s %12s %11s %11s %14s %14s%n'
    context.print(
      line,
      '#Topic',
      '#Consumer Group',
      '#Accumulation',
      '#InTPS',
      '#OutTPS',
      '#InMsg24Hour',
      '#OutMsg24Hour'
    )
    for (const topic of await context.admin.nameServers.topics()) {
      if (topic.startsWith(RETRY_PREFIX) || topic.startsWith(DLQ_PREFIX)) continue
      if (only !== null && topic !== only) continue
      const route = await routeOrNull(context, topic)
      if (route !== null) await printTopic(context, route)
    }
  }
}

async function printTopic(context: CommandContext, route: TopicRoute): Promise<void> {
  const incoming = await traffic(context, route, 'TOPIC_PUT_NUMS', route.topic)
  const groups = await consumerGroupsOf(context, route)
  const skipQuiet = context.args.has('a')
  const topic = frontCut(route.topic, 64)
  if (groups.length === 0) {
    if (skipQuiet && incoming.dayCount === 0) return
    context.print(
      '%-64s  %-64s %12d %11.2f %11s %14d %14s%n',
      topic,
      '',
      0,
      incoming.tps,
      '',
      incoming.dayCount,
      'NO_CONSUMER'
    )
  }
  for (const group of groups) {
    const outgoing = await traffic(context, route, 'GROUP_GET_NUMS', `${route.topic}@${group}`)
    if (skipQuiet && incoming.dayCount === 0 && outgoing.dayCount === 0) continue
    context.print(
      '%-64s  %-64s %12d %11.2f %11.2f %14d %14d%n',
      topic,
      frontCut(group, 64),
      await accumulation(context, route, group),
      incoming.tps,
      outgoing.tps,
      incoming.dayCount,
      outgoing.dayCount
    )
  }
}

/** Sums over the leaders of the topic's broker groups; what was never counted is 0. */
async function traffic(
  context: CommandContext,
  route: TopicRoute,
  name: string,
  key: string
): Promise<Traffic> {
  let tps = 0
  let dayCount = 0
  for (const broker of route.brokers) {
    const address = leaderAddress(broker)
    const stats = address === null ? null : await context.admin.brokers.stats(address, name, key)
    if (stats === null) continue
    tps += stats.statsMinute.tps
    dayCount += longestCount(stats)
  }
  return { tps, dayCount }
}

/** The day's sum; before the first full day the hour's, and before that the minute's. */
function longestCount(stats: BrokerStatsData): number {
  return stats.statsDay.sum || stats.statsHour.sum || stats.statsMinute.sum
}

async function accumulation(
  context: CommandContext,
  route: TopicRoute,
  group: string
): Promise<number> {
  let total = 0
  for (const broker of route.brokers) {
    const address = anyAddress(broker)
    if (address === null) continue
    const { offsetTable } = await context.admin.offsets.consumeStats(address, group, route.topic)
    for (const [, offset] of offsetTable) total += offset.brokerOffset - offset.consumerOffset
  }
  return Math.max(0, total)
}

export const queryCq: Command = {
  name: 'queryCq',
  description: 'Show entries of a consume queue',
  options: [
    required('t', 'topic', 'name of the topic'),
    required('q', 'queue', 'number of the queue'),
    required('i', 'index', 'first entry'),
    value('c', 'count', 'number of entries (default 10)'),
    value('b', 'broker', 'ask this broker, host:port'),
    value('g', 'consumer', 'consumer group whose filter is shown')
  ],
  async run(context) {
    const { args, admin } = context
    const topic = args.need('t')
    const broker = args.get('b') ?? (await admin.topicBrokers(topic))[0] ?? ''
    const answer = await admin.topics.consumeQueue(
      broker,
      { topic, queueId: args.whole('q', 0) },
      { index: args.whole('i', 0), count: args.whole('c', 10) },
      args.get('g')
    )
    const rule = `${'='.repeat(38)}\n`
    if (answer.subscriptionData !== undefined) {
      context.write(`Subscription data: \n${JSON.stringify(answer.subscriptionData)}\n${rule}`)
    }
    if (answer.filterData !== undefined) {
      context.write(`Filter data: \n${answer.filterData}\n${rule}`)
    }
    const { minQueueIndex, maxQueueIndex } = answer
    context.write(`Queue data: \nmax: ${maxQueueIndex}, min: ${minQueueIndex}\n${rule}`)
    let index = args.whole('i', 0)
    for (const entry of answer.queueData ?? []) {
      const { physicOffset, physicSize, tagsCode, extendDataJson, bitMap, msg } = entry
      context.write(`idx: ${index++}\n`)
      context.write(
        `ConsumeQueueData{physicOffset=${physicOffset}, physicSize=${physicSize}, tagsCode=${tagsCode}, ` +
          `extendDataJson='${extendDataJson ?? 'null'}', bitMap='${bitMap ?? 'null'}', eval=${entry.eval}, msg='${msg ?? 'null'}'}\n${rule}`
      )
    }
  }
}
