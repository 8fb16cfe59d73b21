import { Level } from 'level'
import { type KeyValueChange, type KeyValueStore, StateOpenError } from './keyValueStore.ts'

const BLOCK_PAIRS = 1000

/** Opens (or makes) a LevelDB. Rejects with StateOpenError. */
export async function openLevelStore(directory: string): Promise<KeyValueStore> {
  const level = new Level<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer'
  })
  try {
    await level.open()
  } catch (error) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause
    throw new StateOpenError(
      cause?.code === 'LEVEL_LOCKED'
        ? `the state database ${directory} is held by another process: is this broker running already?`
        : `the state database ${directory} cannot be opened: ${cause?.message ?? String(error)}`,
      { cause: error }
    )
  }
  return new LevelStore(level)
}

class LevelStore implements KeyValueStore {
  readonly #level: Level<Buffer, Buffer>

  constructor(level: Level<Buffer, Buffer>) {
    this.#level = level
  }

  async *entries(from: Buffer, to: Buffer): AsyncGenerator<[Buffer, Buffer][]> {
    const iterator = this.#level.iterator({ gte: from, lt: to })
    try {
      for (;;) {
        const block = await iterator.nextv(BLOCK_PAIRS)
        if (block.length === 0) return
        yield block
      }
    } finally {
      await iterator.close()
    }
  }

  /** A chained batch: five times as fast as one of an array. */
  async write(changes: readonly KeyValueChange[], options: { sync: boolean }): Promise<void> {
    const batch = this.#level.batch()
    try {
      for (const { key, value } of changes) {
        if (value === null) batch.del(key)
        else batch.put(key, value)
      }
    } catch (error) {
      await batch.close()
      throw error
    }
    await batch.write({ sync: options.sync } as object)
  }

  close(): Promise<void> {
    return this.#level.close()
  }
}
