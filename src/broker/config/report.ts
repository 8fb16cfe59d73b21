import type { Logger } from '../../platform/index.ts'
import type { LiveConfig } from './liveConfig.ts'
import { nearestKey } from './nearestKey.ts'
import { keySpec } from './table.ts'

/**
 * Tells at the start what becomes of a file's keys that no code looks at: a warning for each that may be a typing error, and for each
 * that asks for something that is not here; one line for those whose value makes no difference.
 */
export function reportKeys(config: LiveConfig, logger: Logger): void {
  for (const key of config.unknown) warnOfUnknown(key, logger)
  reportWithoutEffect(config.withoutEffect, logger)
}

function warnOfUnknown(key: string, logger: Logger): void {
  const near = nearestKey(key)
  logger.warn(
    `Unknown key in the configuration: ${key}${near === null ? '' : `; did you mean ${near}?`}`,
    { key }
  )
}

/** Names of keys with a value that nothing depends on. */
export function reportWithoutEffect(names: readonly string[], logger: Logger): void {
  const plain: string[] = []
  for (const key of names) {
    const spec = keySpec(key)!
    if (spec.effect === 'missing')
      logger.warn(`Not honoured: ${key}. ${spec.doc}`, { key, as: String(spec.default) })
    else plain.push(key)
  }
  if (plain.length > 0) logger.info('Keys that make no difference here', { keys: plain.join(' ') })
}
