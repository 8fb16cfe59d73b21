/**
 * A pull whose filter looks into each message (SQL92, broker.md 4.2 and 4.4). Messages are taken one by one; what is in
 * memory is looked at in one go, and one pull has limits of units, work and reads, behind which the client goes on at once.
 *
 *   scanning ── a block of the queue, or a message, is on the disk ──▶ loading ──▶ scanning
 *      └─ full, at a limit, or at the queue's end ──▶ answered
 */
import { type ConsumeQueue, UNIT_BYTES, UnitSpan, unitPosition, unitSize } from './consumeQueue.ts'
import { type MessageFilter, type PullRequest, type PullResult, PullStatus } from './pull.ts'
import { edgeResult, edgeStatus, emptyResult } from './pullResults.ts'
import type { ReaderHost } from './readerHost.ts'
import { readStoreTime } from './storedMessageView.ts'
import type { PullLimits } from './types.ts'

/** Some ten milliseconds. */
const WORK_MAX = 500_000
/** Each brings a block of the log of 1 MiB, or a larger entry. */
const DISK_READS_MAX = 8

type Needs = 'nothing' | 'units' | 'message'

export class FilteredPull {
  readonly #host: ReaderHost
  readonly #limits: PullLimits
  readonly #request: PullRequest
  readonly #filter: MessageFilter
  readonly #queue: ConsumeQueue
  readonly #again: () => PullResult | Promise<PullResult>
  readonly #span = new UnitSpan()
  readonly #chunks: Buffer[] = []
  /** Of the unit at `#next`, in `#span`. */
  #index = 0
  #next: number
  #messages = 0
  #bytes = 0
  #work = 0
  #diskReads = 0
  #lastPosition = 0
  /** Of the last that was looked at. */
  #passedPosition = Number.POSITIVE_INFINITY
  #lastSize = 0
  #lastStoreTimestamp = 0

  constructor(
    host: ReaderHost,
    limits: PullLimits,
    request: PullRequest,
    filter: MessageFilter,
    queue: ConsumeQueue,
    /** Pulls anew. */
    again: () => PullResult | Promise<PullResult>
  ) {
    this.#again = again
    this.#host = host
    this.#limits = limits
    this.#request = request
    this.#filter = filter
    this.#queue = queue
    this.#next = request.offset
  }

  /** The queue must have the unit that is asked for. */
  run(): PullResult | Promise<PullResult> {
    const needs = this.#scan()
    return needs === 'nothing' ? this.#result() : this.#runCold(needs)
  }

  async #runCold(first: Needs): Promise<PullResult> {
    this.#host.counters.getFromDisk += 1
    let needs = first
    while (needs !== 'nothing') {
      const ended = needs === 'units' ? await this.#loadUnits() : await this.#loadMessage()
      // Its topic was deleted meanwhile: there may be another of its name.
      if (this.#queue.removed) return await this.#again()
      if (ended !== null) return ended
      needs = this.#scan()
    }
    return this.#result()
  }

  /** Goes on in memory until the pull is at its end, or something has to be loaded. */
  #scan(): Needs {
    const log = this.#host.log()
    while (this.#mayGoOn()) {
      if (this.#index >= this.#span.units && !this.#findUnits()) return 'units'
      const at = this.#span.at + this.#index * UNIT_BYTES
      const position = unitPosition(this.#span.bytes, at)
      const size = unitSize(this.#span.bytes, at)
      const message = log.peek(position, size)
      if (message === null) return this.#diskReads < DISK_READS_MAX ? 'message' : 'nothing'
      if (!this.#look(message, position, size)) return 'nothing'
    }
    return 'nothing'
  }

  #mayGoOn(): boolean {
    const { offset, maxMessages } = this.#request
    return (
      this.#next < this.#queue.maxOffset &&
      this.#next - offset < Math.max(this.#limits.filterUnits, maxMessages) &&
      this.#work < WORK_MAX &&
      this.#messages < maxMessages
    )
  }

  #findUnits(): boolean {
    this.#index = 0
    const found =
      this.#queue.spanInMemory(this.#next, this.#span) ||
      this.#host.files.spanInCache(this.#queue, this.#next, this.#span)
    if (!found) this.#span.units = 0
    return found
  }

  /** False: it passes, and the answer has no room for it. */
  #look(message: Buffer, position: number, size: number): boolean {
    const before = this.#filter.work
    const matched = this.#filter.matches(message, 0)
    this.#work += this.#filter.work - before
    if (matched) {
      if (this.#messages > 0 && this.#isFull(position, size)) return false
      this.#take(message, position, size)
    }
    this.#passedPosition = position
    this.#next += 1
    this.#index += 1
    return true
  }

  #isFull(position: number, size: number): boolean {
    const limits = this.#limits
    const old = this.#host.log().committedPosition - position > limits.memoryReachBytes
    const bytesMax = Math.min(
      old ? limits.diskBytes : limits.memoryBytes,
      this.#request.maxBytes ?? Number.MAX_SAFE_INTEGER
    )
    return (
      this.#messages >= (old ? limits.diskCount : limits.memoryCount) ||
      this.#bytes + size > bytesMax
    )
  }

  /** Neighbours in the same memory leave as one view. */
  #take(message: Buffer, position: number, size: number): void {
    const last = this.#chunks.at(-1)
    if (
      last !== undefined &&
      last.buffer === message.buffer &&
      last.byteOffset + last.length === message.byteOffset
    )
      this.#chunks[this.#chunks.length - 1] = Buffer.from(
        last.buffer,
        last.byteOffset,
        last.length + message.length
      )
    else this.#chunks.push(message)
    this.#messages += 1
    this.#bytes += size
    this.#lastPosition = position
    this.#lastSize = size
    this.#lastStoreTimestamp = readStoreTime(message, 0)
  }

  /** An answer: the units are not there any more. */
  async #loadUnits(): Promise<PullResult | null> {
    const queue = this.#queue
    if (await this.#host.files.loadSpan(queue, this.#next, this.#span)) {
      this.#index = 0
      return null
    }
    this.#span.units = 0
    if (this.#next > this.#request.offset) return this.#result()
    const edge = queue.removed
      ? PullStatus.NO_MATCHED_LOGIC_QUEUE
      : (edgeStatus(queue, this.#next) ?? PullStatus.OFFSET_TOO_SMALL)
    return edgeResult(edge, queue, this.#next)
  }

  /** An answer: the message cannot be read; what stands before it is served, and the client comes back for the rest. */
  async #loadMessage(): Promise<PullResult | null> {
    const log = this.#host.log()
    const at = this.#span.at + this.#index * UNIT_BYTES
    const position = unitPosition(this.#span.bytes, at)
    const size = unitSize(this.#span.bytes, at)
    this.#diskReads += 1
    try {
      const isFirst = this.#next === this.#request.offset
      const patienceMs = isFirst ? (this.#request.patienceMs ?? 0) : 0
      const message = await log.patiently(() => log.read(position, size), patienceMs)
      return this.#look(message, position, size) ? null : this.#result()
    } catch (error) {
      if (this.#next > this.#request.offset) return this.#result()
      if (position >= log.startPosition) throw error
      this.#host.counters.getMissed += 1
      const next = Math.max(this.#next + 1, this.#queue.minOffset)
      return emptyResult(PullStatus.MESSAGE_WAS_REMOVING, this.#queue, next)
    }
  }

  #result(): PullResult {
    const queue = this.#queue
    const { counters } = this.#host
    if (this.#messages === 0) {
      counters.getMissed += 1
      return {
        ...emptyResult(PullStatus.NO_MATCHED_MESSAGE, queue, this.#next),
        behindBytes: Math.max(0, this.#host.log().committedPosition - this.#passedPosition)
      }
    }
    counters.getFound += 1
    counters.getMessages += this.#messages
    counters.getBytes += this.#bytes
    return {
      status: PullStatus.FOUND,
      nextBeginOffset: this.#next,
      minOffset: queue.minOffset,
      maxOffset: queue.maxOffset,
      chunks: this.#chunks,
      bytes: this.#bytes,
      messageCount: this.#messages,
      behindBytes: this.#host.log().committedPosition - this.#lastPosition - this.#lastSize,
      lastStoreTimestamp: this.#lastStoreTimestamp
    }
  }
}
