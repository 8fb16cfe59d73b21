import {
  popRetryTopic,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  response
} from '../../protocol/index.ts'
import { orderFreeMs, type PopQueueRef, type TopicSettings } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { checkRead } from './checks.ts'
import { PopHolds } from './holds.ts'
import { PopRequest, pollMsOf } from './popRequest.ts'

/** NOTIFICATION (200054): whether there is something to pop, with a long poll; takes nothing (grpc.md 6.8). */
export class Notifications {
  readonly #broker: BrokerContext
  readonly holds: PopHolds

  constructor(broker: BrokerContext) {
    const { platform, config, store } = broker
    this.#broker = broker
    this.holds = new PopHolds(platform.clock, config, store, asked =>
      asked.connection.respond(asked, this.#answer(asked, true) ?? has(false))
    )
  }

  get handler(): Handler {
    return {
      code: RequestCode.NOTIFICATION,
      needsLeader: true,
      repeatable: true,
      heldMs: pollMsOf,
      handle: (request, caller, { platform }) => {
        const { clock } = platform
        const asked = new PopRequest(request, caller, clock.monotonicMs(), clock.wallMs())
        return this.#answer(asked, false)
      }
    }
  }

  /** Null: held. `woken`: it was, and a message came or its time is over. */
  #answer(asked: PopRequest, woken: boolean): RemotingCommand | null {
    const broker = this.#broker
    const topic = checkRead(asked, broker, asked.connection.remoteAddress)
    if ('code' in topic) return topic
    const found = this.#find(asked, topic)
    if (found.has || (woken && !broker.store.ready)) return has(found.has)
    const held = this.holds.hold(asked, found.freeMs)
    return held === 'held' ? null : has(false, held === 'full')
  }

  #find(asked: PopRequest, topic: TopicSettings): { has: boolean; freeMs: number } {
    const { config, topics } = this.#broker
    const { enableRetryTopicV2, retrieveMessageFromPopRetryTopicV1 } = config.values
    const found = { has: false, freeMs: Number.POSITIVE_INFINITY }
    if (asked.queueId < 0) this.#inTopic(asked, topic, found)
    else this.#inQueue(asked, topic.topicName, asked.queueId, found)
    const v1 = !enableRetryTopicV2 || retrieveMessageFromPopRetryTopicV1
    for (const v2 of [...(v1 ? [false] : []), ...(enableRetryTopicV2 ? [true] : [])]) {
      const retry = topics.find(popRetryTopic(asked.topic, asked.group, v2))
      if (retry !== undefined) this.#inTopic(asked, retry, found)
    }
    return found
  }

  #inTopic(
    asked: PopRequest,
    { topicName, readQueueNums }: TopicSettings,
    found: { has: boolean; freeMs: number }
  ): void {
    for (let queueId = 0; queueId < readQueueNums && !found.has; queueId++)
      this.#inQueue(asked, topicName, queueId, found)
  }

  #inQueue(
    asked: PopRequest,
    topic: string,
    queueId: number,
    found: { has: boolean; freeMs: number }
  ): void {
    const { store } = this.#broker
    const queue: PopQueueRef = { group: asked.group, topic, queueId }
    const freeMs = asked.order ? this.#blockedUntil(asked, queue) : 0
    if (freeMs > 0) found.freeMs = Math.min(found.freeMs, freeMs)
    else {
      const offset = store.tables.consumerOffset(asked.group, topic, queueId)
      const next = offset >= 0 ? offset : store.minOffset(topic, queueId)
      found.has ||= store.maxOffset(topic, queueId) > next
    }
  }

  /** 0: it is not blocked. */
  #blockedUntil({ attemptId }: PopRequest, queue: PopQueueRef): number {
    const { store } = this.#broker
    const order = store.tables.popOrder(queue)
    if (order === undefined || (order.attemptId !== null && order.attemptId === attemptId)) return 0
    const freeMs = orderFreeMs(order)
    return freeMs > store.timeMs() ? freeMs : 0
  }
}

function has(hasMsg: boolean, pollingFull = false): RemotingCommand {
  return response(ResponseCode.SUCCESS, null, {
    hasMsg: String(hasMsg),
    pollingFull: String(pollingFull)
  })
}
