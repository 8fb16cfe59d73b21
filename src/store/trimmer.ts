/**
 * Carries out a trim that was decided in the log, on every replica alike: min offsets first, so that nobody asks for
 * what goes; then the checkpoint, synced, because nobody could rebuild it from a log without its beginning; then
 * the log's segments; then what of queues and key index lies below. Each step may be repeated.
 */
import type { Logger } from '../platform/index.ts'
import type { RaftNode } from '../raft/index.ts'
import type { Checkpoints } from './checkpoint.ts'
import type { ConsumeQueue } from './consumeQueue.ts'
import type { KeyIndex } from './keyIndex.ts'
import type { Lookups } from './lookups.ts'
import type { Machine } from './machine.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'
import type { Tables } from './tables.ts'

export interface TrimmerHost {
  readonly logger: Logger
  readonly tables: Tables
  readonly queues: QueueTable
  readonly files: QueueFiles
  readonly index: KeyIndex | null
  readonly machine: Machine
  readonly lookups: Lookups
  readonly checkpoints: Checkpoints
  /** The disk is so full that not even a snapshot on its way is a reason to keep anything. */
  mustTrim(): boolean
  node(): RaftNode
}

export class Trimmer {
  readonly #host: TrimmerHost
  #running: Promise<void> | null = null
  #stopped = false

  constructor(host: TrimmerHost) {
    this.#host = host
  }

  /** Something may be decided and not done; once at a time. */
  look(): void {
    if (this.#stopped || this.#running !== null || !this.#isDue()) return
    const { position } = this.#host.tables.trim
    this.#running = this.#run().then(
      () => {
        this.#running = null
        // More may have been decided in the meantime.
        if (this.#host.tables.trim.position > position) this.look()
      },
      (error: unknown) => {
        this.#running = null
        if (!this.#stopped) {
          this.#host.logger.error('The log could not be trimmed; it is tried again', { error })
        }
      }
    )
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  /** Resolves when the trim under way (if any) is done. */
  async idle(): Promise<void> {
    await this.#running
  }

  #isDue(): boolean {
    const { tables, node, machine } = this.#host
    const { position } = tables.trim
    if (position <= node().log.startPosition || machine.isReplaying) return false
    return position <= node().snapshotFloor || this.#host.mustTrim()
  }

  async #run(): Promise<void> {
    const { tables, queues, files, index, checkpoints, logger } = this.#host
    const { index: firstIndex, position } = tables.trim
    const moved: ConsumeQueue[] = []
    for (const queue of [...queues.all()]) {
      if (this.#stopped) return
      if (await this.#moveMin(queue, position)) moved.push(queue)
    }
    await checkpoints.sync()
    if (this.#stopped) return
    await this.#host.node().trimPrefix(firstIndex, position)
    for (const queue of moved) {
      if (this.#stopped) return
      if (!queue.removed) await files.trim(queue, queue.minOffset)
    }
    await index?.trim(position)
    logger.info('The log was trimmed', { firstIndex, position, queues: moved.length })
  }

  /** The first unit whose message is not below the position. */
  async #moveMin(queue: ConsumeQueue, position: number): Promise<boolean> {
    const { lookups, machine } = this.#host
    let low = queue.minOffset
    let high = queue.maxOffset
    const first = low
    while (low < high) {
      // Most queues have nothing below: one look at their first unit.
      const middle = low === first && high === queue.maxOffset ? low : Math.floor((low + high) / 2)
      const unit = await lookups.unit(queue, middle)
      // A unit that is gone belongs to a message that is gone.
      if (unit === null || unit.physicalOffset < position) low = middle + 1
      else high = middle
    }
    if (low === first || queue.removed) return false
    queue.minOffset = low
    machine.noteChanged(queue)
    return true
  }
}
