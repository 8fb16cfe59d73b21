import {
  ConsumeMessageDirectlyResult,
  type RemotingCommand,
  RequestCode,
  ResetOffsetBody,
  ResponseCode,
  response
} from '../protocol/index.ts'
import { readBody } from './bodies.ts'
import type { ConsumerGroup } from './group.ts'
import { callListener } from './listenerCall.ts'
import { queueKey } from './queue.ts'
import { readMessages } from './received.ts'
import { consumerStatusBody, pushRunningInfo, runningInfoBody } from './runningInfo.ts'

export interface BrokerRequestHooks {
  rebalance(): void
  /** New offsets by `queueKey`. */
  resetOffsets(offsets: ReadonlyMap<string, number>): void
}

/** Answers what brokers ask of a consumer: remoting.md 2.10. */
export function serveBrokerRequests(group: ConsumerGroup, hooks: BrokerRequestHooks): void {
  const { remoting } = group.instance.caller
  const startedMs = Math.round(group.instance.platform.clock.wallMs())
  const ours = (command: RemotingCommand, name: string): boolean =>
    command.extFields?.[name] === group.options.group

  remoting.onRequest(RequestCode.NOTIFY_CONSUMER_IDS_CHANGED, command => {
    if (ours(command, 'consumerGroup')) hooks.rebalance()
    return null
  })

  remoting.onRequest(RequestCode.RESET_CONSUMER_CLIENT_OFFSET, (command, connection) => {
    if (!ours(command, 'group')) return null
    const { offsetTable } = readBody(ResetOffsetBody, command.body, connection.remoteAddress)
    hooks.resetOffsets(new Map(offsetTable.map(([queue, offset]) => [queueKey(queue), offset])))
    return null
  })

  remoting.onRequest(RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT, command => {
    if (!ours(command, 'group')) return unknownGroup(command, 'group')
    const queues = [...group.queues.values()].map(process => process.queue)
    const body = consumerStatusBody(queues, command.extFields?.['topic'] ?? '', queue =>
      group.offsets.current(queue)
    )
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  remoting.onRequest(RequestCode.GET_CONSUMER_RUNNING_INFO, command => {
    if (!ours(command, 'consumerGroup')) return unknownGroup(command, 'consumerGroup')
    const body = runningInfoBody(pushRunningInfo(group, startedMs))
    return response(ResponseCode.SUCCESS, null, null, body)
  })

  remoting.onRequest(RequestCode.CONSUME_MESSAGE_DIRECTLY, command =>
    ours(command, 'consumerGroup')
      ? consumeDirectly(group, command)
      : unknownGroup(command, 'consumerGroup')
  )
}

const resultOf = {
  done: 'CR_SUCCESS',
  hold: 'CR_SUCCESS',
  later: 'CR_LATER',
  rollback: 'CR_ROLLBACK'
} as const

/** CONSUME_MESSAGE_DIRECTLY (309): an operator hands us one message; nothing of our offsets changes. */
async function consumeDirectly(
  group: ConsumerGroup,
  command: RemotingCommand
): Promise<RemotingCommand> {
  const message = readMessages(command.body, command.extFields?.['brokerName'] ?? '')[0]
  if (message === undefined) {
    return response(ResponseCode.SYSTEM_ERROR, 'the request carries no message')
  }
  const outcome = await callListener(group, message.queue, [message])
  const consumeResult =
    outcome.thrown === null ? resultOf[outcome.verdict] : ('CR_THROW_EXCEPTION' as const)
  const result = ConsumeMessageDirectlyResult.encode({
    autoCommit: true,
    consumeResult,
    order: group.options.orderly,
    ...(outcome.thrown === null ? {} : { remark: outcome.thrown }),
    spentTimeMills: Math.round(outcome.durationMs)
  })
  return response(ResponseCode.SUCCESS, null, null, result)
}

/** The original's words for a group that is not this client's. */
export function unknownGroup(command: RemotingCommand, name: string): RemotingCommand {
  const group = command.extFields?.[name] ?? ''
  return response(
    ResponseCode.SYSTEM_ERROR,
    `The Consumer Group <${group}> not exist in this client`
  )
}
