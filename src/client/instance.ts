import type { Logger, Platform, Timer } from '../platform/index.ts'
import { type ConsumeFromWhere, HeartbeatData, RequestCode } from '../protocol/index.ts'
import { Caller } from './caller.ts'
import { asError, ClientError } from './errors.ts'
import { NameServers } from './nameServers.ts'
import { Namespace } from './namespace.ts'
import type { ResolvedOptions } from './options.ts'
import { anyAddress, LEADER_ID, leaderAddress, type TopicRoute } from './route.ts'
import { RouteTable } from './routeTable.ts'
import { type Subscription, subscriptionBody } from './subscription.ts'

/** A broker that dropped our connection is greeted again after this time. */
const GREET_AGAIN_MS = 1_000

/** What a heartbeat says of one consumer group (remoting.md 2.6). */
export interface ConsumerMembership {
  readonly group: string
  readonly consumeType: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY' | 'CONSUME_POP'
  readonly messageModel: 'CLUSTERING' | 'BROADCASTING'
  readonly consumeFrom: ConsumeFromWhere
  subscriptions(): readonly Subscription[]
}

/** Who this client is to the brokers. Both lists may grow after the start. */
export interface Membership {
  readonly producerGroup: string | null
  readonly consumer: ConsumerMembership | null
}

/**
 * What a producer, a consumer or an admin client stands on: connections, routes, heartbeats. Each has one of its
 * own, so that closing one never touches another.
 */
export class ClientInstance {
  readonly platform: Platform
  readonly logger: Logger
  readonly clientId: string
  readonly caller: Caller
  readonly namespace: Namespace
  readonly nameServers: NameServers
  readonly routes: RouteTable
  readonly #membership: Membership
  readonly #heartbeat: Timer
  /** Addresses that had our heartbeat and know us, so that closing says goodbye to them. */
  readonly #greeted = new Set<string>()
  #closed: boolean = false

  constructor(options: ResolvedOptions, membership: Membership) {
    const { platform, logger } = options
    this.platform = platform
    this.logger = logger
    const address = platform.network.hostAddresses()[0] ?? '127.0.0.1'
    const instance =
      options.instanceName ??
      `${platform.random.below(0x1_0000_0000).toString(36)}#${Math.round(platform.clock.wallMs())}`
    this.clientId = `${address}@${instance}`
    this.namespace = new Namespace(options.namespace)
    this.caller = new Caller(options)
    this.nameServers = new NameServers(options, this.caller)
    this.routes = new RouteTable(
      this.nameServers,
      platform.clock,
      logger,
      options.routePollIntervalMs
    )
    this.#membership = membership
    this.#heartbeat = platform.clock.every(options.heartbeatIntervalMs, () => this.heartbeatAll())
    this.routes.onChange((route, before) => this.#routeChanged(route, before))
    this.caller.remoting.onDisconnect(({ remoteAddress }) => this.#lost(remoteAddress))
  }

  get closed(): boolean {
    return this.#closed
  }

  /** The leader's address; the route is asked for again when none is known. Rejects with NO_LEADER. */
  async leader(topic: string, brokerName: string): Promise<string> {
    const known = leaderAddress(this.routes.broker(brokerName))
    if (known !== null) return known
    await this.routes.refresh(topic)
    const address = leaderAddress(this.routes.broker(brokerName))
    if (address === null) {
      throw new ClientError('NO_LEADER', `the broker group ${brokerName} has no leader at present`)
    }
    return address
  }

  /** The leader, or any replica while there is none. */
  async replica(topic: string, brokerName: string): Promise<string> {
    const known = leaderAddress(this.routes.broker(brokerName))
    if (known !== null) return known
    await this.routes.refresh(topic)
    const address = anyAddress(this.routes.broker(brokerName))
    if (address === null) {
      throw new ClientError('NO_LEADER', `no address of the broker group ${brokerName} is known`)
    }
    return address
  }

  /** Tells every broker of the known routes who we are; failures are logged. */
  heartbeatAll(): void {
    this.greetAll().catch(() => {})
  }

  /** The same, and resolves when each broker has answered or failed. */
  async greetAll(): Promise<void> {
    await Promise.all(this.#addresses().map(address => this.#greet(address)))
  }

  /** Resolves when every leader of the known routes was told who we are, or failed. */
  async introduce(): Promise<void> {
    const strangers = this.#addresses().filter(address => !this.#greeted.has(address))
    await Promise.all(strangers.map(address => this.#greet(address)))
  }

  /** Says goodbye to all brokers, then closes everything. May be called twice. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#heartbeat.cancel()
    this.routes.close()
    const { producerGroup, consumer } = this.#membership
    const fields = { clientID: this.clientId, producerGroup, consumerGroup: consumer?.group }
    await Promise.all(
      [...this.#greeted].map(address =>
        // A broker that is gone needs no goodbye.
        this.caller.call(address, RequestCode.UNREGISTER_CLIENT, fields).catch(() => {})
      )
    )
    await this.caller.close()
  }

  /** Consumers greet every replica, so that each can answer who is in the group; producers only leaders (remoting.md 5.5). */
  #addresses(): string[] {
    const found = new Set<string>()
    for (const broker of this.routes.brokers()) {
      for (const [id, address] of broker.addresses) {
        if (id === LEADER_ID || this.#membership.consumer !== null) found.add(address)
      }
    }
    return [...found]
  }

  async #greet(address: string): Promise<void> {
    const { producerGroup, consumer } = this.#membership
    if (this.#closed || (producerGroup === null && consumer === null)) return
    const body = HeartbeatData.encode({
      clientID: this.clientId,
      consumerDataSet:
        consumer === null
          ? []
          : [
              {
                consumeFromWhere: consumer.consumeFrom,
                consumeType: consumer.consumeType,
                groupName: consumer.group,
                messageModel: consumer.messageModel,
                subscriptionDataSet: consumer.subscriptions().map(subscriptionBody),
                unitMode: false
              }
            ],
      heartbeatFingerprint: 0,
      producerDataSet: producerGroup === null ? [] : [{ groupName: producerGroup }],
      withoutSub: false
    })
    try {
      await this.caller.ask(address, RequestCode.HEART_BEAT, {}, { body })
      this.#greeted.add(address)
    } catch (error) {
      if (this.#closed) return
      this.logger.warn('A heartbeat failed', { address, error: asError(error).message })
    }
  }

  /** The leader may be another now; and if the broker only restarted, it must hear of us again. */
  #lost(address: string): void {
    if (this.#closed) return
    this.routes.refreshAt(address)
    if (!this.#greeted.delete(address)) return
    this.platform.clock.after(GREET_AGAIN_MS, () => {
      if (this.#addresses().includes(address) && !this.#greeted.has(address)) {
        void this.#greet(address)
      }
    })
  }

  #routeChanged(route: TopicRoute, before: TopicRoute | null): void {
    const old = new Set(before?.brokers.flatMap(b => [...b.addresses.values()]) ?? [])
    const leadersBefore = new Set(before?.brokers.map(leaderAddress) ?? [])
    for (const broker of route.brokers) {
      for (const [id, address] of broker.addresses) {
        const wanted = id === LEADER_ID || this.#membership.consumer !== null
        const isNew = !old.has(address) || (id === LEADER_ID && !leadersBefore.has(address))
        if (wanted && isNew) void this.#greet(address)
      }
    }
    if (before !== null) {
      this.logger.info('A route changed', {
        topic: route.topic,
        leaders: route.brokers.map(b => `${b.brokerName}=${leaderAddress(b) ?? 'none'}`).join(' ')
      })
    }
  }
}
