import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { cp, mkdir, open, readdir, rm, statfs } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { sharedNowMs } from './events.ts'
import { type Harm, harmStore } from './harm.ts'
import type { InjectOrder } from './inject.ts'
import { Links } from './links.ts'
import { Seeded } from './seeded.ts'
import {
  BROKERS,
  injectSocket,
  NAME_SERVERS,
  nameServerList,
  type Place,
  portOf,
  type System
} from './systems.ts'

const exec = promisify(execFile)

const POLL_MS = 25
const CONNECT_TIMEOUT_MS = 1000
/** A stopping leader hands over within its `shutdownGraceSeconds` of 35. */
const STOP_TIMEOUT_MS = 60_000
/** Size of a disk that is filled. */
const SMALL_DISK = '256m'
const FILLER = 'filler'
const LAST_WORDS_LINES = 6
const BACKUP = 'backup'
const LEADS = /Leads and takes proposals, term (\d+)/

interface Node {
  name: string
  child: ChildProcess | null
  /** It was started and nobody has ended it. */
  wanted: boolean
  output: WriteStream | null
  lastLines: string[]
  /** Times that its machine came up again. */
  boots: number
}

/** The cluster's processes, each in a network namespace of its own. */
export class Nodes {
  readonly links = new Links()
  readonly #system: System
  readonly #root: string
  readonly #nodes = new Map<string, Node>()
  #places = new Map<string, Place>()
  #mounted: string[] = []
  #tellLeader: (node: string, term: number) => void = () => {}

  constructor(system: System, root: string) {
    this.#system = system
    this.#root = root
  }

  nowMs(): number {
    return sharedNowMs()
  }

  onLeader(tell: (node: string, term: number) => void): void {
    this.#tellLeader = tell
  }

  /** Empty disks for all nodes, and all of them started. `smallDisks`: brokers get some that can be filled. */
  async open(
    episode: number,
    smallDisks: boolean
  ): Promise<{ nameServers: string; brokers: Record<string, string> }> {
    const names = [...NAME_SERVERS, ...BROKERS]
    if (this.#nodes.size === 0) await this.#makeNodes(names)
    this.#places = new Map()
    for (const node of this.#nodes.values()) {
      node.output?.end()
      node.output = null
      node.boots = 0
    }
    for (const name of names) {
      const directory = join(this.#root, `episode-${episode}`, name)
      const store = join(directory, 'store')
      await mkdir(store, { recursive: true })
      this.#places.set(name, { directory, store, address: this.links.address(name) })
      if (!smallDisks || !BROKERS.some(broker => broker === name)) continue
      await exec('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', store])
      this.#mounted.push(store)
    }
    await Promise.all(NAME_SERVERS.map(name => this.start(name)))
    await Promise.all(BROKERS.map(name => this.start(name)))
    const brokers = BROKERS.map(name => [`${this.links.address(name)}:${portOf(name)}`, name])
    return { nameServers: nameServerList(this.#places), brokers: Object.fromEntries(brokers) }
  }

  /** Ends all nodes and takes their disks away. What they wrote stays only in `logs` and `out`. */
  async close(): Promise<void> {
    await this.links.heal()
    await Promise.all([...this.#nodes.keys()].map(name => this.end(name, 'SIGKILL')))
    for (const store of this.#mounted) await exec('umount', [store])
    this.#mounted = []
    for (const { store } of this.#places.values()) await rm(store, { recursive: true, force: true })
  }

  /** Resolves when it takes connections, or has ended again: `ended` tells. */
  async start(name: string): Promise<void> {
    const node = this.#node(name)
    if (node.child !== null) return
    const { program, args, env } = await this.#system.prepare(name, this.#places)
    const place = this.#place(name)
    node.output ??= createWriteStream(join(place.directory, 'out'), { flags: 'a' })
    const child = spawn('ip', ['netns', 'exec', name, program, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: one with a stopped member gets SIGHUP when the shell that began it goes.
      detached: true,
      env: { ...process.env, ...env, ...bootOf(node) }
    })
    node.child = child
    node.wanted = true
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => this.#heard(node, text))
    }
    child.once('exit', () => {
      node.child = null
    })
    const deadlineMs = this.nowMs() + this.#system.startTimeoutMs
    while (node.child !== null && !(await answers(place.address, portOf(name)))) {
      if (this.nowMs() > deadlineMs) throw new Error(`${name} does not open its port`)
      await pause(POLL_MS)
    }
  }

  /** Resolves when the process is gone. */
  async end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const node = this.#node(name)
    node.wanted = false
    const { child } = node
    if (child !== null) {
      const gone = new Promise(resolve => child.once('exit', resolve))
      child.kill(signal)
      child.kill('SIGCONT')
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
      await gone
      clearTimeout(timer)
    }
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#node(name).child?.kill(signal)
  }

  /** Nodes that should run and do not. */
  ended(): Record<string, string> {
    const gone = [...this.#nodes.values()].filter(node => node.wanted && node.child === null)
    return Object.fromEntries(gone.map(node => [node.name, node.lastLines.join('\n')]))
  }

  async harm(name: string, harm: Harm, seed: number): Promise<string> {
    const done = await harmStore(
      harm,
      this.#place(name).store,
      this.#system.logFolders(name),
      new Seeded(seed)
    )
    return done.replace(`${this.#place(name).store}/`, '')
  }

  /** The next start takes its machine for one that was rebooted. */
  async reboot(name: string): Promise<void> {
    this.#node(name).boots += 1
  }

  /** Of a node that is down; kept beside its disk. */
  async backup(name: string): Promise<void> {
    const { directory, store } = this.#place(name)
    await rm(join(directory, BACKUP), { recursive: true, force: true })
    await cp(store, join(directory, BACKUP), { recursive: true, preserveTimestamps: true })
  }

  async putBack(name: string): Promise<void> {
    const { directory, store } = this.#place(name)
    // The disk itself may be mounted there.
    for (const file of await readdir(store)) await rm(join(store, file), { recursive: true })
    await cp(join(directory, BACKUP), store, { recursive: true, preserveTimestamps: true })
    await rm(join(directory, BACKUP), { recursive: true })
  }

  /** Takes all room of a small disk. */
  async fill(name: string): Promise<void> {
    const { store } = this.#place(name)
    const { bavail, bsize } = await statfs(store)
    const handle = await open(join(store, FILLER), 'w')
    const block = Buffer.alloc(bsize, 1)
    try {
      for (let blocks = 0; blocks < bavail + 1; blocks += 1) await handle.write(block)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
    await handle.close()
  }

  async free(name: string): Promise<void> {
    await rm(join(this.#place(name).store, FILLER), { force: true })
  }

  /** Resolves when the broker has taken the order. */
  inject(name: string, order: InjectOrder): Promise<void> {
    const path = injectSocket(this.#place(name))
    return new Promise((resolve, reject) => {
      const socket = connect(path, () => socket.end(JSON.stringify(order)))
      socket.resume()
      socket.once('error', reject)
      socket.once('close', () => resolve())
    })
  }

  async #makeNodes(names: readonly string[]): Promise<void> {
    await this.links.open()
    for (const name of names) {
      await this.links.addNode(name)
      this.#nodes.set(name, {
        name,
        child: null,
        wanted: false,
        output: null,
        lastLines: [],
        boots: 0
      })
    }
  }

  #heard(node: Node, text: string): void {
    node.output?.write(text)
    const lines = text.split('\n').filter(line => line !== '')
    node.lastLines = [...node.lastLines, ...lines].slice(-LAST_WORDS_LINES)
    for (const line of lines) {
      const term = LEADS.exec(line)?.[1]
      if (term !== undefined) this.#tellLeader(node.name, Number(term))
    }
  }

  #node(name: string): Node {
    const node = this.#nodes.get(name)
    if (node === undefined) throw new Error(`there is no node ${name}`)
    return node
  }

  #place(name: string): Place {
    const place = this.#places.get(name)
    if (place === undefined) throw new Error(`there is no node ${name}`)
    return place
  }
}

/** Named only when it is not the machine's own. */
function bootOf({ name, boots }: Node): Record<string, string> {
  return boots === 0 ? {} : { LEDGERMQ_BOOT_ID: `${name} boot ${boots}` }
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: CONNECT_TIMEOUT_MS }, () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('error', () => resolve(false))
    socket.once('timeout', () => {
      resolve(false)
      socket.destroy()
    })
  })
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
