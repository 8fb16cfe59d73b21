import { join } from 'node:path'
import { Level } from 'level'
import type { Disk, Logger, Platform } from '../platform/index.ts'
import {
  type KeyValueChange,
  type KeyValueStore,
  StateDamagedError,
  StateOpenError
} from './keyValueStore.ts'
import { checkLevel, type LevelCut } from './levelCheck.ts'

const BLOCK_PAIRS_MAX = 1000
/** Changes that are handed over without letting others in: some microseconds each. */
const CHANGES_A_TURN = 256

/** What opening it anew may write: the table of one memory buffer, a manifest, a log. */
const REOPEN_BYTES = 16 * 1024 * 1024

/** Opens (or makes) a LevelDB. Rejects with StateOpenError, and with StateDamagedError when it is not what was written. */
export async function openLevelStore(
  directory: string,
  platform: Pick<Platform, 'disk' | 'clock'>,
  logger: Logger
): Promise<KeyValueStore> {
  const level = await openLevel(directory, platform.disk, logger)
  return new LevelStore(level, directory, platform, logger)
}

async function openLevel(
  directory: string,
  disk: Disk,
  logger: Logger
): Promise<Level<Buffer, Buffer>> {
  const { faults, cut } = await checkLevel(disk, directory)
  if (faults.length > 0) {
    throw new StateDamagedError(`the state database ${directory} is damaged: ${faults.join('; ')}`)
  }
  if (cut !== null) await cutLevel(disk, directory, cut, logger)
  const level = new Level<Buffer, Buffer>(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer'
  })
  try {
    await level.open()
  } catch (error) {
    const cause = (error as { cause?: { code?: string; message?: string } }).cause
    if (cause?.code === 'LEVEL_CORRUPTION') {
      throw new StateDamagedError(`the state database ${directory} is damaged: ${cause.message}`, {
        cause: error
      })
    }
    throw new StateOpenError(
      cause?.code === 'LEVEL_LOCKED'
        ? `the state database ${directory} is held by another process: is this broker running already?`
        : `the state database ${directory} cannot be opened: ${cause?.message ?? String(error)}${roomAdvice(cause?.message)}`,
      { cause: error }
    )
  }
  return level
}

function roomAdvice(cause = ''): string {
  return cause.includes('No space left on device') ? ': make room, then start again' : ''
}

/** Everything up to the cut is a state that was; the log has what comes after it. */
async function cutLevel(
  disk: Disk,
  directory: string,
  { name, atBytes, behind }: LevelCut,
  logger: Logger
): Promise<void> {
  logger.warn('The log of the state database has a bad record and is cut there', {
    directory,
    name,
    atBytes,
    behind: behind.join(' ')
  })
  for (const later of [...behind].reverse()) await disk.remove(join(directory, later))
  const file = await disk.open(join(directory, name))
  try {
    await file.truncate(atBytes)
    await file.datasync()
  } finally {
    await file.close()
  }
  await disk.syncDirectory(directory)
}

/** `level` does not say that it is a LevelDB in Node.js. */
interface Compacting {
  compactRange(start: Buffer, end: Buffer, options: { keyEncoding: string }): Promise<void>
}

class LevelStore implements KeyValueStore {
  #level: Level<Buffer, Buffer>
  readonly #directory: string
  readonly #platform: Pick<Platform, 'disk' | 'clock'>
  readonly #logger: Logger
  /** One at a time, as LevelDB carries them out. */
  #writes: Promise<unknown> = Promise.resolve()
  #failed = false
  #closed = false

  constructor(
    level: Level<Buffer, Buffer>,
    directory: string,
    platform: Pick<Platform, 'disk' | 'clock'>,
    logger: Logger
  ) {
    this.#level = level
    this.#directory = directory
    this.#platform = platform
    this.#logger = logger
  }

  async *entries(
    from: Buffer,
    to: Buffer,
    blockPairs = BLOCK_PAIRS_MAX
  ): AsyncGenerator<[Buffer, Buffer][]> {
    const iterator = this.#level.iterator({ gte: from, lt: to })
    try {
      for (;;) {
        const block = await iterator.nextv(Math.min(blockPairs, BLOCK_PAIRS_MAX))
        if (block.length === 0) return
        yield block
      }
    } finally {
      await iterator.close()
    }
  }

  write(changes: readonly KeyValueChange[], options: { sync: boolean }): Promise<void> {
    const done = this.#writes.then(() => this.#write(changes, options.sync))
    this.#writes = done.catch(() => {})
    return done
  }

  /** A chained batch: five times as fast as one of an array. */
  async #write(changes: readonly KeyValueChange[], sync: boolean): Promise<void> {
    if (this.#failed) await this.#openAnew()
    const batch = this.#level.batch()
    try {
      for (const [i, { key, value }] of changes.entries()) {
        if (i > 0 && i % CHANGES_A_TURN === 0)
          await new Promise<void>(resolve => this.#platform.clock.turnEnd(resolve))
        if (value === null) batch.del(key)
        else batch.put(key, value)
      }
    } catch (error) {
      await batch.close()
      throw error
    }
    try {
      await batch.write({ sync } as object)
    } catch (error) {
      this.#failed = true
      throw error
    }
  }

  compact(from: Buffer, to: Buffer): Promise<void> {
    const level = this.#level as Level<Buffer, Buffer> & Compacting
    return level.compactRange(from, to, { keyEncoding: 'buffer' })
  }

  /**
   * After a write that failed, as of a full disk, half a record may stand in LevelDB's log: whatever it wrote behind it would be
   * gone with the next start. And it takes nothing any more once a sync or a compaction has failed. Opened anew it makes a table
   * of what its log holds, and goes on in a new one.
   */
  async #openAnew(): Promise<void> {
    if (this.#closed) throw new Error(`the state database ${this.#directory} is closed`)
    const { totalBytes, freeBytes } = await this.#platform.disk.space(this.#directory)
    if (totalBytes > 0 && freeBytes < REOPEN_BYTES) {
      throw new Error(
        `the state database ${this.#directory} waits for room: ${freeBytes} bytes are free, ${REOPEN_BYTES} are needed`
      )
    }
    await this.#level.close()
    this.#level = await openLevel(this.#directory, this.#platform.disk, this.#logger)
    this.#failed = false
    this.#logger.info('The state database was opened anew after a write that failed', {
      directory: this.#directory
    })
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#writes
    await this.#level.close()
  }
}
