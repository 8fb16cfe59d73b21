import type { Handler } from '../../dispatch/handler.ts'
import { cleanExpiredQueues, cleanUnusedTopics, deleteExpiredLog } from './cleaning.ts'

export const storeAdminHandlers: readonly Handler[] = [
  cleanExpiredQueues,
  cleanUnusedTopics,
  deleteExpiredLog
]
