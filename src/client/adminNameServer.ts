import {
  ClusterInfo,
  KVTable,
  parsePropertiesFile,
  RequestCode,
  ResponseCode,
  TopicList
} from '../protocol/index.ts'
import { brokerDataOf, readBody, readTopicRoute } from './bodies.ts'
import { badArgument, ClientError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { answerField } from './nameServers.ts'
import { compareText } from './queue.ts'
import type { BrokerData, TopicRoute } from './route.ts'

/** Clusters and broker groups as a name server has them now. */
export interface Clusters {
  /** Broker names of each cluster. */
  readonly clusters: ReadonlyMap<string, readonly string[]>
  readonly brokers: ReadonlyMap<string, BrokerData>
}

/** What name servers are asked: remoting.md 2.17. Questions go to one of them, changes to all. */
export class NameServerAdmin {
  readonly #instance: ClientInstance

  constructor(instance: ClientInstance) {
    this.#instance = instance
  }

  /** `host:port` of each name server that was given. */
  get addresses(): readonly string[] {
    return this.#instance.nameServers.addresses
  }

  /** GET_ROUTEINFO_BY_TOPIC (105). */
  async route(topic: string): Promise<TopicRoute> {
    const { address, command } = await this.#instance.nameServers.ask(
      RequestCode.GET_ROUTEINFO_BY_TOPIC,
      { topic, acceptStandardJsonOnly: true }
    )
    return readTopicRoute(topic, command.body, address)
  }

  /** GET_BROKER_CLUSTER_INFO (106). */
  async clusters(): Promise<Clusters> {
    const { nameServers } = this.#instance
    const { address, command } = await nameServers.ask(RequestCode.GET_BROKER_CLUSTER_INFO)
    const info = readBody(ClusterInfo, command.body, address)
    return {
      clusters: info.clusterAddrTable,
      brokers: new Map([...info.brokerAddrTable].map(([name, data]) => [name, brokerDataOf(data)]))
    }
  }

  /** The broker groups of one cluster, by name. Rejects with BAD_ARGUMENT when no name server knows it. */
  async clusterBrokers(cluster: string): Promise<BrokerData[]> {
    const { clusters, brokers } = await this.clusters()
    const names = clusters.get(cluster)
    if (names === undefined) {
      const known = [...clusters.keys()].join(', ') || 'none'
      throw badArgument(`the cluster ${cluster} is unknown to the name server (known: ${known})`)
    }
    return [...names]
      .sort(compareText)
      .map(name => brokers.get(name))
      .filter(data => data !== undefined)
  }

  /** GET_ALL_TOPIC_LIST_FROM_NAMESERVER (206). */
  async topics(): Promise<readonly string[]> {
    return this.#topicList(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER, {})
  }

  /** GET_TOPICS_BY_CLUSTER (224). */
  async topicsOfCluster(cluster: string): Promise<readonly string[]> {
    return this.#topicList(RequestCode.GET_TOPICS_BY_CLUSTER, { cluster })
  }

  /** GET_KV_CONFIG (101); null when there is no such entry. */
  async kv(namespace: string, key: string): Promise<string | null> {
    const { nameServers } = this.#instance
    const answer = await nameServers.call(RequestCode.GET_KV_CONFIG, { namespace, key })
    if (answer.command.code === ResponseCode.QUERY_NOT_FOUND) return null
    if (answer.command.code !== ResponseCode.SUCCESS) {
      throw new ClientError('REFUSED', answer.command.remark ?? 'the entry cannot be read', {
        responseCode: answer.command.code,
        address: answer.address
      })
    }
    return answer.command.extFields?.['value'] ?? null
  }

  /** GET_KVLIST_BY_NAMESPACE (219). */
  async kvList(namespace: string): Promise<ReadonlyMap<string, string>> {
    const { nameServers } = this.#instance
    const answer = await nameServers.ask(RequestCode.GET_KVLIST_BY_NAMESPACE, { namespace })
    return readBody(KVTable, answer.command.body, answer.address).table
  }

  /** PUT_KV_CONFIG (100), at every name server. */
  async putKv(namespace: string, key: string, value: string): Promise<void> {
    const { nameServers } = this.#instance
    await nameServers.askEach(RequestCode.PUT_KV_CONFIG, { namespace, key, value })
  }

  /** DELETE_KV_CONFIG (102), at every name server. */
  async deleteKv(namespace: string, key: string): Promise<void> {
    await this.#instance.nameServers.askEach(RequestCode.DELETE_KV_CONFIG, { namespace, key })
  }

  /** WIPE_WRITE_PERM_OF_BROKER (205) at one name server; the number of topics that changed. */
  async wipeWritePerm(nameServer: string, brokerName: string): Promise<number> {
    return this.#writePerm(nameServer, RequestCode.WIPE_WRITE_PERM_OF_BROKER, brokerName, 'wipe')
  }

  /** ADD_WRITE_PERM_OF_BROKER (327) at one name server; the number of topics that changed. */
  async addWritePerm(nameServer: string, brokerName: string): Promise<number> {
    return this.#writePerm(nameServer, RequestCode.ADD_WRITE_PERM_OF_BROKER, brokerName, 'add')
  }

  /** DELETE_TOPIC_IN_NAMESRV (216), at every name server. */
  async deleteTopic(topic: string, clusterName: string): Promise<void> {
    const { nameServers } = this.#instance
    await nameServers.askEach(RequestCode.DELETE_TOPIC_IN_NAMESRV, { topic, clusterName })
  }

  /** GET_NAMESRV_CONFIG (319) of one name server, in its order. */
  async config(nameServer: string): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#instance.caller.ask(nameServer, RequestCode.GET_NAMESRV_CONFIG)
    return parsePropertiesFile(answer.body?.toString('utf8') ?? '').entries
  }

  /** UPDATE_NAMESRV_CONFIG (318), at every name server. */
  async updateConfig(key: string, value: string): Promise<void> {
    const body = Buffer.from(`${key}=${value}\n`, 'utf8')
    await this.#instance.nameServers.askEach(RequestCode.UPDATE_NAMESRV_CONFIG, {}, { body })
  }

  async #topicList(code: number, fields: Record<string, string>): Promise<readonly string[]> {
    const { address, command } = await this.#instance.nameServers.ask(code, fields)
    return readBody(TopicList, command.body, address).topicList
  }

  async #writePerm(
    address: string,
    code: number,
    brokerName: string,
    verb: 'wipe' | 'add'
  ): Promise<number> {
    const command = await this.#instance.caller.ask(address, code, { brokerName })
    return Number(answerField({ address, command }, `${verb}TopicCount`))
  }
}
