import {
  decodeStoredMessage,
  dlqTopic,
  encodeHost,
  encodePopHandle,
  encodeProperties,
  MessageProperty,
  offsetMessageId,
  type PopHandle,
  PROPERTIES_BYTES_MAX,
  putPhysicalOffset,
  type StoredMessage,
  storedMessageSize,
  writeStoredMessage
} from '../../protocol/index.ts'
import type { MessageInput, PopCheckpointRef } from '../../store/index.ts'
import { hostBits } from '../retry/index.ts'

/** A message that nobody acknowledged in time, as it is stored again in its retry topic (grpc.md 6.4). */
export function revivedMessage(
  stored: Buffer,
  checkpoint: PopCheckpointRef,
  retryTopic: string,
  storeHost: Buffer
): MessageInput {
  const message = decodeStoredMessage(stored)
  const properties = new Map(message.properties)
  properties.delete(MessageProperty.POP_CK)
  if (message.reconsumeTimes === 0 || !properties.has(MessageProperty.FIRST_POP_TIME))
    properties.set(MessageProperty.FIRST_POP_TIME, String(checkpoint.popTime))
  return storedAgain(message, retryTopic, properties, storeHost)
}

/** The same for one that was delivered as often as its group allows: it goes to the dead letters, as a message that was sent back. */
export function deadMessage(
  stored: Buffer,
  group: string,
  origin: string,
  storeHost: Buffer
): MessageInput {
  const message = decodeStoredMessage(stored)
  const properties = new Map(message.properties)
  properties.delete(MessageProperty.POP_CK)
  if (!properties.has(MessageProperty.RETRY_TOPIC))
    properties.set(MessageProperty.RETRY_TOPIC, origin)
  if (!properties.has(MessageProperty.ORIGIN_MESSAGE_ID)) {
    const host = encodeHost(message.storeHost.address, message.storeHost.port)
    properties.set(MessageProperty.ORIGIN_MESSAGE_ID, offsetMessageId(host, message.physicalOffset))
  }
  return storedAgain(message, dlqTopic(group), properties, storeHost)
}

function storedAgain(
  message: StoredMessage,
  topic: string,
  properties: Map<string, string>,
  storeHost: Buffer
): MessageInput {
  const encoded = encodeProperties(properties)
  // Its own properties fit once: what was added is left out rather than the message lost.
  const fits = encoded.length <= PROPERTIES_BYTES_MAX
  return {
    topic,
    queueId: 0,
    flag: message.flag,
    sysFlag: hostBits(message.sysFlag, storeHost, storeHost),
    bornTimestamp: message.bornTimestamp,
    bornHost: storeHost,
    storeHost,
    reconsumeTimes: message.reconsumeTimes + 1,
    preparedTransactionOffset: 0,
    body: message.body,
    properties: fits ? encoded : encodeProperties(message.properties)
  }
}

/** A message of a retry topic as a pop gives it out: under the topic from which it came, with the handle that acknowledges it. */
export function underOwnTopic(
  stored: Buffer,
  topic: string,
  handle: Omit<PopHandle, 'offset'>
): Buffer {
  const message = decodeStoredMessage(stored)
  const properties = new Map(message.properties)
  const popCk = encodePopHandle({ ...handle, offset: message.queueOffset })
  let encoded = encodeProperties(properties.set(MessageProperty.POP_CK, popCk))
  // No room: whoever gets it cannot acknowledge it, but everybody can read it.
  if (encoded.length > PROPERTIES_BYTES_MAX) encoded = encodeProperties(message.properties)
  const fields = {
    topicBytes: Buffer.from(topic),
    queueId: message.queueId,
    flag: message.flag,
    queueOffset: message.queueOffset,
    sysFlag: message.sysFlag,
    bornTimestamp: message.bornTimestamp,
    bornHost: encodeHost(message.bornHost.address, message.bornHost.port),
    storeTimestamp: message.storeTimestamp,
    storeHost: encodeHost(message.storeHost.address, message.storeHost.port),
    reconsumeTimes: message.reconsumeTimes,
    preparedTransactionOffset: message.preparedTransactionOffset,
    body: message.body,
    properties: encoded
  }
  const bytes = Buffer.allocUnsafe(storedMessageSize(fields))
  writeStoredMessage(bytes, 0, fields)
  putPhysicalOffset(bytes, 0, message.physicalOffset)
  return bytes
}
