import { BrokerAdmin } from './adminBroker.ts'
import { MessageAdmin } from './adminMessages.ts'
import { NameServerAdmin } from './adminNameServer.ts'
import { OffsetAdmin } from './adminOffsets.ts'
import { TopicAdmin } from './adminTopics.ts'
import { ClientError } from './errors.ts'
import { ClientInstance } from './instance.ts'
import { type ClientOptions, resolveOptions } from './options.ts'
import { anyAddress, leaderAddress, type TopicRoute } from './route.ts'
import { pause } from './sleeper.ts'

/** The original's tools wait this long. */
const ADMIN_TIMEOUT_MS = 5_000
const KNOWN_POLL_MS = 20

/**
 * What operators and tools ask of name servers and brokers, by subject. Calls that name a broker take its `host:port`;
 * `leaders` and `addresses` find them. Every call is one request unless its description says more.
 */
export class Admin {
  /** What name servers know and are told. */
  readonly nameServers: NameServerAdmin
  /** Single brokers: settings, statistics, house-keeping. */
  readonly brokers: BrokerAdmin
  /** Topics, groups, and who is connected. */
  readonly topics: TopicAdmin
  /** How far groups are, and what their members do. */
  readonly offsets: OffsetAdmin
  /** Messages by id, key and offset. */
  readonly messages: MessageAdmin
  readonly #instance: ClientInstance

  constructor(options: ClientOptions) {
    const resolved = resolveOptions({ callTimeoutMs: ADMIN_TIMEOUT_MS, ...options })
    // An operator's client is in no group, so it sends no heartbeats and no tool shows it as a member.
    this.#instance = new ClientInstance(resolved, { producerGroup: null, consumer: null })
    this.nameServers = new NameServerAdmin(this.#instance)
    this.brokers = new BrokerAdmin(this.#instance)
    this.topics = new TopicAdmin(this.#instance)
    this.offsets = new OffsetAdmin(this.#instance)
    this.messages = new MessageAdmin(this.#instance)
  }

  /** The topic's route as it is now. Rejects with response code 17 when no name server knows the topic. */
  async route(topic: string): Promise<TopicRoute> {
    return this.nameServers.route(topic)
  }

  /** Leaders of a cluster's broker groups, in the order of their names. Rejects when the cluster is unknown. */
  async leaders(cluster: string): Promise<string[]> {
    const groups = await this.nameServers.clusterBrokers(cluster)
    return groups.map(leaderAddress).filter(address => address !== null)
  }

  /** Every broker of a cluster. */
  async addresses(cluster: string): Promise<string[]> {
    const groups = await this.nameServers.clusterBrokers(cluster)
    return groups.flatMap(group => [...group.addresses.values()])
  }

  /** For each broker group of a topic the leader, or any replica where there is no leader. */
  async topicBrokers(topic: string): Promise<string[]> {
    const route = await this.route(topic)
    return route.brokers.map(anyAddress).filter(address => address !== null)
  }

  /** Makes the topic at the leaders of all of a cluster's broker groups, then waits until a name server knows it. */
  async createTopic(
    cluster: string,
    topic: string,
    settings: { queues?: number; perm?: number } = {}
  ): Promise<void> {
    const queues = settings.queues ?? 8
    for (const address of await this.leaders(cluster)) {
      await this.topics.put(address, {
        topicName: topic,
        readQueueNums: queues,
        writeQueueNums: queues,
        perm: settings.perm ?? 6
      })
    }
    await this.#untilKnown(topic)
  }

  /** Brokers tell name servers of a new topic some milliseconds after they made it. */
  async #untilKnown(topic: string): Promise<void> {
    const { clock } = this.#instance.platform
    const deadlineMs = clock.monotonicMs() + ADMIN_TIMEOUT_MS
    while ((await this.#instance.routes.refresh(topic)) === null) {
      if (clock.monotonicMs() >= deadlineMs) {
        throw new ClientError('NO_ROUTE', `no name server has heard of the new topic ${topic} yet`)
      }
      await pause(clock, KNOWN_POLL_MS)
    }
  }

  /** Deletes the topic at all leaders of the cluster and at all name servers. */
  async deleteTopic(cluster: string, topic: string): Promise<void> {
    for (const address of await this.leaders(cluster)) await this.topics.delete(address, topic)
    await this.nameServers.deleteTopic(topic, cluster)
  }

  /** A request of any code, for what has no method here. Rejects for every answer but SUCCESS. */
  async ask(
    address: string,
    code: number,
    fields: Record<string, string | number | boolean> = {},
    body: Buffer | null = null
  ): Promise<{ fields: Record<string, string>; body: Buffer | null; remark: string | null }> {
    const answer = await this.#instance.caller.ask(address, code, fields, { body })
    return { fields: answer.extFields ?? {}, body: answer.body, remark: answer.remark }
  }

  /** May be called twice. */
  close(): Promise<void> {
    return this.#instance.close()
  }
}
