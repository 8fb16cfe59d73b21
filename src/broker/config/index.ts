export { ConfigFile, ConfigFileError } from './configFile.ts'
export { importantKeys } from './importantKeys.ts'
export type { KeySpec } from './keys.ts'
export {
  ConfigForbiddenError,
  type ConfigUpdate,
  LiveConfig
} from './liveConfig.ts'
export { allowedValues, ConfigError, parseConfig } from './parse.ts'
export { reportKeys, reportWithoutEffect } from './report.ts'
export type { Settings } from './settings.ts'
export { type ConfigKey, type ConfigValues, configKeys, keySpec } from './table.ts'
