import type { MessageQueue } from './queue.ts'
import type { ReceivedMessage } from './received.ts'

/** A lock on a queue is trusted for this long after the broker granted it (broker.md 4.8). */
export const LOCK_TRUST_MS = 30_000

const STATE_WAITING = 0
const STATE_RUNNING = 1
const STATE_DONE = 2

interface Slot {
  readonly message: ReceivedMessage
  state: 0 | 1 | 2
  startedMs: number
}

/**
 * Messages of one queue between their arrival and the end of their consumption.
 *
 *   slots:   done | running | done | waiting | waiting
 *            ^ head: its offset is what may be committed     ^ put() appends
 *
 * A slot leaves only at the head, so that the committed offset never passes an unfinished message.
 */
export class ProcessQueue {
  readonly queue: MessageQueue
  /** Not ours any more: nothing is pulled for it, and results of running listeners count for nothing. */
  dropped: boolean = false
  /** The next offset to pull; null before it is known. */
  nextPullOffset: number | null = null
  suggestedBrokerId = 0
  lockedAtMs = Number.NEGATIVE_INFINITY
  lastPullMs = 0
  lastConsumeMs = 0
  readonly #slots: Slot[] = []
  #firstWaiting = 0
  #bytes = 0
  #endOffset: number | null = null

  constructor(queue: MessageQueue) {
    this.queue = queue
  }

  get count(): number {
    return this.#slots.length
  }

  get bytes(): number {
    return this.#bytes
  }

  get hasWaiting(): boolean {
    return this.#firstWaiting < this.#slots.length
  }

  /** Distance of the first and the last offset held. */
  get span(): number {
    const first = this.#slots[0]
    const last = this.#slots.at(-1)
    return first === undefined || last === undefined
      ? 0
      : last.message.queueOffset - first.message.queueOffset
  }

  get firstOffset(): number | null {
    return this.#slots[0]?.message.queueOffset ?? null
  }

  get lastOffset(): number | null {
    return this.#slots.at(-1)?.message.queueOffset ?? null
  }

  isLocked(nowMs: number): boolean {
    return nowMs - this.lockedAtMs < LOCK_TRUST_MS
  }

  /** Adds what a pull brought, in the order of the queue. */
  put(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) {
      // A pull repeated after a lost answer may bring a message twice.
      if (this.#endOffset !== null && message.queueOffset < this.#endOffset) continue
      this.#slots.push({ message, state: STATE_WAITING, startedMs: 0 })
      this.#bytes += message.body.length
      this.#endOffset = message.queueOffset + 1
    }
  }

  /** Up to `max` messages nobody works on yet; they count as running now. */
  take(max: number, nowMs: number): ReceivedMessage[] {
    const taken: ReceivedMessage[] = []
    while (taken.length < max && this.#firstWaiting < this.#slots.length) {
      const slot = this.#slots[this.#firstWaiting++]!
      if (slot.state !== STATE_WAITING) continue
      slot.state = STATE_RUNNING
      slot.startedMs = nowMs
      taken.push(slot.message)
    }
    while (this.#slots[this.#firstWaiting]?.state === STATE_DONE) this.#firstWaiting++
    this.lastConsumeMs = nowMs
    return taken
  }

  /** The messages are finished for good. Returns the offset that may be committed now. */
  finish(messages: readonly ReceivedMessage[]): number | null {
    for (const message of messages) {
      const slot = this.#find(message.queueOffset)
      if (slot !== undefined) slot.state = STATE_DONE
    }
    let gone = 0
    while (this.#slots[gone]?.state === STATE_DONE) {
      this.#bytes -= this.#slots[gone]!.message.body.length
      gone++
    }
    if (gone > 0) {
      this.#slots.splice(0, gone)
      this.#firstWaiting = Math.max(0, this.#firstWaiting - gone)
    }
    return this.firstOffset ?? this.#endOffset
  }

  /** The messages were not consumed: they are handed out again, oldest first. */
  putBack(messages: readonly ReceivedMessage[]): void {
    for (const message of messages) {
      const slot = this.#find(message.queueOffset)
      if (slot?.state === STATE_RUNNING) slot.state = STATE_WAITING
    }
    const first = this.#slots.findIndex(slot => slot.state === STATE_WAITING)
    this.#firstWaiting = first === -1 ? this.#slots.length : first
  }

  /** The oldest message when a listener has worked on it for `limitMs` or more. */
  stuck(nowMs: number, limitMs: number): ReceivedMessage | null {
    const head = this.#slots[0]
    return head?.state === STATE_RUNNING && nowMs - head.startedMs >= limitMs ? head.message : null
  }

  /** Binary search: offsets ascend. */
  #find(offset: number): Slot | undefined {
    let low = 0
    let high = this.#slots.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const slot = this.#slots[middle]!
      if (slot.message.queueOffset === offset) return slot
      if (slot.message.queueOffset < offset) low = middle + 1
      else high = middle - 1
    }
    return undefined
  }
}
