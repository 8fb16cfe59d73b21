import type { Logger, Platform } from '../platform/index.ts'
import { RequestCode } from '../protocol/index.ts'
import type { Membership, RaftStatus } from '../raft/index.ts'
import type { RemotingClient, RemotingServer } from '../remoting/index.ts'
import type { Store } from '../store/index.ts'
import { adminHandlers } from './admin/index.ts'
import { assignmentHandlers } from './assignment/index.ts'
import {
  ChangeNotices,
  ClientHousekeeping,
  ConsumerTable,
  clientHandlers,
  ProducerTable
} from './clients/index.ts'
import type { LiveConfig } from './config/index.ts'
import { DelayService } from './delay/index.ts'
import { type BrokerContext, Dispatcher, type Handler, LargeAnswers } from './dispatch/index.ts'
import { FilterCache } from './filter/index.ts'
import { Forwarder, forwardKeyName, forwardKeyRoom } from './forward/index.ts'
import { ForbiddenReads, GroupService } from './groups/index.ts'
import { Handover } from './handover.ts'
import { lockHandlers } from './locks/index.ts'
import { CommitOrder, OffsetService, offsetHandlers, PendingResets } from './offsets/index.ts'
import { PopService } from './pop/index.ts'
import { PullHolds, PullPath } from './pull/index.ts'
import { Registration } from './registration/index.ts'
import { requestReplyHandlers } from './reply/index.ts'
import { consumerSendBack } from './retry/index.ts'
import { SendPath, sendHandlers } from './send/index.ts'
import { BrokerStats, RuntimeRates } from './stats/index.ts'
import { recallMessage, TimerService } from './timer/index.ts'
import { TopicService } from './topics/index.ts'
import { TransactionService } from './transaction/index.ts'

const forwardKeyBytes = 24

const notTaken = (): boolean => false

/**
 * One broker: everything hangs on this object, several live in one process.
 *
 *   opened ── start() ──▶ serving ── stop() ──▶ handing over ──▶ forwarding ──▶ stopped
 *                                      (second stop(), no peer, no clients: straight to stopped)
 */
export class Broker implements BrokerContext {
  readonly platform: Platform
  readonly logger: Logger
  readonly config: LiveConfig
  readonly store: Store
  readonly server: RemotingServer
  readonly client: RemotingClient
  readonly producers: ProducerTable
  readonly consumers: ConsumerTable
  readonly topics: TopicService
  readonly groups: GroupService
  readonly forbidden: ForbiddenReads
  readonly offsets: OffsetService
  readonly resets: PendingResets
  readonly holds: PullHolds
  readonly filters: FilterCache
  readonly stats: BrokerStats
  readonly rates: RuntimeRates
  readonly registration: Registration
  readonly largeAnswers: LargeAnswers
  readonly address: string
  readonly storeHost: Buffer
  readonly startedMs: number
  readonly #dispatcher: Dispatcher
  readonly #forwarder: Forwarder
  readonly #delay: DelayService
  readonly #timers: TimerService
  readonly #transactions: TransactionService
  readonly #housekeeping: ClientHousekeeping
  readonly #notices: ChangeNotices
  readonly #pulls: PullPath
  readonly #sends: SendPath
  readonly #pops: PopService
  #membership: Membership | null = null
  #leads: boolean = false
  /** Monotonic; when this node last led, for how long clients may still come here. */
  #lastLedMs = Number.NEGATIVE_INFINITY
  #stopping: Promise<void> | null = null
  #handover: Handover | null = null

  constructor(parts: {
    platform: Platform
    logger: Logger
    config: LiveConfig
    store: Store
    server: RemotingServer
    client: RemotingClient
    address: string
    storeHost: Buffer
  }) {
    const { platform, logger, config, store } = parts
    this.platform = platform
    this.logger = logger
    this.config = config
    this.store = store
    this.server = parts.server
    this.client = parts.client
    this.address = parts.address
    this.storeHost = parts.storeHost
    this.startedMs = platform.clock.wallMs()
    this.topics = new TopicService(store, config, logger)
    this.groups = new GroupService(store, config, logger)
    this.forbidden = new ForbiddenReads(store)
    this.offsets = new OffsetService(store, new CommitOrder(platform.clock, config.settings.idleMs))
    this.resets = new PendingResets(store, logger)
    this.stats = new BrokerStats(platform.clock, config.settings.clusterName)
    this.rates = new RuntimeRates(platform.clock, store.counters)
    this.filters = new FilterCache(logger)
    this.holds = new PullHolds(platform.clock, config, store)
    this.#notices = new ChangeNotices(platform.clock, config, this.groups)
    const groupsMax = (): number => config.values.maxGroups
    const membersMax = (): number => config.values.maxClientsPerGroup
    const subscriptionsMax = (): number => config.values.maxSubscriptionsPerGroup
    this.producers = new ProducerTable(platform.clock, { groupsMax, membersMax })
    this.consumers = new ConsumerTable(
      platform.clock,
      { groupsMax, membersMax, subscriptionsMax },
      (group, reason) => this.#notices.changed(group, reason, () => this.consumers)
    )
    this.#housekeeping = new ClientHousekeeping(
      platform.clock,
      logger,
      this.producers,
      this.consumers,
      () => config.values.channelExpiredTimeout
    )
    this.registration = new Registration({
      clock: platform.clock,
      logger,
      config,
      store,
      client: this.client,
      address: this.address,
      brokerId: () => this.brokerId(),
      isMember: () => {
        const { membership, lacksState } = this.store.status()
        return membership === 'voter' && !lacksState
      }
    })
    this.largeAnswers = new LargeAnswers(platform.clock)
    const acceptsWrites = (): boolean => this.#acceptsWrites()
    this.#dispatcher = new Dispatcher(this, acceptsWrites)
    this.#forwarder = new Forwarder({
      platform,
      logger,
      config,
      store,
      client: this.client,
      acceptsWrites,
      runHere: (handler, request, caller) => this.#dispatcher.run(handler, request, caller)
    })
    this.#delay = new DelayService(this)
    this.#timers = new TimerService(this)
    this.#transactions = new TransactionService(this)
    this.#pulls = new PullPath(this)
    this.#sends = new SendPath(this, () => this.#acceptsWrites())
    this.#pops = new PopService(this)
  }

  brokerId(): number {
    return this.#leads ? 0 : this.config.settings.followerBrokerId
  }

  isLeader(): boolean {
    return this.store.ready
  }

  role(): 'ASYNC_MASTER' | 'SYNC_MASTER' | 'SLAVE' {
    if (!this.config.settings.grouped)
      return this.config.values.brokerRole === 'SYNC_MASTER' ? 'SYNC_MASTER' : 'ASYNC_MASTER'
    return this.#leads ? 'SYNC_MASTER' : 'SLAVE'
  }

  #acceptsWrites(): boolean {
    // Once it hands over, requests wait for the next leader.
    return this.#handover === null && this.store.ready
  }

  /** Sets the handlers; before it the server answers nothing of a broker. */
  install(): void {
    const sends = this.#sends
    this.#takeFrames()
    const handlers: Handler[] = [
      ...sendHandlers(sends),
      ...requestReplyHandlers(sends),
      ...this.#pulls.handlers(),
      ...clientHandlers,
      ...offsetHandlers,
      ...lockHandlers,
      consumerSendBack,
      recallMessage(this.#timers),
      ...this.#transactions.handlers(),
      ...this.#pops.handlers(),
      ...assignmentHandlers(this),
      ...adminHandlers
    ]
    this.#dispatcher.install(handlers, this.#forwarder)
    this.server.onClose(connection => {
      this.producers.closed(connection)
      this.consumers.closed(connection)
      sends.open.closed()
    })
  }

  /** A node that was removed from its group serves nobody: what is not taken here comes to the dispatcher, which refuses it. */
  #takeFrames(): void {
    const outside = this.#dispatcher.outside !== null
    const sends = outside ? notTaken : this.#sends.takeFrame
    const pulls = outside ? notTaken : this.#pulls.takeFrame
    this.server.handleFrame(RequestCode.SEND_MESSAGE, sends)
    this.server.handleFrame(RequestCode.SEND_MESSAGE_V2, sends)
    this.server.handleFrame(RequestCode.PULL_MESSAGE, pulls)
    this.server.handleFrame(RequestCode.LITE_PULL_MESSAGE, pulls)
  }

  /** Joins the group and serves. Resolves when the node runs; a leader may come later. */
  async start(): Promise<void> {
    this.store.onRole(status => this.#roleChanged(status))
    this.store.onTables(change => {
      if (change.topics) this.registration.changed()
      // Who waits behind the end of what is gone would miss the beginning of a topic that is made anew with this name.
      for (const topic of change.deletedTopics) this.holds.wake(topic)
    })
    this.store.onOffsetsBack(moved => {
      for (const { group, topic, queueId } of moved) this.stats.forgetPulled(group, topic, queueId)
    })
    this.config.onChange(changed => {
      if (changed.includes('brokerPermission')) this.registration.changed()
    })
    this.holds.start(this.#pulls.again)
    this.#housekeeping.start()
    this.stats.start()
    this.rates.start()
    await this.store.start()
    await this.server.start()
    this.registration.start()
    this.logger.info('Broker serves', {
      broker: this.config.settings.brokerName,
      address: this.address,
      group: this.config.settings.raftGroup,
      self: this.config.settings.selfId
    })
  }

  #roleChanged(status: RaftStatus): void {
    const leads = status.role === 'leader' && status.ready
    this.#forwarder.roleChanged()
    if (status.role !== 'leader') this.#sends.open.clear()
    this.#partChanged(status)
    if (leads === this.#leads) return
    this.#lastLedMs = this.platform.clock.monotonicMs()
    this.logger.info(leads ? 'Leads now' : 'Leads no longer', {
      group: status.group,
      term: status.term,
      leader: status.leaderId
    })
    if (leads) this.#lead(status.term)
    else this.#follow()
  }

  /** Voters stand in the routes: a node that is new is put in when it has caught up, one that was removed is taken out. */
  #partChanged({ membership, lacksState }: RaftStatus): void {
    const outside = lacksState
      ? 'this broker has lost its state and serves nobody until it has got a snapshot'
      : membership === 'removed'
        ? 'this broker was removed from its group and serves nobody'
        : null
    if (membership === this.#membership && outside === this.#dispatcher.outside) return
    this.#membership = membership
    if (outside !== this.#dispatcher.outside) {
      this.#dispatcher.outside = outside
      this.#takeFrames()
    }
    this.registration.registerNow()
  }

  #follow(): void {
    this.#leads = false
    this.#delay.stop()
    this.#timers.stop()
    this.#transactions.stop()
    this.#pops.stop()
    this.registration.registerNow()
  }

  /** What a leader has to have before it is published: at the first start its topics, else they are there. */
  #lead(term: number): void {
    this.#leads = true
    this.offsets.order.led()
    this.#delay.start()
    this.#timers.start()
    this.#transactions.start()
    this.#pops.start()
    this.#ensureFirstState()
      .catch((error: unknown) =>
        this.logger.warn('System topics not made, they follow with the next leader', {
          reason: error instanceof Error ? error.message : String(error)
        })
      )
      .finally(() => {
        // Each step is cancelled by the next role change (raft.md 4.15).
        if (this.#leads && this.store.status().term === term) this.registration.registerNow()
      })
  }

  async #ensureFirstState(): Promise<void> {
    const { store } = this
    if (!store.tables.values(forwardKeyRoom).has(forwardKeyName)) {
      const value = this.platform.random.bytes(forwardKeyBytes).toString('hex')
      await store.execute({ type: 'putValue', room: forwardKeyRoom, key: forwardKeyName, value })
    }
    await Promise.all([this.topics.ensureSystemTopics(), this.groups.ensureBuiltIn()])
  }

  /**
   * Graceful: hands the leadership over, answers what it had accepted, then forwards until its clients have moved or
   * `shutdownGraceSeconds` are over. A second call, or no peer that can lead, ends it at once. Resolves when all is closed.
   */
  stop(): Promise<void> {
    if (this.#stopping !== null) {
      this.#handover?.hurry()
      return this.#stopping
    }
    this.#stopping = this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.logger.info('Broker stops', { broker: this.config.settings.brokerName })
    const handover = new Handover(this, this.#forwarder)
    this.#handover = handover
    const outcome = await handover.run()
    await this.registration.stop()
    if (outcome === 'moved') await handover.forwardForAWhile(this.#lastLedMs)
    this.server.quiesce()
    await handover.settle()
    this.#housekeeping.stop()
    this.#notices.stop()
    this.stats.stop()
    this.rates.stop()
    this.#delay.stop()
    this.#timers.stop()
    this.#transactions.stop()
    this.#pops.stop()
    this.holds.stop()
    this.#forwarder.stop()
    this.#sends.open.clear()
    await this.#turn()
    await this.server.stop()
    // In a hurry the leadership is still offered, without waiting for what was accepted.
    await this.store.stop({ transfer: outcome === 'hurried' })
    await this.client.close()
    this.logger.info('Broker stopped', { broker: this.config.settings.brokerName })
  }

  /** What is woken or refused at the stop leaves at the end of this turn. */
  #turn(): Promise<void> {
    return new Promise(resolve => {
      this.platform.clock.turnEnd(resolve)
    })
  }
}
