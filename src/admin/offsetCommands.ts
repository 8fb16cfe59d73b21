import { anyAddress, isRefusal, type MessageQueue, queueKey } from '../client/index.ts'
import { type OffsetWrapper, type QueueTable, ResponseCode, retryTopic } from '../protocol/index.ts'
import {
  type Command,
  type CommandContext,
  CommandError,
  flag,
  required,
  value
} from './command.ts'
import { parseTime } from './format.ts'
import { javaQueueOrder } from './javaOrder.ts'

/** "To the end" in place of a time. */
const NOW = -1

const group = required('g', 'group', 'consumer group')
const topic = required('t', 'topic', 'topic')
const force = value('f', 'force', 'forwards too, true or false (default true)')

interface Reset {
  readonly group: string
  readonly topic: string
  readonly timestamp: number
  readonly isForce: boolean
}

export const resetOffsetByTime: Command = {
  name: 'resetOffsetByTime',
  description: "Set a consumer group's offsets by time",
  options: [
    group,
    topic,
    required('s', 'timestamp', 'now, ms since 1970, or yyyy-MM-dd#HH:mm:ss:SSS'),
    force,
    flag('c', 'cplus', 'the members are C++ clients (has no effect)')
  ],
  async run(context) {
    const { args } = context
    const text = args.need('s')
    const timestamp = text === 'now' ? NOW : parseTime(text)
    if (timestamp === null) {
      throw new CommandError(
        `"${text}" is neither now nor milliseconds nor of the form yyyy-MM-dd#HH:mm:ss:SSS`
      )
    }
    await resetOffsets(context, resetOf(context, timestamp), text)
  }
}

export const skipAccumulatedMessage: Command = {
  name: 'skipAccumulatedMessage',
  description: 'Have a consumer group skip what it has not consumed yet',
  options: [group, topic, force],
  async run(context) {
    await resetOffsets(context, resetOf(context, NOW), null)
  }
}

function resetOf(context: CommandContext, timestamp: number): Reset {
  const { args } = context
  return {
    group: args.need('g'),
    topic: args.need('t'),
    timestamp,
    isForce: args.truth('f', true)
  }
}

/** By the brokers, which tell the members; by ourselves when no member is connected. `timeText` null: without a headline. */
async function resetOffsets(
  context: CommandContext,
  reset: Reset,
  timeText: string | null
): Promise<void> {
  const headline = (name: string): void => {
    if (timeText === null) return
    context.print(
      `rollback consumer offset by specified ${name}[%s], topic[%s], force[%s], timestamp(string)[%s], timestamp(long)[%s]%n`,
      reset.group,
      reset.topic,
      reset.isForce,
      timeText,
      reset.timestamp
    )
  }
  const table: QueueTable<number> = []
  try {
    for (const address of await context.admin.topicBrokers(reset.topic)) {
      table.push(...(await context.admin.offsets.reset(address, reset)))
    }
  } catch (error) {
    if (!isRefusal(error, ResponseCode.CONSUMER_NOT_ONLINE)) throw error
    headline('consumerGroup')
    await resetOffline(context, reset)
    return
  }
  headline('group')
  const line = '%-40s  %-40s  %-40s%n'
  context.print(line, '#brokerName', '#queueId', '#offset')
  for (const [queue, offset] of javaQueueOrder(table, ([each]) => each)) {
    context.print(line, queue.brokerName, queue.queueId, offset)
  }
}

async function resetOffline(context: CommandContext, reset: Reset): Promise<void> {
  const { admin } = context
  const line = '%-20s  %-20s  %-20s  %-20s  %-20s  %-20s%n'
  context.print(
    line,
    '#brokerName',
    '#queueId',
    '#brokerOffset',
    '#consumerOffset',
    '#timestampOffset',
    '#rollbackOffset'
  )
  const route = await admin.route(reset.topic)
  for (const broker of route.brokers) {
    const address = anyAddress(broker)
    if (address === null) continue
    const stats = await admin.offsets.consumeStats(address, reset.group, reset.topic)
    const known = await withoutOffset(context, reset, address, stats.offsetTable)
    for (const [queue, offset] of javaQueueOrder(known, ([each]) => each)) {
      const target =
        reset.timestamp === NOW
          ? await admin.messages.maxOffset(queue)
          : await admin.messages.offsetByTime(queue, reset.timestamp)
      const rollback =
        reset.isForce || target <= offset.consumerOffset ? target : offset.consumerOffset
      await admin.offsets.set(address, reset.group, queue, rollback)
      context.print(
        line,
        queue.brokerName,
        queue.queueId,
        offset.brokerOffset,
        offset.consumerOffset,
        target,
        rollback
      )
    }
  }
}

/** A group that never consumed has no figures: then the topic's own queues, as if it stood at their starts. */
async function withoutOffset(
  context: CommandContext,
  reset: Reset,
  address: string,
  table: QueueTable<OffsetWrapper>
): Promise<QueueTable<OffsetWrapper>> {
  if (table.length > 0) return table
  const stats = await context.admin.topics.stats(address, reset.topic)
  return stats.offsetTable.map(([queue, offset]) => [
    queue,
    {
      brokerOffset: offset.maxOffset,
      consumerOffset: offset.minOffset,
      lastTimestamp: 0,
      pullOffset: 0
    }
  ])
}

export const cloneGroupOffset: Command = {
  name: 'cloneGroupOffset',
  description: "Copy a consumer group's offsets to another group",
  options: [
    required('s', 'srcGroup', 'group to copy from'),
    required('d', 'destGroup', 'group to copy to'),
    required('t', 'topic', 'topic whose brokers take the offsets'),
    value('o', 'offline', 'has no effect')
  ],
  async run(context) {
    const { args, admin } = context
    const source = args.need('s')
    const target = args.need('d')
    const offsets = new Map<string, [MessageQueue, number]>()
    for (const address of await admin.topicBrokers(retryTopic(source))) {
      const { offsetTable } = await admin.offsets.consumeStats(address, source)
      for (const [queue, { consumerOffset }] of offsetTable) {
        offsets.set(queueKey(queue), [queue, consumerOffset])
      }
    }
    if (offsets.size === 0) throw new CommandError(`the group ${source} has no offsets`)
    const route = await admin.route(args.need('t'))
    for (const [queue, offset] of offsets.values()) {
      const address = anyAddress(route.brokers.find(data => data.brokerName === queue.brokerName))
      if (address !== null && offset >= 0) await admin.offsets.set(address, target, queue, offset)
    }
    context.print(
      'clone group offset success. srcGroup[%s], destGroup=[%s], topic[%s]',
      source,
      target,
      args.need('t')
    )
  }
}
