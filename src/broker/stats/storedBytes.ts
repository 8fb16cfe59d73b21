import { STORED_MESSAGE_FIXED_BYTES } from '../../protocol/index.ts'
import type { MessageInput } from '../../store/index.ts'

/** Two hosts of IPv4, which the fixed part counts. */
const hostsBytes = 16

/** What a message takes in the log, as put sizes count it; topics are ASCII and short. */
export function storedBytes(message: MessageInput): number {
  const { topic, bornHost, storeHost, body, properties } = message
  const hosts = bornHost.length + storeHost.length - hostsBytes
  return STORED_MESSAGE_FIXED_BYTES + hosts + topic.length + body.length + properties.length
}
