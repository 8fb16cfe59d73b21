export { type Blocks, collectedBlocks, ReusedBlocks } from './blocks.ts'
export { BoundedLogger } from './boundedLogger.ts'
export type { Clock, Timer } from './clock.ts'
export {
  APPEND_BLOCK_BYTES,
  appendBlockEnd,
  type Disk,
  type DiskFile,
  type DiskSpace,
  type FileInfo
} from './disk.ts'
export { allowGarbage } from './garbage.ts'
export type { Host } from './host.ts'
export { type LogFields, type Logger, silentLogger } from './logger.ts'
export { LOG_LEVELS, Logging, type LoggingOptions, type LogLevel } from './logging.ts'
export type { ConnectOptions, Listener, ListenOptions, Network, Socket } from './network.ts'
export { createRealPlatform, type Platform } from './platform.ts'
export type { Random } from './random.ts'
export { readOnlyDisk } from './readOnlyDisk.ts'
export { fill, type Reception } from './reception.ts'
