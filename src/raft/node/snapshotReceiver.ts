import { crc32 } from 'node:zlib'
import type { Clock, Disk, Logger, Platform, Timer } from '../../platform/index.ts'
import type { Member, SnapshotFacts } from '../core/index.ts'
import {
  CopyDamagedError,
  decodeManifest,
  LogCopy,
  type Manifest,
  type MissingPart,
  manifestBytes,
  removeCopy,
  UNITS_PER_INDEX_FILE
} from '../log/index.ts'
import type { SnapshotProgress } from '../types.ts'
import type { FileRange, FileRangeReply } from '../wire/index.ts'

/** Asked for at once; what is in memory of a copy. */
const PIECE_BYTES = 1024 * 1024
/** A piece that has not come by then is asked for again: the connection broke, or the source is slow. */
const PIECE_PATIENCE_MS = 3000
const PROGRESS_MS = 10_000
/** A file that is not what was offered is fetched again so many times. */
const DAMAGES_MAX = 3
/** Left free on the disk beside the copy. */
const RESERVE_BYTES = 256 * 1024 * 1024
const GIVEN_UP = Symbol('given up')

export interface ReceiverHost {
  /** Asks the source for a piece; may go lost. */
  ask(source: string, range: FileRange): void
  copied(snapshot: SnapshotFacts): void
  abandoned(snapshotId: string, reason: string): void
}

interface Fetch {
  readonly manifest: Manifest
  source: string
  copy: LogCopy | null
}

interface Awaited {
  readonly part: MissingPart
  resolve(bytes: Buffer | typeof GIVEN_UP): void
  readonly timer: Timer
}

/** Fetches a snapshot piece by piece into a copy beside the log. One at a time; a newer offer goes on with what is there. */
export class SnapshotReceiver {
  readonly #clock: Clock
  readonly #disk: Disk
  readonly #logger: Logger
  readonly #directory: string
  readonly #segmentBytes: number
  readonly #host: ReceiverHost
  #current: Fetch | null = null
  #awaited: Awaited | null = null
  /** Runs end one after the other: two must not write into one directory. */
  #run: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(
    platform: Platform,
    logger: Logger,
    options: { directory: string; segmentBytes: number },
    host: ReceiverHost
  ) {
    this.#clock = platform.clock
    this.#disk = platform.disk
    this.#logger = logger
    this.#directory = options.directory
    this.#segmentBytes = options.segmentBytes
    this.#host = host
  }

  /** The core wants this snapshot; `payload` is what came behind the offer. */
  begin(source: string, facts: SnapshotFacts, payload: Buffer): void {
    if (this.#stopped) return
    const { snapshotId } = facts
    if (this.#current?.manifest.snapshotId === snapshotId) {
      this.#current.source = source
      return
    }
    const manifest = decodeManifest(payload)
    if (manifest === null || manifest.snapshotId !== snapshotId || manifest.index !== facts.index) {
      this.#host.abandoned(snapshotId, 'its manifest cannot be understood')
      return
    }
    if (manifest.segmentBytes !== this.#segmentBytes) {
      const text = `its segments have ${manifest.segmentBytes} bytes, configured are ${this.#segmentBytes}`
      this.#host.abandoned(snapshotId, text)
      return
    }
    this.#cancel()
    const current: Fetch = { manifest, source, copy: null }
    this.#current = current
    this.#run = this.#run.then(() => this.#fetch(current)).catch(() => {})
  }

  get progress(): SnapshotProgress[] {
    if (this.#current === null) return []
    const { manifest, source, copy } = this.#current
    const { snapshotId, index } = manifest
    const doneBytes = copy?.doneBytes ?? 0
    const totalBytes = manifestBytes(manifest)
    return [{ direction: 'receiving', peerId: source, snapshotId, index, doneBytes, totalBytes }]
  }

  get giver(): Member | null {
    if (this.#current === null) return null
    const { source, manifest } = this.#current
    return manifest.configuration.members.find(member => member.id === source) ?? null
  }

  /** Of the copy that was reported as whole. */
  get manifest(): Manifest | null {
    return this.#current?.manifest ?? null
  }

  async #fetch(current: Fetch): Promise<void> {
    if (this.#current !== current) return
    const { manifest } = current
    const { snapshotId, indexTerm, index, headerCrc } = manifest
    let reason: string | null = null
    try {
      reason = await this.#fetchAll(current)
    } catch (error) {
      reason = (error as Error).message
    } finally {
      await current.copy?.close().catch(() => {})
    }
    if (this.#current !== current || this.#stopped) return
    if (reason === null) {
      this.#host.copied({ snapshotId, index, indexTerm, headerCrc })
      return
    }
    this.#current = null
    this.#logger.warn(`The copy of snapshot ${snapshotId} was given up: ${reason}`)
    this.#host.abandoned(snapshotId, reason)
  }

  /** Null: the copy is whole. Else why it is not. */
  async #fetchAll(current: Fetch): Promise<string | null> {
    const { manifest } = current
    const { snapshotId, index, start } = manifest
    const copy = await LogCopy.open(
      this.#disk,
      this.#clock,
      this.#directory,
      manifest,
      UNITS_PER_INDEX_FILE
    )
    current.copy = copy
    const missingBytes = copy.totalBytes - copy.doneBytes
    const { totalBytes, freeBytes } = await this.#disk.space(this.#directory)
    if (totalBytes > 0 && freeBytes < missingBytes + Math.min(RESERVE_BYTES, totalBytes / 20))
      return `${missingBytes} bytes are missing, the disk has ${freeBytes} left`
    this.#logger.info(
      copy.doneBytes === 0
        ? `Copies snapshot ${snapshotId} from ${current.source}`
        : `Goes on with a copy, as snapshot ${snapshotId} from ${current.source}`,
      { firstIndex: start.index + 1, index, bytes: copy.totalBytes, haveBytes: copy.doneBytes }
    )
    const beganMs = this.#clock.monotonicMs()
    let toldMs = beganMs
    let toldBytes = copy.doneBytes
    let damages = 0
    while (this.#current === current && !this.#stopped) {
      let part: MissingPart | null
      try {
        part = await copy.nextMissing(PIECE_BYTES)
      } catch (error) {
        if (!(error instanceof CopyDamagedError)) throw error
        damages += 1
        this.#logger.warn('A part of a snapshot is not what was offered', {
          snapshotId,
          cause: error.message
        })
        if (damages >= DAMAGES_MAX) return error.message
        continue
      }
      if (part === null) {
        const seconds = Math.round((this.#clock.monotonicMs() - beganMs) / 1000)
        this.#logger.info(`Snapshot ${snapshotId} is copied and verified`, { seconds, index })
        return null
      }
      const bytes = await this.#pull(current, part)
      if (this.#current !== current || this.#stopped) break
      if (bytes === GIVEN_UP) return `${current.source} does not keep it any more`
      await copy.write(part, bytes)
      const nowMs = this.#clock.monotonicMs()
      if (nowMs - toldMs < PROGRESS_MS) continue
      const { doneBytes } = copy
      const bytesPerSecond = Math.round(((doneBytes - toldBytes) * 1000) / (nowMs - toldMs))
      const percent = Math.floor((doneBytes * 100) / copy.totalBytes)
      this.#logger.info(`Copying snapshot ${snapshotId}: ${percent} %`, {
        doneBytes,
        bytes: copy.totalBytes,
        bytesPerSecond
      })
      toldMs = nowMs
      toldBytes = doneBytes
    }
    return 'another one is copied instead'
  }

  #pull(current: Fetch, part: MissingPart): Promise<Buffer | typeof GIVEN_UP> {
    const { snapshotId } = current.manifest
    const { file: name, offset, bytes: length } = part
    const ask = (): void => this.#host.ask(current.source, { snapshotId, name, offset, length })
    return new Promise(resolve => {
      this.#awaited = { part, resolve, timer: this.#clock.every(PIECE_PATIENCE_MS, ask) }
      ask()
    })
  }

  /** A piece came; one that nobody waits for is dropped. */
  reply(source: string, reply: FileRangeReply, payload: Buffer): void {
    const awaited = this.#awaited
    const current = this.#current
    if (awaited === null || current === null || source !== current.source) return
    if (reply.snapshotId !== current.manifest.snapshotId) return
    const { part } = awaited
    if (reply.name !== part.file || reply.offset !== part.offset) return
    if (reply.gone) {
      this.#settle(GIVEN_UP)
      return
    }
    const isWhole = payload.length > 0 && payload.length <= part.bytes
    if (!isWhole || crc32(payload) !== reply.crc) {
      this.#logger.warn('A piece of a snapshot came damaged, it is asked for again', {
        snapshotId: reply.snapshotId,
        file: reply.name,
        offset: reply.offset
      })
      return
    }
    // The payload is a view of what the socket gave.
    this.#settle(Buffer.from(payload))
  }

  #settle(bytes: Buffer | typeof GIVEN_UP): void {
    const awaited = this.#awaited
    this.#awaited = null
    awaited?.timer.cancel()
    awaited?.resolve(bytes)
  }

  #cancel(): void {
    this.#current = null
    this.#settle(GIVEN_UP)
  }

  /** The copy is of no use any more. */
  drop(snapshotId: string): void {
    if (this.#current?.manifest.snapshotId !== snapshotId) return
    this.#cancel()
    this.#run = this.#run
      .then(() => removeCopy(this.#disk, this.#directory))
      .catch((error: Error) => {
        this.#logger.warn('A copy that is not needed could not be removed', {
          cause: error.message
        })
      })
  }

  /** Everything up to `index` is committed here: a copy that ends before it brings nothing. */
  committed(index: number): void {
    const manifest = this.#current?.manifest
    if (manifest === undefined || index < manifest.index) return
    this.#logger.info(`Snapshot ${manifest.snapshotId} is not needed any more`, { index })
    this.drop(manifest.snapshotId)
  }

  /** Resolves when nothing is written any more. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#settle(GIVEN_UP)
    await this.#run
  }
}
