/** A node of the log for tools: applies what is known to be committed and durable, and takes part in nothing. */
import {
  type ChangeAnswer,
  type LogReader,
  NotLeaderError,
  noCounters,
  type RaftLog,
  type RaftNode,
  type RaftOptions,
  RaftStartError,
  type RaftStatus,
  type SegmentInfo,
  type StateMachine,
  type VerifiedRange
} from '../../raft/index.ts'

const READ_BYTES = 1024 * 1024

export class OfflineNode implements RaftNode {
  readonly log: LogReader
  readonly term: number
  readonly ready = false
  readonly leaderId = null
  readonly diskRoom = true
  readonly snapshotFloor = Number.POSITIVE_INFINITY
  readonly commitIndex: number
  appliedIndex: number
  /** Of a damaged entry: nothing from there on could be applied; null: all was. */
  stoppedAt: number | null = null
  readonly #log: RaftLog
  readonly #options: RaftOptions
  readonly #machine: StateMachine
  readonly #progress: (index: number, lastIndex: number) => void

  constructor(
    log: RaftLog,
    options: RaftOptions,
    machine: StateMachine,
    progress: (index: number, lastIndex: number) => void
  ) {
    const { hardState, recovery } = log
    this.#log = log
    this.#options = options
    this.#machine = machine
    this.#progress = progress
    this.log = log
    this.term = hardState.term
    // What a kill left to the page cache only may yet go; R-D5 holds for tools too.
    this.commitIndex = Math.max(Math.min(recovery.commit, log.lastIndex), options.appliedIndex)
    this.appliedIndex = options.appliedIndex
    if (options.appliedIndex > log.lastIndex) {
      throw new RaftStartError('appliedBeyondLog', `the log ends with entry ${log.lastIndex}`)
    }
    if (options.appliedIndex < log.firstIndex - 1) {
      throw new RaftStartError(
        'stateBehindLog',
        `the log begins with entry ${log.firstIndex}: what came before it is in the state database only, and cannot be built again here. Start the node as an empty one; the group brings it up to date`
      )
    }
  }

  get durableIndex(): number {
    return this.#log.lastIndex
  }

  async start(): Promise<void> {
    while (this.appliedIndex < this.commitIndex) {
      let entries: Awaited<ReturnType<RaftLog['readEntries']>>
      try {
        entries = await this.#log.readEntries(this.appliedIndex + 1, READ_BYTES)
      } catch {
        this.stoppedAt = this.appliedIndex + 1
        return
      }
      const committed = entries.filter(entry => entry.index <= this.commitIndex)
      if (committed.length === 0) return
      this.#machine.apply(committed)
      this.appliedIndex = committed.at(-1)!.index
      this.#progress(this.appliedIndex, this.commitIndex)
    }
  }

  wake(): void {}

  spaceSeen(): void {}

  timeMs(): number {
    return this.#log.lastTimeMs
  }

  readIndex(): Promise<number> {
    return Promise.reject(new NotLeaderError(null))
  }

  async transferLeadership(): Promise<boolean> {
    return false
  }

  async handOver(): Promise<{ ok: boolean; reason: string }> {
    return { ok: false, reason: 'the node does not run' }
  }

  async changeMembership(): Promise<ChangeAnswer> {
    return this.forceRecover()
  }

  forceRecover(): ChangeAnswer {
    return { refusal: 'offline', text: 'the node does not run', leaderId: null }
  }

  /** The log is the running node's to trim. */
  async trimPrefix(): Promise<void> {}

  segments(): readonly SegmentInfo[] {
    return this.#log.segments()
  }

  async verify(fromIndex: number): Promise<VerifiedRange> {
    return { nextIndex: fromIndex, bytes: 0, damagedEntries: 0, mendedUnits: 0 }
  }

  status(): RaftStatus {
    const { group, selfId } = this.#options
    return {
      group,
      selfId,
      term: this.term,
      role: 'stopped',
      ready: false,
      leaderId: null,
      leaderBrokerAddress: null,
      commitIndex: this.commitIndex,
      lastIndex: this.#log.lastIndex,
      appliedIndex: this.appliedIndex,
      durableIndex: this.durableIndex,
      trouble: null,
      lacksState: false,
      membership: 'voter',
      configurationVersion: 0,
      configurationCommitted: false,
      members: [],
      stopReason: null,
      peers: [],
      snapshots: [],
      counters: noCounters
    }
  }

  async stop(): Promise<void> {
    await this.#log.close({ orderly: false })
  }
}
