import { compareText } from '../client/index.ts'
import type { ConsumeStats } from '../protocol/index.ts'
import { BROKER_OR_CLUSTER, type Command, type CommandContext, required, value } from './command.ts'
import { frontCut, timeText } from './format.ts'
import { cleanEach } from './topicCommands.ts'

export const brokerStatus: Command = {
  name: 'brokerStatus',
  description: "Show a broker's figures",
  oneOf: ['b', 'c'],
  options: [...BROKER_OR_CLUSTER],
  async run(context) {
    const { args, admin } = context
    const broker = args.get('b')
    if (broker !== null) {
      await printStatus(context, broker, false)
      return
    }
    for (const address of await admin.addresses(args.need('c'))) {
      await printStatus(context, address, true)
    }
  }
}

async function printStatus(
  context: CommandContext,
  address: string,
  withAddress: boolean
): Promise<void> {
  const info = await context.admin.brokers.runtimeInfo(address)
  for (const [name, text] of [...info].sort(([a], [b]) => compareText(a, b))) {
    if (withAddress) context.print('%-24s %-32s: %s%n', address, name, text)
    else context.print('%-32s: %s%n', name, text)
  }
}

export const updateBrokerConfig: Command = {
  name: 'updateBrokerConfig',
  description: "Change a broker's setting",
  oneOf: ['b', 'c'],
  options: [
    ...BROKER_OR_CLUSTER,
    required('k', 'key', 'name of the setting'),
    required('v', 'value', 'its new value'),
    value('a', 'updateAllBroker', 'with -c: followers too, true or false (default false)')
  ],
  async run(context) {
    const { args, admin } = context
    const cluster = args.get('c')
    const all = cluster !== null && args.truth('a', false)
    const addresses = all ? await admin.addresses(cluster) : await context.targets()
    for (const address of addresses) {
      await admin.brokers.updateConfig(address, args.need('k'), args.need('v'))
      context.print('update broker config success, %s%n', address)
    }
  }
}

export const getBrokerConfig: Command = {
  name: 'getBrokerConfig',
  description: "Show a broker's settings",
  oneOf: ['b', 'c'],
  options: [...BROKER_OR_CLUSTER],
  async run(context) {
    const { args, admin } = context
    const broker = args.get('b')
    if (broker !== null) {
      context.print('============%s============%n', broker)
      await printConfig(context, broker)
      return
    }
    for (const group of await admin.nameServers.clusterBrokers(args.need('c'))) {
      const leader = group.addresses.get(0)
      if (leader !== undefined) {
        context.print('============Master: %s============%n', leader)
        await printConfig(context, leader)
      }
      for (const [id, address] of group.addresses) {
        if (id === 0) continue
        const master = leader ?? 'NO_MASTER'
        context.print('============My Master: %s=====Slave: %s============%n', master, address)
        await printConfig(context, address)
      }
    }
  }
}

async function printConfig(context: CommandContext, address: string): Promise<void> {
  const config = await context.admin.brokers.config(address)
  if (config.size === 0) context.print('Broker[%s] has no config property!%n', address)
  for (const [name, text] of config) context.print('%-50s=  %s%n', name, text)
  context.print('%n')
}

const STATS_LINE = '%-64s  %-64s  %-32s  %-4s  %-20s  %-20s  %-20s  %s%n'

export const brokerConsumeStats: Command = {
  name: 'brokerConsumeStats',
  description: 'Show how far all consumer groups are on one broker',
  options: [
    required('b', 'brokerAddr', 'address of the broker, host:port'),
    value('t', 'timeoutMillis', 'wait so long for the answer (default 50000)'),
    value('l', 'level', 'only queues that are at least so many messages behind (default 0)'),
    value('o', 'order', 'ordered topics only, true or false (default false)')
  ],
  async run(context) {
    const { args, admin } = context
    const level = args.whole('l', 0)
    const list = await admin.brokers.consumeStats(
      args.need('b'),
      args.truth('o', false),
      args.whole('t', 50_000)
    )
    context.print(
      STATS_LINE,
      '#Topic',
      '#Group',
      '#Broker Name',
      '#QID',
      '#Broker Offset',
      '#Consumer Offset',
      '#Diff',
      '#LastTime'
    )
    for (const groups of list.consumeStatsList) {
      for (const [group, topics] of groups) {
        for (const stats of topics) printConsumeStats(context, group, stats, level)
      }
    }
    context.print('%nDiff Total: %d%n', list.totalDiff)
  }
}

function printConsumeStats(
  context: CommandContext,
  group: string,
  stats: ConsumeStats,
  level: number
): void {
  const rows = [...stats.offsetTable].sort(
    ([a], [b]) =>
      compareText(a.topic, b.topic) ||
      compareText(a.brokerName, b.brokerName) ||
      a.queueId - b.queueId
  )
  for (const [queue, offset] of rows) {
    const diff = offset.brokerOffset - offset.consumerOffset
    if (diff < level || offset.lastTimestamp <= 0) continue
    context.print(
      STATS_LINE,
      frontCut(queue.topic, 64),
      group,
      frontCut(queue.brokerName, 32),
      queue.queueId,
      offset.brokerOffset,
      offset.consumerOffset,
      diff,
      timeText(offset.lastTimestamp)
    )
  }
}

export const cleanExpiredCQ: Command = {
  name: 'cleanExpiredCQ',
  description: 'Have brokers delete consume queue files that lead to nothing any more',
  options: [...BROKER_OR_CLUSTER],
  async run(context) {
    await cleanEach(context, address => context.admin.brokers.cleanExpiredConsumeQueues(address))
  }
}

export const deleteExpiredCommitLog: Command = {
  name: 'deleteExpiredCommitLog',
  description: 'Have brokers delete log files whose time is over',
  options: [...BROKER_OR_CLUSTER],
  async run(context) {
    await cleanEach(context, address => context.admin.brokers.deleteExpiredCommitLog(address))
  }
}
