import { CommandFlag, RequestCode, ResponseCode, request } from '../../src/protocol/index.ts'
import { RemotingClient } from '../../src/remoting/index.ts'
import { BROKER_PORT, type SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { SimProcess } from './machine.ts'
import { pause } from './patience.ts'
import { TOPIC } from './workload.ts'

const GROUP = 'sim_steps'
const QUEUE_ID = 1
const CALL_MS = 3_000
const BACK_OFF_MS = 50

/**
 * A client whose offset only grows, and which commits it in every way that there is: answered or one-way, at any member of the group,
 * over connections that it closes now and then. Whatever is late on its way, the group's offset never goes back from what was told.
 */
export class Steps {
  /** By the way that they took. */
  readonly counts = new Map<string, number>()
  readonly #cluster: SimCluster
  readonly #dice: Dice
  readonly #process: SimProcess
  readonly #client: RemotingClient
  #lane: Promise<void> = Promise.resolve()
  #working = true
  #tried = 0
  /** What the group's offset is at least. */
  #sure = 0

  constructor(cluster: SimCluster, dice: Dice, process: SimProcess) {
    this.#cluster = cluster
    this.#dice = dice
    this.#process = process
    const { clock, network } = process.platform
    const logger = cluster.log.of(process.name, () => !process.alive)
    this.#client = new RemotingClient({ clock, network, logger })
  }

  start(): void {
    this.#lane = this.#walk()
    this.#lane.catch((error: unknown) =>
      this.#cluster.violation(`a client of offsets failed: ${String(error)}`)
    )
  }

  async finish(): Promise<void> {
    this.#working = false
    await this.#lane
  }

  /** What is stored is what was committed last, or a later one that was not answered. */
  async settle(): Promise<void> {
    while (!(await this.#read())) await this.#pause(BACK_OFF_MS)
    await this.#client.close()
  }

  #pause(ms: number): Promise<void> {
    return pause(this.#process, ms)
  }

  async #walk(): Promise<void> {
    const dice = this.#dice
    while (this.#working) {
      const way = dice.next()
      if (way < 0.3) await this.#read()
      else if (way < 0.65) await this.#commit()
      else if (way < 0.97) await this.#commitOneway()
      else this.#client.disconnect(this.#address(), 'for a change')
      await this.#pause(dice.between(0, 4 * this.#cluster.plan.pauseMs))
    }
  }

  #address(): string {
    return `${this.#dice.pick(this.#cluster.brokers).ip}:${BROKER_PORT}`
  }

  #fields(): Record<string, string> {
    return { consumerGroup: GROUP, topic: TOPIC, queueId: String(QUEUE_ID) }
  }

  #count(way: string): void {
    this.counts.set(way, (this.counts.get(way) ?? 0) + 1)
  }

  #note(text: string): void {
    this.#cluster.log.add('step', this.#process.name, text)
  }

  #update(offset: number): ReturnType<typeof request> {
    const fields = { ...this.#fields(), commitOffset: String(offset) }
    return request(RequestCode.UPDATE_CONSUMER_OFFSET, fields)
  }

  async #commit(): Promise<void> {
    const address = this.#address()
    const offset = ++this.#tried
    const answer = await this.#ask(address, this.#update(offset))
    this.#note(`commit ${offset} at ${address}: ${answer?.code ?? 'no answer'}`)
    if (answer?.code !== ResponseCode.SUCCESS) return
    this.#count(this.#way('answered', address))
    this.#sure = Math.max(this.#sure, offset)
  }

  async #commitOneway(): Promise<void> {
    const address = this.#address()
    const update = this.#update(++this.#tried)
    this.#note(`commit ${this.#tried} at ${address} one-way`)
    update.flag |= CommandFlag.oneway
    this.#count(this.#way('one-way', address))
    await this.#client.oneway(address, update).catch(() => {})
  }

  #way(kind: string, address: string): string {
    const leader = this.#cluster.leader()
    const isDirect = leader !== null && address.startsWith(`${leader.ip}:`)
    return `offset ${kind} ${isDirect ? 'leader' : 'follower'}`
  }

  /** False: no answer. */
  async #read(): Promise<boolean> {
    const sure = this.#sure
    const address = this.#address()
    const question = request(RequestCode.QUERY_CONSUMER_OFFSET, this.#fields())
    const answer = await this.#ask(address, question)
    if (answer?.code !== ResponseCode.SUCCESS) return sure === 0 && answer !== null
    const offset = Number(answer.extFields?.['offset'])
    this.#note(`read ${offset} at ${address}`)
    if (this.#cluster.judge.lossesMs.length > 0) return true
    if (offset < sure || offset > this.#tried) {
      this.#cluster.violation(
        `an offset of ${offset} is stored, ${sure} was committed and ${this.#tried} the highest that was asked for`
      )
    }
    this.#sure = Math.max(this.#sure, offset)
    return true
  }

  async #ask(
    address: string,
    command: ReturnType<typeof request>
  ): Promise<Awaited<ReturnType<RemotingClient['invoke']>> | null> {
    try {
      return await this.#client.invoke(address, command, CALL_MS)
    } catch {
      await this.#pause(BACK_OFF_MS)
      return null
    }
  }
}
