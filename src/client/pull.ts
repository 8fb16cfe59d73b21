import { PullSysFlag, type RemotingCommand, RequestCode, ResponseCode } from '../protocol/index.ts'
import { numberField } from './caller.ts'
import { ClientError, refused } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import type { MessageQueue } from './queue.ts'
import { type ReceivedMessage, readMessages } from './received.ts'
import { anyAddress, LEADER_ID } from './route.ts'
import type { Subscription } from './subscription.ts'

/** A call may take this much longer than the broker holds it: scan of held pulls plus transport (remoting.md 2.4). */
const ANSWER_MARGIN_MS = 15_000

export interface PullOptions {
  readonly group: string
  readonly queue: MessageQueue
  readonly offset: number
  readonly maxMessages: number
  readonly subscription: Subscription
  /** The broker waits so long for a message; 0: it answers at once. */
  readonly suspendMs: number
  /** The group's offset to store along the way; null: none. */
  readonly commitOffset: number | null
  /** Broker id that the last answer suggested; 0 is the leader. */
  readonly brokerId: number
}

/** What one pull brought. */
export interface PullResult {
  /** `offsetIllegal`: go on at `nextOffset`, what was asked for does not exist. */
  readonly status: 'found' | 'noNewMessage' | 'noMatchedMessage' | 'offsetIllegal'
  /** In the order of the queue; empty unless `found`. */
  readonly messages: readonly ReceivedMessage[]
  /** Where to go on. */
  readonly nextOffset: number
  /** The queue's oldest offset. */
  readonly minOffset: number
  /** One behind the queue's newest offset. */
  readonly maxOffset: number
  /** The broker id to ask next: 0 is the leader. */
  readonly suggestedBrokerId: number
}

const STATUS: ReadonlyMap<number, PullResult['status']> = new Map([
  [ResponseCode.SUCCESS, 'found'],
  [ResponseCode.PULL_NOT_FOUND, 'noNewMessage'],
  [ResponseCode.PULL_RETRY_IMMEDIATELY, 'noMatchedMessage'],
  [ResponseCode.PULL_OFFSET_MOVED, 'offsetIllegal']
])

/** One PULL_MESSAGE (11). Rejects with a ClientError for every answer that carries no offsets. */
export async function pull(instance: ClientInstance, options: PullOptions): Promise<PullResult> {
  const { queue, subscription } = options
  const { address, id } = await source(instance, queue, options.brokerId)
  // Only the leader stores offsets (remoting.md 5.5).
  const commits = options.commitOffset !== null && id === LEADER_ID
  const answer = await instance.caller.call(
    address,
    RequestCode.PULL_MESSAGE,
    {
      consumerGroup: options.group,
      topic: queue.topic,
      queueId: queue.queueId,
      queueOffset: options.offset,
      maxMsgNums: options.maxMessages,
      sysFlag:
        PullSysFlag.subscription |
        (commits ? PullSysFlag.commitOffset : 0) |
        (options.suspendMs > 0 ? PullSysFlag.suspend : 0),
      commitOffset: commits ? options.commitOffset : 0,
      suspendTimeoutMillis: options.suspendMs,
      // Carried by every pull, so that a new leader that has not heard of us yet serves us at once.
      subscription: subscription.expression,
      subVersion: subscription.version,
      expressionType: subscription.expressionType,
      bname: queue.brokerName
    },
    { timeoutMs: options.suspendMs + ANSWER_MARGIN_MS }
  )
  return readPullAnswer(address, queue.brokerName, answer)
}

function readPullAnswer(address: string, brokerName: string, answer: RemotingCommand): PullResult {
  const status = STATUS.get(answer.code)
  if (status === undefined) throw refused(address, answer.code, answer.remark)
  return {
    status,
    messages: status === 'found' ? readMessages(answer.body, brokerName) : [],
    nextOffset: numberField(address, answer, 'nextBeginOffset'),
    minOffset: numberField(address, answer, 'minOffset'),
    maxOffset: numberField(address, answer, 'maxOffset'),
    suggestedBrokerId: numberField(address, answer, 'suggestWhichBrokerId')
  }
}

/** The suggested replica; without it the leader, or whoever is there: reading goes on while there is no leader. */
async function source(
  instance: ClientInstance,
  queue: MessageQueue,
  brokerId: number
): Promise<{ address: string; id: number }> {
  let broker = instance.routes.broker(queue.brokerName)
  if (broker === undefined) {
    await instance.routes.refresh(queue.topic)
    broker = instance.routes.broker(queue.brokerName)
  }
  for (const id of [brokerId, LEADER_ID]) {
    const address = broker?.addresses.get(id)
    if (address !== undefined) return { address, id }
  }
  const address = anyAddress(broker)
  if (address === null) {
    throw new ClientError(
      'NO_LEADER',
      `no address of the broker group ${queue.brokerName} is known`
    )
  }
  return { address, id: Math.min(...broker!.addresses.keys()) }
}
