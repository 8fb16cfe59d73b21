import type { MembershipChange, NodeId } from '../../../src/raft/core/index.ts'
import { Cluster, type Connection } from './cluster.ts'
import { showEffect, showMessage } from './show.ts'
import type { TestNode } from './testNode.ts'

/** mulberry32. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Each step has chance of its own: what one step draws, or that it is left out, changes nothing for the others. */
  startStep(seed: number, step: number): void {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)) >>> 0
    this.next()
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let z = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 0x1_0000_0000
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  anyOf<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)]
  }

  /** The list must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }
}

const FORCE_AFTER_TICKS = 120
/** Effects that are counted by what they say, or of which there are any number. */
const uncounted: ReadonlySet<string> = new Set([
  'roleChanged',
  'readReady',
  'transferEnded',
  'membershipEnded',
  'fatal',
  'report',
  'send'
])

/** What has been seen over many schedules: a simulation that never met a case proves nothing about it. */
export class Coverage {
  readonly counts = new Map<string, number>()
  /** What the cores were told. */
  events = 0

  saw(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }
}

export interface Schedule {
  readonly seed: number
  /** Before everything heals. */
  readonly steps: number
  /** Steps that are left out; the others stay what they are. */
  readonly without?: ReadonlySet<number>
  readonly traced?: boolean
}

export const USUAL_STEPS = 2500
/** Of virtual time in which the healed group must not change its leader, in ticks of 50 ms. */
const CALM_TICKS = 400
const CALM_SHARE = 0.08

/** One schedule: its own mix of faults, then everything heals and the group has to work again. */
export class Simulation {
  readonly #schedule: Schedule
  readonly #chance: Chance
  readonly #cluster: Cluster
  readonly #coverage: Coverage
  readonly #flush: 'sync' | 'async'
  readonly #rates: Map<string, number>
  readonly #nodes: TestNode[]
  /** Damage is allowed on one node of a schedule only, or an entry may be whole nowhere; so is the loss of a disk. */
  readonly #damaged: NodeId
  readonly #diskSpeeds: Map<NodeId, number>
  /** A node whose clock nearly stands leads on long after the others took it for dead. */
  readonly #clockSpeeds: Map<NodeId, number>
  readonly #copySpeed: number
  /** Messages and saves need less than a tick; else a campaign hardly ever gets its answers in time. */
  readonly #quick: boolean
  #token = 0
  #readId = 0
  #requestId = 0
  readonly #readFloor = new Map<number, number>()
  /** Cut off from all others, until they are let in again. */
  #alone: NodeId | null = null
  #leaderChanges = 0
  /** Leads still, while another one of a later term has just committed something. */
  #deposed: TestNode | null = null
  /** Has just committed the first entry of its term. */
  #elected: TestNode | null = null
  /** Begins to copy a snapshot. */
  #copier: TestNode | null = null
  /** Its clock stands while it is cut off: a leader that was put to sleep goes on to believe in itself. */
  #asleep: NodeId | null = null
  /** Has just called itself whole again. */
  #recovered: TestNode | null = null
  readonly trace: string[] = []

  constructor(schedule: Schedule, coverage: Coverage) {
    const { seed } = schedule
    this.#schedule = schedule
    this.#chance = new Chance(seed)
    this.#coverage = coverage
    const chance = this.#chance
    this.#flush = chance.below(2) === 0 ? 'sync' : 'async'
    this.#cluster = new Cluster(seed)
    this.#cluster.skipWhenRefused = 10
    // By the number of its starts, so that a step left out changes nothing for other nodes.
    this.#cluster.bootSeed = ({ id, incarnation }) =>
      (Math.imul(seed, 31) + Math.imul(incarnation, 101) + Number(id.slice(1))) >>> 0
    const size = chance.pick([1, 3, 3, 3, 3, 3, 5])
    const changing = chance.below(2) === 0
    this.#cluster.addNodes(
      size,
      chance.below(4) > 0,
      {
        flush: this.#flush,
        segmentBytes: 4096,
        preferredLeaderId: chance.below(3) === 0 ? 'n1' : null,
        limits: {
          windowFrames: chance.pick([2, 8, 256]),
          tailEntries: chance.pick([2, 5, 1000]),
          frameBytes: chance.pick([300, 1000, 100_000])
        }
      },
      changing ? chance.pick([0, 1, 2, 2]) : 0
    )
    this.#nodes = [...this.#cluster.nodes.values()]
    this.#diskSpeeds = new Map(this.#nodes.map(n => [n.id, chance.pick([0.1, 0.5, 1, 1])]))
    this.#clockSpeeds = new Map(this.#nodes.map(n => [n.id, chance.pick([0.05, 1, 1, 1])]))
    this.#damaged = chance.pick(this.#nodes).id
    this.#rates = this.#drawRates(size, changing)
    this.#copySpeed = chance.pick([0.1, 0.3, 1])
    this.#quick = chance.below(4) > 0
    this.#listen()
  }

  /** Swarm: each schedule draws which faults it has, and how many. */
  #drawRates(size: number, changing: boolean): Map<string, number> {
    const chance = this.#chance
    const rate = (often: number): number => (chance.below(2) === 0 ? 0 : often * chance.next())
    const rates = new Map([
      ['reset', rate(3)],
      ['block', rate(1.5)],
      ['isolate', rate(2)],
      ['kill', rate(1)],
      ['powerLoss', rate(1)],
      ['stale', rate(4)],
      ['gone', rate(1)],
      ['transfer', rate(1)],
      ['slow', rate(0.5)],
      ['disk', rate(0.5)],
      ['storageFailed', rate(0.5)],
      ['damage', rate(1)],
      ['wipe', rate(1)],
      ['trim', rate(3)],
      ['copyLost', rate(0.3)],
      ['lateOffer', rate(4)],
      ['add', changing ? rate(6) : 0],
      ['remove', changing ? rate(3) : 0],
      ['update', changing ? rate(0.5) : 0],
      ['hasty', changing ? rate(4) : 0]
    ])
    const asyncLoses = rates.get('powerLoss') !== 0 || rates.get('storageFailed') !== 0
    // An entry that one node has damaged must be whole elsewhere: not in a group of one, not with ASYNC losing the others.
    if (size === 1 || (this.#flush === 'async' && asyncLoses)) rates.set('damage', 0)
    if (size === 1) rates.set('wipe', 0)
    // With fewer voters, or disks that are gone, an entry may be whole on the damaged one only.
    const others = ['remove', 'hasty', 'wipe']
    if (chance.below(3) === 0) for (const name of others) rates.set(name, 0)
    if (others.some(name => rates.get(name) !== 0)) rates.set('damage', 0)
    return rates
  }

  #listen(): void {
    const traced = this.#schedule.traced === true
    const { book } = this.#cluster
    this.#cluster.onEvent = () => {
      this.#coverage.events++
    }
    if (traced)
      this.#cluster.onEvent = (node, event) => {
        const text =
          event.kind === 'receive'
            ? `${event.from}: ${showMessage(event.message)}`
            : JSON.stringify(event)
        this.trace.push(`${node.id} <- ${text}`)
      }
    const mayErr = ['powerLoss', 'storageFailed', 'damage', 'wipe', 'add', 'remove', 'hasty'].some(
      name => this.#rates.get(name) !== 0
    )
    this.#cluster.onEffect = (node, effect) => {
      if (traced) this.trace.push(`${node.id}    ${showEffect(effect)}`)
      if (effect.kind === 'roleChanged') {
        this.#coverage.saw(`role ${effect.role}`)
        if (effect.role === 'leader') this.#leaderChanges++
        if (effect.ready) this.#elected = node
      } else if (effect.kind === 'committed') this.#noteCommit(node)
      else if (effect.kind === 'whole') this.#recovered = node
      else if (effect.kind === 'cut' && effect.forgets) this.#coverage.saw('forgets')
      else if (effect.kind === 'installSnapshot') this.#copier = node
      else if (effect.kind === 'readReady') this.#checkRead(effect.id, effect.index)
      else if (effect.kind === 'transferEnded') this.#coverage.saw(`transfer ${effect.ok}`)
      else if (effect.kind === 'membershipEnded')
        this.#coverage.saw(`change ${effect.refusal ?? 'done'}`)
      else if (effect.kind === 'fatal') {
        if (!effect.storage) book.fail(`${node.id} ends by itself: ${effect.reason}`)
      } else if (effect.kind === 'report') {
        if (effect.level === 'error' && !mayErr)
          book.fail(`quiet: ${node.id} reports an error without a fault for it: ${effect.text}`)
      }
      if (!uncounted.has(effect.kind)) this.#coverage.saw(effect.kind)
    }
  }

  #noteCommit({ core }: TestNode): void {
    if (core?.role !== 'leader') return
    const isDeposed = (n: TestNode): boolean => n.core?.role === 'leader' && n.core.term < core.term
    this.#deposed = this.#nodes.find(isDeposed) ?? null
  }

  /** At the moments at which a broken rule would show, and which chance alone hardly meets. */
  #pressOn(): void {
    const { core } = this.#deposed ?? {}
    if (core?.role === 'leader') {
      this.#coverage.saw('deposed leader read')
      this.#ask(this.#deposed as TestNode)
      this.#harmDeposed(this.#deposed as TestNode)
    }
    this.#deposed = null
    // Who leads next may have what the copier needs: its log then gets ahead of the copy.
    const copier = this.#copier?.core
    this.#copier = null
    const giver = this.#nodes.find(n => n.id === copier?.leaderId)
    if (giver !== undefined && this.#rates.get('kill') !== 0 && this.#chance.below(2) === 0) {
      this.#coverage.saw('leader killed while its snapshot is copied')
      giver.kill(0, 0)
      this.#cluster.disconnectAll(giver.id)
    }
    const recovered = this.#recovered?.core
    this.#recovered = null
    const elected = this.#elected
    this.#elected = null
    if (this.#alone !== null || this.#rates.get('isolate') === 0 || this.#nodes.length === 1) return
    if (elected?.core?.role === 'leader' && this.#chance.below(6) === 0) {
      this.#coverage.saw('fresh leader cut off')
      this.#cutOff(elected)
      return
    }
    if (recovered == null) return
    const leader = this.#nodes.find(n => n.id === recovered.leaderId)
    if (leader === undefined || leader.log.length <= recovered.lastIndex) return
    if (this.#chance.below(2) === 0) return
    this.#coverage.saw('leader cut off from who recovered')
    this.#cutOff(leader)
  }

  /** Linearizable: not below what was committed anywhere when the question came. */
  #checkRead(id: number, index: number): void {
    const floor = this.#readFloor.get(id) ?? 0
    if (index < floor)
      this.#cluster.book.fail(`read ${id} answered at ${index}, committed before it was ${floor}`)
    this.#coverage.saw('read answered')
  }

  run(): void {
    for (const node of this.#nodes) this.#cluster.start(node.id)
    // The first start needs everyone for a while.
    if (this.#nodes.some(node => node.core?.configuration === null)) {
      this.#cluster.connectAll()
      this.#coverage.saw('first start')
    }
    const { seed, steps, without } = this.#schedule
    for (let step = 0; step < steps; step++) {
      if (without?.has(step) === true) continue
      this.#chance.startStep(seed, step)
      if (this.#schedule.traced === true) this.trace.push(`step ${step}`)
      this.#act()
    }
    this.#chance.startStep(seed, -2)
    this.#heal()
  }

  #act(): void {
    this.#actOnce()
    this.#pressOn()
  }

  #actOnce(): void {
    const chance = this.#chance
    const node = chance.pick(this.#nodes)
    const roll = chance.next() * 100
    if (roll < 12) {
      if (node.id !== this.#asleep && chance.next() < (this.#clockSpeeds.get(node.id) ?? 1))
        node.step({ kind: 'tick', count: 1 + chance.below(4) })
    } else if (roll < 52) this.#deliverOne()
    else if (roll < 60) this.#saving(node).finishSave()
    else if (roll < 70) {
      if (chance.next() < (this.#diskSpeeds.get(node.id) ?? 1)) node.finishWrite()
    } else if (roll < 74) node.finishApply()
    else if (roll < 76) this.#finishSlow(node)
    else if (roll < 77) node.sync()
    else if (roll < 84) this.#propose()
    else if (roll < 86) this.#read(node)
    else if (roll < 91) this.#connectOne()
    else if (roll < 93) this.#restart(node)
    else this.#fault(node)
  }

  #saving(node: TestNode): TestNode {
    const saving = this.#quick ? this.#nodes.filter(n => n.saves.length > 0) : []
    return this.#chance.anyOf(saving) ?? node
  }

  /** Reads and snapshots under way. */
  #finishSlow(node: TestNode): void {
    if (node.finishRead() || node.finishSnapshot()) return
    if (this.#cluster.switchLog(node)) this.#coverage.saw('log switched')
    else if (this.#chance.next() < this.#copySpeed && node.finishCopy())
      this.#coverage.saw('snapshot copied')
  }

  #deliverOne(): void {
    const queues = this.#cluster.connections.flatMap(c => [c.requests, c.replies])
    const chosen = this.#quick ? queues.filter(queue => queue.length > 0) : queues
    const packet = this.#chance.anyOf(chosen)?.shift()
    if (packet !== undefined) this.#cluster.deliver(packet)
  }

  /** Every node that believes to lead takes some: deposed ones write what will be cut. */
  #propose(): void {
    for (const node of this.#nodes) {
      if (node.core?.ready !== true) continue
      const sizeBytes = 64 + this.#chance.below(900)
      node.step({ kind: 'propose', entryKind: 1, sizeBytes, token: ++this.#token })
    }
  }

  #read(node: TestNode): void {
    const leaders = this.#nodes.filter(n => n.core?.role === 'leader')
    const asked = this.#chance.below(4) === 0 ? node : (this.#chance.anyOf(leaders) ?? node)
    this.#ask(asked)
  }

  #ask(node: TestNode): void {
    this.#readId++
    this.#readFloor.set(this.#readId, this.#cluster.book.committed.length)
    node.step({ kind: 'readIndex', id: this.#readId })
  }

  #connectOne(): void {
    const c = this.#chance.anyOf(this.#cluster.connections)
    if (c !== undefined) this.#cluster.connect(c)
  }

  #restart(node: TestNode): void {
    if (node.core !== null) return
    if (this.#rates.get('damage') !== 0 && node.id === this.#damaged) this.#damageNext(node)
    if (node.recoverNext) this.#coverage.saw('start recovering')
    this.trace.push(
      `${node.id} starts, log ${node.written.map(e => e.term).join(' ')}${node.recoverNext ? ', recovering' : ''}, faults ${[...node.bad].join(' ')}`
    )
    this.#cluster.start(node.id)
  }

  /** Entries of one node that are bad on its disk; the others keep theirs whole. */
  #damageNext(node: TestNode): void {
    const kept = node.written.length - node.startIndex
    const index = node.startIndex + 1 + this.#chance.below(kept)
    if (node.written[index - 1] === undefined) return
    node.bad.add(index)
    this.#coverage.saw('start damaged')
    this.#loseHeaders(node, index)
  }

  /** What it alone has is cut when it is up again; near that it loses headers. By dice of its own. */
  #harmDeposed(node: TestNode): void {
    if (node.id !== this.#damaged || this.#rates.get('damage') === 0) return
    const parts = this.#partsAt(node)
    const chance = new Chance(Math.imul(this.#schedule.seed, 6271) + node.incarnation)
    if (parts === null || parts >= node.written.length || chance.below(3) === 0) return
    this.#coverage.saw('deposed leader killed and harmed')
    node.kill(node.writes.length, 0)
    this.#cluster.disconnectAll(node.id)
  }

  /**
   * Of some entries in a row, never of the last one: where this log parts from another one if it does, else from `index` on.
   */
  #loseHeaders(node: TestNode, index: number): void {
    const chance = this.#chance
    const parts = this.#partsAt(node)
    if (parts === null && chance.below(2) === 0) return
    const from = parts === null ? index : parts - chance.below(3)
    const firstIndex = Math.max(from, node.startIndex + 1)
    const lastIndex = Math.min(firstIndex + chance.below(5), node.written.length - 1)
    for (let index = firstIndex; index <= lastIndex; index++) {
      node.bad.add(index)
      node.headless.add(index)
    }
    if (lastIndex > firstIndex) this.#coverage.saw('start with headers lost in a row')
  }

  /** Where another node has another entry; null: nowhere. */
  #partsAt(node: TestNode): number | null {
    for (const { written } of this.#nodes) {
      const at = node.written.findIndex(
        ({ index, headerCrc }) =>
          written[index - 1] !== undefined && written[index - 1]?.headerCrc !== headerCrc
      )
      if (at >= 0) return at + 1
    }
    return null
  }

  #fault(node: TestNode): void {
    const chance = this.#chance
    let roll = chance.next() * 30
    for (const [name, share] of this.#rates) {
      roll -= share
      if (roll >= 0) continue
      const role = roleOf(node)
      if (this.#inject(name, node)) this.#coverage.saw(`fault ${name} ${role}`)
      return
    }
  }

  #inject(name: string, node: TestNode): boolean {
    const chance = this.#chance
    const cluster = this.#cluster
    switch (name) {
      case 'reset':
        return this.#reset(chance.anyOf(cluster.connections))
      case 'block': {
        const other = chance.pick(this.#nodes)
        if (other === node) return false
        if (cluster.isBlocked(node.id, other.id)) cluster.unblock(node.id, other.id)
        else cluster.block(node.id, other.id)
        return true
      }
      case 'isolate':
        return this.#isolate(node)
      case 'storageFailed':
        return this.#failStorage(node)
      case 'damage':
        return this.#damageRunning(node)
      case 'wipe':
        return this.#wipe(node)
      case 'kill':
        if (node.core === null) return false
        node.kill(chance.below(4), chance.below(3))
        cluster.disconnectAll(node.id)
        return true
      case 'powerLoss':
        return this.#losePower(node)
      case 'stale': {
        // Half of them acknowledgements of late: those would count most where they must not.
        const late = cluster.stale.slice(-20).filter(p => p.message.type === 'appendReply')
        const packet = chance.anyOf(chance.below(2) === 0 ? late : cluster.stale)
        if (packet === undefined) return false
        cluster.deliver(packet)
        return true
      }
      case 'gone': {
        const dead = this.#nodes.find(n => n.core === null)
        if (dead === undefined) return false
        node.step({ kind: 'peerGone', peer: dead.id })
        return true
      }
      case 'transfer': {
        const target = chance.below(2) === 0 ? null : chance.pick(this.#nodes).id
        for (const n of this.#nodes)
          if (n.core?.role === 'leader') n.step({ kind: 'transfer', target })
        return true
      }
      case 'add':
        return this.#change({ op: 'add', id: node.id, raftAddress: null, priority: null })
      case 'remove':
        return this.#change({ op: 'remove', id: node.id })
      case 'hasty': {
        // A leader that has committed nothing of its own yet is the one that must not (R-M2).
        const fresh = this.#nodes.filter(n => n.core?.role === 'leader' && !n.core.ready)
        if (fresh.length === 0) return false
        return this.#change({ op: 'remove', id: node.id })
      }
      case 'update': {
        const priority = chance.below(3)
        return this.#change({ op: 'update', id: node.id, raftAddress: null, priority })
      }
      case 'slow':
        node.step({ kind: 'storageSlow', slow: chance.below(2) === 0 })
        return true
      case 'trim':
        return node.trim(node.startIndex + 1 + chance.below(node.log.length - node.startIndex + 1))
      case 'lateOffer':
        return this.#offerAgain(node)
      case 'copyLost': {
        const copy = node.copying
        if (copy === null) return false
        node.copying = null
        node.step({ kind: 'snapshotAbandoned', snapshotId: copy.snapshotId, reason: 'lost' })
        return true
      }
      case 'disk':
        node.step({
          kind: 'diskPressure',
          level: chance.pick(['room', 'refuse', 'full']),
          freePermille: chance.below(200)
        })
        return true
      default:
        return false
    }
  }

  /** Most of them the leader, which goes on to believe in itself. */
  #isolate(node: TestNode): boolean {
    const cluster = this.#cluster
    if (this.#nodes.length === 1) return false
    if (this.#alone !== null) {
      // The others need time to elect one of them.
      if (this.#asleep !== null && this.#chance.below(4) > 0) return false
      for (const { id } of this.#nodes) if (id !== this.#alone) cluster.unblock(this.#alone, id)
      // Often just when the one dies who led meanwhile: what was written alone then stands against what was committed.
      const next = this.#nodes.find(n => n.core?.role === 'leader' && n.id !== this.#alone)
      if (next !== undefined && this.#chance.below(2) === 0) {
        next.kill(0, 0)
        cluster.disconnectAll(next.id)
        this.#coverage.saw('leader killed at a reunion')
      }
      this.#alone = null
      this.#asleep = null
      return true
    }
    const leader = this.#nodes.find(n => n.core?.role === 'leader')
    const chosen = this.#chance.below(4) > 0 ? (leader ?? node) : node
    this.#cutOff(chosen)
    return true
  }

  #cutOff(node: TestNode): void {
    this.#alone = node.id
    this.#asleep = this.#chance.below(2) === 0 ? node.id : null
    for (const { id } of this.#nodes) if (id !== node.id) this.#cluster.block(node.id, id)
  }

  /** A write or fsync fails: the node ends, what was not synced may be gone, and the next start says so (R-D8). */
  #failStorage(node: TestNode): boolean {
    if (node.core === null || node.core.role === 'stopped' || !this.#mayLose()) return false
    node.step({ kind: 'storageFailed', reason: 'EIO: fsync' })
    if (node.ended === '')
      this.#cluster.book.fail(`${node.id} goes on after a write that failed (R-D8)`)
    node.losePower(this.#chance.below(3), this.#chance.below(2))
    node.recoverNext = true
    this.#cluster.disconnectAll(node.id)
    return true
  }

  /** A read finds bytes that have changed. */
  #damageRunning(node: TestNode): boolean {
    if (node.id !== this.#damaged || node.core === null) return false
    return this.#damageAt(node, this.#chance.below(node.written.length))
  }

  #damageAt(node: TestNode, at: number): boolean {
    const entry = node.written[at]
    if (entry === undefined || entry.index <= node.startIndex || node.bad.has(entry.index))
      return false
    // Being cut at this moment: no read would come to it.
    if (node.log[entry.index - 1] !== entry) return false
    node.findDamage(entry)
    return true
  }

  /** Every node that believes to lead is asked: a deposed one must not carry it through. */
  #change(change: MembershipChange): boolean {
    const leaders = this.#nodes.filter(n => n.core?.role === 'leader')
    for (const leader of leaders)
      leader.step({ kind: 'changeMembership', requestId: ++this.#requestId, change })
    return leaders.length > 0
  }

  /**
   * A disk is gone for good, the node comes back with an empty one. One at a time: by every configuration that anyone may
   * go by, all other voters have theirs, and are a majority; with ASYNC none of them has lost something either.
   */
  #wipe(node: TestNode): boolean {
    const uids = new Set(this.#nodes.filter(n => n !== node).map(n => n.uid))
    if (this.#nodes.some(n => n.recoverNext || n.core?.recovering === true)) return false
    for (const { members } of this.#cluster.configurations()) {
      const voters = members.filter(member => member.role === 'voter')
      const gone = voters.filter(voter => !uids.has(voter.uid)).length
      if (gone > 1 || (gone === 1 && voters.length < 3)) return false
    }
    this.#cluster.disconnectAll(node.id)
    if (node.core !== null) node.kill(0, 0)
    node.wipe()
    return true
  }

  /** Fewest voters of any configuration that anyone may go by; disks that are gone do not count. */
  #fewestVoters(): number {
    const uids = new Set(this.#nodes.map(n => n.uid))
    const counts = this.#cluster
      .configurations()
      .map(c => c.members.filter(m => m.role === 'voter' && uids.has(m.uid)).length)
    return Math.min(...counts)
  }

  /** An offer that its leader made before in this term comes once more. */
  #offerAgain(to: TestNode): boolean {
    const offers = [...this.#cluster.snapshots].flatMap(([id, { facts, term }]) => {
      const leader = this.#nodes.find(n => n.core?.role === 'leader' && n.core.term === term)
      return leader !== undefined && leader !== to && id.startsWith(`${leader.id}-`)
        ? [{ from: leader.id, term, facts }]
        : []
    })
    const offer = this.#chance.anyOf(offers)
    if (offer === undefined || to.core === null) return false
    const { from, term, facts } = offer
    const message = { type: 'snapshotOffer', term, leaderId: from, ...facts } as const
    to.step({ kind: 'receive', from, message, entries: [] })
    return true
  }

  #reset(c: Connection | undefined): boolean {
    if (c === undefined || !c.up) return false
    this.#cluster.disconnect(c)
    return true
  }

  /**
   * SYNC promises to hold a power loss of all. ASYNC promises to hold that of a minority: one node at a time, until it
   * is whole again.
   */
  #losePower(node: TestNode): boolean {
    if (node.core === null || !this.#mayLose()) return false
    const all = this.#flush === 'sync' && this.#chance.below(4) === 0
    for (const n of all ? this.#nodes : [node]) {
      if (n.core === null) continue
      n.losePower(this.#chance.below(3), this.#chance.below(2))
      this.#cluster.disconnectAll(n.id)
    }
    if (all) this.#coverage.saw('power loss of all')
    return true
  }

  #mayLose(): boolean {
    if (this.#flush === 'sync') return true
    if (this.#fewestVoters() < 3) return false
    return !this.#nodes.some(n => n.recoverNext || n.core?.recovering === true)
  }

  /** No more faults: a leader, its entry committed, a proposal committed everywhere, everyone whole. */
  #heal(): void {
    const cluster = this.#cluster
    cluster.blocked.clear()
    this.#alone = null
    this.#asleep = null
    cluster.stale.length = 0
    for (const node of this.#nodes) {
      if (node.core === null) cluster.start(node.id)
      node.step({ kind: 'storageSlow', slow: false })
      node.step({ kind: 'diskPressure', level: 'room', freePermille: 900 })
    }
    this.#damageUnsent()
    let proposedAt = -1
    let proposedTerm = 0
    // 15 s of virtual time; a leader is there after two, what is left is repair and ways out.
    for (let tick = 0; tick < 300; tick++) {
      for (const node of this.#nodes) {
        node.checkpoint()
        node.step({ kind: 'tick', count: 1 })
      }
      this.#settle()
      const leader = this.#nodes.find(n => n.core?.ready === true)
      if (leader === undefined && tick === FORCE_AFTER_TICKS) this.#force()
      if (leader === undefined) continue
      // Another leader may have cut it.
      if (leader.core?.term !== proposedTerm) proposedAt = -1
      if (proposedAt < 0) {
        proposedTerm = leader.core?.term ?? 0
        // Refused while a transfer runs, or until the leader has heard that the disks have room again.
        const before = leader.core?.lastIndex ?? 0
        this.#propose()
        if ((leader.core?.lastIndex ?? 0) > before) proposedAt = before + 1
      }
      if (this.#isQuiet(proposedAt)) {
        // A preferred leader may be given the lead after any number of doubled waits.
        const members = leader.core?.configuration?.members ?? []
        const isPreferred =
          leader.settings.preferredLeaderId !== null || members.some(m => m.priority > 0)
        if (!isPreferred && this.#chance.next() < CALM_SHARE) this.#stayCalm()
        return
      }
    }
    const states = this.#nodes.map(
      n =>
        `${n.id} ${n.core?.role} t${n.core?.term} last ${n.core?.lastIndex} commit ${n.committed}${n.core?.recovering === true ? ' recovering' : ''}${n.core?.damaged === true ? ' damaged' : ''}${n.core?.configuration === null ? ' unfounded' : ''} ${n.core?.membership} v${n.core?.configuration?.version}/${n.core?.committedConfiguration?.version} [${n.core?.configuration?.members.map(m => `${m.uid} ${m.role}`).join(',')}]`
    )
    this.#cluster.book.fail(`liveness: no progress within 15 s of health: ${states.join('; ')}`)
  }

  /** The last fault: what a leader alone has is damaged on its disk. Nothing behind it is committed while it leads (R-E11). */
  #damageUnsent(): void {
    if (this.#rates.get('damage') === 0) return
    const node = this.#cluster.node(this.#damaged)
    const { core } = node
    const last = node.written.at(-1)
    if (core?.role !== 'leader' || last === undefined || last.index <= core.commitIndex) return
    const others = this.#nodes.filter(n => n !== node)
    if (others.some(n => n.log[last.index - 1]?.headerCrc === last.headerCrc)) return
    if (this.#damageAt(node, last.index - 1)) this.#coverage.saw('unsent entry damaged')
  }

  /** No further election: hand-overs to a preferred leader are over first. */
  #stayCalm(): void {
    const tick = (count: number): void => {
      for (let i = 0; i < count; i++) {
        for (const node of this.#nodes) node.step({ kind: 'tick', count: 1 })
        this.#settle()
      }
    }
    tick(CALM_TICKS)
    this.#leaderChanges = 0
    tick(CALM_TICKS)
    if (this.#leaderChanges > 0)
      this.#cluster.book.fail(`liveness: ${this.#leaderChanges} elections in a healthy group`)
    this.#coverage.saw('calm')
  }

  /** A disk is gone and another node recovers: what an operator is there for (R-D6w). */
  #force(): void {
    const uids = new Set(this.#nodes.map(n => n.uid))
    const members = this.#cluster.configurations().flatMap(c => c.members)
    const without = [...new Set(members.filter(m => !uids.has(m.uid)).map(m => m.id))]
    if (without.length === 0) return
    this.#coverage.saw('forced recovery')
    for (const node of this.#nodes) node.step({ kind: 'forceRecover', without })
  }

  /** Learners become voters, disks that are gone are replaced, whoever is out knows it. */
  #isQuiet(proposedAt: number): boolean {
    const leader = this.#nodes.find(n => n.core?.ready === true)
    const members = leader?.core?.configuration?.members
    if (leader === undefined || members === undefined) return false
    const last = leader.core?.lastIndex
    const version = leader.core?.configuration?.version ?? 0
    if (members.some(m => m.role === 'learner' || this.#cluster.node(m.id).uid !== m.uid))
      return false
    return this.#nodes.every(({ id, core, committed }) => {
      if (core === null) return false
      if (!members.some(member => member.id === id)) {
        // Or it has a configuration of its own that never was the group's.
        const ahead = core.configuration !== null && core.configuration.version > version
        return ahead || core.membership === 'waiting' || core.membership === 'removed'
      }
      return (
        core.membership === 'voter' &&
        committed >= proposedAt &&
        core.lastIndex === last &&
        !core.recovering &&
        !core.damaged
      )
    })
  }

  #settle(): void {
    const cluster = this.#cluster
    for (let round = 0; round < 1000; round++) {
      let moved = cluster.connectAll()
      for (const node of this.#nodes) {
        while (node.finishSave()) moved = true
        while (node.finishWrite()) moved = true
        while (node.finishApply()) moved = true
        while (node.finishRead()) moved = true
        while (node.finishSnapshot()) moved = true
        while (node.finishCopy()) moved = true
        if (cluster.switchLog(node)) moved = true
      }
      for (const c of cluster.connections)
        for (const packet of [...c.requests.splice(0), ...c.replies.splice(0)]) {
          moved = true
          cluster.deliver(packet)
        }
      if (!moved) return
    }
    cluster.book.fail('never settles')
  }
}

function roleOf({ core }: TestNode): string {
  if (core === null) return 'down'
  return core.recovering ? 'recovering' : core.damaged ? 'damaged' : core.role
}
