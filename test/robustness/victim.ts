import { monitorEventLoopDelay } from 'node:perf_hooks'
import process from 'node:process'
import { type Broker, LiveConfig, openBroker } from '../../src/broker/index.ts'
import { NameServer, NamesrvConfig } from '../../src/namesrv/index.ts'
import {
  BoundedLogger,
  createRealPlatform,
  type LogFields,
  type Logger
} from '../../src/platform/index.ts'
import type { VictimReport, VictimSettings } from './victimProcess.ts'

/**
 * A process with a name server and a group of brokers, for tests that do their worst to it. Answers each message of its
 * parent with a report; ends with its parent. Nothing is caught here: a rejection that nobody handles ends it, as it would in production.
 */
const settings = JSON.parse(process.argv[2]!) as VictimSettings
const KEPT_LINES_MAX = 40
const lines = { debug: 0, info: 0, warn: 0, error: 0 }
const errors: string[] = []
const warnings = new Map<string, number>()
let logBytes = 0

function log(level: keyof typeof lines, message: string, fields: LogFields = {}): void {
  const text = `${message} ${JSON.stringify(fields)}`
  lines[level] += 1
  if (level !== 'debug') logBytes += text.length
  if (level === 'error' && errors.length < KEPT_LINES_MAX) errors.push(text.slice(0, 2_000))
  if (level !== 'warn') return
  const reason = String(fields['reason'] ?? '').replaceAll(/\d+/g, 'N')
  const key =
    message === 'A request handler failed'
      ? `${message}: ${String(fields['error']).split('\n').slice(0, 3).join(' ')}`
      : `${message.replaceAll(/\d+/g, 'N')} ${reason}`.slice(0, 300)
  if (warnings.has(key) || warnings.size < KEPT_LINES_MAX)
    warnings.set(key, (warnings.get(key) ?? 0) + 1)
}

const counting: Logger = {
  debug: (message, fields) => log('debug', message, fields),
  info: (message, fields) => log('info', message, fields),
  warn: (message, fields) => log('warn', message, fields),
  error: (message, fields) => log('error', message, fields)
}

const platform = createRealPlatform()
// As a production process has it.
const logger = new BoundedLogger(counting, platform.clock)
const nameServer = new NameServer(
  NamesrvConfig.parse(
    new Map(
      Object.entries({
        listenPort: '0',
        bindAddress: '127.0.0.1',
        kvConfigPath: `${settings.directory}/kv/kvConfig.json`
      })
    ),
    {
      userHome: settings.directory,
      rocketmqHome: settings.directory,
      configFile: `${settings.directory}/namesrv.conf`
    }
  ),
  platform,
  logger
)
await nameServer.start()
/** Members of a group have their elections at the usual pace; one alone is its own leader at once. */
const quick = { raftTimings: { electionTimeoutMs: 300, electionJitterMs: 100, heartbeatMs: 50 } }
const { raftPorts } = settings
const dLegerPeers = raftPorts.map((port, n) => `n${n}-127.0.0.1:${port}`).join(';')
const opening = raftPorts.map((_, n) =>
  openBroker(
    new LiveConfig(entriesOf(n), {}, platform),
    platform,
    logger,
    raftPorts.length === 1 ? quick : {}
  )
)
const brokers = await Promise.all(opening)
await Promise.all(brokers.map(broker => broker.start()))

function entriesOf(member: number): [string, string][] {
  return Object.entries({
    brokerClusterName: 'victims',
    brokerName: 'victim',
    brokerIP1: '127.0.0.1',
    bindAddress: '127.0.0.1',
    listenPort: '0',
    namesrvAddr: `127.0.0.1:${nameServer.port}`,
    mappedFileSizeCommitLog: '67108864',
    tailCacheBytes: '8388608',
    flushDiskType: 'ASYNC_FLUSH',
    storePathRootDir: `${settings.directory}/n${member}`,
    enableDLegerCommitLog: 'true',
    enablePropertyFilter: 'true',
    dLegerGroup: 'victim',
    dLegerPeers,
    dLegerSelfId: `n${member}`,
    ...settings.broker
  })
}

function sum(of: (broker: Broker) => number): number {
  return brokers.reduce((total, broker) => total + of(broker), 0)
}

const loopDelay = monitorEventLoopDelay({ resolution: 10 })
loopDelay.enable()

function report(): VictimReport {
  // Its own garbage collection is no stall.
  const longestStallMs = loopDelay.max / 1e6
  loopDelay.reset()
  global.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    nameServerPort: nameServer.port,
    brokerPorts: brokers.map(broker => broker.server.port),
    ready: brokers.some(broker => broker.isLeader() && broker.topics.find('TBW102') !== undefined),
    rssBytes: rss,
    heapBytes: heapUsed + external,
    longestStallMs,
    lines: { ...lines },
    logBytes,
    errors: [...errors],
    warnings: [...warnings].map(([text, count]) => `${count} x ${text}`),
    connections: sum(broker => broker.server.connections.size),
    held: sum(broker => broker.holds.size),
    topics: brokers[0]!.store.tables.topics.size,
    groups: brokers[0]!.store.tables.groups.size
  }
}

process.on('message', () => process.send!(report()))
process.on('disconnect', () => process.exit(0))
process.send!(report())
