import root, { type Test } from 'tap'
import { type Broker, LiveConfig, openBroker } from '../../src/broker/index.ts'
import {
  createRealPlatform,
  type Logger,
  type Platform,
  silentLogger
} from '../../src/platform/index.ts'
import {
  decodeStoredMessages,
  HeartbeatData,
  propertiesText,
  type RemotingCommand,
  RequestCode,
  request,
  type SendFields,
  type StoredMessage,
  SubscriptionData,
  sendExtFields
} from '../../src/protocol/index.ts'
import { RemotingClient } from '../../src/remoting/index.ts'
import type { Mortal } from '../raft/node/mortal.ts'

export const platform = createRealPlatform()

export type Settings = Partial<Record<string, string>>

/** A broker that needs little of everything. */
export const small: Settings = {
  brokerClusterName: 'C',
  brokerName: 'b',
  brokerIP1: '127.0.0.1',
  bindAddress: '127.0.0.1',
  listenPort: '0',
  mappedFileSizeCommitLog: '8388608',
  tailCacheBytes: '4194304',
  flushDiskType: 'ASYNC_FLUSH',
  shutdownGraceSeconds: '5'
}

let rootDirectory: string | null = null
let directories = 0

/** A directory that outlives the test's teardown, in which its brokers stop. */
export function newDirectory(): string {
  rootDirectory ??= root.testdir()
  return `${rootDirectory}/${directories++}`
}

/** A broker of its own directory; stopped with the test. */
export async function startBroker(
  t: Test,
  settings: Settings = {},
  logger: Logger = silentLogger,
  host: Platform = platform
): Promise<Broker> {
  const directory = settings['storePathRootDir'] ?? newDirectory()
  const entries = Object.entries({ ...small, storePathRootDir: directory, ...settings })
  const config = new LiveConfig(entries, {}, host)
  const broker = await openBroker(config, host, logger, {
    raftTimings: { electionTimeoutMs: 300, electionJitterMs: 100, heartbeatMs: 50 }
  })
  t.teardown(() => (killed.has(broker) ? undefined : halt(broker)))
  await broker.start()
  return broker
}

const killed = new WeakSet<Broker>()

/** As `kill -9`; the broker was started on this platform. */
export async function kill(broker: Broker, mortal: Mortal): Promise<void> {
  killed.add(broker)
  await mortal.kill()
}

/** Stops without waiting for clients. */
export async function halt(broker: Broker): Promise<void> {
  const stopped = broker.stop()
  void broker.stop()
  await stopped
}

/** Resolves when the broker takes writes and has its own topics. */
export function serving(broker: Broker): Promise<void> {
  return until(() => broker.isLeader() && broker.topics.find('TBW102') !== undefined)
}

/** Looks each 5 ms; for what has no event to wait for. */
export async function until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const endMs = platform.clock.monotonicMs() + timeoutMs
  while (!condition()) {
    if (platform.clock.monotonicMs() > endMs)
      throw new Error(`not within ${timeoutMs} ms: ${condition}`)
    await new Promise<void>(resolve => {
      platform.clock.after(5, resolve)
    })
  }
}

/** What a client asks a broker, over one connection of its own. */
export class TestClient {
  readonly remoting: RemotingClient
  readonly id: string
  address: string
  version = 409
  serializeType = 0

  constructor(t: Test, address: string, id = 'client-1') {
    this.address = address
    this.id = id
    this.remoting = new RemotingClient({
      clock: platform.clock,
      network: platform.network,
      logger: silentLogger
    })
    t.teardown(() => this.remoting.close())
  }

  command(
    code: number,
    fields: Record<string, string | number | boolean> | null = null,
    body: Buffer | null = null
  ): RemotingCommand {
    const ext =
      fields === null
        ? null
        : Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, String(value)]))
    const command = request(code, ext, body)
    command.version = this.version
    command.serializeType = this.serializeType
    return command
  }

  ask(
    code: number,
    fields: Record<string, string | number | boolean> | null = null,
    body: Buffer | null = null,
    timeoutMs = 10_000
  ): Promise<RemotingCommand> {
    return this.remoting.invoke(this.address, this.command(code, fields, body), timeoutMs)
  }

  oneway(code: number, fields: Record<string, string | number | boolean>): Promise<void> {
    return this.remoting.oneway(this.address, this.command(code, fields))
  }

  sendFields(
    topic: string,
    given: Partial<SendFields> & { tags?: string; props?: Record<string, string> } = {}
  ): Record<string, string> {
    const { tags, props, ...rest } = given
    const properties = { ...(tags === undefined ? {} : { TAGS: tags }), ...props }
    return sendExtFields({
      producerGroup: 'PG',
      topic,
      defaultTopic: 'TBW102',
      defaultTopicQueueNums: 4,
      queueId: 0,
      sysFlag: 0,
      bornTimestamp: 1_700_000_000_000,
      flag: 0,
      properties: propertiesText(Object.entries(properties)),
      reconsumeTimes: 0,
      unitMode: false,
      maxReconsumeTimes: null,
      batch: false,
      brokerName: 'b',
      ...rest
    })
  }

  send(
    topic: string,
    body: string | Buffer,
    given: Parameters<TestClient['sendFields']>[1] = {}
  ): Promise<RemotingCommand> {
    return this.ask(
      RequestCode.SEND_MESSAGE_V2,
      this.sendFields(topic, given),
      typeof body === 'string' ? Buffer.from(body) : body
    )
  }

  pull(
    topic: string,
    queueId: number,
    offset: number,
    given: {
      group?: string
      max?: number
      sysFlag?: number
      commitOffset?: number
      suspendMs?: number
      subscription?: string | null
      subVersion?: number
      expressionType?: string
      code?: number
    } = {}
  ): Promise<RemotingCommand> {
    const subscription = given.subscription === undefined ? '*' : given.subscription
    return this.ask(given.code ?? RequestCode.PULL_MESSAGE, {
      consumerGroup: given.group ?? 'G',
      topic,
      queueId,
      queueOffset: offset,
      maxMsgNums: given.max ?? 32,
      sysFlag: (given.sysFlag ?? 0) | (subscription === null ? 0 : 4),
      commitOffset: given.commitOffset ?? 0,
      suspendTimeoutMillis: given.suspendMs ?? 0,
      ...(subscription === null ? {} : { subscription }),
      subVersion: given.subVersion ?? 0,
      expressionType: given.expressionType ?? 'TAG'
    })
  }

  /** The messages of a queue from an offset on. */
  async read(topic: string, queueId: number, offset = 0): Promise<StoredMessage[]> {
    const answer = await this.pull(topic, queueId, offset)
    return answer.body === null ? [] : decodeStoredMessages(answer.body)
  }

  heartbeat(
    group: string,
    topics: Record<string, { expression?: string; version?: number; type?: string }>,
    given: {
      messageModel?: 'BROADCASTING' | 'CLUSTERING'
      consumeType?: 'CONSUME_ACTIVELY' | 'CONSUME_PASSIVELY'
      producers?: string[]
    } = {}
  ): Promise<RemotingCommand> {
    const body = HeartbeatData.encode(
      HeartbeatData.of({
        clientID: this.id,
        producerDataSet: (given.producers ?? []).map(groupName => ({ groupName })),
        consumerDataSet: [
          {
            groupName: group,
            consumeType: given.consumeType ?? 'CONSUME_PASSIVELY',
            messageModel: given.messageModel ?? 'CLUSTERING',
            consumeFromWhere: 'CONSUME_FROM_LAST_OFFSET',
            unitMode: false,
            subscriptionDataSet: Object.entries(topics).map(([topic, subscription]) =>
              SubscriptionData.of({
                topic,
                subString: subscription.expression ?? '*',
                subVersion: subscription.version ?? 1,
                expressionType: subscription.type ?? 'TAG'
              })
            )
          }
        ]
      })
    )
    return this.ask(RequestCode.HEART_BEAT, null, body)
  }
}
