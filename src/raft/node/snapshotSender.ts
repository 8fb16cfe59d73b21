import { crc32 } from 'node:zlib'
import type { Clock, Disk, Logger, Platform, Timer } from '../../platform/index.ts'
import type { Configuration, SnapshotFacts } from '../core/index.ts'
import {
  encodeManifest,
  logPart,
  type Manifest,
  manifestBytes,
  type RaftLog,
  STATE_NAME
} from '../log/index.ts'
import type { SavedState, SnapshotProgress } from '../types.ts'
import type { FileRange } from '../wire/index.ts'

/** Below the log's directory: derived states on offer. */
const OFFERS_NAME = 'offers'
/** An offer that nobody pulls from is given up after this: a dead follower must not keep the log from being trimmed. */
const IDLE_MS = 60_000
const SWEEP_MS = 5000
/** A new follower gets a fresh one instead, so that less is left to append. */
const FRESH_MS = 600_000
/** Of the newest. */
const OFFERS_MAX = 2
/** Of the configured rate, while commits take longer than they should. */
const SLOW_SHARE = 0.25
const RANGE_BYTES_MAX = 1024 * 1024
/** A follower asks for one piece at a time, and again when it thinks that one was lost. */
const WAITING_MAX = 4

export interface SenderHost {
  /** The members as of an entry. */
  configurationAt(index: number): { index: number; configuration: Configuration } | null
  /** Writes the derived state to a file. */
  saveState(path: string): Promise<SavedState>
  ready(peer: string, snapshot: SnapshotFacts): void
  failed(peer: string, reason: string): void
  /** A piece for a follower; null: it is not kept any more. */
  reply(peer: string, range: FileRange, crc: number, bytes: Buffer | null): void
  commitsAreSlow(): boolean
}

interface Offer {
  readonly manifest: Manifest
  readonly bytes: Buffer
  readonly statePath: string
  readonly madeMs: number
  /** Of the last pull; when it was made before the first. */
  usedMs: number
  /** How far each follower has come: first byte of the log that it may still ask for, and bytes sent. */
  readonly pullers: Map<string, { position: number; doneBytes: number }>
}

/** Makes snapshots of this node ready, keeps what they consist of for a while, and sends pieces of it at a bounded rate. */
export class SnapshotSender {
  readonly #clock: Clock
  readonly #disk: Disk
  readonly #logger: Logger
  readonly #log: RaftLog
  readonly #directory: string
  readonly #segmentBytes: number
  readonly #bytesPerSecond: number
  readonly #name: string
  readonly #host: SenderHost
  readonly #offers: Offer[] = []
  readonly #waitingPeers = new Set<string>()
  readonly #waitingRanges = new Map<string, number>()
  /** Nobody pulled from the last offer: the next one keeps nothing from being trimmed before somebody does. */
  #lastWasIdle = false
  #making = false
  #sequence = 0
  #nextMs = 0
  #timer: Timer | null = null
  #stopped = false

  constructor(
    platform: Platform,
    logger: Logger,
    log: RaftLog,
    options: { directory: string; segmentBytes: number; bytesPerSecond: number; name: string },
    host: SenderHost
  ) {
    this.#clock = platform.clock
    this.#disk = platform.disk
    this.#logger = logger
    this.#log = log
    this.#directory = `${options.directory}/${OFFERS_NAME}`
    this.#segmentBytes = options.segmentBytes
    this.#bytesPerSecond = options.bytesPerSecond
    this.#name = options.name
    this.#host = host
  }

  /** Makes one for this peer, or takes one that is there and still good. */
  request(peer: string): void {
    const offer = this.#offers.findLast(known => this.#isGood(known, peer))
    if (offer !== undefined) {
      this.#host.ready(peer, offer.manifest)
      return
    }
    this.#waitingPeers.add(peer)
    if (this.#making) return
    this.#making = true
    this.#make().then(
      offer => this.#made(offer, null),
      (error: Error) => this.#made(null, error)
    )
  }

  #isGood(offer: Offer, peer: string): boolean {
    const progress = offer.pullers.get(peer)
    const needed = progress?.position ?? offer.manifest.start.position
    if (needed < this.#log.startPosition) return false
    return progress !== undefined || this.#clock.monotonicMs() - offer.madeMs < FRESH_MS
  }

  async #make(): Promise<Offer> {
    this.#sequence += 1
    const snapshotId = `${this.#name}-${this.#sequence}`
    const statePath = `${this.#directory}/${snapshotId}`
    // Leftovers of another life are removed here, where it costs nobody's start.
    if (this.#sequence === 1) await this.#disk.remove(this.#directory)
    await this.#disk.makeDirectory(this.#directory)
    const state = await this.#host.saveState(statePath)
    const part = await logPart(this.#log, state.index, this.#segmentBytes)
    const members = this.#host.configurationAt(state.index)
    if (members === null) throw new Error('it does not know the members of the group yet')
    const manifest: Manifest = {
      version: 1,
      snapshotId,
      index: state.index,
      segmentBytes: this.#segmentBytes,
      stateBytes: state.bytes,
      stateCrc: state.crc,
      configurationIndex: members.index,
      configuration: members.configuration,
      ...part
    }
    const madeMs = this.#clock.monotonicMs()
    const bytes = encodeManifest(manifest)
    return { manifest, bytes, statePath, madeMs, usedMs: madeMs, pullers: new Map() }
  }

  #made(offer: Offer | null, error: Error | null): void {
    this.#making = false
    const peers = [...this.#waitingPeers]
    this.#waitingPeers.clear()
    if (this.#stopped) return
    if (offer === null) {
      for (const peer of peers) this.#host.failed(peer, error!.message)
      return
    }
    this.#offers.push(offer)
    while (this.#offers.length > OFFERS_MAX) this.#drop(this.#offers[0]!)
    this.#timer ??= this.#clock.every(SWEEP_MS, () => this.#sweep())
    const { snapshotId, index, start } = offer.manifest
    this.#logger.info('A snapshot is on offer', {
      snapshotId,
      peers,
      firstIndex: start.index + 1,
      index,
      bytes: manifestBytes(offer.manifest)
    })
    for (const peer of peers) this.#host.ready(peer, offer.manifest)
  }

  /** What travels behind the offer; null: it is not kept any more. */
  manifestOf(snapshotId: string): Buffer | null {
    return this.#offers.find(offer => offer.manifest.snapshotId === snapshotId)?.bytes ?? null
  }

  /**
   * First byte of the log that an active offer still needs: the log is not trimmed beyond it. Infinite when there is none.
   */
  get floor(): number {
    let floor = Number.POSITIVE_INFINITY
    for (const { manifest, pullers } of this.#offers) {
      for (const { position } of pullers.values()) floor = Math.min(floor, position)
      if (pullers.size === 0 && !this.#lastWasIdle) floor = Math.min(floor, manifest.start.position)
    }
    return floor
  }

  get progress(): SnapshotProgress[] {
    return this.#offers.flatMap(({ manifest, pullers }) =>
      [...pullers].map(([peerId, { doneBytes }]) => ({
        direction: 'sending' as const,
        peerId,
        snapshotId: manifest.snapshotId,
        index: manifest.index,
        doneBytes,
        totalBytes: manifestBytes(manifest)
      }))
    )
  }

  /** A follower asks for a piece: it leaves when the rate allows it. */
  pull(peer: string, range: FileRange): void {
    const waiting = this.#waitingRanges.get(peer) ?? 0
    if (this.#stopped || waiting >= WAITING_MAX) return
    this.#waitingRanges.set(peer, waiting + 1)
    const nowMs = this.#clock.monotonicMs()
    const atMs = Math.max(nowMs, this.#nextMs)
    const share = this.#host.commitsAreSlow() ? SLOW_SHARE : 1
    const length = Math.min(range.length, RANGE_BYTES_MAX)
    this.#nextMs = atMs + (length * 1000) / (this.#bytesPerSecond * share)
    const answer = (): void => {
      void this.#answer(peer, range, length).finally(() => {
        const left = (this.#waitingRanges.get(peer) ?? 1) - 1
        if (left === 0) this.#waitingRanges.delete(peer)
        else this.#waitingRanges.set(peer, left)
      })
    }
    if (atMs - nowMs <= 1) answer()
    else this.#clock.after(atMs - nowMs, answer)
  }

  async #answer(peer: string, range: FileRange, length: number): Promise<void> {
    if (this.#stopped) return
    const offer = this.#offers.find(known => known.manifest.snapshotId === range.snapshotId)
    let bytes: Buffer | null = null
    try {
      if (offer !== undefined) bytes = await this.#read(offer, peer, range, length)
    } catch (error) {
      this.#logger.warn('A piece of a snapshot could not be read', {
        snapshotId: range.snapshotId,
        file: range.name,
        cause: (error as Error).message
      })
    }
    if (this.#stopped) return
    // It may have begun again with another disk, and need what is trimmed: where it had come to says nothing then.
    if (bytes === null) offer?.pullers.delete(peer)
    this.#host.reply(peer, range, bytes === null ? 0 : crc32(bytes), bytes)
  }

  async #read(
    offer: Offer,
    peer: string,
    range: FileRange,
    length: number
  ): Promise<Buffer | null> {
    const { manifest } = offer
    const isState = range.name === STATE_NAME
    const position = Number(range.name)
    const segment = manifest.segments.find(known => !isState && known.firstPosition === position)
    const fileBytes = isState ? manifest.stateBytes : (segment?.bytes ?? 0)
    const wanted = Math.min(length, fileBytes - range.offset)
    if (wanted <= 0) return null
    const bytes = isState
      ? await this.#readState(offer, range.offset, wanted)
      : await this.#log.shipping.read(position + range.offset, wanted)
    if (bytes === null || bytes.length === 0) return null
    offer.usedMs = this.#clock.monotonicMs()
    this.#lastWasIdle = false
    let before = 0
    for (const { firstPosition, bytes: size } of manifest.segments)
      if (isState || firstPosition < position) before += size
    offer.pullers.set(peer, {
      position: isState ? manifest.endPosition : position,
      doneBytes: before + range.offset + bytes.length
    })
    return bytes
  }

  async #readState(offer: Offer, offset: number, length: number): Promise<Buffer> {
    const file = await this.#disk.open(offer.statePath)
    try {
      const target = Buffer.allocUnsafeSlow(length)
      return target.subarray(0, await file.read(target, 0, length, offset))
    } finally {
      await file.close()
    }
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const offer of [...this.#offers]) {
      if (nowMs - offer.usedMs < IDLE_MS) continue
      const { snapshotId } = offer.manifest
      this.#logger.warn('Nobody pulls from a snapshot: it is not kept any longer', { snapshotId })
      this.#lastWasIdle = offer.pullers.size === 0
      this.#drop(offer)
    }
  }

  #drop(offer: Offer): void {
    const at = this.#offers.indexOf(offer)
    if (at >= 0) this.#offers.splice(at, 1)
    if (this.#offers.length === 0) {
      this.#timer?.cancel()
      this.#timer = null
    }
    this.#disk.remove(offer.statePath).catch((error: Error) => {
      this.#logger.warn('A derived state that was on offer could not be removed', {
        path: offer.statePath,
        cause: error.message
      })
    })
  }

  stop(): void {
    this.#stopped = true
    for (const offer of [...this.#offers]) this.#drop(offer)
  }
}
