import type { Logger } from '../../platform/index.ts'
import type { Effect, Event, RaftCore } from '../core/index.ts'
import type { Entry, RaftLog } from '../log/index.ts'
import type { RaftOptions } from '../types.ts'
import {
  decodeMessage,
  type Frame,
  type Hello,
  type HelloReply,
  WireRefuseCode
} from '../wire/index.ts'
import { Applier } from './applier.ts'
import { CatchUp } from './catchUp.ts'
import { CommitWatch } from './commitWatch.ts'
import { type DriverHost, type DriverParts, ROLE_LINES, type Role } from './driverHost.ts'
import { entriesOf } from './entries.ts'
import { EntryClock } from './entryClock.ts'
import { coreFault } from './faults.ts'
import { Greetings } from './greetings.ts'
import { Outgoing } from './outgoing.ts'
import type { Refusal } from './peerStream.ts'
import { meetPeers } from './peers.ts'
import { Proposer } from './proposer.ts'
import { Reads } from './reads.ts'
import { answerRepair } from './repairs.ts'
import { Snapshots } from './snapshots.ts'
import { Ticker } from './ticker.ts'
import { Transport } from './transport.ts'
import { DiskWatch } from './watch.ts'
import { WriteLedger } from './writeLedger.ts'

/**
 * Own appends under way before the next batch has to wait for one of them: load makes the batch (raft.md 4.5). The disk gets one write at a
 * time, made of all that waits, so several cost no write more; followers need not wait for the leader's disk. Measured with 1, 2, 4, 16:
 * 43 832, 46 703, 57 999, 49 363 messages of 1 KiB a second.
 */
const WRITES_IN_FLIGHT = 4
const DISK_REFUSE_RATIO = 0.9
const NO_ENTRIES: readonly Entry[] = []

/**
 * Runs the core: everything that happens becomes an event in one queue, the effects of each are
 * carried out in order before the next, and what was sent leaves when the queue is empty.
 */
export class Driver {
  readonly core: RaftCore
  readonly log: RaftLog
  readonly transport: Transport
  readonly applier: Applier
  readonly proposer: Proposer
  readonly reads: Reads
  readonly commits: CommitWatch
  readonly greetings: Greetings
  readonly snapshots: Snapshots
  elections = 0
  readonly #options: RaftOptions
  readonly #logger: Logger
  readonly #host: DriverHost
  readonly #ledger = new WriteLedger()
  readonly #catchUp: CatchUp
  readonly #outgoing: Outgoing
  readonly #ticker: Ticker
  readonly watch: DiskWatch
  readonly entryClock: EntryClock
  /** Events, and at the same place the entries that came with each. */
  readonly #queue: Event[] = []
  readonly #queueEntries: (readonly Entry[])[] = []
  #running = false
  #ended = false
  /** Entries of the event that is carried out. */
  #received: readonly Entry[] = NO_ENTRIES
  /** The core's answer to the Hello that is being judged. */
  #refusal: Refusal | null = null

  constructor(parts: DriverParts) {
    const { options, timings, core, log, source, host } = parts
    const { platform, logger, selfId, peers } = options
    const { port } = peers.find(peer => peer.id === selfId)!
    this.core = core
    this.log = log
    this.#options = options
    this.#logger = logger
    this.#host = host
    this.greetings = new Greetings(
      options,
      core,
      event => this.#ask(event),
      peerId => host.peerAddressChanged(peerId)
    )
    this.entryClock = new EntryClock(platform.clock, logger, log.lastTimeMs)
    this.transport = new Transport({ platform, logger, port, timings, events: this })
    this.applier = new Applier(log, platform.clock, options.appliedIndex, {
      apply: entries => this.#apply(entries),
      applied: (index, lagBytes) => this.#applied(index, lagBytes),
      mustWait: host.mustWait,
      failed: error => this.end(`reading committed entries failed: ${error.message}`)
    })
    this.proposer = new Proposer(
      source,
      log,
      platform.clock,
      this.entryClock,
      options.segmentBytes,
      () => this.#run()
    )
    this.reads = new Reads(platform.clock, id => this.deliver({ kind: 'readIndex', id }))
    this.commits = new CommitWatch(platform.clock)
    this.#catchUp = new CatchUp(log, platform.clock, {
      entriesRead: ({ peer, requestId, firstIndex }, entries) => {
        const sizesBytes = entries.map(entry => entry.bytes.length)
        this.deliver({ kind: 'entriesRead', peer, requestId, firstIndex, sizesBytes })
      },
      readFailed: (request, error) =>
        this.end(
          `reading entry ${request.firstIndex} for ${request.peer} failed: ${error.message}`
        ),
      commitsAreSlow: () => this.commits.slow
    })
    this.snapshots = new Snapshots(options, logger, core, log, {
      deliver: event => this.deliver(event),
      transport: this.transport,
      commitsAreSlow: () => this.commits.slow,
      saveState: host.saveState
    })
    this.#outgoing = new Outgoing(
      log,
      this.transport,
      this.#catchUp,
      () => (this.#ended ? -1 : core.term),
      snapshotId => this.snapshots.manifestOf(snapshotId)
    )
    this.#ticker = new Ticker(platform.clock, timings.tickMs, count => {
      this.watch.tick(core.peerStatuses())
      this.deliver({ kind: 'tick', count })
    })
    this.watch = new DiskWatch(
      platform,
      log,
      options.directory,
      options.diskRefuseRatio ?? DISK_REFUSE_RATIO,
      {
        storageSlow: slow => this.deliver({ kind: 'storageSlow', slow }),
        diskPressure: (level, freePermille) =>
          this.deliver({ kind: 'diskPressure', level, freePermille })
      }
    )
    log.listen({
      written: done => this.#written(done.writeSeq),
      synced: () => {},
      failed: (operation, error) =>
        this.deliver({ kind: 'storageFailed', reason: `${operation}: ${error.message}` }),
      diskFull: full => this.watch.full(full),
      damaged: fault => this.deliver({ kind: 'damaged', faults: [coreFault(fault)] })
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  start(): void {
    this.deliver({ kind: 'start' })
    this.#meetPeers()
    this.#ticker.start()
  }

  wake(): void {
    if (this.core.ready) this.proposer.wake(this.#ledger.appendsWaiting < WRITES_IN_FLIGHT)
    else this.proposer.wake(false)
  }

  /** Most disks have room for messages; looked at with each tick. */
  get diskRoom(): boolean {
    return this.watch.room
  }

  deliver(event: Event): void {
    this.#push(event, NO_ENTRIES)
    this.#run()
  }

  /** No event is taken any more; timers and reads end. */
  halt(): void {
    this.#ended = true
    this.#ticker.stop()
    this.applier.stop()
    this.#catchUp.stop()
    this.reads.failAll(null)
  }

  /** Something is broken that must not go on. */
  end(reason: string): void {
    if (this.#ended) return
    this.halt()
    this.#logger.error(`The raft node ends: ${reason}`)
    this.#host.fatal(reason)
  }

  #push(event: Event, entries: readonly Entry[]): void {
    for (const { bytes } of entries) this.#options.platform.blocks.hold(bytes)
    this.#queue.push(event)
    this.#queueEntries.push(entries)
  }

  #run(): void {
    if (this.#running || this.#ended) return
    this.#running = true
    try {
      do {
        for (let at = 0; at < this.#queue.length; at += 1) {
          this.#received = this.#queueEntries[at]!
          const effects = this.core.step(this.#queue[at]!)
          for (const effect of effects) {
            this.#execute(effect)
            if (this.#ended) break
          }
          if (this.#ended) break
          for (const { bytes } of this.#received) this.#options.platform.blocks.release(bytes)
        }
        this.#queue.length = 0
        this.#queueEntries.length = 0
        this.#received = NO_ENTRIES
      } while (!this.#ended && this.#offer())
    } catch (error) {
      this.#logger.error('A broken invariant', { stack: (error as Error).stack })
      this.end((error as Error).message)
    } finally {
      this.#running = false
    }
    if (!this.#ended) this.transport.flush()
  }

  /** Puts the next proposal that is due into the queue. */
  #offer(): boolean {
    if (!this.core.ready) return false
    const offer = this.proposer.next()
    if (offer === null) return false
    const { entryKind, sizeBytes, token } = offer
    this.#push({ kind: 'propose', entryKind, sizeBytes, token }, NO_ENTRIES)
    return true
  }

  #execute(effect: Effect): void {
    switch (effect.kind) {
      case 'saveHardState':
        this.#saveHardState(effect)
        return
      case 'appendOwn':
        this.#ledger.appending(effect.writeSeq)
        this.proposer.append(effect, effect.writeSeq)
        this.commits.appended(effect.index)
        return
      case 'appendReceived': {
        const entries = this.#receivedFrom(effect.firstIndex, effect.lastIndex)
        this.#ledger.appending(effect.writeSeq)
        this.log.append(entries, effect.writeSeq)
        this.entryClock.received(entries.at(-1)!.timeMs)
        return
      }
      case 'cut':
        this.#ledger.appending(effect.writeSeq)
        this.log.cut(effect.fromIndex, effect.writeSeq, effect.forgets)
        return
      case 'rewrite':
        this.#rewrite(effect.writeSeq, effect.index)
        return
      case 'send':
        this.#outgoing.send(effect.to, effect.message)
        return
      case 'readEntries':
        this.#catchUp.request(effect)
        return
      case 'committed':
        this.log.commitTo(effect.index)
        this.commits.committed(effect.index)
        this.applier.commitTo(effect.index)
        this.snapshots.committed(effect.index)
        if (this.proposer.holds) this.proposer.resume()
        this.#host.committed(effect.index)
        return
      case 'roleChanged':
        this.#roleChanged(effect)
        return
      case 'proposalRefused':
        this.proposer.refused(effect.token, effect.reason)
        return
      case 'readReady':
        this.reads.confirmed(effect.id, effect.index, this.applier.appliedIndex)
        return
      case 'readFailed':
        this.reads.failed(effect.id, effect.reason, effect.leaderId)
        return
      case 'transferEnded':
        this.#logger.info(effect.ok ? 'Leadership was handed over' : 'No hand-over of leadership', {
          target: effect.target,
          reason: effect.reason
        })
        this.proposer.resume()
        this.#host.transferEnded(effect)
        return
      case 'membershipEnded':
        this.#host.membershipEnded(effect)
        return
      case 'configurationChanged':
        this.#meetPeers()
        this.#host.configurationChanged()
        return
      case 'refuseHello':
        this.#refusal = { code: effect.code, remark: effect.remark }
        return
      case 'answerRepair':
        void answerRepair(
          this.log,
          effect,
          () => this.core.role === 'leader' && this.core.term === effect.term,
          (to, message, entries) => {
            if (this.#ended) return
            this.transport.send(to, message, entries)
            this.transport.flush()
          }
        )
        return
      case 'whole':
        this.log.markWhole().catch((error: Error) => {
          this.#logger.warn('The boot id was not saved', { cause: error.message })
        })
        return
      case 'offerSnapshot':
        this.snapshots.request(effect.peer)
        return
      case 'installSnapshot':
        this.snapshots.install(effect.from, effect.snapshot)
        this.#meetPeers()
        return
      case 'dropSnapshot':
        this.snapshots.drop(effect.snapshotId)
        return
      case 'switchLog':
        this.#host.switchLog(effect.snapshot)
        return
      case 'report':
        this.#logger[effect.level](effect.text, { group: this.#options.group })
        return
      case 'fatal':
        this.end(effect.reason)
    }
  }

  /** Streams to all members as the configuration has them, to who gives a snapshot, and to nobody else. */
  #meetPeers(): void {
    for (const peer of meetPeers(this.core, this.#options, this.transport, this.snapshots.giver)) {
      this.#catchUp.forget(peer)
      this.#push({ kind: 'linkDown', peer }, NO_ENTRIES)
    }
  }

  #saveHardState(effect: Extract<Effect, { kind: 'saveHardState' }>): void {
    const { seq, term, vote, clusterId } = effect
    // A node that learned the first configuration from the log keeps it here, for when the log is trimmed.
    const learned = clusterId === '' ? null : this.core.configuration
    const founders = effect.founders ?? learned?.members ?? null
    const patch = { term, vote: vote ?? '', clusterId }
    const withFounders =
      founders === null
        ? patch
        : { ...patch, founders: founders.map(({ id, uid }) => ({ id, uid })) }
    this.log.saveHardState(withFounders).then(
      () => this.deliver({ kind: 'hardStateSaved', seq }),
      (error: Error) =>
        this.deliver({ kind: 'storageFailed', reason: `hard state: ${error.message}` })
    )
  }

  #receivedFrom(firstIndex: number, lastIndex: number): readonly Entry[] {
    const received = this.#received
    const from = firstIndex - (received[0]?.index ?? 0)
    const to = lastIndex - (received[0]?.index ?? 0) + 1
    if (from === 0 && to === received.length) return received
    return received.slice(from, to)
  }

  #rewrite(writeSeq: number, index: number): void {
    const [entry] = this.#receivedFrom(index, index)
    if (entry === undefined) throw new Error(`entry ${index} is to be rewritten and did not come`)
    this.#ledger.rewriting(writeSeq)
    this.#options.platform.blocks.keep(entry.bytes)
    this.log.writeRepair(index, entry.bytes).then(
      () => {
        this.#ledger.rewritten(writeSeq)
        this.#reportWrites()
        this.applier.pump()
      },
      (error: Error) =>
        this.deliver({ kind: 'storageFailed', reason: `repair of ${index}: ${error.message}` })
    )
  }

  #roleChanged(role: Role): void {
    const { role: name, term, leaderId, ready } = role
    const line = ready ? 'Leads and takes proposals' : ROLE_LINES[name]
    this.#logger.info(`${line}, term ${term}`, { leaderId, group: this.#options.group })
    if (name === 'candidate') this.elections += 1
    if (name !== 'leader') {
      this.proposer.drop()
      this.#catchUp.forgetAll()
      this.commits.reset()
      this.reads.failAll(leaderId)
    }
    this.#host.roleChanged(role)
    if (ready) this.proposer.resume()
  }

  #apply(entries: readonly Entry[]): void {
    try {
      this.#host.apply(entries)
    } catch (error) {
      const { message, stack } = error as Error
      this.#logger.error('Applying committed entries failed', { stack })
      this.end(`applying entry ${entries[0]?.index} and later failed: ${message}`)
    }
  }

  #applied(index: number, lagBytes: number): void {
    this.reads.applied(index)
    this.deliver({ kind: 'applied', index, lagBytes })
  }

  #written(writeSeq: number): void {
    this.#ledger.appended(writeSeq)
    if (this.#ledger.appendsWaiting < WRITES_IN_FLIGHT) this.proposer.resume()
    this.#reportWrites()
  }

  #reportWrites(): void {
    const writeSeq = this.#ledger.takeDone()
    if (writeSeq > 0) this.#push({ kind: 'storageDone', writeSeq }, NO_ENTRIES)
    this.#run()
  }

  // Transport events

  hello(): Hello {
    return this.greetings.hello()
  }

  judgeHello(hello: Hello): Refusal | null {
    const refusal = this.greetings.judgeHello(hello)
    if (refusal === null) this.transport.hurry(hello.nodeId)
    return refusal
  }

  streamUp(peerId: string, reply: HelloReply): Refusal | null {
    return this.greetings.judgeReply(peerId, reply)
  }

  streamDown(peer: string): void {
    this.#catchUp.forget(peer)
    this.deliver({ kind: 'linkDown', peer })
  }

  peerGone(peer: string): void {
    this.deliver({ kind: 'peerGone', peer })
  }

  inboundDown(peer: string): void {
    this.transport.hurry(peer)
  }

  refusedBy(peer: string, { code, remark }: Refusal): void {
    this.deliver({ kind: 'helloRefused', peer, code, remark })
  }

  frame(from: string, frame: Frame): void {
    const { blocks } = this.#options.platform
    if (this.snapshots.frame(from, frame)) {
      blocks.keep(frame.payload)
      return
    }
    const message = decodeMessage(frame)
    if (message === null) return
    // All others are seldom, and some of their fields are views.
    if (message.type !== 'append' && message.type !== 'appendReply') blocks.keep(frame.header)
    if (message.type === 'snapshotOffer') this.snapshots.offered(message.snapshotId, frame.payload)
    const { entries, summaries } = entriesOf(message, frame.payload)
    this.#push({ kind: 'receive', from, message, entries: summaries }, entries)
  }

  chunkDone(): void {
    this.#run()
  }

  /** What the core says to a greeting. */
  #ask(event: Event): Refusal | null {
    if (this.#ended) return { code: WireRefuseCode.protocol, remark: 'the node is stopping' }
    this.#refusal = null
    this.deliver(event)
    return this.#refusal
  }
}
