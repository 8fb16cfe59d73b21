import type { Logger } from '../../platform/index.ts'
import type { Event, Member, RaftCore, SnapshotFacts } from '../core/index.ts'
import type { Manifest, RaftLog } from '../log/index.ts'
import type { RaftOptions, SavedState, SnapshotProgress } from '../types.ts'
import {
  type FileRange,
  type Frame,
  FrameType,
  fileRangeCodec,
  fileRangeReplyCodec
} from '../wire/index.ts'
import { SnapshotReceiver } from './snapshotReceiver.ts'
import { SnapshotSender } from './snapshotSender.ts'
import type { Transport } from './transport.ts'

const BYTES_PER_SECOND = 64 * 1024 * 1024
const NOTHING = Buffer.alloc(0)

export interface SnapshotsHost {
  deliver(event: Event): void
  readonly transport: Pick<Transport, 'ask' | 'answer' | 'flush'>
  commitsAreSlow(): boolean
  /** Null: what stands on this log has no state that could be given away. */
  readonly saveState: ((path: string) => Promise<SavedState>) | null
}

/** Both ends of the way of snapshots, as the core asks for them (R-S). */
export class Snapshots {
  readonly #core: RaftCore
  readonly #sender: SnapshotSender
  readonly #receiver: SnapshotReceiver
  /** What came behind the newest offer. */
  #offered: { snapshotId: string; payload: Buffer } = { snapshotId: '', payload: NOTHING }

  constructor(
    options: RaftOptions,
    logger: Logger,
    core: RaftCore,
    log: RaftLog,
    host: SnapshotsHost
  ) {
    const { transport } = host
    this.#core = core
    const { platform, directory, segmentBytes, selfId } = options
    const bytesPerSecond = options.snapshotBytesPerSecond ?? BYTES_PER_SECOND
    const name = `${selfId}-${log.hardState.incarnation}`
    this.#sender = new SnapshotSender(
      platform,
      logger,
      log,
      { directory, segmentBytes, bytesPerSecond, name },
      {
        configurationAt: index => core.configurationAt(index),
        saveState: path =>
          host.saveState === null
            ? Promise.reject(new Error('there is no derived state to give away'))
            : host.saveState(path),
        ready: (peer, { snapshotId, index, indexTerm, headerCrc }) => {
          const snapshot: SnapshotFacts = { snapshotId, index, indexTerm, headerCrc }
          host.deliver({ kind: 'snapshotReady', peer, snapshot })
        },
        failed: (peer, reason) => host.deliver({ kind: 'snapshotFailed', peer, reason }),
        reply: (peer, { snapshotId, name: file, offset }, crc, bytes) => {
          const gone = bytes === null
          const header = fileRangeReplyCodec.encode({ snapshotId, name: file, offset, crc, gone })
          transport.answer(peer, FrameType.fileRangeReply, header, bytes ?? NOTHING)
          transport.flush()
        },
        commitsAreSlow: () => host.commitsAreSlow()
      }
    )
    this.#receiver = new SnapshotReceiver(
      platform,
      logger,
      { directory, segmentBytes },
      {
        ask: (source, range: FileRange) => {
          transport.ask(source, FrameType.fileRange, fileRangeCodec.encode(range))
          transport.flush()
        },
        copied: snapshot => host.deliver({ kind: 'snapshotCopied', snapshot }),
        abandoned: (snapshotId, reason) =>
          host.deliver({ kind: 'snapshotAbandoned', snapshotId, reason })
      }
    )
  }

  request(peer: string): void {
    this.#sender.request(peer)
  }

  install(from: string, snapshot: SnapshotFacts): void {
    const { snapshotId, payload } = this.#offered
    if (snapshotId === snapshot.snapshotId) this.#receiver.begin(from, snapshot, payload)
  }

  drop(snapshotId: string): void {
    this.#receiver.drop(snapshotId)
  }

  /** True: the frame was one of these. Throws WireError when it does not parse. */
  frame(from: string, frame: Frame): boolean {
    if (frame.type === FrameType.fileRange) {
      this.#sender.pull(from, fileRangeCodec.decode(frame.header))
      return true
    }
    if (frame.type !== FrameType.fileRangeReply) return false
    this.#receiver.reply(from, fileRangeReplyCodec.decode(frame.header), frame.payload)
    return true
  }

  /** An offer's manifest, until the core has judged the offer. */
  offered(snapshotId: string, payload: Buffer): void {
    if (this.#offered.snapshotId !== snapshotId)
      this.#offered = { snapshotId, payload: Buffer.from(payload) }
  }

  manifestOf(snapshotId: string): Buffer | null {
    return this.#sender.manifestOf(snapshotId)
  }

  /** Of the copy that the core wants to change over to. */
  get copied(): Manifest | null {
    return this.#receiver.manifest
  }

  /** Whose snapshot is copied, as its configuration has him; null: nobody's. */
  get giver(): Member | null {
    return this.#receiver.giver
  }

  committed(index: number): void {
    // Who lacks its state needs the copy whatever is committed.
    if (!this.#core.lacksState) this.#receiver.committed(index)
  }

  /** First byte of the log that must not be trimmed yet. */
  get floor(): number {
    return this.#sender.floor
  }

  get progress(): SnapshotProgress[] {
    return [...this.#sender.progress, ...this.#receiver.progress]
  }

  stop(): Promise<void> {
    this.#sender.stop()
    return this.#receiver.stop()
  }
}
