import { dirname } from 'node:path'
import type { Logger, Platform, Timer } from '../platform/index.ts'
import { writePropertiesFile } from '../protocol/index.ts'
import { RemotingServer } from '../remoting/index.ts'
import type { NamesrvConfig } from './config.ts'
import { configHandlers } from './configHandlers.ts'
import type { NameServerContext } from './context.ts'
import { kvHandlers } from './kvHandlers.ts'
import { KvTable } from './kvTable.ts'
import { registrationHandlers } from './registrationHandlers.ts'
import { routeHandlers } from './routeHandlers.ts'
import { RouteTable } from './routeTable.ts'

/**
 * A RocketMQ name server: brokers register here, clients ask where topics are (broker.md part 1). Name servers do not know each other.
 * Nothing is shared between instances, several live in one process.
 */
export class NameServer {
  readonly #config: NamesrvConfig
  readonly #platform: Platform
  readonly #log: Logger
  readonly #table: RouteTable
  #server: RemotingServer | null = null
  #kv: KvTable | null = null
  #scan: Timer | null = null
  #lastScanMs = 0
  #startedMs = 0
  #saving: Promise<void> = Promise.resolve()
  /** A save that has not begun: it takes along what changes until then. */
  #nextSave: Promise<void> | null = null

  constructor(config: NamesrvConfig, platform: Platform, logger: Logger) {
    this.#config = config
    this.#platform = platform
    this.#log = logger
    this.#table = new RouteTable({ deleteMissingTopics: () => config.deleteMissingTopics })
  }

  /** The port in use, also when 0 was configured; throws before `start()`. */
  get port(): number {
    if (this.#server === null) throw new Error('the name server is not started')
    return this.#server.port
  }

  get config(): NamesrvConfig {
    return this.#config
  }

  /** Rejects when it cannot listen or its KV file cannot be read. */
  async start(): Promise<void> {
    const { clock, network, disk } = this.#platform
    const config = this.#config
    for (const key of config.unknownKeys) this.#log.warn('Unknown configuration key', { key })
    for (const key of config.keysWithoutEffect) {
      this.#log.info('Configuration key has no effect here', { key })
    }
    this.#kv = await KvTable.open(disk, config.kvConfigPath)
    const server = new RemotingServer({
      clock,
      network,
      logger: this.#log,
      host: config.bindAddress,
      port: config.listenPort,
      limits: { idleMs: config.idleMs }
    })
    const context = this.#context(this.#kv)
    const handlers = [registrationHandlers, routeHandlers, kvHandlers, configHandlers]
    for (const make of handlers) {
      for (const [code, handler] of make(context)) server.handle(code, handler)
    }
    server.onClose((connection, reason) => {
      const lost = this.#table.connectionLost(connection)
      if (this.#server === null) return
      for (const { brokerName, brokerId, brokerAddr } of lost) {
        this.#log.warn('Broker channel destroyed', { brokerName, brokerId, brokerAddr, reason })
      }
    })
    await server.start()
    this.#server = server
    this.#startedMs = clock.monotonicMs()
    this.#lastScanMs = this.#startedMs
    this.#scheduleScan()
  }

  /** Resolves when all connections are closed and nothing is being written. */
  async stop(): Promise<void> {
    this.#scan?.cancel()
    this.#scan = null
    const server = this.#server
    this.#server = null
    await server?.stop()
    await this.#kv?.settled()
    await this.#saving.catch(() => {})
  }

  #context(kv: KvTable): NameServerContext {
    const { clock } = this.#platform
    return {
      config: this.#config,
      table: this.#table,
      kv,
      log: this.#log,
      nowMs: () => clock.monotonicMs(),
      ready: () => clock.monotonicMs() - this.#startedMs >= this.#config.serviceDelayMs,
      saveConfig: () => this.#saveSoon()
    }
  }

  /** Resolves when the configuration as it is now is on the disk. */
  #saveSoon(): Promise<void> {
    if (this.#nextSave !== null) return this.#nextSave
    const save = this.#saving
      .catch(() => {})
      .then(() => {
        this.#nextSave = null
        return this.#saveConfig()
      })
    this.#nextSave = save
    this.#saving = save
    return save
  }

  async #saveConfig(): Promise<void> {
    const path = this.#config.configStorePath
    const text = writePropertiesFile(this.#config.entries())
    await this.#platform.disk.makeDirectory(dirname(path))
    await this.#platform.disk.writeFileAtomic(path, Buffer.from(text, 'latin1'))
  }

  /** One at a time, so that a changed interval counts from the next scan on. */
  #scheduleScan(): void {
    this.#scan = this.#platform.clock.after(this.#config.scanIntervalMs, () => {
      this.#expire(this.#config.scanIntervalMs)
      this.#scheduleScan()
    })
  }

  #expire(intervalMs: number): void {
    const nowMs = this.#platform.clock.monotonicMs()
    const lateMs = nowMs - this.#lastScanMs - intervalMs
    this.#lastScanMs = nowMs
    if (lateMs > intervalMs) {
      // This process stood still; what brokers sent meanwhile waits in its sockets.
      this.#table.forgiveSilence(lateMs)
      return
    }
    for (const { member, silentMs, connection } of this.#table.expire(nowMs)) {
      const { brokerName, brokerId, brokerAddr } = member
      this.#log.warn('Broker expired', { brokerName, brokerId, brokerAddr, silentMs })
      connection?.close(`broker ${brokerAddr} expired`)
    }
  }
}
