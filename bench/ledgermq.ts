import { cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { Admin } from '../src/client/index.ts'
import { readCluster } from '../src/launch/fastTry/cluster.ts'
import { run } from '../src/launch/fastTry/commands.ts'
import { parsePortOffset, readLayout } from '../src/launch/fastTry/layout.ts'
import { Processes } from '../src/launch/fastTry/processes.ts'
import type { Session } from '../src/launch/fastTry/session.ts'
import { createRealPlatform } from '../src/platform/index.ts'
import { LOADS, type Load, type Space, type Timing } from './options.ts'
import { rested } from './processes.ts'
import { loadArgs, makeDirectory, pidArgs, runLoad, type System, type Target } from './system.ts'
import type { Report } from './window.ts'

export const QUEUES = 4
const PORT_OFFSET_DEFAULT = '5000'
const CLUSTER = 'RaftCluster'
/** `mappedFileSizeCommitLog`, as the sample configuration leaves it. */
const SEGMENT_BYTES = 1024 ** 3

/** Clusters of ours run side by side, each in a place of its own. */
const OFFSET_BETWEEN = 100
export const PLACES = { warm: 0, fresh: 1, empty: 2, full: 3, start: 4 } as const
const WARM_POLL_MS = 200
const WARM_TIMEOUT_MS = 120_000

/**
 * Our own cluster, as fast-try starts it from the sample configuration: SYNC_FLUSH, nothing turned off. In warm space it
 * has `warmMapedFileEnable=true` besides, and no measurement begins before what it will write to is filled with zeros.
 */
export class LedgerMq implements System {
  readonly name: string
  readonly space: Space
  #root = process.cwd()
  readonly #place: number
  #session: Session | null = null

  constructor(space: Space, place: keyof typeof PLACES = space) {
    this.space = space
    this.#place = PLACES[place]
    this.name = `LedgerMQ, ${space}`
  }

  async start(): Promise<null> {
    const platform = createRealPlatform()
    if (this.space === 'warm') this.#root = await warmRoot(this.#root)
    const first = parsePortOffset(process.env['PORT_OFFSET'] ?? PORT_OFFSET_DEFAULT)
    const offset = first + this.#place * OFFSET_BETWEEN
    const layout = await readLayout(this.#root, offset, platform.disk)
    this.#session = {
      platform,
      layout,
      processes: new Processes(this.#root, platform),
      print: () => {},
      mqadmin: async () => 0
    }
    await run(this.#session, 'clean', null)
    await run(this.#session, 'start', null)
    await this.createTopics(LOADS.map(({ topic }) => topic))
    return null
  }

  /** @throws when one of them is not known to the name server in time. */
  async createTopics(names: readonly string[], queues = QUEUES): Promise<void> {
    const { platform, layout } = this.#session!
    const admin = new Admin({ nameServers: layout.namesrvAddress, platform })
    for (const name of names) await admin.createTopic(CLUSTER, name, { queues })
    await admin.close()
  }

  async measure(load: Load, timing: Timing): Promise<Report> {
    return runLoad('sendLoad.js', [
      ...(await this.#address()),
      ...topicArgs(load),
      ...loadArgs(load, timing)
    ])
  }

  /** Sends at least so many messages, in whole requests. */
  async fill(load: Load, messages: number): Promise<void> {
    const whole = Math.ceil(messages / load.batch) * load.batch
    await runLoad('sendLoad.js', [
      ...(await this.#address()),
      ...topicArgs(load),
      ...loadArgs(load, { seconds: 0, warmupSeconds: 0, rate: null }),
      ...['--messages', String(whole)]
    ])
  }

  /** Reads everything that was sent under a load, or with other arguments of pullLoad.ts. */
  async consume(load: Load, args: readonly string[] = []): Promise<Report> {
    const topic = ['--topic', load.topic, '--queues', String(load.queues ?? QUEUES)]
    return runLoad('pullLoad.js', [...(await this.#address()), ...topic, ...args])
  }

  async stop(): Promise<void> {
    if (this.#session !== null) await run(this.#session, 'clean', null)
    if (this.space === 'warm' && this.#root !== process.cwd())
      await rm(this.#root, { recursive: true, force: true })
  }

  /** In warm space: the segment in use and the spare are zeros, or messages, to their end. */
  async rest(): Promise<void> {
    if (this.space !== 'warm') return
    const { stateDirectory } = this.#session!.layout
    const endMs = performance.now() + WARM_TIMEOUT_MS
    for (const node of ['node00', 'node01', 'node02']) {
      const data = join(stateDirectory, node, 'raft', 'data')
      while (!(await isWarm(data))) {
        if (performance.now() > endMs) throw new Error(`${data} is not warm in time`)
        await new Promise(resolve => setTimeout(resolve, WARM_POLL_MS))
      }
    }
  }

  /** Resolves when no broker is busy with what it was given before. */
  async idle(): Promise<void> {
    const { leaderPid, followerPids } = await this.target()
    await Promise.all([leaderPid, ...followerPids].map(pid => rested(String(pid))))
    await this.rest()
  }

  /** Which broker leads may change between two rounds. */
  async target(): Promise<Target> {
    const { layout, processes } = this.#session!
    const { leader } = await readCluster(this.#session!)
    if (leader === null) throw new Error('the cluster has no leader')
    const followers = layout.brokers.filter(member => member !== leader)
    const pids = await Promise.all([leader, ...followers].map(member => processes.pid(member)))
    if (pids.includes(null)) throw new Error('a broker has ended')
    const [leaderPid = 0, ...followerPids] = pids as number[]
    return {
      nameServer: layout.namesrvAddress,
      address: addressOf(leader),
      leaderPid,
      followerPids
    }
  }

  /** Holds logs and all other data of all three. */
  get directory(): string {
    return this.#session!.layout.stateDirectory
  }

  /** Of the brokers, in the order of their names. */
  get addresses(): string[] {
    return this.#session!.layout.brokers.map(addressOf)
  }

  /** `name=pid` words of the brokers in the order of their names. */
  async pidWords(): Promise<string[]> {
    const { layout, processes } = this.#session!
    const pids = await Promise.all(layout.brokers.map(member => processes.pid(member)))
    return layout.brokers.map((member, i) => `${member.name}=${pids[i]}`)
  }

  /** Ends the brokers with SIGTERM, the leader last. */
  async stopBrokers(): Promise<void> {
    const { layout, processes } = this.#session!
    const { leader } = await readCluster(this.#session!)
    const followers = layout.brokers.filter(member => member !== leader)
    await Promise.all(followers.map(member => processes.stop(member)))
    if (leader !== null) await processes.stop(leader)
  }

  /** kill -9 of all three at once. */
  async killBrokers(): Promise<void> {
    const { layout, processes } = this.#session!
    await Promise.all(layout.brokers.map(member => processes.kill(member)))
  }

  /** Starts all three at once; resolves when each has opened its port. */
  async startBrokers(): Promise<void> {
    const { layout, processes } = this.#session!
    await Promise.all(layout.brokers.map(member => processes.start(member)))
  }

  async #address(): Promise<string[]> {
    const { address, leaderPid, followerPids } = await this.target()
    return ['--address', address, ...pidArgs(leaderPid, followerPids)]
  }
}

function topicArgs({ topic, batch, queues = QUEUES, topics = 1, rotate = false }: Load): string[] {
  const counts = ['--batch', String(batch), '--queues', String(queues), '--topics', String(topics)]
  return ['--topic', topic, ...counts, ...(rotate ? ['--rotate'] : [])]
}

function addressOf({ port }: { port: number }): string {
  return `127.0.0.1:${port}`
}

async function isWarm(data: string): Promise<boolean> {
  const names = (await readdir(data)).sort()
  const newest = names.findLast(name => /^\d+$/.test(name))
  if (newest === undefined || !names.includes('spare')) return false
  const sizes = await Promise.all([newest, 'spare'].map(name => stat(join(data, name))))
  return sizes.every(({ size }) => size === SEGMENT_BYTES)
}

/** A directory that looks like this repository to fast-try, with another configuration. */
async function warmRoot(repository: string): Promise<string> {
  const root = await makeDirectory('warm')
  for (const name of ['bin', 'build']) await symlink(join(repository, name), join(root, name))
  const samples = join(root, 'conf', 'dledger')
  await mkdir(samples, { recursive: true })
  await cp(join(repository, 'conf', 'dledger'), samples, { recursive: true })
  for (const name of await readdir(samples)) {
    const text = await readFile(join(samples, name), 'latin1')
    await writeFile(join(samples, name), `${text}\nwarmMapedFileEnable=true\n`)
  }
  return root
}
