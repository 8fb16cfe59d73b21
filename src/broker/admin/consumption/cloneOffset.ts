import {
  optionalBoolean,
  optionalText,
  RequestCode,
  ResponseCode,
  requiredText,
  response,
  retryTopic
} from '../../../protocol/index.ts'
import type { ConsumerOffset } from '../../../store/index.ts'
import type { Handler } from '../../dispatch/handler.ts'
import { success } from '../refusals.ts'

/**
 * CLONE_GROUP_OFFSET (314): another group's offsets of a topic, or of all its topics but its retries. Without `offline` a group that
 * consumes now hands on only what it subscribes.
 */
export const cloneOffset: Handler = {
  code: RequestCode.CLONE_GROUP_OFFSET,
  needsLeader: true,
  async handle(request, caller, broker) {
    const fields = request.extFields
    const from = requiredText(fields, 'srcGroup')
    const group = requiredText(fields, 'destGroup')
    const topic = optionalText(fields, 'topic') ?? ''
    const offline = optionalBoolean(fields, 'offline') === true
    if (broker.groups.findOrDefault(group) === undefined)
      return response(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, `Group ${group} does not exist`)
    const { store } = broker
    await store.flushOffsets()
    const live = offline ? undefined : broker.consumers.find(from)?.subscriptions
    const all = (): string[] =>
      store.tables.topicsOf(from).filter(name => name !== retryTopic(from))
    for (const name of topic === '' ? all() : [topic]) {
      if (broker.topics.find(name) === undefined) continue
      if (live !== undefined && live.size > 0 && !live.has(name)) continue
      const queues = store.tables.offsets.get(`${name}@${from}`) ?? new Map<number, number>()
      const offsets: ConsumerOffset[] = []
      for (const [queueId, offset] of queues) offsets.push({ group, topic: name, queueId, offset })
      if (offsets.length > 0) await store.execute({ type: 'setOffsets', offsets })
    }
    broker.logger.info('Consumer offsets cloned', { from, group, topic, by: caller.address })
    return success()
  }
}
