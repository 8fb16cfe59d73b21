import process from 'node:process'
import { Admin } from '../src/client/index.ts'
import { readCluster } from '../src/launch/fastTry/cluster.ts'
import { run } from '../src/launch/fastTry/commands.ts'
import { parsePortOffset, readLayout } from '../src/launch/fastTry/layout.ts'
import { Processes } from '../src/launch/fastTry/processes.ts'
import type { Session } from '../src/launch/fastTry/session.ts'
import { createRealPlatform } from '../src/platform/index.ts'
import { LOADS, type Load } from './options.ts'
import { loadArgs, pidArgs, runLoad, type System } from './system.ts'
import type { Report } from './window.ts'

export const QUEUES = 4
const PORT_OFFSET_DEFAULT = '5000'
const CLUSTER = 'RaftCluster'

/** Our own cluster, as fast-try starts it from the sample configuration: SYNC_FLUSH, nothing turned off. */
export class LedgerMq implements System {
  readonly name = 'LedgerMQ'
  readonly #session: Session

  private constructor(session: Session) {
    this.#session = session
  }

  static async create(): Promise<LedgerMq> {
    const platform = createRealPlatform()
    const root = process.cwd()
    const offset = parsePortOffset(process.env['PORT_OFFSET'] ?? PORT_OFFSET_DEFAULT)
    return new LedgerMq({
      platform,
      layout: await readLayout(root, offset, platform.disk),
      processes: new Processes(root, platform),
      print: () => {},
      mqadmin: async () => 0
    })
  }

  async start(): Promise<null> {
    const { platform, layout } = this.#session
    await run(this.#session, 'clean', null)
    await run(this.#session, 'start', null)
    const admin = new Admin({ nameServers: layout.namesrvAddress, platform })
    for (const { topic } of LOADS) await admin.createTopic(CLUSTER, topic, { queues: QUEUES })
    await admin.close()
    return null
  }

  async measure(load: Load, seconds: number, warmupSeconds: number): Promise<Report> {
    return runLoad('sendLoad.js', [
      ...(await this.#target()),
      ...loadArgs(load, seconds, warmupSeconds),
      ...['--topic', load.topic, '--batch', String(load.batch), '--queues', String(QUEUES)]
    ])
  }

  /** Reads everything that was sent under a load. */
  async consume(load: Load): Promise<Report> {
    const args = ['--topic', load.topic, '--queues', String(QUEUES)]
    return runLoad('pullLoad.js', [...(await this.#target()), ...args])
  }

  async stop(): Promise<void> {
    await run(this.#session, 'clean', null)
  }

  /** Which broker leads may change between two rounds. */
  async #target(): Promise<string[]> {
    const { layout, processes } = this.#session
    const { leader } = await readCluster(this.#session)
    if (leader === null) throw new Error('the cluster has no leader')
    const followers = layout.brokers.filter(member => member !== leader)
    const pids = await Promise.all([leader, ...followers].map(member => processes.pid(member)))
    if (pids.includes(null)) throw new Error('a broker has ended')
    const [leaderPid = 0, ...followerPids] = pids as number[]
    return ['--address', `127.0.0.1:${leader.port}`, ...pidArgs(leaderPid, followerPids)]
  }
}
