import type { Clock } from '../../platform/index.ts'
import { DamagedEntryError, type Entry, type RaftLog, TrimmedError } from '../log/index.ts'

/** Of one catching-up follower (raft.md 4.5). */
const BYTES_PER_SECOND = 100 * 1024 * 1024
/** While commits are slow, live traffic goes first. */
const SLOW_SHARE = 0.5

export interface ReadRequest {
  peer: string
  requestId: number
  firstIndex: number
  lastIndex: number
  maxBytes: number
}

export interface CatchUpHost {
  /** Empty: they could not be read. */
  entriesRead(request: ReadRequest, entries: readonly Entry[]): void
  readFailed(request: ReadRequest, error: Error): void
  /** Commits take longer than they should. */
  commitsAreSlow(): boolean
}

/**
 * Reads old entries for followers that are too far behind for the tail cache: one piece at a time
 * for each, at a bounded rate, and keeps the last piece until the next is asked for.
 */
export class CatchUp {
  readonly #log: RaftLog
  readonly #clock: Clock
  readonly #host: CatchUpHost
  readonly #pieces = new Map<string, Entry[]>()
  /** When the next read of a peer may begin. */
  readonly #nextMs = new Map<string, number>()
  /** Counts the times of leadership; reads of an earlier one are void. */
  #reign = 0
  #stopped = false

  constructor(log: RaftLog, clock: Clock, host: CatchUpHost) {
    this.#log = log
    this.#clock = clock
    this.#host = host
  }

  stop(): void {
    this.#stopped = true
    this.#pieces.clear()
  }

  request(request: ReadRequest): void {
    this.#pieces.delete(request.peer)
    const reign = this.#reign
    const delayMs = (this.#nextMs.get(request.peer) ?? 0) - this.#clock.monotonicMs()
    if (delayMs <= 1) this.#read(request)
    else {
      this.#clock.after(delayMs, () => {
        if (this.#reign === reign) this.#read(request)
      })
    }
  }

  /** The entry as it was read for this peer last; null when it was not. */
  entryAt(peer: string, index: number): Entry | null {
    const piece = this.#pieces.get(peer)
    if (piece === undefined) return null
    return piece[index - piece[0]!.index] ?? null
  }

  /** No longer needed: the peer is gone. */
  forget(peer: string): void {
    this.#pieces.delete(peer)
  }

  /** This node leads no more: its log may be cut from now on, so nothing that was read before holds. */
  forgetAll(): void {
    this.#reign += 1
    this.#pieces.clear()
  }

  #read(request: ReadRequest): void {
    if (this.#stopped) return
    const reign = this.#reign
    this.#log.readEntries(request.firstIndex, request.maxBytes).then(
      entries => {
        if (this.#stopped || this.#reign !== reign) return
        const count = request.lastIndex - request.firstIndex + 1
        if (entries.length > count) entries.length = count
        let bytes = 0
        for (const entry of entries) bytes += entry.bytes.length
        const share = this.#host.commitsAreSlow() ? SLOW_SHARE : 1
        const pauseMs = (bytes * 1000) / (BYTES_PER_SECOND * share)
        this.#nextMs.set(request.peer, this.#clock.monotonicMs() + pauseMs)
        if (entries.length > 0) this.#pieces.set(request.peer, entries)
        this.#host.entriesRead(request, entries)
      },
      (error: Error) => {
        if (this.#stopped || this.#reign !== reign) return
        // Damage was reported by the log, a trim by who ordered it: the core finds its way.
        if (error instanceof DamagedEntryError || error instanceof TrimmedError) {
          this.#host.entriesRead(request, [])
        } else {
          this.#host.readFailed(request, error)
        }
      }
    )
  }
}
