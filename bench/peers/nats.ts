import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { connect, RetentionPolicy, StorageType } from 'nats'
import type { Load, Timing } from '../options.ts'
import {
  Children,
  freePorts,
  loadArgs,
  makeDirectory,
  pidArgs,
  runLoad,
  type System,
  until
} from '../system.ts'
import type { Report } from '../window.ts'

const exec = promisify(execFile)
const NODES = 3
const START_TIMEOUT_MS = 30_000

/** When a JetStream server calls fsync: after each write, or every two minutes. */
export type NatsSync = 'always' | 'default'

interface Node {
  name: string
  port: number
  pid: number
}

/**
 * NATS JetStream: three servers, streams with three replicas in files. The server is NATS_SERVER's, or `nats-server` on the
 * PATH. Its connections go to the server that leads the stream.
 */
export class Nats implements System {
  readonly space = 'fresh'
  readonly #sync: NatsSync
  readonly #server: string
  readonly #children = new Children()
  #version = ''
  #directory = ''
  #nodes: Node[] = []

  constructor(sync: NatsSync) {
    this.#sync = sync
    this.#server = process.env['NATS_SERVER'] ?? 'nats-server'
  }

  get name(): string {
    const server = `NATS ${this.#version}`.trim()
    return `${server}, fsync ${this.#sync === 'always' ? 'always' : 'every 2 min'}`
  }

  async start(): Promise<string | null> {
    try {
      const { stdout } = await exec(this.#server, ['--version'])
      this.#version = /v(\d\S*)/.exec(stdout)?.[1] ?? stdout.trim()
    } catch (error) {
      return `${this.#server} cannot be run (${(error as NodeJS.ErrnoException).code ?? error}): install nats-server, or set NATS_SERVER`
    }
    this.#directory = await makeDirectory('nats')
    const firstPort = await freePorts(2 * NODES)
    const routes = Array.from(
      { length: NODES },
      (_, i) => `nats://127.0.0.1:${firstPort + NODES + i}`
    )
    const configs: string[] = []
    for (let i = 0; i < NODES; i += 1) {
      const store = join(this.#directory, `n${i}`)
      await mkdir(store)
      const file = join(this.#directory, `n${i}.conf`)
      await writeFile(file, this.#config(i, firstPort, store, routes))
      configs.push(file)
    }
    try {
      await exec(this.#server, ['-t', '-c', configs[0]!])
    } catch (error) {
      const { stderr } = error as { stderr?: string }
      return `nats-server ${this.#version} does not take the configuration: ${stderr?.trim() ?? error}`
    }
    for (const [i, file] of configs.entries()) {
      const child = this.#children.spawn(this.#server, ['-c', file], `${file}.log`)
      this.#nodes.push({ name: `n${i}`, port: firstPort + i, pid: child.pid! })
    }
    await until(START_TIMEOUT_MS, async () => {
      await this.#stream('Ready')
      return true
    })
    return null
  }

  async measure(load: Load, timing: Timing): Promise<Report | null> {
    if (load.batch > 1) return null
    const leaderName = await until(START_TIMEOUT_MS, () => this.#stream(load.topic))
    const leader = this.#nodes.find(({ name }) => name === leaderName)!
    const followers = this.#nodes.filter(node => node !== leader)
    return runLoad('peers/natsLoad.js', [
      ...['--address', `127.0.0.1:${leader.port}`, '--subject', load.topic],
      ...loadArgs(load, timing),
      ...pidArgs(
        leader.pid,
        followers.map(({ pid }) => pid)
      )
    ])
  }

  async stop(): Promise<void> {
    await this.#children.stop()
    if (this.#directory !== '') await rm(this.#directory, { recursive: true, force: true })
  }

  #config(i: number, firstPort: number, store: string, routes: readonly string[]): string {
    // Written as a setting only where it differs: old servers do not know the word.
    const sync = this.#sync === 'always' ? ', sync_interval: always' : ''
    return `server_name: n${i}
listen: "127.0.0.1:${firstPort + i}"
jetstream { store_dir: "${store}"${sync} }
cluster { name: bench, listen: "127.0.0.1:${firstPort + NODES + i}", routes: [${routes.join(', ')}] }
`
  }

  /** Creates the stream unless it is there; the name of its leader, or null while it has none. */
  async #stream(subject: string): Promise<string | null> {
    const connection = await connect({
      servers: this.#nodes.map(({ port }) => `127.0.0.1:${port}`)
    })
    try {
      const manager = await connection.jetstreamManager()
      const info = await manager.streams.add({
        name: subject,
        subjects: [subject],
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
        num_replicas: NODES
      })
      return info.cluster?.leader ?? null
    } finally {
      await connection.close()
    }
  }
}
