import type { Clock, Timer } from '../../platform/index.ts'
import type { HardStateFile, StoredState } from './hardState.ts'

/** Saves how far the log is on the disk, and the commit index with it: now and then, and not while nothing moves (R-D3). */
export class WatermarkSaver {
  readonly #clock: Clock
  readonly #hardState: HardStateFile
  readonly #intervalMs: number
  #timer: Timer | null = null
  #stopped = false
  #syncedIndex = 0
  #commitIndex = 0

  constructor(clock: Clock, hardState: HardStateFile, intervalMs: number) {
    this.#clock = clock
    this.#hardState = hardState
    this.#intervalMs = intervalMs
  }

  moved(syncedIndex: number, commitIndex: number): void {
    this.#syncedIndex = syncedIndex
    this.#commitIndex = commitIndex
    if (this.#timer !== null || this.#stopped) return
    this.#timer = this.#clock.after(this.#intervalMs, () => {
      this.#timer = null
      this.#save()
    })
  }

  /** Entries from `fromIndex` on are about to go. `forgets`: one of them may have been acknowledged, so the node recovers (R-D6). */
  async beforeCut(fromIndex: number, forgets: boolean): Promise<void> {
    const { watermark } = this.#hardState.state as StoredState
    if (watermark < fromIndex && !forgets) return
    await this.#hardState.update({
      watermark: Math.min(watermark, fromIndex - 1),
      ...(forgets ? { recovering: true, bootId: '' } : {})
    })
    this.#syncedIndex = Math.min(this.#syncedIndex, fromIndex - 1)
  }

  #save(): void {
    const saved = this.#hardState.state
    if (this.#stopped || saved === null) return
    const watermark = Math.max(saved.watermark, this.#syncedIndex)
    const commit = Math.max(saved.commit, this.#commitIndex)
    if (watermark === saved.watermark && commit === saved.commit) return
    this.#hardState.update({ watermark, commit }).catch(() => {}) // told by onFailure
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
  }
}
