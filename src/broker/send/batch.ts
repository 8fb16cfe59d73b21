import {
  BatchReader,
  decodeProperties,
  encodeProperties,
  MessageProperty,
  PROPERTIES_BYTES_MAX,
  ProtocolError,
  type RemotingCommand,
  ResponseCode,
  type SendHeader
} from '../../protocol/index.ts'
import type { MessageInput } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { storedBytes } from '../stats/index.ts'
import { typeProblem } from './messageType.ts'
import type { SendPath, SendTarget } from './sendPath.ts'
import { BatchSendWaiter } from './waiters.ts'

/** A request body of 4 MiB of empty messages would be 190 000 of them; clients' batches are some hundreds. */
const batchMessagesMax = 32_768
/** What the messages of a batch may come to with the header's properties on each: a small frame could ask for a gigabyte. */
const batchBytesMax = 12 * 1_048_576

/**
 * A batch (body: remoting.md 4.5) is one entry: all of it is stored, or nothing. Each message gets the header's fields and, behind its own properties, the
 * header's (remoting.md 4.5). Answers as `SendPath.put`.
 */
export function putBatch(
  path: SendPath,
  broker: BrokerContext,
  header: SendHeader,
  body: Buffer,
  target: SendTarget
): RemotingCommand | 'notLeader' | null {
  if (path.open.size > 0 && path.open.take(header, body, target.connection)) return null
  if (body.length === 0 || body.length > broker.config.values.maxMessageSize)
    return path.answers.illegal()
  const { topic } = target
  const queueId =
    target.queueId >= 0
      ? target.queueId
      : topic.writeQueueNums > 0
        ? broker.platform.random.below(topic.writeQueueNums)
        : 0
  let messages: MessageInput[] | string
  try {
    messages = readBatch(path, broker, header, body, { ...target, queueId })
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return path.answers.error(ResponseCode.MESSAGE_ILLEGAL, error.message)
  }
  if (typeof messages === 'string')
    return path.answers.error(ResponseCode.MESSAGE_ILLEGAL, messages)
  const waiter = new BatchSendWaiter(
    path,
    target.connection,
    header,
    { topic: topic.topicName, queueId, storedQueueId: queueId },
    messages.reduce((bytes, message) => bytes + storedBytes(message), 0)
  )
  const refused = broker.store.appendBatch(messages, waiter)
  if (refused === null) return null
  return refused === 'notLeader' ? refused : path.answers.refused(refused, header.version)
}

function readBatch(
  path: SendPath,
  broker: BrokerContext,
  header: SendHeader,
  body: Buffer,
  target: SendTarget
): MessageInput[] | string {
  const { bornHost, queueId } = target
  const common = commonProperties(path, header)
  if (common === null) return `the batch's properties are longer than ${PROPERTIES_BYTES_MAX} bytes`
  const scan = path.properties
  const reader = new BatchReader(body)
  const sysFlag = path.sysFlagOf(header.sysFlag, target.topic, bornHost)
  const messages: MessageInput[] = []
  let bytes = 0
  while (reader.next()) {
    if (messages.length >= batchMessagesMax)
      return `the batch has more than ${batchMessagesMax} messages`
    if (
      !scan.scan(body, reader.propertiesStart, reader.propertiesEnd - reader.propertiesStart) ||
      !scan.append(common)
    )
      return `message ${messages.length + 1} of the batch has properties longer than ${PROPERTIES_BYTES_MAX} bytes`
    if (scan.isTransaction || scan.isTimer || scan.delayLevel > 0)
      return `message ${messages.length + 1} of the batch is delayed or transactional, which batches can not be`
    if (broker.config.values.enableTopicMessageTypeCheck) {
      const problem = typeProblem(scan, target.topic)
      if (problem !== null) return problem
    }
    bytes += scan.length + reader.bodyEnd - reader.bodyStart
    if (bytes > batchBytesMax)
      return `the batch with its properties on each message has more than ${batchBytesMax} bytes`
    messages.push({
      topic: target.topic.topicName,
      queueId,
      flag: reader.flag,
      sysFlag,
      bornTimestamp: header.bornTimestamp,
      bornHost,
      storeHost: broker.storeHost,
      reconsumeTimes: header.reconsumeTimes,
      preparedTransactionOffset: 0,
      body: reader.body,
      properties: Buffer.from(scan.stored)
    })
  }
  return messages.length > 0 ? messages : 'the batch is empty'
}

/**
 * What each message of a batch gets: the header's own properties, and the broker's. Not the UNIQ_KEY that 5.x clients give the batch as a whole:
 * behind the message's own one it would be read as the message's id.
 */
function commonProperties(path: SendPath, header: SendHeader): Buffer | null {
  const properties = decodeProperties(header.properties)
  properties.delete(MessageProperty.UNIQ_KEY)
  const own = encodeProperties(properties)
  const scan = path.properties
  if (!scan.scan(own, 0, own.length)) return null
  return scan.append(path.brokerPairs) ? Buffer.from(scan.stored) : null
}
