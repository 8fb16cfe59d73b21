/** Reading a queue: request and answer. The statuses and next offsets are those of broker.md 4.2. */

export interface PullRequest {
  topic: string
  queueId: number
  offset: number
  /** At least 1. */
  maxMessages: number
  /** Bytes of the answer; the first message always goes. Absent: only the store's own limits (256 KiB from memory, 64 KiB from disk). */
  maxBytes?: number
  /** Java hash codes of the wanted tags; null = all. Collisions pass (the client compares the text). */
  tagHashes: ReadonlySet<number> | null
  /** Looks into each message; absent or null = none. Not together with `tagHashes`. */
  filter?: MessageFilter | null
  /** How long the first message is waited for when its part of the log is damaged here, ms: a peer gives it back. Absent: not at all. */
  patienceMs?: number
  /** `chunks` are held in `platform.blocks`, and who asks lets each go once; what he does not let go costs memory for a while. */
  holdsChunks?: boolean
}

/** For who has a client waiting: well below the time after which clients give a pull up (10 s). */
export const REPAIR_PATIENCE_MS = 3_000

/** Decides by the stored bytes of a message. */
export interface MessageFilter {
  /** What all evaluations so far have cost, in units of some ten nanoseconds; bounds what one pull may spend. */
  readonly work: number
  /** `bytes` holds a stored message from `at` on. Must not throw, nor keep the bytes. */
  matches(bytes: Uint8Array, at: number): boolean
}

export const PullStatus = {
  FOUND: 'FOUND',
  NO_MATCHED_MESSAGE: 'NO_MATCHED_MESSAGE',
  MESSAGE_WAS_REMOVING: 'MESSAGE_WAS_REMOVING',
  OFFSET_FOUND_NULL: 'OFFSET_FOUND_NULL',
  OFFSET_OVERFLOW_BADLY: 'OFFSET_OVERFLOW_BADLY',
  OFFSET_OVERFLOW_ONE: 'OFFSET_OVERFLOW_ONE',
  OFFSET_TOO_SMALL: 'OFFSET_TOO_SMALL',
  NO_MATCHED_LOGIC_QUEUE: 'NO_MATCHED_LOGIC_QUEUE',
  NO_MESSAGE_IN_QUEUE: 'NO_MESSAGE_IN_QUEUE'
} as const
export type PullStatus = (typeof PullStatus)[keyof typeof PullStatus]

export interface PullResult {
  status: PullStatus
  nextBeginOffset: number
  minOffset: number
  maxOffset: number
  /** Stored messages one behind the other; views of the log's memory, valid until the end of the turn unless written or copied. Empty unless FOUND. */
  chunks: Buffer[]
  bytes: number
  messageCount: number
  /** Log bytes between the last message taken, or passed when none was, and the end of the log; for the slave read hint and GROUP_GET_FALL_SIZE. */
  behindBytes: number
  /** Store time of the last message taken; 0 unless FOUND. */
  lastStoreTimestamp: number
}
