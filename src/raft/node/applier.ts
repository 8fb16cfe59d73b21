import type { Clock } from '../../platform/index.ts'
import { DamagedEntryError, type Entry, type RaftLog } from '../log/index.ts'

/** Given to the state machine in one call, and read from the disk at once. */
const BATCH_BYTES = 4 * 1024 * 1024
/** Applied without letting the event loop run. */
const TURN_BYTES = 32 * 1024 * 1024
/** Until a state machine that must wait is asked again. */
const WAIT_MS = 20

export interface ApplierHost {
  apply(entries: readonly Entry[]): void
  /** Entries up to `index` were applied; `lagBytes` of committed ones wait. */
  applied(index: number, lagBytes: number): void
  /** The state machine cannot take more just now. */
  mustWait(): boolean
  /** Reading committed entries failed for good. */
  failed(error: Error): void
}

/**
 * Gives committed entries to the state machine, each once and in order: at once where they are in
 * memory, in pieces from the disk after a start. Never beyond the commit index.
 */
export class Applier {
  readonly #log: RaftLog
  readonly #clock: Clock
  readonly #host: ApplierHost
  #appliedIndex: number
  #targetIndex = 0
  /** End of the last applied entry; -1: not known before the first. */
  #appliedEndPosition = -1
  /** A read or a pause is under way and goes on by itself. */
  #busy = false
  #stopped = false

  constructor(log: RaftLog, clock: Clock, appliedIndex: number, host: ApplierHost) {
    this.#log = log
    this.#clock = clock
    this.#host = host
    this.#appliedIndex = appliedIndex
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  stop(): void {
    this.#stopped = true
  }

  /** Everything up to `index` is committed. */
  commitTo(index: number): void {
    // What the state lacks is gone: a snapshot brings another one, and nothing is kept for this one meanwhile.
    if (this.#appliedIndex < this.#log.firstIndex - 1) {
      this.#log.release(index)
      return
    }
    this.#targetIndex = Math.max(this.#targetIndex, index)
    this.pump()
  }

  /** Goes on where it stopped; also when a damaged entry was repaired. */
  pump(): void {
    if (this.#busy || this.#stopped) return
    let turnBytes = 0
    while (this.#appliedIndex < this.#targetIndex) {
      if (this.#host.mustWait()) {
        this.#wait()
        return
      }
      if (turnBytes >= TURN_BYTES) {
        this.#pause()
        return
      }
      const entries = this.#log.recentEntries(this.#appliedIndex + 1, BATCH_BYTES)
      if (entries === null || entries.length === 0) {
        this.#readOn()
        return
      }
      turnBytes += this.#give(entries, this.#targetIndex)
      if (this.#stopped) return
    }
  }

  #pause(): void {
    this.#busy = true
    this.#clock.turnEnd(() => {
      this.#busy = false
      this.pump()
    })
  }

  #wait(): void {
    this.#busy = true
    this.#clock.after(WAIT_MS, () => {
      this.#busy = false
      this.pump()
    })
  }

  #readOn(): void {
    this.#busy = true
    // What is committed now stays as it is; anything behind may be cut and replaced while the read is under way.
    const limit = this.#targetIndex
    this.#log.readEntries(this.#appliedIndex + 1, BATCH_BYTES).then(
      entries => {
        if (this.#stopped) return
        if (entries.length === 0) {
          this.#host.failed(
            new Error(`committed entry ${this.#appliedIndex + 1} is not in the log`)
          )
          return
        }
        this.#give(entries, limit)
        // The next piece only after the event loop had its turn.
        this.#pause()
      },
      (error: Error) => {
        this.#busy = false
        if (this.#stopped) return
        // The log has reported the fault; whoever repairs it calls `pump`.
        if (!(error instanceof DamagedEntryError)) this.#host.failed(error)
      }
    )
  }

  /** Those up to `lastIndex`; returns the bytes applied. */
  #give(entries: Entry[], lastIndex: number): number {
    const count = lastIndex - this.#appliedIndex
    if (entries.length > count) entries.length = count
    const last = entries.at(-1)
    if (last === undefined) return 0
    const first = entries[0]!
    this.#host.apply(entries)
    if (this.#stopped) return 0
    this.#appliedIndex = last.index
    this.#appliedEndPosition = last.position + last.bytes.length
    this.#log.release(last.index)
    const lagBytes = Math.max(0, this.#log.committedPosition - this.#appliedEndPosition)
    this.#host.applied(last.index, lagBytes)
    return this.#appliedEndPosition - first.position
  }
}
