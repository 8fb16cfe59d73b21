import type { MembershipChange } from '../../src/raft/index.ts'
import type { SimCluster } from './cluster.ts'
import type { Dice } from './dice.ts'
import type { Machine } from './machine.ts'

const MEMBERS_MIN = 3
/** Longer than an election timeout: for a member that answers everything is kept. */
const AWAY_MS_MIN = 2_000
const AWAY_MS_MAX = 8_000
const TRIM_EVERY_MS = 500
const ASKED_MAX = 20
const ASK_AGAIN_MS = 300

/** Told of what was done, at whom. */
type Done = (kind: string, machine: Machine, text: string) => void

/** What an operator asks of a group that is disturbed. */
export class Operator {
  readonly #cluster: SimCluster
  readonly #later: (delayMs: number, run: () => void) => void

  constructor(cluster: SimCluster, later: (delayMs: number, run: () => void) => void) {
    this.#cluster = cluster
    this.#later = later
  }

  /** What is old enough goes; often while a follower is away, which needs a snapshot then. */
  trim(dice: Dice, done: Done): void {
    const cluster = this.#cluster
    this.#trimNow(done)
    const leader = cluster.leader()
    const followers = cluster.brokers.filter(machine => machine !== leader)
    const away = dice.pick(followers)
    const awayMs = dice.between(AWAY_MS_MIN, AWAY_MS_MAX)
    if (away.process === null || dice.chance(0.4)) return
    cluster.heldOff.add(away)
    cluster.kill(away)
    for (let atMs = TRIM_EVERY_MS; atMs < awayMs; atMs += TRIM_EVERY_MS) {
      this.#later(atMs, () => this.#trimNow(done))
    }
    this.#later(awayMs, () => cluster.start(away))
  }

  #trimNow(done: Done): void {
    const leader = this.#cluster.leader()
    if (leader === null) return
    this.#cluster.running
      .get(leader)!
      .store.cleanExpired()
      .then(
        trimmed => {
          if (trimmed) done('trim', leader, '')
        },
        // It leads no longer, or is dead.
        () => {}
      )
  }

  /** One more, one less, or another to prefer as leader; who was removed may come back, with its disk or an empty one. */
  changeMembers(dice: Dice, done: Done): void {
    const cluster = this.#cluster
    const leader = cluster.leader()
    if (leader === null) return
    const { members } = cluster.running.get(leader)!.store.status()
    const ids = members.map(({ id }) => id)
    const outside = cluster.brokers.filter(({ name }) => !ids.includes(name))
    const candidates = [...cluster.spares, ...outside]
    const id = dice.pick(ids)
    if (candidates.length > 0 && dice.chance(0.6)) this.#add(dice.pick(candidates), ids, dice, done)
    else if (new Set(ids).size > MEMBERS_MIN && dice.chance(0.8)) {
      this.#ask('removeMember', { op: 'remove', id }, ASKED_MAX, done)
    } else {
      const priority = dice.below(3)
      this.#ask('preferMember', { op: 'update', id, raftAddress: null, priority }, 1, done)
    }
  }

  #add(machine: Machine, members: readonly string[], dice: Dice, done: Done): void {
    const cluster = this.#cluster
    if (cluster.spares.includes(machine)) cluster.join(machine)
    else if (dice.chance(0.5) && this.#isGoneForGood(machine, members)) {
      cluster.kill(machine)
      cluster.judge.wiped(machine)
      machine.disk.wipe()
      machine.state.wipe()
    }
    cluster.start(machine)
    const add = { op: 'add', id: machine.name, raftAddress: null, priority: null } as const
    this.#ask('addMember', add, ASKED_MAX, done)
  }

  /** All members that run know that it was removed: nobody will want its vote any more, and its disk may go. */
  #isGoneForGood(machine: Machine, members: readonly string[]): boolean {
    return [...this.#cluster.running].every(([{ name }, { store }]) => {
      if (!members.includes(name)) return true
      const known = store.status()
      return known.configurationCommitted && known.members.every(({ id }) => id !== machine.name)
    })
  }

  /** Whoever leads; a refusal that passes is asked again, as the command does. */
  #ask(kind: string, change: MembershipChange, times: number, done: Done): void {
    const cluster = this.#cluster
    const again = (text: string): void => {
      cluster.log.add('FAULT', 'faults', `${kind} ${change.id}: ${text}`)
      if (times > 1) this.#later(ASK_AGAIN_MS, () => this.#ask(kind, change, times - 1, done))
    }
    const leader = cluster.leader()
    if (leader === null) {
      again('nobody leads')
      return
    }
    cluster.running
      .get(leader)!
      .store.group.changeMembership(change)
      .then(
        ({ refusal, text }) => {
          if (refusal === null) done(kind, leader, change.id)
          else again(text)
        },
        (error: unknown) => again(String(error))
      )
  }
}
