import type { SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'
import type { FaultKind } from './plan.ts'

/** Lines of a node's log. */
const IN_ELECTION = /^(asks for votes|was elected|leads and takes)/
const HOUR_MS = 3_600_000

/** Disturbs the cluster by the plan until it is told to stop; then `heal` leaves everything whole. */
export class Faults {
  readonly counts = new Map<string, number>()
  readonly #cluster: SimCluster
  readonly #dice: Dice
  /** The only one whose disk errs, rots, or loses what was not synced in a mode that does not sync. */
  readonly #victim: Machine
  #on = true

  constructor(cluster: SimCluster, dice: Dice) {
    this.#cluster = cluster
    this.#dice = dice
    this.#victim = dice.pick(cluster.brokers)
  }

  start(): void {
    const { plan, log } = this.#cluster
    for (const [kind, meanMs] of plan.faults) {
      if (kind !== 'killInElection') this.#plan(kind, meanMs)
    }
    if (!plan.faults.has('killInElection')) return
    log.listener = (_name, message) => {
      if (IN_ELECTION.test(message) && this.#on && this.#dice.chance(0.4)) this.#killInElection()
    }
  }

  /** Everything runs and is connected from here on; nothing more is done to it. */
  heal(): void {
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
    for (const machine of [...nameServers, ...brokers]) this.#cluster.start(machine)
  }

  /** Some moments after somebody asked for votes or won, and back before the election is over. */
  #killInElection(): void {
    const dice = this.#dice
    const broker = dice.pick(this.#cluster.brokers)
    this.#later(dice.skewed(0.1, 30), () => {
      if (broker.process === null) return
      this.#count('killInElection', broker.name)
      this.#cluster.heldOff.add(broker)
      const loses = this.#cluster.plan.syncFlush && dice.chance(0.3)
      if (loses) this.#cluster.powerLoss(broker)
      else this.#cluster.kill(broker)
      this.#later(dice.skewed(0.1, 100), () => this.#cluster.start(broker))
    })
  }

  #plan(kind: FaultKind, meanMs: number): void {
    this.#later(this.#dice.waitMs(meanMs), () => {
      this.#do(kind)
      this.#plan(kind, meanMs)
    })
  }

  #later(delayMs: number, run: () => void): void {
    this.#cluster.scheduler.after(delayMs, null, 'sim', () => {
      if (this.#on) run()
    })
  }

  #count(kind: FaultKind, text: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    this.#cluster.log.add('FAULT', 'faults', `${kind} ${text}`)
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
        this.#count(kind, broker.name)
        this.#kill(broker)
        break
      case 'killLeader': {
        const leader = cluster.leader()
        if (leader === null) break
        this.#count(kind, leader.name)
        this.#kill(leader)
        break
      }
      case 'killAll':
        this.#count(kind, '')
        for (const machine of cluster.brokers) this.#kill(machine)
        break
      case 'powerLoss': {
        const machine = cluster.plan.syncFlush ? broker : this.#victim
        this.#count(kind, machine.name)
        this.#powerLoss(machine)
        break
      }
      case 'powerLossAll':
        this.#count(kind, '')
        for (const machine of cluster.brokers) this.#powerLoss(machine)
        break
      case 'isolate':
        this.#count(kind, broker.name)
        this.#partition(
          [broker],
          cluster.brokers.filter(machine => machine !== broker),
          true
        )
        break
      case 'split': {
        const all = dice.shuffled([...cluster.brokers, ...cluster.nameServers, ...cluster.clients])
        const at = 1 + dice.below(all.length - 1)
        this.#count(
          kind,
          all
            .slice(0, at)
            .map(machine => machine.name)
            .join(' ')
        )
        this.#partition(all.slice(0, at), all.slice(at), dice.chance(0.7))
        break
      }
      case 'oneWay': {
        const others = [...cluster.brokers, ...cluster.clients].filter(m => m !== broker)
        const other = dice.pick(others)
        this.#count(kind, `${broker.name} to ${other.name}`)
        this.#partition([broker], [other], false)
        break
      }
      case 'cut': {
        const all = [...cluster.brokers, ...cluster.nameServers, ...cluster.clients]
        const other = dice.pick(all)
        if (cluster.network.cut(broker.ip, other.ip)) {
          this.#count(kind, `${broker.name} to ${other.name}`)
        }
        break
      }
      case 'slowLink':
        this.#slowLink(broker)
        break
      case 'slowDisk':
        this.#count(kind, broker.name)
        broker.diskSlowness = dice.skewed(5, 500)
        this.#later(this.#spanMs(), () => {
          broker.diskSlowness = 1
        })
        break
      case 'diskStall':
        this.#count(kind, broker.name)
        broker.diskStalledUntilMs = cluster.scheduler.nowMs + dice.skewed(50, 10_000)
        break
      case 'stall':
      case 'stallClient': {
        const machine = kind === 'stall' ? broker : dice.pick(cluster.clients)
        if (machine.process === null) break
        this.#count(kind, machine.name)
        cluster.scheduler.stall(machine.process, dice.skewed(50, 5_000))
        break
      }
      case 'clockJump': {
        const machine = dice.pick([...cluster.brokers, ...cluster.clients])
        this.#count(kind, machine.name)
        const jumpMs = dice.skewed(100, 2 * HOUR_MS) * (dice.chance(0.5) ? 1 : -1)
        machine.wallOffsetMs += Math.round(jumpMs)
        break
      }
      case 'restart':
        if (!cluster.running.has(broker)) break
        this.#count(kind, broker.name)
        cluster.heldOff.add(broker)
        void cluster.stopInOrder(broker).then(() => {
          if (this.#on) this.#startLater(broker)
          else cluster.start(broker)
        })
        break
      case 'diskError':
        this.#count(kind, this.#victim.name)
        cluster.mayEnd.add(this.#victim)
        cluster.judge.harmed(this.#victim)
        this.#victim.disk.failNext(dice.pick(['write', 'sync', 'read'] as const), 'EIO')
        break
      case 'diskFull': {
        const { disk } = this.#victim
        this.#count(kind, this.#victim.name)
        cluster.mayEnd.add(this.#victim)
        disk.capacityBytes = disk.usedBytes() + dice.below(100_000)
        this.#later(this.#spanMs(), () => {
          disk.capacityBytes = Number.MAX_SAFE_INTEGER
        })
        break
      }
      case 'bitRot':
        this.#rot()
        break
      case 'killNameServer': {
        const machine = dice.pick(cluster.nameServers)
        this.#count(kind, machine.name)
        this.#kill(machine)
        break
      }
      case 'killInElection':
        this.#killInElection()
        break
      case 'transfer': {
        const leader = cluster.leader()
        if (leader === null) break
        this.#count(kind, leader.name)
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
    this.#count('slowLink', `${broker.name} to ${other.name}`)
    const link = network.link(broker.ip, other.ip)
    link.latencyMs = this.#dice.skewed(5, 800)
    this.#later(this.#spanMs(), () => {
      link.latencyMs = this.#cluster.plan.latencyMs
    })
  }

  /** While it is down, one of its files: a bit, a block of zeros or of elsewhere, its end gone, or all of it. */
  #rot(): void {
    const { judge, log, mayEnd } = this.#cluster
    const victim = this.#victim
    const { disk } = victim
    const dice = this.#dice
    const paths = disk.paths().filter(path => isRotten(path) && disk.contents(path).length > 0)
    if (paths.length === 0) return
    judge.harmed(victim)
    mayEnd.add(victim)
    this.#kill(victim)
    const path = dice.pick(paths)
    const { length } = disk.contents(path)
    const at = dice.below(length)
    const how = dice.pick(['bit', 'bit', 'bit', 'zeros', 'misplaced', 'cut', 'gone'] as const)
    const bytes = Math.min(4096, length - at)
    this.#count('bitRot', `${victim.name} ${path} ${how} ${at}`)
    log.add('FAULT', 'faults', `${path} has ${length} bytes`)
    if (how === 'bit') disk.corrupt(path, at, 1 << dice.below(8))
    else if (how === 'zeros') disk.overwrite(path, at, Buffer.alloc(bytes))
    else if (how === 'misplaced') {
      const other = disk.contents(dice.pick(paths))
      const from = dice.below(other.length)
      disk.overwrite(path, at, Buffer.from(other.subarray(from, from + bytes)))
    } else if (how === 'cut') disk.shorten(path, at)
    else disk.delete(path)
  }
}

/** The log with its index, consume queues, key index. */
function isRotten(path: string): boolean {
  return /\/raft\/(data|index)\/|\/consumequeue\/|\/index\//.test(path)
}
