import type { Clock } from '../../platform/index.ts'
import { NotLeaderError } from '../types.ts'

/** Callers of one turn share a confirmation; beyond this many, a caller is refused. */
const WAITING_MAX = 10_000

interface Waiter {
  resolve(index: number): void
  reject(error: Error): void
}

interface Round {
  id: number
  /** 0: not confirmed yet. */
  index: number
  waiters: Waiter[]
}

/** Read index (raft.md 4.13): all questions of a turn are one round, answered when its index is applied. */
export class Reads {
  readonly #clock: Clock
  readonly #ask: (id: number) => void
  #nextId = 1
  #collecting: Waiter[] = []
  readonly #rounds = new Map<number, Round>()
  #waiting = 0

  constructor(clock: Clock, ask: (id: number) => void) {
    this.#clock = clock
    this.#ask = ask
  }

  readIndex(): Promise<number> {
    if (this.#waiting >= WAITING_MAX) {
      return Promise.reject(new Error(`${WAITING_MAX} reads are waiting already`))
    }
    this.#waiting += 1
    return new Promise((resolve, reject) => {
      if (this.#collecting.push({ resolve, reject }) === 1) this.#clock.turnEnd(this.#turnEnded)
    })
  }

  readonly #turnEnded = (): void => {
    const waiters = this.#collecting
    if (waiters.length === 0) return
    this.#collecting = []
    const id = this.#nextId
    this.#nextId += 1
    this.#rounds.set(id, { id, index: 0, waiters })
    this.#ask(id)
  }

  /** A majority confirmed: what is applied up to `index` is not older than the question. */
  confirmed(id: number, index: number, appliedIndex: number): void {
    const round = this.#rounds.get(id)
    if (round === undefined) return
    round.index = index
    if (appliedIndex >= index) this.#answer(round)
  }

  failed(id: number, reason: 'notLeader' | 'busy', leaderId: string | null): void {
    const round = this.#rounds.get(id)
    if (round === undefined) return
    this.#rounds.delete(id)
    this.#waiting -= round.waiters.length
    const error =
      reason === 'notLeader'
        ? new NotLeaderError(leaderId)
        : new Error('too many reads are waiting')
    for (const waiter of round.waiters) waiter.reject(error)
  }

  applied(appliedIndex: number): void {
    if (this.#rounds.size === 0) return
    for (const round of this.#rounds.values()) {
      if (round.index > 0 && round.index <= appliedIndex) this.#answer(round)
    }
  }

  /** Leadership ended: no value is given any more, confirmed or not. */
  failAll(leaderId: string | null): void {
    for (const id of [...this.#rounds.keys()]) this.failed(id, 'notLeader', leaderId)
    const waiters = this.#collecting
    this.#collecting = []
    this.#waiting -= waiters.length
    for (const waiter of waiters) waiter.reject(new NotLeaderError(leaderId))
  }

  #answer(round: Round): void {
    this.#rounds.delete(round.id)
    this.#waiting -= round.waiters.length
    for (const waiter of round.waiters) waiter.resolve(round.index)
  }
}
