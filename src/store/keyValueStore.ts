/** A small ordered store of bytes. LevelDB behind it in production (levelStore.ts), memory in tests and simulations. */
export interface KeyValueStore {
  /** All pairs with `from` <= key < `to`, ascending, in blocks: of `blockPairs` at most, as a hint for who will not read to the end. */
  entries(
    from: Buffer,
    to: Buffer,
    blockPairs?: number
  ): AsyncIterable<readonly (readonly [Buffer, Buffer])[]>
  /** All or nothing. `sync`: on the disk when it resolves. */
  write(changes: readonly KeyValueChange[], options: { sync: boolean }): Promise<void>
  /** What was deleted in [`from`, `to`) costs readers nothing any more when it resolves. */
  compact(from: Buffer, to: Buffer): Promise<void>
  close(): Promise<void>
}

/** `value` null deletes. */
export interface KeyValueChange {
  key: Buffer
  value: Buffer | null
}

/** Another process holds the directory, or it cannot be read. The message says which and what to do. */
export class StateOpenError extends Error {
  override readonly name = 'StateOpenError'
}

/** What was written is not there any more as it was. Everything in it can be built again from the log. */
export class StateDamagedError extends Error {
  override readonly name = 'StateDamagedError'
}
