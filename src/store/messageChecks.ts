/** What cannot be stored at all, whatever the protocol let through. Codes and remarks for clients are the broker's. */
import { IPV4_HOST_BYTES, IPV6_HOST_BYTES, PROPERTIES_BYTES_MAX } from '../protocol/index.ts'
import { type AppendRefusal, type MessageInput, QUEUE_ID_MAX } from './append.ts'

/** What a directory's name may have. Clients' topics are shorter; the retry topic of a pop is made of a group and a topic. */
export const TOPIC_NAME_BYTES_MAX = 255

/** The topic is looked at by `topicRefusal`, once for each topic. */
export function messageRefusal(message: MessageInput): AppendRefusal | null {
  if (message.properties.length > PROPERTIES_BYTES_MAX) return 'tooLarge'
  const queueId = message.queueId
  if (!(queueId >= 0 && queueId <= QUEUE_ID_MAX)) return 'illegal'
  return isHost(message.bornHost) && isHost(message.storeHost) ? null : 'illegal'
}

/** A topic's name is a directory's name here. */
export function topicRefusal(topic: string, topicBytes: number): AppendRefusal | null {
  if (topicBytes > TOPIC_NAME_BYTES_MAX) return 'tooLarge'
  if (topic === '' || topic === '.' || topic === '..') return 'illegal'
  return /[/\\\0]/.test(topic) ? 'illegal' : null
}

function isHost(bytes: Uint8Array): boolean {
  return bytes.length === IPV4_HOST_BYTES || bytes.length === IPV6_HOST_BYTES
}
