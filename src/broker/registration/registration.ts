import { crc32 } from 'node:zlib'
import type { Clock, Logger, Timer } from '../../platform/index.ts'
import {
  encodeRegistration,
  KVTable,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  registrationText,
  request,
  TopicConfig,
  TopicPerm
} from '../../protocol/index.ts'
import type { RemotingClient } from '../../remoting/index.ts'
import type { Store, TopicSettings } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'

const unregisterTimeoutMs = 3_000
/** Changes within this time make one registration: a thousand topics made at once are one table. Ms. */
const gatherMs = 20
/** Patience of those who want name servers to know before they answer, ms. */
const toldTimeoutMs = 1_000
/** A name server that fails, or whose connection broke, is told again after this, ms: one that was restarted knows no broker. */
const retryMs = 1_000
/** Who comes when so many wait for one name server does not wait for it. */
const waitingMax = 10_000

/** What name servers are told of the topics. */
interface Table {
  readonly version: string
  readonly body: Buffer
  readonly crc: number
  readonly topics: number
}

/** One name server: at most one registration at a time, and one more behind it. */
interface NameServerLink {
  readonly address: string
  inFlight: boolean
  /** It was registered there, or is about to be. */
  entered: boolean
  again: boolean
  /** Failing is said once, and once when it is over. */
  failing: boolean
  /** Runs while it is to be told again soon. */
  retry: Timer | null
  /** Told when the next registration that begins is answered, or has failed. */
  waiting: (() => void)[]
}

/**
 * Tells all name servers who this broker is, in parallel (broker.md 2.6): at the start, every 30 s, at once when its role or its topics
 * change. The leader is id 0, others the number in dLegerSelfId + 1; the data version carries the term (`stateVersion`), so that a
 * deposed leader that wakes up cannot take id 0 back.
 */
export class Registration {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #config: LiveConfig
  readonly #store: Store
  readonly #client: RemotingClient
  readonly #address: string
  readonly #brokerId: () => number
  readonly #isMember: () => boolean
  readonly #links: NameServerLink[]
  readonly #texts = new WeakMap<TopicSettings, { perm: number; text: string }>()
  #lastTable: Table | null = null
  #timer: Timer | null = null
  #gather: Timer | null = null
  #running: boolean = false

  constructor(o: {
    clock: Clock
    logger: Logger
    config: LiveConfig
    store: Store
    client: RemotingClient
    /** `brokerIP1:port`. */
    address: string
    brokerId: () => number
    /** A voter of its group: others stand in no route. */
    isMember: () => boolean
  }) {
    this.#clock = o.clock
    this.#logger = o.logger
    this.#config = o.config
    this.#store = o.store
    this.#client = o.client
    this.#address = o.address
    this.#brokerId = o.brokerId
    this.#isMember = o.isMember
    this.#links = o.config.settings.nameServers.map(address => ({
      address,
      inFlight: false,
      entered: false,
      again: false,
      failing: false,
      retry: null,
      waiting: []
    }))
    this.#client.onDisconnect(({ remoteAddress }) => {
      const link = this.#links.find(({ address }) => address === remoteAddress)
      if (link !== undefined) this.#retrySoon(link)
    })
  }

  start(): void {
    this.#running = true
    this.#timer = this.#clock.every(this.#config.settings.registerPeriodMs, () =>
      this.registerNow()
    )
    this.registerNow()
  }

  /** A topic or a permission changed: registered within some milliseconds. */
  changed(): void {
    if (!this.#running) return
    this.#gather ??= this.#clock.after(gatherMs, () => {
      this.#gather = null
      this.registerNow()
    })
  }

  /** The role changed: registered at once. */
  registerNow(): void {
    if (!this.#running) return
    if (!this.#isMember()) {
      this.#leave()
      return
    }
    for (const link of this.#links) {
      link.entered = true
      if (link.inFlight) link.again = true
      else this.#register(link)
    }
  }

  /** No voter (any more): out of the routes, if it was in them. */
  #leave(): void {
    for (const link of this.#links) {
      link.again = false
      for (const tell of link.waiting.splice(0)) tell()
      if (!link.entered) continue
      link.entered = false
      void this.#unregister(link)
    }
  }

  /**
   * Registers what is applied now; resolves when every name server has answered or cannot be reached, after 1 s at the latest. Who made a
   * topic looks for its route as soon as he is answered, and the original answers after its registration.
   */
  async told(): Promise<void> {
    if (!this.#running || this.#links.length === 0) return
    const answers = this.#links.map(
      link =>
        new Promise<void>(resolve => {
          if (link.failing || link.waiting.length >= waitingMax) resolve()
          else link.waiting.push(resolve)
        })
    )
    this.registerNow()
    let timer: Timer | null = null
    const late = new Promise<void>(resolve => {
      timer = this.#clock.after(toldTimeoutMs, resolve)
    })
    await Promise.race([Promise.all(answers), late])
    ;(timer as Timer | null)?.cancel()
  }

  /** Takes this broker out of all routes; resolves when all name servers have answered or 3 s are over. */
  async stop(): Promise<void> {
    if (!this.#running) return
    this.#running = false
    this.#timer?.cancel()
    this.#gather?.cancel()
    for (const link of this.#links) link.retry?.cancel()
    await Promise.all(this.#links.map(link => this.#unregister(link)))
  }

  async #unregister(link: NameServerLink): Promise<void> {
    const command = request(RequestCode.UNREGISTER_BROKER, {
      brokerName: this.#config.settings.brokerName,
      brokerAddr: this.#address,
      clusterName: this.#config.settings.clusterName,
      brokerId: String(this.#brokerId())
    })
    try {
      await this.#client.invoke(link.address, command, unregisterTimeoutMs)
      this.#logger.info('Unregistered', { nameServer: link.address })
    } catch (error) {
      this.#logger.warn('Not unregistered', { nameServer: link.address, reason: textOf(error) })
    }
  }

  #retrySoon(link: NameServerLink): void {
    if (!this.#running) return
    link.retry ??= this.#clock.after(retryMs, () => {
      link.retry = null
      if (!this.#isMember()) return
      if (link.inFlight) link.again = true
      else this.#register(link)
    })
  }

  #register(link: NameServerLink): void {
    link.inFlight = true
    link.again = false
    const waiting = link.waiting
    link.waiting = []
    const brokerId = this.#brokerId()
    const { command, topics } = this.#command(brokerId)
    this.#client
      .invoke(link.address, command, this.#config.settings.registerTimeoutMs)
      .then(
        answer => this.#answered(link, answer, { brokerId, topics }),
        (error: unknown) => this.#failed(link, textOf(error))
      )
      .finally(() => {
        link.inFlight = false
        for (const tell of waiting) tell()
        if (link.again && this.#running) this.#register(link)
      })
  }

  #command(brokerId: number): { command: RemotingCommand; topics: number } {
    const { settings } = this.#config
    const { body, crc, topics } = this.#table()
    const command = request(
      RequestCode.REGISTER_BROKER,
      {
        brokerName: settings.brokerName,
        brokerAddr: this.#address,
        clusterName: settings.clusterName,
        haServerAddr: `${settings.haHost}:${settings.listenPort + 1}`,
        brokerId: String(brokerId),
        compressed: 'false',
        bodyCrc32: String(crc)
      },
      body
    )
    return { command, topics }
  }

  /** The body; the same again while nothing changed: ten thousand topics are megabytes. */
  #table(): Table {
    const { permission } = this.#config.settings
    const { topics, topicsVersion } = this.#store.tables
    const dataVersion = {
      // A changed permission changes the table that is sent, not the one in the log.
      counter: topicsVersion.counter + this.#config.version.counter,
      timestamp: Math.max(
        topicsVersion.timestamp,
        this.#config.version.counter > 0 ? this.#config.version.timestampMs : 0
      ),
      stateVersion: this.#store.status().term
    }
    const version = `${Object.values(dataVersion).join(' ')} ${permission}`
    if (this.#lastTable?.version === version) return this.#lastTable
    const hidden = (permission & TopicPerm.read) === 0 || (permission & TopicPerm.write) === 0
    const texts: string[] = []
    for (const topic of topics.values())
      texts.push(this.#textOf(topic, hidden ? topic.perm & permission : topic.perm))
    const body = encodeRegistration(dataVersion, texts)
    this.#lastTable = { version, body, crc: crc32(body) & 0x7fffffff, topics: texts.length }
    return this.#lastTable
  }

  /** Settings are replaced when they change, so a text is made once for each. */
  #textOf(topic: TopicSettings, perm: number): string {
    const known = this.#texts.get(topic)
    if (known?.perm === perm) return known.text
    const attributes = new Map(Object.entries(topic.attributes ?? {}))
    const text = registrationText(TopicConfig.of({ ...topic, attributes, perm }))
    this.#texts.set(topic, { perm, text })
    return text
  }

  #answered(
    link: NameServerLink,
    answer: RemotingCommand,
    sent: { brokerId: number; topics: number }
  ): void {
    if (answer.code !== ResponseCode.SUCCESS) {
      this.#failed(link, `code ${answer.code}: ${answer.remark ?? ''}`)
      return
    }
    if (link.failing) this.#logger.info('Name server answers again', { nameServer: link.address })
    link.failing = false
    this.#logger.debug('Registered', { nameServer: link.address, ...sent })
    if (answer.body !== null && answer.body.length > 0 && this.#store.ready)
      this.#orderTopics(answer.body)
  }

  #failed(link: NameServerLink, reason: string): void {
    this.#retrySoon(link)
    if (link.failing || !this.#running) return
    link.failing = true
    this.#logger.warn('Registration failed, trying again until it is answered', {
      nameServer: link.address,
      retryMs,
      reason
    })
  }

  /** The answer names the ordered topics: they are marked so, as in 5.3, which never takes the mark off. */
  #orderTopics(body: Buffer): void {
    let names: string[]
    try {
      names = [...KVTable.decode(body).table.keys()]
    } catch (error) {
      this.#logger.warn('Order configuration not understood', { reason: textOf(error) })
      return
    }
    for (const name of names) {
      const topic = this.#store.tables.topics.get(name)
      if (topic === undefined || topic.order) continue
      this.#store
        .execute({ type: 'putTopic', topic: { ...topic, order: true } })
        .catch((error: unknown) =>
          this.#logger.warn('Topic not marked as ordered', { topic: name, reason: textOf(error) })
        )
    }
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
