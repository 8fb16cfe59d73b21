import {
  ConsumerOffsetSerializeWrapper,
  DelayOffsetSerializeWrapper,
  RequestCode
} from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/** GET_ALL_CONSUMER_OFFSET (43): the original's replicas copy it from their master; here it is for tools. */
export const allConsumerOffsets: Handler = {
  code: RequestCode.GET_ALL_CONSUMER_OFFSET,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const offsetTable = new Map<string, Map<number, number>>()
    for (const [key, queues] of broker.store.tables.offsets) offsetTable.set(key, new Map(queues))
    return success(ConsumerOffsetSerializeWrapper.encode({ offsetTable }))
  }
}

/** GET_ALL_DELAY_OFFSET (45): what was delivered of each delay level that was ever used. */
export const allDelayOffsets: Handler = {
  code: RequestCode.GET_ALL_DELAY_OFFSET,
  needsLeader: false,
  handle(_request, _caller, broker) {
    const offsetTable = new Map<number, number>()
    for (let level = 1; level <= broker.config.settings.delayLevelsMs.length; level++) {
      const offset = broker.store.tables.delayProgress(level)
      if (offset > 0) offsetTable.set(level, offset)
    }
    return success(DelayOffsetSerializeWrapper.encode({ offsetTable }))
  }
}
