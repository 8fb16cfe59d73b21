import {
  orderFreeMs,
  type PopAck,
  type PopCheckpoint,
  type PopCheckpointRef,
  type PopQueueRef
} from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'

/** Acknowledgements of one command; a turn that brings more makes several. */
const acksMax = 2_000

/**
 * What the leader knows of messages in flight beyond the log's tables: acknowledgements of this turn, which leave as one command, and
 * which batches are just being given out anew, so that nobody can change them any more.
 */
export class InFlight {
  readonly #broker: BrokerContext
  #acks: PopAck[] = []
  #leaving: Promise<void> | null = null
  /** Commands on their way that take something out of flight. */
  #pending = 0
  readonly #reviving = new Set<PopCheckpoint>()

  constructor(broker: BrokerContext) {
    this.#broker = broker
  }

  /** Another leadership begins or ends: nothing is being given out anew. */
  reset(): void {
    this.#reviving.clear()
  }

  /** Resolves when all that was asked for before is applied. Rejects as `Store.execute`. */
  async settle(): Promise<void> {
    if (this.#pending === 0) return
    const { store, platform } = this.#broker
    await new Promise<void>(resolve => {
      platform.clock.turnEnd(resolve)
    })
    // Behind all of it in the log.
    await store.execute({ type: 'popAcks', acks: [] })
  }

  /** From now on what is asked for these batches comes too late. */
  close(checkpoints: readonly PopCheckpoint[]): void {
    for (const checkpoint of checkpoints) this.#reviving.add(checkpoint)
  }

  /** They are done with, or their time is not over for good. */
  open(checkpoints: readonly PopCheckpoint[]): void {
    for (const checkpoint of checkpoints) this.#reviving.delete(checkpoint)
  }

  /** The batch, if something of it can still be taken out of flight. */
  find(ref: PopCheckpointRef): PopCheckpoint | undefined {
    const checkpoint = this.#broker.store.tables.pops.find(ref)
    return checkpoint === undefined || this.#reviving.has(checkpoint) ? undefined : checkpoint
  }

  /** No batch in order holds the queue. */
  isFree(queue: PopQueueRef): boolean {
    const { store } = this.#broker
    return orderFreeMs(store.tables.popOrder(queue)) <= store.timeMs()
  }

  /** Resolves when it is applied; at once when there is nothing to do. Rejects as `Store.execute`. */
  async acknowledge(ack: PopAck): Promise<void> {
    const checkpoint = this.find(ack)
    const offsets = ack.offsets.filter(offset => checkpoint?.has(offset) === true)
    if (offsets.length === 0) return
    const { group, topic, queueId, startOffset, popTime } = ack
    this.#acks.push({ group, topic, queueId, startOffset, popTime, offsets })
    this.#leaving ??= this.#leave()
    await this.#leaving
  }

  /** Of one message, as the log will have it. Resolves to whether it was in flight. Rejects as `Store.execute`. */
  async change(
    ref: PopCheckpointRef,
    offset: number,
    to: { popTime: number; invisibleMs: number }
  ): Promise<boolean> {
    const { group, topic, queueId, startOffset, popTime } = ref
    const change = {
      group,
      topic,
      queueId,
      startOffset,
      popTime,
      offset,
      newPopTime: to.popTime,
      newInvisibleMs: to.invisibleMs
    }
    this.#pending += 1
    try {
      return (await this.#broker.store.execute({ type: 'popChange', change })).changed
    } finally {
      this.#pending -= 1
    }
  }

  /** All of this turn as one command; as many as a turn reads, some 100 bytes each. */
  async #leave(): Promise<void> {
    const { store, platform } = this.#broker
    this.#pending += 1
    try {
      await new Promise<void>(resolve => {
        platform.clock.turnEnd(resolve)
      })
      const acks = this.#acks
      this.#acks = []
      this.#leaving = null
      const commands = []
      for (let at = 0; at < acks.length; at += acksMax)
        commands.push(store.execute({ type: 'popAcks', acks: acks.slice(at, at + acksMax) }))
      await Promise.all(commands)
    } finally {
      this.#pending -= 1
    }
  }
}
