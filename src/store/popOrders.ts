/**
 * Pops in order (grpc.md 6.7): the batch that a group has of a queue. The offset stays at the batch's first message that is not
 * acknowledged; the next batch is given out when all are, or when the times of those that are not are over. Changed by commands only;
 * whose time is over is for the leader to find out, and written nowhere.
 */
import type { PopQueueRef } from './pop.ts'

/** A record of the state database: its name is `topic@group@queueId`, its value JSON. */
export const POP_ORDER_RECORD = 'S'

/** An ordered pop gave this batch out; the one before it is replaced. */
export interface PopOrderTake extends PopQueueRef {
  /** Time of the log, ms. */
  readonly popTime: number
  readonly invisibleMs: number
  /** The group's offset as the leader knew it, -1 for none; it becomes `startOffset` if it is still that. */
  readonly expectedOffset: number
  readonly startOffset: number
  /** Ascending; none: only the offset moves. */
  readonly offsets: readonly number[]
  /** The client's name for its attempt; an equal one repeats a pop whose answer was lost. */
  readonly attemptId: string | null
}

/** Acknowledged messages of the batch that was popped at `popTime`. */
export interface PopOrderAck extends PopQueueRef {
  readonly popTime: number
  readonly offsets: readonly number[]
}

/** A message of the batch of `popTime` comes back at another time. */
export interface PopOrderChange extends PopQueueRef {
  readonly popTime: number
  readonly offset: number
  /** Time of the log, ms. */
  readonly visibleMs: number
}

export interface PopOrder {
  readonly popTime: number
  readonly invisibleMs: number
  readonly attemptId: string | null
  readonly messages: readonly PopOrderMessage[]
}

export interface PopOrderMessage {
  readonly offset: number
  /** How often it was given out before this batch. */
  readonly consumed: number
  readonly acknowledged: boolean
  /** Time of the log; null: pop time + invisible time of the batch. */
  readonly visibleMs: number | null
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type State = Omit<PopOrder, 'messages'> & { readonly messages: Mutable<PopOrderMessage>[] }

/** When the queue may be popped again by the clock; 0 when nothing holds it. */
export function orderFreeMs(order: PopOrder | undefined): number {
  let freeMs = 0
  for (const message of order?.messages ?? []) {
    if (message.acknowledged) continue
    freeMs = Math.max(freeMs, message.visibleMs ?? order!.popTime + order!.invisibleMs)
  }
  return freeMs
}

export class PopOrderTable {
  readonly #orders = new Map<string, State>()
  readonly #dirty = new Set<string>()

  find(queue: PopQueueRef): PopOrder | undefined {
    return this.#orders.get(orderName(queue))
  }

  take(take: PopOrderTake): void {
    if (take.offsets.length === 0) return
    const name = orderName(take)
    const before = this.#orders.get(name)
    const isRepeated =
      before !== undefined && before.attemptId !== null && before.attemptId === take.attemptId
    const consumed = new Map(before?.messages.map(({ offset, consumed }) => [offset, consumed]))
    const messages = take.offsets.map(offset => {
      const times = consumed.get(offset)
      const next = times === undefined ? 0 : isRepeated ? times : times + 1
      return { offset, consumed: next, acknowledged: false, visibleMs: null }
    })
    const { popTime, invisibleMs, attemptId } = take
    this.#orders.set(name, { popTime, invisibleMs, attemptId, messages })
    this.#dirty.add(name)
  }

  /** The offset to go on from; -1: nothing is known of them, nothing moves. */
  acknowledge(ack: PopOrderAck): number {
    const name = orderName(ack)
    const order = this.#orders.get(name)
    // None: the offset was set meanwhile, and an acknowledgement from before must not move it on.
    if (order === undefined || order.popTime !== ack.popTime) return -1
    for (const message of order.messages)
      if (ack.offsets.includes(message.offset)) message.acknowledged = true
    this.#dirty.add(name)
    const first = order.messages.find(message => !message.acknowledged)
    return first === undefined ? order.messages.at(-1)!.offset + 1 : first.offset
  }

  /** False: it is not of the present batch. */
  change(change: PopOrderChange): boolean {
    const name = orderName(change)
    const order = this.#orders.get(name)
    const message = order?.messages.find(({ offset }) => offset === change.offset)
    if (order === undefined || message === undefined || order.popTime !== change.popTime)
      return false
    message.visibleMs = change.visibleMs
    this.#dirty.add(name)
    return true
  }

  /** The offset was set, so that the batch says nothing any more. False: there was none. */
  forget(queue: PopQueueRef): boolean {
    const name = orderName(queue)
    if (!this.#orders.delete(name)) return false
    this.#dirty.add(name)
    return true
  }

  /** Without `topic`: all of the group. Without `group`: of all groups for the topic. */
  remove(group: string | undefined, topic: string | undefined): void {
    for (const name of this.#orders.keys()) {
      const [ofTopic, ofGroup] = name.split('@')
      if (topic !== undefined && ofTopic !== topic) continue
      if (group !== undefined && ofGroup !== group) continue
      this.#orders.delete(name)
      this.#dirty.add(name)
    }
  }

  /** What changed since the last time, by name; null: gone. */
  takeDirty(): [string, PopOrder | null][] {
    const changed = [...this.#dirty]
    this.#dirty.clear()
    return changed.map(name => [name, this.#orders.get(name) ?? null])
  }

  load(name: string, order: PopOrder): void {
    this.#orders.set(name, { ...order, messages: order.messages.map(message => ({ ...message })) })
  }
}

function orderName({ topic, group, queueId }: PopQueueRef): string {
  return `${topic}@${group}@${queueId}`
}
