import { RequestCode, requiredLong } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success, systemError } from '../refusals.ts'

/** VIEW_MESSAGE_BY_ID (33): asked of the address in the message's id, which may follow by now: every member answers (mqadmin.md 10). */
export const viewMessage: Handler = {
  code: RequestCode.VIEW_MESSAGE_BY_ID,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const offset = requiredLong(request.extFields, 'offset')
    const message = await broker.store.messageAt(offset)
    if (message === null) return systemError(`can not find message by the offset, ${offset}`)
    return success(message)
  }
}
