import { crc32 } from 'node:zlib'
import type { Disk, DiskFile } from '../../platform/index.ts'
import { getUint64, putUint64 } from './entry.ts'
import { ignoreUnreadable } from './unreadable.ts'

/** A configuration entry, remembered apart from the log. */
export interface StoredConfiguration {
  readonly index: number
  /** 0: came with a snapshot, and is committed. */
  readonly term: number
  /** Of the entry. */
  readonly body: Buffer
}

/**
 * The configuration entries from the committed one on, in a file of their own: they must be known at a start, wherever in
 * the log they stand or when that is trimmed (R-M3), and a node that lost the end of its log must know by which voters it
 * was committed (R-D6). Saved and synced before the entry itself is written. Two slots written in turn, big-endian:
 *
 *    0  u32  magic
 *    4  u32  crc       over bytes 8 to the end of the payload
 *    8  u64  sequence
 *   16  u32  length    of the payload
 *   20       payload   for each: u64 index, u64 term, u32 length, body
 */
const SLOT_BYTES = 64 * 1024
const SLOT_HEADER_BYTES = 20
const ITEM_HEADER_BYTES = 20
const SLOT_MAGIC = 0x4c444d47
export const CONFIGURATION_FILE_NAME = 'membership'

interface Slot {
  readonly sequence: number
  readonly items: StoredConfiguration[]
}

function encodeSlot(items: readonly StoredConfiguration[], sequence: number): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES)
  let at = SLOT_HEADER_BYTES
  for (const { index, term, body } of items) {
    putUint64(slot, index, at)
    putUint64(slot, term, at + 8)
    slot.writeUInt32BE(body.length, at + 16)
    body.copy(slot, at + ITEM_HEADER_BYTES)
    at += ITEM_HEADER_BYTES + body.length
  }
  slot.writeUInt32BE(SLOT_MAGIC, 0)
  putUint64(slot, sequence, 8)
  slot.writeUInt32BE(at - SLOT_HEADER_BYTES, 16)
  slot.writeUInt32BE(crc32(slot.subarray(8, at)), 4)
  return slot
}

/** null: the slot holds nothing that can be believed. */
function decodeSlot(slot: Buffer): Slot | null {
  if (slot.length < SLOT_BYTES || slot.readUInt32BE(0) !== SLOT_MAGIC) return null
  const end = SLOT_HEADER_BYTES + slot.readUInt32BE(16)
  if (end > SLOT_BYTES || crc32(slot.subarray(8, end)) !== slot.readUInt32BE(4)) return null
  const items: StoredConfiguration[] = []
  let at = SLOT_HEADER_BYTES
  while (at < end) {
    const length = slot.readUInt32BE(at + 16)
    const from = at + ITEM_HEADER_BYTES
    items.push({
      index: getUint64(slot, at),
      term: getUint64(slot, at + 8),
      body: Buffer.from(slot.subarray(from, from + length))
    })
    at = from + length
  }
  return { sequence: getUint64(slot, 8), items }
}

function sizeOf(items: readonly StoredConfiguration[]): number {
  return items.reduce((sum, { body }) => sum + ITEM_HEADER_BYTES + body.length, SLOT_HEADER_BYTES)
}

export class ConfigurationFile {
  /** By rising index. */
  items: StoredConfiguration[]
  /** The file was not there, or neither slot can be believed: the entries are to be looked for in the log. */
  readonly found: 'items' | 'nothing' | 'damage'
  readonly #file: DiskFile
  #sequence: number
  #dirty = false

  private constructor(file: DiskFile, found: ConfigurationFile['found'], slot: Slot) {
    this.#file = file
    this.found = found
    this.items = slot.items
    this.#sequence = slot.sequence
  }

  static async open(disk: Disk, directory: string): Promise<ConfigurationFile> {
    const path = `${directory}/${CONFIGURATION_FILE_NAME}`
    const file = await disk.open(path, { create: true })
    const slots = Buffer.alloc(2 * SLOT_BYTES)
    let length = slots.length
    try {
      length = await file.read(slots, 0, slots.length, 0)
    } catch (error) {
      ignoreUnreadable(error)
      slots.fill(1)
    }
    const newest = [slots.subarray(0, SLOT_BYTES), slots.subarray(SLOT_BYTES)]
      .map(decodeSlot)
      .filter(slot => slot !== null)
      .sort((a, b) => b.sequence - a.sequence)[0]
    if (newest !== undefined) return new ConfigurationFile(file, 'items', newest)
    const empty = slots.subarray(0, length).every(byte => byte === 0)
    // Its blocks are there from now on: a full disk can still take a change of members.
    await file.write([Buffer.alloc(2 * SLOT_BYTES)], 0)
    await file.datasync()
    await disk.syncDirectory(directory)
    return new ConfigurationFile(file, empty ? 'nothing' : 'damage', { sequence: 0, items: [] })
  }

  /** An entry that the log takes in; what was known from its index on goes. */
  add(item: StoredConfiguration, committedIndex: number): void {
    this.items = this.items.filter(({ index }) => index < item.index)
    this.items.push(item)
    this.#forgetBefore(committedIndex)
    while (this.items.length > 1 && sizeOf(this.items) > SLOT_BYTES) this.items.shift()
    this.#dirty = true
  }

  /** Only the newest of the committed ones can be in force again. */
  #forgetBefore(committedIndex: number): void {
    const last = this.items.findLastIndex(({ index }) => index <= committedIndex)
    if (last > 0) this.items.splice(0, last)
  }

  /** Entries come: a file that was never written to says that none ever did. */
  entriesCome(): void {
    if (this.#sequence === 0) this.#dirty = true
  }

  cut(fromIndex: number): void {
    this.items = this.items.filter(({ index }) => index < fromIndex)
  }

  replace(items: readonly StoredConfiguration[]): void {
    this.items = [...items]
    this.#dirty = true
  }

  /** Something is to be saved before the entries are written. */
  get dirty(): boolean {
    return this.#dirty
  }

  /** Resolves when it is on the disk. One call at a time. */
  async save(): Promise<void> {
    const slot = encodeSlot(this.items, this.#sequence + 1)
    this.#dirty = false
    try {
      await this.#file.write([slot], (this.#sequence % 2) * SLOT_BYTES)
      await this.#file.datasync()
    } catch (error) {
      this.#dirty = true
      throw error
    }
    this.#sequence += 1
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
