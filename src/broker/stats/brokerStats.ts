import type { Clock, Timer } from '../../platform/index.ts'
import { SystemTopic } from '../../protocol/index.ts'
import { StatItem, samplePeriodMs } from './item.ts'

/** Names of the original's statistics (broker.md 7.4), as VIEW_BROKER_STATS_DATA (315) asks for them. */
export const StatName = {
  TOPIC_PUT_NUMS: 'TOPIC_PUT_NUMS',
  TOPIC_PUT_SIZE: 'TOPIC_PUT_SIZE',
  QUEUE_PUT_NUMS: 'QUEUE_PUT_NUMS',
  QUEUE_PUT_SIZE: 'QUEUE_PUT_SIZE',
  GROUP_GET_NUMS: 'GROUP_GET_NUMS',
  GROUP_GET_SIZE: 'GROUP_GET_SIZE',
  QUEUE_GET_NUMS: 'QUEUE_GET_NUMS',
  QUEUE_GET_SIZE: 'QUEUE_GET_SIZE',
  GROUP_GET_LATENCY: 'GROUP_GET_LATENCY',
  SNDBCK_PUT_NUMS: 'SNDBCK_PUT_NUMS',
  SNDBCK2DLQ_TIMES: 'SNDBCK2DLQ_TIMES',
  GROUP_ACK_NUMS: 'GROUP_ACK_NUMS',
  GROUP_CK_NUMS: 'GROUP_CK_NUMS',
  BROKER_ACK_NUMS: 'BROKER_ACK_NUMS',
  BROKER_CK_NUMS: 'BROKER_CK_NUMS',
  BROKER_PUT_NUMS: 'BROKER_PUT_NUMS',
  BROKER_GET_NUMS: 'BROKER_GET_NUMS'
} as const
export type StatName = (typeof StatName)[keyof typeof StatName]

/** Items of all names together; further keys are not counted, so that no client can make it grow. */
const itemsMax = 200_000

/** Counters of one queue's puts, fetched once and then added to. */
class PutStats {
  readonly topicNums: StatItem
  readonly topicSize: StatItem
  readonly queueNums: StatItem
  readonly queueSize: StatItem

  constructor(topicNums: StatItem, topicSize: StatItem, queueNums: StatItem, queueSize: StatItem) {
    this.topicNums = topicNums
    this.topicSize = topicSize
    this.queueNums = queueNums
    this.queueSize = queueSize
  }
}

/** Counters of one group's reads of one queue. */
class GetStats {
  readonly groupNums: StatItem
  readonly groupSize: StatItem
  readonly queueNums: StatItem
  readonly queueSize: StatItem
  readonly latency: StatItem
  /** Log bytes between the last message read and the log's end. */
  fallBytes = 0
  /** Age of the last message read, ms. */
  fallMs = 0
  /** Behind the last message read; -1: none was read, or the group was set back since. */
  nextOffset = -1

  constructor(items: {
    groupNums: StatItem
    groupSize: StatItem
    queueNums: StatItem
    queueSize: StatItem
    latency: StatItem
  }) {
    this.groupNums = items.groupNums
    this.groupSize = items.groupSize
    this.queueNums = items.queueNums
    this.queueSize = items.queueSize
    this.latency = items.latency
  }
}

const dayCheckMs = 60_000

/** Behind the key of SNDBCK2DLQ_TIMES, whose items are the original's for billing: owner@topic@group@kind. */
const deadLetterKind = 'SEND_BACK_TO_DLQ'
/** What stands for the owner of a client that names none. */
const noOwner = 'null'
const ownerLengthMax = 255

/** What this node put and gave out, in the original's terms. Local: each member counts what it served itself. */
export class BrokerStats {
  /** Messages since the start; the morning's figures are taken at local midnight. */
  putTotal = 0
  getTotal = 0
  putTotalTodayMorning = 0
  putTotalYesterdayMorning = 0
  getTotalTodayMorning = 0
  getTotalYesterdayMorning = 0
  /** Longest answer to a pull that found messages, ms. */
  getTookMaxMs = 0
  readonly #clock: Clock
  readonly #cluster: string
  readonly #items = new Map<string, Map<string, StatItem>>()
  readonly #puts = new Map<string, PutStats[]>()
  readonly #gets = new Map<string, Map<string, GetStats[]>>()
  readonly #brokerPut: StatItem
  readonly #brokerGet: StatItem
  /** Takes what is beyond `itemsMax`. */
  readonly #overflow = new StatItem()
  readonly #timers: Timer[] = []
  #count = 0
  #round = 0
  #day: number

  constructor(clock: Clock, clusterName: string) {
    this.#clock = clock
    this.#cluster = clusterName
    for (const name of Object.values(StatName)) this.#items.set(name, new Map())
    this.#brokerPut = this.item(StatName.BROKER_PUT_NUMS, clusterName)
    this.#brokerGet = this.item(StatName.BROKER_GET_NUMS, clusterName)
    this.#day = this.#localDay()
  }

  get clusterName(): string {
    return this.#cluster
  }

  start(): void {
    this.#timers.push(
      this.#clock.every(samplePeriodMs, () => this.sample()),
      this.#clock.every(dayCheckMs, () => this.#checkDay())
    )
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel()
    this.#timers.length = 0
  }

  #localDay(): number {
    return new Date(this.#clock.wallMs()).getDate()
  }

  #checkDay(): void {
    const day = this.#localDay()
    if (day === this.#day) return
    this.#day = day
    this.putTotalYesterdayMorning = this.putTotalTodayMorning
    this.getTotalYesterdayMorning = this.getTotalTodayMorning
    this.putTotalTodayMorning = this.putTotal
    this.getTotalTodayMorning = this.getTotal
  }

  /** Takes one sample of everything; the timer's work. */
  sample(): void {
    this.#round++
    const nowMs = this.#clock.wallMs()
    for (const items of this.#items.values())
      for (const item of items.values()) item.sample(this.#round, nowMs)
  }

  /** The counter of a key, made when missing. */
  item(name: StatName, key: string): StatItem {
    const items = this.#items.get(name)!
    let item = items.get(key)
    if (item === undefined) {
      if (this.#count >= itemsMax) return this.#overflow
      item = new StatItem()
      items.set(key, item)
      this.#count++
    }
    return item
  }

  /** For 315 and tools: null when nothing was counted under this name and key. */
  find(name: string, key: string): StatItem | null {
    return this.#items.get(name)?.get(key) ?? null
  }

  put(topic: string, queueId: number, messages: number, bytes: number): void {
    this.#putToTopic(topic, queueId, messages, bytes)
    this.#brokerPut.add(messages, 1)
    this.putTotal += messages
  }

  #putToTopic(topic: string, queueId: number, messages: number, bytes: number): void {
    let queues = this.#puts.get(topic)
    if (queues === undefined) {
      queues = []
      if (this.#count < itemsMax) this.#puts.set(topic, queues)
    }
    let stats = queues[queueId]
    if (stats === undefined) {
      stats = new PutStats(
        this.item(StatName.TOPIC_PUT_NUMS, topic),
        this.item(StatName.TOPIC_PUT_SIZE, topic),
        this.item(StatName.QUEUE_PUT_NUMS, `${topic}@${queueId}`),
        this.item(StatName.QUEUE_PUT_SIZE, `${topic}@${queueId}`)
      )
      queues[queueId] = stats
    }
    stats.topicNums.add(messages, 1)
    stats.topicSize.add(bytes, 1)
    stats.queueNums.add(messages, 1)
    stats.queueSize.add(bytes, 1)
  }

  /** `tookMs`: from the request to its answer. */
  got(
    group: string,
    topic: string,
    queueId: number,
    result: {
      messages: number
      bytes: number
      tookMs: number
      behindBytes: number
      lastStoreMs: number
      /** Absent: it was only looked at. */
      nextOffset?: number
    }
  ): void {
    const stats = this.#getStats(group, topic, queueId)
    stats.groupNums.add(result.messages, 1)
    stats.groupSize.add(result.bytes, 1)
    stats.queueNums.add(result.messages, 1)
    stats.queueSize.add(result.bytes, 1)
    stats.latency.add(result.tookMs, 1)
    stats.fallBytes = result.behindBytes
    if (result.nextOffset !== undefined) stats.nextOffset = result.nextOffset
    stats.fallMs = Math.max(0, this.#clock.wallMs() - result.lastStoreMs)
    this.#brokerGet.add(result.messages, 1)
    this.getTotal += result.messages
    if (result.tookMs > this.getTookMaxMs) this.getTookMaxMs = result.tookMs
  }

  /** Up to where this node gave the queue out to the group; -1: not known here. */
  pulledOffset(group: string, topic: string, queueId: number): number {
    return this.#gets.get(group)?.get(topic)?.[queueId]?.nextOffset ?? -1
  }

  /** The group's offset was set back. */
  forgetPulled(group: string, topic: string, queueId: number): void {
    const stats = this.#gets.get(group)?.get(topic)?.[queueId]
    if (stats !== undefined) stats.nextOffset = -1
  }

  #getStats(group: string, topic: string, queueId: number): GetStats {
    let topics = this.#gets.get(group)
    if (topics === undefined) {
      topics = new Map()
      if (this.#count < itemsMax) this.#gets.set(group, topics)
    }
    let queues = topics.get(topic)
    if (queues === undefined) {
      queues = []
      if (this.#count < itemsMax) topics.set(topic, queues)
    }
    let stats = queues[queueId]
    if (stats === undefined) {
      stats = new GetStats({
        groupNums: this.item(StatName.GROUP_GET_NUMS, `${topic}@${group}`),
        groupSize: this.item(StatName.GROUP_GET_SIZE, `${topic}@${group}`),
        queueNums: this.item(StatName.QUEUE_GET_NUMS, `${topic}@${queueId}@${group}`),
        queueSize: this.item(StatName.QUEUE_GET_SIZE, `${topic}@${queueId}@${group}`),
        latency: this.item(StatName.GROUP_GET_LATENCY, `${queueId}@${topic}@${group}`)
      })
      queues[queueId] = stats
    }
    return stats
  }

  /** A message of `topic` was sent back (36) and stored in `storedTopic`: counted for that one as long as it waits there only. */
  sentBack(
    topic: string,
    group: string,
    stored: { topic: string; queueId: number; bytes: number }
  ): void {
    this.item(StatName.SNDBCK_PUT_NUMS, `${topic}@${group}`).add(1, 1)
    if (stored.topic === SystemTopic.SCHEDULE)
      this.#putToTopic(stored.topic, stored.queueId, 1, stored.bytes)
    this.putTotal += 1
  }

  /** The last of them: what was sent back (36) became a dead letter. `owner`: ext field Owner of the request. */
  sentToDeadLetters(topic: string, group: string, owner: string | undefined): void {
    const named = owner === undefined || owner.length > ownerLengthMax ? noOwner : owner
    const key = `${named}@${topic}@${group}@${deadLetterKind}`
    this.item(StatName.SNDBCK2DLQ_TIMES, key).add(1, 1)
  }

  /** A pop put one batch into flight. */
  popped(group: string, topic: string): void {
    this.item(StatName.GROUP_CK_NUMS, `${topic}@${group}`).add(1, 1)
    this.item(StatName.BROKER_CK_NUMS, this.#cluster).add(1, 1)
  }

  acknowledged(group: string, topic: string, messages: number): void {
    this.item(StatName.GROUP_ACK_NUMS, `${topic}@${group}`).add(messages, 1)
    this.item(StatName.BROKER_ACK_NUMS, this.#cluster).add(messages, 1)
  }

  /** With autoDeleteUnusedStats: forgets a deleted topic. */
  forgetTopic(topic: string): void {
    this.#puts.delete(topic)
    for (const topics of this.#gets.values()) topics.delete(topic)
    for (const items of this.#items.values())
      for (const key of items.keys()) if (key.split('@').includes(topic)) this.#drop(items, key)
  }

  /** With autoDeleteUnusedStats: forgets a deleted group. */
  forgetGroup(group: string): void {
    this.#gets.delete(group)
    for (const items of this.#items.values())
      for (const key of items.keys())
        if (key.endsWith(`@${group}`) || key.endsWith(`@${group}@${deadLetterKind}`))
          this.#drop(items, key)
  }

  #drop(items: Map<string, StatItem>, key: string): void {
    if (items.delete(key)) this.#count--
  }
}
