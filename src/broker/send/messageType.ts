import { ByteRange, findProperty, MessageProperty } from '../../protocol/index.ts'
import type { TopicSettings } from '../../store/index.ts'
import type { PropertyScan } from './propertyScan.ts'

const shardingKey = Buffer.from(MessageProperty.SHARDING_KEY)
const range = new ByteRange()

/** What kind of message the scanned properties make, as 5.3's proxy sees it. */
function typeOf(properties: PropertyScan): string {
  if (properties.isTransaction) return 'TRANSACTION'
  if (properties.delayLevel > 0 || properties.isTimer) return 'DELAY'
  const { stored } = properties
  return findProperty(stored, 0, stored.length, shardingKey, range) ? 'FIFO' : 'NORMAL'
}

/**
 * Why the topic's attribute `message.type` forbids the scanned message (enableTopicMessageTypeCheck; in the original a proxy asks, a broker
 * never). Null: it does not; a topic without the attribute takes all.
 */
export function typeProblem(properties: PropertyScan, topic: TopicSettings): string | null {
  const expected = topic.attributes?.['message.type']
  if (expected === undefined || expected === 'MIXED' || expected === 'UNSPECIFIED') return null
  const actual = typeOf(properties)
  if (actual === expected) return null
  return `TopicMessageType validate failed, the expected type is ${expected}, but actual type is ${actual}`
}
