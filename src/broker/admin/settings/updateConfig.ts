import {
  parsePropertiesFile,
  RequestCode,
  ResponseCode,
  response
} from '../../../protocol/index.ts'
import { ConfigError, ConfigForbiddenError } from '../../config/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { invalidParameter, success } from '../refusals.ts'

/** Body bytes: some hundred lines are more than all keys need. */
const bodyBytesMax = 65_536

/** UPDATE_BROKER_CONFIG (25): of this node only, all of the lines or none. Facts: remoting.md 2.15. */
export const updateConfig: Handler = {
  code: RequestCode.UPDATE_BROKER_CONFIG,
  needsLeader: false,
  handle(request, caller, broker) {
    const body = request.body
    if (body === null || body.length === 0) return success()
    if (body.length > bodyBytesMax)
      return invalidParameter(request, `${body.length} bytes of settings, at most ${bodyBytesMax}`)
    const { entries } = parsePropertiesFile(body.toString('utf8'))
    try {
      const update = broker.config.update(entries)
      broker.logger.info('Configuration changed', {
        applied: update.applied.join(' '),
        atNextStart: update.atNextStart.join(' '),
        unknown: update.unknown.join(' '),
        by: caller.address
      })
      return success()
    } catch (error) {
      if (error instanceof ConfigForbiddenError)
        return response(ResponseCode.NO_PERMISSION, error.message)
      if (error instanceof ConfigError) return invalidParameter(request, error.message)
      throw error
    }
  }
}
