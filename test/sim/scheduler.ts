/** Whose code an event runs: a process that may stand still or be dead. */
export interface Owner {
  readonly name: string
  alive: boolean
  /** Until then its loop does nothing (virtual ms). */
  stalledUntilMs: number
  /** What fell due meanwhile. */
  readonly backlog: SimEvent[]
}

export type EventKind = 'timer' | 'turn' | 'disk' | 'net' | 'sim'

export interface SimEvent {
  atMs: number
  order: number
  readonly kind: EventKind
  readonly owner: Owner | null
  run: (() => void) | null
}

const KIND_NUMBERS: Readonly<Record<EventKind, number>> = {
  timer: 1,
  turn: 2,
  disk: 3,
  net: 4,
  sim: 5
}

/** Taken before a run replaces it by something that refuses. */
const realSetImmediate = setImmediate
/** So many events, then the real loop may turn once: a parent's message, a signal. */
const EVENTS_A_TURN = 256

/**
 * Runs all promises that can go on, and what was put off by `process.nextTick`, as Node.js does between two callbacks of
 * its loop: ten times cheaper than a turn of the loop for each event.
 */
const runMicrotasks = (process as unknown as { _tickCallback(): void })._tickCallback

/**
 * Virtual time. Events run one after the other, by time and then in the order of their making; between two of them all
 * promises that can go on do. Nothing else moves the simulation, so a seed decides it all.
 */
export class Scheduler {
  nowMs = 0
  events = 0
  /** Called after each event. */
  afterEvent: (() => void) | null = null
  /** An event's code threw: nothing in a process may. */
  onThrow: (error: unknown, owner: Owner | null) => void = error => {
    throw error
  }
  readonly #heap: SimEvent[] = []
  #order = 0
  #hashA = 0x811c9dc5
  #hashB = 0x9747b28c
  #stopped = false

  /** Calls back after `delayMs` of virtual time. */
  after(delayMs: number, owner: Owner | null, kind: EventKind, run: () => void): SimEvent {
    const event = { atMs: this.nowMs + delayMs, order: this.#order++, kind, owner, run }
    this.#push(event)
    return event
  }

  delay(ms: number): Promise<void> {
    return new Promise(resolve => {
      this.after(ms, null, 'sim', resolve)
    })
  }

  /** Two runs of a seed have the same hash after each event, or something escaped the simulation. */
  mix(value: number): void {
    this.#hashA = Math.imul(this.#hashA ^ (value | 0), 0x01000193)
    this.#hashB = Math.imul((this.#hashB + (value | 0)) | 0, 0x5bd1e995) ^ (this.#hashB >>> 13)
  }

  get traceHash(): string {
    const text = (value: number): string => (value >>> 0).toString(16).padStart(8, '0')
    return text(this.#hashA) + text(this.#hashB)
  }

  stop(): void {
    this.#stopped = true
  }

  /** Runs until `stop`, until nothing is left to do, or until virtual time is over. */
  run(untilMs: number): Promise<'stopped' | 'idle' | 'timeUp'> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          for (let i = 0; i < EVENTS_A_TURN; i++) {
            const event = this.#stopped ? null : this.#pop()
            if (event === null || event.atMs > untilMs) {
              resolve(this.#stopped ? 'stopped' : event === null ? 'idle' : 'timeUp')
              return
            }
            this.#play(event)
            runMicrotasks()
            this.afterEvent?.()
          }
          realSetImmediate(turn)
        } catch (error) {
          reject(error as Error)
        }
      }
      realSetImmediate(turn)
    })
  }

  /** The owner's loop stands still for `ms`; then all that came meanwhile is there at once, timers first. */
  stall(owner: Owner, ms: number): void {
    const untilMs = this.nowMs + ms
    if (untilMs <= owner.stalledUntilMs) return
    owner.stalledUntilMs = untilMs
    this.after(ms, null, 'sim', () => {
      if (owner.stalledUntilMs > this.nowMs) return
      const waiting = owner.backlog.splice(0)
      const rank = (event: SimEvent): number => (event.kind === 'timer' ? 0 : 1)
      waiting.sort((a, b) => rank(a) - rank(b) || a.order - b.order)
      for (const event of waiting) {
        event.atMs = this.nowMs
        event.order = this.#order++
        this.#push(event)
      }
    })
  }

  #play(event: SimEvent): void {
    const { owner, run } = event
    this.nowMs = event.atMs
    this.events += 1
    this.mix(KIND_NUMBERS[event.kind])
    this.mix(event.atMs * 1000)
    try {
      run!()
    } catch (error) {
      this.onThrow(error, owner)
    }
  }

  #pop(): SimEvent | null {
    for (;;) {
      const event = this.#shift()
      if (event === null) return null
      if (event.run === null) continue
      const { owner } = event
      if (owner === null) return event
      if (!owner.alive) continue
      if (event.atMs >= owner.stalledUntilMs) return event
      owner.backlog.push(event)
    }
  }

  #push(event: SimEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #shift(): SimEvent | null {
    const heap = this.#heap
    const first = heap[0]
    if (first === undefined) return null
    const last = heap.pop()!
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1
      if (!isBefore(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
