import type { Clock } from '../../platform/index.ts'
import type { SnapshotFacts } from '../core/index.ts'
import {
  type Manifest,
  type RaftLog,
  type SegmentInfo,
  switchToCopy,
  UNITS_PER_INDEX_FILE,
  type VerifiedRange
} from '../log/index.ts'
import {
  type LogReader,
  NotLeaderError,
  type PeerStatus,
  type RaftCounters,
  type RaftNode,
  type RaftOptions,
  type RaftStatus,
  type RaftTimings,
  type StateMachine,
  type StopOptions
} from '../types.ts'
import { Driver } from './driver.ts'
import type { DriverHost, DriverParts, TransferEnd } from './driverHost.ts'

/** An orderly stop waits this long for the pipeline to commit (R-T). */
const DRAIN_MS = 500

type Phase = 'opened' | 'running' | 'stopping' | 'stopped'

/** The room's door: the driver, and what the broker asks of it beside sending and applying. */
export class Node implements RaftNode {
  readonly log: LogReader
  readonly #driver: Driver
  readonly #options: RaftOptions
  readonly #timings: RaftTimings
  readonly #clock: Clock
  readonly #machine: StateMachine
  #phase: Phase = 'opened'
  #stopReason: string | null = null
  #transferWaiters: ((end: TransferEnd) => void)[] = []
  readonly #waiters = new Set<() => void>()
  #closing: Promise<void> | null = null

  constructor(parts: Omit<DriverParts, 'host'>, machine: StateMachine) {
    const { options, timings, log } = parts
    this.#options = options
    this.#timings = timings
    this.#clock = options.platform.clock
    this.#machine = machine
    this.log = log
    const host: DriverHost = {
      apply: entries => machine.apply(entries),
      roleChanged: () => {
        machine.roleChanged(this.status())
        this.#look()
      },
      committed: () => this.#look(),
      transferEnded: end => this.#transferEnded(end),
      peerAddressChanged: peerId => {
        if (this.#phase === 'running' && peerId === this.leaderId) {
          machine.roleChanged(this.status())
        }
      },
      switchLog: snapshot => this.#switchLog(snapshot),
      saveState: machine.saveState === undefined ? null : path => machine.saveState!(path),
      fatal: reason => this.#fatal(reason)
    }
    this.#driver = new Driver({ ...parts, host })
  }

  async start(): Promise<void> {
    if (this.#phase !== 'opened') throw new Error(`the raft node is ${this.#phase} already`)
    await this.#driver.transport.listen()
    this.#phase = 'running'
    this.#driver.start()
  }

  wake(): void {
    this.#driver.wake()
  }

  get ready(): boolean {
    return this.#phase !== 'stopped' && this.#driver.core.ready
  }

  get term(): number {
    return this.#driver.core.term
  }

  get leaderId(): string | null {
    return this.#phase === 'stopped' ? null : this.#driver.core.leaderId
  }

  get diskRoom(): boolean {
    return this.#driver.diskRoom
  }

  timeMs(): number {
    return this.#driver.entryClock.now()
  }

  get commitIndex(): number {
    return this.#driver.core.commitIndex
  }

  get appliedIndex(): number {
    return this.#driver.applier.appliedIndex
  }

  get durableIndex(): number {
    return this.#driver.log.syncedIndex
  }

  status(): RaftStatus {
    const { core, log, greetings } = this.#driver
    const stopped = this.#phase === 'stopped'
    const { leaderId } = this
    return {
      group: this.#options.group,
      selfId: this.#options.selfId,
      term: core.term,
      role: stopped ? 'stopped' : core.role,
      ready: this.ready,
      leaderId,
      leaderBrokerAddress: leaderId === null ? null : greetings.addressOf(leaderId),
      commitIndex: core.commitIndex,
      lastIndex: core.lastIndex,
      appliedIndex: this.appliedIndex,
      durableIndex: log.syncedIndex,
      trouble: core.damaged ? 'damaged' : core.recovering ? 'recovering' : null,
      stopReason: this.#stopReason,
      peers: this.#peers(),
      snapshots: this.#driver.snapshots.progress,
      counters: this.#counters()
    }
  }

  readIndex(): Promise<number> {
    if (!this.ready) {
      const isLeader = this.#phase !== 'stopped' && this.#driver.core.role === 'leader'
      if (!isLeader) return Promise.reject(new NotLeaderError(this.leaderId))
    }
    return this.#driver.reads.readIndex()
  }

  async transferLeadership(targetId?: string): Promise<boolean> {
    if (this.#phase !== 'running' || this.#driver.core.role !== 'leader') return false
    return this.#handOverTo(targetId ?? null, this.#timings.transferTimeoutMs)
  }

  async trimPrefix(index: number, position: number): Promise<void> {
    if (index > this.appliedIndex) {
      throw new Error(`entry ${index} is not applied and cannot be trimmed up to`)
    }
    await this.#driver.log.trimPrefix(index, position)
    this.#driver.deliver({ kind: 'trimmed', firstIndex: this.#driver.log.firstIndex })
  }

  segments(): readonly SegmentInfo[] {
    return this.#driver.log.segments()
  }

  get snapshotFloor(): number {
    return this.#driver.snapshots.floor
  }

  verify(fromIndex: number, maxBytes: number): Promise<VerifiedRange> {
    return this.#driver.log.verify(fromIndex, maxBytes)
  }

  async stop(options: StopOptions = {}): Promise<void> {
    if (this.#phase === 'running') {
      this.#phase = 'stopping'
      const graceMs = options.graceMs ?? DRAIN_MS + this.#timings.transferTimeoutMs
      if (options.transfer !== false) await this.#handOver(graceMs)
      if (this.#phase === 'stopping') this.#driver.deliver({ kind: 'stop' })
    }
    await this.#close('stopped', true)
  }

  /** R-T: the pipeline commits, the best peer takes over. Gives up after `graceMs`. */
  async #handOver(graceMs: number): Promise<void> {
    const { core } = this.#driver
    if (core.role !== 'leader' || this.#options.peers.length === 1) return
    const startedMs = this.#clock.monotonicMs()
    await this.#committedUpTo(core.lastIndex, Math.min(DRAIN_MS, graceMs))
    if (core.role !== 'leader') return
    await this.#handOverTo(null, graceMs - (this.#clock.monotonicMs() - startedMs))
  }

  /** True when another node leads; until then this node's vote may be needed. */
  async #handOverTo(target: string | null, timeoutMs: number): Promise<boolean> {
    const ended = new Promise<TransferEnd>(resolve => this.#transferWaiters.push(resolve))
    this.#driver.deliver({ kind: 'transfer', target })
    if (!(await ended).ok) return false
    await this.#until(() => this.leaderId !== null, timeoutMs)
    return true
  }

  #committedUpTo(index: number, timeoutMs: number): Promise<void> {
    return this.#until(() => this.commitIndex >= index, timeoutMs)
  }

  /** Resolves when it holds, looked at with each commit and role change, or when the time is over. */
  #until(condition: () => boolean, timeoutMs: number): Promise<void> {
    if (condition()) return Promise.resolve()
    return new Promise(resolve => {
      const timer = this.#clock.after(Math.max(0, timeoutMs), () => {
        this.#waiters.delete(waiter)
        resolve()
      })
      const waiter = (): void => {
        if (!condition()) return
        timer.cancel()
        this.#waiters.delete(waiter)
        resolve()
      }
      this.#waiters.add(waiter)
    })
  }

  #look(): void {
    if (this.#waiters.size > 0) for (const waiter of [...this.#waiters]) waiter()
  }

  #transferEnded(end: TransferEnd): void {
    const waiters = this.#transferWaiters
    this.#transferWaiters = []
    for (const waiter of waiters) waiter(end)
  }

  #fatal(reason: string): void {
    this.#stopReason = reason
    this.#transferEnded({ kind: 'transferEnded', target: null, ok: false, reason })
    this.#close(reason, false).then(
      () => this.#options.onFatal?.(reason),
      () => this.#options.onFatal?.(reason)
    )
  }

  /** R-S: the log is closed in order, then the hard state is made to name the copy. What acknowledges next is the log in its place. */
  #switchLog({ snapshotId }: SnapshotFacts): void {
    const { snapshots, log } = this.#driver
    const manifest = snapshots.copied
    if (manifest?.snapshotId !== snapshotId) {
      this.#fatal(`the copy of snapshot ${snapshotId} is gone`)
      return
    }
    this.#changeOver(manifest, log).then(
      () => this.#options.onInstall?.(),
      (error: Error) =>
        this.#fatal(`changing over to snapshot ${snapshotId} failed: ${error.message}`)
    )
  }

  async #changeOver(manifest: Manifest, log: RaftLog): Promise<void> {
    const { platform, logger, directory } = this.#options
    const { index, headerCrc, snapshotId, endPosition } = manifest
    logger.info(`Changes over to snapshot ${snapshotId}`, { index, position: endPosition })
    const isOwn = (await log.headerCrcAt(index)) === headerCrc && log.lastIndex > index
    await this.#close(`a snapshot up to entry ${index} takes the place of the log`, true)
    const tail = isOwn ? { lastIndex: log.lastIndex, endPosition: log.endPosition } : null
    await switchToCopy(
      {
        disk: platform.disk,
        clock: platform.clock,
        directory,
        unitsPerIndexFile: UNITS_PER_INDEX_FILE
      },
      manifest,
      tail
    )
  }

  /** The listener goes last: who is refused there takes this process for dead (raft.md 4.6). */
  #close(reason: string, orderly: boolean): Promise<void> {
    this.#closing ??= this.#closeOnce(reason, orderly)
    return this.#closing
  }

  async #closeOnce(reason: string, orderly: boolean): Promise<void> {
    const untold = this.#phase !== 'opened' && this.#driver.core.role !== 'stopped'
    this.#phase = 'stopped'
    this.#stopReason ??= reason
    this.#driver.halt()
    this.#driver.transport.disconnect()
    await this.#driver.snapshots.stop()
    if (untold) this.#machine.roleChanged(this.status())
    try {
      await this.#driver.log.close({ orderly })
    } finally {
      await this.#driver.transport.close()
    }
  }

  #peers(): PeerStatus[] {
    const { core, transport, greetings } = this.#driver
    const leading = new Map(core.peerStatuses().map(peer => [peer.id, peer]))
    return this.#options.peers
      .filter(peer => peer.id !== this.#options.selfId)
      .map(({ id }) => ({
        id,
        connected: transport.connected(id),
        matchIndex: leading.get(id)?.matchIndex ?? 0,
        active: leading.get(id)?.active ?? false,
        brokerAddress: greetings.addressOf(id)
      }))
  }

  #counters(): RaftCounters {
    const { log, proposer, commits, transport, elections } = this.#driver
    const { writes, syncs, bytesWritten, entriesWritten } = log.statistics()
    return {
      entriesProposed: proposer.proposed,
      entriesWritten,
      writtenBytes: bytesWritten,
      writes: writes.count,
      writeMsSum: writes.totalMs,
      writeMsMax: writes.maxMs,
      syncs: syncs.count,
      syncMsSum: syncs.totalMs,
      syncMsMax: syncs.maxMs,
      commits: commits.commits,
      commitMsSum: commits.sumMs,
      commitMsMax: commits.maxMs,
      sentBytes: transport.sentBytes,
      receivedBytes: transport.receivedBytes,
      elections
    }
  }
}
