import type { Clock, DiskSpace } from '../../platform/index.ts'
import type { RaftCore, SnapshotFacts } from '../core/index.ts'
import {
  type Manifest,
  type RaftLog,
  type SegmentInfo,
  switchToCopy,
  UNITS_PER_INDEX_FILE,
  type VerifiedRange
} from '../log/index.ts'
import {
  type ChangeAnswer,
  type LogReader,
  type MemberStatus,
  type MembershipChange,
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
import { encodeConfiguration } from '../wire/index.ts'
import { Driver } from './driver.ts'
import type { DriverHost, DriverParts, TransferEnd } from './driverHost.ts'

/** An orderly stop waits this long for the pipeline to commit (R-T). */
const DRAIN_MS = 500

const STOPPING: ChangeAnswer = {
  refusal: 'notLeader',
  text: 'this node is stopping',
  leaderId: null
}

function troubleOf({ damaged, recovering, lacksState }: RaftCore): string | null {
  if (lacksState) return 'without its state, waits for a snapshot'
  if (damaged) return 'damaged'
  return recovering ? 'recovering' : null
}

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
  readonly #changes = new Map<number, (end: ChangeAnswer) => void>()
  #lastChangeId = 0
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
      membershipEnded: end => {
        this.#changes.get(end.requestId)?.(end)
        this.#changes.delete(end.requestId)
      },
      configurationChanged: () => {
        if (this.#phase === 'running') machine.roleChanged(this.status())
      },
      switchLog: snapshot => this.#switchLog(snapshot),
      mustWait: () => machine.mustWait?.() === true,
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

  spaceSeen(space: DiskSpace): void {
    if (this.#phase === 'running') this.#driver.watch.seen(space)
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
      trouble: troubleOf(core),
      lacksState: core.lacksState,
      stopReason: this.#stopReason,
      peers: this.#peers(),
      membership: core.membership,
      configurationVersion: core.configuration?.version ?? 0,
      configurationCommitted:
        core.configuration !== null && core.configuration === core.committedConfiguration,
      members: this.#members(),
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
    return (await this.handOver(targetId ?? null)).ok
  }

  async handOver(targetId: string | null): Promise<{ ok: boolean; reason: string }> {
    if (this.#phase !== 'running' || this.#driver.core.role !== 'leader')
      return { ok: false, reason: 'this node does not lead' }
    return this.#handOverTo(targetId, this.#timings.transferTimeoutMs)
  }

  changeMembership(change: MembershipChange): Promise<ChangeAnswer> {
    if (this.#phase !== 'running') return Promise.resolve(STOPPING)
    const requestId = ++this.#lastChangeId
    return new Promise(resolve => {
      this.#changes.set(requestId, resolve)
      const { id, op } = change
      this.#options.logger.info(`An operator asks to ${op} ${id}`, { ...change })
      this.#driver.deliver({
        kind: 'changeMembership',
        requestId,
        change: change.op === 'remove' ? change : { ...change, op: change.op }
      })
    })
  }

  forceRecover(withoutIds: readonly string[]): ChangeAnswer {
    const { core } = this.#driver
    const { leaderId } = this
    // One that lost its whole log knows the members by what it had taken in.
    const members = core.configuration?.members ?? core.possibleMembers
    const voters = members.filter(({ role }) => role === 'voter')
    const ids = voters.map(({ id }) => id)
    const unknown = withoutIds.find(id => !ids.includes(id))
    const refused = (refusal: string, text: string): ChangeAnswer => ({ refusal, text, leaderId })
    if (this.#phase !== 'running') return STOPPING
    if (unknown !== undefined)
      return refused('unknownMember', `${unknown} is no voter; voters are ${ids.join(', ')}`)
    if (withoutIds.length === 0 || withoutIds.includes(this.#options.selfId))
      return refused('unknownMember', 'name the voters that are gone for good, and not this node')
    if (leaderId !== null)
      return refused('notNeeded', `${leaderId} leads the group: there is nothing to force`)
    if (!core.recovering && !core.damaged)
      return refused(
        'notNeeded',
        'this node is whole and votes anyway: send it to those that mqadmin raftStatus shows as recovering or damaged'
      )
    const left = voters.filter(({ id }) => !withoutIds.includes(id)).length
    if (left < (voters.length >> 1) + 1)
      return refused(
        'majorityLost',
        `${left} of ${voters.length} voters are left, which is no majority: no word can replace it, see "Disaster" in docs/raft.md`
      )
    this.#driver.deliver({ kind: 'forceRecover', without: withoutIds })
    return {
      refusal: null,
      text: `this node does not wait for ${withoutIds.join(', ')} any more until a leader is elected: ACKNOWLEDGED MESSAGES THAT ONLY THEY HAVE WILL BE MISSING. Say it to every remaining node that recovers`,
      leaderId
    }
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
    if (core.role !== 'leader' || this.#voters() === 1) return
    const startedMs = this.#clock.monotonicMs()
    await this.#committedUpTo(core.lastIndex, Math.min(DRAIN_MS, graceMs))
    if (core.role !== 'leader') return
    await this.#handOverTo(null, graceMs - (this.#clock.monotonicMs() - startedMs))
  }

  #voters(): number {
    const members = this.#driver.core.configuration?.members ?? []
    return members.filter(({ role }) => role === 'voter').length
  }

  /** Ok when another node leads; until then this node's vote may be needed. */
  async #handOverTo(
    target: string | null,
    timeoutMs: number
  ): Promise<{ ok: boolean; reason: string }> {
    const ended = new Promise<TransferEnd>(resolve => this.#transferWaiters.push(resolve))
    this.#driver.deliver({ kind: 'transfer', target })
    const { ok, reason } = await ended
    if (ok) await this.#until(() => this.leaderId !== null, timeoutMs)
    return { ok, reason }
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
    const hasMore = log.lastIndex > index
    const ownCrc = hasMore ? await log.headerCrcAt(index) : null
    // Damaged beyond recognition: nobody knows whether what follows is the group's.
    const mayLose = hasMore && ownCrc === null
    if (this.commitIndex > index && ownCrc !== headerCrc)
      throw new Error(`it does not hold the entry ${index} that is committed here`)
    await this.#close(`a snapshot up to entry ${index} takes the place of the log`, true)
    const tail =
      hasMore && ownCrc === headerCrc
        ? { lastIndex: log.lastIndex, endPosition: log.endPosition }
        : null
    await switchToCopy(
      {
        disk: platform.disk,
        clock: platform.clock,
        directory,
        unitsPerIndexFile: UNITS_PER_INDEX_FILE,
        configurationBody: Buffer.from(encodeConfiguration(manifest.configuration))
      },
      manifest,
      tail,
      mayLose
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
    for (const resolve of this.#changes.values()) resolve(STOPPING)
    this.#changes.clear()
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
    const voting = core.peerStatuses().sort((a, b) => Number(a.voter) - Number(b.voter))
    const leading = new Map(voting.map(peer => [peer.id, peer]))
    const known = core.configuration?.members ?? this.#options.peers
    return [...new Set(known.map(peer => peer.id))]
      .filter(id => id !== this.#options.selfId)
      .map(id => ({
        id,
        connected: transport.connected(id),
        matchIndex: leading.get(id)?.matchIndex ?? 0,
        active: leading.get(id)?.active ?? false,
        brokerAddress: greetings.addressOf(id)
      }))
  }

  #members(): MemberStatus[] {
    const { core, transport, greetings } = this.#driver
    const { selfId, brokerAddress } = this.#options
    const peers = new Map(core.peerStatuses().map(peer => [peer.uid, peer]))
    const isLeader = core.role === 'leader'
    return (core.configuration?.members ?? []).map(member => {
      const { id, uid, role, raftAddress, priority } = member
      const peer = peers.get(uid)
      const isSelf = id === selfId
      const own = isLeader ? core.durableIndex : 0
      const matchIndex = isSelf ? own : (peer?.matchIndex ?? 0)
      return {
        id,
        uid,
        role,
        raftAddress,
        brokerAddress: isSelf ? brokerAddress : (greetings.addressOf(id) ?? member.brokerAddress),
        priority,
        connected: isSelf || (peer === undefined ? transport.connected(id) : peer.state !== 'down'),
        matchIndex,
        lagEntries: isLeader ? Math.max(0, core.lastIndex - matchIndex) : 0,
        active: isLeader && (isSelf || peer?.active === true)
      }
    })
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
