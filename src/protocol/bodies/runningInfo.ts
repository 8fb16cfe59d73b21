import { bean } from '../json/bean.ts'
import { boolean, double, integer, list, mapOf, type Of, optional, text } from '../json/schema.ts'
import { SubscriptionData } from './groups.ts'
import { queueTableOf } from './messageQueue.ts'

/** State of one queue inside a push consumer. `droped` is the original's spelling; Go writes `dropped`, which reads as false. */
export const ProcessQueueInfo = bean('ProcessQueueInfo', {
  cachedMsgCount: integer(),
  cachedMsgMaxOffset: integer(),
  cachedMsgMinOffset: integer(),
  cachedMsgSizeInMiB: integer(),
  commitOffset: integer(),
  droped: boolean(),
  lastConsumeTimestamp: integer(),
  lastLockTimestamp: integer(),
  lastPullTimestamp: integer(),
  locked: boolean(),
  transactionMsgCount: integer(),
  transactionMsgMaxOffset: integer(),
  transactionMsgMinOffset: integer(),
  tryUnlockTimes: integer()
})
export type ProcessQueueInfo = Of<typeof ProcessQueueInfo>

export const PopProcessQueueInfo = bean('PopProcessQueueInfo', {
  droped: boolean(),
  lastPopTimestamp: integer(),
  waitAckCount: integer()
})
export type PopProcessQueueInfo = Of<typeof PopProcessQueueInfo>

export const ConsumeStatus = bean('ConsumeStatus', {
  consumeFailedMsgs: integer(),
  consumeFailedTPS: double(),
  consumeOKTPS: double(),
  consumeRT: double(),
  pullRT: double(),
  pullTPS: double()
})
export type ConsumeStatus = Of<typeof ConsumeStatus>

/** Answer to GET_CONSUMER_RUNNING_INFO (307). A broker relays it as bytes: not every client writes what it reads here. */
export const ConsumerRunningInfo = bean('ConsumerRunningInfo', {
  jstack: optional(text()),
  mqPopTable: optional(queueTableOf(PopProcessQueueInfo)),
  mqTable: queueTableOf(ProcessQueueInfo),
  properties: mapOf(text()),
  statusTable: mapOf(ConsumeStatus),
  subscriptionSet: list(SubscriptionData),
  userConsumerInfo: optional(mapOf(text()))
})
export type ConsumerRunningInfo = Of<typeof ConsumerRunningInfo>
