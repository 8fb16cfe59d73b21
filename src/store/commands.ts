/**
 * What the log holds beside messages: changes of the replicated tables. One command is a plain value;
 * how it is written to an entry is commandCodec.ts, what it does is tables.ts.
 * All times that a command's effect depends on are the entry's (R-A4), never a node's own clock.
 */

import type { PopAck, PopChange, PopTake } from './pop.ts'
import type { PopOrderAck, PopOrderChange, PopOrderTake } from './popOrders.ts'
import type { TimerRef } from './timers.ts'
import type { TransactionCheck } from './transactions.ts'

/** As RocketMQ's TopicConfig (broker.md 2.8). `attributes` are those of 5.3. */
export interface TopicSettings {
  topicName: string
  readQueueNums: number
  writeQueueNums: number
  /** READ 4, WRITE 2, INHERIT 1. */
  perm: number
  topicFilterType: 'SINGLE_TAG' | 'MULTI_TAG'
  topicSysFlag: number
  order: boolean
  attributes?: Record<string, string>
}

/** As RocketMQ's SubscriptionGroupConfig (broker.md 2.9); what a newer client sends beyond it is kept as it came. */
export interface GroupSettings {
  groupName: string
  consumeEnable: boolean
  consumeFromMinEnable: boolean
  consumeBroadcastEnable: boolean
  retryQueueNums: number
  retryMaxTimes: number
  brokerId: number
  whichBrokerWhenConsumeSlowly: number
  notifyConsumerIdsChangedEnable: boolean
  [more: string]: unknown
}

export interface QueueRef {
  topic: string
  queueId: number
}

export interface ConsumerOffset {
  group: string
  topic: string
  queueId: number
  offset: number
}

export type Command =
  /** `ifAbsent`: keeps a topic that is there already (two senders may make one at the same time). */
  | { type: 'putTopic'; topic: TopicSettings; ifAbsent?: boolean }
  /** Removes the settings, the queues and all consumer offsets of the topic. */
  | { type: 'deleteTopic'; topic: string }
  | { type: 'putGroup'; group: GroupSettings; ifAbsent?: boolean }
  /** Removes the settings; with `cleanOffsets` the group's offsets too (deleteSubGroup's clean flag). */
  | { type: 'deleteGroup'; group: string; cleanOffsets?: boolean }
  /** What consumers said they consumed. Forward only: a smaller offset than the stored one changes nothing. */
  | { type: 'commitOffsets'; offsets: readonly ConsumerOffset[] }
  /** Overwrites, also backwards: reset, clone, and what a client committed on purpose. */
  | { type: 'setOffsets'; offsets: readonly ConsumerOffset[] }
  /** Without `topic`: all of the group. Without `group`: of all groups for the topic. */
  | { type: 'deleteOffsets'; group?: string; topic?: string }
  /** The next queue offset of SCHEDULE_TOPIC_XXXX to deliver for a level (from 1). */
  | { type: 'delayProgress'; level: number; offset: number }
  /** Grants what is free, own or expired. Result: the queues that the client owns now. */
  | { type: 'lockQueues'; group: string; clientId: string; queues: readonly QueueRef[] }
  /** Gives back those that the client owns. */
  | { type: 'unlockQueues'; group: string; clientId: string; queues: readonly QueueRef[] }
  /** Broker settings that are the same on all members; null removes a key. */
  | { type: 'putBrokerConfig'; entries: Readonly<Record<string, string | null>> }
  /** Free key-value space for what the broker keeps besides; `room` separates its users; null removes. */
  | { type: 'putValue'; room: string; key: string; value: string | null }
  /** The producers of these transactions are about to be asked: each check of a transaction counts once. */
  | { type: 'checkTransactions'; checks: readonly TransactionCheck[] }
  /** This transaction is in doubt no more: committed, rolled back or given up. */
  | { type: 'closeTransaction'; physicalOffset: number }
  /** These messages, which wait for their time, do so no more: delivered (in the same entry), recalled or lost. Once for each. */
  | { type: 'timersDone'; timers: readonly TimerRef[] }
  /** A pop gave messages of a queue out, and the group's offset moves behind them. */
  | { type: 'popTake'; take: PopTake }
  /** These messages do not come back: consumed, or stored again in the same entry. Unknown ones change nothing. */
  | { type: 'popAcks'; acks: readonly PopAck[] }
  /** A message in flight comes back at another time, under another handle. */
  | { type: 'popChange'; change: PopChange }
  /** The same for pops in order. */
  | { type: 'popOrderTake'; take: PopOrderTake }
  | { type: 'popOrderAck'; ack: PopOrderAck }
  | { type: 'popOrderChange'; change: PopOrderChange }
  /** The log begins with entry `index` at byte `position` from now on (4.10). Proposed by the store itself. */
  | { type: 'trimPrefix'; index: number; position: number }

/** `granted` of lockQueues; `changed` of the others: false when the command found nothing to do (ifAbsent, unknown name, older offset). */
export interface CommandResult {
  changed: boolean
  granted: readonly QueueRef[]
}

/** What becomes of which topic by the command. */
export function topicOf(command: Command): { name: string; deleted: boolean } | undefined {
  if (command.type === 'deleteTopic') return { name: command.topic, deleted: true }
  if (command.type === 'putTopic') return { name: command.topic.topicName, deleted: false }
  return undefined
}
