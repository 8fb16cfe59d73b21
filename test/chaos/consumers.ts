import {
  Admin,
  ClientError,
  type MessageQueue,
  PullConsumer,
  PushConsumer,
  type ReceivedMessage
} from '../../src/client/index.ts'
import { RequestCode } from '../../src/protocol/index.ts'
import type { Recorder } from './bus.ts'
import { placeOf } from './check.ts'
import { type PlaceEvent, sharedNowMs } from './events.ts'
import { valueIn } from './producers.ts'
import { CLUSTER } from './systems.ts'
import {
  CONCURRENT_GROUP,
  JAVA_GROUP,
  ORDERLY_GROUP,
  pause,
  platform,
  QUEUES,
  RULES
} from './topics.ts'

const PERSIST_MS = 1000
const SAMPLE_MS = 300
const CALL_TIMEOUT_MS = 2000
/** From the end of all faults to the delivery of everything; a member that died without a word is forgotten after 30 s. */
const DELIVERY_TIMEOUT_MS = 60_000
const PAGE_MESSAGES = 32
const READ_TIMEOUT_MS = 20_000
const RETRY_PAUSE_MS = 100

/** Two groups of push consumers that take everything, and a reader that looks at the queues themselves at the end. */
export class Consumers {
  delivered = 0
  readonly #recorder: Recorder
  readonly #consumers: PushConsumer[] = []
  readonly #reader: PullConsumer
  readonly #admin: Admin
  readonly #got = new Set<string>()
  /** Of each queue of a topic, the first offset that was not read. */
  readonly #read = new Map<MessageQueue, number>()
  #sampling: Promise<void> | null = null
  #working = true

  constructor(nameServers: string, recorder: Recorder) {
    this.#recorder = recorder
    this.#reader = new PullConsumer({ nameServers, platform, group: 'chaos_reader' })
    this.#admin = new Admin({ nameServers, platform, callTimeoutMs: CALL_TIMEOUT_MS })
    for (const [group, topics] of RULES.groups) {
      if (group === JAVA_GROUP) continue
      const consumer = new PushConsumer({
        ...{ nameServers, platform, group },
        consumeFrom: 'first',
        orderly: group === ORDERLY_GROUP,
        persistIntervalMs: PERSIST_MS,
        listener: messages => this.#take(group, messages)
      })
      for (const topic of topics) consumer.subscribe(topic)
      this.#consumers.push(consumer)
    }
  }

  async open(): Promise<void> {
    await this.#reader.start()
    for (const consumer of this.#consumers) await consumer.start()
    this.#sampling = this.#sample()
  }

  /** Reads all queues from their ends, and waits until the groups have got what lies there. */
  async finish(topics: readonly string[]): Promise<void> {
    const wanted: string[] = []
    for (const topic of topics) {
      for (const queue of await this.#reader.queues(topic)) this.#read.set(queue, 0)
    }
    for (const queue of this.#read.keys()) {
      for (const place of await this.#readOn(queue)) {
        for (const [group, subscribed] of RULES.groups) {
          if (subscribed.includes(queue.topic)) wanted.push(`${group} ${place}`)
        }
      }
    }
    const deadlineMs = sharedNowMs() + DELIVERY_TIMEOUT_MS
    while (wanted.some(name => !this.#got.has(name)) && sharedNowMs() < deadlineMs) await pause(50)
    this.#working = false
    await this.#sampling
  }

  /** Ends the deliveries, but for those of another process. */
  async leave(): Promise<void> {
    await Promise.all(this.#consumers.map(consumer => consumer.close()))
  }

  /** When nobody consumes any more: what came behind the ends that were read. */
  async close(): Promise<void> {
    for (const queue of this.#read.keys()) await this.#readOn(queue, { late: true })
    await Promise.all([this.#reader.close(), this.#admin.close()])
  }

  /** A delivery that another process got. */
  saw(event: PlaceEvent): void {
    this.#got.add(`${event.client} ${placeOf(event)}`)
    this.delivered += 1
  }

  #take(group: string, messages: readonly ReceivedMessage[]): void {
    const head = { at: sharedNowMs(), client: group, op: 'deliver', kind: 'ok' } as const
    for (const { topic, queue, queueOffset, body } of messages) {
      const place = { topic, queue: queue.queueId, offset: queueOffset }
      this.#recorder.add({ ...head, ...place, value: valueIn(body) })
      this.#got.add(`${group} ${placeOf(place)}`)
      this.delivered += 1
    }
  }

  async #readOn(queue: MessageQueue, more: { late?: true } = {}): Promise<string[]> {
    const places: string[] = []
    const { topic } = queue
    const head = { client: 'reader', op: 'stored', kind: 'ok', topic, ...more } as const
    const end = await this.#reader.maxOffset(queue)
    let offset = this.#read.get(queue)!
    while (offset < end) {
      const page = await this.#patiently(() =>
        this.#reader.fetch(queue, offset, { maxMessages: PAGE_MESSAGES })
      )
      for (const { queueOffset, body } of page.messages) {
        const event = { ...head, queue: queue.queueId, offset: queueOffset, value: valueIn(body) }
        this.#recorder.add({ at: sharedNowMs(), ...event })
        places.push(placeOf(event))
      }
      if (page.nextOffset <= offset) {
        throw new Error(`${queue.topic}/${queue.queueId} cannot be read beyond ${offset} of ${end}`)
      }
      offset = page.nextOffset
    }
    this.#read.set(queue, offset)
    return places
  }

  /** What is damaged is fetched or built again by the time that the question is repeated. */
  async #patiently<T>(run: () => Promise<T>): Promise<T> {
    const deadlineMs = sharedNowMs() + READ_TIMEOUT_MS
    for (;;) {
      try {
        return await run()
      } catch (error) {
        if (!(error instanceof ClientError && error.retryable) || sharedNowMs() > deadlineMs) {
          throw error
        }
        await pause(RETRY_PAUSE_MS)
      }
    }
  }

  async #sample(): Promise<void> {
    while (this.#working) {
      try {
        const [address] = await this.#admin.leaders(CLUSTER)
        if (address !== undefined) await this.#sampleAt(address)
      } catch (error) {
        // No leader just now, or a group without an offset yet.
        if (!(error instanceof ClientError)) throw error
      }
      await pause(SAMPLE_MS)
    }
  }

  /** QUERY_CONSUMER_OFFSET, which is linearizable; a broker's statistics tell what that broker has applied. */
  async #sampleAt(address: string): Promise<void> {
    for (const topic of RULES.groups.get(CONCURRENT_GROUP) ?? []) {
      for (let queue = 0; queue < QUEUES; queue += 1) {
        const { fields } = await this.#admin.ask(address, RequestCode.QUERY_CONSUMER_OFFSET, {
          consumerGroup: CONCURRENT_GROUP,
          topic,
          queueId: queue
        })
        const what = { group: CONCURRENT_GROUP, topic, queue, offset: Number(fields['offset']) }
        const head = { at: sharedNowMs(), client: 'sampler', op: 'sample', kind: 'ok' } as const
        this.#recorder.add({ ...head, ...what })
      }
    }
  }
}
