import {
  compareText,
  describeQueue,
  type MessageQueue,
  type PullResult,
  subscribeQueues
} from '../client/index.ts'
import { type Command, type CommandContext, CommandError, required, value } from './command.ts'
import { parseTime } from './format.ts'
import { javaQueueOrder } from './javaOrder.ts'
import { messageText } from './messageText.ts'

const PULL_MESSAGES = 32

/** The original's names of what a pull brought. */
export const STATUS_NAME: Record<PullResult['status'], string> = {
  found: 'FOUND',
  noNewMessage: 'NO_NEW_MSG',
  noMatchedMessage: 'NO_MATCHED_MSG',
  offsetIllegal: 'OFFSET_ILLEGAL'
}

const charset = value('c', 'charsetName', 'encoding of the bodies (default UTF-8)')
const tags = value('s', 'subExpression', 'only messages with these tags, e.g. "TagA || TagB"')
const begin = value(
  'b',
  'beginTimestamp',
  'from this time: ms since 1970, or yyyy-MM-dd#HH:mm:ss:SSS'
)
const end = value('e', 'endTimestamp', 'up to this time, likewise')

/** The time of an option; throws for what is none. */
export function timeOption(context: CommandContext, short: string): number | null {
  const text = context.args.get(short)
  if (text === null) return null
  const wallMs = parseTime(text)
  if (wallMs === null) {
    throw new CommandError(
      `"${text}" is neither milliseconds nor of the form yyyy-MM-dd#HH:mm:ss:SSS`
    )
  }
  return wallMs
}

/** Decodes bodies; throws for an encoding that nobody knows. */
export function bodyDecoder(context: CommandContext, short: string): (body: Buffer) => string {
  const name = context.args.get(short) ?? 'UTF-8'
  try {
    const decoder = new TextDecoder(name)
    return body => decoder.decode(body)
  } catch (error) {
    throw new CommandError(`the encoding ${name} is unknown`, { cause: error })
  }
}

/** Offsets of a queue between two times; all of it without them. */
export async function offsetRange(
  context: CommandContext,
  queue: MessageQueue,
  times: { begin: string; end: string }
): Promise<{ from: number; to: number }> {
  const { messages } = context.admin
  const beginMs = timeOption(context, times.begin)
  const endMs = timeOption(context, times.end)
  const [from, to] = await Promise.all([
    beginMs === null ? messages.minOffset(queue) : messages.offsetByTime(queue, beginMs),
    endMs === null ? messages.maxOffset(queue) : messages.offsetByTime(queue, endMs)
  ])
  return { from, to }
}

export const printMsg: Command = {
  name: 'printMsg',
  description: 'Print the messages of a topic',
  options: [
    required('t', 'topic', 'name of the topic'),
    charset,
    tags,
    begin,
    end,
    value('d', 'printBody', 'print the bodies, true or false (default true)')
  ],
  async run(context) {
    const { args } = context
    const route = await context.admin.route(args.need('t'))
    const decode = bodyDecoder(context, 'c')
    const withBody = args.truth('d', true)
    for (const queue of javaQueueOrder(subscribeQueues(route), each => each)) {
      const { from, to } = await offsetRange(context, queue, { begin: 'b', end: 'e' })
      context.print('minOffset=%s, maxOffset=%s, %s%n', from, to, describeQueue(queue))
      await readQueue(context, queue, { from, to }, result => {
        for (const message of result.messages) {
          const body = withBody ? decode(message.body) : 'NOT PRINT BODY'
          const text = messageText(message, result)
          context.write(`MSGID: ${message.messageId} ${text} BODY: ${body}\n`)
        }
      })
      context.write(`${'-'.repeat(56)}\n`)
    }
  }
}

/** Pulls a range of a queue, and says why it ended before its end. */
export async function readQueue(
  context: CommandContext,
  queue: MessageQueue,
  range: { from: number; to: number },
  take: (result: PullResult) => void
): Promise<void> {
  let offset = range.from
  while (offset < range.to) {
    const result = await context.admin.messages.pull(queue, offset, {
      maxMessages: Math.min(PULL_MESSAGES, range.to - offset),
      expression: context.args.get('s') ?? '*'
    })
    const wanted = result.messages.filter(message => message.queueOffset < range.to)
    if (result.status === 'found') take({ ...result, messages: wanted })
    else {
      const status = STATUS_NAME[result.status]
      const text = result.status === 'noMatchedMessage' ? 'no matched msg' : 'print msg finished'
      context.print('%s %s. status=%s, offset=%s%n', describeQueue(queue), text, status, offset)
      if (result.status !== 'noMatchedMessage') return
    }
    // A broker that does not move on would keep us here for ever.
    if (result.nextOffset <= offset) return
    offset = result.nextOffset
  }
}

export const printMsgByQueue: Command = {
  name: 'printMsgByQueue',
  description: 'Print or count the messages of a queue',
  options: [
    required('t', 'topic', 'name of the topic'),
    required('a', 'brokerName', 'broker group of the queue'),
    required('i', 'queueId', 'number of the queue'),
    charset,
    tags,
    begin,
    end,
    value('p', 'printMsg', 'print the messages, true or false (default false)'),
    value('d', 'printBody', 'print the bodies, true or false (default false)'),
    value('f', 'calculate', 'count the messages of each tag, true or false (default false)')
  ],
  async run(context) {
    const { args } = context
    const queue = {
      topic: args.need('t'),
      brokerName: args.need('a'),
      queueId: args.whole('i', 0)
    }
    await context.admin.route(queue.topic)
    const decode = bodyDecoder(context, 'c')
    const print = args.truth('p', false)
    const withBody = args.truth('d', false)
    const counts = new Map<string, number>()
    const range = await offsetRange(context, queue, { begin: 'b', end: 'e' })
    await readQueue(context, queue, range, result => {
      for (const message of result.messages) {
        const tag = message.tag ?? 'null'
        counts.set(tag, (counts.get(tag) ?? 0) + 1)
        if (!print) continue
        const body = withBody ? decode(message.body) : 'NOT PRINT BODY'
        context.write(`MSGID: ${message.messageId} ${messageText(message, result)} BODY: ${body}\n`)
      }
    })
    if (!args.truth('f', false)) return
    const sorted = [...counts].sort(([a, m], [b, n]) => n - m || compareText(a, b))
    for (const [tag, count] of sorted) context.print('Tag: %-30s Count: %s%n', tag, count)
  }
}
