import type { Handler } from '../dispatch/handler.ts'
import { queryConsumerOffset } from './queryConsumerOffset.ts'
import { getEarliestStoreTime, getMaxOffset, getMinOffset, searchOffset } from './queueOffsets.ts'
import { updateConsumerOffset } from './updateConsumerOffset.ts'

export { CommitOrder } from './commitOrder.ts'
export { OffsetService } from './offsetService.ts'
export { PendingResets } from './pendingResets.ts'

export const offsetHandlers: readonly Handler[] = [
  queryConsumerOffset,
  updateConsumerOffset,
  searchOffset,
  getMaxOffset,
  getMinOffset,
  getEarliestStoreTime
]
