import {
  PullSysFlag,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response,
  TopicPerm
} from '../../protocol/index.ts'
import type { GroupSettings } from '../../store/index.ts'
import {
  type ConsumerGroup,
  isTagType,
  type Subscription,
  SubscriptionSyntaxError,
  tagSubscription
} from '../clients/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import { badParameterCode } from '../send/index.ts'
import type { Pull } from './pull.ts'

const broadcasting = 'BROADCASTING'
/** Expressions that came with pulls and are kept taken apart; long ones are not worth the memory. */
const expressionsMax = 1_000
const keptExpressionCharactersMax = 1_024

/** The checks before a read, in the original's order (broker.md 4.1); those that pass leave `pull.tagHashes` and `pull.settings`. */
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
    if ((pull.sysFlag & PullSysFlag.subscription) !== 0) return this.#ownFilter(pull)
    const consumers = this.#broker.consumers.find(pull.group)
    if (consumers === undefined)
      return response(ResponseCode.SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist")
    if (consumers.messageModel === broadcasting && !group.consumeBroadcastEnable)
      return response(
        ResponseCode.NO_PERMISSION,
        `the consumer group[${pull.group}] can not consume by broadcast way`
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
    if (!isTagType(subscription.expressionType)) return notSupported(subscription.expressionType)
    pull.tagHashes = subscription.classFilterMode ? null : subscription.codes
    return null
  }

  #ownFilter(pull: Pull): RemotingCommand | null {
    const expression = pull.subscription
    if (!isTagType(pull.expressionType)) {
      if (expression === null || expression === '') return parseFailed()
      return notSupported(pull.expressionType)
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
}

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
