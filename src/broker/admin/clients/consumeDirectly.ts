import { parseOffsetMessageId, RequestCode, requiredText } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { systemError } from '../refusals.ts'
import { relayToConsumer } from './relay.ts'

/**
 * CONSUME_MESSAGE_DIRECTLY (309): the message that the id names goes to one client, whose result goes back. The id's host may be any
 * member, since the log is the same on all of them.
 */
export const consumeDirectly: Handler = {
  code: RequestCode.CONSUME_MESSAGE_DIRECTLY,
  needsLeader: false,
  async handle(request, _caller, broker) {
    const fields = request.extFields
    const group = requiredText(fields, 'consumerGroup')
    const clientId = requiredText(fields, 'clientId')
    const messageId = requiredText(fields, 'msgId')
    const parsed = parseOffsetMessageId(messageId)
    const body = parsed === null ? null : await broker.store.messageAt(parsed.physicalOffset)
    if (body === null) return systemError(`can not find message by the id, ${messageId}`)
    return await relayToConsumer(
      { group, clientId },
      {
        code: request.code,
        fields: { ...fields, brokerName: broker.config.settings.brokerName },
        body
      },
      broker
    )
  }
}
