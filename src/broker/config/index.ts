export { ConfigFile, ConfigFileError } from './configFile.ts'
export { importantKeys } from './importantKeys.ts'
export type { KeySpec, KeyType } from './keys.ts'
export {
  ConfigForbiddenError,
  type ConfigListener,
  type ConfigUpdate,
  LiveConfig
} from './liveConfig.ts'
export { allowedValues, ConfigError, type ParsedConfig, parseConfig } from './parse.ts'
export { followerBrokerId, type PeerAddress } from './peers.ts'
export { compileSettings, type Settings } from './settings.ts'
export { type ConfigKey, type ConfigValues, configKeys, keySpec } from './table.ts'
