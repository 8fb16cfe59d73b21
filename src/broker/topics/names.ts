/** Topic names that mean something to a broker (broker.md 2.8). */
export const SystemTopic = {
  autoCreate: 'TBW102',
  schedule: 'SCHEDULE_TOPIC_XXXX',
  benchmark: 'BenchmarkTest',
  half: 'RMQ_SYS_TRANS_HALF_TOPIC',
  halfDone: 'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  trace: 'RMQ_SYS_TRACE_TOPIC',
  checkMaxTime: 'TRANS_CHECK_MAX_TIME_TOPIC',
  selfTest: 'SELF_TEST_TOPIC',
  offsetMoved: 'OFFSET_MOVED_EVENT',
  checkpoint: 'CHECKPOINT_TOPIC'
} as const

const systemNames: ReadonlySet<string> = new Set(Object.values(SystemTopic))
const systemPrefix = 'rmq_sys_'

const closedToSenders: ReadonlySet<string> = new Set([
  SystemTopic.schedule,
  SystemTopic.half,
  SystemTopic.halfDone,
  SystemTopic.checkMaxTime,
  SystemTopic.selfTest,
  SystemTopic.offsetMoved
])

export const retryPrefix = '%RETRY%'
export const deadLetterPrefix = '%DLQ%'

export function retryTopic(group: string): string {
  return retryPrefix + group
}

export function deadLetterTopic(group: string): string {
  return deadLetterPrefix + group
}

/** The topic that replies go to (broker.md 5.5). */
export function replyTopic(clusterName: string): string {
  return `${clusterName}_REPLY_TOPIC`
}

/** Clients must not write it: NO_PERMISSION (16). */
export function isClosedToSenders(topic: string): boolean {
  return closedToSenders.has(topic)
}

/** Hidden from users, and closed to administration; the cluster's own names (cluster, broker, reply topic) come on top. */
export function isSystemName(topic: string): boolean {
  return systemNames.has(topic) || topic.startsWith(systemPrefix)
}

const topicText = /^[%|a-zA-Z0-9_-]+$/
export const topicCharactersMax = 127
const groupCharactersMax = 255

/** What is wrong with a topic's name, in the original's words; null: nothing. */
export function topicNameProblem(topic: string): string | null {
  if (topic.trim() === '') return 'The specified topic is blank.'
  if (!topicText.test(topic))
    return `The specified topic[${topic.slice(0, topicCharactersMax)}] contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$`
  if (topic.length > topicCharactersMax) return 'The specified topic is longer than topic max length.'
  return null
}

/** Whether a group of this name may be made by being met (broker.md 2.9). */
export function isGroupName(group: string): boolean {
  return group.length <= groupCharactersMax && topicText.test(group)
}
