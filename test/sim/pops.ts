import {
  Admin,
  ClientError,
  PopConsumer,
  type PoppedMessage,
  Producer
} from '../../src/client/index.ts'
import { CLUSTER, type SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { SimProcess } from './machine.ts'
import { patiently, pause } from './patience.ts'

export const POP_TOPIC = 'SimPop'
export const POP_GROUP = 'sim_pop'
const QUEUES = 2
const RETRY_MS = 50
const WAIT_MS = 1_000
/** Shortest and longest time for which a message is hidden, ms. */
const INVISIBLE_MS = [2_000, 20_000] as const

/** A message in its place: a retried one has another place. */
interface Place {
  readonly body: string
  /** Calls of the pop that gave it out; a message that is acknowledged before the second is over in time. */
  readonly calledMs: number
}

/**
 * Clients that consume by POP: they acknowledge, let go, or change the time of what they get. Whatever happens to the cluster, no place
 * of a message is given out twice (it comes back from a retry topic), what was acknowledged in time does not come again, and in the end
 * each has come.
 */
export class PopClients {
  readonly #cluster: SimCluster
  readonly #dice: Dice
  readonly #process: SimProcess
  readonly #lanes: Promise<void>[] = []
  readonly #closers: { close(): Promise<void> }[] = []
  readonly #sent = new Set<string>()
  readonly #seen = new Map<string, Place>()
  readonly #delivered = new Set<string>()
  /** By message: acknowledged while it was hidden for sure. */
  readonly #done = new Set<string>()
  #consumer: PopConsumer | null = null
  #working = true
  /** Deliveries of messages that had come before. */
  #again = 0

  constructor(cluster: SimCluster, dice: Dice, process: SimProcess) {
    this.#cluster = cluster
    this.#dice = dice
    this.#process = process
  }

  get #nowMs(): number {
    return this.#cluster.scheduler.nowMs
  }

  async start(): Promise<void> {
    const options = {
      nameServers: this.#cluster.nameServerAddresses,
      platform: this.#process.platform
    }
    const admin = new Admin(options)
    await this.#patiently(() => admin.createTopic(CLUSTER, POP_TOPIC, { queues: QUEUES }))
    await admin.close()
    // Nothing is tried twice under one name: a message may be stored although its sender was not told.
    const producer = new Producer({
      ...options,
      group: 'sim_pop_producer',
      retries: 0,
      retryWithinMs: 1
    })
    const consumer = new PopConsumer({
      ...options,
      group: POP_GROUP,
      waitMs: WAIT_MS,
      retryWithinMs: 1,
      messagesPerReceive: 1 + this.#dice.below(8),
      routePollIntervalMs: 3_000
    })
    consumer.subscribe(POP_TOPIC)
    for (const client of [producer, consumer]) {
      await this.#patiently(() => client.start())
      this.#closers.push(client)
    }
    this.#consumer = consumer
    this.#begin(this.#sendLane(producer, this.#dice.fork('send')))
    for (let i = 0; i < 2; i++) this.#begin(this.#popLane(consumer, this.#dice.fork(`pop${i}`)))
  }

  /** The lanes end with what they are at. */
  async finish(): Promise<void> {
    this.#working = false
    await Promise.all(this.#lanes)
  }

  /** Takes all that is left; resolves when nothing is in flight and nothing of what was sent is missing. `gone`: by retention. */
  async settle(gone: () => ReadonlySet<string>): Promise<void> {
    const consumer = this.#consumer!
    const missing = (): boolean => {
      const left = [...this.#sent].filter(body => !this.#delivered.has(body))
      if (left.length === 0) return false
      const lost = gone()
      return left.some(body => !lost.has(body))
    }
    for (;;) {
      const messages = await this.#receive(consumer, INVISIBLE_MS[1])
      for (const message of messages) await this.#patiently(() => consumer.ack(message))
      if (messages.length > 0 || missing()) continue
      const leader = this.#cluster.leader()
      const store = leader === null ? undefined : this.#cluster.running.get(leader)?.store
      if (store?.tables.pops.count !== 0) continue
      const text = `${this.#seen.size} places, ${this.#again} deliveries again`
      this.#cluster.log.add('POPPED', this.#process.name, text)
      return
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.map(closer => closer.close()))
  }

  #begin(lane: Promise<void>): void {
    this.#lanes.push(lane)
    lane.catch((error: unknown) => this.#cluster.violation(`a POP client failed: ${String(error)}`))
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#process, ms)
  }

  #patiently<T>(run: () => Promise<T>): Promise<T> {
    return patiently(this.#process, RETRY_MS, run)
  }

  async #sendLane(producer: Producer, dice: Dice): Promise<void> {
    for (let sequence = 0; this.#working; sequence += 1) {
      let attempt = 0
      await this.#patiently(async () => {
        const body = `${sequence}.${attempt++}`
        await producer.send({ topic: POP_TOPIC, body })
        this.#sent.add(body)
      })
      await this.#pause(dice.between(0, 6 * this.#cluster.plan.pauseMs))
    }
  }

  async #popLane(consumer: PopConsumer, dice: Dice): Promise<void> {
    while (this.#working) {
      const invisibleMs = Math.round(dice.between(...INVISIBLE_MS))
      const calledMs = this.#nowMs
      for (const message of await this.#receive(consumer, invisibleMs)) {
        const way = dice.next()
        if (way < 0.15) continue
        if (way > 0.3) await this.#acknowledge(consumer, message, calledMs + invisibleMs)
        else await this.#change(consumer, message, Math.round(dice.between(0, 5_000)))
        if (!this.#working) return
      }
      await this.#pause(dice.between(0, 4 * this.#cluster.plan.pauseMs))
    }
  }

  /** Clocks that run apart, or are set, make a time that is not this one. */
  get #hasOneTime(): boolean {
    const { plan } = this.#cluster
    return !plan.clockDrift && !plan.faults.has('clockJump')
  }

  async #acknowledge(
    consumer: PopConsumer,
    message: PoppedMessage,
    hiddenUntilMs: number
  ): Promise<void> {
    try {
      await consumer.ack(message)
      if (this.#hasOneTime && this.#nowMs < hiddenUntilMs) this.#done.add(message.messageId)
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
    }
  }

  async #change(consumer: PopConsumer, message: PoppedMessage, invisibleMs: number): Promise<void> {
    try {
      await consumer.changeInvisible(message, invisibleMs)
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
    }
  }

  /** None also when the pop failed: what it took comes back. */
  async #receive(consumer: PopConsumer, invisibleMs: number): Promise<PoppedMessage[]> {
    const calledMs = this.#nowMs
    let messages: PoppedMessage[]
    try {
      messages = await consumer.receive({ invisibleMs })
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      await this.#pause(RETRY_MS)
      return []
    }
    for (const message of messages) this.#saw(message, calledMs)
    return messages
  }

  #saw(message: PoppedMessage, calledMs: number): void {
    const body = message.body.toString()
    const { queueId } = message.queue
    const place = `${message.handle.split(' ')[4]} ${queueId}@${message.queueOffset}`
    const before = this.#seen.get(place)
    const lossless = this.#cluster.judge.lossesMs.length === 0
    if (before !== undefined && lossless)
      this.#cluster.violation(
        `a pop gave ${place} out twice: ${before.body} (called at ${before.calledMs}) and ${body} (called at ${calledMs})`
      )
    if (this.#done.has(message.messageId) && lossless)
      this.#cluster.violation(`${body} came again after it was acknowledged, as ${place}`)
    if (this.#delivered.has(body)) this.#again += 1
    this.#seen.set(place, { body, calledMs })
    this.#delivered.add(body)
  }
}
