import {
  parsePropertiesFile,
  RequestCode,
  ResponseCode,
  response
} from '../../../protocol/index.ts'
import {
  ConfigError,
  ConfigFileError,
  ConfigForbiddenError,
  type ConfigUpdate,
  reportWithoutEffect
} from '../../config/index.ts'
import type { BrokerContext } from '../../dispatch/context.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { invalidParameter, success } from '../refusals.ts'

/** Body bytes: some hundred lines are more than all keys need. */
const bodyBytesMax = 65_536

/**
 * UPDATE_BROKER_CONFIG (25): of this node only, all of the lines or none. Facts: remoting.md 2.15. The changed keys go into the file
 * given with `-c`; of a broker without one a change lasts until its next start.
 */
export const updateConfig: Handler = {
  code: RequestCode.UPDATE_BROKER_CONFIG,
  needsLeader: false,
  async handle(request, caller, broker) {
    const body = request.body
    if (body === null || body.length === 0) return success()
    if (body.length > bodyBytesMax)
      return invalidParameter(request, `${body.length} bytes of settings, at most ${bodyBytesMax}`)
    const { entries } = parsePropertiesFile(body.toString('utf8'))
    try {
      const update = broker.config.update(entries)
      await broker.config.file?.save(update.changed)
      logUpdate(broker, update, caller.address)
      return success()
    } catch (error) {
      if (error instanceof ConfigForbiddenError)
        return response(ResponseCode.NO_PERMISSION, error.message)
      if (error instanceof ConfigError) return invalidParameter(request, error.message)
      if (error instanceof ConfigFileError) {
        broker.logger.error(error.message, { keys: [...entries.keys()].join(' ') })
        return response(ResponseCode.SYSTEM_ERROR, error.message)
      }
      throw error
    }
  }
}

function logUpdate(broker: BrokerContext, update: ConfigUpdate, by: string): void {
  const { file } = broker.config
  broker.logger.info(
    file === null ? 'Configuration changed until the next start' : 'Configuration changed',
    {
      applied: update.applied.join(' '),
      unknown: update.unknown.join(' '),
      by,
      ...(file === null ? {} : { file: file.path })
    }
  )
  reportWithoutEffect(update.withoutEffect, broker.logger)
  if (update.atNextStart.length > 0)
    broker.logger.warn(
      file === null
        ? 'Read at the start only, and there is no file that keeps them'
        : 'Read at the start only: restart for them to take effect',
      { keys: update.atNextStart.join(' ') }
    )
}
