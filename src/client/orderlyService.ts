import type { ConsumerGroup, ConsumeService } from './group.ts'
import { callListener } from './listenerCall.ts'
import type { ProcessQueue } from './processQueue.ts'
import type { ReceivedMessage } from './received.ts'
import { sendRetryCopy } from './sendBack.ts'
import type { Sender } from './sender.ts'
import { Sleeper } from './sleeper.ts'

const SUSPEND_MIN_MS = 10
const SUSPEND_MAX_MS = 30_000
/** A queue whose lock is not certain is looked at again after this time. */
const LOCK_RECHECK_MS = 100

/** One listener call at a time for each queue, in the queue's order; a failed message blocks its queue until it succeeds. */
export class OrderlyService implements ConsumeService {
  readonly #group: ConsumerGroup
  readonly #sender: Sender
  readonly #working = new Map<ProcessQueue, { done: Promise<void>; sleeper: Sleeper }>()
  /** Failed deliveries of the message at the head of a queue; the stored count does not change while it waits here. */
  readonly #failures = new WeakMap<ReceivedMessage, number>()
  /** What was consumed and is not to be stored yet, by queue. */
  readonly #held = new WeakMap<ProcessQueue, ReceivedMessage[]>()
  readonly #slots: (() => void)[] = []
  #running = 0
  #stopped: boolean = false

  constructor(group: ConsumerGroup, sender: Sender) {
    this.#group = group
    this.#sender = sender
  }

  arrived(queue: ProcessQueue): void {
    if (this.#stopped || queue.dropped || this.#working.has(queue)) return
    const sleeper = new Sleeper(this.#group.instance.platform.clock)
    const done = this.#work(queue, sleeper).finally(() => {
      this.#working.delete(queue)
      // What arrived between the last look and the end of the work.
      if (queue.hasWaiting && !queue.dropped) this.arrived(queue)
    })
    this.#working.set(queue, { done, sleeper })
  }

  idle(queue: ProcessQueue): Promise<void> {
    const working = this.#working.get(queue)
    working?.sleeper.stop()
    return working?.done ?? Promise.resolve()
  }

  stop(): void {
    this.#stopped = true
    for (const { sleeper } of this.#working.values()) sleeper.stop()
  }

  async #work(queue: ProcessQueue, sleeper: Sleeper): Promise<void> {
    const { clock } = this.#group.instance.platform
    while (!this.#stopped && !queue.dropped && queue.hasWaiting) {
      if (this.#group.options.clustering && !queue.isLocked(clock.monotonicMs())) {
        await sleeper.sleep(LOCK_RECHECK_MS)
        continue
      }
      await this.#slot()
      let suspendMs = 0
      try {
        if (!this.#stopped && !queue.dropped) suspendMs = await this.#consume(queue)
      } finally {
        this.#running--
        this.#slots.shift()?.()
      }
      if (suspendMs > 0) await sleeper.sleep(suspendMs)
    }
  }

  /** Returns the pause before the queue is worked on again, 0 for none. */
  async #consume(queue: ProcessQueue): Promise<number> {
    const { clock } = this.#group.instance.platform
    const batch = queue.take(this.#group.options.messagesPerCall, clock.monotonicMs())
    if (batch.length === 0) return 0
    const { verdict, context } = await callListener(this.#group, queue.queue, batch)
    if (queue.dropped) return 0
    if (verdict === 'done') {
      this.#finish(queue, [...this.#takeHeld(queue), ...batch])
      return 0
    }
    if (verdict === 'hold') {
      const held = this.#held.get(queue)
      if (held === undefined) this.#held.set(queue, batch)
      else held.push(...batch)
      return 0
    }
    const pauseMs = Math.min(Math.max(context.suspendMs, SUSPEND_MIN_MS), SUSPEND_MAX_MS)
    if (verdict === 'rollback') {
      queue.putBack([...this.#takeHeld(queue), ...batch])
      return pauseMs
    }
    if (!this.#group.options.clustering) {
      this.#finish(queue, batch)
      return 0
    }
    if (await this.#giveUp(batch)) {
      this.#finish(queue, batch)
      return 0
    }
    queue.putBack(batch)
    return pauseMs
  }

  #takeHeld(queue: ProcessQueue): readonly ReceivedMessage[] {
    const held = this.#held.get(queue) ?? []
    this.#held.delete(queue)
    return held
  }

  /** True when every message of the batch failed too often and went to the retry topic, from where it becomes a dead letter. */
  async #giveUp(batch: readonly ReceivedMessage[]): Promise<boolean> {
    const { maxReconsumeTimes } = this.#group.options
    let gaveUpAll = true
    for (const message of batch) {
      const failures = (this.#failures.get(message) ?? message.reconsumeTimes) + 1
      this.#failures.set(message, failures)
      const tooOften = failures > maxReconsumeTimes
      const gone =
        tooOften &&
        (await sendRetryCopy(this.#group, this.#sender, {
          ...message,
          reconsumeTimes: failures
        }))
      if (!gone) gaveUpAll = false
    }
    return gaveUpAll
  }

  #finish(queue: ProcessQueue, messages: readonly ReceivedMessage[]): void {
    const offset = queue.finish(messages)
    if (offset !== null) this.#group.offsets.update(queue.queue, offset)
  }

  /** Waits for one of the `concurrency` places. The holder gives it back by `#running--` and waking the next. */
  async #slot(): Promise<void> {
    while (this.#running >= this.#group.options.concurrency) {
      await new Promise<void>(resolve => this.#slots.push(resolve))
    }
    this.#running++
  }
}
