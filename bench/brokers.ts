import { type ChildProcess, spawn } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { Admin } from '../src/client/index.ts'
import { Children, makeDirectory, until } from './system.ts'

export const CLUSTER = 'C'
const PORT_OFFSET_DEFAULT = '5000'
const NAMESRV_PORT = 9_876
const BROKER_PORT = 10_911
const RAFT_PORT = 12_911
const LEADER_TIMEOUT_MS = 60_000
const END_TIMEOUT_MS = 60_000
const INTERRUPTED = 130
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')

const running = new Set<Brokers>()

function interrupted(): void {
  const ended = Promise.all([...running].map(brokers => brokers.end()))
  ended.finally(() => process.exit(INTERRUPTED)).catch(() => {})
}

export interface BrokersPlan {
  name: string
  members: 1 | 3
  /** Of the brokers' configuration, beside names, ports and places. */
  settings: Readonly<Record<string, string>>
  /** Of the ports, beside PORT_OFFSET: for a second one that runs with the first. */
  offset?: number
}

/**
 * A name server and a group of one or three brokers, each a process of its own as `bin` starts them, with their data and logs in a
 * directory that is removed at the end, also after Ctrl-C. Ports are the usual ones and PORT_OFFSET (default 5000) more.
 */
export class Brokers {
  readonly namesrv: string
  /** Of the members, in their order. */
  readonly addresses: readonly string[]
  readonly #directory: string
  readonly #children = new Children()
  readonly #programs = new Map<string, ChildProcess>()

  private constructor(directory: string, members: number, more: number) {
    const offset = Number(process.env['PORT_OFFSET'] ?? PORT_OFFSET_DEFAULT) + more
    this.#directory = directory
    this.namesrv = `127.0.0.1:${NAMESRV_PORT + offset}`
    this.addresses = Array.from(
      { length: members },
      (_, i) => `127.0.0.1:${BROKER_PORT + offset + i}`
    )
  }

  /** Starts all of them. */
  static async start({ name, members, settings, offset = 0 }: BrokersPlan): Promise<Brokers> {
    const brokers = new Brokers(await makeDirectory(name), members, offset)
    if (running.size === 0) process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
    running.add(brokers)
    try {
      await brokers.#configure(settings)
      brokers.#run('mqnamesrv', 'namesrv')
      for (const member of brokers.addresses.keys()) brokers.startMember(member)
    } catch (error) {
      await brokers.end()
      throw error
    }
    return brokers
  }

  async #configure(settings: Readonly<Record<string, string>>): Promise<void> {
    const directory = this.#directory
    const port = (address: string): number => Number(address.split(':')[1])
    const write = (name: string, entries: Record<string, string | number>): Promise<void> => {
      const lines = Object.entries(entries).map(([key, value]) => `${key}=${value}\n`)
      return writeFile(join(directory, `${name}.conf`), lines.join(''))
    }
    await write('namesrv', {
      listenPort: port(this.namesrv),
      kvConfigPath: join(directory, 'kv.json')
    })
    const raftPort = (member: number): number =>
      port(this.addresses[member]!) - BROKER_PORT + RAFT_PORT
    const peers = this.addresses.map((_, i) => `n${i}-127.0.0.1:${raftPort(i)}`).join(';')
    for (const [i, address] of this.addresses.entries()) {
      const group = {
        enableDLegerCommitLog: 'true',
        dLegerGroup: 'bench',
        dLegerPeers: peers,
        dLegerSelfId: `n${i}`
      }
      await write(`n${i}`, {
        brokerClusterName: CLUSTER,
        brokerName: 'bench',
        brokerIP1: '127.0.0.1',
        listenPort: port(address),
        namesrvAddr: this.namesrv,
        storePathRootDir: join(directory, `n${i}`),
        shutdownGraceSeconds: 0,
        ...(this.addresses.length > 1 ? group : {}),
        ...settings
      })
    }
  }

  #run(program: string, name: string): void {
    const child = spawn(join(root, 'bin', program), ['-c', join(this.#directory, `${name}.conf`)], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, LEDGERMQ_LOG_DIR: join(this.#directory, `logs-${name}`) }
    })
    this.#children.add(child)
    this.#programs.set(name, child)
  }

  startMember(member: number): void {
    this.#run('mqbroker', `n${member}`)
  }

  /** Sends the signal; resolves when the process has ended. Rejects when it does not: one that waits for the disk cannot even be killed. */
  async endMember(member: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#programs.get(`n${member}`)!
    const ended = exit(child)
    child.kill(signal)
    let late: NodeJS.Timeout | undefined
    const tooLong = new Promise<never>((_, reject) => {
      late = setTimeout(() => {
        reject(new Error(`n${member} has not ended ${END_TIMEOUT_MS / 1_000} s after ${signal}`))
      }, END_TIMEOUT_MS)
    })
    await Promise.race([ended, tooLong])
    clearTimeout(late)
  }

  pid(member: number): string {
    return String(this.#programs.get(`n${member}`)!.pid)
  }

  get namesrvPid(): string {
    return String(this.#programs.get('namesrv')!.pid)
  }

  /** The member that the name server has as leader now; null: none. */
  async findLeader(): Promise<number | null> {
    const admin = new Admin({ nameServers: this.namesrv })
    try {
      const [address] = await admin.leaders(CLUSTER)
      const member = address === undefined ? -1 : this.addresses.indexOf(address)
      return member < 0 ? null : member
    } finally {
      await admin.close()
    }
  }

  /** Resolves when there is a leader. */
  leader(): Promise<number> {
    return until(LEADER_TIMEOUT_MS, () => this.findLeader())
  }

  async createTopic(topic: string, queues: number): Promise<void> {
    await this.leader()
    const admin = new Admin({ nameServers: this.namesrv })
    try {
      await admin.createTopic(CLUSTER, topic, { queues })
    } finally {
      await admin.close()
    }
  }

  /** Ends all and removes their data. */
  async end(): Promise<void> {
    const programs = [...this.#programs.values()]
    const ended = Promise.all(programs.map(exit))
    for (const child of programs) child.kill('SIGKILL')
    await ended
    await this.#children.stop()
    await rm(this.#directory, { recursive: true, force: true })
    running.delete(this)
  }
}

function exit(child: ChildProcess): Promise<void> {
  return new Promise(resolve => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) resolve()
  })
}
