/** What goes into the log as messages, and what comes back. broker.md 3.1, 3.8; raft.md 4.5, 4.14. */

/** One message to append. All bytes are copied during the call, so views of a received chunk are fine. */
export interface MessageInput {
  /** At most 255 bytes of UTF-8; clients' own have 127. */
  topic: string
  queueId: number
  /** The user's, opaque. */
  flag: number
  /** Bits 0x10 and 0x20 must agree with the lengths of the hosts. */
  sysFlag: number
  bornTimestamp: number
  /** 8 or 20 bytes: address and port. */
  bornHost: Uint8Array
  storeHost: Uint8Array
  reconsumeTimes: number
  preparedTransactionOffset: number
  body: Uint8Array
  /** The properties text as stored, at most 32 767 bytes. */
  properties: Uint8Array
}

/**
 * Told once how a message ended. One object a message with methods on its class (no closures).
 * The numbers are filled in by the store before `stored` is called.
 */
export interface AppendWaiter {
  queueOffset: number
  physicalOffset: number
  storeTimestamp: number
  /** Committed and applied: readable here now. */
  stored(): void
  failed(reason: AppendFailure): void
  /** After `failed('timeout')`: it was stored after all. Told to those only that a `PendingVisitor` kept. */
  storedLate?(): void
}

/**
 * Looks at who waits: `bytes` holds the stored message (a batch's first) at `at`, its place and time not filled in yet. `late`: he was told
 * `timeout` already, and is forgotten unless the answer is true.
 */
export type PendingVisitor = (
  waiter: AppendWaiter,
  bytes: Buffer,
  at: number,
  late: boolean
) => boolean

/** For several messages in one entry: one answer for all, the places of each. */
export interface BatchAppendWaiter extends AppendWaiter {
  /** In the order of the messages. `queueOffset` and `physicalOffset` are the first message's. */
  physicalOffsets: number[]
  queueOffsets: number[]
}

/**
 * After it was accepted (4.14). In every case but `notStarted` the message may still exist later.
 * `timeout`: not committed within 2.5 s. `notLeader`: this node lost the leadership with it pending.
 * `notStarted`: it never reached the log (leadership was lost, or the store stopped, before the entry was closed).
 */
export type AppendFailure = 'timeout' | 'notLeader' | 'notStarted'

/**
 * Not accepted; nothing is stored, the waiter is not told.
 * `notLeader`: not leader, or not ready yet (R-E9). `busy`: 64 MiB or 10 000 sends wait for their commit, or derived
 * state lags behind. `diskFull`: above 90 %. `tooLarge`: message or batch beyond what one entry holds, or a field
 * beyond its length. `illegal`: negative queue id, empty topic, host of a wrong length. `topicDeleted`: the topic's deletion is on its
 * way, and nobody made it anew. `stopped`: shut down.
 */
export type AppendRefusal =
  | 'notLeader'
  | 'busy'
  | 'diskFull'
  | 'tooLarge'
  | 'illegal'
  | 'topicDeleted'
  | 'stopped'

/** Between what an entry may have (16 MiB) and a batch of the largest messages. */
export const APPEND_BYTES_MAX = 12 * 1024 * 1024
/** Highest queue id that is stored; the protocol allows more, no topic has them. */
export const QUEUE_ID_MAX = 65_535
export const APPEND_TIMEOUT_MS = 2_500
export const PENDING_BYTES_MAX = 64 * 1024 * 1024
export const PENDING_SENDS_MAX = 10_000
