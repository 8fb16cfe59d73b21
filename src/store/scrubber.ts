/**
 * Reads everything on the disk in the background, for damage in what nobody asks for is found by nobody: the log with its
 * index, the consume queues, the runs of the key index. Whatever it meets is repaired as if a reader had met it.
 *
 *   waiting ──▶ log ──▶ queues ──▶ keys ──▶ waiting, until `intervalMs` after the round began
 *
 * At most `bytesPerSecond`, and an eighth of it while sends are waiting. Where it is stands in the state database.
 */
import type { Clock, Logger, Timer } from '../platform/index.ts'
import type { RaftNode } from '../raft/index.ts'
import { UNIT_BYTES } from './consumeQueue.ts'
import type { KeyIndex } from './keyIndex.ts'
import type { KeyValueStore } from './keyValueStore.ts'
import type { QueueFiles } from './queueFiles.ts'
import type { QueueTable } from './queueTable.ts'
import { RecordKind } from './tablesCodec.ts'

const STEP_BYTES = 256 * 1024
/** Not while the broker comes up. */
const START_DELAY_MS = 60_000
const BUSY_FACTOR = 8
const SAVE_INTERVAL_MS = 60_000
const RETRY_MS = 10_000

export interface ScrubSettings {
  /** 0: never. */
  readonly bytesPerSecond: number
  /** From one round's beginning to the next one's. */
  readonly intervalMs: number
}

export type ScrubPhase = 'off' | 'waiting' | 'log' | 'queues' | 'keys'

export interface ScrubStatus {
  readonly phase: ScrubPhase
  /** Of the phase, whole per cent. */
  readonly percent: number
  /** Of the round under way, or the last one. */
  readonly bytes: number
  readonly damaged: number
  /** 0: no round was ever finished. */
  readonly lastRoundMs: number
}

export interface ScrubberHost {
  readonly clock: Clock
  readonly logger: Logger
  readonly state: KeyValueStore
  readonly queues: QueueTable
  readonly files: QueueFiles
  readonly index: KeyIndex | null
  node(): RaftNode
  isBusy(): boolean
}

/** As it stands in the state database. */
export interface ScrubRecord {
  phase: Exclude<ScrubPhase, 'off'>
  /** The next entry to look at. */
  nextIndex: number
  roundStartedMs: number
  lastRoundMs: number
  bytes: number
  damaged: number
}

const NEW_RECORD: ScrubRecord = {
  phase: 'waiting',
  nextIndex: 1,
  roundStartedMs: 0,
  lastRoundMs: 0,
  bytes: 0,
  damaged: 0
}

class Stopped extends Error {}

export class Scrubber {
  readonly #host: ScrubberHost
  readonly #settings: ScrubSettings
  readonly #record: ScrubRecord
  #percent = 0
  #timer: Timer | null = null
  #wake: (() => void) | null = null
  #running: Promise<void> | null = null
  #stopped = false
  #saveDueMs = 0

  constructor(host: ScrubberHost, settings: ScrubSettings, record: ScrubRecord | null) {
    this.#host = host
    this.#settings = settings
    this.#record = { ...(record ?? NEW_RECORD) }
  }

  get status(): ScrubStatus {
    const { phase, bytes, damaged, lastRoundMs } = this.#record
    const isOff = this.#settings.bytesPerSecond === 0
    return { phase: isOff ? 'off' : phase, percent: this.#percent, bytes, damaged, lastRoundMs }
  }

  start(): void {
    if (this.#settings.bytesPerSecond === 0) return
    this.#running = this.#run().catch((error: unknown) => {
      if (!(error instanceof Stopped)) this.#host.logger.error('The scrubber ended', { error })
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    this.#wake?.()
    await this.#running
    if (this.#running !== null) await this.#save().catch(() => {}) // it starts a little further back
  }

  /** Queues and key index at once, without pauses; not while it runs by itself. */
  async lookAtDerived(): Promise<void> {
    await this.#queues()
    await this.#keys()
  }

  async #run(): Promise<void> {
    await this.#sleep(START_DELAY_MS)
    for (;;) {
      try {
        await this.#round()
      } catch (error) {
        if (error instanceof Stopped) throw error
        this.#host.logger.warn('Looking for damage on the disk is tried again', { error })
        await this.#sleep(RETRY_MS)
      }
    }
  }

  async #round(): Promise<void> {
    const record = this.#record
    const { clock, logger } = this.#host
    if (record.phase === 'waiting') {
      // A wall clock that was set back must not put it off for ever.
      const sinceMs = Math.abs(clock.wallMs() - record.roundStartedMs)
      if (sinceMs < this.#settings.intervalMs) {
        await this.#sleep(Math.min(this.#settings.intervalMs - sinceMs, SAVE_INTERVAL_MS))
        return
      }
      record.roundStartedMs = clock.wallMs()
      record.nextIndex = 1
      record.bytes = 0
      record.damaged = 0
      await this.#enter('log')
    }
    if (record.phase === 'log') {
      await this.#log()
      await this.#enter('queues')
    }
    if (record.phase === 'queues') {
      await this.#queues()
      await this.#enter('keys')
    }
    await this.#keys()
    record.lastRoundMs = clock.wallMs()
    await this.#enter('waiting')
    const { bytes, damaged } = record
    const text = 'Everything on the disk was read once'
    const fields = { bytes, damaged, tookMs: record.lastRoundMs - record.roundStartedMs }
    if (damaged > 0) logger.warn(text, fields)
    else logger.info(text, fields)
  }

  async #log(): Promise<void> {
    const record = this.#record
    const node = this.#host.node()
    while (record.nextIndex <= node.durableIndex) {
      const found = await node.verify(record.nextIndex, STEP_BYTES)
      record.damaged += found.damagedEntries + found.mendedUnits
      if (found.nextIndex <= record.nextIndex) return
      record.nextIndex = found.nextIndex
      const first = node.log.firstIndex
      this.#progress(record.nextIndex - first, node.durableIndex - first + 1)
      await this.#pause(found.bytes)
    }
  }

  async #queues(): Promise<void> {
    const { queues, files } = this.#host
    const { geometry } = files.checks
    const all = [...queues.all()]
    for (const [at, queue] of all.entries()) {
      let first = geometry.blockFirst(queue.minOffset)
      while (!queue.removed && first < queue.flushedOffset) {
        const end = geometry.blockEnd(first)
        const block = await files.readBlock(queue, first)
        if (block === null && !queue.removed && end > queue.minOffset) {
          this.#record.damaged += 1
          files.onDamage(queue, first)
        }
        await this.#pause((end - first) * UNIT_BYTES)
        first = Math.max(end, geometry.blockFirst(queue.minOffset))
      }
      this.#progress(at + 1, all.length)
    }
  }

  async #keys(): Promise<void> {
    const { index } = this.#host
    if (index === null) return
    const all = [...index.runs]
    for (const [at, run] of all.entries()) {
      if (!(await index.verify(run, bytes => this.#pause(bytes)))) this.#record.damaged += 1
      this.#progress(at + 1, all.length)
    }
  }

  #progress(done: number, all: number): void {
    this.#percent = all <= 0 ? 100 : Math.min(100, Math.max(0, Math.floor((done * 100) / all)))
  }

  async #enter(phase: ScrubRecord['phase']): Promise<void> {
    this.#record.phase = phase
    this.#percent = 0
    await this.#save()
  }

  async #pause(bytes: number): Promise<void> {
    this.#record.bytes += bytes
    if (this.#running === null) return
    const { clock } = this.#host
    if (clock.monotonicMs() >= this.#saveDueMs) await this.#save()
    const ms = (bytes * 1000) / this.#settings.bytesPerSecond
    await this.#sleep(this.#host.isBusy() ? ms * BUSY_FACTOR : ms)
  }

  async #save(): Promise<void> {
    this.#saveDueMs = this.#host.clock.monotonicMs() + SAVE_INTERVAL_MS
    const value = Buffer.from(JSON.stringify(this.#record))
    const change = { key: Buffer.from(RecordKind.scrub), value }
    await this.#host.state.write([change], { sync: false })
  }

  async #sleep(ms: number): Promise<void> {
    if (!this.#stopped && ms > 0) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
        this.#timer = this.#host.clock.after(ms, resolve)
      })
    }
    if (this.#stopped) throw new Stopped()
  }
}
