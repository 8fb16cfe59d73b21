/** Names of topics and groups: what is allowed, what is reserved (remoting.md 2.3, 2.14, 4.6). */
export const TOPIC_CHARACTERS_MAX = 127
export const GROUP_CHARACTERS_MAX = 255

export const RETRY_PREFIX = '%RETRY%'
export const DLQ_PREFIX = '%DLQ%'
const REPLY_TOPIC_POSTFIX = 'REPLY_TOPIC'

export const SystemTopic = {
  AUTO_CREATE: 'TBW102',
  SCHEDULE: 'SCHEDULE_TOPIC_XXXX',
  BENCHMARK: 'BenchmarkTest',
  TRANS_HALF: 'RMQ_SYS_TRANS_HALF_TOPIC',
  TRANS_OP_HALF: 'RMQ_SYS_TRANS_OP_HALF_TOPIC',
  TRANS_CHECK_MAX_TIME: 'TRANS_CHECK_MAX_TIME_TOPIC',
  TRACE: 'RMQ_SYS_TRACE_TOPIC',
  SELF_TEST: 'SELF_TEST_TOPIC',
  OFFSET_MOVED: 'OFFSET_MOVED_EVENT',
  CHECKPOINT: 'CHECKPOINT_TOPIC',
  TIMER: 'rmq_sys_wheel_timer'
} as const

const SYSTEM_PREFIX = 'rmq_sys_'
const systemTopics: ReadonlySet<string> = new Set([
  SystemTopic.AUTO_CREATE,
  SystemTopic.SCHEDULE,
  SystemTopic.BENCHMARK,
  SystemTopic.TRANS_HALF,
  SystemTopic.TRACE,
  SystemTopic.TRANS_OP_HALF,
  SystemTopic.TRANS_CHECK_MAX_TIME,
  SystemTopic.SELF_TEST,
  SystemTopic.OFFSET_MOVED,
  SystemTopic.CHECKPOINT
])

/** Clients may not send to these. */
const notForSending: ReadonlySet<string> = new Set([
  SystemTopic.SCHEDULE,
  SystemTopic.TRANS_HALF,
  SystemTopic.TRANS_OP_HALF,
  SystemTopic.TRANS_CHECK_MAX_TIME,
  SystemTopic.SELF_TEST,
  SystemTopic.OFFSET_MOVED,
  SystemTopic.TIMER
])

/** Topics that no client creates or deletes; a broker adds its cluster's, its own and the reply topic's name. */
export function isSystemTopic(topic: string): boolean {
  return systemTopics.has(topic) || topic.startsWith(SYSTEM_PREFIX)
}

export function isForbiddenForSending(topic: string): boolean {
  return notForSending.has(topic)
}

export type NameProblem = 'blank' | 'illegalCharacters' | 'tooLong'

/** What is wrong with a topic's name; null: nothing. */
export function topicProblem(topic: string): NameProblem | null {
  return problem(topic, TOPIC_CHARACTERS_MAX)
}

/** What is wrong with a group's name; null: nothing. */
export function groupProblem(group: string): NameProblem | null {
  return problem(group, GROUP_CHARACTERS_MAX)
}

/** The original's words for a bad topic name (remoting.md 2.3). */
export function topicProblemText(kind: NameProblem): string {
  if (kind === 'blank') return 'The specified topic is blank.'
  if (kind === 'tooLong') return 'The specified topic is longer than topic max length.'
  return 'The specified topic contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$'
}

function problem(name: string, charactersMax: number): NameProblem | null {
  if (name.trim() === '') return 'blank'
  if (!/^[%|a-zA-Z0-9_-]+$/.test(name)) return 'illegalCharacters'
  return name.length > charactersMax ? 'tooLong' : null
}

export function retryTopic(group: string): string {
  return RETRY_PREFIX + group
}

export function dlqTopic(group: string): string {
  return DLQ_PREFIX + group
}

export function replyTopic(cluster: string): string {
  return `${cluster}_${REPLY_TOPIC_POSTFIX}`
}
