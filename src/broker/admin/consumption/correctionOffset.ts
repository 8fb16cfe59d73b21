import {
  optionalText,
  QueryCorrectionOffsetBody,
  RequestCode,
  requiredText
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** Stands for Long.MAX_VALUE: the compared group is behind, nothing is to be corrected. */
const nothingToCorrect = 2 ** 63

/**
 * QUERY_CORRECTION_OFFSET (308): by queue the smallest offset of the groups of a topic, without `filterGroups`. Unlike the original's
 * it deletes no offsets (broker.md 4.5).
 */
export const correctionOffset: Handler = {
  code: RequestCode.QUERY_CORRECTION_OFFSET,
  needsLeader: false,
  handle(request, _caller, broker) {
    const topic = requiredText(request.extFields, 'topic')
    const compareGroup = requiredText(request.extFields, 'compareGroup')
    const filtered = new Set((optionalText(request.extFields, 'filterGroups') ?? '').split(','))
    const { store } = broker
    const smallest = new Map<number, number>()
    for (const group of store.tables.groupsOf(topic)) {
      if (filtered.has(group)) continue
      for (const [queueId, offset] of store.tables.offsets.get(`${topic}@${group}`) ?? [])
        if (offset >= store.minOffset(topic, queueId))
          smallest.set(queueId, Math.min(offset, smallest.get(queueId) ?? offset))
    }
    for (const [queueId, offset] of smallest) {
      const compared = store.tables.consumerOffset(compareGroup, topic, queueId)
      if (compared >= 0 && compared < offset) smallest.set(queueId, nothingToCorrect)
    }
    return success(QueryCorrectionOffsetBody.encode({ correctionOffsets: smallest }))
  }
}
