import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { Admin } from '../../src/client/index.ts'
import { createRealPlatform } from '../../src/platform/index.ts'
import type { Load, Timing } from '../options.ts'
import {
  Children,
  freePorts,
  loadArgs,
  makeDirectory,
  pidArgs,
  runLoad,
  type System,
  type Target,
  until
} from '../system.ts'
import type { Report } from '../window.ts'

const exec = promisify(execFile)
export const VERSION = '4.9.7'
const NODES = 3
/** A broker also listens two below and one above the port that it is given. */
const PORTS_PER_BROKER = 4
const START_TIMEOUT_MS = 60_000
const CALL_TIMEOUT_MS = 2000
const CLUSTER = 'RaftCluster'
const QUEUES = 4
const LEADER_BROKER_ID = 0

/** The system's own start scripts open these to its mapped files, which Java 17 keeps closed otherwise. */
export const JAVA_17_FLAGS = [
  '--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED',
  '--add-opens=java.base/sun.nio.ch=ALL-UNNAMED',
  '--add-opens=java.base/java.nio=ALL-UNNAMED',
  '--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED'
]

/**
 * RocketMQ with DLedger: three brokers and a name server, from the artifacts in Maven Central. Its configuration is that of
 * the samples in its `conf/dledger`, which acknowledge when a majority has the message in memory, before any fsync.
 */
export class RocketMq implements System {
  readonly space = 'fresh'
  readonly name = `RocketMQ ${VERSION} DLedger, no fsync`
  readonly #children = new Children()
  #directory = ''
  #namesrvAddress = ''
  #admin: Admin | null = null
  readonly #pids = new Map<number, number>()

  async start(): Promise<string | null> {
    const classPath = await resolveClassPath()
    if ('reason' in classPath) return classPath.reason
    this.#directory = await makeDirectory('rocketmq')
    await writeLogging(this.#directory)
    const firstPort = await freePorts(NODES * PORTS_PER_BROKER + NODES + 1)
    const raftPort = firstPort + NODES * PORTS_PER_BROKER
    const namesrvPort = raftPort + NODES
    this.#namesrvAddress = `127.0.0.1:${namesrvPort}`

    const namesrvFile = join(this.#directory, 'namesrv.conf')
    await writeFile(
      namesrvFile,
      `listenPort=${namesrvPort}\nkvConfigPath=${this.#directory}/kvConfig.json\n`
    )
    this.#java(classPath.text, '512m', 'org.apache.rocketmq.namesrv.NamesrvStartup', namesrvFile)

    const peers = Array.from({ length: NODES }, (_, i) => `n${i}-127.0.0.1:${raftPort + i}`)
    for (let i = 0; i < NODES; i += 1) {
      const port = firstPort + i * PORTS_PER_BROKER + 2
      const file = join(this.#directory, `broker-n${i}.conf`)
      await writeFile(file, this.#config(i, port, this.#namesrvAddress, peers))
      const pid = this.#java(classPath.text, '1g', 'org.apache.rocketmq.broker.BrokerStartup', file)
      this.#pids.set(port, pid)
    }
    this.#admin = new Admin({
      nameServers: this.#namesrvAddress,
      platform: createRealPlatform(),
      callTimeoutMs: CALL_TIMEOUT_MS
    })
    await until(START_TIMEOUT_MS, () => this.#leaderPort())
    return null
  }

  async measure(load: Load, timing: Timing): Promise<Report> {
    const { address, leaderPid, followerPids } = await this.target()
    return runLoad('sendLoad.js', [
      ...['--address', address, '--topic', load.topic],
      ...['--batch', String(load.batch), '--queues', String(QUEUES)],
      ...loadArgs(load, timing),
      ...pidArgs(leaderPid, followerPids)
    ])
  }

  async target(): Promise<Target> {
    const leader = await until(START_TIMEOUT_MS, () => this.#leaderPort())
    return {
      nameServer: this.#namesrvAddress,
      address: `127.0.0.1:${leader}`,
      leaderPid: this.#pids.get(leader)!,
      followerPids: [...this.#pids].filter(([port]) => port !== leader).map(([, pid]) => pid)
    }
  }

  async stop(): Promise<void> {
    await this.#admin?.close()
    await this.#children.stop()
    if (this.#directory !== '') await rm(this.#directory, { recursive: true, force: true })
  }

  #java(classPath: string, heap: string, main: string, config: string): number {
    const args = [
      ...[`-Xms${heap}`, `-Xmx${heap}`, ...JAVA_17_FLAGS],
      ...[`-Duser.home=${this.#directory}`, '-cp', classPath, main, '-c', config]
    ]
    const env = { ROCKETMQ_HOME: this.#directory }
    const child = this.#children.spawn('java', args, `${config}.out`, env)
    return child.pid!
  }

  #config(i: number, port: number, namesrv: string, peers: readonly string[]): string {
    const store = join(this.#directory, `n${i}`)
    return `brokerClusterName=${CLUSTER}
brokerName=RaftNode00
brokerIP1=127.0.0.1
listenPort=${port}
namesrvAddr=${namesrv}
storePathRootDir=${store}
storePathCommitLog=${store}/commitlog
enableDLegerCommitLog=true
dLegerGroup=RaftNode00
dLegerPeers=${peers.join(';')}
dLegerSelfId=n${i}
sendMessageThreadPoolNums=16
`
  }

  async #leaderPort(): Promise<number | null> {
    const groups = await this.#admin!.nameServers.clusterBrokers(CLUSTER)
    for (const { addresses } of groups) {
      const port = Number(addresses.get(LEADER_BROKER_ID)?.split(':').at(-1))
      if (this.#pids.has(port)) return port
    }
    return null
  }
}

/** What was fetched or compiled once is kept here. */
export function mavenCache(): string {
  return join(
    process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
    `ledgermq-bench/rocketmq-${VERSION}`
  )
}

/** The class path, from a file in the cache or from Maven; or why there is none. */
export async function resolveClassPath(): Promise<{ text: string } | { reason: string }> {
  try {
    await exec('java', ['-version'])
  } catch {
    return { reason: 'no java on the PATH' }
  }
  const cache = mavenCache()
  const file = join(cache, 'classpath')
  const known = await readFile(file, 'utf8').catch(() => '')
  if (known !== '' && (await allReadable(known))) return { text: known }
  await mkdir(cache, { recursive: true })
  const pom = join(cache, 'pom.xml')
  await copyFile(join(process.cwd(), 'bench/peers/rocketmq.pom.xml'), pom)
  try {
    await exec('mvn', [
      ...['-q', '-B', '-f', pom, `-Drocketmq.version=${VERSION}`],
      'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath',
      `-Dmdep.outputFile=${file}`
    ])
  } catch (error) {
    const { stdout, code } = error as { stdout?: string; code?: number | string }
    if (code === 'ENOENT') return { reason: 'no mvn on the PATH, which fetches its artifacts' }
    return { reason: `Maven does not get its artifacts: ${stdout?.split('\n')[0] ?? error}` }
  }
  return { text: await readFile(file, 'utf8') }
}

/** Maven's repository may have been emptied meanwhile. */
async function allReadable(classPath: string): Promise<boolean> {
  const { disk } = createRealPlatform()
  const found = await Promise.all(classPath.split(delimiter).map(jar => disk.exists(jar)))
  return !found.includes(false)
}

/** Without these two files its processes do not start. */
export async function writeLogging(home: string): Promise<void> {
  await mkdir(join(home, 'conf'), { recursive: true })
  const text = `<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %p %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
`
  for (const name of ['logback_broker.xml', 'logback_namesrv.xml']) {
    await writeFile(join(home, 'conf', name), text)
  }
}
