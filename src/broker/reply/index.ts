import type { Handler } from '../dispatch/handler.ts'
import type { SendPath } from '../send/index.ts'
import { relayedPush } from './push.ts'
import { replyHandlers } from './replyHandler.ts'

/** Request-reply (broker.md 5.5): replies from consumers, and their push through the member that has the asker. */
export function requestReplyHandlers(path: SendPath): Handler[] {
  return [...replyHandlers(path), relayedPush]
}
