import { createHash } from 'node:crypto'
import type { AllocationStrategy } from './allocation.ts'
import { whole } from './options.ts'
import { describeQueue } from './queue.ts'

const VIRTUAL_NODES_DEFAULT = 10

/**
 * `CONSISTENT_HASH`: members and queues lie on a ring of hashes, a queue belongs to the next member after it; when a member
 * comes or goes, only its own queues move. `virtualNodes`: places of a member on the ring, from 1 on, 10 as in RocketMQ.
 */
export function consistentHashAllocation(virtualNodes?: number): AllocationStrategy {
  const places = whole('virtualNodes', virtualNodes, VIRTUAL_NODES_DEFAULT, 1)
  return {
    name: 'CONSISTENT_HASH',
    allocate(self, queues, clients) {
      const ring = new Map<number, string>()
      for (const client of clients) {
        // The later one takes a place that both hash to.
        for (let place = 0; place < places; place++)
          ring.set(ringHash(`${client}-${place}`), client)
      }
      const hashes = [...ring.keys()].sort((a, b) => a - b)
      return queues.filter(queue => {
        const hash = ringHash(describeQueue(queue))
        const next = hashes.find(each => each >= hash) ?? hashes[0]!
        return ring.get(next) === self
      })
    }
  }
}

/** The first four bytes of the MD5, as RocketMQ's ring has it. */
function ringHash(text: string): number {
  return createHash('md5').update(text, 'utf8').digest().readUInt32BE(0)
}
