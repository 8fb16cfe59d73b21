/**
 * Consumer offsets on their way into the log (R-A2): the last value for a queue wins, one command for many, proposed
 * 100 ms after the first at the latest. Unchanged values are dropped, and so are values that a forwarder has held since before
 * the offset was moved back. Nothing of this outlives the leadership.
 */
import type { Clock, Timer } from '../platform/index.ts'
import type { AppendRefusal } from './append.ts'
import type { CommandWaiter } from './batch.ts'
import type { Command, CommandResult, ConsumerOffset } from './commands.ts'
import type { StoreTables } from './tables.ts'

const OFFSETS_PENDING_MAX = 50_000
/** Questions that wait for what was taken before them. */
const SETTLING_MAX = 50_000
/** Proposed at once when that many wait. */
const OFFSETS_COMMAND_MAX = 5_000
/** A forwarder holds a request for 2 s at most; remembered for longer than that. */
const BACK_REMEMBERED_MS = 10_000

interface Waiting extends ConsumerOffset {
  mayGoBack: boolean
}

/** What went into one flush. */
interface Sent {
  readonly seq: number
  readonly entries: ReadonlyMap<string, Waiting>
}

export interface OffsetWaiter {
  done(): void
  failed(reason: string): void
}

export interface OffsetCommitsHost {
  readonly clock: Clock
  readonly tables: StoreTables
  propose(command: Command, waiter: CommandWaiter): AppendRefusal | null
}

export interface OffsetCommitOptions {
  /** How long a forwarder held it, ms; dropped if the offset was moved back meanwhile. */
  ageMs?: number
  /** Also a smaller offset than the stored one (an explicit UPDATE_CONSUMER_OFFSET that nobody held); else it only moves forward (those that ride on pulls). */
  mayGoBack?: boolean
}

export class OffsetCommits {
  readonly #host: OffsetCommitsHost
  readonly #intervalMs: number
  #waiting = new Map<string, Waiting>()
  #waiters: OffsetWaiter[] = []
  /** What was proposed and is not applied yet; the newest last. */
  readonly #inFlight: Sent[] = []
  /** When the offset of a queue was last moved back (monotonic). */
  readonly #backMs = new Map<string, number>()
  #timer: Timer | null = null
  #sentSeq = 0
  /** Each waits until nothing up to `seq` is in flight. */
  #settling: { seq: number; resolve: () => void }[] = []
  #prunedMs = 0

  constructor(host: OffsetCommitsHost, intervalMs: number) {
    this.#host = host
    this.#intervalMs = intervalMs
  }

  /** False: full. A value that changes nothing, or came too late, counts as taken. */
  add(
    offset: ConsumerOffset,
    ageMs: number,
    mayGoBack: boolean,
    waiter: OffsetWaiter | null
  ): boolean {
    const key = `${offset.topic}@${offset.group}@${offset.queueId}`
    if (this.#waiting.size >= OFFSETS_PENDING_MAX && !this.#waiting.has(key)) return false
    if (this.#waiters.length >= OFFSETS_PENDING_MAX) return false
    const nowMs = this.#host.clock.monotonicMs()
    const backMs = this.#backMs.get(key)
    if (backMs !== undefined && backMs > nowMs - ageMs) {
      // It counts as taken before that.
      waiter?.done()
      return true
    }
    if (nowMs - this.#prunedMs > BACK_REMEMBERED_MS) this.#prune(nowMs)
    const before = this.#lastValue(key, offset)
    const goesBack = mayGoBack && offset.offset < before
    if (goesBack) this.#backMs.set(key, nowMs)
    const changes = goesBack || offset.offset > before
    if (changes) {
      const waiting = this.#waiting.get(key)
      if (waiting === undefined) this.#waiting.set(key, { ...offset, mayGoBack })
      else {
        waiting.offset = offset.offset
        waiting.mayGoBack ||= mayGoBack
      }
    }
    const settled = !changes && !this.#waiting.has(key) && !this.#isInFlight(key)
    if (waiter !== null) {
      if (settled) waiter.done()
      else this.#waiters.push(waiter)
    }
    if (this.#waiting.size >= OFFSETS_COMMAND_MAX) this.flush()
    else if (!settled) this.#timer ??= this.#host.clock.after(this.#intervalMs, () => this.flush())
    return true
  }

  /** Proposes what waits. What is refused as busy stays for the next time. */
  flush(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#waiting.size === 0 && this.#waiters.length === 0) return
    const waiting = this.#waiting
    const waiters = this.#waiters
    const forward: ConsumerOffset[] = []
    const overwriting: ConsumerOffset[] = []
    for (const entry of waiting.values()) (entry.mayGoBack ? overwriting : forward).push(entry)
    this.#waiting = new Map()
    this.#waiters = []
    // An empty command still tells the waiters when what is in flight before it was applied.
    const commands: Command[] = []
    if (overwriting.length > 0) commands.push({ type: 'setOffsets', offsets: overwriting })
    if (forward.length > 0 || overwriting.length === 0)
      commands.push({ type: 'commitOffsets', offsets: forward })
    const sent: Sent = { seq: ++this.#sentSeq, entries: waiting }
    this.#inFlight.push(sent)
    const flight = new Flight(commands.length, failure => this.#landed(sent, waiters, failure))
    for (const command of commands) {
      const refusal = this.#host.propose(command, flight)
      if (refusal !== null) flight.failed(refusal)
    }
  }

  /**
   * Resolves when all that was taken so far is applied, also what had to be tried again, or lost with the leadership. What comes later is
   * not waited for. Rejects when too many wait.
   */
  async settle(): Promise<void> {
    this.flush()
    const last = this.#inFlight.at(-1)
    if (last === undefined) return
    if (this.#settling.length >= SETTLING_MAX)
      throw new Error(`${SETTLING_MAX} questions for offsets wait already`)
    await new Promise<void>(resolve => this.#settling.push({ seq: last.seq, resolve }))
  }

  /** The leadership is gone. */
  clear(reason: string): void {
    this.#timer?.cancel()
    this.#timer = null
    this.#waiting = new Map()
    this.#backMs.clear()
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.failed(reason)
    const settling = this.#settling
    this.#settling = []
    for (const wait of settling) wait.resolve()
  }

  #landed(sent: Sent, waiters: OffsetWaiter[], failure: string | null): void {
    this.#inFlight.splice(this.#inFlight.indexOf(sent), 1)
    for (const waiter of waiters) {
      if (failure === null) waiter.done()
      else waiter.failed(failure)
    }
    // Taken from a client and not in the log: tried again while this node leads.
    if ((failure === 'busy' || failure === 'timeout') && this.#tryAgain(sent))
      // Who waits for them waits for the next flush, which brings them.
      for (const wait of this.#settling)
        if (wait.seq >= sent.seq) wait.seq = Math.max(wait.seq, this.#sentSeq + 1)
    if (this.#settling.length === 0) return
    const nextSeq = this.#waiting.size > 0 ? this.#sentSeq + 1 : Number.POSITIVE_INFINITY
    const oldestSeq = this.#inFlight[0]?.seq ?? nextSeq
    const settled = this.#settling.filter(wait => wait.seq < oldestSeq)
    this.#settling = this.#settling.filter(wait => wait.seq >= oldestSeq)
    for (const wait of settled) wait.resolve()
  }

  /** But for what has a newer value by now: behind that one it would move the offset back. True: something waits again. */
  #tryAgain({ seq, entries }: Sent): boolean {
    let any = false
    for (const [key, entry] of entries) {
      if (this.#waiting.has(key)) continue
      const isOld = this.#inFlight.some(other => other.seq > seq && other.entries.has(key))
      if (isOld) continue
      this.#waiting.set(key, entry)
      any = true
    }
    this.#timer ??= this.#host.clock.after(this.#intervalMs, () => this.flush())
    return any
  }

  #lastValue(key: string, offset: ConsumerOffset): number {
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return waiting.offset
    for (let i = this.#inFlight.length - 1; i >= 0; i--) {
      const entry = this.#inFlight[i]!.entries.get(key)
      if (entry !== undefined) return entry.offset
    }
    return this.#host.tables.consumerOffset(offset.group, offset.topic, offset.queueId)
  }

  #isInFlight(key: string): boolean {
    return this.#inFlight.some(sent => sent.entries.has(key))
  }

  #prune(nowMs: number): void {
    this.#prunedMs = nowMs
    for (const [key, backMs] of this.#backMs) {
      if (nowMs - backMs > BACK_REMEMBERED_MS) this.#backMs.delete(key)
    }
  }
}

/** One or two commands of a flush; reports once, when both ended. */
class Flight implements CommandWaiter {
  #left: number
  #failure: string | null = null
  readonly #landed: (failure: string | null) => void

  constructor(commands: number, landed: (failure: string | null) => void) {
    this.#left = commands
    this.#landed = landed
  }

  applied(_result: CommandResult): void {
    this.#one()
  }

  failed(reason: string): void {
    this.#failure = reason
    this.#one()
  }

  #one(): void {
    this.#left -= 1
    if (this.#left === 0) this.#landed(this.#failure)
  }
}
