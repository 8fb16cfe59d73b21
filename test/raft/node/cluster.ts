/** A raft group of several nodes in this process, over real sockets and the real disk. */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { Test } from 'tap'
import { createRealPlatform, type Disk, type Platform } from '../../../src/platform/index.ts'
import {
  ENTRY_HEADER_BYTES,
  type Entry,
  EntryKind,
  openRaft,
  type Proposal,
  pendingInstall,
  type RaftNode,
  type RaftOptions,
  type RaftPeer,
  type RaftStatus,
  type SavedState
} from '../../../src/raft/index.ts'
import { freePorts } from '../../helpers/freePorts.ts'
import { spoiltBlocks } from '../../helpers/spoiltBlocks.ts'
import { Mortal } from './mortal.ts'

export const TIMINGS = {
  tickMs: 10,
  heartbeatMs: 30,
  electionTimeoutMs: 400,
  electionJitterMs: 150,
  priorityDelayMs: 50,
  voteRoundMs: 150,
  voteRetryMinMs: 20,
  voteRetryMaxMs: 100,
  goneJitterMs: 50,
  preferredCheckMs: 100,
  preferredFitMs: 300
}

const DEADLINE_MS = 15_000

/** Resolves when the condition holds; rejects with what was waited for. */
export async function until(
  condition: () => boolean,
  what: string | (() => string)
): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!condition()) {
    if (performance.now() > deadline) {
      throw new Error(`waited in vain: ${typeof what === 'string' ? what : what()}`)
    }
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

class Batch implements Proposal {
  readonly kind = EntryKind.messages
  readonly flags = 0
  readonly count = 1
  readonly bytes: Buffer
  index = 0
  bodyPosition = 0
  timeMs = 0

  constructor(text: string, padBytes: number) {
    const body = Buffer.alloc(8 + Buffer.byteLength(text) + padBytes)
    body.write(text, 8)
    this.bytes = Buffer.concat([Buffer.alloc(ENTRY_HEADER_BYTES), body])
  }

  seal(bodyPosition: number, timeMs: number): void {
    this.bodyPosition = bodyPosition
    this.timeMs = timeMs
    this.bytes.writeDoubleBE(bodyPosition, ENTRY_HEADER_BYTES)
  }

  appended(index: number): void {
    this.index = index
  }
}

export interface Line {
  level: string
  message: string
  fields: Record<string, unknown>
}

export class TestNode {
  readonly id: string
  readonly directory: string
  readonly lines: Line[] = []
  readonly roles: RaftStatus[] = []
  /** Texts of applied messages, in order. */
  readonly texts: string[] = []
  readonly applied: Entry[] = []
  readonly fatals: string[] = []
  readonly sealed: Batch[] = []
  raft!: RaftNode
  /** The state machine throws when it is to apply this text. */
  throwOn = ''
  /** Of the machine; another one makes the next start one after a power loss. */
  bootId = 'first'
  /** Killed and not opened again. */
  dead = false
  platform: Mortal
  readonly #real: Platform
  #waiting: Batch[] = []
  #nextIndex = 1
  /** Of the entries that the texts came with. */
  #textIndexes: number[] = []
  /** Times that a snapshot took the place of its log. */
  installs = 0
  #installing: Promise<void> = Promise.resolve()
  readonly #options: () => RaftOptions

  constructor(id: string, directory: string, options: () => RaftOptions) {
    this.id = id
    this.#real = options().platform
    this.platform = new Mortal(this.#real, this.bootId)
    this.directory = directory
    this.#options = options
  }

  /** `appliedIndex`: what the state machine kept over the restart; all of it by default. */
  async open(changes: Partial<RaftOptions> = {}): Promise<void> {
    const log =
      (level: string) =>
      (message: string, fields: Record<string, unknown> = {}): void => {
        this.lines.push({ level, message, fields })
        if (process.env['RAFT_TRACE'] !== undefined) {
          console.error(
            Math.round(performance.now()),
            this.id,
            level,
            message,
            JSON.stringify(fields)
          )
        }
      }
    const logger = {
      debug: log('debug'),
      info: log('info'),
      warn: log('warn'),
      error: log('error')
    }
    this.dead = false
    this.platform = new Mortal(this.#real, this.bootId)
    const appliedIndex = changes.appliedIndex ?? this.#nextIndex - 1
    this.applied.length = Math.min(this.applied.length, appliedIndex)
    while ((this.#textIndexes.at(-1) ?? 0) > appliedIndex) {
      this.#textIndexes.pop()
      this.texts.pop()
    }
    this.#nextIndex = appliedIndex + 1
    this.raft = await openRaft(
      {
        ...this.#options(),
        platform: this.platform,
        logger,
        onFatal: reason => this.fatals.push(reason),
        onInstall: () => {
          this.#installing = this.#install(changes)
        },
        ...changes,
        appliedIndex
      },
      {
        take: () => {
          const batch = this.#waiting.shift() ?? null
          if (batch !== null) this.sealed.push(batch)
          return batch
        }
      },
      {
        apply: entries => this.#apply(entries),
        roleChanged: status => {
          this.roles.push(status)
          if (!status.ready) this.#waiting.length = 0
        },
        saveState: path => this.#saveState(path)
      }
    )
  }

  async #saveState(path: string): Promise<SavedState> {
    const index = Math.min(this.#nextIndex - 1, this.raft.durableIndex)
    const count = this.#textIndexes.filter(at => at <= index).length
    const texts = this.texts.slice(0, count)
    const json = Buffer.from(JSON.stringify({ texts, indexes: this.#textIndexes.slice(0, count) }))
    await this.platform.disk.writeFileAtomic(path, json)
    return { index, bytes: json.length, crc: crc32(json) }
  }

  /** The state machine loads what came with the snapshot, and the node is opened again. */
  async #install(changes: Partial<RaftOptions>): Promise<void> {
    if (this.dead) return
    const { disk, clock } = this.platform
    const { directory } = this.#options()
    const pending = await pendingInstall(disk, clock, directory)
    if (pending === null) throw new Error('nothing is pending')
    const { texts, indexes } = JSON.parse(String(await disk.readFile(pending.statePath))) as {
      texts: string[]
      indexes: number[]
    }
    this.texts.splice(0, this.texts.length, ...texts)
    this.#textIndexes = indexes
    while (this.applied.length < pending.index) this.applied.push(null as never)
    this.applied.length = pending.index
    this.#nextIndex = pending.index + 1
    await this.start({ ...changes, appliedIndex: pending.index })
    this.installs += 1
  }

  /** Resolves when a change to a snapshot that has begun is done. */
  installed(): Promise<void> {
    return this.#installing
  }

  async start(changes: Partial<RaftOptions> = {}): Promise<void> {
    await this.open(changes)
    await this.raft.start()
  }

  propose(text: string, padBytes = 0): void {
    this.#waiting.push(new Batch(text, padBytes))
    this.raft.wake()
  }

  /** As `kill -9` does it; the node may be opened again after it. */
  async kill(): Promise<void> {
    this.dead = true
    await this.platform.kill()
  }

  /** A state machine that persisted all that it may (R-D5). */
  kept(): { appliedIndex: number } {
    return { appliedIndex: Math.min(this.applied.length, this.raft.durableIndex) }
  }

  logged(part: string): boolean {
    return this.lines.some(line => line.message.includes(part))
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.index !== this.#nextIndex) {
        throw new Error(`${this.id} was given ${entry.index}, expected ${this.#nextIndex}`)
      }
      this.#nextIndex += 1
      this.applied.push({ ...entry, bytes: Buffer.from(entry.bytes) })
      if (entry.kind !== EntryKind.messages) continue
      const body = entry.bytes.subarray(ENTRY_HEADER_BYTES)
      if (body.readDoubleBE(0) !== entry.position + ENTRY_HEADER_BYTES) {
        throw new Error(`entry ${entry.index} was sealed for another position`)
      }
      const end = body.indexOf(0, 8)
      const text = body.toString('utf8', 8, end < 0 ? body.length : end)
      if (text === this.throwOn) throw new Error('planted')
      this.texts.push(text)
      this.#textIndexes.push(entry.index)
    }
  }
}

export interface ClusterOptions extends Partial<RaftOptions> {
  disk?: (id: string) => Disk
}

function makeNode(
  root: string,
  id: string,
  peers: readonly RaftPeer[],
  { disk, ...rest }: ClusterOptions
): TestNode {
  const real: Platform = { ...createRealPlatform(), blocks: spoiltBlocks() }
  const platform: Platform = disk === undefined ? real : { ...real, disk: disk(id) }
  return new TestNode(id, join(root, id), () => ({
    platform,
    logger: undefined as never,
    group: 'RaftNode00',
    selfId: id,
    peers,
    directory: join(root, id),
    segmentBytes: 1024 * 1024,
    flushMode: 'sync',
    flushIntervalMs: 500,
    preferredLeaderId: null,
    brokerAddress: `127.0.0.1:${30_000 + Number(id.slice(1))}`,
    appliedIndex: 0,
    tailCacheBytes: 8 * 1024 * 1024,
    timings: TIMINGS,
    diskRefuseRatio: 1,
    ...rest
  }))
}

export class Cluster {
  readonly nodes: TestNode[]

  readonly peers: readonly RaftPeer[]
  readonly #root: string
  readonly #options: ClusterOptions

  constructor(
    nodes: TestNode[],
    peers: readonly RaftPeer[],
    root: string,
    options: ClusterOptions
  ) {
    this.nodes = nodes
    this.peers = peers
    this.#root = root
    this.#options = options
  }

  /** In the test's own directory, stopped before that is removed (tap removes it first if it was asked for first). */
  static async of(t: Test, size: number, options: ClusterOptions = {}): Promise<Cluster> {
    let cluster: Cluster | null = null
    t.teardown(() => cluster?.stop())
    cluster = await Cluster.create(t.testdir(), size, options)
    return cluster
  }

  static async create(root: string, size: number, options: ClusterOptions = {}): Promise<Cluster> {
    const ports = await freePorts(size)
    const peers: RaftPeer[] = ports.map((port, at) => ({ id: `n${at}`, host: '127.0.0.1', port }))
    const nodes = peers.map(({ id }) => makeNode(root, id, peers, options))
    return new Cluster(nodes, peers, root, options)
  }

  /** A further node with an empty directory, whose file lists the founders and itself. Not started. */
  async further(): Promise<TestNode> {
    const [port] = (await freePorts(1)) as [number]
    const id = `n${this.nodes.length}`
    const peers = [...this.peers, { id, host: '127.0.0.1', port }]
    const node = makeNode(this.#root, id, peers, this.#options)
    this.nodes.push(node)
    return node
  }

  async start(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.start()))
  }

  /** The node that takes proposals; waits for one. `not`: of another id than this. */
  async leader(not = ''): Promise<TestNode> {
    const find = (): TestNode | undefined =>
      this.nodes.find(node => node.id !== not && !node.dead && node.raft?.ready === true)
    await until(
      () => find() !== undefined,
      () => `a leader; ${this.describe()}`
    )
    return find()!
  }

  followersOf(leader: TestNode): TestNode[] {
    return this.nodes.filter(node => node !== leader)
  }

  /** All given nodes (default: all) have applied these texts and nothing else. */
  async agreeOn(texts: readonly string[], nodes = this.nodes): Promise<void> {
    await until(
      () => nodes.every(node => node.texts.length >= texts.length),
      () => `${texts.length} messages on ${nodes.map(node => node.id)}; ${this.describe()}`
    )
    for (const node of nodes) {
      const wrong = node.texts.findIndex((text, at) => texts[at] !== text)
      if (wrong >= 0) {
        throw new Error(`${node.id} applied ${node.texts[wrong]} at ${wrong}, not ${texts[wrong]}`)
      }
    }
  }

  describe(): string {
    return this.nodes
      .map(node => {
        if (node.raft === undefined) return `${node.id} was not opened`
        if (node.dead) return `${node.id} was killed`
        const { role, term, lastIndex, commitIndex, appliedIndex } = node.raft.status()
        return `${node.id} ${role} t${term} last ${lastIndex} commit ${commitIndex} applied ${appliedIndex} ${node.texts.length} texts`
      })
      .join('; ')
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.installed().catch(() => {})))
    const alive = this.nodes.filter(node => !node.dead)
    await Promise.all(alive.map(node => node.raft?.stop({ transfer: false })))
  }
}
