/**
 * Consume queues on the disk: `consumequeue/<topic>/<queueId>/<first byte, 20 digits>`, each of `fileBytes` (broker.md 3.3).
 * Reads go by blocks of 1024 units that are cached, because a group that catches up asks for neighbours.
 */
import { dirname, join } from 'node:path'
import type { Disk } from '../platform/index.ts'
import { type ConsumeQueue, UNIT_BYTES, type UnitSpan } from './consumeQueue.ts'
import { FileCache } from './fileCache.ts'

const BLOCK_UNITS = 1024
/** 10 MiB. */
const BLOCKS_MAX = 512
const OPEN_FILES_MAX = 512

export class QueueFiles {
  readonly #disk: Disk
  readonly #directory: string
  readonly #fileUnits: number
  readonly #files: FileCache
  /** By queue serial and block; oldest use first. */
  readonly #blocks = new Map<number, Uint8Array>()
  readonly #directories = new Set<string>()
  /** Written since the last `syncAll`. */
  readonly #unsynced = new Set<string>()
  /** Files whose directory entries are durable. */
  readonly #named = new Set<string>()

  constructor(disk: Disk, directory: string, fileBytes: number) {
    this.#disk = disk
    this.#directory = directory
    this.#fileUnits = Math.max(1, Math.ceil(fileBytes / UNIT_BYTES))
    this.#files = new FileCache(disk, OPEN_FILES_MAX)
  }

  /** Writes the units from `firstUnit` on; the bytes must not change before it resolves. */
  async write(queue: ConsumeQueue, firstUnit: number, bytes: Uint8Array): Promise<void> {
    let unit = firstUnit
    let at = 0
    while (at < bytes.length) {
      const fileFirst = this.#fileFirst(unit)
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

  /** The units [from, to) were written by a process of before: the next `syncAll` is for them too. */
  notSynced(queue: ConsumeQueue, from: number, to: number): void {
    const directory = this.#queueDirectory(queue.topic, queue.queueId)
    const first = this.#fileFirst(Math.max(from, queue.minOffset))
    for (let unit = first; unit < to; unit += this.#fileUnits) {
      this.#unsynced.add(join(directory, fileName(unit)))
    }
  }

  /** Everything written so far is on the disk when it resolves. */
  async syncAll(): Promise<void> {
    const directories = new Set<string>()
    for (const path of [...this.#unsynced]) {
      const found = await this.#syncFile(path)
      this.#unsynced.delete(path)
      if (!found) continue
      if (this.#named.has(path)) continue
      this.#named.add(path)
      const queue = dirname(path)
      const topic = dirname(queue)
      directories.add(queue).add(topic).add(dirname(topic))
    }
    for (const directory of directories) await this.#disk.syncDirectory(directory)
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
    const first = this.#blockFirst(unit)
    const key = blockKey(queue, first)
    const block = this.#blocks.get(key)
    if (block === undefined) return false
    return fillSpan(block, first, unit, into)
  }

  /** Reads the block of the unit. False: the files do not have it (trimmed, or lost). */
  async loadSpan(queue: ConsumeQueue, unit: number, into: UnitSpan): Promise<boolean> {
    const flushed = queue.flushedOffset
    if (unit >= flushed) return false
    const first = this.#blockFirst(unit)
    const fileFirst = this.#fileFirst(unit)
    const units = Math.min(BLOCK_UNITS, fileFirst + this.#fileUnits - first)
    const block = Buffer.allocUnsafeSlow(units * UNIT_BYTES)
    const bytes = await this.#read(queue, fileFirst, block, (first - fileFirst) * UNIT_BYTES)
    // Behind what was flushed when the read began there may be a write in the middle, or another life's bytes.
    const wholeUnits = Math.min(Math.floor(bytes / UNIT_BYTES), flushed - first)
    const whole = block.subarray(0, wholeUnits * UNIT_BYTES)
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
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
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

  #fileFirst(unit: number): number {
    return unit - (unit % this.#fileUnits)
  }

  /** Blocks begin anew with each file, so that none lies in two. */
  #blockFirst(unit: number): number {
    const inFile = unit % this.#fileUnits
    return unit - (inFile % BLOCK_UNITS)
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
