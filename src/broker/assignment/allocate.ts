import type { MessageQueue } from '../../protocol/index.ts'

/** Which of the sorted queues the member at `position` of `members` gets. */
type Strategy = (
  queues: readonly MessageQueue[],
  position: number,
  members: number
) => readonly MessageQueue[]

/** Those that the original's broker knows (broker.md 4.7, 4.9). */
const strategies = new Map<string, Strategy>([
  ['AVG', average],
  [
    'AVG_BY_CIRCLE',
    (queues, position, members) => queues.filter((_, i) => i % members === position)
  ]
])

function average(
  queues: readonly MessageQueue[],
  position: number,
  members: number
): readonly MessageQueue[] {
  const rest = queues.length % members
  const larger = rest > 0 && position < rest
  const size = queues.length <= members ? 1 : Math.floor(queues.length / members) + (larger ? 1 : 0)
  const start = larger ? position * size : position * size + rest
  return queues.slice(start, start + size)
}

/**
 * What a member of a group is to read. `share`: null for pulls; for pops how many members share what is assigned to one, not positive:
 * all have all, which is the queue -1 of each broker. Null: the strategy is not known here, the client keeps what it has.
 */
export function assign(
  strategyName: string,
  queues: readonly MessageQueue[],
  clientId: string,
  clients: readonly string[],
  share: number | null
): readonly MessageQueue[] | null {
  const strategy = strategies.get(strategyName)
  if (strategy === undefined) return null
  const sorted = [...queues].sort(compareQueues)
  const members = [...clients].sort(compareText)
  if (share !== null && (share <= 0 || share >= members.length - 1)) return wholeBrokers(sorted)
  const position = members.indexOf(clientId)
  if (position < 0 || sorted.length === 0) return []
  if (share === null) return strategy(sorted, position, members.length)
  // More members than queues: each has one.
  if (members.length > sorted.length) return [sorted[position % sorted.length]!]
  const shared = new Set<MessageQueue>()
  for (let i = 0; i <= share; i++)
    for (const queue of strategy(sorted, (position + i) % members.length, members.length))
      shared.add(queue)
  return [...shared]
}

function wholeBrokers(queues: readonly MessageQueue[]): MessageQueue[] {
  const brokers = new Map(queues.map(queue => [queue.brokerName, { ...queue, queueId: -1 }]))
  return [...brokers.values()]
}

function compareQueues(a: MessageQueue, b: MessageQueue): number {
  return compareText(a.brokerName, b.brokerName) || a.queueId - b.queueId
}

/** As Java compares. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
