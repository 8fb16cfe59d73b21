import type {
  Configuration,
  Effect,
  Event,
  HelloFacts,
  Member,
  Message,
  NodeId
} from '../../../src/raft/core/index.ts'
import { Book, type TestEntry } from './book.ts'
import {
  defaultSettings,
  type NodeSettings,
  TestNode,
  type TestSnapshot,
  type World
} from './testNode.ts'

export interface Packet {
  readonly from: NodeId
  readonly to: NodeId
  readonly message: Message
  readonly entries: readonly TestEntry[]
}

/** A connection that `dialer` opened: its requests flow one way, the answers the other. */
export interface Connection {
  readonly dialer: NodeId
  readonly acceptor: NodeId
  up: boolean
  /** Who was refused comes again after a while. */
  attemptsToSkip: number
  dialerHello: HelloFacts | null
  acceptorHello: HelloFacts | null
  requests: Packet[]
  replies: Packet[]
}

type RefuseHello = Extract<Effect, { kind: 'refuseHello' }>

const replyTypes = new Set(['appendReply', 'voteReply', 'repairReply', 'snapshotDone'])

/** Nodes, and ordered connections between them that nothing moves but the test. */
export class Cluster implements World {
  readonly book = new Book()
  readonly nodes = new Map<NodeId, TestNode>()
  readonly snapshots = new Map<string, TestSnapshot>()
  readonly connections: Connection[] = []
  /** Pairs that cannot reach each other, "a b" with a < b. */
  readonly blocked = new Set<string>()
  skipWhenRefused = 0
  /** What was under way on connections that broke; a late one may still turn up. */
  readonly stale: Packet[] = []
  onEvent: (node: TestNode, event: Event) => void = () => {}
  onEffect: (node: TestNode, effect: Effect) => void = () => {}
  #seed: number
  /** What a starting core draws its patience from. */
  bootSeed: (node: TestNode) => number = () => ++this.#seed

  constructor(seed: number) {
    this.#seed = seed
  }

  /** `founded`: the group's first start lies behind it, no entry was written yet. */
  /** `spares`: further nodes that are no members and list the founders and themselves. */
  addNodes(
    count: number,
    founded: boolean,
    settings: Partial<NodeSettings> = {},
    spares = 0
  ): void {
    const all = Array.from({ length: count + spares }, (_, at) => `n${at}`)
    const ids = all.slice(0, count)
    for (const id of all) {
      const peers = ids.includes(id) ? ids : [...ids, id]
      this.nodes.set(id, new TestNode(id, peers, { ...defaultSettings, ...settings }, this))
    }
    const founders: Member[] = ids.map(id => ({
      id,
      uid: `uid-${id}`,
      role: 'voter',
      raftAddress: `${id}:40911`,
      brokerAddress: `${id}:10911`,
      priority: 0
    }))
    for (const id of founded ? ids : []) this.node(id).hard = { ...this.node(id).hard, founders }
    for (const dialer of all)
      for (const acceptor of all)
        if (dialer !== acceptor)
          this.connections.push({
            dialer,
            acceptor,
            up: false,
            attemptsToSkip: 0,
            dialerHello: null,
            acceptorHello: null,
            requests: [],
            replies: []
          })
  }

  node(id: NodeId): TestNode {
    const node = this.nodes.get(id)
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  connection(dialer: NodeId, acceptor: NodeId): Connection {
    const found = this.connections.find(c => c.dialer === dialer && c.acceptor === acceptor)
    if (found === undefined) throw new Error(`no connection ${dialer} to ${acceptor}`)
    return found
  }

  start(id: NodeId): void {
    const node = this.node(id)
    node.boot(this.bootSeed(node))
  }

  /** A node that has ended to change over to a copy is opened again with it. */
  switchLog(node: TestNode): boolean {
    if (node.switching === null) return false
    this.disconnectAll(node.id)
    return node.finishSwitch(this.bootSeed(node))
  }

  isBlocked(a: NodeId, b: NodeId): boolean {
    return this.blocked.has(a < b ? `${a} ${b}` : `${b} ${a}`)
  }

  /** Connects and says Hello; does nothing when it stands or cannot. */
  connect(c: Connection): boolean {
    const dialer = this.node(c.dialer)
    const acceptor = this.node(c.acceptor)
    if (c.up && this.#isUnwanted(c)) {
      this.disconnect(c)
      return true
    }
    if (c.up || dialer.core === null || acceptor.core === null) return false
    if (acceptor.core.role === 'stopped' || dialer.core.role === 'stopped') return false
    if (this.isBlocked(c.dialer, c.acceptor) || !dialer.knows(c.acceptor)) return false
    if (c.attemptsToSkip > 0) {
      c.attemptsToSkip--
      return false
    }
    const { core } = dialer
    c.dialerHello = core.hello()
    c.acceptorHello = acceptor.core.hello()
    const refusal = this.#stepUnlessRefused(acceptor, () =>
      acceptor.step({ kind: 'hello', peer: c.dialer, hello: core.hello() })
    )
    if (refusal !== null) {
      const { code, remark } = refusal
      dialer.step({ kind: 'helloRefused', peer: c.acceptor, code, remark })
      c.attemptsToSkip = this.skipWhenRefused
      return false
    }
    c.up = true
    const { core: accepting } = acceptor
    const refused = this.#stepUnlessRefused(dialer, () =>
      dialer.step({ kind: 'linkUp', peer: c.acceptor, hello: accepting.hello() })
    )
    if (refused !== null) this.disconnect(c)
    return refused === null
  }

  /** As the driver does it when configurations change. */
  #isUnwanted({ dialer, acceptor, dialerHello, acceptorHello }: Connection): boolean {
    const there = this.node(acceptor).core
    const here = this.node(dialer).core
    return (
      (dialerHello !== null && there?.keepsConnection(dialerHello) === false) ||
      (acceptorHello !== null && here?.keepsConnection(acceptorHello) === false)
    )
  }

  #stepUnlessRefused(node: TestNode, run: () => void): RefuseHello | null {
    let refusal: RefuseHello | null = null
    const watch = this.onEffect
    this.onEffect = (who, effect) => {
      if (who === node && effect.kind === 'refuseHello') refusal = effect
      watch(who, effect)
    }
    run()
    this.onEffect = watch
    return refusal
  }

  disconnect(c: Connection): void {
    if (!c.up) return
    c.up = false
    this.stale.push(...c.requests, ...c.replies)
    if (this.stale.length > 200) this.stale.splice(0, this.stale.length - 200)
    c.requests = []
    c.replies = []
    this.node(c.dialer).step({ kind: 'linkDown', peer: c.acceptor })
  }

  disconnectAll(id: NodeId): void {
    for (const c of this.connections) if (c.dialer === id || c.acceptor === id) this.disconnect(c)
  }

  block(a: NodeId, b: NodeId): void {
    this.blocked.add(a < b ? `${a} ${b}` : `${b} ${a}`)
    this.disconnect(this.connection(a, b))
    this.disconnect(this.connection(b, a))
  }

  unblock(a: NodeId, b: NodeId): void {
    this.blocked.delete(a < b ? `${a} ${b}` : `${b} ${a}`)
  }

  connectAll(): boolean {
    let any = false
    for (const c of this.connections) any = this.connect(c) || any
    return any
  }

  transmit(from: NodeId, to: NodeId, message: Message, entries: readonly TestEntry[]): void {
    const packet: Packet = { from, to, message, entries }
    if (replyTypes.has(message.type)) {
      const c = this.connection(to, from)
      if (c.up) c.replies.push(packet)
    } else {
      const c = this.connection(from, to)
      if (c.up) c.requests.push(packet)
    }
  }

  deliver(packet: Packet): void {
    const { from, message, entries } = packet
    this.node(packet.to).step({ kind: 'receive', from, message, entries })
  }

  countDurable(entry: TestEntry, voters: readonly Member[]): number {
    let count = 0
    for (const { id, uid } of voters) {
      const node = this.node(id)
      const { durableLog, lost, graves } = node
      const grave = graves.get(uid)
      if (node.uid === uid ? has(durableLog, entry) || has(lost, entry) : has(grave ?? [], entry))
        count++
    }
    return count
  }

  /** Every configuration that some node goes by, or would after a restart. */
  configurations(): Configuration[] {
    const found: Configuration[] = []
    for (const { core, log, written, hard } of this.nodes.values()) {
      if (core?.configuration != null) found.push(core.configuration)
      for (const { configuration } of [...log, ...written])
        if (configuration !== null) found.push(configuration)
      if (hard.founders !== null)
        found.push({ version: 1, clusterId: hard.clusterId, members: hard.founders })
    }
    return found
  }

  /** What was committed and is on no disk any more: allowed to be gone where the documentation says so. */
  forgetLost(without: readonly NodeId[] = []): void {
    const { committed } = this.book
    const disks = [...this.nodes.values()].filter(({ id }) => !without.includes(id))
    const isThere = (entry: TestEntry): boolean => disks.some(({ written }) => has(written, entry))
    while (committed.length > 0 && !isThere(committed[committed.length - 1] as TestEntry))
      committed.pop()
  }

  noteEvent(node: TestNode, event: Event): void {
    this.onEvent(node, event)
  }

  note(node: TestNode, effect: Effect): void {
    this.onEffect(node, effect)
  }
}

function has(log: readonly TestEntry[], entry: TestEntry): boolean {
  return log[entry.index - 1]?.headerCrc === entry.headerCrc
}
