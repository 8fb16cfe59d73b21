import { RequestCode, ResetOffsetBody, ResponseCode, response } from '../protocol/index.ts'
import { readBody } from './bodies.ts'
import { unknownGroup } from './callbacks.ts'
import type { ClientInstance } from './instance.ts'
import type { ResolvedPullOptions } from './pullConsumerOptions.ts'
import type { MessageQueue } from './queue.ts'
import { consumerStatusBody, idleQueueInfo, runningInfoBody } from './runningInfo.ts'
import type { Subscription } from './subscription.ts'

/** What brokers may want of a pull consumer; queues have their full names. */
export interface PullConsumerHooks {
  rebalance(): void
  /** Nothing happens for a queue that it does not read. */
  seek(queue: MessageQueue, offset: number): void
  queues(): readonly MessageQueue[]
  position(queue: MessageQueue): number | null
  subscriptions(): readonly Subscription[]
}

/** Answers what brokers ask of a pull consumer (remoting.md 2.10); it has no listener that could be handed a message. */
export function servePullConsumer(
  instance: ClientInstance,
  options: ResolvedPullOptions,
  hooks: PullConsumerHooks
): void {
  const { remoting } = instance.caller
  const { group } = options
  const startedMs = Math.round(instance.platform.clock.wallMs())

  remoting.onRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, command => {
    if (command.extFields?.['consumerGroup'] === group) hooks.rebalance()
    return null
  })

  remoting.onRequest(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, (command, connection) => {
    if (command.extFields?.['group'] !== group) return null
    const { offsetTable } = readBody(ResetOffsetBody, command.body, connection.remoteAddress)
    for (const [queue, offset] of offsetTable) hooks.seek(queue, offset)
    return null
  })

  remoting.onRequest(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, command => {
    if (command.extFields?.['group'] !== group) return unknownGroup(command, 'group')
    const topic = command.extFields['topic'] ?? ''
    const body = consumerStatusBody(hooks.queues(), topic, queue => hooks.position(queue))
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  remoting.onRequest(RequestCode.GET_CONSUMER_RUNNING_INFO, command => {
    if (command.extFields?.['consumerGroup'] !== group) {
      return unknownGroup(command, 'consumerGroup')
    }
    const body = runningInfoBody({
      ...options,
      instance,
      consumeType: 'CONSUME_ACTIVELY',
      orderly: false,
      concurrency: 1,
      startedMs,
      queues: hooks.queues().map(queue => [queue, idleQueueInfo(hooks.position(queue))]),
      stats: new Map(),
      subscriptions: hooks.subscriptions()
    })
    return response(ResponseCode.SUCCESS, null, null, body)
  })
}
