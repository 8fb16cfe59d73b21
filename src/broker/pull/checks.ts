import {
  PullSysFlag,
  RETRY_PREFIX,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response,
  TopicPerm
} from '../../protocol/index.ts'
import type { GroupSettings, MessageFilter } from '../../store/index.ts'
import {
  type ConsumerGroup,
  isTagType,
  type Subscription,
  SubscriptionSyntaxError,
  tagSubscription
} from '../clients/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { FilterSyntaxError, RetryFilter, SQL92 } from '../filter/index.ts'
import { isSystemGroup } from '../groups/index.ts'
import { badParameterCode } from '../send/index.ts'
import type { Pull } from './pull.ts'

const broadcasting = 'BROADCASTING'
const pullsItself = 'CONSUME_ACTIVELY'
/** Expressions that came with pulls and are kept taken apart; long ones are not worth the memory. */
const expressionsMax = 1_000
const keptExpressionCharactersMax = 1_024

/** The checks before a read, in the original's order (broker.md 4.1); those that pass leave `pull.tagHashes`, `pull.filter` and `pull.settings`. */
export class PullChecks {
  readonly #broker: BrokerContext
  readonly #expressions = new Map<string, Subscription>()

  constructor(broker: BrokerContext) {
    this.#broker = broker
  }

  /** The answer that refuses the pull; null: it may be read. */
  check(pull: Pull): RemotingCommand | null {
    const { config, groups, topics } = this.#broker
    const host = config.settings.publicHost
    if ((config.settings.permission & TopicPerm.read) === 0)
      return response(
        ResponseCode.NO_PERMISSION,
        `the broker[${host}] pulling message is forbidden`
      )
    if (pull.code === RequestCode.LITE_PULL_MESSAGE && !config.values.litePullMessageEnable)
      return response(
        ResponseCode.NO_PERMISSION,
        `the broker[${host}] for lite pull consumer is forbidden`
      )
    const group = groups.findOrDefault(pull.group)
    if (group === undefined)
      return response(
        ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
        `subscription group [${pull.group}] does not exist`
      )
    if (!group.consumeEnable)
      return response(ResponseCode.NO_PERMISSION, `subscription group no permission, ${pull.group}`)
    const topic = topics.find(pull.topic)
    if (topic === undefined)
      return response(
        ResponseCode.TOPIC_NOT_EXIST,
        `topic[${pull.topic}] not exist, apply first please!`
      )
    if ((topic.perm & TopicPerm.read) === 0)
      return response(
        ResponseCode.NO_PERMISSION,
        `the topic[${pull.topic}] pulling message is forbidden`
      )
    if (pull.queueId < 0 || pull.queueId >= topic.readQueueNums)
      return response(
        badParameterCode(pull.version),
        `queueId[${pull.queueId}] is illegal, topic:[${pull.topic}] topicConfig.readQueueNums:[${topic.readQueueNums}] consumer:[${pull.connection.remoteAddress}]`
      )
    pull.settings = group
    return this.#filter(pull, group)
  }

  /** Decides what passes; null: decided. */
  #filter(pull: Pull, group: GroupSettings): RemotingCommand | null {
    pull.tagHashes = null
    pull.filter = null
    if ((pull.sysFlag & PullSysFlag.classFilter) !== 0) return notSupported(classFilter)
    const refused = this.#decide(pull, group) ?? this.#rejected(pull)
    if (refused === null && this.#broker.config.values.filterSupportRetry)
      pull.filter = this.#retryFilter(pull) ?? pull.filter
    return refused
  }

  /** Of a consumer that pulls by itself, where the settings want none (5.3). */
  #rejected(pull: Pull): RemotingCommand | null {
    if (!this.#broker.config.values.rejectPullConsumerEnable || isSystemGroup(pull.group))
      return null
    const consumers = this.#broker.consumers.find(pull.group)
    const isPushed = consumers !== undefined && consumers.consumeType !== pullsItself
    if (isPushed || consumers?.members.has(pull.connection.id) === true) return null
    return response(
      ResponseCode.SUBSCRIPTION_NOT_EXIST,
      "the consumer's group info not exist, or the pull consumer is rejected by server."
    )
  }

  #decide(pull: Pull, group: GroupSettings): RemotingCommand | null {
    if ((pull.sysFlag & PullSysFlag.subscription) !== 0) return this.#ownFilter(pull)
    const consumers = this.#broker.consumers.find(pull.group)
    if (consumers === undefined)
      return response(ResponseCode.SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist")
    if (consumers.messageModel === broadcasting && !group.consumeBroadcastEnable)
      return response(
        ResponseCode.NO_PERMISSION,
        `the consumer group[${pull.group}] can not consume by broadcast way`
      )
    if (this.#broker.forbidden.isForbidden(pull.group, pull.topic))
      return response(
        ResponseCode.NO_PERMISSION,
        `the consumer group[${pull.group}] is forbidden for topic[${pull.topic}]`
      )
    return this.#groupFilter(pull, consumers)
  }

  #groupFilter(pull: Pull, consumers: ConsumerGroup): RemotingCommand | null {
    const subscription = consumers.subscriptions.get(pull.topic)
    if (subscription === undefined)
      return response(ResponseCode.SUBSCRIPTION_NOT_EXIST, "the consumer's subscription not exist")
    if (subscription.version < pull.subVersion) {
      // A heartbeat can be lost to a lock inside the client: what the pull itself says is newer (observed.md).
      if (pull.subscription !== null) return this.#ownFilter(pull)
      return response(
        ResponseCode.SUBSCRIPTION_NOT_LATEST,
        "the consumer's subscription not latest"
      )
    }
    if (subscription.classFilterMode) return notSupported(classFilter)
    if (!isTagType(subscription.expressionType)) return this.#properties(pull, subscription)
    pull.tagHashes = subscription.codes
    return null
  }

  /** SQL92 of a heartbeat. */
  #properties(pull: Pull, { expressionType, filter }: Subscription): RemotingCommand | null {
    if (filter === null)
      return response(
        ResponseCode.FILTER_DATA_NOT_EXIST,
        "The broker's consumer filter data is not exist!Your expression may be wrong!"
      )
    if (!this.#broker.config.values.enablePropertyFilter) return notSupported(expressionType)
    pull.filter = filter
    return null
  }

  /** What the group wants of the topics from which the messages of its retry topic came. */
  #retryFilter(pull: Pull): RetryFilter | null {
    if (pull.topic !== `${RETRY_PREFIX}${pull.group}`) return null
    const filters = new Map<string, MessageFilter>()
    for (const { topic, filter } of this.#broker.consumers
      .find(pull.group)
      ?.subscriptions.values() ?? [])
      if (filter !== null) filters.set(topic, filter)
    if (filters.size === 0 || !this.#broker.config.values.enablePropertyFilter) return null
    pull.tagHashes = null
    return new RetryFilter(filters)
  }

  #ownFilter(pull: Pull): RemotingCommand | null {
    const expression = pull.subscription
    if (!isTagType(pull.expressionType)) {
      if (expression === null || expression === '') return parseFailed()
      return this.#ownProperties(pull, expression)
    }
    const known = this.#expressions.get(expression ?? '')
    if (known !== undefined) {
      pull.tagHashes = known.codes
      return null
    }
    try {
      const parsed = tagSubscription('', expression, 0)
      if ((expression ?? '').length <= keptExpressionCharactersMax) {
        if (this.#expressions.size >= expressionsMax) this.#expressions.clear()
        this.#expressions.set(expression ?? '', parsed)
      }
      pull.tagHashes = parsed.codes
      return null
    } catch (error) {
      if (error instanceof SubscriptionSyntaxError) return parseFailed()
      throw error
    }
  }

  /** SQL92 that came with the pull. The original lets all messages pass when it does not compile (docs/compatibility.md). */
  #ownProperties(pull: Pull, expression: string): RemotingCommand | null {
    if (!this.#broker.config.values.enablePropertyFilter) return notSupported(pull.expressionType)
    if (pull.expressionType !== SQL92) return parseFailed()
    const filter = this.#broker.filters.compile(expression)
    if (filter instanceof FilterSyntaxError) return parseFailed()
    pull.filter = filter
    return null
  }
}

const classFilter = 'class'

function parseFailed(): RemotingCommand {
  return response(
    ResponseCode.SUBSCRIPTION_PARSE_FAILED,
    "parse the consumer's subscription failed"
  )
}

function notSupported(expressionType: string): RemotingCommand {
  return response(
    ResponseCode.SYSTEM_ERROR,
    `The broker does not support consumer to filter message by ${expressionType}`
  )
}
