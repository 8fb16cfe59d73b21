/**
 * Consume queues on the disk: `consumequeue/<topic>/<queueId>/<first byte, 20 digits>`, each of `fileBytes` (broker.md 3.3).
 * Reads go by blocks of 1024 units that are cached, because a group that catches up asks for neighbours. A block is believed
 * when its checksum fits (queueChecks.ts); else it is built again from the log (derivedRepair.ts), and asked for once more.
 */
import { dirname, join } from 'node:path'
import type { Disk, Host } from '../platform/index.ts'
import { type ConsumeQueue, UNIT_BYTES, type UnitSpan } from './consumeQueue.ts'
import { FileCache } from './fileCache.ts'
import { type BlockGeometry, checkedCrc, type QueueChecks } from './queueChecks.ts'

/** 10 MiB. */
const BLOCKS_MAX = 512
/** Of what the process may have open, the rest is for connections. A checkpoint of 2000 queues: 536 ms of CPU when each is opened anew, else 348. */
const OPEN_FILES_SHARE = 1 / 4
const OPEN_FILES_MAX = 16_384
/** The file system makes one commit of several; the threads of the log's own writes must not all be taken. */
const SYNCS_AT_ONCE = 3

/** Units of the queue cannot be read, or are not those that were written. They are being built again: try again. */
export class QueueDamagedError extends Error {
  override readonly name = 'QueueDamagedError'
  readonly queue: ConsumeQueue
  /** First unit of the block. */
  readonly first: number
  constructor(queue: ConsumeQueue, first: number, what: string) {
    super(
      `queue ${queue.topic}/${queue.queueId}: units from ${first} on ${what}; they are built again from the log`
    )
    this.queue = queue
    this.first = first
  }
}

export class QueueFiles {
  /** Told of each damaged block that a read meets. */
  onDamage: (queue: ConsumeQueue, first: number) => void = () => {}
  readonly checks: QueueChecks
  readonly #disk: Disk
  readonly #directory: string
  readonly #geometry: BlockGeometry
  readonly #fileUnits: number
  readonly #files: FileCache
  /** By queue serial and block; oldest use first. */
  readonly #blocks = new Map<number, Uint8Array>()
  readonly #directories = new Set<string>()
  /** Written since the last `syncAll`. */
  readonly #unsynced = new Set<string>()
  /** Files whose directory entries are durable. */
  readonly #named = new Set<string>()

  constructor({ disk, host }: { disk: Disk; host: Host }, directory: string, checks: QueueChecks) {
    this.#disk = disk
    this.#directory = directory
    this.checks = checks
    this.#geometry = checks.geometry
    this.#fileUnits = checks.geometry.fileUnits
    const filesMax = Math.floor(host.openFilesMax() * OPEN_FILES_SHARE)
    this.#files = new FileCache(disk, Math.min(filesMax, OPEN_FILES_MAX))
  }

  /** Writes the units from `firstUnit` on; the bytes must not change before it resolves. */
  async write(queue: ConsumeQueue, firstUnit: number, bytes: Uint8Array): Promise<void> {
    let unit = firstUnit
    let at = 0
    while (at < bytes.length) {
      const fileFirst = this.#geometry.fileFirst(unit)
      const roomBytes = (fileFirst + this.#fileUnits - unit) * UNIT_BYTES
      const part = bytes.subarray(at, Math.min(bytes.length, at + roomBytes))
      const path = await this.#pathForWrite(queue, fileFirst)
      const position = (unit - fileFirst) * UNIT_BYTES
      await this.#files.use(path, true, file => file.write([asBuffer(part)], position))
      this.#unsynced.add(path)
      at += part.length
      unit += part.length / UNIT_BYTES
    }
  }

  /** Puts units back that were damaged, in a file that may be gone with its directory. */
  async rewrite(queue: ConsumeQueue, firstUnit: number, bytes: Uint8Array): Promise<void> {
    const directory = this.#queueDirectory(queue.topic, queue.queueId)
    const path = join(directory, fileName(this.#geometry.fileFirst(firstUnit)))
    if (!(await this.#disk.exists(path))) {
      await this.#files.drop(path)
      this.#directories.delete(directory)
      this.#named.delete(path)
    }
    await this.write(queue, firstUnit, bytes)
    this.forgetBlock(queue, firstUnit)
  }

  /** The units [from, to) were written by a process of before: the next `syncAll` is for them too. */
  notSynced(queue: ConsumeQueue, from: number, to: number): void {
    const directory = this.#queueDirectory(queue.topic, queue.queueId)
    const first = this.#geometry.fileFirst(Math.max(from, queue.minOffset))
    for (let unit = first; unit < to; unit += this.#fileUnits) {
      this.#unsynced.add(join(directory, fileName(unit)))
    }
  }

  /** Everything written so far is on the disk when it resolves. */
  async syncAll(): Promise<void> {
    const directories = new Set<string>()
    await each([...this.#unsynced], SYNCS_AT_ONCE, async path => {
      const found = await this.#syncFile(path)
      this.#unsynced.delete(path)
      if (!found || this.#named.has(path)) return
      this.#named.add(path)
      const queue = dirname(path)
      const topic = dirname(queue)
      directories.add(queue).add(topic).add(dirname(topic))
    })
    await each([...directories], SYNCS_AT_ONCE, directory => this.#disk.syncDirectory(directory))
  }

  /** False: a process of before had it, and removed it with its topic. */
  async #syncFile(path: string): Promise<boolean> {
    try {
      await this.#files.use(path, false, file => file.datasync())
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  /** A cached block that has the unit, without waiting. */
  spanInCache(queue: ConsumeQueue, unit: number, into: UnitSpan): boolean {
    const first = this.#geometry.blockFirst(unit)
    const key = blockKey(queue, first)
    const block = this.#blocks.get(key)
    if (block === undefined) return false
    return fillSpan(block, first, unit, into)
  }

  /** Reads the block of the unit. False: it was trimmed, or its queue removed. Rejects with QueueDamagedError. */
  async loadSpan(queue: ConsumeQueue, unit: number, into: UnitSpan): Promise<boolean> {
    if (unit >= queue.flushedOffset) return false
    const first = this.#geometry.blockFirst(unit)
    const whole = await this.readBlock(queue, first)
    if (queue.removed || unit < queue.minOffset) return false
    if (whole === null) throw this.damaged(queue, unit, 'are damaged or missing')
    const key = blockKey(queue, first)
    this.#blocks.delete(key)
    this.#blocks.set(key, whole)
    if (this.#blocks.size > BLOCKS_MAX) {
      for (const oldest of this.#blocks.keys()) {
        this.#blocks.delete(oldest)
        break
      }
    }
    return fillSpan(whole, first, unit, into)
  }

  /**
   * The units of a block up to what was flushed when the read began: behind it there may be a write in the middle, or
   * another life's bytes. null: they are not what was written.
   */
  async readBlock(queue: ConsumeQueue, first: number): Promise<Uint8Array | null> {
    const flushed = queue.flushedOffset
    const growingCrc = queue.flushedCrc
    const units = Math.min(this.#geometry.blockEnd(first), flushed) - first
    const isWhole = first + units === this.#geometry.blockEnd(first)
    const bytes = await this.rawBlock(queue, first, units)
    if (bytes === null) return null
    if (first + units <= queue.checkedFrom) return bytes
    const expected = isWhole ? await this.checks.expected(queue, first) : growingCrc
    return expected !== null && checkedCrc(queue, first, bytes) === expected ? bytes : null
  }

  /** The block of the unit is to be built again; the error for who asked for it. */
  damaged(queue: ConsumeQueue, unit: number, what: string): QueueDamagedError {
    const first = this.#geometry.blockFirst(unit)
    this.onDamage(queue, first)
    return new QueueDamagedError(queue, first, what)
  }

  /** Whatever stands in the file; null: less than that, or the disk does not read it. */
  async rawBlock(queue: ConsumeQueue, first: number, units: number): Promise<Buffer | null> {
    const fileFirst = this.#geometry.fileFirst(first)
    const bytes = Buffer.allocUnsafeSlow(units * UNIT_BYTES)
    const read = await this.#read(queue, fileFirst, bytes, (first - fileFirst) * UNIT_BYTES)
    return read === bytes.length ? bytes : null
  }

  /** Its units were changed in the file, or are not to be believed. */
  forgetBlock(queue: ConsumeQueue, first: number): void {
    this.#blocks.delete(blockKey(queue, first))
  }

  /** Bytes of each file that is there, by its first unit. */
  async sizes(queue: ConsumeQueue): Promise<Map<number, number>> {
    const sizes = new Map<number, number>()
    for (const info of await this.#disk.list(this.#queueDirectory(queue.topic, queue.queueId))) {
      if (/^\d{20}$/.test(info.name)) sizes.set(Number(info.name) / UNIT_BYTES, info.bytes)
    }
    return sizes
  }

  /** Deletes the files that lie wholly below the unit. */
  async trim(queue: ConsumeQueue, minUnit: number): Promise<void> {
    const directory = this.#queueDirectory(queue.topic, queue.queueId)
    for (const info of await this.#disk.list(directory)) {
      if (!/^\d{20}$/.test(info.name)) continue
      const endUnit = Number(info.name) / UNIT_BYTES + this.#fileUnits
      if (endUnit > minUnit) continue
      const path = join(directory, info.name)
      await this.#files.drop(path)
      this.#unsynced.delete(path)
      this.#named.delete(path)
      await this.#disk.remove(path)
    }
    await this.checks.trim(queue, minUnit)
  }

  /** Deletes all files of a queue that is no more. */
  async remove(topic: string, queueId: number): Promise<void> {
    const directory = this.#queueDirectory(topic, queueId)
    for (const info of await this.#disk.list(directory)) {
      const path = join(directory, info.name)
      await this.#files.drop(path)
      this.#unsynced.delete(path)
      this.#named.delete(path)
    }
    this.#directories.delete(directory)
    await this.#disk.remove(directory)
  }

  /** The topic's directory, when its queues are gone. */
  async removeTopicDirectory(topic: string): Promise<void> {
    const directory = join(this.#directory, topic)
    const left = await this.#disk.list(directory)
    if (left.length === 0) await this.#disk.remove(directory)
  }

  close(): Promise<void> {
    return this.#files.closeAll()
  }

  async #read(
    queue: ConsumeQueue,
    fileFirst: number,
    target: Buffer,
    position: number
  ): Promise<number> {
    const path = join(this.#queueDirectory(queue.topic, queue.queueId), fileName(fileFirst))
    try {
      return await this.#files.use(path, false, file =>
        file.read(target, 0, target.length, position)
      )
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'EIO') return 0
      throw error
    }
  }

  async #pathForWrite(queue: ConsumeQueue, fileFirst: number): Promise<string> {
    const directory = this.#queueDirectory(queue.topic, queue.queueId)
    if (!this.#directories.has(directory)) {
      await this.#disk.makeDirectory(directory)
      this.#directories.add(directory)
    }
    return join(directory, fileName(fileFirst))
  }

  #queueDirectory(topic: string, queueId: number): string {
    return join(this.#directory, topic, String(queueId))
  }
}

function fileName(firstUnit: number): string {
  return String(firstUnit * UNIT_BYTES).padStart(20, '0')
}

function blockKey(queue: ConsumeQueue, firstUnit: number): number {
  // Serials stay below 2^20 and units below 2^33: exact in a number.
  return queue.serial * 8_589_934_592 + firstUnit
}

/** A block may end before the unit: it was read before the unit was written. */
function fillSpan(block: Uint8Array, blockFirst: number, unit: number, into: UnitSpan): boolean {
  const blockEnd = blockFirst + block.length / UNIT_BYTES
  if (unit >= blockEnd) return false
  into.bytes = block
  into.at = (unit - blockFirst) * UNIT_BYTES
  into.units = blockEnd - unit
  return true
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Does the work for all, `width` at a time, and rejects with the first error when none is under way any more. */
async function each<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>
): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!)
  }
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane))
  for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason
}
