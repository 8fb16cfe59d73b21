import {
  asError,
  type MessageListener,
  Producer,
  PushConsumer,
  parseNameServers,
  type ReceivedMessage
} from '../client/index.ts'
import { format } from './format.ts'
import type { CommandIo } from './io.ts'
import { sendResultText } from './messageQueries.ts'
import { messageText } from './messageText.ts'
import { pauseSeconds } from './pauses.ts'

const TOPIC = 'TopicTest'
const MESSAGES = 1_000
const PRODUCER_GROUP = 'please_rename_unique_group_name'
const CONSUMER_GROUP = 'please_rename_unique_group_name_4'

const PREFIX = 'org.apache.rocketmq.example.quickstart.'

export interface QuickstartOptions {
  /** Ends the consumer; without it, it runs until the process ends. */
  readonly stop?: Promise<void>
}

/**
 * RocketMQ's two first programs, by the class names that `tools.sh` is given (mqadmin.md 12.1). Resolves to the exit
 * status.
 */
export async function runQuickstart(
  className: string,
  argv: readonly string[],
  io: CommandIo,
  options: QuickstartOptions = {}
): Promise<number> {
  const program = className.startsWith(PREFIX) ? className.slice(PREFIX.length) : className
  try {
    if (argv.length > 0) throw new Error(`${program} takes no arguments, not "${argv.join(' ')}"`)
    const given = io.env['NAMESRV_ADDR'] ?? ''
    if (given.trim() === '') throw new Error('set NAMESRV_ADDR to the host:port of a name server')
    const nameServers = [...parseNameServers(given)]
    if (program === 'Producer') return await produce(io, nameServers)
    if (program === 'Consumer') return await consume(io, nameServers, options)
    throw new Error(`there is no program ${className}: use ${PREFIX}Producer or ${PREFIX}Consumer`)
  } catch (error) {
    io.stderr(`${program}: ${asError(error).message}\n`)
    return 1
  }
}

async function produce(io: CommandIo, nameServers: string[]): Promise<number> {
  const producer = new Producer({ group: PRODUCER_GROUP, nameServers, platform: io.platform })
  let failed = 0
  try {
    await producer.start()
    for (let i = 0; i < MESSAGES; i++) {
      try {
        const result = await producer.send({
          topic: TOPIC,
          tag: 'TagA',
          body: `Hello RocketMQ ${i}`
        })
        io.stdout(format('%s%n', sendResultText(result)))
      } catch (error) {
        failed++
        io.stderr(`message ${i} was not sent: ${asError(error).message}\n`)
        await pauseSeconds(io.platform.clock, 1)
      }
    }
  } finally {
    await producer.close()
  }
  return failed === 0 ? 0 : 1
}

async function consume(
  io: CommandIo,
  nameServers: string[],
  options: QuickstartOptions
): Promise<number> {
  let calls = 0
  const listener: MessageListener = messages => {
    // The original prints the name of one of its 20 threads.
    const thread = `ConsumeMessageThread_${CONSUMER_GROUP}_${(calls++ % 20) + 1}`
    io.stdout(format('%s Receive New Messages: %s %n', thread, listText(messages)))
  }
  const consumer = new PushConsumer({
    group: CONSUMER_GROUP,
    nameServers,
    platform: io.platform,
    consumeFrom: 'first',
    listener
  })
  try {
    consumer.subscribe(TOPIC)
    await consumer.start()
    io.stdout('Consumer Started.\n')
    await (options.stop ?? new Promise<void>(() => {}))
    return 0
  } finally {
    await consumer.close()
  }
}

function listText(messages: readonly ReceivedMessage[]): string {
  return `[${messages.map(message => messageText(message, null)).join(', ')}]`
}
