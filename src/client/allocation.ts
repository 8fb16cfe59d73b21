import { compareQueues, compareText, type MessageQueue, queueKey } from './queue.ts'

/**
 * Who of a group consumes which queue. All members compute it alone from the same two lists, so every strategy must give
 * the same answer for them as RocketMQ's clients do (broker.md 4.7), and all members of a group must have the same one.
 */
export interface AllocationStrategy {
  /** RocketMQ's name of it, for logs. */
  readonly name: string
  /** The queues of `self`. Both lists are sorted and not empty; `self` is one of `clients`. */
  allocate(
    self: string,
    queues: readonly MessageQueue[],
    clients: readonly string[]
  ): readonly MessageQueue[]
}

/** `AVG`, the usual one: consecutive queues, as many for each member as for the others, or one more. */
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

/** `AVG_BY_CIRCLE`: queues are dealt out in turn, so that each member gets some of every broker group. */
export const circleAllocation: AllocationStrategy = {
  name: 'AVG_BY_CIRCLE',
  allocate(self, queues, clients) {
    const position = clients.indexOf(self)
    return queues.filter((_, at) => at % clients.length === position)
  }
}

/** `CONFIG`: always these queues, whoever else is in the group. With a namespace their topics are the full names. */
export function fixedAllocation(fixed: readonly MessageQueue[]): AllocationStrategy {
  const wanted = new Set(fixed.map(queueKey))
  return {
    name: 'CONFIG',
    allocate: (_self, queues) => queues.filter(q => wanted.has(queueKey(q)))
  }
}

/** `MACHINE_ROOM`: only queues of brokers named `<room>@…` with one of these rooms; the average of those, what is left over from the end. */
export function machineRoomAllocation(rooms: readonly string[]): AllocationStrategy {
  const wanted = new Set(rooms)
  return {
    name: 'MACHINE_ROOM',
    allocate(self, queues, clients) {
      const position = clients.indexOf(self)
      const near = queues.filter(({ brokerName }) => {
        const parts = brokerName.split('@')
        return parts.length === 2 && wanted.has(parts[0]!)
      })
      const size = Math.floor(near.length / clients.length)
      const own = near.slice(position * size, (position + 1) * size)
      const leftOver = near[size * clients.length + position]
      return leftOver === undefined ? own : [...own, leftOver]
    }
  }
}

/** Where brokers and consumers stand; what either function throws, or an empty text, leaves the present division as it is. */
export interface MachineRooms {
  /** Mostly by `queue.brokerName`. */
  ofQueue(queue: MessageQueue): string
  /** By the client id, `<ip>@<instanceName>`. */
  ofClient(clientId: string): string
}

/** `MACHINE_ROOM_NEARBY`: queues are shared by the members of their own room, and by all where a room has none. */
export function nearbyAllocation(
  rooms: MachineRooms,
  within: AllocationStrategy = averageAllocation
): AllocationStrategy {
  return {
    name: `MACHINE_ROOM_NEARBY-${within.name}`,
    allocate(self, queues, clients) {
      const queuesByRoom = byRoom(queues, queue => rooms.ofQueue(queue))
      const clientsByRoom = byRoom(clients, client => rooms.ofClient(client))
      const own = rooms.ofClient(self)
      const given = [...allocate(within, self, queuesByRoom.get(own), clientsByRoom.get(own))]
      for (const room of [...queuesByRoom.keys()].sort(compareText)) {
        if (room === own || clientsByRoom.has(room)) continue
        given.push(...allocate(within, self, queuesByRoom.get(room), clients))
      }
      return given
    }
  }
}

function allocate(
  strategy: AllocationStrategy,
  self: string,
  queues: readonly MessageQueue[] | undefined,
  clients: readonly string[] | undefined
): readonly MessageQueue[] {
  if (queues === undefined || clients === undefined || !clients.includes(self)) return []
  return strategy.allocate(self, queues, clients)
}

function byRoom<T>(items: readonly T[], roomOf: (item: T) => string): Map<string, T[]> {
  const rooms = new Map<string, T[]>()
  for (const item of items) {
    const room = roomOf(item)
    if (room === '') throw new Error(`no machine room is known for ${JSON.stringify(item)}`)
    const found = rooms.get(room)
    if (found === undefined) rooms.set(room, [item])
    else found.push(item)
  }
  return rooms
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
