import type { Handler } from '../../dispatch/handler.ts'
import { queryConsumeQueue } from './queryConsumeQueue.ts'
import { queryMessage } from './queryMessage.ts'
import { viewMessage } from './viewMessage.ts'

export const messageAdminHandlers: readonly Handler[] = [
  viewMessage,
  queryMessage,
  queryConsumeQueue
]
