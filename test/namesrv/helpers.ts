import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { NameServer, NamesrvConfig } from '../../src/namesrv/index.ts'
import {
  createRealPlatform,
  type Disk,
  type Logger,
  silentLogger
} from '../../src/platform/index.ts'
import {
  type DataVersion,
  RegisterBrokerBody,
  type RemotingCommand,
  RequestCode,
  request,
  TopicConfig,
  TopicConfigSerializeWrapper,
  TopicRouteData
} from '../../src/protocol/index.ts'
import type { FakeClock } from '../helpers/fakeClock.ts'
import { RawPeer } from '../helpers/rawPeer.ts'

export interface Running {
  server: NameServer
  directory: string
  /** A client of its own; closed with the test. */
  connect(): Promise<RawPeer>
  stop(): Promise<void>
}

export async function startNameServer(
  t: Test,
  options: {
    settings?: Record<string, string>
    clock?: FakeClock
    disk?: Disk
    logger?: Logger
    directory?: string
  } = {}
): Promise<Running> {
  const directory = options.directory ?? t.testdir()
  const entries = new Map(
    Object.entries({
      listenPort: '0',
      bindAddress: '127.0.0.1',
      kvConfigPath: `${directory}/kv/kvConfig.json`,
      ...options.settings
    })
  )
  const config = NamesrvConfig.parse(entries, {
    userHome: directory,
    rocketmqHome: '/opt/rmq',
    configFile: `${directory}/namesrv.conf`
  })
  const platform = createRealPlatform()
  if (options.clock !== undefined) platform.clock = options.clock
  if (options.disk !== undefined) platform.disk = options.disk
  const server = new NameServer(config, platform, options.logger ?? silentLogger)
  await server.start()
  const { port } = server
  const peers: RawPeer[] = []
  const stop = async (): Promise<void> => {
    for (const peer of peers) peer.destroy()
    await server.stop()
  }
  t.teardown(stop)
  const connect = async (): Promise<RawPeer> => {
    const peer = await RawPeer.connect(port)
    peers.push(peer)
    return peer
  }
  return { server, directory, connect, stop }
}

let opaque = 1_000

export function ask(
  peer: RawPeer,
  code: number,
  fields: Record<string, string> | null = null,
  body: Buffer | string | null = null
): Promise<RemotingCommand> {
  const command = request(code, fields, typeof body === 'string' ? Buffer.from(body) : body)
  command.opaque = opaque++
  return peer.ask(command)
}

export interface BrokerClaim {
  id: number
  addr: string
  name?: string
  cluster?: string
  version?: Partial<DataVersion>
  topics?: Record<string, Partial<TopicConfig>>
  fields?: Record<string, string>
}

export function registration(claim: BrokerClaim): {
  fields: Record<string, string>
  body: Buffer
} {
  const body = RegisterBrokerBody.of({
    topicConfigSerializeWrapper: TopicConfigSerializeWrapper.of({
      dataVersion: { counter: 1, timestamp: 1, stateVersion: 0, ...claim.version },
      topicConfigTable: new Map(
        Object.entries(claim.topics ?? {}).map(([topicName, config]) => [
          topicName,
          TopicConfig.of({ topicName, readQueueNums: 4, writeQueueNums: 4, ...config })
        ])
      )
    })
  })
  const fields = {
    brokerName: claim.name ?? 'b',
    brokerAddr: claim.addr,
    clusterName: claim.cluster ?? 'C',
    haServerAddr: `${claim.addr}0`,
    brokerId: String(claim.id),
    compressed: 'false',
    bodyCrc32: '0',
    ...claim.fields
  }
  return { fields, body: RegisterBrokerBody.encode(body) }
}

export function register(peer: RawPeer, claim: BrokerClaim): Promise<RemotingCommand> {
  const { fields, body } = registration(claim)
  return ask(peer, RequestCode.REGISTER_BROKER, fields, body)
}

/** What a client sees of a topic: `id=address …` of its first broker, `perm queues`; or the error code. */
export async function seen(peer: RawPeer, topic: string): Promise<string> {
  const answer = await ask(peer, RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
  if (answer.code !== 0) return `code ${answer.code}`
  const { brokerDatas, queueDatas } = TopicRouteData.decode(answer.body)
  const ids = [...brokerDatas[0]!.brokerAddrs].map(([id, addr]) => `${id}=${addr}`).join(' ')
  const { perm, writeQueueNums } = queueDatas[0]!
  return `${ids} / perm ${perm} queues ${writeQueueNums}`
}

export interface Exchange {
  from: string
  header: string
  request: { header: RemotingCommand; frame: string; bodyText?: string }
  response: { header: RemotingCommand; frame: string; bodyText?: string } | null
}

export function recorded(name: string): Exchange[] {
  return JSON.parse(readFileSync(`test/vectors/remoting/${name}.json`, 'utf8')) as Exchange[]
}
