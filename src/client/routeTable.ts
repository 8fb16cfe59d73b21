import type { Clock, Logger, Timer } from '../platform/index.ts'
import { RequestCode, ResponseCode } from '../protocol/index.ts'
import { readTopicRoute } from './bodies.ts'
import { asError, ClientError } from './errors.ts'
import type { NameServers } from './nameServers.ts'
import { type BrokerData, sameRoute, type TopicRoute } from './route.ts'

/** Topics that one client may know; the routes of further ones are fetched but not kept. */
const TOPICS_MAX = 10_000
/** A route younger than this is not asked for again, however many sends fail at the same time. */
const REFRESH_GAP_MS = 50

export type RouteListener = (route: TopicRoute, before: TopicRoute | null) => void

interface Known {
  route: TopicRoute
  askedMs: number
}

/**
 * Routes of the topics in use: polled, and asked for at once when a call failed. A name server that does not
 * answer, or does not know a topic any more, takes no known route away (remoting.md 5.9).
 */
export class RouteTable {
  readonly #nameServers: NameServers
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #known = new Map<string, Known>()
  readonly #watched = new Set<string>()
  readonly #asking = new Map<string, Promise<TopicRoute | null>>()
  readonly #listeners: RouteListener[] = []
  readonly #brokers = new Map<string, BrokerData>()
  readonly #poll: Timer

  constructor(nameServers: NameServers, clock: Clock, logger: Logger, pollIntervalMs: number) {
    this.#nameServers = nameServers
    this.#clock = clock
    this.#logger = logger
    this.#poll = clock.every(pollIntervalMs, () => this.refreshAll())
  }

  onChange(listener: RouteListener): void {
    this.#listeners.push(listener)
  }

  /** The topic's route is polled from now on, also while nobody knows one. */
  watch(topic: string): void {
    if (this.#watched.size < TOPICS_MAX) this.#watched.add(topic)
  }

  known(topic: string): TopicRoute | null {
    return this.#known.get(topic)?.route ?? null
  }

  /** The known route, else the name server's; null when the topic does not exist. Rejects when no name server answers. */
  async get(topic: string): Promise<TopicRoute | null> {
    return this.known(topic) ?? (await this.refresh(topic))
  }

  broker(brokerName: string): BrokerData | undefined {
    return this.#brokers.get(brokerName)
  }

  /** Every broker group that some route names now; one that is in no route any more is not among them. */
  brokers(): readonly BrokerData[] {
    const named = new Set<string>()
    for (const { route } of this.#known.values()) {
      for (const broker of route.brokers) named.add(broker.brokerName)
    }
    return [...this.#brokers.values()].filter(broker => named.has(broker.brokerName))
  }

  /** Asks the name server; calls at the same time share one question. Null when it knows no such topic and none was known. */
  refresh(topic: string): Promise<TopicRoute | null> {
    const known = this.#known.get(topic)
    if (known !== undefined && this.#clock.monotonicMs() - known.askedMs < REFRESH_GAP_MS) {
      return Promise.resolve(known.route)
    }
    const running = this.#asking.get(topic)
    if (running !== undefined) return running
    const asking = this.#ask(topic).finally(() => this.#asking.delete(topic))
    this.#asking.set(topic, asking)
    return asking
  }

  /** Asks for all topics in use; failures are logged, the known routes stay. */
  refreshAll(): void {
    for (const topic of new Set([...this.#known.keys(), ...this.#watched])) this.refreshSoon(topic)
  }

  /** A connection to this address was lost: ask for the topics that live there. */
  refreshAt(address: string): void {
    for (const [topic, { route }] of this.#known) {
      if (route.brokers.some(b => [...b.addresses.values()].includes(address))) {
        this.refreshSoon(topic)
      }
    }
  }

  refreshSoon(topic: string): void {
    this.refresh(topic).catch((error: unknown) => {
      this.#logger.warn('The route of a topic could not be refreshed', {
        topic,
        error: asError(error).message
      })
    })
  }

  close(): void {
    this.#poll.cancel()
    this.#listeners.length = 0
  }

  async #ask(topic: string): Promise<TopicRoute | null> {
    const { address, command } = await this.#nameServers.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, {
      topic,
      acceptStandardJsonOnly: true
    })
    const before = this.known(topic)
    if (command.code === ResponseCode.TOPIC_NOT_EXIST) return before
    if (command.code !== ResponseCode.SUCCESS) {
      throw new ClientError('REFUSED', command.remark ?? `code ${command.code}`, {
        responseCode: command.code,
        address
      })
    }
    const route = readTopicRoute(topic, command.body, address)
    if (this.#known.size < TOPICS_MAX || this.#known.has(topic)) {
      this.#known.set(topic, { route, askedMs: this.#clock.monotonicMs() })
    }
    for (const broker of route.brokers) this.#brokers.set(broker.brokerName, broker)
    if (before === null || !sameRoute(before, route)) {
      for (const listener of this.#listeners) listener(route, before)
    }
    return route
  }
}
