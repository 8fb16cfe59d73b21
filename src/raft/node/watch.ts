import type { DiskSpace, Platform } from '../../platform/index.ts'
import { type PeerStatus, ROOM_PERMILLE } from '../core/index.ts'
import type { RaftLog } from '../log/index.ts'

/** A write or fsync that takes this long makes the disk slow (R-D9). */
const SLOW_MS = 1000
const SPACE_PERIOD_MS = 10_000

export interface WatchHost {
  storageSlow(slow: boolean): void
  diskPressure(level: 'room' | 'refuse' | 'full', freePermille: number): void
}

/** Looks after the disk: how long its operations take, how much room it has. Asked at each tick. */
export class DiskWatch {
  readonly #platform: Platform
  readonly #log: RaftLog
  readonly #directory: string
  readonly #refuseRatio: number
  readonly #host: WatchHost
  #slow = false
  #full = false
  #level: 'room' | 'refuse' | 'full' = 'room'
  #room = true
  #freePermille = 1000
  #nextSpaceMs = 0

  constructor(
    platform: Platform,
    log: RaftLog,
    directory: string,
    refuseRatio: number,
    host: WatchHost
  ) {
    this.#platform = platform
    this.#log = log
    this.#directory = directory
    this.#refuseRatio = refuseRatio
    this.#host = host
  }

  get level(): 'room' | 'refuse' | 'full' {
    return this.#level
  }

  /** This disk and most of all have room for messages; as of the last tick. */
  get room(): boolean {
    return this.#room
  }

  /** `others`: what the leader knows of its peers' disks; empty when not leading. */
  tick(others: readonly PeerStatus[]): void {
    let withRoom = 1
    let voters = 1
    for (const peer of others) {
      if (!peer.voter) continue
      voters += 1
      if (peer.freePermille >= ROOM_PERMILLE) withRoom += 1
    }
    this.#room = this.#level === 'room' && withRoom * 2 > voters
    const slow = this.#log.oldestOperationMs() >= SLOW_MS
    if (slow !== this.#slow) {
      this.#slow = slow
      this.#host.storageSlow(slow)
    }
    const nowMs = this.#platform.clock.monotonicMs()
    if (nowMs < this.#nextSpaceMs) return
    this.#nextSpaceMs = nowMs + SPACE_PERIOD_MS
    this.#platform.disk.space(this.#directory).then(
      space => this.seen(space),
      () => {} // the disk's real failures come from its writes
    )
  }

  seen({ totalBytes, freeBytes }: DiskSpace): void {
    // Some file systems tell nothing of themselves: then only a failed write says "full".
    if (totalBytes > 0) this.#freePermille = Math.floor((freeBytes * 1000) / totalBytes)
    this.#judge()
  }

  /** The log found no space for a write, or found it again. */
  full(full: boolean): void {
    this.#full = full
    this.#judge()
  }

  #judge(): void {
    const used = 1 - this.#freePermille / 1000
    const level = this.#full ? 'full' : used > this.#refuseRatio ? 'refuse' : 'room'
    if (level === this.#level && level === 'room') return
    this.#level = level
    // The peers judge by one figure, this node by its configuration: the figure says what it came to.
    const told =
      level === 'room'
        ? Math.max(this.#freePermille, ROOM_PERMILLE)
        : Math.min(this.#freePermille, ROOM_PERMILLE - 1)
    this.#host.diskPressure(level, told)
  }
}
