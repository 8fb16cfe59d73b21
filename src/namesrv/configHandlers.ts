import {
  configText,
  parsePropertiesFile,
  RequestCode,
  ResponseCode,
  response
} from '../protocol/index.ts'
import type { RequestHandler } from '../remoting/index.ts'
import { NamesrvConfigError } from './config.ts'
import type { NameServerContext } from './context.ts'

/** UPDATE_NAMESRV_CONFIG and GET_NAMESRV_CONFIG (broker.md 1.9). */
export function configHandlers(context: NameServerContext): [number, RequestHandler][] {
  const { config, log } = context
  const warnedOf = new Set<string>()

  const update: RequestHandler = async request => {
    if (request.body === null) return response(ResponseCode.SUCCESS)
    const { entries } = parsePropertiesFile(request.body.toString())
    const refused = config.refusedKey(entries)
    if (refused !== null) {
      log.warn('Configuration change refused', { key: refused })
      return response(ResponseCode.NO_PERMISSION, 'Can not update config in black list.')
    }
    try {
      for (const key of config.update(entries)) {
        if (warnedOf.has(key) || warnedOf.size >= UNKNOWN_KEYS_MAX) continue
        warnedOf.add(key)
        log.warn('Unknown configuration key ignored', { key: key.slice(0, 100) })
      }
    } catch (error) {
      if (!(error instanceof NamesrvConfigError)) throw error
      return response(ResponseCode.SYSTEM_ERROR, error.message)
    }
    await context.saveConfig()
    log.info('Configuration changed', { keys: [...entries.keys()].slice(0, 20).join(',') })
    return response(ResponseCode.SUCCESS)
  }

  return [
    [RequestCode.UPDATE_NAMESRV_CONFIG, update],
    [
      RequestCode.GET_NAMESRV_CONFIG,
      () => response(ResponseCode.SUCCESS, null, null, Buffer.from(configText(config.entries())))
    ]
  ]
}

const UNKNOWN_KEYS_MAX = 100
