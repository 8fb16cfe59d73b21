import { TopicConfig, TopicSysFlag } from '../protocol/index.ts'
import {
  BROKER_OR_CLUSTER,
  type Command,
  type CommandContext,
  CommandError,
  required,
  value
} from './command.ts'
import { permText } from './format.ts'

/** Namespace of the name servers' table of ordered topics. */
const ORDER_NAMESPACE = 'ORDER_TOPIC_CONFIG'

const topic = required('t', 'topic', 'name of the topic')

/** As RocketMQ 4.9 prints it. */
export function topicConfigText(config: TopicConfig): string {
  return (
    `TopicConfig [topicName=${config.topicName}, readQueueNums=${config.readQueueNums}, ` +
    `writeQueueNums=${config.writeQueueNums}, perm=${permText(config.perm)}, topicFilterType=${config.topicFilterType}, ` +
    `topicSysFlag=${config.topicSysFlag}, order=${config.order}]`
  )
}

export const updateTopic: Command = {
  name: 'updateTopic',
  description: 'Create a topic or change it',
  oneOf: ['b', 'c'],
  options: [
    ...BROKER_OR_CLUSTER,
    topic,
    value('r', 'readQueueNums', 'number of queues to read (default 8)'),
    value('w', 'writeQueueNums', 'number of queues to write (default 8)'),
    value('p', 'perm', 'permission: 2 write, 4 read, 6 both (default 6)'),
    value('o', 'order', 'ordered topic, true or false (default false)'),
    value('u', 'unit', 'unit topic, true or false (default false)'),
    value('s', 'hasUnitSub', 'has unit subscriptions, true or false (default false)'),
    value('a', 'attributes', 'attributes, e.g. +key=value,+key2=value2,-key3')
  ],
  async run(context) {
    const { args } = context
    const config = TopicConfig.of({
      topicName: args.need('t'),
      readQueueNums: args.whole('r', 8),
      writeQueueNums: args.whole('w', 8),
      perm: args.whole('p', 6),
      order: args.truth('o', false),
      topicSysFlag:
        (args.truth('u', false) ? TopicSysFlag.unit : 0) |
        (args.truth('s', false) ? TopicSysFlag.unitSub : 0),
      attributes: parseAttributes(args.get('a'))
    })
    for (const address of await context.targets()) {
      await context.admin.topics.put(address, config)
      context.print('create topic to %s success.%n', address)
    }
    if (config.order) await keepOrderConf(context, config)
    context.write(topicConfigText(config))
  }
}

function parseAttributes(text: string | null): Map<string, string> {
  const attributes = new Map<string, string>()
  for (const part of (text ?? '').split(',').filter(each => each.trim() !== '')) {
    const [name = '', setting = ''] = part.trim().split('=', 2)
    if (!/^[+-]./.test(name) || name.startsWith('-') !== (setting === '')) {
      throw new CommandError(`the attribute "${part}" is neither +name=value nor -name`)
    }
    attributes.set(name, setting)
  }
  return attributes
}

/** An ordered topic's queues stand at the name servers too, so that they stay the same when brokers go (broker.md 1.7). */
async function keepOrderConf(context: CommandContext, config: TopicConfig): Promise<void> {
  const { args, admin } = context
  const { brokers } = await admin.nameServers.clusters()
  const broker = args.get('b')
  const names =
    broker === null
      ? (await admin.nameServers.clusterBrokers(args.need('c'))).map(data => data.brokerName)
      : [...brokers.values()]
          .filter(data => [...data.addresses.values()].includes(broker))
          .map(data => data.brokerName)
  const queues = new Map<string, string>()
  const before =
    broker === null ? null : await admin.nameServers.kv(ORDER_NAMESPACE, config.topicName)
  for (const part of (before ?? '').split(';').filter(each => each !== '')) {
    queues.set(part.slice(0, part.lastIndexOf(':')), part.slice(part.lastIndexOf(':') + 1))
  }
  for (const name of names) queues.set(name, String(config.writeQueueNums))
  const conf = [...queues].map(([name, count]) => `${name}:${count}`).join(';')
  await admin.nameServers.putKv(ORDER_NAMESPACE, config.topicName, conf)
  const where = broker === null ? 'cluster' : 'broker'
  context.print('set %s orderConf. isOrder=%s, orderConf=[%s]', where, config.order, conf)
}

export const deleteTopic: Command = {
  name: 'deleteTopic',
  description: 'Delete a topic from the brokers of a cluster and from the name servers',
  options: [topic, required('c', 'clusterName', 'name of the cluster')],
  async run(context) {
    await deleteTopicEverywhere(context, context.args.need('c'), context.args.need('t'))
  }
}

export async function deleteTopicEverywhere(
  context: CommandContext,
  cluster: string,
  name: string
): Promise<void> {
  await context.admin.deleteTopic(cluster, name)
  context.print('delete topic [%s] from cluster [%s] success.%n', name, cluster)
  context.print('delete topic [%s] from NameServer success.%n', name)
}

export const updateTopicPerm: Command = {
  name: 'updateTopicPerm',
  description: "Change a topic's permission",
  oneOf: ['b', 'c'],
  options: [
    ...BROKER_OR_CLUSTER,
    topic,
    required('p', 'perm', 'new permission: 2 write, 4 read, 6 both')
  ],
  async run(context) {
    const { args, admin } = context
    const name = args.need('t')
    const perm = args.whole('p', 6)
    const route = await admin.route(name)
    const first = route.queues[0]
    if (first === undefined) throw new CommandError(`the topic ${name} has no queues`)
    const config = TopicConfig.of({
      topicName: name,
      readQueueNums: first.readQueueNums,
      writeQueueNums: first.writeQueueNums,
      topicSysFlag: first.topicSysFlag,
      perm
    })
    const broker = args.get('b')
    if (broker !== null && !route.brokers.some(data => data.addresses.get(0) === broker)) {
      throw new CommandError(`${broker} leads no broker group of the topic ${name}`)
    }
    if (broker !== null && first.perm === perm) {
      context.print('new perm equals to the old one!%n')
      return
    }
    for (const address of await context.targets()) {
      await admin.topics.put(address, config)
      context.print('update topic perm from %s to %s in %s success.%n', first.perm, perm, address)
    }
    if (broker !== null) context.print('%s.%n', topicConfigText(config))
  }
}

export const updateOrderConf: Command = {
  name: 'updateOrderConf',
  description: "Read or change the name servers' entry of an ordered topic",
  options: [
    topic,
    required('m', 'method', 'put, get or delete'),
    value('v', 'orderConf', 'for put: brokerName1:queues;brokerName2:queues')
  ],
  async run(context) {
    const { args, admin } = context
    const name = args.need('t')
    const method = args.need('m')
    if (method === 'get') {
      const conf = await admin.nameServers.kv(ORDER_NAMESPACE, name)
      if (conf === null) throw new CommandError(`the topic ${name} has no order configuration`)
      context.print('get orderConf success. topic=[%s], orderConf=[%s] ', name, conf)
    } else if (method === 'put') {
      const conf = args.need('v')
      await admin.nameServers.putKv(ORDER_NAMESPACE, name, conf)
      context.print('update orderConf success. topic=[%s], orderConf=[%s]', name, conf)
    } else if (method === 'delete') {
      await admin.nameServers.deleteKv(ORDER_NAMESPACE, name)
      context.print('delete orderConf success. topic=[%s]', name)
    } else {
      throw new CommandError(`-m wants put, get or delete, not "${method}"`)
    }
  }
}

export const cleanUnusedTopic: Command = {
  name: 'cleanUnusedTopic',
  description: 'Have brokers forget consume queues of topics that are gone',
  options: [...BROKER_OR_CLUSTER],
  async run(context) {
    await cleanEach(context, address => context.admin.brokers.cleanUnusedTopics(address))
  }
}

/** On one broker, on all of a cluster, or on all of every cluster; the word `success` when all did it. */
export async function cleanEach(
  context: CommandContext,
  clean: (address: string) => Promise<void>
): Promise<void> {
  const { args, admin } = context
  const broker = args.get('b')
  const cluster = args.get('c')
  const { brokers } = broker === null ? await admin.nameServers.clusters() : { brokers: null }
  const addresses =
    broker !== null
      ? [broker]
      : cluster !== null
        ? await admin.addresses(cluster)
        : [...brokers!.values()].flatMap(data => [...data.addresses.values()])
  for (const address of addresses) await clean(address)
  context.write('success')
}
