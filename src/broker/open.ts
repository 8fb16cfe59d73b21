import type { Logger, Platform } from '../platform/index.ts'
import { encodeHost, hostText } from '../protocol/index.ts'
import type { RaftTimings } from '../raft/index.ts'
import { RemotingClient, RemotingServer } from '../remoting/index.ts'
import { openStore, type Store, type StoreOptions } from '../store/index.ts'
import { Broker } from './broker.ts'
import { type LiveConfig, reportKeys } from './config/index.ts'

export interface BrokerOptions {
  /** Other timings of the Raft node than the usual, for tests. */
  raftTimings?: Partial<RaftTimings>
  /** Instead of [fileReservedTime], which is in hours; for simulations. */
  fileReservedMs?: number
  /** The broker stopped by itself and does not come back; a sentence with the reason. */
  onFatal?: (reason: string) => void
  /** Another state database than LevelDB, another way to the log's node: for simulations. */
  doors?: Pick<StoreOptions, 'openState' | 'openNode'>
}

/** Opens the store and the node; nothing is joined before `start()`. Rejects with the reason when one of them cannot be had. */
export async function openBroker(
  config: LiveConfig,
  platform: Platform,
  logger: Logger,
  options: BrokerOptions = {}
): Promise<Broker> {
  reportKeys(config, logger)
  const { settings } = config
  const client = new RemotingClient({ clock: platform.clock, network: platform.network, logger })
  const server = new RemotingServer({
    clock: platform.clock,
    network: platform.network,
    logger,
    host: settings.listenHost === '0.0.0.0' ? undefined : settings.listenHost,
    port: settings.listenPort,
    limits: { idleMs: settings.idleMs }
  })
  try {
    // The peers are told the port that clients use, so one that the system is to choose must be known before the node is opened.
    // Any other is opened when there is something to answer with.
    if (settings.listenPort === 0) await server.start()
    const port = settings.listenPort === 0 ? server.port : settings.listenPort
    const address = hostText({ address: settings.publicHost, port })
    const store = await openStoreFor(config, platform, logger, address, options)
    const broker = new Broker({
      platform,
      logger,
      config,
      store,
      server,
      client,
      address,
      storeHost: encodeHost(settings.storeAddress, port)
    })
    broker.install()
    return broker
  } catch (error) {
    await server.stop()
    await client.close()
    throw error
  }
}

function openStoreFor(
  config: LiveConfig,
  platform: Platform,
  logger: Logger,
  brokerAddress: string,
  options: BrokerOptions
): Promise<Store> {
  const { settings, values } = config
  return openStore({
    platform,
    logger,
    ...options.doors,
    directory: settings.rootDirectory,
    raft: {
      group: settings.raftGroup,
      selfId: settings.selfId,
      peers: settings.peers,
      segmentBytes: settings.segmentBytes,
      flushMode: settings.syncFlush ? 'sync' : 'async',
      flushIntervalMs: settings.flushIntervalMs,
      warmSegments: values.warmMapedFileEnable,
      preferredLeaderId: settings.preferredLeaderId,
      brokerAddress,
      tailCacheBytes: values.tailCacheBytes,
      snapshotBytesPerSecond: values.snapshotBytesPerSecond,
      ...(options.raftTimings === undefined ? {} : { timings: options.raftTimings }),
      onFatal: reason => {
        logger.error('The broker cannot go on', { reason })
        options.onFatal?.(reason)
      }
    },
    consumeQueueFileBytes: settings.consumeQueueFileBytes,
    scrubBytesPerSecond: values.scrubBytesPerSecond,
    scrubIntervalMs: values.scrubIntervalHours * 3_600_000,
    delayLevelsMs: settings.delayLevelsMs,
    fileReservedMs: options.fileReservedMs ?? settings.fileReservedMs,
    deleteWhenHours: settings.deleteHours,
    diskMaxUsedPercent: Math.round(settings.diskMaxUsedRatio * 100),
    diskForcePercent: settings.diskForcePercent,
    diskFullPercent: settings.diskFullPercent,
    cleanFileForcibly: values.cleanFileForciblyEnable,
    pullLimits: {
      memoryBytes: values.maxTransferBytesOnMessageInMemory,
      memoryCount: values.maxTransferCountOnMessageInMemory,
      diskBytes: values.maxTransferBytesOnMessageInDisk,
      diskCount: values.maxTransferCountOnMessageInDisk,
      memoryReachBytes: settings.memoryReachBytes,
      filterUnits: Math.max(1, Math.floor(values.maxFilterMessageSize / 20))
    }
  })
}
