export { Broker } from './broker.ts'
export {
  allowedValues,
  ConfigError,
  ConfigForbiddenError,
  type ConfigKey,
  type ConfigUpdate,
  type ConfigValues,
  configKeys,
  importantKeys,
  type KeySpec,
  keySpec,
  LiveConfig,
  parseConfig,
  type Settings
} from './config/index.ts'
export { type BrokerOptions, openBroker } from './open.ts'
