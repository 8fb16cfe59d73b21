import { LockBatchRequestBody, LockBatchResponseBody, RequestCode } from '../protocol/index.ts'
import { readBody } from './bodies.ts'
import { asError } from './errors.ts'
import type { ClientInstance } from './instance.ts'
import { type MessageQueue, queueKey } from './queue.ts'

/** remoting.md 5.3 */
const LOCK_TIMEOUT_MS = 1_000

/** LOCK_BATCH_MQ (41): the queues of one broker group that are ours now, by `queueKey`. Rejects when the leader cannot be asked. */
export async function lockQueues(
  instance: ClientInstance,
  group: string,
  queues: readonly MessageQueue[]
): Promise<ReadonlySet<string>> {
  const { topic, brokerName } = queues[0]!
  const address = await instance.leader(topic, brokerName)
  const answer = await instance.caller.ask(
    address,
    RequestCode.LOCK_BATCH_MQ,
    {},
    { body: lockBody(instance, group, queues), timeoutMs: LOCK_TIMEOUT_MS }
  )
  const { lockOKMQSet } = readBody(LockBatchResponseBody, answer.body, address)
  return new Set(lockOKMQSet.map(queueKey))
}

/** UNLOCK_BATCH_MQ (42). A lost request only means that the lock ends by itself after a minute. */
export async function unlockQueues(
  instance: ClientInstance,
  group: string,
  queues: readonly MessageQueue[]
): Promise<void> {
  const { topic, brokerName } = queues[0]!
  try {
    const address = await instance.leader(topic, brokerName)
    await instance.caller.ask(
      address,
      RequestCode.UNLOCK_BATCH_MQ,
      {},
      { body: lockBody(instance, group, queues), timeoutMs: LOCK_TIMEOUT_MS }
    )
  } catch (error) {
    instance.logger.info('Queues could not be unlocked, their locks will expire', {
      group,
      brokerName,
      error: asError(error).message
    })
  }
}

function lockBody(
  instance: ClientInstance,
  group: string,
  queues: readonly MessageQueue[]
): Buffer {
  return LockBatchRequestBody.encode({
    clientId: instance.clientId,
    consumerGroup: group,
    mqSet: [...queues],
    onlyThisBroker: false
  })
}
