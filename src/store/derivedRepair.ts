/**
 * Builds again, from the log, what is damaged of the files that were made from it: blocks of consume queues and runs of
 * the key index (raft.md 4.9: derived data is rebuilt). Reads tell of damage, and may wait until it is mended. A part of the
 * log that is damaged itself is repaired by the peers meanwhile; what fails is tried again later, the rest goes on.
 */
import type { Clock, Timer } from '../platform/index.ts'
import type { ConsumeQueue } from './consumeQueue.ts'
import type { RunRecord } from './indexRun.ts'
import { topicSeed } from './keyHash.ts'
import type { KeyIndex } from './keyIndex.ts'
import { addKeys } from './keySink.ts'
import { type ScanVisitor, scanMessages } from './logScan.ts'
import { QueueRepair, type QueueRepairHost } from './queueRepair.ts'
import type { StoredMessageView } from './storedMessageView.ts'

/** A lost segment is repaired entry by entry: each that was not known to be damaged is met by a read of its own. */
const READ_RETRY_MS = 100
const READ_RETRIES_MAX = 100
const RETRY_MIN_MS = 1_000
const RETRY_MAX_MS = 60_000
/** Readers of damaged blocks that are kept waiting at once. */
const WAITING_MAX = 4096

export interface DerivedRepairHost extends Omit<QueueRepairHost, 'isDamaged' | 'done' | 'failed'> {
  readonly clock: Clock
  readonly index: KeyIndex | null
}

export interface DerivedDamage {
  /** Waiting to be built again. */
  readonly queueBlocks: number
  readonly indexRuns: number
  /** Built again since the start. */
  readonly rebuiltBlocks: number
  readonly rebuiltRuns: number
}

/** What one pass could not do. */
interface Failures {
  readonly blocks: Map<ConsumeQueue, Set<number>>
  readonly runs: Set<RunRecord>
  error: unknown
}

interface Waiter {
  readonly queue: ConsumeQueue
  readonly first: number
  readonly timer: Timer
  resolve(back: boolean): void
}

export class DerivedRepair {
  readonly #host: DerivedRepairHost
  readonly #queues: QueueRepair
  readonly #blocks = new Map<ConsumeQueue, Set<number>>()
  readonly #runs = new Set<RunRecord>()
  readonly #waiters = new Set<Waiter>()
  #blockCount = 0
  #rebuiltBlocks = 0
  #rebuiltRuns = 0
  /** Of the pass under way. */
  #failures: Failures = noFailures()
  #running: Promise<void> | null = null
  #timer: Timer | null = null
  #retryMs = RETRY_MIN_MS
  /** When a failed pass may be repeated because somebody reads what it is for, monotonic ms. */
  #wantedFromMs = 0
  #started = false
  #stopped = false

  constructor(host: DerivedRepairHost) {
    this.#host = host
    this.#queues = new QueueRepair({
      ...host,
      isDamaged: (queue, first) => this.#isDamaged(queue, first),
      done: (queue, first, rebuilt) => this.#done(queue, first, rebuilt),
      failed: (queue, first, error) => {
        addTo(this.#failures.blocks, queue, first)
        this.#failures.error ??= error
      }
    })
    host.files.onDamage = (queue, first) => this.queueDamaged(queue, first)
    if (host.index === null) return
    host.index.onDamage = run => this.runDamaged(run)
    for (const run of host.index.lost) this.runDamaged(run)
  }

  get damage(): DerivedDamage {
    return {
      queueBlocks: this.#blockCount,
      indexRuns: this.#runs.size,
      rebuiltBlocks: this.#rebuiltBlocks,
      rebuiltRuns: this.#rebuiltRuns
    }
  }

  queueDamaged(queue: ConsumeQueue, first: number): void {
    if (this.#isDamaged(queue, first)) {
      this.#wanted()
      return
    }
    const blocks = addTo(this.#blocks, queue, first)
    this.#blockCount += 1
    this.#host.files.forgetBlock(queue, first)
    // One line for a queue: a lost file has many blocks.
    if (blocks.size === 1) {
      const { topic, queueId } = queue
      this.#host.logger.error('Units of a queue are damaged; they are built again from the log', {
        topic,
        queueId,
        firstUnit: first
      })
    }
    this.#wake()
  }

  runDamaged(run: RunRecord): void {
    if (this.#runs.has(run)) {
      this.#wanted()
      return
    }
    this.#runs.add(run)
    this.#host.logger.error('A run of the key index is damaged; it is built again from the log', {
      run: run.sequence,
      records: run.records
    })
    this.#wake()
  }

  /** True: the block is whole, or not needed any more. False: not within that time, or too many wait. */
  whenBack(queue: ConsumeQueue, first: number, patienceMs: number): Promise<boolean> {
    if (!this.#isDamaged(queue, first)) return Promise.resolve(true)
    if (this.#stopped || patienceMs <= 0 || this.#waiters.size >= WAITING_MAX)
      return Promise.resolve(false)
    return new Promise(resolve => {
      const timer = this.#host.clock.after(patienceMs, () => this.#release(waiter, false))
      const waiter: Waiter = { queue, first, timer, resolve }
      this.#waiters.add(waiter)
    })
  }

  #release(waiter: Waiter, back: boolean): void {
    this.#waiters.delete(waiter)
    waiter.timer.cancel()
    waiter.resolve(back)
  }

  /** The log can be read from now on. */
  start(): void {
    this.#started = true
    this.#wake()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
    for (const waiter of this.#waiters) this.#release(waiter, false)
    await this.#running
  }

  /** Resolves when everything is built again, or a pass has failed. */
  async settle(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  /** A reader waits for it: the pause after a failure need not go to its end, which may be a minute away. */
  #wanted(): void {
    if (this.#timer === null || this.#host.clock.monotonicMs() < this.#wantedFromMs) return
    this.#timer.cancel()
    this.#timer = null
    this.#wake()
  }

  #wake(delayMs = 0): void {
    if (!this.#started || this.#stopped || this.#running !== null || this.#timer !== null) return
    if (this.#blockCount + this.#runs.size === 0) return
    if (delayMs > 0) {
      this.#timer = this.#host.clock.after(delayMs, () => {
        this.#timer = null
        this.#wake()
      })
      return
    }
    const { clock } = this.#host
    const beganMs = clock.monotonicMs()
    this.#running = this.#pass().then(
      () => {
        this.#retryMs = RETRY_MIN_MS
        this.#ended(0)
      },
      (error: unknown) => {
        if (!this.#stopped) {
          this.#host.logger.warn('Damaged files could not be built again yet', {
            queueBlocks: this.#blockCount,
            indexRuns: this.#runs.size,
            error
          })
        }
        const nowMs = clock.monotonicMs()
        // Passes that fail late read much: at most half of the time.
        this.#wantedFromMs = nowMs + Math.max(RETRY_MIN_MS, nowMs - beganMs)
        this.#ended(this.#retryMs)
        this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS)
      }
    )
  }

  #ended(delayMs: number): void {
    this.#running = null
    this.#wake(delayMs)
  }

  /** Everything once. Rejects at its end when something could not be built. */
  async #pass(): Promise<void> {
    const failures = noFailures()
    this.#failures = failures
    for (;;) {
      this.#mustGoOn()
      const jobs = await this.#queues.jobs(this.#untried())
      if (jobs.length > 0) {
        const before = this.#rebuiltBlocks
        await this.#queues.rebuild(jobs, message => this.#visitor(message))
        const blocks = this.#rebuiltBlocks - before
        const left = this.#blockCount
        if (blocks > 0) this.#host.logger.info('Units of queues were built again', { blocks, left })
        continue
      }
      const run = [...this.#runs].find(damaged => !failures.runs.has(damaged))
      if (run === undefined) break
      await this.#rebuildRun(run).catch((error: unknown) => {
        failures.runs.add(run)
        failures.error ??= error
      })
    }
    if (failures.error !== null) throw failures.error
  }

  /** Of each queue in rising order. */
  *#untried(): Generator<readonly [ConsumeQueue, readonly number[]]> {
    for (const [queue, blocks] of [...this.#blocks]) {
      const failed = this.#failures.blocks.get(queue)
      const firsts = [...blocks].filter(first => failed?.has(first) !== true)
      if (firsts.length > 0) yield [queue, firsts.sort((a, b) => a - b)]
    }
  }

  async #rebuildRun(run: RunRecord): Promise<void> {
    const { index, log, logger } = this.#host
    await index?.replace(run, async (sink, room) => {
      const range = {
        fromPosition: Math.max(run.firstPosition, log().startPosition),
        endPosition: run.lastPosition + 1
      }
      const message = (view: StoredMessageView, entryIndex: number): void => {
        if (view.physicalOffset < run.firstPosition) return
        view.scanProperties()
        const topic = view.bytes.subarray(view.topicStart, view.topicEnd)
        addKeys(sink, view, topicSeed(topic), entryIndex)
      }
      await scanMessages(log(), range, this.#visitor(message, room))
    })
    this.#runs.delete(run)
    this.#rebuiltRuns += 1
    logger.info('A run of the key index was built again', { run: run.sequence })
  }

  #visitor(message: ScanVisitor['message'], room?: () => Promise<void>): ScanVisitor {
    this.#mustGoOn()
    let failures = 0
    return {
      message,
      pieceDone: async () => {
        failures = 0
        this.#mustGoOn()
        await room?.()
        return true
      },
      readFailed: async error => {
        this.#mustGoOn()
        failures += 1
        if (failures > READ_RETRIES_MAX) throw error
        await new Promise<void>(resolve => this.#host.clock.after(READ_RETRY_MS, resolve))
        this.#mustGoOn()
      }
    }
  }

  #mustGoOn(): void {
    if (this.#stopped) throw new Error('the store is being stopped')
  }

  #isDamaged(queue: ConsumeQueue, first: number): boolean {
    return this.#blocks.get(queue)?.has(first) === true
  }

  #done(queue: ConsumeQueue, first: number, rebuilt: boolean): void {
    const blocks = this.#blocks.get(queue)
    if (blocks?.delete(first) !== true) return
    this.#blockCount -= 1
    if (rebuilt) this.#rebuiltBlocks += 1
    if (blocks.size === 0) this.#blocks.delete(queue)
    for (const waiter of this.#waiters) {
      if (waiter.queue === queue && waiter.first === first) this.#release(waiter, true)
    }
  }
}

function noFailures(): Failures {
  return { blocks: new Map(), runs: new Set(), error: null }
}

function addTo(
  blocks: Map<ConsumeQueue, Set<number>>,
  queue: ConsumeQueue,
  first: number
): Set<number> {
  const firsts = blocks.get(queue) ?? new Set<number>()
  blocks.set(queue, firsts.add(first))
  return firsts
}
