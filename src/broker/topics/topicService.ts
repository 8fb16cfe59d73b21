import type { Logger } from '../../platform/index.ts'
import {
  dlqTopic,
  isSystemTopic,
  replyTopic,
  retryTopic,
  SystemTopic,
  TopicPerm,
  TopicSysFlag,
  topicProblem
} from '../../protocol/index.ts'
import type { Store, TopicSettings } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'

const benchmarkQueues = 1_024
const clusterQueues = 16
const queuesMax = 65_535

/** A limit of this broker forbids another topic or group: SYSTEM_ERROR with this text. */
export class LimitReachedError extends Error {
  readonly code = 'LMQ_LIMIT'
}

/** A topic as the original makes it when nothing else is said. */
export function newTopic(
  topicName: string,
  queues: number,
  perm: number = TopicPerm.read | TopicPerm.write
): TopicSettings {
  return {
    topicName,
    readQueueNums: queues,
    writeQueueNums: queues,
    perm,
    topicFilterType: 'SINGLE_TAG',
    topicSysFlag: 0,
    order: false
  }
}

/** Queues that exist, to be read or to be written: a topic that shrinks loses the one kind before the other. */
export function queueCount(topic: TopicSettings): number {
  return Math.max(topic.readQueueNums, topic.writeQueueNums)
}

/** The topics of this broker: looked up in the replicated table, made through the log. */
export class TopicService {
  readonly #store: Store
  readonly #config: LiveConfig
  readonly #logger: Logger
  /** Creations under way, so that a thousand senders to a new topic make one command. */
  readonly #making = new Map<string, Promise<TopicSettings>>()

  constructor(store: Store, config: LiveConfig, logger: Logger) {
    this.#store = store
    this.#config = config
    this.#logger = logger
  }

  find(topic: string): TopicSettings | undefined {
    return this.#store.tables.topics.get(topic)
  }

  /** One of the original's own, or of this cluster's. */
  isSystem(topic: string): boolean {
    const { clusterName, brokerName } = this.#config.settings
    return (
      isSystemTopic(topic) ||
      topic === clusterName ||
      topic === brokerName ||
      topic === replyTopic(clusterName)
    )
  }

  /**
   * Resolves to the topic when it is there, made with these settings if it was not. Leader only: rejects with NotLeaderError,
   * StoreError, LimitReachedError.
   */
  ensure(settings: TopicSettings): Promise<TopicSettings> {
    const name = settings.topicName
    const present = this.find(name)
    if (present !== undefined) return Promise.resolve(present)
    const making = this.#making.get(name)
    if (making !== undefined) return making
    const topicsMax = this.#config.values.maxTopics
    if (this.#store.tables.topics.size + this.#making.size >= topicsMax)
      return Promise.reject(
        new LimitReachedError(`topic[${name}] was not made: maxTopics is ${topicsMax}`)
      )
    const made = this.#make(settings)
    this.#making.set(name, made)
    return made
  }

  async #make(settings: TopicSettings): Promise<TopicSettings> {
    const name = settings.topicName
    try {
      await this.#store.execute({ type: 'putTopic', topic: settings, ifAbsent: true })
      const made = this.find(name)
      // Deleted again in the same turn: whoever asked gets what it asked for, and the next send makes it anew.
      if (made === undefined) return settings
      this.#logger.info('Topic made', {
        topic: name,
        queues: made.writeQueueNums,
        perm: made.perm
      })
      return made
    } finally {
      this.#making.delete(name)
    }
  }

  /**
   * What a send to an unknown topic makes (broker.md 2.8): null when the template does not allow it. `queues`: what the client
   * wants; `sysFlag`: the unit bits of the new topic.
   */
  async createBySend(
    topic: string,
    template: string,
    queues: number,
    sysFlag: number
  ): Promise<TopicSettings | null> {
    const present = this.find(topic)
    if (present !== undefined) return present
    const parent = this.find(template)
    if (parent === undefined) return null
    if (template === SystemTopic.AUTO_CREATE && !this.#config.values.autoCreateTopicEnable)
      return null
    if ((parent.perm & TopicPerm.inherit) === 0) return null
    const count = Math.max(0, Math.min(queues, parent.writeQueueNums, queuesMax))
    return await this.ensure({
      ...newTopic(topic, count, parent.perm & ~TopicPerm.inherit),
      topicFilterType: parent.topicFilterType,
      topicSysFlag: sysFlag
    })
  }

  /** `%RETRY%group`, made with the group's number of queues when missing. */
  ensureRetry(group: string, queues: number, unitMode: boolean): Promise<TopicSettings> {
    return this.ensure({
      ...newTopic(retryTopic(group), queues),
      topicSysFlag: unitMode ? TopicSysFlag.unitSub : 0
    })
  }

  /** `%DLQ%group`, one queue, made when the first message dies. */
  ensureDeadLetter(group: string): Promise<TopicSettings> {
    return this.ensure(newTopic(dlqTopic(group), 1))
  }

  /** Topics that are there from the first start on (broker.md 2.8, observed.md); the leader makes those that miss. */
  async ensureSystemTopics(): Promise<void> {
    await Promise.all(this.systemTopics().map(topic => this.ensure(topic)))
  }

  systemTopics(): TopicSettings[] {
    const { values, settings } = this.#config
    const usual = TopicPerm.read | TopicPerm.write
    const inherited = (enabled: boolean): number =>
      enabled ? usual | TopicPerm.inherit : TopicPerm.inherit
    const topics = [
      newTopic(SystemTopic.SELF_TEST, 1),
      newTopic(SystemTopic.BENCHMARK, benchmarkQueues),
      newTopic(settings.clusterName, clusterQueues, inherited(values.clusterTopicEnable)),
      newTopic(settings.brokerName, 1, inherited(values.brokerTopicEnable)),
      newTopic(SystemTopic.OFFSET_MOVED, 1),
      newTopic(SystemTopic.SCHEDULE, Math.max(1, settings.delayLevelsMs.length)),
      newTopic(replyTopic(settings.clusterName), 1)
    ]
    if (values.autoCreateTopicEnable)
      topics.push(newTopic(SystemTopic.AUTO_CREATE, values.defaultTopicQueueNums, inherited(true)))
    if (values.traceTopicEnable) topics.push(newTopic(values.msgTraceTopicName, 1))
    return topics.filter(topic => topicProblem(topic.topicName) === null)
  }
}
