import { createHash } from 'node:crypto'
import { compareQueues, compareText, describeQueue, type MessageQueue, queueKey } from './queue.ts'

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

const VIRTUAL_NODES = 10

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

/** Few queues move when a member comes or goes; the ring is the Java client's, not the Go client's. */
export const consistentHashAllocation: AllocationStrategy = {
  name: 'CONSISTENT_HASH',
  allocate(self, queues, clients) {
    const owners = new Map<number, string>()
    for (const client of clients) {
      for (let node = 0; node < VIRTUAL_NODES; node++)
        owners.set(md5Word(`${client}-${node}`), client)
    }
    const ring = [...owners.keys()].sort((a, b) => a - b)
    return queues.filter(queue => {
      const hash = md5Word(describeQueue(queue))
      const node = ring.find(at => at >= hash) ?? ring[0]!
      return owners.get(node) === self
    })
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

function md5Word(text: string): number {
  return createHash('md5').update(text, 'utf8').digest().readUInt32BE(0)
}
