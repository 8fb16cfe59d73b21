import { appendBlockEnd, type Clock, type DiskFile, type Logger } from '../../platform/index.ts'
import { joinPath } from './names.ts'
import { isNoSpace } from './noSpace.ts'
import { RECYCLED_NAME, type Segments, SPARE_NAME, SPARE_UNFINISHED_NAME } from './segments.ts'
import type { PrepareOptions } from './types.ts'

const CHUNK_BYTES = 1024 * 1024
const PAUSE_AFTER_NO_SPACE_MS = 5000
/** While the log grows faster than this share of `bytesPerSecond`, it is busy. */
const BUSY_SHARE = 1 / 16
const BUSY_PAUSE_MS = 250

interface SpareInProgress {
  readonly path: string
  readonly file: DiskFile
  readonly bytes: number
  done: number
}

/**
 * Writes zeros ahead of the log and into one spare segment, a chunk at a time and not faster than it is told, since
 * fdatasync into written blocks is cheaper than into new ones (R-D10, R-D11). A trimmed segment becomes the spare once
 * it is all zeros. Sleeps whenever there is enough.
 *
 * Zeros ahead are usually written only while the log grows slowly: they cost the disk as much as the log. Measured here by way of the page
 * cache, 64 KiB a write, each synced: 81-141 MB/s with appending, 25-62 MB/s with zeros written ahead
 * meanwhile; 2 KiB a write: 0.20-0.26 ms with appending, 0.15 ms into zeros. The spare is slowed down only.
 * With `warm` zeros are written under load too: for those who pay with the space of two whole segments. With SYNC_FLUSH zeros go the
 * way of the log; with ASYNC_FLUSH they stay in the page cache, unless they are `warm`.
 */
export class Preparer {
  readonly #options: PrepareOptions
  readonly #segments: Segments
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #endPosition: () => number
  readonly #isSync: boolean
  readonly #zeros: Buffer
  /** To the segment's end when it is to be warm. */
  readonly #aheadBytes: number
  #spareReady = false
  #seenEnd: number
  #seenMs: number
  /** 'renamed': a file is on its way into this place or out of it, and nobody else may use its name. */
  #spare: SpareInProgress | 'renamed' | null = null
  #running: Promise<void> | null = null
  #stopped = false
  #wake: (() => void) | null = null

  constructor(
    options: PrepareOptions,
    segments: Segments,
    clock: Clock,
    logger: Logger,
    endPosition: () => number,
    isSync: boolean
  ) {
    this.#options = options
    this.#segments = segments
    this.#clock = clock
    this.#logger = logger
    this.#endPosition = endPosition
    this.#isSync = isSync
    this.#seenEnd = endPosition()
    this.#seenMs = clock.monotonicMs()
    segments.onSpareTaken = () => {
      this.#spareReady = false
    }
    this.#aheadBytes = options.warm ? Number.POSITIVE_INFINITY : options.aheadBytes
    // Whole blocks, for in a recycled segment no zeros stand behind them.
    this.#zeros = Buffer.alloc(Math.min(CHUNK_BYTES, appendBlockEnd(options.aheadBytes)))
  }

  /** Cheap; to be called whenever the log has grown. */
  poke(): void {
    if (this.#running !== null || this.#stopped || this.#options.aheadBytes <= 0) return
    if (!this.#wantsZeros() && (this.#spareReady || !this.#options.spare)) return
    this.#running = this.#run()
      .catch(error => this.#failed(error as Error))
      .finally(() => {
        this.#running = null
      })
  }

  /** True: the file now belongs to the preparer and will be the spare. False: it is not needed. */
  async recycle(path: string): Promise<boolean> {
    if (!this.#options.spare || this.#options.aheadBytes <= 0) return false
    if (this.#spareReady || this.#spare !== null || this.#stopped) return false
    const { disk, directory } = this.#segments
    await this.#renaming(async () => {
      const recycled = joinPath(directory, RECYCLED_NAME)
      await disk.rename(path, recycled)
      const file = await disk.open(recycled)
      return { path: recycled, file, bytes: await file.size(), done: 0 }
    })
    if (this.#stopped) await this.#giveUpSpare()
    this.poke()
    return true
  }

  #ahead(): { last: ReturnType<Segments['last']>; from: number; room: number } {
    const last = this.#segments.last()
    const end = Math.min(this.#endPosition() - last.firstPosition, this.#segments.segmentBytes)
    // Whole blocks: what is appended meanwhile may write zeros as far as its block goes.
    const from = appendBlockEnd(Math.max(last.preparedBytes, end))
    return { last, from, room: from - end }
  }

  async #run(): Promise<void> {
    if (this.#options.spare && !this.#spareReady && this.#spare === null) {
      const path = joinPath(this.#segments.directory, SPARE_NAME)
      this.#spareReady = await this.#segments.disk.exists(path)
    }
    while (!this.#stopped) {
      const busy = !this.#options.warm && this.#isBusy()
      const written = (await this.#zeroSpare()) || (busy ? 0 : await this.#zeroAhead())
      if (written === 0 && !(busy && this.#wantsZeros())) return
      const paceMs = (written / this.#options.bytesPerSecond) * 1000
      await this.#pause(busy ? Math.max(paceMs / BUSY_SHARE, BUSY_PAUSE_MS) : paceMs)
    }
  }

  /** Whether the log has grown fast since this was asked last. */
  #isBusy(): boolean {
    const end = this.#endPosition()
    const nowMs = this.#clock.monotonicMs()
    const grownBytes = end - this.#seenEnd
    const seconds = Math.max((nowMs - this.#seenMs) / 1000, 0.01)
    this.#seenEnd = end
    this.#seenMs = nowMs
    return grownBytes > this.#options.bytesPerSecond * BUSY_SHARE * seconds
  }

  #wantsZeros(): boolean {
    const { last, room } = this.#ahead()
    const isPrepared = last.preparedBytes >= this.#segments.segmentBytes
    return room * 2 < this.#aheadBytes && !isPrepared
  }

  /** Bytes written behind the log's end in its last segment; 0: enough is there. */
  async #zeroAhead(): Promise<number> {
    const { last, from, room } = this.#ahead()
    const { segmentBytes } = this.#segments
    const wanted = Math.min(this.#aheadBytes - room, segmentBytes - from)
    const length = Math.min(wanted, this.#zeros.length)
    if (length <= 0) return 0
    last.zeroingFrom = from
    last.zeroing = this.#zero(last, from, length)
    try {
      await last.zeroing
    } finally {
      last.zeroingFrom = null
      last.zeroing = null
    }
    return length
  }

  async #zero(segment: ReturnType<Segments['last']>, from: number, length: number): Promise<void> {
    const file = await this.#segments.acquire(segment)
    try {
      await this.#writeZeros(file, from, length)
      segment.preparedBytes = Math.max(segment.preparedBytes, from + length)
    } finally {
      this.#segments.release(segment)
    }
  }

  #writeZeros(file: DiskFile, at: number, length: number): Promise<void> {
    const zeros = [this.#zeros.subarray(0, length)]
    if (this.#isSync) return this.#segments.append(file, zeros, at)
    return this.#options.warm ? file.writeDurably(zeros, at) : file.write(zeros, at)
  }

  async #zeroSpare(): Promise<number> {
    if (!this.#options.spare || this.#spareReady || this.#spare === 'renamed') return 0
    const { disk, directory } = this.#segments
    const spare = this.#spare ?? (await this.#beginSpare())
    const length = Math.min(this.#zeros.length, spare.bytes - spare.done)
    if (length > 0) {
      await this.#writeZeros(spare.file, spare.done, length)
      spare.done += length
    }
    if (spare.done < spare.bytes) return length
    await spare.file.datasync()
    await spare.file.close()
    await this.#renaming(async () => {
      await disk.rename(spare.path, joinPath(directory, SPARE_NAME))
      this.#spareReady = true
      return null
    })
    await disk.syncDirectory(directory)
    return Math.max(length, 1)
  }

  #beginSpare(): Promise<SpareInProgress> {
    const { disk, directory, segmentBytes } = this.#segments
    return this.#renaming(async () => {
      const path = joinPath(directory, SPARE_UNFINISHED_NAME)
      const file = await disk.open(path, { create: true })
      return { path, file, bytes: Math.min(this.#aheadBytes, segmentBytes), done: 0 }
    })
  }

  /** What `change` resolves to is the spare in progress from then on; nothing is when it fails. */
  async #renaming<T extends SpareInProgress | null>(change: () => Promise<T>): Promise<T> {
    this.#spare = 'renamed'
    try {
      const spare = await change()
      this.#spare = spare
      return spare
    } catch (error) {
      this.#spare = null
      throw error
    }
  }

  #pause(ms: number): Promise<void> {
    if (this.#stopped) return Promise.resolve()
    return new Promise(resolve => {
      const timer = this.#clock.after(ms, () => this.#wake?.())
      this.#wake = () => {
        timer.cancel()
        this.#wake = null
        resolve()
      }
    })
  }

  /** Only speed and reserve are lost; the log itself finds out by its own writes. */
  async #failed(error: Error): Promise<void> {
    this.#logger.warn('Could not write zeros ahead of the log', { error: error.message })
    const path = await this.#giveUpSpare().catch(() => null)
    if (path !== null) await this.#segments.disk.remove(path).catch(() => {})
    if (isNoSpace(error)) await this.#pause(PAUSE_AFTER_NO_SPACE_MS)
    else this.#stopped = true
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake?.()
    await this.#running
    await this.#giveUpSpare()
  }

  /** Resolves to the path of the file that was closed. */
  async #giveUpSpare(): Promise<string | null> {
    const spare = this.#spare
    if (spare === null || spare === 'renamed') return null
    this.#spare = null
    await spare.file.close()
    return spare.path
  }
}
