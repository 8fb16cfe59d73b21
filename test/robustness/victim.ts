import process from 'node:process'
import { LiveConfig, openBroker } from '../../src/broker/index.ts'
import { NameServer, NamesrvConfig } from '../../src/namesrv/index.ts'
import {
  BoundedLogger,
  createRealPlatform,
  type LogFields,
  type Logger
} from '../../src/platform/index.ts'
import type { VictimReport, VictimSettings } from './victimProcess.ts'

/**
 * A process with a name server and a broker that leads a group of one, for tests that do their worst to it. Answers each message of its
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
  const key = message === 'a request handler failed' ? text.slice(0, 1_000) : message.slice(0, 200)
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
const broker = await openBroker(
  new LiveConfig(
    Object.entries({
      brokerClusterName: 'victims',
      brokerName: 'victim',
      brokerIP1: '127.0.0.1',
      bindAddress: '127.0.0.1',
      listenPort: '0',
      namesrvAddr: `127.0.0.1:${nameServer.port}`,
      mappedFileSizeCommitLog: '67108864',
      tailCacheBytes: '8388608',
      flushDiskType: 'ASYNC_FLUSH',
      storePathRootDir: `${settings.directory}/store`,
      ...settings.broker
    }),
    {},
    platform
  ),
  platform,
  logger,
  { raftTimings: { electionTimeoutMs: 300, electionJitterMs: 100, heartbeatMs: 50 } }
)
await broker.start()

function report(): VictimReport {
  global.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    nameServerPort: nameServer.port,
    brokerPort: broker.server.port,
    ready: broker.isLeader() && broker.topics.find('TBW102') !== undefined,
    rssBytes: rss,
    heapBytes: heapUsed + external,
    lines: { ...lines },
    logBytes,
    errors: [...errors],
    warnings: [...warnings].map(([text, count]) => `${count} x ${text}`),
    connections: broker.server.connections.size,
    held: broker.holds.size,
    topics: broker.store.tables.topics.size,
    groups: broker.store.tables.groups.size
  }
}

process.on('message', () => process.send!(report()))
process.on('disconnect', () => process.exit(0))
process.send!(report())
