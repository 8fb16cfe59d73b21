import type { MessageQueue } from '../client/index.ts'
import { javaHash } from '../protocol/index.ts'

/**
 * The order in which Java's HashMap and HashSet give out what was put in: RocketMQ's tools print maps that way, and
 * scripts compare their output.
 */
function javaOrder<T>(items: readonly T[], hashOf: (item: T) => number): T[] {
  let buckets = 16
  while (items.length > buckets * 0.75) buckets *= 2
  return items
    .map((item, at) => {
      const hash = hashOf(item)
      return { item, at, bucket: (hash ^ (hash >>> 16)) & (buckets - 1) }
    })
    .sort((a, b) => a.bucket - b.bucket || a.at - b.at)
    .map(entry => entry.item)
}

/** A map's text: `{a=1, b=2}`. */
export function javaMapText(map: Iterable<readonly [string, string]>): string {
  const entries = javaOrder([...map], ([name]) => javaHash(name))
  return `{${entries.map(([name, value]) => `${name}=${value}`).join(', ')}}`
}

export function javaQueueOrder<T>(items: readonly T[], queueOf: (item: T) => MessageQueue): T[] {
  return javaOrder(items, item => {
    const { brokerName, queueId, topic } = queueOf(item)
    let hash = Math.imul(31, 1) + javaHash(brokerName)
    hash = (Math.imul(31, hash) + queueId) | 0
    return (Math.imul(31, hash) + javaHash(topic)) | 0
  })
}
