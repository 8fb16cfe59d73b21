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

/**
 * UPDATE_BROKER_CONFIG (25): of this node only, all of the lines or none. Facts: remoting.md 2.15. Unlike the original it leaves the
 * properties file alone, which may lie in a repository or belong to somebody else: what shall outlive a restart is written there by hand.
 */
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
      broker.logger.info('Configuration changed until the next start', {
        applied: update.applied.join(' '),
        unknown: update.unknown.join(' '),
        by: caller.address
      })
      if (update.atNextStart.length > 0)
        broker.logger.warn('Read at the start only: set them in the file and restart', {
          keys: update.atNextStart.join(' ')
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
