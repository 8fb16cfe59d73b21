import { compareQueues, compareText, type MessageQueue, queueKey } from './queue.ts'

/**
 * Who of a group consumes which queue. All members compute it alone from the same two lists, so
 * every strategy must give the same answer for them as RocketMQ's clients do (broker.md 4.7).
 */
export interface AllocationStrategy {
  readonly name: string
  /** Both lists are sorted and not empty; `self` is one of `clients`. */
  allocate(
    self: string,
    queues: readonly MessageQueue[],
    clients: readonly string[]
  ): readonly MessageQueue[]
}

export const averageAllocation: AllocationStrategy = {
  name: 'AVG',
  allocate(self, queues, clients) {
    const position = clients.indexOf(self)
    const remainder = queues.length % clients.length
    const base = Math.floor(queues.length / clients.length)
    const size = queues.length <= clients.length ? 1 : base + (position < remainder ? 1 : 0)
    const start =
      remainder > 0 && position < remainder ? position * size : position * size + remainder
    return queues.slice(start, start + size)
  }
}

export const circleAllocation: AllocationStrategy = {
  name: 'AVG_BY_CIRCLE',
  allocate(self, queues, clients) {
    const position = clients.indexOf(self)
    return queues.filter((_, at) => at % clients.length === position)
  }
}

/** Always these queues, whoever else is in the group. */
export function fixedAllocation(fixed: readonly MessageQueue[]): AllocationStrategy {
  const wanted = new Set(fixed.map(queueKey))
  return {
    name: 'CONFIG',
    allocate: (_self, queues) => queues.filter(q => wanted.has(queueKey(q)))
  }
}

/** Sorts both lists as all members do, then asks the strategy. A client that is not listed gets nothing. */
export function allocateQueues(
  strategy: AllocationStrategy,
  self: string,
  queues: readonly MessageQueue[],
  clients: readonly string[]
): readonly MessageQueue[] {
  if (queues.length === 0 || !clients.includes(self)) return []
  return strategy.allocate(self, [...queues].sort(compareQueues), [...clients].sort(compareText))
}
