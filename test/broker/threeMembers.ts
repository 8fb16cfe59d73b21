import type { Broker } from '../../src/broker/index.ts'
import { silentLogger } from '../../src/platform/index.ts'
import { freePorts } from '../helpers/freePorts.ts'
import { Mortal } from '../raft/node/mortal.ts'
import { kill, newDirectory, platform, type Settings, startBroker, until } from './helpers.ts'

/** Three members in one process, each with its own directory and ports. */
export class Group {
  readonly brokers: Broker[] = []
  readonly #settings: Settings[]
  readonly #mortals: Mortal[] = []
  readonly #t: Parameters<typeof startBroker>[0]

  private constructor(t: Parameters<typeof startBroker>[0], settings: Settings[]) {
    this.#t = t
    this.#settings = settings
  }

  static async start(t: Parameters<typeof startBroker>[0], more: Settings = {}): Promise<Group> {
    const ports = await freePorts(3)
    const directory = newDirectory()
    const dLegerPeers = ports.map((port, i) => `n${i}-127.0.0.1:${port}`).join(';')
    const settings = ports.map((_, i) => ({
      storePathRootDir: `${directory}/n${i}`,
      enableDLegerCommitLog: 'true',
      dLegerGroup: 'g',
      dLegerPeers,
      dLegerSelfId: `n${i}`,
      ...more
    }))
    const group = new Group(t, settings)
    await Promise.all(settings.map((_, i) => group.open(i)))
    return group
  }

  async open(at: number): Promise<Broker> {
    const mortal = new Mortal(platform, 'boot')
    this.#mortals[at] = mortal
    const broker = await startBroker(this.#t, this.#settings[at], silentLogger, mortal)
    this.brokers[at] = broker
    return broker
  }

  /** As `kill -9`; it does not come back. */
  async kill(broker: Broker): Promise<void> {
    const at = this.brokers.indexOf(broker)
    this.brokers.splice(at, 1)
    const [mortal] = this.#mortals.splice(at, 1)
    await kill(broker, mortal!)
  }

  /** All agree on the leader, which has its topics, and know the key for forwarding. */
  async settled(): Promise<{ leader: Broker; followers: Broker[] }> {
    const find = (): Broker | undefined => this.brokers.find(broker => broker.isLeader())
    await until(() => {
      const leader = find()
      return (
        leader?.topics.find('TBW102') !== undefined &&
        this.brokers.every(
          broker =>
            broker.topics.find('TBW102') !== undefined &&
            broker.store.status().leaderBrokerAddress === leader.address
        )
      )
    })
    const leader = find()!
    return { leader, followers: this.brokers.filter(broker => broker !== leader) }
  }
}
