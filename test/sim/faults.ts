import type { SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import { Operator } from './operator.ts'
import type { FaultKind } from './plan.ts'

/** Lines of a node's log. */
const IN_ELECTION = /^(Asks for votes|Was elected|Leads and takes)/
const WAS_OPENED = /^Opened the log$/
/** Faults that come with such a line, not after a time. */
const BY_LINES: readonly FaultKind[] = ['killInElection', 'rotAtStart']
const HOUR_MS = 3_600_000
const LOG_DATA = '/raft/data/'
/** Of full disks those whose written blocks can be written again. */
const IN_PLACE_SHARE = 0.5
const ROT_AT_START_SHARE = 0.6

/** Disturbs the cluster by the plan until it is told to stop; then `heal` leaves everything whole. */
export class Faults {
  /** By kind and the role of whom it met. */
  readonly counts = new Map<string, number>()
  /** "kind:number" of all that had an effect: each can be left out, and the others stay what they are. */
  readonly happened: string[] = []
  readonly #cluster: SimCluster
  readonly #root: Dice
  readonly #only: ReadonlySet<string> | null
  readonly #numbers = new Map<FaultKind, number>()
  /** Of the one that happens now. */
  #dice: Dice
  #id = ''
  /** The only one whose disk errs, rots, or loses what was not synced in a mode that does not sync. */
  readonly #victim: Machine
  readonly #operator: Operator
  #wiped = false
  #on = true

  /** `only`: ids of those that happen; null: all. */
  constructor(cluster: SimCluster, dice: Dice, only: ReadonlySet<string> | null) {
    this.#cluster = cluster
    this.#root = dice
    this.#dice = dice
    this.#only = only
    this.#victim = dice.pick(cluster.brokers)
    this.#operator = new Operator(cluster, (delayMs, run) => this.#later(delayMs, run))
  }

  start(): void {
    const { plan, log } = this.#cluster
    for (const [kind, meanMs] of plan.faults) {
      if (!BY_LINES.includes(kind)) this.#plan(kind, meanMs)
    }
    if (!BY_LINES.some(kind => plan.faults.has(kind))) return
    const rots = plan.faults.has('rotAtStart')
    const kills = plan.faults.has('killInElection')
    log.listener = (name, message) => {
      if (!this.#on) return
      if (kills && IN_ELECTION.test(message)) this.#happen('killInElection')
      const isVictim = name.startsWith(`${this.#victim.name}#`)
      if (rots && isVictim && WAS_OPENED.test(message)) this.#happen('rotAtStart')
    }
  }

  /** The next one of its kind, with chance of its own. */
  #happen(kind: FaultKind): void {
    const number = (this.#numbers.get(kind) ?? 0) + 1
    this.#numbers.set(kind, number)
    this.#id = `${kind}:${number}`
    if (this.#only?.has(this.#id) === false) return
    this.#dice = this.#root.fork(this.#id)
    this.#do(kind)
  }

  /** Everything runs and is connected from here on; nothing more is done to it. `except`: this one is kept down, until the next call. */
  heal(except: Machine | null = null): void {
    this.#on = false
    const { network, brokers, nameServers, clients } = this.#cluster
    const all = [...brokers, ...nameServers, ...clients]
    for (const a of all) {
      for (const b of all) {
        network.unblock(a.ip, b.ip)
        network.link(a.ip, b.ip).latencyMs = a === b ? 0.02 : this.#cluster.plan.latencyMs
      }
      a.diskSlowness = 1
      a.diskStalledUntilMs = 0
      a.disk.capacityBytes = Number.MAX_SAFE_INTEGER
      a.disk.failNoMore()
    }
    if (except !== null) this.#cluster.heldOff.add(except)
    if (except !== null && except.process !== null) this.#cluster.kill(except)
    for (const machine of [...nameServers, ...brokers])
      if (machine !== except) this.#cluster.start(machine)
  }

  /** Some moments after somebody asked for votes or won, and back before the election is over. */
  #killInElection(): void {
    const dice = this.#dice
    if (!dice.chance(0.4)) return
    const id = this.#id
    const broker = dice.pick(this.#cluster.brokers)
    const loses = this.#cluster.plan.syncFlush && dice.chance(0.3)
    this.#later(dice.skewed(0.1, 30), () => {
      if (broker.process === null) return
      this.#id = id
      this.#count('killInElection', broker)
      this.#cluster.heldOff.add(broker)
      if (loses) this.#cluster.powerLoss(broker)
      else this.#cluster.kill(broker)
      this.#later(dice.skewed(0.1, 100), () => this.#cluster.start(broker))
    })
  }

  #plan(kind: FaultKind, meanMs: number): void {
    const waits = this.#root.fork(kind)
    const next = (): void =>
      this.#later(waits.waitMs(meanMs), () => {
        this.#happen(kind)
        next()
      })
    next()
  }

  #later(delayMs: number, run: () => void): void {
    this.#cluster.scheduler.after(delayMs, null, 'sim', () => {
      if (this.#on) run()
    })
  }

  /** Before it takes effect: `machine` has its role still. */
  #count(kind: string, machine: Machine | null, text = ''): void {
    const role = machine === null ? 'all' : this.#cluster.roleOf(machine)
    const name = `${kind} ${role}`
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    this.happened.push(this.#id)
    this.#cluster.log.add('FAULT', 'faults', `${this.#id} ${machine?.name ?? ''} (${role}) ${text}`)
  }

  /** For what takes effect later. */
  #noting(): (kind: string, machine: Machine, text: string) => void {
    const id = this.#id
    return (kind, machine, text) => {
      if (!this.#on || machine.process === null) return
      this.#id = id
      this.#count(kind, machine, text)
    }
  }

  /** Often short, now and then long. */
  #spanMs(): number {
    return this.#dice.skewed(20, this.#cluster.plan.spanMaxMs)
  }

  #startLater(machine: Machine): void {
    this.#cluster.heldOff.add(machine)
    this.#later(this.#spanMs(), () => this.#cluster.start(machine))
  }

  #kill(machine: Machine): void {
    if (machine.process === null) return
    this.#cluster.kill(machine)
    this.#startLater(machine)
  }

  #powerLoss(machine: Machine): void {
    if (!machine.powered) return
    if (!this.#cluster.plan.syncFlush) this.#cluster.judge.harmed(machine)
    this.#cluster.powerLoss(machine)
    this.#startLater(machine)
  }

  #do(kind: FaultKind): void {
    const cluster = this.#cluster
    const dice = this.#dice
    const broker = dice.pick(cluster.brokers)
    switch (kind) {
      case 'kill':
        this.#count(kind, broker)
        this.#kill(broker)
        break
      case 'killLeader': {
        const leader = cluster.leader()
        if (leader === null) break
        this.#count(kind, leader)
        this.#kill(leader)
        break
      }
      case 'killAll':
        this.#count(kind, null)
        for (const machine of cluster.brokers) this.#kill(machine)
        break
      case 'powerLoss': {
        const machine = cluster.plan.syncFlush ? broker : this.#victim
        this.#count(kind, machine)
        this.#powerLoss(machine)
        break
      }
      case 'powerLossAll':
        this.#count(kind, null)
        if (!cluster.plan.syncFlush) cluster.judge.allLosePower()
        for (const machine of cluster.brokers) this.#powerLoss(machine)
        break
      case 'isolate':
        this.#count(kind, broker)
        this.#partition(
          [broker],
          cluster.brokers.filter(machine => machine !== broker),
          true
        )
        break
      case 'split': {
        const all = dice.shuffled([...cluster.brokers, ...cluster.nameServers, ...cluster.clients])
        const at = 1 + dice.below(all.length - 1)
        const side = all.slice(0, at).map(machine => machine.name)
        this.#count(kind, null, side.join(' '))
        this.#partition(all.slice(0, at), all.slice(at), dice.chance(0.7))
        break
      }
      case 'flap': {
        const other = dice.pick(cluster.brokers.filter(machine => machine !== broker))
        this.#count(kind, broker, `to ${other.name}`)
        for (let atMs = 0, i = 0; i < 6; i++) {
          atMs += dice.skewed(20, 1_500)
          this.#later(atMs, () => {
            if (i % 2 === 0) cluster.network.block(broker.ip, other.ip)
            else cluster.network.unblock(broker.ip, other.ip)
          })
        }
        break
      }
      case 'oneWay': {
        const others = [...cluster.brokers, ...cluster.clients].filter(m => m !== broker)
        const other = dice.pick(others)
        this.#count(kind, broker, `to ${other.name}`)
        this.#partition([broker], [other], false)
        break
      }
      case 'cut': {
        const all = [...cluster.brokers, ...cluster.nameServers, ...cluster.clients]
        const other = dice.pick(all)
        if (cluster.network.isConnected(broker.ip, other.ip)) {
          this.#count(kind, broker, `to ${other.name}`)
          cluster.network.cut(broker.ip, other.ip)
        }
        break
      }
      case 'slowLink':
        this.#slowLink(broker)
        break
      case 'slowDisk':
        this.#count(kind, broker)
        broker.diskSlowness = dice.skewed(5, 500)
        this.#later(this.#spanMs(), () => {
          broker.diskSlowness = 1
        })
        break
      case 'diskStall':
        this.#count(kind, broker)
        broker.diskStalledUntilMs = cluster.scheduler.nowMs + dice.skewed(50, 10_000)
        break
      case 'stall':
      case 'stallClient': {
        const machine = kind === 'stall' ? broker : dice.pick(cluster.clients)
        if (machine.process === null) break
        this.#count(kind, machine)
        cluster.scheduler.stall(machine.process, dice.skewed(50, 5_000))
        break
      }
      case 'clockJump': {
        const machine = dice.pick([...cluster.brokers, ...cluster.clients])
        this.#count(kind, machine)
        const jumpMs = dice.skewed(100, 2 * HOUR_MS) * (dice.chance(0.5) ? 1 : -1)
        machine.wallOffsetMs += Math.round(jumpMs)
        break
      }
      case 'restart':
        if (!cluster.running.has(broker)) break
        this.#count(kind, broker)
        cluster.heldOff.add(broker)
        void cluster.stopInOrder(broker).then(() => {
          if (this.#on) this.#startLater(broker)
          else cluster.start(broker)
        })
        break
      case 'failWrite':
      case 'failSync':
      case 'failRead': {
        const operations = { failWrite: 'write', failSync: 'sync', failRead: 'read' } as const
        this.#count(kind, this.#victim)
        cluster.mayEnd.add(this.#victim)
        cluster.judge.harmed(this.#victim)
        const path = dice.pick(['', '/raft/data/', '/raft/index', '/consumequeue/'])
        this.#victim.disk.failNext(operations[kind], 'EIO', { path })
        break
      }
      case 'failState':
        this.#count(kind, this.#victim)
        this.#victim.state.failWrites = 1 + dice.below(3)
        // A snapshot whose state cannot be loaded is loaded by the next process.
        if (cluster.plan.faults.has('trim') || cluster.plan.faults.has('wipe'))
          cluster.mayEnd.add(this.#victim)
        break
      case 'diskFull': {
        const { disk } = this.#victim
        this.#count(kind, this.#victim)
        cluster.mayEnd.add(this.#victim)
        disk.capacityBytes = disk.usedBytes() + dice.below(100_000)
        const spanMs = this.#spanMs()
        // On a file system that writes nothing in place, zeros written before are no room.
        const unfill = dice.chance(IN_PLACE_SHARE) ? () => {} : this.#fillLog()
        this.#later(spanMs, () => {
          disk.capacityBytes = Number.MAX_SAFE_INTEGER
          unfill()
        })
        break
      }
      case 'bitRot':
        if (this.#victim.process === null) break
        this.#count(kind, this.#victim)
        this.#kill(this.#victim)
        this.#rot()
        break
      case 'rotAtStart':
        this.#rotAtStart()
        break
      case 'hardCase':
        this.#hardCase()
        break
      case 'wipe':
        this.#wipe()
        break
      case 'killNameServer': {
        const machine = dice.pick(cluster.nameServers)
        this.#count(kind, machine)
        this.#kill(machine)
        break
      }
      case 'killInElection':
        this.#killInElection()
        break
      case 'members':
        this.#operator.changeMembers(dice, this.#noting())
        break
      case 'trim':
        this.#operator.trim(dice, this.#noting())
        break
      case 'transfer': {
        const leader = cluster.leader()
        if (leader === null) break
        this.#count(kind, leader)
        void cluster.running
          .get(leader)!
          .store.transferLeadership()
          .catch(() => {})
        break
      }
    }
  }

  #partition(some: readonly Machine[], others: readonly Machine[], bothWays: boolean): void {
    const { network } = this.#cluster
    for (const a of some) {
      for (const b of others) {
        network.block(a.ip, b.ip)
        if (bothWays) network.block(b.ip, a.ip)
      }
    }
    this.#later(this.#spanMs(), () => {
      for (const a of some) {
        for (const b of others) {
          network.unblock(a.ip, b.ip)
          if (bothWays) network.unblock(b.ip, a.ip)
        }
      }
    })
  }

  #slowLink(broker: Machine): void {
    const { network, brokers, clients } = this.#cluster
    const other = this.#dice.pick([...brokers, ...clients].filter(machine => machine !== broker))
    this.#count('slowLink', broker, `to ${other.name}`)
    const link = network.link(broker.ip, other.ip)
    link.latencyMs = this.#dice.skewed(5, 800)
    this.#later(this.#spanMs(), () => {
      link.latencyMs = this.#cluster.plan.latencyMs
    })
  }

  /** The victim loses its disk for good, once, and comes back with an empty one under its name. */
  #wipe(): void {
    const cluster = this.#cluster
    const victim = this.#victim
    if (this.#wiped || cluster.judge.committedCount === 0) return
    if (cluster.brokers.some(machine => !cluster.running.has(machine))) return
    this.#wiped = true
    this.#count('wipe', victim)
    cluster.mayEnd.add(victim)
    this.#kill(victim)
    cluster.judge.wiped(victim)
    victim.disk.wipe()
    victim.state.wipe()
  }

  /**
   * One slept through acknowledged sends, one is harmed at the end of its log, and these two start first, without the one
   * that has everything. Right is to wait for it.
   */
  #hardCase(): void {
    const cluster = this.#cluster
    const harmed = this.#victim
    const [sleeper, whole] = this.#dice.shuffled(cluster.brokers.filter(m => m !== harmed))
    if (sleeper === undefined || whole === undefined) return
    if (cluster.brokers.some(machine => machine.process === null)) return
    this.#count('hardCase', harmed, `${sleeper.name} sleeps, ${whole.name} is whole`)
    const dice = this.#dice
    const hold = (machine: Machine): void => {
      cluster.heldOff.add(machine)
      cluster.kill(machine)
    }
    hold(sleeper)
    const backMs = dice.between(2_000, 8_000)
    this.#later(dice.between(500, 4_000), () => {
      this.#dice = dice
      hold(harmed)
      hold(whole)
      this.#rot()
      this.#later(dice.between(20, 500), () => {
        cluster.start(sleeper)
        cluster.start(harmed)
      })
      this.#later(backMs, () => cluster.start(whole))
    })
  }

  /** Returns what makes room again. */
  #fillLog(): () => void {
    const { disk } = this.#victim
    return disk.failNext('write', 'ENOSPC', { times: Number.MAX_SAFE_INTEGER, path: LOG_DATA })
  }

  /**
   * Its log was just found whole. A bit near the end goes that nothing in memory covers: when it leads, it finds out by what a
   * follower lacks, and that may be what nobody else has.
   */
  #rotAtStart(): void {
    const { judge, log, mayEnd } = this.#cluster
    const victim = this.#victim
    const dice = this.#dice
    const last = newestSegment(victim)
    if (last === undefined || !dice.chance(ROT_AT_START_SHARE)) return
    const at = Math.max(0, endOfUse(last.contents) - 1 - dice.below(2048))
    if (last.contents[at] === 0) return
    this.#count('rotAtStart', victim, `${last.path} at ${at}`)
    judge.harmed(victim)
    mayEnd.add(victim)
    log.add('FAULT', 'faults', `${last.path}, bit at ${at}`)
    victim.disk.corrupt(last.path, at, 1 << dice.below(8))
  }

  /**
   * While it is down, one of its files: a bit, a block of zeros or of elsewhere, its end gone, or all of it; often where
   * the log was written last.
   */
  #rot(): void {
    const { judge, log, mayEnd } = this.#cluster
    const victim = this.#victim
    const dice = this.#dice
    const { disk } = victim
    const paths = disk.paths().filter(path => isRotten(path) && disk.contents(path).length > 0)
    if (paths.length === 0) return
    judge.harmed(victim)
    mayEnd.add(victim)
    const last = newestSegment(victim)?.path
    const atEnd = last !== undefined && dice.chance(0.4)
    const ofHardState = !atEnd && dice.chance(0.1) && disk.paths().includes(HARD_STATE)
    const path = atEnd ? last : ofHardState ? HARD_STATE : dice.pick(paths)
    const contents = disk.contents(path)
    const end = atEnd ? endOfUse(contents) : contents.length
    // The last entries may have no index units yet.
    const ofEnd = dice.chance(0.5) ? 512 : 8192
    const at = atEnd ? Math.max(0, end - 1 - dice.below(ofEnd)) : dice.below(end)
    const hows = ['bit', 'bit', 'bit', 'zeros', 'misplaced', 'cut', 'gone'] as const
    const how = dice.pick(hows)
    log.add('FAULT', 'faults', `${path} of ${contents.length} bytes, ${how} at ${at}`)
    const bytes = Math.min(4096, contents.length - at)
    if (ofHardState && dice.chance(0.5)) disk.overwrite(path, 0, Buffer.alloc(contents.length))
    else if (how === 'bit') disk.corrupt(path, at, 1 << dice.below(8))
    else if (how === 'zeros') disk.overwrite(path, at, Buffer.alloc(bytes))
    else if (how === 'misplaced') {
      const other = disk.contents(dice.pick(paths))
      const from = dice.below(other.length)
      disk.overwrite(path, at, Buffer.from(other.subarray(from, from + bytes)))
    } else if (how === 'cut') disk.shorten(path, at)
    else disk.delete(path)
  }
}

/** The last of the log's segments that has entries; what is prepared for later is none. */
function newestSegment({ disk }: Machine): { path: string; contents: Buffer } | undefined {
  for (const path of disk.paths().filter(isSegment).reverse()) {
    const contents = disk.contents(path)
    if (contents.some(byte => byte !== 0)) return { path, contents }
  }
  return undefined
}

/** Of its zeros at the end nothing counts. */
function endOfUse(contents: Buffer): number {
  let end = contents.length
  while (end > 1 && contents[end - 1] === 0) end -= 1
  return end
}

function isSegment(path: string): boolean {
  return /\/raft\/data\/\d+$/.test(path)
}

/** The log with its index, consume queues, key index. */
function isRotten(path: string): boolean {
  return /\/raft\/(data|index)\/|\/raft\/acknowledged$|\/consumequeue\/|\/index\//.test(path)
}

/** Of the two files of the hard state one: without both a node is at its end, as it should be. */
const HARD_STATE = '/store/raft/hardstate'
