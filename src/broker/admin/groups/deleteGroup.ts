import { optionalBoolean, RequestCode, requiredText } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/**
 * DELETE_SUBSCRIPTIONGROUP (207). Whether the offsets go too is `removeOffset` in 4.9 and `cleanOffset` in 5.3. A group that is not
 * there is no error.
 */
export const deleteGroup: Handler = {
  code: RequestCode.DELETE_SUBSCRIPTIONGROUP,
  needsLeader: true,
  async handle(request, caller, broker) {
    const group = requiredText(request.extFields, 'groupName')
    const cleanOffsets =
      optionalBoolean(request.extFields, 'removeOffset') === true ||
      optionalBoolean(request.extFields, 'cleanOffset') === true
    const { changed } = await broker.store.execute({ type: 'deleteGroup', group, cleanOffsets })
    if (cleanOffsets) broker.resets.forget({ group })
    await broker.forbidden.forget({ group })
    if (broker.config.values.autoDeleteUnusedStats) broker.stats.forgetGroup(group)
    if (changed)
      broker.logger.info('Subscription group deleted', { group, cleanOffsets, by: caller.address })
    return success()
  }
}
