/** What `take` answers when nothing may be sent now. */
export const NONE = -1

const MICROS_PER_SECOND = 1_000_000
/** How often an open loop looks whether sends are due: the finest that timers of Node.js have. */
const LOOK_MS = 1

/** The schedule of an open loop: send number `n` of all connections is due at `firstUs + n * intervalUs`, whatever the answers do. */
export interface Schedule {
  /** Infinite until the schedule begins. */
  firstUs: number
  intervalUs: number
  connections: number
}

/** Times at which the sends of one connection are due: each of the schedule's that is its turn. */
export class Pace {
  readonly #schedule: Schedule
  #next: number

  constructor(schedule: Schedule, connection: number) {
    this.#schedule = schedule
    this.#next = connection
  }

  /** When the next send was due, if that is past, and goes on to the one after it; `NONE` otherwise. */
  take(nowUs: number): number {
    const dueUs = dueAt(this.#schedule, this.#next)
    if (dueUs > nowUs) return NONE
    this.#next += this.#schedule.connections
    return dueUs
  }
}

function dueAt({ firstUs, intervalUs }: Schedule, number: number): number {
  return firstUs + number * intervalUs
}

/**
 * The requests that may be open on one connection, each in a slot with a number. In a closed loop (no pace) a slot is taken again
 * as soon as it is free. In an open loop it also has to be time for a send, and the send counts from when it was due: one that has to
 * wait because everything stands still is as late as it would have been for its sender (no coordinated omission).
 * Slots come back in the order in which they became free.
 */
export class Slots {
  readonly #pace: Pace | null
  readonly #startedUs: Float64Array
  /** A ring of the free ones. */
  readonly #free: Int32Array
  #firstFree = 0
  #freeCount: number

  constructor(count: number, pace: Pace | null) {
    this.#pace = pace
    this.#startedUs = new Float64Array(count)
    this.#free = Int32Array.from({ length: count }, (_, slot) => slot)
    this.#freeCount = count
  }

  /** A slot to send in now, or `NONE`. */
  take(nowUs: number): number {
    if (this.#freeCount === 0) return NONE
    const startedUs = this.#pace === null ? nowUs : this.#pace.take(nowUs)
    if (startedUs === NONE) return NONE
    const slot = this.#free[this.#firstFree]!
    this.#firstFree = (this.#firstFree + 1) % this.#free.length
    this.#freeCount -= 1
    this.#startedUs[slot] = startedUs
    return slot
  }

  /** The slot's request is over; when it began. */
  release(slot: number): number {
    this.#free[(this.#firstFree + this.#freeCount) % this.#free.length] = slot
    this.#freeCount += 1
    return this.#startedUs[slot]!
  }
}

export function nowUs(): number {
  return performance.now() * 1000
}

/** A closed loop for `perSecond` 0; otherwise so many requests a second by all connections together, once it begins. */
export function scheduleOf(perSecond: number, connections: number): Schedule | null {
  if (perSecond === 0) return null
  return {
    firstUs: Number.POSITIVE_INFINITY,
    intervalUs: MICROS_PER_SECOND / perSecond,
    connections
  }
}

/** Slots of connection number `connection`. */
export function slotsOf(schedule: Schedule | null, connection: number, count: number): Slots {
  return new Slots(count, schedule === null ? null : new Pace(schedule, connection))
}

/** Begins a schedule: from now on each connection's `look`, by its number, is called when one of its sends is due. */
export function beginSchedule(schedule: Schedule | null, looks: readonly (() => void)[]): void {
  if (schedule === null) return
  schedule.firstUs = nowUs()
  let next = 0
  setInterval(() => {
    const now = nowUs()
    for (; dueAt(schedule, next) <= now; next += 1) looks[next % looks.length]!()
  }, LOOK_MS)
}
