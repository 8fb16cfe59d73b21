import {
  parseOffsetMessageId,
  RequestCode,
  ResponseCode,
  requiredText,
  response
} from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { Handler } from '../dispatch/handler.ts'
import { PromiseWaiter } from '../send/index.ts'
import { resumedMessage } from './halfMessage.ts'

const failed = 'Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed.'
const impossible = 'Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC.'

/** RESUME_CHECK_HALF_MESSAGE (323): an operator puts a given-up message back among the half messages, as a new one (broker.md 5.4). */
export const resumeCheck: Handler = {
  code: RequestCode.RESUME_CHECK_HALF_MESSAGE,
  needsLeader: true,
  async handle(request, _caller, broker) {
    const { store } = broker
    const id = parseOffsetMessageId(requiredText(request.extFields, 'msgId'))
    const bytes = id === null ? null : await store.messageAt(id.physicalOffset)
    const message = bytes === null ? null : resumedMessage(bytes, broker.storeHost)
    if (message === null) return response(ResponseCode.SYSTEM_ERROR, impossible)
    const waiter = new PromiseWaiter()
    const refused = store.append(message, waiter)
    if (refused === 'notLeader') throw new NotLeaderError(store.status().leaderId)
    if (refused !== null) return response(ResponseCode.SYSTEM_ERROR, failed)
    const outcome = await waiter.outcome
    return outcome.stored
      ? response(ResponseCode.SUCCESS)
      : response(ResponseCode.SYSTEM_ERROR, failed)
  }
}
