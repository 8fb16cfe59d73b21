import {
  anyAddress,
  averageAllocation,
  compareQueues,
  isRefusal,
  type MessageQueue,
  subscribeQueues,
  type TopicRoute
} from '../client/index.ts'
import {
  DLQ_PREFIX,
  type QueueTable,
  RETRY_PREFIX,
  ResponseCode,
  type TopicOffset
} from '../protocol/index.ts'
import { type Command, type CommandContext, CommandError, flag, required } from './command.ts'
import { frontCut, timeWithMillis } from './format.ts'
import { javaQueueOrder } from './javaOrder.ts'
import { routeText } from './routeText.ts'

const topic = required('t', 'topic', 'topic name')

const ROUTE_LINE = '%-45s %-32s %-50s %-10s %-11s %-5s%n'

export const topicRoute: Command = {
  name: 'topicRoute',
  description: 'Show where a topic lives',
  options: [topic, flag('l', 'list', 'Use list format to print data')],
  async run(context) {
    const route = await context.admin.route(context.args.need('t'))
    if (!context.args.has('l')) {
      context.write(`${routeText(route)}\n`)
      return
    }
    printRouteList(context, route)
  }
}

function printRouteList(context: CommandContext, route: TopicRoute): void {
  const line = (...cells: (string | number)[]): void => context.print(ROUTE_LINE, ...cells)
  line('#ClusterName', '#BrokerName', '#BrokerAddrs', '#ReadQueue', '#WriteQueue', '#Perm')
  for (const data of route.queues) {
    const broker = route.brokers.find(each => each.brokerName === data.brokerName)
    const addresses = [...(broker?.addresses ?? [])].map(([id, address]) => `${id}=${address}`)
    line(
      broker?.cluster ?? '',
      data.brokerName,
      `{${addresses.join(', ')}}`,
      data.readQueueNums,
      data.writeQueueNums,
      data.perm
    )
  }
  context.write(`${'-'.repeat(158)}\n`)
  const sum = (of: (data: TopicRoute['queues'][number]) => number): number =>
    route.queues.reduce((total, data) => total + of(data), 0)
  const read = sum(data => data.readQueueNums)
  const write = sum(data => data.writeQueueNums)
  line('Total:', route.queues.length, '', read, write, '')
}

export const topicStatus: Command = {
  name: 'topicStatus',
  description: "Show the offsets of a topic's queues",
  options: [topic],
  async run(context) {
    const { admin, args } = context
    const name = args.need('t')
    const table: QueueTable<TopicOffset> = []
    for (const address of await admin.topicBrokers(name)) {
      table.push(...(await admin.topics.stats(address, name)).offsetTable)
    }
    if (table.length === 0) throw new CommandError(`no broker has offsets of the topic ${name}`)
    const line = '%-32s  %-4s  %-20s  %-20s    %s%n'
    context.print(line, '#Broker Name', '#QID', '#Min Offset', '#Max Offset', '#Last Updated')
    for (const [queue, offset] of table.sort(([a], [b]) => compareQueues(a, b))) {
      const updated = offset.lastUpdateTimestamp
      context.print(
        line,
        frontCut(queue.brokerName, 32),
        queue.queueId,
        offset.minOffset,
        offset.maxOffset,
        updated > 0 ? timeWithMillis(updated) : ''
      )
    }
  }
}

export const topicClusterList: Command = {
  name: 'topicClusterList',
  description: 'Show the clusters that hold a topic',
  options: [topic],
  async run(context) {
    for (const cluster of clustersOf(await context.admin.route(context.args.need('t')))) {
      context.print('%s%n', cluster)
    }
  }
}

export const topicList: Command = {
  name: 'topicList',
  description: 'Show all topics',
  options: [flag('c', 'clusterModel', 'with the cluster and the consumer groups of each topic')],
  async run(context) {
    const topics = await context.admin.nameServers.topics()
    if (!context.args.has('c')) {
      for (const name of topics) context.print('%s%n', name)
      return
    }
    context.print('%-20s  %-48s  %-48s%n', '#Cluster Name', '#Topic', '#Consumer Group')
    for (const name of topics) {
      if (name.startsWith(RETRY_PREFIX) || name.startsWith(DLQ_PREFIX)) continue
      await printTopicOfClusters(context, name)
    }
  }
}

async function printTopicOfClusters(context: CommandContext, name: string): Promise<void> {
  const route = await routeOrNull(context, name)
  // It was deleted since the list was made.
  if (route === null) return
  const groups = await consumerGroupsOf(context, route)
  for (const cluster of clustersOf(route)) {
    for (const group of groups.length === 0 ? [''] : groups) {
      context.print(
        '%-20s  %-64s  %-64s%n',
        frontCut(cluster, 20),
        frontCut(name, 48),
        frontCut(group, 48)
      )
    }
  }
}

/** Groups that any broker of the topic knows, each once. */
export async function consumerGroupsOf(
  context: CommandContext,
  route: TopicRoute
): Promise<readonly string[]> {
  const groups = new Set<string>()
  for (const broker of route.brokers) {
    const address = anyAddress(broker)
    if (address === null) continue
    for (const group of await context.admin.topics.consumerGroups(address, route.topic)) {
      groups.add(group)
    }
  }
  return [...groups]
}

export async function routeOrNull(
  context: CommandContext,
  name: string
): Promise<TopicRoute | null> {
  try {
    return await context.admin.route(name)
  } catch (error) {
    if (isRefusal(error, ResponseCode.TOPIC_NOT_EXIST)) return null
    throw error
  }
}

export const allocateMQ: Command = {
  name: 'allocateMQ',
  description: 'Compute how consumers would share a topic',
  options: [topic, required('i', 'ipList', 'the consumers, separated by commas')],
  async run(context) {
    const route = await context.admin.route(context.args.need('t'))
    const clients = context.args
      .need('i')
      .split(',')
      .map(ip => ip.trim())
      .filter(ip => ip !== '')
    const queues = javaQueueOrder(subscribeQueues(route), queue => queue)
    const result: Record<string, readonly MessageQueue[]> = {}
    for (const client of clients) result[client] = share(queues, clients, client)
    context.print('%s%n', JSON.stringify({ result }))
  }
}

/** As consumers do it, but the queues stand in the order of the original's set, which this command shows. */
function share(
  queues: readonly MessageQueue[],
  clients: readonly string[],
  client: string
): readonly MessageQueue[] {
  return averageAllocation.allocate(client, queues, clients).map(queue => ({
    brokerName: queue.brokerName,
    queueId: queue.queueId,
    topic: queue.topic
  }))
}

function clustersOf(route: TopicRoute): readonly string[] {
  return [...new Set(route.brokers.map(broker => broker.cluster))]
}
