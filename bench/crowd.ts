import { type Platform, silentLogger } from '../src/platform/index.ts'
import {
  HeartbeatData,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  request,
  SubscriptionData
} from '../src/protocol/index.ts'
import { RemotingClient } from '../src/remoting/index.ts'

const TIMEOUT_MS = 60_000
const HEARTBEAT_MS = 30_000
const SUSPEND_MS = 15_000
/** Connections made at a time. */
const AT_ONCE = 64
const RETRY_MS = 1_000
const BEYOND_THE_END = '99999999'

export interface CrowdPlan {
  /** Of the broker, `host:port`. */
  address: string
  clients: number
  producerGroup: string
  /** Client `i` is a consumer of topic `i % topics` in group `i % groups`; with no group it is a producer only. */
  groups: number
  groupName: (i: number) => string
  topics: number
  topicName: (i: number) => string
  queues: number
}

/** Clients that do nothing but be there: a connection each, a heartbeat every 30 s, and as a consumer a pull that waits. */
export class Crowd {
  readonly #platform: Platform
  readonly #plan: CrowdPlan
  readonly #clients: RemotingClient[] = []
  readonly #timers: NodeJS.Timeout[] = []
  #ending = false

  constructor(platform: Platform, plan: CrowdPlan) {
    this.#platform = platform
    this.#plan = plan
  }

  /** Connects all; resolves to what their first heartbeats took, ms, the shortest first. */
  async connect(): Promise<number[]> {
    const { clients, groups } = this.#plan
    const tookMs: number[] = []
    for (let from = 0; from < clients; from += AT_ONCE) {
      const made = Array.from({ length: Math.min(AT_ONCE, clients - from) }, () => this.#client())
      tookMs.push(...(await Promise.all(made.map((client, i) => this.#beat(client, from + i)))))
      for (const [i, client] of made.entries()) {
        if (groups > 0) void this.#hold(client, from + i)
        const again = (): void => void this.#beat(client, from + i).catch(() => {})
        this.#timers.push(setInterval(again, HEARTBEAT_MS).unref())
      }
    }
    return tookMs.sort((a, b) => a - b)
  }

  async close(): Promise<void> {
    this.#ending = true
    for (const timer of this.#timers) clearInterval(timer)
    for (const client of this.#clients) await client.close()
  }

  #client(): RemotingClient {
    const { clock, network } = this.#platform
    const client = new RemotingClient({ clock, network, logger: silentLogger })
    this.#clients.push(client)
    return client
  }

  async #beat(client: RemotingClient, i: number): Promise<number> {
    const { producerGroup, groups, groupName, topics, topicName } = this.#plan
    const body = HeartbeatData.encode(
      HeartbeatData.of({
        clientID: `10.0.${i >> 8}.${i & 255}@${i}`,
        producerDataSet: [{ groupName: producerGroup }],
        consumerDataSet:
          groups === 0
            ? []
            : [
                {
                  groupName: groupName(i % groups),
                  consumeType: 'CONSUME_PASSIVELY',
                  messageModel: 'CLUSTERING',
                  consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
                  unitMode: false,
                  subscriptionDataSet: [
                    SubscriptionData.of({ topic: topicName(i % topics), subVersion: 1 })
                  ]
                }
              ]
      })
    )
    const startedMs = performance.now()
    const answer = await this.#ask(client, request(RequestCode.HEART_BEAT, null, body))
    if (answer.code !== ResponseCode.SUCCESS) {
      throw new Error(`heartbeat: ${answer.code} ${answer.remark}`)
    }
    return performance.now() - startedMs
  }

  async #hold(client: RemotingClient, i: number): Promise<void> {
    const { groups, groupName, topics, topicName, queues } = this.#plan
    const fields = {
      consumerGroup: groupName(i % groups),
      topic: topicName(i % topics),
      queueId: String(i % queues),
      queueOffset: BEYOND_THE_END,
      maxMsgNums: '32',
      sysFlag: '6',
      commitOffset: '0',
      suspendTimeoutMillis: String(SUSPEND_MS),
      subscription: '*',
      subVersion: '0',
      expressionType: 'TAG'
    }
    while (!this.#ending) {
      const pull = request(RequestCode.PULL_MESSAGE, fields)
      const answer = await this.#ask(client, pull).catch(() => null)
      if (answer?.code === ResponseCode.PULL_OFFSET_MOVED) {
        fields.queueOffset = answer.extFields?.['nextBeginOffset'] ?? '0'
      } else if (answer?.code !== ResponseCode.PULL_NOT_FOUND) {
        await new Promise(resolve => setTimeout(resolve, RETRY_MS).unref())
      }
    }
  }

  #ask(client: RemotingClient, command: RemotingCommand): Promise<RemotingCommand> {
    return client.invoke(this.#plan.address, command, TIMEOUT_MS)
  }
}
