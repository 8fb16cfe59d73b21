import type { Platform } from '../../platform/index.ts'
import { ConfigFile } from './configFile.ts'
import { ConfigError, isWithoutEffect, parseConfig, parseValue } from './parse.ts'
import { compileSettings, type Settings } from './settings.ts'
import { type ConfigValues, keySpec } from './table.ts'

/** What came of a change at run time. */
export interface ConfigUpdate {
  /** Keys whose value is another one now and which take effect at once. */
  applied: string[]
  /** Keys that were stored but take effect at the next start only. */
  atNextStart: string[]
  /** Keys that were stored but on which nothing depends. */
  withoutEffect: string[]
  /** Keys that no table knows; the original ignores them. */
  unknown: string[]
  /** The new values as a file says them, by key. */
  changed: Map<string, string>
}

export type ConfigListener = (changed: readonly string[]) => void

/** A key is on the black list of UPDATE_BROKER_CONFIG (25): NO_PERMISSION. */
export class ConfigForbiddenError extends Error {
  readonly code = 'LMQ_CONFIG_FORBIDDEN'
  readonly key: string

  constructor(key: string) {
    super('Can not update config in black list.')
    this.name = 'ConfigForbiddenError'
    this.key = key
  }
}

/** Nothing here needs them, so nobody is shown what they hold. */
const secretKeys: readonly string[] = [
  'initAuthenticationUser',
  'innerClientAuthenticationCredentials',
  'objectStoreAccessKey',
  'objectStoreSecretKey'
]

const alwaysForbidden = ['brokerConfigPath', 'rocketmqHome', 'configBlackList']

/** The configuration of a running broker: all values by RocketMQ's names, and the settings made of them. */
export class LiveConfig {
  readonly values: ConfigValues
  settings: Settings
  /** Names in the file that no table knows. */
  readonly unknown: readonly string[]
  /** Names in the file with another value than their default, on which nothing depends. */
  readonly withoutEffect: readonly string[]
  /** As a DataVersion: changes since the start, and the time of the last one. */
  readonly version: { counter: number; timestampMs: number }
  /** The file that the launcher read (`brokerConfigPath` of `defaults`); null for a broker without one. */
  readonly file: ConfigFile | null
  readonly #platform: Platform
  readonly #listeners: ConfigListener[] = []

  /** `entries`: the properties file; `defaults`: what the launcher knows. Throws ConfigError. */
  constructor(
    entries: Iterable<readonly [string, string]>,
    defaults: Partial<ConfigValues>,
    platform: Platform
  ) {
    const parsed = parseConfig(entries, defaults)
    this.values = parsed.values
    this.unknown = parsed.unknown
    this.withoutEffect = parsed.withoutEffect
    this.#platform = platform
    this.file =
      defaults.brokerConfigPath === undefined
        ? null
        : new ConfigFile(defaults.brokerConfigPath, platform.disk)
    this.settings = compileSettings(this.values, platform)
    this.values.brokerName = this.settings.brokerName
    this.values.brokerIP1 = this.settings.publicHost
    this.values.brokerIP2 = this.settings.haHost
    this.values.storePathCommitLog = this.settings.logDirectory
    this.version = { counter: 0, timestampMs: platform.clock.wallMs() }
  }

  /** Told after each change with the names of the keys that are in effect now. */
  onChange(listener: ConfigListener): void {
    this.#listeners.push(listener)
  }

  /**
   * Changes values at run time (request 25). All or nothing: throws ConfigForbiddenError for a key of the black list,
   * ConfigError for a value that is not allowed or contradicts others.
   */
  update(entries: Iterable<readonly [string, string]>): ConfigUpdate {
    const changes: [string, boolean | number | string][] = []
    const result: ConfigUpdate = {
      applied: [],
      atNextStart: [],
      withoutEffect: [],
      unknown: [],
      changed: new Map()
    }
    const problems: string[] = []
    const forbidden = [...alwaysForbidden, ...this.values.configBlackList.split(';')]
    for (const [name, text] of entries) {
      if (forbidden.includes(name)) throw new ConfigForbiddenError(name)
      const spec = keySpec(name)
      if (spec === undefined) {
        result.unknown.push(name)
        continue
      }
      const parsed = parseValue(name, spec, text)
      if ('problem' in parsed) {
        problems.push(parsed.problem)
        continue
      }
      if ((this.values as unknown as Record<string, unknown>)[name] === parsed.value) continue
      changes.push([name, parsed.value])
      result.changed.set(name, String(parsed.value))
      if (spec.effect === 'now') result.applied.push(name)
      else if (spec.effect === 'start') result.atNextStart.push(name)
      else if (isWithoutEffect(spec, parsed.value)) result.withoutEffect.push(name)
    }
    if (problems.length > 0) throw new ConfigError(problems)
    if (changes.length === 0) return result
    this.#take(changes)
    if (result.applied.length > 0) for (const listener of this.#listeners) listener(result.applied)
    return result
  }

  #take(changes: readonly [string, boolean | number | string][]): void {
    const next = { ...this.values, ...Object.fromEntries(changes) } as ConfigValues
    const settings = compileSettings(next, this.#platform)
    Object.assign(this.values, next)
    // What is read at the start only stays as it was: the port is open, the directories are in use.
    this.settings = {
      ...this.settings,
      permission: settings.permission,
      registerTimeoutMs: settings.registerTimeoutMs,
      shutdownGraceMs: settings.shutdownGraceMs,
      traceOn: settings.traceOn,
      regionId: settings.regionId
    }
    this.version.counter++
    this.version.timestampMs = this.#platform.clock.wallMs()
  }

  /** `key=value` lines of all keys, sorted by name, as GET_BROKER_CONFIG (26) has them. `shown` replaces values, such as the present role. */
  lines(shown: Readonly<Record<string, string>> = {}): string {
    const lines: string[] = []
    for (const name of Object.keys(this.values).sort((a, b) => (a < b ? -1 : 1))) {
      const value = shown[name] ?? String((this.values as unknown as Record<string, unknown>)[name])
      const isSecret = value !== '' && secretKeys.includes(name)
      lines.push(`${name}=${isSecret ? '***' : value}\n`)
    }
    return lines.join('')
  }
}
