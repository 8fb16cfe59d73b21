import {
  Admin,
  ClientError,
  type MessageQueue,
  Producer,
  PullConsumer,
  PushConsumer,
  type ReceivedMessage
} from '../../src/client/index.ts'
import type { Acknowledged, CommittedSample, Seen } from '../chaos/history.ts'
import { CLUSTER, type SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { SimProcess } from './machine.ts'

const TOPIC = 'Sim'
const DELAYED_TOPIC = 'SimLater'
const GROUP = 'sim_group'
const SHARED_GROUP = 'sim_shared'
const REGISTER_GROUP = 'sim_register'
const QUEUES = 3
const RETRY_MS = 50
const SAMPLE_MS = 300
const DELAY_LEVELS_MAX = 2

/** The offset that a group was told is stored, and those that may be: raft.md 5.5. */
interface Register {
  readonly queue: MessageQueue
  acknowledged: number
  /** Without an answer: may be stored, also later than others. */
  readonly unsure: Set<number>
}

/** What clients do to the cluster, and what they saw. */
export class Workload {
  readonly acknowledged: Acknowledged[] = []
  readonly delivered: Seen[] = []
  readonly deliveredToShared = new Set<string>()
  readonly committed: CommittedSample[] = []
  readonly delayedAcknowledged: string[] = []
  failures = 0
  registerReads = 0
  readonly #cluster: SimCluster
  readonly #dice: Dice
  readonly #process: SimProcess
  readonly #consumerProcess: SimProcess
  readonly #lanes: Promise<void>[] = []
  readonly #closers: { close(): Promise<void> }[] = []
  #working = true
  #reader: PullConsumer | null = null
  #queues: readonly MessageQueue[] = []

  constructor(cluster: SimCluster, dice: Dice) {
    this.#cluster = cluster
    this.#dice = dice
    this.#process = cluster.spawnClient(0)
    this.#consumerProcess = cluster.spawnClient(1)
  }

  get #options(): { nameServers: string; platform: SimProcess['platform'] } {
    return { nameServers: this.#cluster.nameServerAddresses, platform: this.#process.platform }
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.#process.platform.clock.after(ms, resolve)
    })
  }

  /** The client's own errors are what a cluster in trouble may answer with; anything else is a bug. */
  async #patiently<T>(run: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await run()
      } catch (error) {
        if (!(error instanceof ClientError)) throw error
        this.failures += 1
        this.#cluster.log.add('client', this.#process.name, error.message)
        await this.#pause(RETRY_MS)
      }
    }
  }

  /** Topics, producers, consumers; the cluster must be whole. */
  async start(): Promise<void> {
    const { plan } = this.#cluster
    const admin = new Admin(this.#options)
    const producer = new Producer({ ...this.#options, group: 'sim_producer' })
    await this.#patiently(() => producer.start())
    await this.#patiently(() => admin.createTopic(CLUSTER, TOPIC, { queues: QUEUES }))
    await this.#patiently(() => admin.createTopic(CLUSTER, DELAYED_TOPIC, { queues: 1 }))
    const reader = new PullConsumer({ ...this.#options, group: 'sim_reader' })
    await this.#patiently(() => reader.start())
    this.#reader = reader
    this.#queues = await this.#patiently(() => producer.queues(TOPIC))
    if (this.#queues.length !== QUEUES) throw new Error(`${this.#queues.length} queues`)
    const members = [
      this.#consumer(GROUP, message => this.#sawDelivery(message)),
      this.#consumer(SHARED_GROUP, message => this.#sawShared(message)),
      this.#consumer(SHARED_GROUP, message => this.#sawShared(message))
    ]
    await Promise.all(members.map(member => this.#patiently(() => member.start())))
    const register = new PullConsumer({
      ...this.#options,
      group: REGISTER_GROUP,
      retryWithinMs: 1
    })
    await this.#patiently(() => register.start())
    this.#closers.push(admin, producer, reader, register, ...members)
    for (let lane = 0; lane < plan.lanes; lane++) this.#lanes.push(this.#lane(producer, lane))
    for (let i = 0; i < plan.batchLanes; i++) {
      this.#lanes.push(this.#batchLane(producer, plan.lanes + i))
    }
    for (let i = 0; i < plan.delayLanes; i++) this.#lanes.push(this.#delayLane(producer, i))
    this.#lanes.push(this.#registerLane(register, this.#queues[0]!))
    this.#lanes.push(this.#sampleLane(admin))
    for (const lane of this.#lanes) {
      lane.catch((error: unknown) => this.#cluster.violation(`a client failed: ${String(error)}`))
    }
  }

  /** The lanes end with what they are at; resolves when each has got its answer. */
  async finish(): Promise<void> {
    this.#working = false
    await Promise.all(this.#lanes)
  }

  async readAll(): Promise<Seen[]> {
    const all: Seen[] = []
    for (const queue of this.#queues) {
      for (const message of await this.#readQueue(queue)) all.push(this.#seen(message))
    }
    return all
  }

  async readDelayed(): Promise<string[]> {
    const queues = await this.#patiently(() => this.#reader!.queues(DELAYED_TOPIC))
    const bodies: string[] = []
    for (const queue of queues) {
      for (const { body } of await this.#readQueue(queue)) bodies.push(body.toString())
    }
    return bodies
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.map(closer => closer.close()))
  }

  async #readQueue(queue: MessageQueue): Promise<ReceivedMessage[]> {
    const reader = this.#reader!
    const messages: ReceivedMessage[] = []
    const end = await this.#patiently(() => reader.maxOffset(queue))
    for (let offset = 0; offset < end; ) {
      const page = await this.#patiently(() => reader.fetch(queue, offset))
      messages.push(...page.messages)
      if (page.nextOffset <= offset) await this.#pause(RETRY_MS)
      offset = page.nextOffset
    }
    return messages
  }

  #consumer(group: string, saw: (message: ReceivedMessage) => void): PushConsumer {
    const { platform } = this.#consumerProcess
    const consumer = new PushConsumer({
      nameServers: this.#cluster.nameServerAddresses,
      platform,
      group,
      consumeFrom: 'first',
      orderly: this.#cluster.plan.orderly,
      persistIntervalMs: 500,
      pullSuspendMs: 2_000,
      rebalanceIntervalMs: 3_000,
      routePollIntervalMs: 3_000,
      listener: messages => {
        for (const message of messages) saw(message)
      }
    })
    consumer.subscribe(TOPIC)
    return consumer
  }

  #sawDelivery(message: ReceivedMessage): void {
    this.delivered.push(this.#seen(message))
  }

  #sawShared(message: ReceivedMessage): void {
    this.deliveredToShared.add(this.#seen(message).body)
  }

  /** The padding behind the name is known, so that a changed byte is seen. */
  #seen({ queue, queueOffset, body }: ReceivedMessage): Seen {
    const text = body.toString('latin1')
    const name = text.slice(0, text.indexOf(' '))
    const expected = padded(name, body.length)
    return {
      queueId: queue.queueId,
      queueOffset,
      body: expected === text ? name : `damaged ${text.slice(0, 40)}`
    }
  }

  #body(lane: number, sequence: number): string {
    const { bodyBytesMax } = this.#cluster.plan
    return padded(`${lane}:${sequence}`, 8 + this.#dice.below(bodyBytesMax))
  }

  async #lane(producer: Producer, lane: number): Promise<void> {
    const queue = this.#queues[lane % QUEUES]!
    const { platform } = this.#process
    for (let sequence = 0; this.#working; sequence += 1) {
      const body = this.#body(lane, sequence)
      const { queueOffset } = await this.#patiently(() =>
        producer.send({ topic: TOPIC, body, keys: `k${lane}` }, { queue })
      )
      const atMs = platform.clock.monotonicMs()
      this.acknowledged.push({ lane, sequence, queueId: queue.queueId, queueOffset, atMs })
      await this.#pause(this.#dice.between(0, 2 * this.#cluster.plan.pauseMs))
    }
  }

  async #batchLane(producer: Producer, lane: number): Promise<void> {
    const queue = this.#queues[lane % QUEUES]!
    const { platform } = this.#process
    for (let sequence = 0; this.#working; ) {
      const count = 1 + this.#dice.below(6)
      const first = sequence
      const messages = Array.from({ length: count }, (_, i) => ({
        topic: TOPIC,
        body: this.#body(lane, first + i)
      }))
      const { queueOffset } = await this.#patiently(() => producer.sendBatch(messages, { queue }))
      const atMs = platform.clock.monotonicMs()
      for (let i = 0; i < count; i++) {
        this.acknowledged.push({
          lane,
          sequence: first + i,
          queueId: queue.queueId,
          queueOffset: queueOffset + i,
          atMs
        })
      }
      sequence += count
      await this.#pause(this.#dice.between(0, 2 * this.#cluster.plan.pauseMs))
    }
  }

  async #delayLane(producer: Producer, lane: number): Promise<void> {
    for (let sequence = 0; this.#working; sequence += 1) {
      const body = `${lane}:${sequence}`
      const delayLevel = 1 + this.#dice.below(DELAY_LEVELS_MAX)
      await this.#patiently(() => producer.send({ topic: DELAYED_TOPIC, body, delayLevel }))
      this.delayedAcknowledged.push(body)
      await this.#pause(this.#dice.between(0, 10 * this.#cluster.plan.pauseMs))
    }
  }

  /** Writes rising offsets; what it reads is never behind what it was told is stored, nor ahead of what it asked for. */
  async #registerLane(consumer: PullConsumer, queue: MessageQueue): Promise<void> {
    const register: Register = { queue, acknowledged: 0, unsure: new Set() }
    for (let next = 1; this.#working; ) {
      if (this.#dice.chance(0.5)) {
        const offset = next++
        await this.#patiently(async () => {
          try {
            await consumer.commitOffset(queue, offset)
          } catch (error) {
            register.unsure.add(offset)
            throw error
          }
        })
        register.acknowledged = offset
      } else {
        const offset = (await this.#patiently(() => consumer.committed(queue))) ?? 0
        this.registerReads += 1
        if (offset !== register.acknowledged && !register.unsure.has(offset)) {
          this.#cluster.violation(
            `the offset of ${REGISTER_GROUP} is ${offset}, stored was ${register.acknowledged}`
          )
        }
      }
      await this.#pause(this.#dice.between(0, 4 * this.#cluster.plan.pauseMs))
    }
  }

  async #sampleLane(admin: Admin): Promise<void> {
    while (this.#working) {
      try {
        const [address] = await admin.leaders(CLUSTER)
        if (address !== undefined) {
          const stats = await admin.offsets.consumeStats(address, GROUP, TOPIC)
          for (const [{ queueId }, { consumerOffset }] of stats.offsetTable) {
            if (consumerOffset >= 0) this.committed.push({ queueId, offset: consumerOffset })
          }
        }
      } catch (error) {
        if (!(error instanceof ClientError)) throw error
      }
      await this.#pause(SAMPLE_MS)
    }
  }
}

function padded(name: string, length: number): string {
  let text = `${name} `
  let state = name.length
  for (let i = 0; i < name.length; i++) state = (state * 31 + name.charCodeAt(i)) >>> 0
  while (text.length < length) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    text += String.fromCharCode(97 + ((state >>> 16) % 26))
  }
  return text
}
