import { authKeys } from './authKeys.ts'
import { brokerKeys } from './brokerKeys.ts'
import { clusterKeys } from './clusterKeys.ts'
import type { KeySpec, ValuesOf } from './keys.ts'
import { nettyKeys } from './nettyKeys.ts'
import { observationKeys } from './observationKeys.ts'
import { ownKeys } from './ownKeys.ts'
import { popKeys } from './popKeys.ts'
import { storageKeys } from './storageKeys.ts'
import { storeKeys } from './storeKeys.ts'

/** Every key that a broker's properties file may have. The table is the documentation: `mqbroker -p` prints it. */
export const configKeys = {
  ...brokerKeys,
  ...popKeys,
  ...clusterKeys,
  ...storeKeys,
  ...storageKeys,
  ...observationKeys,
  ...nettyKeys,
  ...authKeys,
  ...ownKeys
} as const

export type ConfigKey = keyof typeof configKeys

/** All settings by RocketMQ's names, in RocketMQ's units. */
export type ConfigValues = ValuesOf<typeof configKeys>

const specs = new Map<string, KeySpec>(Object.entries(configKeys))

/** What stands in the table about a key; undefined for an unknown one. Matching is exact, as in the original. */
export function keySpec(name: string): KeySpec | undefined {
  return specs.get(name)
}

export function defaultValues(): ConfigValues {
  const values: Record<string, boolean | number | string> = {}
  for (const [name, spec] of specs) values[name] = spec.default
  return values as ConfigValues
}
