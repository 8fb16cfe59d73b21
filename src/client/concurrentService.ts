import type { Timer } from '../platform/index.ts'
import type { ConsumerGroup, ConsumeService } from './group.ts'
import { callListener } from './listenerCall.ts'
import type { ProcessQueue } from './processQueue.ts'
import type { ReceivedMessage } from './received.ts'
import { sendBack } from './sendBack.ts'
import type { Sender } from './sender.ts'

/** A message that could not be sent back is consumed here again after this time. */
const LOCAL_RETRY_MS = 5_000
const STUCK_CHECK_MS = 60_000

/** Up to `concurrency` listener calls at a time; queues take turns. */
export class ConcurrentService implements ConsumeService {
  readonly #group: ConsumerGroup
  readonly #sender: Sender
  /** Queues with messages nobody works on, each once, in the order of their turns. */
  readonly #ready: ProcessQueue[] = []
  readonly #isReady = new Set<ProcessQueue>()
  readonly #working = new Map<ProcessQueue, number>()
  readonly #idleWaiters = new Map<ProcessQueue, (() => void)[]>()
  readonly #stuckCheck: Timer
  #running = 0
  #stopped: boolean = false

  constructor(group: ConsumerGroup, sender: Sender) {
    this.#group = group
    this.#sender = sender
    const everyMs = Math.min(STUCK_CHECK_MS, group.options.consumeTimeoutMs)
    this.#stuckCheck = group.instance.platform.clock.every(everyMs, () => this.#returnStuck())
  }

  arrived(queue: ProcessQueue): void {
    if (!queue.hasWaiting || this.#isReady.has(queue)) return
    this.#isReady.add(queue)
    this.#ready.push(queue)
    this.#pump()
  }

  idle(queue: ProcessQueue): Promise<void> {
    if (!this.#working.has(queue)) return Promise.resolve()
    return new Promise(resolve => {
      const waiters = this.#idleWaiters.get(queue)
      if (waiters === undefined) this.#idleWaiters.set(queue, [resolve])
      else waiters.push(resolve)
    })
  }

  stop(): void {
    this.#stopped = true
    this.#stuckCheck.cancel()
  }

  #pump(): void {
    const { clock } = this.#group.instance.platform
    while (!this.#stopped && this.#running < this.#group.options.concurrency) {
      const queue = this.#ready.shift()
      if (queue === undefined) return
      this.#isReady.delete(queue)
      if (queue.dropped) continue
      const batch = queue.take(this.#group.options.messagesPerCall, clock.monotonicMs())
      if (queue.hasWaiting) {
        this.#isReady.add(queue)
        this.#ready.push(queue)
      }
      if (batch.length > 0) this.#begin(queue, batch)
    }
  }

  #begin(queue: ProcessQueue, batch: readonly ReceivedMessage[]): void {
    this.#running++
    this.#working.set(queue, (this.#working.get(queue) ?? 0) + 1)
    void this.#consume(queue, batch).finally(() => {
      this.#running--
      const left = this.#working.get(queue)! - 1
      if (left > 0) this.#working.set(queue, left)
      else {
        this.#working.delete(queue)
        for (const wake of this.#idleWaiters.get(queue) ?? []) wake()
        this.#idleWaiters.delete(queue)
      }
      this.#pump()
    })
  }

  async #consume(queue: ProcessQueue, batch: readonly ReceivedMessage[]): Promise<void> {
    const { verdict, context } = await callListener(this.#group, queue.queue, batch)
    if (queue.dropped) return
    const consumed = verdict === 'done' ? Math.max(0, context.consumedCount) : 0
    const finished = batch.slice(0, consumed)
    const failed = batch.slice(consumed)
    // Broadcasting has no retry topic: what failed is over (broker.md 5.2).
    if (!this.#group.options.clustering) finished.push(...failed)
    else if (failed.length > 0) {
      const kept = await this.#giveBack(failed, context.delayLevel, finished)
      if (kept.length > 0) this.#again(queue, kept)
    }
    this.#finish(queue, finished)
  }

  /** Adds those that the broker took to `finished`, returns the others. */
  async #giveBack(
    failed: readonly ReceivedMessage[],
    delayLevel: number,
    finished: ReceivedMessage[]
  ): Promise<ReceivedMessage[]> {
    const kept: ReceivedMessage[] = []
    for (const message of failed) {
      const taken = await sendBack(this.#group, this.#sender, message, delayLevel)
      ;(taken ? finished : kept).push(message)
    }
    return kept
  }

  #again(queue: ProcessQueue, messages: readonly ReceivedMessage[]): void {
    this.#group.instance.platform.clock.after(LOCAL_RETRY_MS, () => {
      if (this.#stopped || queue.dropped) return
      queue.putBack(messages)
      this.arrived(queue)
    })
  }

  #finish(queue: ProcessQueue, messages: readonly ReceivedMessage[]): void {
    if (queue.dropped) return
    const offset = queue.finish(messages)
    if (offset !== null) this.#group.offsets.update(queue.queue, offset)
  }

  /** A listener that hangs must not hold up the queue's offset for ever. */
  #returnStuck(): void {
    if (!this.#group.options.clustering) return
    const nowMs = this.#group.instance.platform.clock.monotonicMs()
    for (const queue of this.#group.queues.values()) {
      const message = queue.stuck(nowMs, this.#group.options.consumeTimeoutMs)
      if (message === null) continue
      void sendBack(this.#group, this.#sender, message, 0).then(taken => {
        if (taken) this.#finish(queue, [message])
      })
    }
  }
}
