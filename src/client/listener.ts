import type { MessageQueue } from './queue.ts'
import type { ReceivedMessage } from './received.ts'

/**
 * `done` (or nothing): consumed. `later`: deliver again; a concurrent consumer gets it back from the broker after a
 * delay, an orderly one at once after a pause, with the queue waiting. What a listener throws counts as `later`.
 *
 * Orderly only, else they count as `later`: `hold`: go on, but the place is not stored yet, and whoever has the queue next gets the messages again;
 * the `done` that follows finishes them too. At most `queueMessagesMax` of a queue can be held. `rollback`: these messages, and what is held before
 * them, are delivered again after a pause.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a listener that returns nothing is the usual one
export type ConsumeVerdict = 'done' | 'later' | 'hold' | 'rollback' | void

/** What a listener's call is about, and what it may say besides its verdict. */
export interface ConsumeContext {
  readonly queue: MessageQueue
  /** Concurrent only, for `later`: 0 the broker decides (10 s, 30 s, 1 min …), 1 to 18 this delay level, -1 dead letter at once. */
  delayLevel: number
  /** Concurrent only, for `done`: how many messages from the start were consumed; the others come again. */
  consumedCount: number
  /** Orderly only, for `later` and `rollback`: pause in ms before the same messages are tried again, 10 to 30000. */
  suspendMs: number
}

/** Called with at least one message, all of one queue and in its order; what it throws, or a promise that rejects, counts as `later`. */
export type MessageListener = (
  messages: readonly ReceivedMessage[],
  context: ConsumeContext
) => ConsumeVerdict | Promise<ConsumeVerdict>
