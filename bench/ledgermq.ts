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
import { LOADS, type Load, type Space } from './options.ts'
import { loadArgs, makeDirectory, pidArgs, runLoad, type System } from './system.ts'
import type { Report } from './window.ts'

export const QUEUES = 4
const PORT_OFFSET_DEFAULT = '5000'
const CLUSTER = 'RaftCluster'
/** `mappedFileSizeCommitLog`, as the sample configuration leaves it. */
const SEGMENT_BYTES = 1024 ** 3

/** Two clusters of ours run side by side. */
const OFFSET_BETWEEN = 100
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
  #session: Session | null = null

  constructor(space: Space) {
    this.space = space
    this.name = `LedgerMQ, ${space}`
  }

  async start(): Promise<null> {
    const platform = createRealPlatform()
    if (this.space === 'warm') this.#root = await warmRoot(this.#root)
    const first = parsePortOffset(process.env['PORT_OFFSET'] ?? PORT_OFFSET_DEFAULT)
    const offset = this.space === 'warm' ? first : first + OFFSET_BETWEEN
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

  /** Which broker leads may change between two rounds. */
  async #target(): Promise<string[]> {
    const { layout, processes } = this.#session!
    const { leader } = await readCluster(this.#session!)
    if (leader === null) throw new Error('the cluster has no leader')
    const followers = layout.brokers.filter(member => member !== leader)
    const pids = await Promise.all([leader, ...followers].map(member => processes.pid(member)))
    if (pids.includes(null)) throw new Error('a broker has ended')
    const [leaderPid = 0, ...followerPids] = pids as number[]
    return ['--address', `127.0.0.1:${leader.port}`, ...pidArgs(leaderPid, followerPids)]
  }
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
