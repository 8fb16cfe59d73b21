/**
 * Pulls (broker.md 4.2): units of the queue are chosen first, then their messages are taken from the log, neighbours
 * within an entry as one view. Everything that is in memory is answered at once, the rest by a promise.
 */
import {
  type ConsumeQueue,
  UNIT_BYTES,
  UnitSpan,
  unitPosition,
  unitSize,
  unitTagsLow
} from './consumeQueue.ts'
import { FilteredPull } from './filteredPull.ts'
import { type MessageFilter, type PullRequest, type PullResult, PullStatus } from './pull.ts'
import { edgeResult, edgeStatus, emptyResult } from './pullResults.ts'
import { QueueDamagedError } from './queueFiles.ts'
import type { ReaderHost } from './readerHost.ts'
import { firstStranger, readStoreTime } from './storedMessageView.ts'
import type { Arrival, PullLimits } from './types.ts'

export const DEFAULT_PULL_LIMITS: PullLimits = {
  memoryBytes: 262_144,
  memoryCount: 32,
  diskBytes: 65_536,
  diskCount: 8,
  /** Of a machine of 4 GiB; a broker says what its machine has. */
  memoryReachBytes: 1_717_986_918,
  filterUnits: 800
}

/** What a pull takes: runs of neighbouring messages. */
class Selection {
  readonly positions: number[] = []
  readonly lengths: number[] = []
  /** For each run: messages up to its end, and the queue offset behind its last. */
  readonly counts: number[] = []
  readonly nexts: number[] = []
  messages = 0
  bytes = 0
  next: number
  lastPosition = 0
  /** Of the last that did not match. */
  passedPosition = Number.POSITIVE_INFINITY
  done = false
  /** Some units come from the disk. */
  cold = false

  constructor(offset: number) {
    this.next = offset
  }
}

export class Reader {
  readonly #host: ReaderHost
  readonly #limits: PullLimits
  readonly #span = new UnitSpan()

  constructor(host: ReaderHost, limits: PullLimits) {
    this.#host = host
    this.#limits = limits
  }

  pull(request: PullRequest): PullResult | Promise<PullResult> {
    try {
      const result = this.#pull(request)
      return result instanceof Promise ? result.catch(error => this.#retry(request, error)) : result
    } catch (error) {
      return this.#retry(request, error)
    }
  }

  /** Once more when the units that could not be read are built again, within the request's patience. */
  async #retry(request: PullRequest, error: unknown): Promise<PullResult> {
    const { patienceMs } = request
    if (!(error instanceof QueueDamagedError) || patienceMs === undefined) throw error
    if (!(await this.#host.whenBack(error.queue, error.first, patienceMs))) throw error
    return await this.#pull(request)
  }

  #pull(request: PullRequest): PullResult | Promise<PullResult> {
    const queue = this.#host.queues.find(request.topic, request.queueId)
    const edge = edgeStatus(queue, request.offset)
    if (queue === undefined || edge !== null) {
      this.#host.counters.getMissed += 1
      return edgeResult(edge ?? PullStatus.NO_MESSAGE_IN_QUEUE, queue, request.offset)
    }
    const { filter } = request
    if (filter !== undefined && filter !== null)
      return new FilteredPull(this.#host, this.#limits, request, filter, queue, () =>
        this.pull(request)
      ).run()
    const selection = new Selection(request.offset)
    if (!this.#select(request, queue, selection)) return this.#pullCold(request, queue, selection)
    return this.#read(request, queue, selection)
  }

  /** Whether a message that just arrived passes; true also when it is not in memory any more. */
  arrivedMatches(arrival: Arrival, filter: MessageFilter): boolean {
    const queue = this.#host.queues.find(arrival.topic, arrival.queueId)
    const span = this.#span
    if (queue === undefined || arrival.arrivedFrom < 0) return true
    if (!queue.spanInMemory(arrival.arrivedFrom, span)) return true
    const log = this.#host.log()
    for (let i = 0; i < span.units; i++) {
      const at = span.at + i * UNIT_BYTES
      const message = log.peek(unitPosition(span.bytes, at), unitSize(span.bytes, at), true)
      if (message === null) return true
      const matches = filter.matches(message, 0)
      this.#host.blocks.release(message)
      if (matches) return true
    }
    return false
  }

  /** The units come from the disk. */
  async #pullCold(
    request: PullRequest,
    queue: ConsumeQueue,
    selection: Selection
  ): Promise<PullResult> {
    this.#host.counters.getFromDisk += 1
    const span = new UnitSpan()
    const loaded = await this.#host.files.loadSpan(queue, request.offset, span)
    // Its topic was deleted meanwhile: there may be another of its name.
    if (queue.removed) return await this.pull(request)
    if (!loaded) {
      // Trimmed while it was read: the client asks again from where there is something.
      const edge = edgeStatus(queue, request.offset) ?? PullStatus.OFFSET_TOO_SMALL
      return edgeResult(edge, queue, request.offset)
    }
    selection.cold = true
    this.#take(request, span, selection)
    if (!selection.done) this.#select(request, queue, selection)
    const result = await this.#read(request, queue, selection)
    return queue.removed ? await this.pull(request) : result
  }

  /** Goes on with what is in memory; false: not even the first unit is. */
  #select(request: PullRequest, queue: ConsumeQueue, selection: Selection): boolean {
    const span = this.#span
    const start = selection.next
    while (!selection.done && selection.next < queue.maxOffset) {
      if (!queue.spanInMemory(selection.next, span)) {
        if (!this.#host.files.spanInCache(queue, selection.next, span))
          return selection.next > start
        selection.cold = true
      }
      this.#take(request, span, selection)
    }
    return true
  }

  /** Chooses units until a limit of the answer is reached, or the span ends. */
  #take(request: PullRequest, span: UnitSpan, selection: Selection): void {
    const { tagHashes } = request
    const limits = this.#limits
    const bytesMax = request.maxBytes ?? Number.MAX_SAFE_INTEGER
    const unitsMax = Math.max(limits.filterUnits, request.maxMessages)
    const logEnd = this.#host.log().committedPosition
    let run = selection.positions.length - 1
    for (let i = 0; i < span.units; i++) {
      if (selection.next - request.offset >= unitsMax) {
        selection.done = true
        return
      }
      const at = span.at + i * UNIT_BYTES
      const position = unitPosition(span.bytes, at)
      if (tagHashes !== null && !tagHashes.has(unitTagsLow(span.bytes, at))) {
        selection.next += 1
        selection.passedPosition = position
        continue
      }
      const size = unitSize(span.bytes, at)
      if (selection.messages > 0) {
        const old = logEnd - position > limits.memoryReachBytes
        const bytes = Math.min(old ? limits.diskBytes : limits.memoryBytes, bytesMax)
        const count = Math.min(old ? limits.diskCount : limits.memoryCount, request.maxMessages)
        if (selection.messages >= count || selection.bytes + size > bytes) {
          selection.done = true
          return
        }
      }
      selection.next += 1
      selection.messages += 1
      selection.bytes += size
      selection.lastPosition = position
      const neighbour = run >= 0 && selection.positions[run]! + selection.lengths[run]! === position
      if (neighbour) {
        selection.lengths[run]! += size
        selection.counts[run] = selection.messages
        selection.nexts[run] = selection.next
      } else {
        run += 1
        selection.positions.push(position)
        selection.lengths.push(size)
        selection.counts.push(selection.messages)
        selection.nexts.push(selection.next)
      }
    }
  }

  #read(
    request: PullRequest,
    queue: ConsumeQueue,
    selection: Selection
  ): PullResult | Promise<PullResult> {
    if (selection.messages === 0) {
      this.#host.counters.getMissed += 1
      return {
        ...emptyResult(PullStatus.NO_MATCHED_MESSAGE, queue, selection.next),
        behindBytes: Math.max(0, this.#host.log().committedPosition - selection.passedPosition)
      }
    }
    const log = this.#host.log()
    const chunks: Buffer[] = []
    for (let i = 0; i < selection.positions.length; i++) {
      const chunk = log.peek(selection.positions[i]!, selection.lengths[i]!, request.holdsChunks)
      if (chunk === null) return this.#readCold(request, queue, selection, chunks)
      chunks.push(chunk)
    }
    return this.#found(queue, selection, chunks)
  }

  async #readCold(
    request: PullRequest,
    queue: ConsumeQueue,
    selection: Selection,
    chunks: Buffer[]
  ): Promise<PullResult> {
    const log = this.#host.log()
    const hold = request.holdsChunks
    this.#host.counters.getFromDisk += 1
    while (chunks.length < selection.positions.length) {
      const position = selection.positions[chunks.length]!
      const length = selection.lengths[chunks.length]!
      try {
        // What is in memory already is not kept back for a repair.
        const patienceMs = chunks.length === 0 ? (request.patienceMs ?? 0) : 0
        const read = (): Promise<Buffer> => log.read(position, length, hold)
        chunks.push(log.peek(position, length, hold) ?? (await log.patiently(read, patienceMs)))
      } catch (error) {
        // What lies before the place that cannot be read is served; the client comes back for the rest.
        if (chunks.length > 0) break
        if (position >= log.startPosition) throw error
        this.#host.counters.getMissed += 1
        // Only what is gone is passed over: the rest of the selection may lie behind the trim.
        const last = selection.positions.findLastIndex(at => at < log.startPosition)
        return emptyResult(PullStatus.MESSAGE_WAS_REMOVING, queue, selection.nexts[last]!)
      }
    }
    return this.#found(queue, selection, chunks)
  }

  /** Units from the disk may be of a store that has no checksums of them: the messages say whose they are. */
  #mustBelong(queue: ConsumeQueue, selection: Selection, chunks: readonly Buffer[]): void {
    for (let i = 0; i < chunks.length; i++) {
      const count = selection.counts[i]! - (i === 0 ? 0 : selection.counts[i - 1]!)
      const wrong = firstStranger(chunks[i]!, queue, selection.nexts[i]! - count)
      if (wrong !== -1) throw this.#host.files.damaged(queue, wrong, 'lead to other messages')
    }
  }

  #found(queue: ConsumeQueue, selection: Selection, chunks: Buffer[]): PullResult {
    if (selection.cold) this.#mustBelong(queue, selection, chunks)
    const last = chunks.length - 1
    const whole = chunks.length === selection.positions.length
    let bytes = 0
    for (const chunk of chunks) bytes += chunk.length
    const messageCount = selection.counts[last]!
    const lastAt = whole ? selection.lastPosition - selection.positions[last]! : 0
    const counters = this.#host.counters
    counters.getFound += 1
    counters.getMessages += messageCount
    counters.getBytes += bytes
    return {
      status: PullStatus.FOUND,
      nextBeginOffset: whole ? selection.next : selection.nexts[last]!,
      minOffset: queue.minOffset,
      maxOffset: queue.maxOffset,
      chunks,
      bytes,
      messageCount,
      behindBytes:
        this.#host.log().committedPosition - selection.positions[last]! - selection.lengths[last]!,
      lastStoreTimestamp: readStoreTime(chunks[last]!, lastAt)
    }
  }
}
