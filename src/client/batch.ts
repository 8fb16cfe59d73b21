import { encodeBatch, MessageProperty, propertiesText } from '../protocol/index.ts'
import { badArgument } from './errors.ts'
import { whole } from './options.ts'
import type { Message, PreparedMessage } from './outgoing.ts'
import type { SendParts, SendResult } from './sendRequest.ts'

/** Names under which a broker would do something with a single message that a batch cannot have (remoting.md 4.5). */
export function checkBatch(messages: readonly PreparedMessage[], bytesMax: number): void {
  const first = messages[0]
  if (first === undefined) throw badArgument('a batch needs at least one message')
  for (const message of messages) {
    if (message.topic !== first.topic) throw badArgument('a batch has messages of one topic only')
    if (message.delayed) throw badArgument('a batch cannot have delayed messages')
    if (message.topic.startsWith('%RETRY%')) throw badArgument('a retry topic takes no batches')
  }
  const bytes = batchBytes(messages)
  if (bytes > bytesMax) throw badArgument(`the batch has ${bytes} bytes, allowed are ${bytesMax}`)
}

function batchBytes(messages: readonly PreparedMessage[]): number {
  return messages.reduce((sum, message) => sum + batchEntryBytes(message), 0)
}

/** Size word, magic, CRC, flag, two length words, body, properties: remoting.md 4.5. */
export function batchEntryBytes(message: PreparedMessage): number {
  return 22 + message.body.length + message.propertiesBytes
}

/** One request for all of them; they become consecutive messages of one queue, all or none. */
export function batchParts(messages: readonly PreparedMessage[], bornTimestamp: number): SendParts {
  const keys = messages.map(message => message.uniqueKey).join(',')
  return {
    topic: messages[0]!.topic,
    uniqueKeys: keys,
    body: encodeBatch(
      messages.map(({ flag, body, propertiesText: text }) => ({
        flag,
        body,
        properties: Buffer.from(text, 'utf8')
      }))
    ),
    sysFlag: 0,
    flag: 0,
    // The broker appends these to the properties of each message, so nothing of a single message may be here.
    propertiesText: propertiesText([[MessageProperty.WAIT, 'true']]),
    batch: true,
    reply: false,
    bornTimestamp,
    reconsumeTimes: 0,
    maxReconsumeTimes: null
  }
}

/** What each message of a batch would have been told, had it been sent alone. */
export function resultsOfMembers(batch: SendResult): SendResult[] {
  const offsetIds = batch.offsetMessageId.split(',')
  return batch.messageId.split(',').map((messageId, at) => ({
    ...batch,
    messageId,
    offsetMessageId: offsetIds[at] ?? batch.offsetMessageId,
    queueOffset: batch.queueOffset + at
  }))
}

/** What a batch adds to each message at most besides what its sender gave: lengths, unique key, names of properties. */
const ENTRY_OVERHEAD_BYTES = 200
const SPLIT_BYTES_DEFAULT = 1_000_000

/**
 * Cuts any number of messages into batches for `sendBatch`, in their order: each of one topic and of at most `bytesMax` bytes, 1 MB when not
 * given; a larger message is a batch by itself. Throws BAD_ARGUMENT for a `bytesMax` below 1.
 */
export function* splitBatch(
  messages: Iterable<Message>,
  bytesMax?: number
): Generator<readonly Message[], void, undefined> {
  const limit = whole('bytesMax', bytesMax, SPLIT_BYTES_DEFAULT, 1)
  let batch: Message[] = []
  let bytes = 0
  for (const message of messages) {
    const more = entryBytesAtMost(message)
    const fits = bytes + more <= limit && batch[0]?.topic === message.topic
    if (batch.length > 0 && !fits) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(message)
    bytes += more
  }
  if (batch.length > 0) yield batch
}

function entryBytesAtMost(message: Message): number {
  const { body, keys = [], tag = '', shardingKey = '', properties = {} } = message
  const bodyBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
  const texts = [...(typeof keys === 'string' ? [keys] : keys), tag, shardingKey]
  for (const pair of Object.entries(properties)) texts.push(...pair)
  const textBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0)
  return ENTRY_OVERHEAD_BYTES + bodyBytes + textBytes
}
