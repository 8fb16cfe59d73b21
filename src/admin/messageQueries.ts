import { join } from 'node:path'
import { asError, type Producer, type ReceivedMessage } from '../client/index.ts'
import { MessageProperty } from '../protocol/index.ts'
import {
  type Command,
  type CommandContext,
  CommandError,
  flag,
  required,
  value
} from './command.ts'
import { messageLines, type QueueBounds } from './messageText.ts'
import { messageTracks } from './messageTrack.ts'

const topic = required('t', 'topic', 'topic of the message')
const group = value('g', 'consumerGroup', 'have a member of this group consume it now')
const client = value('d', 'clientId', 'the member that shall consume it')

export const queryMsgById: Command = {
  name: 'queryMsgById',
  description: "Show messages by the broker's id",
  options: [
    required('i', 'msgId', 'offset message ids, separated by commas'),
    value('t', 'topic', 'topic of the message (not needed)'),
    group,
    client,
    value('s', 'sendMessage', 'true: send it again'),
    value('u', 'unitName', 'unit of the client (has no effect)')
  ],
  async run(context) {
    const { args, admin } = context
    for (const id of args
      .need('i')
      .split(',')
      .map(each => each.trim())) {
      const message = await admin.messages.byOffsetId(id)
      if (args.has('g') && args.has('d')) await consumeDirectly(context, message)
      else if (args.has('s')) {
        if (args.truth('s', false)) await sendAgain(context, message, id)
      } else await showMessage(context, message, { withId: true, bounds: null, suffix: '' })
    }
  }
}

async function sendAgain(
  context: CommandContext,
  message: ReceivedMessage,
  id: string
): Promise<void> {
  const producer: Producer = await context.producer('ReSendMsgById')
  try {
    const reserved = new Set<string>(Object.values(MessageProperty))
    const result = await producer.send({
      topic: message.topic,
      body: message.body,
      ...(message.tag === null ? {} : { tag: message.tag }),
      keys: message.keys,
      properties: Object.fromEntries(
        [...message.properties].filter(([name]) => !reserved.has(name))
      )
    })
    context.print('prepare resend msg. originalMsgId=%s%s%n', id, sendResultText(result))
  } finally {
    await producer.close()
  }
}

/** As RocketMQ 4.9 prints the result of a send. */
export function sendResultText(result: Awaited<ReturnType<Producer['send']>>): string {
  const { topic: name, brokerName, queueId } = result.queue
  return (
    `SendResult [sendStatus=${result.status}, msgId=${result.messageId}, offsetMsgId=${result.offsetMessageId}, ` +
    `messageQueue=MessageQueue [topic=${name}, brokerName=${brokerName}, queueId=${queueId}], queueOffset=${result.queueOffset}]`
  )
}

async function consumeDirectly(context: CommandContext, message: ReceivedMessage): Promise<void> {
  const { args, admin } = context
  const result = await admin.offsets.consumeDirectly(
    message.storeHost,
    args.need('g'),
    args.need('d'),
    message.offsetMessageId
  )
  const { order, autoCommit, consumeResult, remark, spentTimeMills } = result
  context.print(
    'ConsumeMessageDirectlyResult [order=%s, autoCommit=%s, consumeResult=%s, remark=%s, spentTimeMills=%s]%n',
    order,
    autoCommit,
    consumeResult ?? 'null',
    remark ?? 'null',
    spentTimeMills
  )
}

export const queryMsgByKey: Command = {
  name: 'queryMsgByKey',
  description: 'Find messages by their key',
  options: [
    topic,
    required('k', 'msgKey', 'the key'),
    value('b', 'beginTimestamp', 'stored at this time or later, ms since 1970'),
    value('e', 'endTimestamp', 'stored at this time or earlier, ms since 1970'),
    value('m', 'maxNum', 'at most so many (default 64)')
  ],
  async run(context) {
    const { args, admin } = context
    const messages = await admin.messages.byKey({
      topic: args.need('t'),
      key: args.need('k'),
      maxMessages: args.whole('m', 64),
      beginMs: args.whole('b', 0),
      endMs: args.whole('e', Number.MAX_SAFE_INTEGER)
    })
    if (messages.length === 0) {
      throw new CommandError(`no message of ${args.need('t')} has the key ${args.need('k')}`)
    }
    const line = '%-50s %4s %40s%n'
    context.print(line, '#Message ID', '#QID', '#Offset')
    for (const { messageId, queue, queueOffset } of messages) {
      context.print(line, messageId, queue.queueId, queueOffset)
    }
  }
}

export const queryMsgByUniqueKey: Command = {
  name: 'queryMsgByUniqueKey',
  description: "Show a message by its sender's id",
  options: [
    required('i', 'msgId', "the sender's id of the message"),
    topic,
    group,
    client,
    flag('a', 'showAll', 'all that carry this id, not only the first one')
  ],
  async run(context) {
    const { args, admin } = context
    const found = await admin.messages.byUniqueKey(args.need('t'), args.need('i'))
    const first = found[0]
    if (first === undefined) {
      throw new CommandError(`no message of ${args.need('t')} has the id ${args.need('i')}`)
    }
    if (args.has('g') && args.has('d')) {
      await consumeDirectly(context, first)
      return
    }
    const shown = args.has('a') ? found : [first]
    for (const [at, message] of shown.entries()) {
      const suffix = shown.length > 1 ? `_${at}` : ''
      await showMessage(context, message, { withId: false, bounds: null, suffix })
    }
  }
}

export const queryMsgByOffset: Command = {
  name: 'queryMsgByOffset',
  description: 'Show the message at a place of a queue',
  options: [
    topic,
    required('b', 'brokerName', 'broker group of the queue'),
    required('i', 'queueId', 'number of the queue'),
    required('o', 'offset', 'offset in the queue')
  ],
  async run(context) {
    const { args, admin } = context
    const queue = {
      topic: args.need('t'),
      brokerName: args.need('b'),
      queueId: args.whole('i', 0)
    }
    await admin.route(queue.topic)
    const result = await admin.messages.pull(queue, args.whole('o', 0), { maxMessages: 1 })
    const message = result.messages[0]
    if (message === undefined) {
      throw new CommandError(
        `there is no message at ${args.need('o')}: the queue has offsets from ${result.minOffset} to before ${result.maxOffset}`
      )
    }
    await showMessage(context, message, { withId: true, bounds: result, suffix: '' })
  }
}

/** The block of lines, the body in a file, then what the consumer groups did with it. */
async function showMessage(
  context: CommandContext,
  message: ReceivedMessage,
  how: { withId: boolean; bounds: QueueBounds | null; suffix: string }
): Promise<void> {
  const line = '%-20s %s%n'
  if (how.withId) context.print(line, 'OffsetID:', message.offsetMessageId)
  for (const [label, text] of messageLines(message, how.bounds)) context.print(line, label, text)
  context.print(line, 'Message Body Path:', await saveBody(context, message, how.suffix))
  let tracks: readonly string[]
  try {
    tracks = await messageTracks(context, message)
  } catch (error) {
    context.warn(`what became of the message cannot be told: ${asError(error).message}`)
    return
  }
  context.print('%n%n')
  if (tracks.length === 0) context.write('WARN: No Consumer')
  for (const track of tracks) context.write(track)
}

/** Where the original leaves bodies: below the temporary directory. */
async function saveBody(
  context: CommandContext,
  message: ReceivedMessage,
  suffix: string
): Promise<string> {
  const base = context.io.env['TMPDIR'] ?? join('/', 'tmp')
  const directory = join(base, 'rocketmq', 'msgbodys')
  const path = join(directory, `${message.messageId.replace(/[^\w-]/g, '_')}${suffix}`)
  await context.platform.disk.makeDirectory(directory)
  await context.platform.disk.writeFileAtomic(path, message.body)
  return path
}
