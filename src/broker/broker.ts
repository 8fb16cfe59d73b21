import type { Logger, Platform, Timer } from '../platform/index.ts'
import { encodeHost, hostText, RequestCode } from '../protocol/index.ts'
import type { RaftStatus, RaftTimings } from '../raft/index.ts'
import { RemotingClient, RemotingServer } from '../remoting/index.ts'
import { openStore, type Store } from '../store/index.ts'
import { adminHandlers } from './admin/index.ts'
import {
  ChangeNotices,
  ClientHousekeeping,
  ConsumerTable,
  clientHandlers,
  ProducerTable
} from './clients/index.ts'
import type { LiveConfig } from './config/index.ts'
import { DelayService } from './delay/index.ts'
import { type BrokerContext, Dispatcher, type Handler } from './dispatch/index.ts'
import { Forwarder, forwardKeyName, forwardKeyRoom } from './forward/index.ts'
import { GroupService } from './groups/index.ts'
import { lockHandlers } from './locks/index.ts'
import { OffsetService, offsetHandlers } from './offsets/index.ts'
import { PullHolds, PullPath } from './pull/index.ts'
import { Registration } from './registration/index.ts'
import { consumerSendBack } from './retry/index.ts'
import { SendPath, sendHandlers } from './send/index.ts'
import { BrokerStats, RuntimeRates } from './stats/index.ts'
import { TopicService } from './topics/index.ts'

const forwardKeyBytes = 24
/** Wait for accepted sends to be answered before the leadership is handed over; the store gives each 2.5 s. Ms. */
const drainMs = 3_000
const drainLookMs = 5
/** Between two looks whether the clients of a stopping broker have gone, ms. */
const graceLookMs = 250

export interface BrokerOptions {
  /** Other timings of the Raft node than the usual, for tests. */
  raftTimings?: Partial<RaftTimings>
  /** The broker stopped by itself and does not come back; a sentence with the reason. */
  onFatal?: (reason: string) => void
}

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
  readonly offsets: OffsetService
  readonly holds: PullHolds
  readonly stats: BrokerStats
  readonly rates: RuntimeRates
  readonly registration: Registration
  readonly address: string
  readonly storeHost: Buffer
  readonly startedMs: number
  readonly #dispatcher: Dispatcher
  readonly #forwarder: Forwarder
  readonly #delay: DelayService
  readonly #housekeeping: ClientHousekeeping
  readonly #notices: ChangeNotices
  readonly #pulls: PullPath
  #handingOver: boolean = false
  #leads: boolean = false
  /** Monotonic; when this node last led, for how long clients may still come here. */
  #lastLedMs = Number.NEGATIVE_INFINITY
  #stopping: Promise<void> | null = null
  #hurry: (() => void) | null = null

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
    this.offsets = new OffsetService(store)
    this.stats = new BrokerStats(platform.clock, config.settings.clusterName)
    this.rates = new RuntimeRates(platform.clock, store.counters)
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
      this.consumers
    )
    this.registration = new Registration({
      clock: platform.clock,
      logger,
      config,
      store,
      client: this.client,
      address: this.address,
      brokerId: () => this.brokerId()
    })
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
    this.#pulls = new PullPath(this)
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
    return !this.#handingOver && this.store.ready
  }

  /** Sets the handlers; before it the server answers nothing of a broker. */
  install(): void {
    const sends = new SendPath(this, () => this.#acceptsWrites())
    this.server.handleFrame(RequestCode.SEND_MESSAGE, sends.takeFrame)
    this.server.handleFrame(RequestCode.SEND_MESSAGE_V2, sends.takeFrame)
    this.server.handleFrame(RequestCode.PULL_MESSAGE, this.#pulls.takeFrame)
    this.server.handleFrame(RequestCode.LITE_PULL_MESSAGE, this.#pulls.takeFrame)
    const handlers: Handler[] = [
      ...sendHandlers(sends),
      ...this.#pulls.handlers(),
      ...clientHandlers,
      ...offsetHandlers,
      ...lockHandlers,
      consumerSendBack,
      ...adminHandlers
    ]
    this.#dispatcher.install(handlers, this.#forwarder)
    this.server.onClose(connection => {
      this.producers.closed(connection)
      this.consumers.closed(connection)
    })
  }

  /** Joins the group and serves. Resolves when the node runs; a leader may come later. */
  async start(): Promise<void> {
    this.store.onRole(status => this.#roleChanged(status))
    this.store.onTables(change => {
      if (change.topics) this.registration.changed()
    })
    this.config.onChange(changed => {
      if (changed.includes('brokerPermission')) this.registration.changed()
    })
    this.holds.start(this.#pulls.again)
    this.#housekeeping.start()
    this.stats.start()
    this.rates.start()
    await this.store.start()
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

  #follow(): void {
    this.#leads = false
    this.#delay.stop()
    this.registration.registerNow()
  }

  /** What a leader has to have before it is published: at the first start its topics, else they are there. */
  #lead(term: number): void {
    this.#leads = true
    this.#delay.start()
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
      this.#hurry?.()
      return this.#stopping
    }
    this.#stopping = this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.logger.info('Broker stops', { broker: this.config.settings.brokerName })
    let hurried = false
    const hurry = new Promise<void>(resolve => {
      this.#hurry = () => {
        hurried = true
        resolve()
      }
    })
    const handedOver = await this.#handOver(() => hurried)
    await this.registration.stop()
    if (handedOver === 'moved' && !hurried) await this.#forwardForAWhile(hurry)
    this.#housekeeping.stop()
    this.#notices.stop()
    this.stats.stop()
    this.rates.stop()
    this.#delay.stop()
    this.holds.stop()
    this.#forwarder.stop()
    await this.#turn()
    await this.server.stop()
    // In a hurry the leadership is still offered, without waiting for what was accepted.
    await this.store.stop({ transfer: handedOver === 'hurried' })
    await this.client.close()
    this.logger.info('Broker stopped', { broker: this.config.settings.brokerName })
  }

  /** What is woken or refused at the stop leaves at the end of this turn. */
  #turn(): Promise<void> {
    return new Promise(resolve => {
      this.platform.clock.turnEnd(resolve)
    })
  }

  #after(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.platform.clock.after(ms, resolve)
    })
  }

  /** `moved`: another member leads and can be forwarded to. `alone`: none does, or can. */
  async #handOver(hurried: () => boolean): Promise<'moved' | 'alone' | 'hurried'> {
    if (this.config.settings.peers.length === 1) {
      await this.#drain(hurried)
      return 'alone'
    }
    if (!this.store.ready) return this.store.status().leaderId === null ? 'alone' : 'moved'
    await this.#drain(hurried)
    if (hurried()) return 'hurried'
    const done = await this.store.transferLeadership().catch(() => false)
    this.logger.info(
      done ? 'Leadership handed over' : 'No other member could take the leadership',
      {
        leader: this.store.status().leaderId
      }
    )
    return done ? 'moved' : 'alone'
  }

  /** From now on requests wait for the next leader; what was accepted before is answered. */
  async #drain(hurried: () => boolean): Promise<void> {
    this.#handingOver = true
    const untilMs = this.platform.clock.monotonicMs() + drainMs
    while (
      this.store.ready &&
      this.store.runtime().pendingSends > 0 &&
      !hurried() &&
      this.platform.clock.monotonicMs() < untilMs
    )
      await this.#after(drainLookMs)
    if (this.store.ready) await this.store.flushOffsets()
  }

  async #forwardForAWhile(hurry: Promise<void>): Promise<void> {
    const { clock } = this.platform
    const graceMs = this.config.settings.shutdownGraceMs
    // Who has not led for so long has no client left that takes it for the leader.
    const untilMs = Math.min(clock.monotonicMs() + graceMs, this.#lastLedMs + graceMs)
    if (untilMs <= clock.monotonicMs()) return
    this.logger.info('Forwarding until clients have moved', {
      leader: this.store.status().leaderId,
      graceMs: Math.round(untilMs - clock.monotonicMs())
    })
    let looking: Timer | null = null
    const gone = new Promise<void>(resolve => {
      looking = clock.every(graceLookMs, () => {
        if (clock.monotonicMs() >= untilMs || !this.#hasClients()) resolve()
      })
    })
    await Promise.race([hurry, gone])
    ;(looking as Timer | null)?.cancel()
  }

  #hasClients(): boolean {
    return (
      this.#forwarder.inFlight > 0 ||
      this.#forwarder.heldRequests > 0 ||
      this.producers.groups().length > 0 ||
      this.consumers.groups().length > 0
    )
  }
}

/** Opens the port, the store and the node; nothing is joined before `start()`. Rejects with the reason when one of them cannot be had. */
export async function openBroker(
  config: LiveConfig,
  platform: Platform,
  logger: Logger,
  options: BrokerOptions = {}
): Promise<Broker> {
  for (const name of config.unknown)
    logger.warn(`Unknown key in the configuration: ${name}`, { key: name })
  const { settings } = config
  const client = new RemotingClient({ clock: platform.clock, network: platform.network, logger })
  const server = new RemotingServer({
    clock: platform.clock,
    network: platform.network,
    logger,
    host: settings.listenHost === '0.0.0.0' ? undefined : settings.listenHost,
    port: settings.listenPort,
    limits: { idleMs: settings.idleMs }
  })
  try {
    // The peers are told the port that clients use, so it must be known before the node is opened.
    await server.start()
    const address = hostText({ address: settings.publicHost, port: server.port })
    const store = await openStoreFor(config, platform, logger, address, options)
    const broker = new Broker({
      platform,
      logger,
      config,
      store,
      server,
      client,
      address,
      storeHost: encodeHost(settings.storeAddress, server.port)
    })
    broker.install()
    return broker
  } catch (error) {
    await server.stop()
    await client.close()
    throw error
  }
}

function openStoreFor(
  config: LiveConfig,
  platform: Platform,
  logger: Logger,
  brokerAddress: string,
  options: BrokerOptions
): Promise<Store> {
  const { settings, values } = config
  return openStore({
    platform,
    logger,
    directory: settings.rootDirectory,
    raft: {
      group: settings.raftGroup,
      selfId: settings.selfId,
      peers: settings.peers,
      segmentBytes: settings.segmentBytes,
      flushMode: settings.syncFlush ? 'sync' : 'async',
      flushIntervalMs: settings.flushIntervalMs,
      preferredLeaderId: settings.preferredLeaderId,
      brokerAddress,
      tailCacheBytes: values.tailCacheBytes,
      ...(options.raftTimings === undefined ? {} : { timings: options.raftTimings }),
      onFatal: reason => {
        logger.error('The broker cannot go on', { reason })
        options.onFatal?.(reason)
      }
    },
    consumeQueueFileBytes: settings.consumeQueueFileBytes,
    delayLevelsMs: settings.delayLevelsMs,
    fileReservedMs: settings.fileReservedMs,
    deleteWhenHours: settings.deleteHours,
    diskMaxUsedPercent: Math.round(settings.diskMaxUsedRatio * 100),
    cleanFileForcibly: values.cleanFileForciblyEnable,
    pullLimits: {
      memoryBytes: values.maxTransferBytesOnMessageInMemory,
      memoryCount: values.maxTransferCountOnMessageInMemory,
      diskBytes: values.maxTransferBytesOnMessageInDisk,
      diskCount: values.maxTransferCountOnMessageInDisk
    }
  })
}
