import {
  anyAddress,
  type ConsumerConnection,
  compareQueues,
  isRefusal,
  type MessageQueue
} from '../client/index.ts'
import {
  DLQ_PREFIX,
  languageName,
  type OffsetWrapper,
  type QueueTable,
  RETRY_PREFIX,
  ResponseCode,
  retryTopic,
  SubscriptionGroupConfig,
  versionName
} from '../protocol/index.ts'
import {
  BROKER_OR_CLUSTER,
  type Command,
  type CommandContext,
  CommandError,
  required,
  value
} from './command.ts'
import { frontCut, timeText } from './format.ts'
import { deleteTopicEverywhere } from './topicCommands.ts'
import { routeOrNull } from './topicQueries.ts'

/** What 4.9 knows of a group, in its order. */
const GROUP_FIELDS = [
  'groupName',
  'consumeEnable',
  'consumeFromMinEnable',
  'consumeBroadcastEnable',
  'retryQueueNums',
  'retryMaxTimes',
  'brokerId',
  'whichBrokerWhenConsumeSlowly',
  'notifyConsumerIdsChangedEnable'
] as const

export const updateSubGroup: Command = {
  name: 'updateSubGroup',
  description: 'Create a consumer group or change it',
  oneOf: ['b', 'c'],
  options: [
    ...BROKER_OR_CLUSTER,
    required('g', 'groupName', 'name of the consumer group'),
    value('s', 'consumeEnable', 'may consume, true or false (default true)'),
    value('m', 'consumeFromMinEnable', 'may start at the first message (default false)'),
    value('d', 'consumeBroadcastEnable', 'may broadcast (default false)'),
    value('o', 'consumeMessageOrderly', 'consumes in order (default false)'),
    value('q', 'retryQueueNums', 'queues of the retry topic (default 1)'),
    value('r', 'retryMaxTimes', 'deliveries until a message is a dead letter (default 16)'),
    value('i', 'brokerId', 'broker id to consume from (default 0)'),
    value('w', 'whichBrokerWhenConsumeSlowly', 'broker id for consumers that lag (default 1)'),
    value('a', 'notifyConsumerIdsChanged', 'tell members of changes (default true)')
  ],
  async run(context) {
    const { args, admin } = context
    const config = SubscriptionGroupConfig.of({
      groupName: args.need('g'),
      consumeEnable: args.truth('s', true),
      consumeFromMinEnable: args.truth('m', false),
      consumeBroadcastEnable: args.truth('d', false),
      consumeMessageOrderly: args.truth('o', false),
      retryQueueNums: args.whole('q', 1),
      retryMaxTimes: args.whole('r', 16),
      brokerId: args.whole('i', 0),
      whichBrokerWhenConsumeSlowly: args.whole('w', 1),
      notifyConsumerIdsChangedEnable: args.truth('a', true)
    })
    for (const address of await context.targets()) {
      await admin.topics.putGroup(address, config)
      context.print('create subscription group to %s success.%n', address)
    }
    const fields = GROUP_FIELDS.map(name => `${name}=${config[name]}`)
    context.write(`SubscriptionGroupConfig [${fields.join(', ')}]`)
  }
}

export const deleteSubGroup: Command = {
  name: 'deleteSubGroup',
  description: 'Delete a consumer group',
  oneOf: ['b', 'c'],
  options: [
    ...BROKER_OR_CLUSTER,
    required('g', 'groupName', 'name of the consumer group'),
    value('r', 'removeOffset', 'its offsets too, true or false (default false)')
  ],
  async run(context) {
    const { args, admin } = context
    const group = args.need('g')
    const cluster = args.get('c')
    for (const address of await context.targets()) {
      await admin.topics.deleteGroup(address, group, args.truth('r', false))
      if (cluster === null) {
        context.print('delete subscription group [%s] from broker [%s] success.%n', group, address)
      } else {
        context.print(
          'delete subscription group [%s] from broker [%s] in cluster [%s] success.%n',
          group,
          address,
          cluster
        )
      }
    }
    if (cluster === null) return
    await deleteTopicEverywhere(context, cluster, `${RETRY_PREFIX}${group}`)
    await deleteTopicEverywhere(context, cluster, `${DLQ_PREFIX}${group}`)
  }
}

export const getConsumerConfig: Command = {
  name: 'getConsumerConfig',
  description: "Show a consumer group's settings on every broker",
  options: [required('g', 'groupName', 'name of the consumer group')],
  async run(context) {
    const { args, admin } = context
    const group = args.need('g')
    const { clusters, brokers } = await admin.nameServers.clusters()
    let found = false
    for (const [cluster, names] of clusters) {
      for (const name of names) {
        const address = anyAddress(brokers.get(name))
        const config = address === null ? null : (await admin.topics.groups(address)).get(group)
        if (config === null || config === undefined) continue
        found = true
        const line = '='.repeat(29)
        context.print('%s%s:%s%s%n', line, cluster, name, line)
        for (const field of GROUP_FIELDS) context.print('%-40s=  %s%n', field, config[field])
      }
    }
    if (!found) throw new CommandError(`no broker knows the consumer group ${group}`)
  }
}

/** The group's members by one broker of its retry topic, or by the broker asked for. */
export async function connectionOf(
  context: CommandContext,
  group: string,
  broker: string | null
): Promise<ConsumerConnection> {
  const address = broker ?? (await retryBrokers(context, group))[0]
  if (address === undefined) throw new CommandError(`no broker knows the consumer group ${group}`)
  return context.admin.topics.consumerConnection(address, group)
}

async function retryBrokers(context: CommandContext, group: string): Promise<readonly string[]> {
  return context.admin.topicBrokers(retryTopic(group))
}

export const consumerConnection: Command = {
  name: 'consumerConnection',
  description: 'Show the connections and subscriptions of a consumer group',
  options: [
    required('g', 'consumerGroup', 'name of the consumer group'),
    value('b', 'brokerAddr', 'ask this broker, host:port')
  ],
  async run(context) {
    const group = context.args.need('g')
    const connection = await connectionOf(context, group, context.args.get('b'))
    const line = '%-36s %-22s %-10s %s%n'
    context.print(line, '#ClientId', '#ClientAddr', '#Language', '#Version')
    for (const client of connection.connectionSet) {
      const { clientId, clientAddr, language, version } = client
      context.print(line, clientId, clientAddr, languageName(language), versionName(version))
    }
    context.print('%nBelow is subscription:%n')
    context.print('%-20s %s%n', '#Topic', '#SubExpression')
    for (const [topic, subscription] of connection.subscriptionTable) {
      context.print('%-20s %s%n', topic, subscription.subString)
    }
    context.print('%n')
    context.print('ConsumeType: %s%n', connection.consumeType)
    context.print('MessageModel: %s%n', connection.messageModel)
    context.print('ConsumeFromWhere: %s%n', connection.consumeFromWhere)
  }
}

export const producerConnection: Command = {
  name: 'producerConnection',
  description: 'Show the connections of a producer group',
  options: [
    required('g', 'producerGroup', 'name of the producer group'),
    required('t', 'topic', 'a topic that it sends to')
  ],
  async run(context) {
    const { args, admin } = context
    const group = args.need('g')
    const [address] = await admin.topicBrokers(args.need('t'))
    if (address === undefined) throw new CommandError('no broker of this topic is there')
    const connections = await admin.topics.producerConnections(address, group)
    connections.forEach(({ clientId, clientAddr, language, version }, at) => {
      context.print(
        '%04d  %-32s %-22s %-8s %s%n',
        at + 1,
        clientId,
        clientAddr,
        languageName(language),
        versionName(version)
      )
    })
  }
}

export const consumerProgress: Command = {
  name: 'consumerProgress',
  description: 'Show how far consumer groups are',
  options: [
    value('g', 'groupName', 'one consumer group; without it, all of them'),
    value('s', 'showClientIP', 'with the member that has the queue, true or false'),
    value('t', 'topicName', 'of this topic only')
  ],
  async run(context) {
    const group = context.args.get('g')
    if (group === null) await printAllProgress(context)
    else await printProgress(context, group, context.args.truth('s', false))
  }
}

interface Progress {
  readonly table: QueueTable<OffsetWrapper>
  readonly tps: number
}

async function progressOf(
  context: CommandContext,
  group: string,
  topic: string | null
): Promise<Progress> {
  const table: QueueTable<OffsetWrapper> = []
  let tps = 0
  for (const address of await retryBrokers(context, group)) {
    const stats = await context.admin.offsets.consumeStats(address, group, topic)
    table.push(...stats.offsetTable)
    tps += stats.consumeTps
  }
  return { table, tps }
}

function diffOf(offset: OffsetWrapper): number {
  return offset.brokerOffset - offset.consumerOffset
}

async function printProgress(
  context: CommandContext,
  group: string,
  showClient: boolean
): Promise<void> {
  const { table, tps } = await progressOf(context, group, context.args.get('t'))
  if (table.length === 0) {
    throw new CommandError(`the consumer group ${group} has not consumed anything yet`)
  }
  const owners = showClient ? await ownersOf(context, group) : new Map<string, string>()
  const before = ['#Topic', '#Broker Name', '#QID', '#Broker Offset', '#Consumer Offset']
  const line = showClient
    ? '%-64s  %-32s  %-4s  %-20s  %-20s  %-20s %-20s  %s%n'
    : '%-64s  %-32s  %-4s  %-20s  %-20s  %-20s  %s%n'
  context.print(line, ...before, ...(showClient ? ['#Client IP'] : []), '#Diff', '#LastTime')
  let total = 0
  for (const [queue, offset] of table.sort(([a], [b]) => compareQueues(a, b))) {
    total += diffOf(offset)
    context.print(
      line,
      frontCut(queue.topic, 64),
      frontCut(queue.brokerName, 32),
      queue.queueId,
      offset.brokerOffset,
      offset.consumerOffset,
      ...(showClient ? [owners.get(ownerKey(queue)) ?? 'N/A'] : []),
      diffOf(offset),
      offset.lastTimestamp === 0 ? 'N/A' : timeText(offset.lastTimestamp)
    )
  }
  context.print('%n')
  context.print('Consume TPS: %.2f%n', tps)
  context.print('Diff Total: %d%n', total)
}

/** The part of the client id before the `@`, for each queue that a connected member holds. */
async function ownersOf(context: CommandContext, group: string): Promise<Map<string, string>> {
  const owners = new Map<string, string>()
  const connection = await connectionOrNull(context, group)
  const [address] = await retryBrokers(context, group)
  if (connection === null || address === undefined) return owners
  for (const topic of connection.subscriptionTable.keys()) {
    const status = await context.admin.offsets.consumerStatus(address, topic, group)
    for (const [clientId, table] of status) {
      for (const [queue] of table) owners.set(ownerKey(queue), clientId.split('@')[0]!)
    }
  }
  return owners
}

function ownerKey(queue: MessageQueue): string {
  return `${queue.topic} ${queue.brokerName} ${queue.queueId}`
}

async function connectionOrNull(
  context: CommandContext,
  group: string
): Promise<ConsumerConnection | null> {
  try {
    return await connectionOf(context, group, null)
  } catch (error) {
    if (isRefusal(error, ResponseCode.CONSUMER_NOT_ONLINE)) return null
    throw error
  }
}

async function printAllProgress(context: CommandContext): Promise<void> {
  const titles = ['#Group', '#Count', '#Version', '#Type', '#Model', '#TPS', '#Diff Total']
  const line = '%-64s  %-6s  %-24s %-5s  %-14s  %-7s  %s%n'
  context.print(line, ...titles)
  const topics = await context.admin.nameServers.topics()
  for (const topic of topics) {
    if (!topic.startsWith(RETRY_PREFIX)) continue
    const group = topic.slice(RETRY_PREFIX.length)
    // The group was deleted since the list was made.
    if ((await routeOrNull(context, topic)) === null) continue
    const { table, tps } = await progressOf(context, group, null)
    const connection = await connectionOrNull(context, group)
    const versions = connection?.connectionSet.map(client => client.version) ?? []
    const passive = connection?.consumeType === 'CONSUME_PASSIVELY'
    context.print(
      line,
      frontCut(group, 64),
      versions.length,
      versions.length === 0 ? 'OFFLINE' : versionName(Math.min(...versions)),
      connection === null ? '' : passive ? 'PUSH' : 'PULL',
      passive ? connection.messageModel : '',
      Math.round(tps),
      table.reduce((sum, [, offset]) => sum + diffOf(offset), 0)
    )
  }
}
