import { Admin, ClientError, Producer } from '../../src/client/index.ts'
import type { AgentRequest, NodesState, OpenAnswer } from './agent.ts'
import { type Bus, type Recorder, Subject } from './bus.ts'
import { sharedNowMs } from './events.ts'
import type { LoadCounts, LoadRequest } from './load.ts'
import type { Seeded } from './seeded.ts'
import { BROKERS, CLUSTER, NAME_SERVERS } from './systems.ts'
import { JAVA, LOOSE, ORDERED, PROBE, pause, platform, QUEUES } from './topics.ts'

const POLL_MS = 50
const ASK_TIMEOUT_MS = 180_000
const CALL_TIMEOUT_MS = 2000
/** The load works when its last acknowledgement is not older. */
const FRESH_MS = 300
/** A cluster with its disks, links and processes in order is whole within this. */
const WHOLE_TIMEOUT_MS = 60_000

export interface SceneOptions {
  episode: number
  /** Pauses between sends, ms. */
  pace: { laneMs: number; looseMs: number }
  /** How long two nodes that must not elect are watched: longer than an election takes. */
  watchMs: number
  /** Whether brokers get disks that can be filled. */
  smallDisks: boolean
  /** Whether the group's members can be asked for: ours. */
  membership: boolean
}

/** A cluster under load, as the faults see it. */
export class Scene {
  readonly random: Seeded
  readonly watchMs: number
  readonly #hasMembership: boolean
  readonly #bus: Bus
  readonly #recorder: Recorder
  #admin: Admin
  #nodeOf: ReadonlyMap<string, string> = new Map()
  #nameServers = ''

  private constructor(bus: Bus, recorder: Recorder, random: Seeded, options: SceneOptions) {
    this.watchMs = options.watchMs
    this.#hasMembership = options.membership
    this.#bus = bus
    this.#recorder = recorder
    this.random = random
    this.#admin = new Admin({ nameServers: '127.0.0.1:1', platform })
  }

  /** A new cluster with empty disks, its topics made, the load at work. */
  static async open(
    bus: Bus,
    recorder: Recorder,
    random: Seeded,
    options: SceneOptions
  ): Promise<Scene> {
    const { episode, pace, smallDisks } = options
    const scene = new Scene(bus, recorder, random, options)
    const opened = await bus.ask<OpenAnswer>(
      Subject.agent,
      { op: 'open', episode, smallDisks } satisfies AgentRequest,
      ASK_TIMEOUT_MS
    )
    const { nameServers } = opened
    scene.#nameServers = nameServers
    scene.#nodeOf = new Map(Object.entries(opened.brokers))
    await scene.#admin.close()
    scene.#admin = new Admin({ nameServers, platform, callTimeoutMs: CALL_TIMEOUT_MS })
    await scene.leader()
    for (const topic of [ORDERED, LOOSE, JAVA, PROBE]) await scene.makeTopic(topic, QUEUES)
    await scene.load({ op: 'open', nameServers, ...pace })
    await scene.until('the first acknowledgements', () => scene.acknowledging())
    return scene
  }

  agent<T = null>(request: AgentRequest): Promise<T> {
    return this.#bus.ask<T>(Subject.agent, request, ASK_TIMEOUT_MS)
  }

  load<T = null>(request: LoadRequest): Promise<T> {
    return this.#bus.ask<T>(Subject.load, request, ASK_TIMEOUT_MS)
  }

  makeTopic(topic: string, queues: number): Promise<void> {
    return this.#admin.createTopic(CLUSTER, topic, { queues })
  }

  /** Where clients reach the node. */
  address(node: string): string {
    for (const [address, name] of this.#nodeOf) if (name === node) return address
    throw new Error(`there is no broker ${node}`)
  }

  counts(): Promise<LoadCounts> {
    return this.load<LoadCounts>({ op: 'counts' })
  }

  async acknowledging(): Promise<boolean> {
    return (await this.counts()).sinceMs < FRESH_MS
  }

  /** Resolves when so many further sends were acknowledged. */
  async furtherSends(count: number): Promise<void> {
    const { acknowledged } = await this.counts()
    await this.until(
      `${count} further sends`,
      async () => (await this.counts()).acknowledged >= acknowledged + count
    )
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadlineMs = sharedNowMs() + WHOLE_TIMEOUT_MS
    while (!(await holds())) {
      if (sharedNowMs() > deadlineMs) throw new Error(`${what}: not within ${WHOLE_TIMEOUT_MS} ms`)
      await pause(POLL_MS)
    }
  }

  /** Resolves when the node has ended by itself. */
  async endsByItself(node: string): Promise<void> {
    await this.until(`${node} to end by itself`, async () => {
      const { ended } = await this.agent<NodesState>({ op: 'state' })
      return ended[node] !== undefined
    })
  }

  /** Resolves to the code with which a send is refused now; to null when it is taken. */
  async refusal(): Promise<number | null> {
    const producer = new Producer({
      nameServers: this.#nameServers,
      platform,
      group: 'chaos_probe',
      retries: 0,
      retryWithinMs: CALL_TIMEOUT_MS
    })
    try {
      await producer.start()
      await producer.send({ topic: PROBE, body: 'probe' })
      return null
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      return error.responseCode ?? -1
    } finally {
      await producer.close()
    }
  }

  /** The node that the name servers have as leader. */
  async leader(): Promise<string> {
    let found: string | null = null
    await this.until('a leader', async () => {
      found = await this.#registeredLeader()
      return found !== null
    })
    return found!
  }

  async followers(): Promise<string[]> {
    const leader = await this.leader()
    return this.random.shuffled(BROKERS.filter(node => node !== leader))
  }

  fault(
    kind: 'start' | 'healed' | 'end',
    fault: string,
    number: number,
    nodes: readonly string[],
    note?: string
  ): void {
    const head = { at: sharedNowMs(), client: 'conductor', op: 'fault' as const, kind }
    this.#recorder.add({ ...head, fault, number, nodes, ...(note === undefined ? {} : { note }) })
  }

  /** Resolves when all nodes run, one leads, sends are acknowledged and the followers have what the leader has now. */
  async whole(): Promise<void> {
    let lacking = ''
    try {
      await this.until('', async () => {
        lacking = await this.#lacks()
        return lacking === ''
      })
    } catch (error) {
      throw new Error(`not whole ${WHOLE_TIMEOUT_MS / 1000} s after the fault: ${lacking}`, {
        cause: error
      })
    }
  }

  /** After a fault that could not be carried out to its end: what can be put in order is. */
  async restore(): Promise<void> {
    await this.agent({ op: 'heal' })
    for (const node of BROKERS) await this.agent({ op: 'free', node })
    await this.agent({ op: 'resume', nodes: BROKERS })
    await this.agent({ op: 'start', nodes: [...NAME_SERVERS, ...BROKERS] })
  }

  async close(): Promise<number> {
    await this.#admin.close()
    return this.agent<number>({ op: 'close' })
  }

  /** What is not in order; empty when all is. */
  async #lacks(): Promise<string> {
    const { ended } = await this.agent<NodesState>({ op: 'state' })
    const [gone] = Object.entries(ended)
    if (gone !== undefined) return `${gone[0]} ended by itself: ${gone[1]}`
    const leader = await this.#registeredLeader()
    if (leader === null) return 'no leader'
    const outside = this.#hasMembership ? await this.#outside(leader) : ''
    if (outside !== '') return outside
    const target = await this.#logEnd(leader)
    if (target === null) return `${leader} leads and does not answer`
    for (const node of BROKERS) {
      const end = await this.#logEnd(node)
      if (end === null) return `${node} does not answer`
      if (end < target) {
        // Once more: under load it is always a little behind.
        await pause(POLL_MS)
        const later = await this.#logEnd(node)
        if (later === null || later < target) return `${node} has ${later} of ${target} bytes`
      }
    }
    return (await this.acknowledging()) ? '' : 'no acknowledgements'
  }

  /** Says which node is no voter: one that lost its disk is taken back step by step. */
  async #outside(leader: string): Promise<string> {
    try {
      const { members } = await this.#admin.brokers.raftStatus(this.address(leader))
      const voters = members.filter(member => member.role === 'voter').map(member => member.id)
      const whole = members.length === BROKERS.length && voters.length === BROKERS.length
      return whole ? '' : `only ${voters.join(', ')} of ${members.length} members vote`
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      return `${leader} leads and does not answer`
    }
  }

  async #registeredLeader(): Promise<string | null> {
    try {
      const [address] = await this.#admin.leaders(CLUSTER)
      return this.#nodeOf.get(address ?? '') ?? null
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      return null
    }
  }

  async #logEnd(node: string): Promise<number | null> {
    try {
      const info = await this.#admin.brokers.runtimeInfo(this.address(node))
      return Number(info.get('commitLogMaxOffset'))
    } catch (error) {
      if (!(error instanceof ClientError)) throw error
      return null
    }
  }
}
