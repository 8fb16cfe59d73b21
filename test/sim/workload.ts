import {
  Admin,
  ClientError,
  type MessageQueue,
  Producer,
  PullConsumer,
  PushConsumer,
  type ReceivedMessage,
  TransactionProducer,
  type TransactionVerdict
} from '../../src/client/index.ts'
import type { Acknowledged, CommittedSample, Seen } from '../chaos/history.ts'
import { CLUSTER, type SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { Operation, QueueCall, RegisterCall } from './linear.ts'
import type { SimProcess } from './machine.ts'
import { patiently, pause } from './patience.ts'

export const TOPIC = 'Sim'
export const DELAYED_TOPIC = 'SimLater'
export const TRANSACTION_TOPIC = 'SimTransactions'
const GROUP = 'sim_group'
const SHARED_GROUP = 'sim_shared'
export const SHARED_RETRY_TOPIC = `%RETRY%${SHARED_GROUP}`
const REGISTER_GROUP = 'sim_register'
const QUEUES = 3
const RETRY_MS = 50
const SAMPLE_MS = 300
const DELAY_LEVELS_MAX = 2
const LATER_MS_MIN = 10
const LATER_MS_MAX = 100

/** A send that was answered, on the clock of the simulation. */
export interface TimedAcknowledged extends Acknowledged {
  readonly callMs: number
  readonly returnMs: number
}

interface Transaction {
  readonly verdict: TransactionVerdict
  acknowledged: boolean
}

/** What clients do to the cluster, and what they saw. */
export class Workload {
  readonly acknowledged: TimedAcknowledged[] = []
  /** When a message was first tried. */
  readonly triedMs = new Map<string, number>()
  readonly delivered: Seen[] = []
  readonly deliveredToShared = new Set<string>()
  readonly committed: CommittedSample[] = []
  readonly delayedAcknowledged: string[] = []
  readonly transactions = new Map<string, Transaction>()
  /** The group's stored offset, by queue. */
  readonly registers = new Map<number, Operation<RegisterCall>[]>()
  readonly ends = new Map<number, Operation<QueueCall>[]>()
  /** Sent back, and not delivered again yet. */
  readonly owedAgain = new Set<string>()
  readonly laneNames: string[] = []
  /** A client sends one message after the other. */
  sends: boolean = false
  /** Of the orderly consumer, by queue. */
  readonly #delivered = new Map<number, number>()
  failures = 0
  registerReads = 0
  readonly #cluster: SimCluster
  readonly #dice: Dice
  readonly #process: SimProcess
  /** Where consumers run; others may run theirs there too. */
  readonly consumerProcess: SimProcess
  readonly #only: ReadonlySet<string> | null
  readonly #lanes: Promise<void>[] = []
  readonly #closers: { close(): Promise<void> }[] = []
  #members: readonly PushConsumer[] = []
  #working = true
  #reader: PullConsumer | null = null
  #queues: readonly MessageQueue[] = []

  /** `only`: names of the lanes that work; null: all. */
  constructor(cluster: SimCluster, dice: Dice, only: ReadonlySet<string> | null) {
    this.#cluster = cluster
    this.#only = only
    this.#dice = dice
    this.#process = cluster.spawnClient(0)
    this.consumerProcess = cluster.spawnClient(1)
  }

  get #options(): { nameServers: string; platform: SimProcess['platform'] } {
    return { nameServers: this.#cluster.nameServerAddresses, platform: this.#process.platform }
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#process, ms)
  }

  #patiently<T>(run: () => Promise<T>): Promise<T> {
    return patiently(this.#process, RETRY_MS, run, error => {
      this.failures += 1
      this.#cluster.log.add('client', this.#process.name, error.message)
    })
  }

  /** Topics, producers, consumers; the cluster must be whole. */
  async start(): Promise<void> {
    const { plan } = this.#cluster
    const admin = new Admin(this.#options)
    const producer = new Producer({ ...this.#options, group: 'sim_producer' })
    await this.#patiently(() => producer.start())
    await this.#patiently(() => admin.createTopic(CLUSTER, TOPIC, { queues: QUEUES }))
    await this.#patiently(() => admin.createTopic(CLUSTER, DELAYED_TOPIC, { queues: 1 }))
    await this.#patiently(() => admin.createTopic(CLUSTER, TRANSACTION_TOPIC, { queues: 1 }))
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
    this.#members = members
    await Promise.all(members.map(member => this.#patiently(() => member.start())))
    const registers = [this.#process, this.consumerProcess].map(
      ({ platform }) =>
        new PullConsumer({ ...this.#options, platform, group: REGISTER_GROUP, retryWithinMs: 1 })
    )
    const transactions = new TransactionProducer({
      ...this.#options,
      group: 'sim_transactions',
      listener: {
        executeLocal: ({ body }) =>
          this.#dice.chance(0.5) ? this.#verdict(String(body)) : 'unknown',
        checkLocal: ({ body }) => this.#verdict(body.toString())
      }
    })
    const clients = [...registers, ...(plan.transactionLanes > 0 ? [transactions] : [])]
    for (const client of clients) await this.#patiently(() => client.start())
    this.#closers.push(admin, producer, reader, ...clients, ...members)
    for (let lane = 0; lane < plan.lanes; lane++) {
      this.#begin(`send${lane}`, dice => this.#lane(producer, lane, dice))
    }
    for (let i = 0; i < plan.batchLanes; i++) {
      this.#begin(`batch${i}`, dice => this.#batchLane(producer, plan.lanes + i, dice))
    }
    for (let i = 0; i < plan.delayLanes; i++) {
      this.#begin(`delay${i}`, dice => this.#delayLane(producer, i, dice))
    }
    for (let i = 0; i < plan.transactionLanes; i++) {
      this.#begin(`transaction${i}`, dice => this.#transactionLane(transactions, i, dice))
    }
    for (const [i, register] of registers.entries()) {
      this.#begin(`register${i}`, dice => this.#registerLane(register, this.#queues[0]!, i, dice))
      this.#begin(`end${i}`, dice => this.#endLane(register, dice))
    }
    this.#begin('sample', () => this.#sampleLane(admin))
  }

  /** Each lane has chance of its own, so that one left out changes nothing for the others. */
  #begin(name: string, run: (dice: Dice) => Promise<void>): void {
    this.laneNames.push(name)
    if (this.#only?.has(name) === false) return
    this.sends ||= name.startsWith('send')
    const lane = run(this.#dice.fork(name))
    this.#lanes.push(lane)
    lane.catch((error: unknown) => this.#cluster.violation(`a client failed: ${String(error)}`))
  }

  #verdict(body: string): TransactionVerdict {
    return this.transactions.get(body)?.verdict ?? 'unknown'
  }

  get #nowMs(): number {
    return this.#cluster.scheduler.nowMs
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

  readDelayed(): Promise<ReceivedMessage[]> {
    return this.#readTopic(DELAYED_TOPIC)
  }

  readTransactions(): Promise<ReceivedMessage[]> {
    return this.#readTopic(TRANSACTION_TOPIC)
  }

  async #readTopic(topic: string): Promise<ReceivedMessage[]> {
    const queues = await this.#patiently(() => this.#reader!.queues(topic))
    const messages: ReceivedMessage[] = []
    for (const queue of queues) messages.push(...(await this.#readQueue(queue)))
    return messages
  }

  /** Of what is stored, what one of the two groups has not got yet, with its place and who lacks it. */
  undelivered(stored: readonly Seen[]): string[] {
    const seen = new Set(this.delivered.map(({ body }) => body))
    const all: string[] = []
    for (const { queueId, queueOffset, body } of stored) {
      if (!seen.has(body)) all.push(`${body} at ${queueId}@${queueOffset} for ${GROUP}`)
      if (!this.deliveredToShared.has(body))
        all.push(`${body} at ${queueId}@${queueOffset} for ${SHARED_GROUP}`)
    }
    return all
  }

  /** For the report of what was not delivered: the queues of each consumer, and the groups' places. */
  describeConsumers(): string {
    const leader = this.#cluster.leader()
    const tables = leader === null ? null : this.#cluster.running.get(leader)!.store.tables
    const places = [GROUP, SHARED_GROUP].map(group => {
      const offsets = this.#queues.map(
        ({ queueId }) => `${queueId}@${tables?.consumerOffset(group, TOPIC, queueId)}`
      )
      return `${group} ${offsets.join(' ')}`
    })
    const owners = this.#members.map(
      member =>
        `${member.clientId} ${member.assignment.map(q => `${q.topic.slice(0, 8)}/${q.queueId}`).join(' ')}`
    )
    return [...places, ...owners].join('; ')
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.map(closer => closer.close()))
  }

  async #readQueue(queue: MessageQueue): Promise<ReceivedMessage[]> {
    const reader = this.#reader!
    const messages: ReceivedMessage[] = []
    const end = await this.#patiently(() => reader.maxOffset(queue))
    const first = await this.#patiently(() => reader.minOffset(queue))
    for (let offset = first; offset < end; ) {
      const page = await this.#patiently(() => reader.fetch(queue, offset))
      messages.push(...page.messages)
      if (page.nextOffset <= offset) await this.#pause(RETRY_MS)
      offset = page.nextOffset
    }
    return messages
  }

  #consumer(group: string, saw: (message: ReceivedMessage) => boolean): PushConsumer {
    const { platform } = this.consumerProcess
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
      listener: (messages, context) => {
        context.delayLevel = 1
        if (messages.every(message => saw(message))) return 'done'
        // An orderly queue stands still so long: with the default, of 1 s, it would for most of the run.
        context.suspendMs = LATER_MS_MIN + this.#dice.below(LATER_MS_MAX - LATER_MS_MIN)
        return 'later'
      }
    })
    consumer.subscribe(TOPIC)
    return consumer
  }

  #sawDelivery(message: ReceivedMessage): boolean {
    const seen = this.#seen(message)
    this.delivered.push(seen)
    const { queueId, queueOffset } = seen
    const highest = this.#delivered.get(queueId) ?? -1
    this.#delivered.set(queueId, Math.max(highest, queueOffset))
    const { plan, judge } = this.#cluster
    const isGap = queueOffset > highest + 1 && queueOffset > judge.trimmedTo(TOPIC, queueId)
    if (plan.orderly && isGap && judge.lossesMs.length === 0) {
      this.#cluster.violation(
        `an orderly consumer got ${queueId}@${queueOffset} behind ${queueId}@${highest}`
      )
    }
    return true
  }

  /** False: to be delivered again. */
  #sawShared(message: ReceivedMessage): boolean {
    const { body } = this.#seen(message)
    this.owedAgain.delete(body)
    const isFirst = !this.deliveredToShared.has(body)
    this.deliveredToShared.add(body)
    if (!isFirst || !this.#dice.chance(this.#cluster.plan.laterShare)) return true
    this.owedAgain.add(body)
    return false
  }

  /** The padding behind the name is known, so that a changed byte is seen. */
  #seen({ queue, queueOffset, body }: ReceivedMessage): Seen {
    return { queueId: queue.queueId, queueOffset, body: nameOf(body) }
  }

  #body(lane: number, sequence: number, dice: Dice): string {
    const { bodyBytesMax } = this.#cluster.plan
    return padded(`${lane}:${sequence}`, 8 + dice.below(bodyBytesMax))
  }

  async #lane(producer: Producer, lane: number, dice: Dice): Promise<void> {
    const queue = this.#queues[lane % QUEUES]!
    for (let sequence = 0; this.#working; sequence += 1) {
      const body = this.#body(lane, sequence, dice)
      const callMs = this.#nowMs
      this.triedMs.set(`${lane}:${sequence}`, callMs)
      const { queueOffset } = await this.#patiently(() =>
        producer.send({ topic: TOPIC, body, keys: `k${lane}` }, { queue })
      )
      this.#acknowledged(lane, sequence, queue, queueOffset, callMs)
      await this.#pause(dice.between(0, 2 * this.#cluster.plan.pauseMs))
    }
  }

  #acknowledged(
    lane: number,
    sequence: number,
    { queueId }: MessageQueue,
    queueOffset: number,
    callMs: number
  ): void {
    const atMs = this.#process.platform.clock.monotonicMs()
    const returnMs = this.#nowMs
    this.acknowledged.push({ lane, sequence, queueId, queueOffset, atMs, callMs, returnMs })
  }

  async #batchLane(producer: Producer, lane: number, dice: Dice): Promise<void> {
    const queue = this.#queues[lane % QUEUES]!
    for (let sequence = 0; this.#working; ) {
      const count = 1 + dice.below(6)
      const first = sequence
      const callMs = this.#nowMs
      const messages = Array.from({ length: count }, (_, i) => ({
        topic: TOPIC,
        body: this.#body(lane, first + i, dice)
      }))
      for (let i = 0; i < count; i++) this.triedMs.set(`${lane}:${first + i}`, callMs)
      const { queueOffset } = await this.#patiently(() => producer.sendBatch(messages, { queue }))
      for (let i = 0; i < count; i++) {
        this.#acknowledged(lane, first + i, queue, queueOffset + i, callMs)
      }
      sequence += count
      await this.#pause(dice.between(0, 2 * this.#cluster.plan.pauseMs))
    }
  }

  async #delayLane(producer: Producer, lane: number, dice: Dice): Promise<void> {
    for (let sequence = 0; this.#working; sequence += 1) {
      const body = `${lane}:${sequence}`
      const delayLevel = 1 + dice.below(DELAY_LEVELS_MAX)
      await this.#patiently(() => producer.send({ topic: DELAYED_TOPIC, body, delayLevel }))
      this.delayedAcknowledged.push(body)
      await this.#pause(dice.between(0, 10 * this.#cluster.plan.pauseMs))
    }
  }

  /** The own part of each ends as was decided before; half of them say so only when the broker asks. */
  async #transactionLane(producer: TransactionProducer, lane: number, dice: Dice): Promise<void> {
    for (let sequence = 0; this.#working; sequence += 1) {
      const body = `${lane}:${sequence}`
      const transaction: Transaction = {
        verdict: dice.chance(0.6) ? 'commit' : 'rollback',
        acknowledged: false
      }
      this.transactions.set(body, transaction)
      await this.#patiently(() => producer.sendInTransaction({ topic: TRANSACTION_TOPIC, body }))
      transaction.acknowledged = true
      await this.#pause(dice.between(0, 10 * this.#cluster.plan.pauseMs))
    }
  }

  /** Two clients write and read one stored offset; what they saw is checked at the end. */
  async #registerLane(
    consumer: PullConsumer,
    queue: MessageQueue,
    lane: number,
    dice: Dice
  ): Promise<void> {
    const history: Operation<RegisterCall>[] = this.registers.get(queue.queueId) ?? []
    this.registers.set(queue.queueId, history)
    for (let next = 1; this.#working; ) {
      if (dice.chance(0.5)) {
        await this.#patiently(async () => {
          const call: RegisterCall = { kind: 'write', value: 2 * next++ + lane }
          const callMs = this.#nowMs
          try {
            await consumer.commitOffset(queue, call.value)
          } catch (error) {
            history.push({ callMs, returnMs: null, call })
            throw error
          }
          history.push({ callMs, returnMs: this.#nowMs, call })
        })
      } else {
        let callMs = 0
        const value = await this.#patiently(() => {
          callMs = this.#nowMs
          return consumer.committed(queue)
        })
        this.registerReads += 1
        const call: RegisterCall = { kind: 'read', value: value ?? 0 }
        history.push({ callMs, returnMs: this.#nowMs, call })
      }
      await this.#pause(dice.between(0, 4 * this.#cluster.plan.pauseMs))
    }
  }

  async #endLane(consumer: PullConsumer, dice: Dice): Promise<void> {
    while (this.#working) {
      const queue = dice.pick(this.#queues)
      let callMs = 0
      const offset = await this.#patiently(() => {
        callMs = this.#nowMs
        return consumer.maxOffset(queue)
      })
      const history = this.ends.get(queue.queueId) ?? []
      this.ends.set(queue.queueId, history)
      history.push({ callMs, returnMs: this.#nowMs, call: { kind: 'end', offset } })
      await this.#pause(dice.between(0, 8 * this.#cluster.plan.pauseMs))
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

/** What a body of the senders says, if it is as it was sent. */
export function nameOf(body: Buffer): string {
  const text = body.toString('latin1')
  const name = text.slice(0, text.indexOf(' '))
  return padded(name, body.length) === text ? name : `damaged ${text.slice(0, 40)}`
}

/** Longer than any body. */
const PADDING = Array.from({ length: 65_536 }, (_, i) =>
  String.fromCharCode(97 + ((Math.imul(i + 1, 2_654_435_761) >>> 16) % 26))
).join('')

/** Its own place in the padding for each name. */
function padded(name: string, length: number): string {
  let hash = name.length
  for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) >>> 0
  const from = hash % (PADDING.length / 2)
  const missing = Math.max(0, length - name.length - 1)
  return `${name} ${PADDING.slice(from, from + missing)}`
}
