import {
  Admin,
  ClientError,
  Producer,
  PullConsumer,
  type ReceivedMessage
} from '../../src/client/index.ts'
import { CLUSTER, type SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { SimProcess } from './machine.ts'
import { patiently, pause } from './patience.ts'

export const TIMED_TOPIC = 'SimTimed'
const RETRY_MS = 50
const DELAY_MS = [10, 8_000] as const

interface Timed {
  /** The send was answered. */
  acknowledged: boolean
  recall: 'none' | 'tried' | 'done'
}

/** A message where it waited for its time. */
export interface Waited {
  readonly body: string
  readonly dueMs: number
}

/**
 * A client whose messages name the time of their delivery, and which takes some of them back. Each is delivered once, not before its time,
 * and never when its recall was answered.
 */
export class TimedClient {
  readonly #cluster: SimCluster
  readonly #dice: Dice
  readonly #process: SimProcess
  readonly #messages = new Map<string, Timed>()
  readonly #closers: { close(): Promise<void> }[] = []
  readonly #lanes: Promise<void>[] = []
  #reader: PullConsumer | null = null
  #working = true
  recalled = 0

  constructor(cluster: SimCluster, dice: Dice, process: SimProcess) {
    this.#cluster = cluster
    this.#dice = dice
    this.#process = process
  }

  get hasMessages(): boolean {
    return this.#messages.size > 0
  }

  async start(): Promise<void> {
    const { platform } = this.#process
    const options = { nameServers: this.#cluster.nameServerAddresses, platform }
    const admin = new Admin(options)
    await this.#patiently(() => admin.createTopic(CLUSTER, TIMED_TOPIC, { queues: 1 }))
    await admin.close()
    // Nothing is sent twice under one name: what waits and what is delivered can be told apart.
    const producer = new Producer({
      ...options,
      group: 'sim_timed_producer',
      retries: 0,
      retryWithinMs: 1
    })
    const reader = new PullConsumer({ ...options, group: 'sim_timed_reader' })
    for (const client of [producer, reader]) {
      await this.#patiently(() => client.start())
      this.#closers.push(client)
    }
    this.#reader = reader
    const lane = this.#lane(producer)
    this.#lanes.push(lane)
    lane.catch((error: unknown) =>
      this.#cluster.violation(`a client of timed messages failed: ${String(error)}`)
    )
  }

  async finish(): Promise<void> {
    this.#working = false
    await Promise.all(this.#lanes)
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.map(closer => closer.close()))
  }

  async read(): Promise<ReceivedMessage[]> {
    const reader = this.#reader!
    const all: ReceivedMessage[] = []
    for (const queue of await this.#patiently(() => reader.queues(TIMED_TOPIC))) {
      const end = await this.#patiently(() => reader.maxOffset(queue))
      let offset = await this.#patiently(() => reader.minOffset(queue))
      while (offset < end) {
        const page = await this.#patiently(() => reader.fetch(queue, offset))
        all.push(...page.messages)
        if (page.nextOffset <= offset) await this.#pause(RETRY_MS)
        offset = page.nextOffset
      }
    }
    return all
  }

  /** Of those that waited, what is to come still. */
  missing(waited: readonly Waited[], delivered: ReadonlySet<string>): string[] {
    return waited
      .map(({ body }) => body)
      .filter(body => this.#messages.get(body)?.recall === 'none' && !delivered.has(body))
  }

  /** Sentences; `delivered` by body: the times of the log at which copies were stored. */
  check(
    waited: readonly Waited[],
    delivered: ReadonlyMap<string, readonly number[]>,
    lossless: boolean
  ): string[] {
    const found: string[] = []
    const due = new Map(waited.map(({ body, dueMs }) => [body, dueMs]))
    for (const [body, times] of delivered) {
      const dueMs = due.get(body)
      if (dueMs === undefined) found.push(`${body} is delivered and never waited`)
      else if (times[0]! < dueMs) found.push(`${body} is delivered ${dueMs - times[0]!} ms early`)
      if (times.length > 1) found.push(`${body} is delivered ${times.length} times`)
      if (lossless && this.#messages.get(body)?.recall === 'done') {
        found.push(`${body} was taken back and is delivered`)
      }
    }
    if (!lossless) return found
    for (const [body, { acknowledged }] of this.#messages) {
      if (acknowledged && !due.has(body)) found.push(`${body} is lost`)
    }
    return found
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#process, ms)
  }

  #patiently<T>(run: () => Promise<T>): Promise<T> {
    return patiently(this.#process, RETRY_MS, run)
  }

  async #lane(producer: Producer): Promise<void> {
    const dice = this.#dice
    for (let sequence = 0; this.#working; sequence += 1) {
      const body = String(sequence)
      const message: Timed = { acknowledged: false, recall: 'none' }
      this.#messages.set(body, message)
      const delayMs = Math.ceil(dice.skewed(...DELAY_MS))
      const handle = await this.#send(producer, body, delayMs)
      message.acknowledged = handle !== null
      if (handle !== null && dice.chance(0.2)) {
        await this.#pause(dice.between(0, delayMs))
        await this.#recall(producer, message, handle)
      }
      await this.#pause(dice.between(0, 8 * this.#cluster.plan.pauseMs))
    }
  }

  async #send(producer: Producer, body: string, delayMs: number): Promise<string | null> {
    try {
      const { recallHandle } = await producer.send({ topic: TIMED_TOPIC, body, delayMs })
      return recallHandle ?? ''
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      await this.#pause(RETRY_MS)
      return null
    }
  }

  async #recall(producer: Producer, message: Timed, handle: string): Promise<void> {
    if (handle === '') return
    message.recall = 'tried'
    try {
      await producer.recall(TIMED_TOPIC, handle)
      message.recall = 'done'
      this.recalled += 1
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
    }
  }
}
