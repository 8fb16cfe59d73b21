import {
  describeQueue,
  type MessageQueue,
  type Producer,
  subscribeQueues
} from '../client/index.ts'
import { type Command, type CommandContext, CommandError, required, value } from './command.ts'
import { frontCut } from './format.ts'
import { messageText } from './messageText.ts'
import { offsetRange, STATUS_NAME, timeOption } from './printCommands.ts'

const COUNT_DEFAULT = 128
const PULL_MESSAGES_MAX = 32

export const sendMessage: Command = {
  name: 'sendMessage',
  description: 'Send a message',
  options: [
    required('t', 'topic', 'topic to send to'),
    required('p', 'body', 'text of the message, sent as UTF-8'),
    value('k', 'key', 'key of the message'),
    value('c', 'tags', 'tag of the message'),
    value('b', 'broker', 'broker group to send to'),
    value('i', 'qid', 'queue to send to, needs -b'),
    value('m', 'msgTraceEnable', 'has no effect: message traces are not kept')
  ],
  async run(context) {
    const { args } = context
    const broker = args.get('b')
    if (broker === null && args.has('i')) {
      throw new CommandError('Broker name must be set if the queue is chosen!')
    }
    const tag = args.get('c')
    const key = args.get('k')
    const producer: Producer = await context.producer('PID_SENDMESSAGE')
    try {
      const result = await producer.send(
        {
          topic: args.need('t'),
          body: args.need('p'),
          ...(tag === null ? {} : { tag }),
          ...(key === null ? {} : { keys: key })
        },
        broker === null
          ? {}
          : { selectQueue: queues => chosen(queues, broker, args.whole('i', -1)) }
      )
      const line = '%-32s  %-4s  %-20s    %s%n'
      context.print(line, '#Broker Name', '#QID', '#Send Result', '#MsgId')
      const { brokerName, queueId } = result.queue
      context.print(line, frontCut(brokerName, 32), queueId, result.status, result.messageId)
    } finally {
      await producer.close()
    }
  }
}

/** `queueId` -1: the broker group's first queue. */
function chosen(
  queues: readonly MessageQueue[],
  brokerName: string,
  queueId: number
): MessageQueue {
  const queue = queues.find(
    each => each.brokerName === brokerName && (queueId < 0 || each.queueId === queueId)
  )
  if (queue !== undefined) return queue
  const which = queueId < 0 ? 'no queue' : `no queue ${queueId}`
  throw new CommandError(`the topic has ${which} at ${brokerName} that can be written to`)
}

export const consumeMessage: Command = {
  name: 'consumeMessage',
  description: 'Read some messages of a topic',
  options: [
    required('t', 'topic', 'topic to read'),
    value('b', 'brokerName', 'only from this broker group'),
    value('i', 'queueId', 'only from this queue, needs -b'),
    value('o', 'offset', 'from this offset on, needs -i'),
    value('g', 'consumerGroup', 'has no effect: offsets are neither read nor stored'),
    value('s', 'beginTimestamp', 'from this time: ms since 1970, or yyyy-MM-dd#HH:mm:ss:SSS'),
    value('e', 'endTimestamp', 'up to this time, likewise'),
    value('c', 'MessageNumber', 'so many messages of each queue (default 128)')
  ],
  async run(context) {
    const { args } = context
    const count = args.whole('c', COUNT_DEFAULT)
    checkConsumeArguments(context, count)
    const route = await context.admin.route(args.need('t'))
    const broker = args.get('b')
    const queueId = args.whole('i', -1)
    const queues = subscribeQueues(route).filter(
      queue =>
        (broker === null || queue.brokerName === broker) &&
        (queueId < 0 || queue.queueId === queueId)
    )
    if (queues.length === 0) throw new CommandError('the topic has no such queue')
    for (const queue of queues) await consumeQueue(context, queue, count)
  }
}

function checkConsumeArguments(context: CommandContext, count: number): void {
  const { args } = context
  if (count <= 0) throw new CommandError('Please input a positive messageNumber!')
  if (args.has('i') && !args.has('b')) {
    throw new CommandError('Please set the brokerName before queueId!')
  }
  if (args.has('o') && !args.has('i')) throw new CommandError('Please set queueId before offset!')
  const nowMs = context.platform.clock.wallMs()
  const beginMs = timeOption(context, 's')
  const endMs = timeOption(context, 'e')
  if (beginMs !== null && beginMs > nowMs) {
    throw new CommandError('Please set the beginTimestamp before now!')
  }
  if (endMs !== null && endMs > nowMs) {
    throw new CommandError('Please set the endTimestamp before now!')
  }
  if (beginMs !== null && endMs !== null && beginMs > endMs) {
    throw new CommandError(
      'Please make sure that the beginTimestamp is less than or equal to the endTimestamp'
    )
  }
}

async function consumeQueue(
  context: CommandContext,
  queue: MessageQueue,
  count: number
): Promise<void> {
  const { args } = context
  const range = await offsetRange(context, queue, { begin: 's', end: 'e' })
  let offset = args.whole('o', range.from)
  if (offset < range.from || offset > range.to) {
    throw new CommandError(
      `the offset ${offset} is outside of the queue, which has ${range.from} to ${range.to}`
    )
  }
  if (range.to - offset > count) {
    if (args.has('b')) context.print('The oldler %d message will be provided%n', count)
    else {
      context.print('The older %d message of the %d queue will be provided%n', count, queue.queueId)
    }
  }
  const end = Math.min(range.to, offset + count)
  while (offset < end) {
    const result = await context.admin.messages.pull(queue, offset, {
      maxMessages: Math.min(PULL_MESSAGES_MAX, end - offset)
    })
    if (result.status === 'found') {
      context.print('Consume ok%n')
      for (const message of result.messages.filter(each => each.queueOffset < end)) {
        const text = messageText(message, result)
        context.write(
          `MSGID: ${message.messageId} ${text} BODY: ${message.body.toString('utf8')}\n`
        )
      }
    } else {
      const matched = result.status === 'noMatchedMessage'
      const words = matched ? 'no matched msg' : 'print msg finished'
      const status = STATUS_NAME[result.status]
      context.print('%s %s. status=%s, offset=%s%n', describeQueue(queue), words, status, offset)
      if (!matched) return
    }
    if (result.nextOffset <= offset) return
    offset = result.nextOffset
  }
}

export const checkMsgSendRT: Command = {
  name: 'checkMsgSendRT',
  description: "Measure how long sends to a topic's queues take",
  options: [
    required('t', 'topic', 'topic to send to'),
    value('a', 'amount', 'number of messages (default 100)'),
    value('s', 'size', 'bytes of each message (default 128)')
  ],
  async run(context) {
    const { args } = context
    const amount = args.whole('a', 100)
    const body = Buffer.alloc(args.whole('s', 128), 'a')
    const { clock } = context.platform
    const producer: Producer = await context.producer('PID_CHECKMSGSENDRT')
    try {
      const line = '%-32s  %-4s  %-20s    %s%n'
      context.print(line, '#Broker Name', '#QID', '#Send Result', '#RT')
      const queues = await producer.queues(args.need('t'))
      let totalMs = 0
      for (let at = 0; at < amount; at++) {
        const queue = queues[at % queues.length]!
        const startedMs = clock.monotonicMs()
        await producer.send({ topic: queue.topic, body }, { queue })
        const tookMs = Math.round(clock.monotonicMs() - startedMs)
        // The first one also pays for the connection.
        if (at > 0) totalMs += tookMs
        context.print(line, queue.brokerName, queue.queueId, true, tookMs)
      }
      context.print('Avg RT: %.2f%n', amount > 1 ? totalMs / (amount - 1) : totalMs)
    } finally {
      await producer.close()
    }
  }
}
