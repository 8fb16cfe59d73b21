import { RequestCode } from '../../../protocol/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/**
 * CLEAN_EXPIRED_CONSUMEQUEUE (306): units of what the log no longer holds go with the decision that trims the log, in one place
 * (raft.md 4.10). So nothing expired is ever left to clean, and the answer is 0 as with the original when it found nothing.
 */
export const cleanExpiredQueues: Handler = {
  code: RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE,
  needsLeader: false,
  handle() {
    return success()
  }
}

/** CLEAN_UNUSED_TOPIC (316): queues and offsets of topics that have no settings go, in log order. */
export const cleanUnusedTopics: Handler = {
  code: RequestCode.CLEAN_UNUSED_TOPIC,
  needsLeader: true,
  async handle(_request, caller, broker) {
    for (const topic of broker.store.topicsWithQueues()) {
      if (broker.topics.find(topic) !== undefined || broker.topics.isSystem(topic)) continue
      await broker.store.execute({ type: 'deleteTopic', topic })
      broker.logger.info('Queues of an unused topic deleted', { topic, by: caller.address })
    }
    return success()
  }
}

/** DELETE_EXPIRED_COMMITLOG (329): the expired part of the log goes now, whatever the hour. */
export const deleteExpiredLog: Handler = {
  code: RequestCode.DELETE_EXPIRED_COMMITLOG,
  needsLeader: true,
  async handle(_request, caller, broker) {
    const deleted = await broker.store.cleanExpired()
    broker.logger.info('Expired log asked to go', { deleted, by: caller.address })
    return success()
  }
}
