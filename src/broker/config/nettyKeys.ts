import { booleanKey, intKey, type Keys, keysWithoutEffect, stringKey } from './keys.ts'

const threads = 'There are no such threads here.'
const buffers = 'Buffers are Node.js’.'
const client = 'Of the original’s outgoing connections.'

/** NettyServerConfig and NettyClientConfig, which share the broker's file (broker.md 2.2, 2.4). */
export const nettyKeys = {
  listenPort: intKey(10_911, 'start', 'Port for clients; 0 takes a free one.', 0, 65_535),
  bindAddress: stringKey('0.0.0.0', 'start', 'Address on which the port is opened.'),
  serverChannelMaxIdleTimeSeconds: intKey(
    120,
    'start',
    'A silent connection is closed after this, s.',
    1
  ),
  serverWorkerThreads: intKey(8, 'none', threads),
  serverCallbackExecutorThreads: intKey(0, 'none', threads),
  serverSelectorThreads: intKey(3, 'none', threads),
  serverOnewaySemaphoreValue: intKey(256, 'none', threads),
  serverAsyncSemaphoreValue: intKey(64, 'none', threads),
  serverSocketBacklog: intKey(1_024, 'none', buffers),
  serverSocketSndBufSize: intKey(0, 'none', buffers),
  serverSocketRcvBufSize: intKey(0, 'none', buffers),
  serverPooledByteBufAllocatorEnable: booleanKey(true, 'none', buffers),
  writeBufferHighWaterMark: intKey(0, 'none', buffers),
  writeBufferLowWaterMark: intKey(0, 'none', buffers),
  useEpollNativeSelector: booleanKey(false, 'none', threads),
  enableShutdownGracefully: booleanKey(
    false,
    'none',
    'A stop is always graceful; see shutdownGraceSeconds.'
  ),
  shutdownWaitTimeSeconds: intKey(30, 'none', 'See shutdownGraceSeconds.'),
  channelNotActiveInterval: intKey(60_000, 'none', client),
  clientAsyncSemaphoreValue: intKey(65_535, 'none', client),
  clientOnewaySemaphoreValue: intKey(65_535, 'none', client),
  clientCallbackExecutorThreads: intKey(2, 'none', client),
  clientChannelMaxIdleTimeSeconds: intKey(120, 'none', client),
  clientCloseSocketIfTimeout: booleanKey(true, 'none', client),
  clientPooledByteBufAllocatorEnable: booleanKey(false, 'none', client),
  clientSocketRcvBufSize: intKey(0, 'none', client),
  clientSocketSndBufSize: intKey(0, 'none', client),
  clientWorkerThreads: intKey(4, 'none', client),
  connectTimeoutMillis: intKey(3_000, 'none', client),
  useTLS: booleanKey(false, 'missing', 'TLS is not built yet.'),
  ...keysWithoutEffect(threads, { serverNettyWorkerGroupEnable: true }),
  ...keysWithoutEffect(client, {
    isScanAvailableNameSrv: true,
    scanAvailableNameSrv: true,
    socksProxyConfig: '{}',
    disableCallbackExecutor: false,
    disableNettyWorkerGroup: false,
    maxReconnectIntervalTimeSeconds: 60,
    enableReconnectForGoAway: true
  })
} as const satisfies Keys
