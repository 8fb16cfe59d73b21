import type { Clock } from '../platform/index.ts'
import { asError, badArgument, ClientError } from './errors.ts'
import { checkOffset } from './offsets.ts'
import type { PullResult } from './pull.ts'
import { describeQueue, type MessageQueue, queueKey } from './queue.ts'
import type { ReceivedMessage } from './received.ts'
import { atMost, pause } from './sleeper.ts'

const RETRY_PAUSE_MS = 100

interface Assigned {
  readonly queue: MessageQueue
  /** Next offset that is pulled; null until it is known. */
  position: number | null
  /** Grows with every seek, so that an answer to an older question is not taken. */
  generation: number
  suggestedBrokerId: number
  pulling: Promise<void> | null
  paused: boolean
  readonly buffered: ReceivedMessage[]
}

export interface PullQueueHooks {
  /** Where the group begins in a queue without a position. */
  startOffset(queue: MessageQueue): Promise<number>
  /** Null: the queue is subscribed to no more. */
  pull(queue: MessageQueue, offset: number, suggestedBrokerId: number): Promise<PullResult | null>
  /** A pull failed in a way that a new leader cures. */
  failed(queue: MessageQueue, error: Error): void
}

/** The queues that a pull consumer reads now, with what was pulled and not yet handed out. Queues have their full names. */
export class PullQueues {
  readonly #clock: Clock
  readonly #hooks: PullQueueHooks
  readonly #assigned = new Map<string, Assigned>()
  /** Calls of `take` that wait; a change of the queues wakes them. */
  #waiting: (() => void)[] = []

  constructor(clock: Clock, hooks: PullQueueHooks) {
    this.#clock = clock
    this.#hooks = hooks
  }

  get queues(): MessageQueue[] {
    return [...this.#assigned.values()].map(assigned => assigned.queue)
  }

  has(queue: MessageQueue): boolean {
    return this.#assigned.has(queueKey(queue))
  }

  add(queue: MessageQueue): void {
    this.#assigned.set(queueKey(queue), {
      queue,
      position: null,
      generation: 0,
      suggestedBrokerId: 0,
      pulling: null,
      paused: false,
      buffered: []
    })
    this.#changed()
  }

  remove(queue: MessageQueue): void {
    this.#assigned.delete(queueKey(queue))
    this.#changed()
  }

  clear(): void {
    this.#assigned.clear()
    this.#changed()
  }

  /** Up to `max` messages as soon as there is one; none after `timeoutMs` or when `isOpen` says no. */
  async take(max: number, timeoutMs: number, isOpen: () => boolean): Promise<ReceivedMessage[]> {
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs
    for (;;) {
      const messages = this.#takeBuffered(max)
      const leftMs = deadlineMs - this.#clock.monotonicMs()
      if (messages.length > 0 || leftMs <= 0 || !isOpen()) return messages
      const changed = new Promise<void>(resolve => {
        this.#waiting.push(resolve)
      })
      const reading = [...this.#assigned.values()].filter(assigned => !assigned.paused)
      const pulls = reading.map(assigned => this.#fill(assigned))
      await atMost(this.#clock, leftMs, Promise.race([changed, ...pulls]))
    }
  }

  /** Goes on at this offset. */
  seek(queue: MessageQueue, offset: number): void {
    checkOffset(offset)
    const assigned = this.#known(queue)
    assigned.position = offset
    assigned.generation++
    assigned.buffered.length = 0
    // What is being pulled is for the old place: do not wait for it.
    assigned.pulling = null
    this.#changed()
  }

  /** The offset that is handed out next; null while it has not been looked up yet. */
  position(queue: MessageQueue): number | null {
    const assigned = this.#known(queue)
    return assigned.buffered[0]?.queueOffset ?? assigned.position
  }

  setPaused(queue: MessageQueue, paused: boolean): void {
    this.#known(queue).paused = paused
    this.#changed()
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  #takeBuffered(max: number): ReceivedMessage[] {
    const messages: ReceivedMessage[] = []
    for (const [key, assigned] of [...this.#assigned]) {
      if (assigned.paused) continue
      const taken = assigned.buffered.splice(0, max - messages.length)
      if (taken.length === 0) continue
      messages.push(...taken)
      // To the back, so that a busy queue does not starve the others.
      this.#assigned.delete(key)
      this.#assigned.set(key, assigned)
      if (messages.length >= max) break
    }
    return messages
  }

  /** One pull in flight for each queue, whoever waits for it. */
  #fill(assigned: Assigned): Promise<void> {
    if (assigned.pulling !== null) return assigned.pulling
    const pulling = this.#pullInto(assigned).finally(() => {
      if (assigned.pulling === pulling) assigned.pulling = null
    })
    assigned.pulling = pulling
    return pulling
  }

  async #pullInto(assigned: Assigned): Promise<void> {
    const { generation, queue } = assigned
    try {
      const position = assigned.position ?? (await this.#hooks.startOffset(queue))
      if (assigned.generation !== generation) return
      const result = await this.#hooks.pull(queue, position, assigned.suggestedBrokerId)
      if (result === null || assigned.generation !== generation) return
      assigned.suggestedBrokerId = result.suggestedBrokerId
      assigned.position = result.nextOffset
      assigned.buffered.push(...result.messages)
    } catch (error) {
      if (!(error instanceof ClientError) || !error.retryable) throw error
      this.#hooks.failed(queue, asError(error))
      await pause(this.#clock, RETRY_PAUSE_MS)
    }
  }

  #known(queue: MessageQueue): Assigned {
    const assigned = this.#assigned.get(queueKey(queue))
    if (assigned === undefined) throw badArgument(`${describeQueue(queue)} is not assigned`)
    return assigned
  }
}
