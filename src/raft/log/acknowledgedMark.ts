import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../../platform/index.ts'
import { getUint64, putUint64 } from './entry.ts'
import { joinPath } from './names.ts'
import { ignoreUnreadable } from './unreadable.ts'

/**
 * How far this node may have acknowledged its log, or counted itself for it: an index in a file of its own, which is written after the entries
 * and before anybody is told of them. The page cache is enough, for a kill leaves that alone: a log that ends before the mark has lost
 * something, one that does not has at most a torn write behind it, which nobody was told of. The index units, which come some milliseconds
 * later, cannot say so of the last entries. After a power loss the mark may be an older one, and never too high: it is lowered durably.
 *
 *    0  u32  magic
 *    4  u32  crc     over bytes 8-15
 *    8  u64  index
 */
const MARK_BYTES = 16
const MARK_MAGIC = 0x4c44414b
export const ACKNOWLEDGED_NAME = 'acknowledged'

export class AcknowledgedMark {
  /** null: the file is damaged or gone. */
  index: number | null
  readonly #file: DiskFile
  readonly #bytes = Buffer.alloc(MARK_BYTES)

  private constructor(file: DiskFile, index: number | null) {
    this.#file = file
    this.index = index
    this.#bytes.writeUInt32BE(MARK_MAGIC, 0)
  }

  /** `fresh`: the directory is an empty one; a mark of 0 is made, durably. */
  static async open(disk: Disk, directory: string, fresh: boolean): Promise<AcknowledgedMark> {
    const file = await disk.open(joinPath(directory, ACKNOWLEDGED_NAME), { create: true })
    try {
      if (!fresh) return new AcknowledgedMark(file, await readIndex(file))
      const mark = new AcknowledgedMark(file, null)
      await mark.set(0)
      await disk.syncDirectory(directory)
      return mark
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Up to `index` the entries are as durable as they are to be; when this returns, that may be told. Throws the disk's error. */
  raise(index: number): void {
    if (this.index !== null && index <= this.index) return
    this.#file.writeNow(this.#encode(index), 0)
    this.index = index
  }

  /** Entries behind `index` are about to be cut. */
  async lower(index: number): Promise<void> {
    if (this.index === null || index < this.index) await this.set(index)
  }

  /** Durably. */
  async set(index: number): Promise<void> {
    if (index === this.index) return
    await this.#file.writeDurably([this.#encode(index)], 0)
    this.index = index
  }

  #encode(index: number): Buffer {
    putUint64(this.#bytes, index, 8)
    this.#bytes.writeUInt32BE(crc32(this.#bytes.subarray(8)), 4)
    return this.#bytes
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

async function readIndex(file: DiskFile): Promise<number | null> {
  const bytes = Buffer.alloc(MARK_BYTES)
  try {
    await file.read(bytes, 0, MARK_BYTES, 0)
  } catch (error) {
    ignoreUnreadable(error)
    return null
  }
  const sound =
    bytes.readUInt32BE(0) === MARK_MAGIC && bytes.readUInt32BE(4) === crc32(bytes.subarray(8))
  return sound ? getUint64(bytes, 8) : null
}
