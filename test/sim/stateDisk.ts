import type { KeyValueChange, KeyValueStore } from '../../src/store/index.ts'
import type { Dice } from './dice.ts'

const BLOCK_PAIRS = 100

/**
 * Stands in for LevelDB: batches are atomic and keep their order. A batch that was written with `sync` is durable, with
 * all before it; of the others a power loss leaves a first part.
 */
export class StateDisk {
  readonly #dice: Dice
  readonly #delay: () => Promise<void>
  readonly #databases = new Map<string, Database>()
  #generation = 0
  /** The next writes fail with this. */
  failWrites = 0

  constructor(dice: Dice, delay: () => Promise<void>) {
    this.#dice = dice
    this.#delay = delay
  }

  get generation(): number {
    return this.#generation
  }

  async open(directory: string): Promise<KeyValueStore> {
    const generation = this.#generation
    await this.#delay()
    let database = this.#databases.get(directory)
    if (database === undefined) {
      database = { durable: new Map(), cached: new Map(), unsynced: [] }
      this.#databases.set(directory, database)
    }
    return new Handle(this, database, generation, this.#delay)
  }

  kill(): void {
    this.#generation += 1
    this.failWrites = 0
  }

  powerLoss(): void {
    this.kill()
    for (const database of this.#databases.values()) {
      const kept = this.#dice.below(database.unsynced.length + 1)
      for (const changes of database.unsynced.slice(0, kept)) change(database.durable, changes)
      database.unsynced = []
      database.cached = new Map(database.durable)
    }
  }

  wipe(): void {
    this.#databases.clear()
  }
}

interface Database {
  durable: Map<string, Buffer>
  cached: Map<string, Buffer>
  unsynced: (readonly KeyValueChange[])[]
}

class Handle implements KeyValueStore {
  readonly #disk: StateDisk
  readonly #database: Database
  readonly #generation: number
  readonly #delay: () => Promise<void>
  #tail: Promise<void> = Promise.resolve()

  constructor(disk: StateDisk, database: Database, generation: number, delay: () => Promise<void>) {
    this.#disk = disk
    this.#database = database
    this.#generation = generation
    this.#delay = delay
  }

  async *entries(from: Buffer, to: Buffer): AsyncGenerator<[Buffer, Buffer][]> {
    const low = from.toString('latin1')
    const high = to.toString('latin1')
    const keys = [...this.#database.cached.keys()]
      .filter(key => key >= low && key < high)
      .sort((a, b) => (a < b ? -1 : 1))
    for (let at = 0; at < keys.length; at += BLOCK_PAIRS) {
      await this.#delay()
      const block: [Buffer, Buffer][] = []
      for (const key of keys.slice(at, at + BLOCK_PAIRS)) {
        const value = this.#database.cached.get(key)
        if (value !== undefined) block.push([Buffer.from(key, 'latin1'), Buffer.from(value)])
      }
      yield block
    }
  }

  /** One after the other, as LevelDB does. */
  write(changes: readonly KeyValueChange[], options: { sync: boolean }): Promise<void> {
    const copies = changes.map(({ key, value }) => ({
      key: Buffer.from(key),
      value: value === null ? null : Buffer.from(value)
    }))
    const done = this.#tail.then(async () => {
      await this.#delay()
      if (this.#generation !== this.#disk.generation) return new Promise<void>(() => {})
      if (this.#disk.failWrites > 0) {
        this.#disk.failWrites -= 1
        throw Object.assign(new Error('EIO: state database'), { code: 'EIO' })
      }
      const database = this.#database
      change(database.cached, copies)
      database.unsynced.push(copies)
      if (options.sync) {
        for (const batch of database.unsynced) change(database.durable, batch)
        database.unsynced = []
      }
      return undefined
    })
    this.#tail = done.catch(() => {})
    return done
  }

  async compact(): Promise<void> {}

  async close(): Promise<void> {
    await this.#tail
    await this.#delay()
  }
}

function change(pairs: Map<string, Buffer>, changes: readonly KeyValueChange[]): void {
  for (const { key, value } of changes) {
    const text = key.toString('latin1')
    if (value === null) pairs.delete(text)
    else pairs.set(text, value)
  }
}
