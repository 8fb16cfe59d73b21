import {
  type MessageQueue,
  RequestCode,
  ResponseCode,
  request,
  TopicPerm,
  TopicRouteData
} from '../../protocol/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'

/** Topics whose queues are remembered; beyond, all are asked for again. */
const topicsMax = 10_000
/** Patience with one name server, ms. */
const timeoutMs = 3_000
/** What no name server answered is not asked for again so soon, ms. */
const failureKeptMs = 1_000

interface Known {
  queues: readonly MessageQueue[] | null
  staleMs: number
  asking: Promise<void> | null
}

/** The queues of a topic on all broker groups, as the name servers say; for assignments (broker.md 4.9). */
export class SubscribeRoutes {
  readonly #broker: BrokerContext
  readonly #topics = new Map<string, Known>()

  constructor(broker: BrokerContext) {
    this.#broker = broker
  }

  /** Null: nobody knows the topic. What is known but old is asked for again in the background. */
  async queuesOf(topic: string): Promise<readonly MessageQueue[] | null> {
    const { clock } = this.#broker.platform
    let known = this.#topics.get(topic)
    if (known === undefined) {
      if (this.#topics.size >= topicsMax) this.#topics.clear()
      known = { queues: null, staleMs: 0, asking: null }
      this.#topics.set(topic, known)
    }
    if (known.staleMs <= clock.monotonicMs()) {
      known.asking ??= this.#ask(topic, known)
      if (known.queues === null) await known.asking
    }
    return known.queues
  }

  async #ask(topic: string, known: Known): Promise<void> {
    const { clock } = this.#broker.platform
    const answer = await this.#fromNameServers(topic)
    // Without name servers, or while none answers, this group's own queues are what there is.
    if (answer === 'unknown') known.queues = null
    else if (answer !== null) known.queues = answer
    else known.queues ??= this.#own(topic)
    const keptMs =
      answer === null ? failureKeptMs : this.#broker.config.values.loadBalancePollNameServerInterval
    known.staleMs = clock.monotonicMs() + (answer === 'unknown' ? failureKeptMs : keptMs)
    known.asking = null
  }

  /** Null: none answers. */
  async #fromNameServers(topic: string): Promise<readonly MessageQueue[] | 'unknown' | null> {
    const { client, config } = this.#broker
    for (const address of config.settings.nameServers) {
      try {
        const command = request(RequestCode.GET_ROUTEINFO_BY_TOPIC, { topic })
        const answer = await client.invoke(address, command, timeoutMs)
        if (answer.code === ResponseCode.TOPIC_NOT_EXIST) return 'unknown'
        if (answer.code !== ResponseCode.SUCCESS) continue
        return queuesIn(topic, TopicRouteData.decode(answer.body))
      } catch {
        // The next one may answer.
      }
    }
    return null
  }

  #own(topic: string): readonly MessageQueue[] | null {
    const { topics, config } = this.#broker
    const settings = topics.find(topic)
    if (settings === undefined) return null
    return numbered(topic, config.settings.brokerName, settings.readQueueNums)
  }
}

function queuesIn(topic: string, { queueDatas }: TopicRouteData): MessageQueue[] {
  return queueDatas
    .filter(({ perm }) => (perm & TopicPerm.read) !== 0)
    .flatMap(({ brokerName, readQueueNums }) => numbered(topic, brokerName, readQueueNums))
}

function numbered(topic: string, brokerName: string, count: number): MessageQueue[] {
  return Array.from({ length: count }, (_, queueId) => ({ topic, brokerName, queueId }))
}
