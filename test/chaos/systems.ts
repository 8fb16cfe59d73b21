import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { pathToFileURL } from 'node:url'
import {
  JAVA_17_FLAGS,
  resolveClassPath,
  VERSION,
  writeLogging
} from '../../bench/peers/rocketmq.ts'

export const CLUSTER = 'ChaosCluster'
export const BROKERS = ['n0', 'n1', 'n2'] as const
export const NAME_SERVERS = ['ns0', 'ns1'] as const
const GROUP = 'chaos'
const BROKER_PORT = 10_911
const RAFT_PORT = 40_911
const NAME_SERVER_PORT = 9876

export interface Place {
  /** Everything of the node lies below it. */
  directory: string
  /** Its data; what is harmed. */
  store: string
  address: string
}

export interface Command {
  program: string
  args: readonly string[]
  env: Readonly<Record<string, string>>
}

/** What is put to the test: how its processes are started, and where its log lies. */
export interface System {
  readonly name: string
  /** A member that cannot get its port within this has failed. */
  readonly startTimeoutMs: number
  /** Folders below a store that hold the replicated log. */
  logFolders(node: string): readonly string[]
  /** Writes the node's configuration and says how to start it. */
  prepare(node: string, places: ReadonlyMap<string, Place>): Promise<Command>
}

/** Where a broker of ours takes the orders of `inject.ts`. */
export function injectSocket(place: Place): string {
  return join(place.directory, 'inject.sock')
}

export function portOf(node: string): number {
  return node.startsWith('ns') ? NAME_SERVER_PORT : BROKER_PORT
}

export function nameServerList(places: ReadonlyMap<string, Place>): string {
  return NAME_SERVERS.map(name => `${places.get(name)?.address}:${NAME_SERVER_PORT}`).join(';')
}

export async function openSystem(
  name: string,
  flush: string,
  segmentBytes: number
): Promise<System> {
  if (name === 'ledgermq') return new LedgerMq(flush, segmentBytes)
  const classPath = await resolveClassPath()
  if ('reason' in classPath) throw new Error(`RocketMQ cannot be started: ${classPath.reason}.`)
  return new RocketMq(classPath.text, flush)
}

function nameServerConfig(place: Place): string {
  return `listenPort=${NAME_SERVER_PORT}\nkvConfigPath=${place.directory}/kvConfig.json\n`
}

function brokerConfig(
  node: string,
  places: ReadonlyMap<string, Place>,
  more: Readonly<Record<string, string | number>>
): string {
  const { store, address } = places.get(node)!
  const peers = BROKERS.map(id => `${id}-${places.get(id)?.address}:${RAFT_PORT}`)
  const entries = {
    brokerClusterName: CLUSTER,
    brokerName: GROUP,
    brokerIP1: address,
    listenPort: BROKER_PORT,
    namesrvAddr: nameServerList(places),
    storePathRootDir: store,
    storePathCommitLog: join(store, 'commitlog'),
    enableDLegerCommitLog: 'true',
    dLegerGroup: GROUP,
    dLegerPeers: peers.join(';'),
    dLegerSelfId: node,
    ...more
  }
  return Object.entries(entries)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

class LedgerMq implements System {
  readonly name = 'LedgerMQ'
  readonly startTimeoutMs = 90_000
  readonly #flush: string
  readonly #segmentBytes: number

  constructor(flush: string, segmentBytes: number) {
    this.#flush = flush
    this.#segmentBytes = segmentBytes
  }

  logFolders(): readonly string[] {
    return ['raft/data']
  }

  async prepare(node: string, places: ReadonlyMap<string, Place>): Promise<Command> {
    const place = places.get(node)!
    const root = process.cwd()
    const logs = join(place.directory, 'logs')
    await mkdir(logs, { recursive: true })
    const file = join(place.directory, 'conf')
    const inject = pathToFileURL(join(root, 'build/test/chaos/inject.js')).href
    const env = { ROCKETMQ_HOME: root, LEDGERMQ_LOG_DIR: logs }
    if (node.startsWith('ns')) {
      await writeFile(file, nameServerConfig(place))
      return { program: join(root, 'bin/mqnamesrv'), args: ['-c', file], env }
    }
    const more = {
      mappedFileSizeCommitLog: this.#segmentBytes,
      flushDiskType: this.#flush,
      // A full disk is to refuse sends, not to make room by deleting what the checkers look for.
      cleanFileForciblyEnable: 'false'
    }
    await writeFile(file, brokerConfig(node, places, more))
    return {
      program: join(root, 'bin/mqbroker'),
      args: ['-c', file],
      env: {
        ...env,
        LEDGERMQ_NODE_OPTIONS: `--import=${inject}`,
        LEDGERMQ_CHAOS_SOCKET: injectSocket(place)
      }
    }
  }
}

/** The original with DLedger, as its samples configure it. */
class RocketMq implements System {
  readonly name = `RocketMQ ${VERSION} DLedger`
  readonly startTimeoutMs = 120_000
  readonly #classPath: string
  readonly #flush: string

  constructor(classPath: string, flush: string) {
    this.#classPath = classPath
    this.#flush = flush
  }

  logFolders(node: string): readonly string[] {
    return [`dledger-${node}/data`]
  }

  async prepare(node: string, places: ReadonlyMap<string, Place>): Promise<Command> {
    const place = places.get(node)!
    await mkdir(place.directory, { recursive: true })
    await writeLogging(place.directory)
    const file = join(place.directory, 'conf.properties')
    const isNameServer = node.startsWith('ns')
    const more = { sendMessageThreadPoolNums: 16, flushDiskType: this.#flush }
    await writeFile(file, isNameServer ? nameServerConfig(place) : brokerConfig(node, places, more))
    const heap = isNameServer ? '256m' : '1g'
    const main = isNameServer ? 'namesrv.NamesrvStartup' : 'broker.BrokerStartup'
    return {
      program: 'java',
      args: [
        ...[`-Xms${heap}`, `-Xmx${heap}`, ...JAVA_17_FLAGS, `-Duser.home=${place.directory}`],
        ...['-cp', this.#classPath, `org.apache.rocketmq.${main}`, '-c', file]
      ],
      env: { ROCKETMQ_HOME: place.directory }
    }
  }
}
