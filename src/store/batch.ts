/**
 * Entries in the making. A batch of messages grows in a slab, which consecutive batches share, and becomes the
 * log's own bytes without a copy:
 *
 *   slab | room for header | message | message | … | trailer? || room for header | message …
 *          ^ one batch                                          ^ the next one
 */
import type { Blocks } from '../platform/index.ts'
import { getUint32, putInt32 } from '../protocol/index.ts'
import { ENTRY_HEADER_BYTES, EntryKind, type Proposal } from '../raft/index.ts'
import type { AppendFailure, AppendWaiter, BatchAppendWaiter, PendingVisitor } from './append.ts'
import { FLAG_COMMANDS_TRAILER, TRAILER_LENGTH_BYTES } from './commandCodec.ts'
import type { CommandResult } from './commands.ts'
import { placeMessage } from './storedMessageView.ts'

/** A batch that reached this is closed (raft.md 4.2). */
export const BATCH_BYTES_TARGET = 1024 * 1024
/** A batch that meets its end is closed, so that it holds many. */
const BLOCKS_A_SLAB = 4

/** Told how a command ended. */
export interface CommandWaiter {
  applied(result: CommandResult): void
  failed(reason: AppendFailure): void
}

/** Where batches grow. Only the newest batch may grow: it ends where the free room begins. */
export class Slab {
  bytes: Buffer = Buffer.allocUnsafeSlow(0)
  free = 0
  /** A batch is closed before it grows beyond, header and trailer included. */
  readonly batchBytesMax: number
  /** Held for the slab, and for each batch in it until the log has it. */
  readonly blocks: Blocks

  constructor(batchBytesMax: number, blocks: Blocks) {
    this.batchBytesMax = batchBytesMax
    this.blocks = blocks
  }

  /** Makes room for a batch of at least `bytes`, its header included; where it begins. */
  open(bytes: number): number {
    if (this.free + bytes > this.bytes.length) {
      const slabBytes = BLOCKS_A_SLAB * this.blocks.blockBytes
      this.blocks.release(this.bytes)
      this.bytes = bytes > slabBytes ? Buffer.allocUnsafeSlow(bytes) : this.blocks.take(slabBytes)
      this.free = 0
    }
    return this.free
  }
}

/** What both kinds of entries have in common: their way from `take` to `apply`, and who waits for them. */
abstract class PendingEntry {
  index = 0
  term = 0
  /** Monotonic. */
  openedMs = 0
  /** Waiters not told yet. */
  waiting = 0
  bytesHeld = 0
  commandWaiters: (CommandWaiter | null)[] = []

  appended(index: number, term: number): void {
    this.index = index
    this.term = term
  }

  /** Results in the order of the commands in the entry. */
  commandsApplied(results: readonly CommandResult[]): void {
    const waiters = this.commandWaiters
    this.commandWaiters = []
    for (let i = 0; i < waiters.length; i++) waiters[i]?.applied(results[i]!)
  }

  protected failCommands(reason: AppendFailure): void {
    const waiters = this.commandWaiters
    this.commandWaiters = []
    for (const waiter of waiters) waiter?.failed(reason)
  }

  /** Tells who waits. When a waiter throws: call it again, it goes on behind it. */
  abstract stored(): void
  abstract failed(reason: AppendFailure): void
}

export class MessageBatch extends PendingEntry implements Proposal {
  readonly kind = EntryKind.messages
  flags = 0
  count = 0
  readonly #blocks: Blocks
  #slab: Buffer
  readonly #start: number
  #end: number
  #waiters: AppendWaiter[] = []
  #batchWaiters: BatchAppendWaiter[] = []
  /** They were told that it takes too long; those that are kept are told when it is stored after all. */
  #late = false
  /** Of the body in the log; 0 until it has its place. */
  #bodyPosition = 0
  /** How far telling has come: a waiter that throws costs nobody else his answer. */
  #told = 0
  #batchesTold = 0
  #trailer: Buffer[] = []
  #trailerBytes = 0
  #closed: Buffer | null = null

  constructor(slab: Slab, firstBytes: number) {
    super()
    this.#start = slab.open(ENTRY_HEADER_BYTES + firstBytes)
    this.#slab = slab.bytes
    this.#blocks = slab.blocks
    this.#blocks.hold(this.#slab)
    this.#end = this.#start + ENTRY_HEADER_BYTES
    slab.free = this.#end
  }

  /** False: it does not fit any more; close this one and open another. */
  hasRoom(slab: Slab, bytes: number): boolean {
    if (slab.bytes !== this.#slab) return false
    const trailer = this.#trailerBytes === 0 ? 0 : this.#trailerBytes + TRAILER_LENGTH_BYTES
    const size = this.#end - this.#start + trailer + bytes
    return size <= slab.batchBytesMax && this.#end + trailer + bytes <= this.#slab.length
  }

  /** Where the next message is to be written in `slab.bytes`; `bytes` of it are taken. */
  reserve(slab: Slab, bytes: number): number {
    const at = this.#end
    this.#end += bytes
    slab.free = this.#end
    this.count += 1
    return at
  }

  /** Place of a byte of the slab within the entry's body. */
  bodyOffset(at: number): number {
    return at - this.#start - ENTRY_HEADER_BYTES
  }

  addWaiter(waiter: AppendWaiter): void {
    this.#waiters.push(waiter)
    this.waiting += 1
  }

  addBatchWaiter(waiter: BatchAppendWaiter): void {
    this.#batchWaiters.push(waiter)
    this.waiting += 1
  }

  addCommand(command: Buffer, waiter: CommandWaiter | null): void {
    this.#trailer.push(command)
    this.#trailerBytes += command.length
    this.commandWaiters.push(waiter)
  }

  isFull(slab: Slab): boolean {
    return this.#end - this.#start >= slab.batchBytesMax
  }

  /** Puts the trailer behind the messages; nothing can be added afterwards. */
  close(slab: Slab): void {
    if (this.#closed !== null) return
    if (this.#trailer.length > 0) {
      const bytes = this.#trailerBytes + TRAILER_LENGTH_BYTES
      if (this.#slab !== slab.bytes || this.#end + bytes > this.#slab.length) this.#move(bytes)
      for (const command of this.#trailer) {
        this.#slab.set(command, this.#end)
        this.#end += command.length
      }
      putInt32(this.#slab, this.#end, this.#trailerBytes)
      this.#end += TRAILER_LENGTH_BYTES
      if (this.#slab === slab.bytes) slab.free = this.#end
      this.flags |= FLAG_COMMANDS_TRAILER
      this.#trailer = []
      this.#closed = this.#slab.subarray(this.#moved ? 0 : this.#start, this.#end)
      return
    }
    this.#closed = this.#slab.subarray(this.#start, this.#end)
  }

  get bytes(): Buffer {
    if (this.#closed === null) throw new Error('the batch is still open')
    return this.#closed
  }

  seal(bodyPosition: number, timeMs: number): void {
    const bytes = this.bytes
    this.#bodyPosition = bodyPosition
    let at = ENTRY_HEADER_BYTES
    for (let i = 0; i < this.count; i++) {
      const size = getUint32(bytes, at)
      placeMessage(bytes, at, bodyPosition + at - ENTRY_HEADER_BYTES, timeMs)
      at += size
    }
    for (const waiter of this.#waiters) {
      waiter.physicalOffset += bodyPosition
      waiter.storeTimestamp = timeMs
    }
    for (const waiter of this.#batchWaiters) {
      const offsets = waiter.physicalOffsets
      for (let i = 0; i < offsets.length; i++) offsets[i]! += bodyPosition
      waiter.physicalOffset = offsets[0]!
      waiter.storeTimestamp = timeMs
    }
  }

  /** The log holds the bytes now, until they are applied at least. */
  override appended(index: number, term: number): void {
    super.appended(index, term)
    this.#blocks.release(this.#slab)
  }

  override stored(): void {
    const late = this.#late
    const waiters = this.#waiters
    while (this.#told < waiters.length) tellStored(waiters[this.#told++]!, late)
    const batchWaiters = this.#batchWaiters
    while (this.#batchesTold < batchWaiters.length)
      tellStored(batchWaiters[this.#batchesTold++]!, late)
    this.#forget()
  }

  override failed(reason: AppendFailure): void {
    if (!this.#late) {
      const waiters = this.#waiters
      while (this.#told < waiters.length) waiters[this.#told++]!.failed(reason)
      const batchWaiters = this.#batchWaiters
      while (this.#batchesTold < batchWaiters.length)
        batchWaiters[this.#batchesTold++]!.failed(reason)
    }
    if (reason === 'timeout') this.#keepLate()
    else this.#forget()
    this.failCommands(reason)
  }

  /** Shows all that wait. */
  visit(visitor: PendingVisitor): void {
    const late = this.#late
    this.#waiters = this.#visited(this.#waiters, visitor, late)
    this.#batchWaiters = this.#visited(this.#batchWaiters, visitor, late)
  }

  #visited<W extends AppendWaiter>(waiters: W[], visitor: PendingVisitor, late: boolean): W[] {
    const bodyAt = (this.#moved ? 0 : this.#start) + ENTRY_HEADER_BYTES
    const kept: W[] = []
    for (const waiter of waiters) {
      const at = bodyAt + waiter.physicalOffset - this.#bodyPosition
      if (visitor(waiter, this.#slab, at, late)) kept.push(waiter)
    }
    return late ? kept : waiters
  }

  #keepLate(): void {
    this.#late = true
    this.#told = 0
    this.#batchesTold = 0
    this.waiting = 0
  }

  #moved = false

  /** The trailer does not fit behind the messages (the slab is full, or another batch began): the entry gets bytes of its own. */
  #move(moreBytes: number): void {
    const length = this.#end - this.#start
    const moved = Buffer.allocUnsafeSlow(length + moreBytes)
    this.#slab.copy(moved, 0, this.#start, this.#end)
    this.#blocks.release(this.#slab)
    this.#slab = moved
    this.#end = length
    this.#moved = true
  }

  #forget(): void {
    this.#waiters.length = 0
    this.#batchWaiters.length = 0
    this.#told = 0
    this.#batchesTold = 0
    this.waiting = 0
  }
}

function tellStored(waiter: AppendWaiter, late: boolean): void {
  if (late) waiter.storedLate?.()
  else waiter.stored()
}

export class CommandBatch extends PendingEntry implements Proposal {
  readonly kind = EntryKind.commands
  readonly flags = 0
  count = 0
  readonly #parts: Buffer[] = []
  #bodyBytes = 0
  #closed: Buffer | null = null

  hasRoom(bytes: number, batchBytesMax: number): boolean {
    return ENTRY_HEADER_BYTES + this.#bodyBytes + bytes <= batchBytesMax
  }

  addCommand(command: Buffer, waiter: CommandWaiter | null): void {
    this.#parts.push(command)
    this.#bodyBytes += command.length
    this.count += 1
    this.commandWaiters.push(waiter)
  }

  close(): void {
    if (this.#closed !== null) return
    const bytes = Buffer.allocUnsafeSlow(ENTRY_HEADER_BYTES + this.#bodyBytes)
    let at = ENTRY_HEADER_BYTES
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    this.#parts.length = 0
    this.#closed = bytes
  }

  get bytes(): Buffer {
    if (this.#closed === null) throw new Error('the batch is still open')
    return this.#closed
  }

  /** Commands do not know their place. */
  seal(): void {}

  override stored(): void {}

  override failed(reason: AppendFailure): void {
    this.failCommands(reason)
  }
}
