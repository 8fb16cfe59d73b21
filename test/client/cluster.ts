import type { Test } from 'tap'
import type { Broker } from '../../src/broker/index.ts'
import { Admin } from '../../src/client/index.ts'
import { halt, newDirectory, type Settings, startBroker, until } from '../broker/helpers.ts'
import { freePorts } from '../helpers/freePorts.ts'
import { startNameServer } from '../namesrv/helpers.ts'

export { until }

/** A name server and one broker, or three in one Raft group, in this process. */
export interface Cluster {
  readonly nameServer: string
  readonly brokers: Broker[]
  readonly admin: Admin
  leader(): Broker
  /** Makes a topic; resolves when the name server knows it. */
  topic(name: string, queues: number): Promise<void>
  /** Ends a broker as a kill does for its clients: connections and port are gone at once. */
  kill(broker: Broker): Promise<void>
  /** Resolves when one broker leads and the name server says so. */
  settled(): Promise<Broker>
}

export async function startCluster(
  t: Test,
  members: 1 | 3,
  given: Settings = {}
): Promise<Cluster> {
  const directory = newDirectory()
  const { server } = await startNameServer(t, { directory: `${directory}/ns` })
  const nameServer = `127.0.0.1:${server.port}`
  const ports = members === 3 ? await freePorts(3) : []
  const dLegerPeers = ports.map((port, i) => `n${i}-127.0.0.1:${port}`).join(';')
  const raft = (i: number): Settings =>
    members === 1
      ? {}
      : { enableDLegerCommitLog: 'true', dLegerGroup: 'g', dLegerPeers, dLegerSelfId: `n${i}` }
  const brokers = await Promise.all(
    Array.from({ length: members }, (_, i) =>
      startBroker(t, {
        storePathRootDir: `${directory}/n${i}`,
        namesrvAddr: nameServer,
        ...raft(i),
        ...given
      })
    )
  )
  const admin = new Admin({ nameServers: nameServer })
  t.teardown(() => admin.close())
  const leader = (): Broker => {
    const found = brokers.find(broker => broker.isLeader())
    if (found === undefined) throw new Error('nobody leads')
    return found
  }
  const settled = async (): Promise<Broker> => {
    await until(() => brokers.some(broker => broker.isLeader()))
    for (;;) {
      const route = await admin.route('TBW102').catch(() => null)
      const published = route?.brokers[0]?.addresses.get(0)
      const found = brokers.find(broker => broker.isLeader() && broker.address === published)
      if (found !== undefined) return found
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  const kill = async (broker: Broker): Promise<void> => {
    brokers.splice(brokers.indexOf(broker), 1)
    await halt(broker)
  }
  const topic = async (name: string, queues: number): Promise<void> => {
    await leader().topics.ensure({
      topicName: name,
      readQueueNums: queues,
      writeQueueNums: queues,
      perm: 6,
      topicFilterType: 'SINGLE_TAG',
      topicSysFlag: 0,
      order: false
    })
    while ((await admin.route(name).catch(() => null)) === null) {
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  return { nameServer, brokers, admin, leader, kill, settled, topic }
}

/** Collects what a listener got, and wakes whoever waits for a number of them. */
export class Collector<T> {
  readonly items: T[] = []
  #waiting: { count: number; resolve: () => void }[] = []

  add(item: T): void {
    this.items.push(item)
    for (const waiting of this.#waiting.filter(w => w.count <= this.items.length)) waiting.resolve()
    this.#waiting = this.#waiting.filter(w => w.count > this.items.length)
  }

  /** Rejects after ten seconds with what is missing. */
  async reach(count: number, timeoutMs = 10_000): Promise<T[]> {
    if (this.items.length >= count) return this.items
    let timer: NodeJS.Timeout | undefined
    await Promise.race([
      new Promise<void>(resolve => this.#waiting.push({ count, resolve })),
      new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`${this.items.length} of ${count} came within ${timeoutMs} ms`)),
          timeoutMs
        )
      })
    ])
    clearTimeout(timer)
    return this.items
  }
}
