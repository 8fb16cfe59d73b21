import { GetConsumerListByGroupResponseBody, RequestCode } from '../protocol/index.ts'
import { allocateQueues } from './allocation.ts'
import { readBody } from './bodies.ts'
import type { ResolvedConsumerOptions } from './consumerOptions.ts'
import { asError, ClientError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { compareText, type MessageQueue } from './queue.ts'
import { anyAddress, leaderAddress, subscribeQueues, type TopicRoute } from './route.ts'

/** What one topic's queues are after a rebalance; null: nothing can be said now, the old assignment stays. */
export type Assignment = readonly MessageQueue[] | null

/** What a division needs to know of a consumer. */
export interface DividedGroup {
  readonly instance: ClientInstance
  readonly options: Pick<ResolvedConsumerOptions, 'group' | 'clustering' | 'allocation'>
}

/** The queues of a topic that are ours, by the members that a broker knows (broker.md 4.7). */
export async function assignTopic(group: DividedGroup, topic: string): Promise<Assignment> {
  const { instance, options } = group
  try {
    const route = await instance.routes.get(topic)
    if (route === null) return null
    const queues = subscribeQueues(route)
    if (!options.clustering) return queues
    const members = await groupMembers(group, route)
    return members === null
      ? null
      : allocateQueues(options.allocation, instance.clientId, queues, members)
  } catch (error) {
    const fields = { group: options.group, topic, error: asError(error).message }
    if (error instanceof ClientError) {
      instance.logger.debug('The queues of a topic could not be divided now', fields)
    } else instance.logger.error('The allocation strategy failed: nothing changes', fields)
    return null
  }
}

/**
 * GET_CONSUMER_LIST_BY_GROUP (38). Null when no broker names any member, and also when the list lacks ourselves: a broker
 * that has just started has not heard of everyone yet, and giving up all queues for that would be wrong.
 */
async function groupMembers(
  group: DividedGroup,
  route: TopicRoute
): Promise<readonly string[] | null> {
  const { instance, options } = group
  const brokers = [...route.brokers].sort((a, b) => compareText(a.brokerName, b.brokerName))
  for (const broker of brokers) {
    const address = leaderAddress(broker) ?? anyAddress(broker)
    if (address === null) continue
    try {
      const answer = await instance.caller.ask(address, RequestCode.GET_CONSUMER_LIST_BY_GROUP, {
        consumerGroup: options.group
      })
      const form = GetConsumerListByGroupResponseBody
      const members = readBody(form, answer.body, address).consumerIdList
      if (members.includes(instance.clientId)) return members
    } catch (error) {
      instance.logger.debug('A broker did not name the members of the group', {
        group: options.group,
        address,
        error: asError(error).message
      })
    }
  }
  // Asked again soon, after everyone was told once more who we are.
  instance.heartbeatAll()
  instance.routes.refreshSoon(route.topic)
  return null
}
