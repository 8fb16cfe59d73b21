import { crc32 } from 'node:zlib'
import type { Clock, Disk, DiskFile } from '../../platform/index.ts'
import { getUint64, putUint64 } from './entry.ts'
import { UnusableLogError } from './errors.ts'
import { Latency } from './latency.ts'
import type { Founder, HardState } from './types.ts'
import { ignoreUnreadable } from './unreadable.ts'

/**
 * The hard state: two files of the same content, `hardstate` and `hardstate.copy`, each with two slots of 4096 bytes that
 * are written in turn; of all four the one with the highest sequence number and a good CRC holds (raft.md 4.2). With one
 * file a rotten newest slot would bring the one before back, and with it a vote that was given could be given again.
 * A slot, big-endian:
 *
 *    0  u32  magic
 *    4  u32  crc       over bytes 8 to the end of the payload
 *    8  u64  sequence
 *   16  u32  length    of the payload
 *   20       payload   numbers as u64, strings as u16 length + UTF-8, in the order of `encodePayload`
 */
const SLOT_BYTES = 4096
export const HARD_STATE_NAME = 'hardstate'
const FILE_NAMES = [HARD_STATE_NAME, 'hardstate.copy'] as const
const SLOT_HEADER_BYTES = 20
const SLOT_MAGIC = 0x4c444853
/** 2 has `install` at the end, 3 `whereabouts` behind it. */
const PAYLOAD_VERSION = 3

/** The state, and what must not change under a log. */
export interface StoredState extends HardState {
  readonly segmentBytes: number
}

class PayloadWriter {
  readonly buffer = Buffer.alloc(SLOT_BYTES)
  at = SLOT_HEADER_BYTES
  number(value: number): void {
    putUint64(this.buffer, value, this.at)
    this.at += 8
  }
  string(value: string): void {
    const bytes = Buffer.byteLength(value)
    if (this.at + 2 + bytes > SLOT_BYTES - 64) {
      throw new RangeError('the hard state does not fit into its slot of 4096 bytes')
    }
    this.buffer.writeUInt16BE(bytes, this.at)
    this.buffer.write(value, this.at + 2)
    this.at += 2 + bytes
  }
}

class PayloadReader {
  readonly #buffer: Buffer
  #at = SLOT_HEADER_BYTES
  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }
  number(): number {
    this.#at += 8
    return getUint64(this.#buffer, this.#at - 8)
  }
  string(): string {
    const bytes = this.#buffer.readUInt16BE(this.#at)
    const from = this.#at + 2
    this.#at = from + bytes
    return this.#buffer.toString('utf8', from, this.#at)
  }
}

/** Throws RangeError when strings are too long for a slot. */
function encodeSlot(state: StoredState, sequence: number): Buffer {
  const w = new PayloadWriter()
  w.number(PAYLOAD_VERSION)
  w.number(state.segmentBytes)
  w.number(state.term)
  w.number(state.incarnation)
  w.number(state.watermark)
  w.number(state.commit)
  w.number(state.start.index)
  w.number(state.start.term)
  w.number(state.start.headerCrc)
  w.number(state.start.position)
  w.number(
    (state.clean ? 1 : 0) | (state.recovering ? 2 : 0) | (state.weakestMode === 'async' ? 4 : 0)
  )
  w.number(state.founders.length)
  w.string(state.vote)
  w.string(state.uid)
  w.string(state.clusterId)
  w.string(state.bootId)
  for (const founder of state.founders) {
    w.string(founder.id)
    w.string(founder.uid)
  }
  w.string(state.install)
  w.string(state.whereabouts)
  const slot = w.buffer
  slot.writeUInt32BE(SLOT_MAGIC, 0)
  putUint64(slot, sequence, 8)
  slot.writeUInt32BE(w.at - SLOT_HEADER_BYTES, 16)
  slot.writeUInt32BE(crc32(slot.subarray(8, w.at)), 4)
  return slot
}

/** null: the slot holds nothing that can be believed. */
function decodeSlot(slot: Buffer): { sequence: number; state: StoredState } | null {
  if (slot.length < SLOT_BYTES || slot.readUInt32BE(0) !== SLOT_MAGIC) return null
  const end = SLOT_HEADER_BYTES + slot.readUInt32BE(16)
  if (end > SLOT_BYTES || crc32(slot.subarray(8, end)) !== slot.readUInt32BE(4)) return null
  const r = new PayloadReader(slot)
  const version = r.number()
  if (version < 1 || version > PAYLOAD_VERSION) {
    throw new UnusableLogError(
      `the hard state has version ${version}, this program knows 1 to ${PAYLOAD_VERSION}`
    )
  }
  const segmentBytes = r.number()
  const term = r.number()
  const incarnation = r.number()
  const watermark = r.number()
  const commit = r.number()
  const start = { index: r.number(), term: r.number(), headerCrc: r.number(), position: r.number() }
  const flags = r.number()
  const founderCount = r.number()
  const vote = r.string()
  const uid = r.string()
  const clusterId = r.string()
  const bootId = r.string()
  const founders: Founder[] = []
  for (let i = 0; i < founderCount; i++) founders.push({ id: r.string(), uid: r.string() })
  const install = version < 2 ? '' : r.string()
  const whereabouts = version < 3 ? '' : r.string()
  const state: StoredState = {
    segmentBytes,
    term,
    vote,
    incarnation,
    uid,
    clusterId,
    founders,
    bootId,
    clean: (flags & 1) !== 0,
    recovering: (flags & 2) !== 0,
    watermark,
    weakestMode: (flags & 4) !== 0 ? 'async' : 'sync',
    start,
    commit,
    install,
    whereabouts
  }
  return { sequence: getUint64(slot, 8), state }
}

interface Waiter {
  resolve(): void
  reject(error: Error): void
}

/** The file, with saves that wait merged into one write (R-D1: it has a file of its own). */
export class HardStateFile {
  /** What the next save writes; null before the first. */
  state: StoredState | null
  readonly latency: Latency
  onFailure: (error: Error) => void = () => {}
  /** Slots that hold neither nothing nor anything that can be believed. */
  readonly damagedSlots: number
  readonly #files: readonly DiskFile[]
  #sequence: number
  #waiting: Waiter[] = []
  #saving: Promise<void> | null = null
  #failure: Error | null = null

  private constructor(
    files: readonly DiskFile[],
    clock: Clock,
    sequence: number,
    state: StoredState | null,
    damagedSlots: number
  ) {
    this.#files = files
    this.damagedSlots = damagedSlots
    this.#sequence = sequence
    this.state = state
    this.latency = new Latency(clock)
  }

  /**
   * Opens or makes the files. `state` is null when nothing was ever saved. Rejects with UnusableLogError when all
   * slots are bad: the node no longer knows who it is and what it promised (raft.md 4.9).
   */
  static async open(disk: Disk, clock: Clock, directory: string): Promise<HardStateFile> {
    const files: DiskFile[] = []
    const slots: Buffer[] = []
    for (const name of FILE_NAMES) {
      const file = await disk.open(`${directory}/${name}`, { create: true })
      files.push(file)
      slots.push(...(await readSlots(file)))
    }
    const found = slots
      .map(decodeSlot)
      .filter(slot => slot !== null)
      .sort((a, b) => b.sequence - a.sequence)[0]
    const bad = slots.filter(slot => decodeSlot(slot) === null && slot.some(byte => byte !== 0))
    if (found !== undefined) {
      return new HardStateFile(files, clock, found.sequence, found.state, bad.length)
    }
    if (bad.length > 0) {
      for (const file of files) await file.close()
      throw new UnusableLogError(
        `${directory}/${FILE_NAMES[0]} and its copy are damaged in all of their slots: term and vote are lost, so this node must not vote. Move the whole directory away and let the node join as a new one`
      )
    }
    for (const file of files) {
      await file.write([Buffer.alloc(2 * SLOT_BYTES)], 0)
      await file.datasync()
    }
    await disk.syncDirectory(directory)
    return new HardStateFile(files, clock, 0, null, 0)
  }

  /** Resolves when the present state with `patch` is on the disk. */
  update(patch: Partial<StoredState>): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    this.state = { ...(this.state as StoredState), ...patch }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      if (this.#saving === null) this.#saving = this.#saveAll()
    })
  }

  async #saveAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting
      this.#waiting = []
      try {
        this.latency.begin()
        const slot = encodeSlot(this.state as StoredState, this.#sequence + 1)
        const at = (this.#sequence % 2) * SLOT_BYTES
        await Promise.all(this.#files.map(file => file.writeDurably([slot], at)))
        this.latency.end()
        this.#sequence += 1
      } catch (error) {
        this.latency.end()
        this.#failure = error as Error
        for (const waiter of [...waiting, ...this.#waiting]) waiter.reject(error as Error)
        this.#waiting = []
        this.onFailure(error as Error)
        break
      }
      for (const waiter of waiting) waiter.resolve()
    }
    this.#saving = null
  }

  async close(): Promise<void> {
    await this.#saving
    for (const file of this.#files) await file.close()
  }
}

async function readSlots(file: DiskFile): Promise<Buffer[]> {
  const slots = Buffer.alloc(2 * SLOT_BYTES)
  try {
    await file.read(slots, 0, slots.length, 0)
  } catch (error) {
    ignoreUnreadable(error)
    slots.fill(1)
  }
  return [slots.subarray(0, SLOT_BYTES), slots.subarray(SLOT_BYTES)]
}
