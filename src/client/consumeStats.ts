import type { Clock } from '../platform/index.ts'
import type { ConsumeStatus } from '../protocol/index.ts'

/** Slots of ten seconds: the last six are "now". */
const SLOT_MS = 10_000
const SLOTS = 6

interface Slot {
  number: number
  pulls: number
  pullMs: number
  pulled: number
  consumedOk: number
  consumedFailed: number
  consumeMs: number
}

/** Figures of one topic over the last minute, as GET_CONSUMER_RUNNING_INFO (307) reports them. */
export class TopicStats {
  readonly #clock: Clock
  readonly #slots: Slot[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  pulled(messages: number, durationMs: number): void {
    const slot = this.#slot()
    slot.pulls++
    slot.pulled += messages
    slot.pullMs += durationMs
  }

  consumed(ok: number, failed: number, durationMs: number): void {
    const slot = this.#slot()
    slot.consumedOk += ok
    slot.consumedFailed += failed
    slot.consumeMs += durationMs * (ok + failed)
  }

  /** The bean of remoting.md 3.3. Times in ms, rates in messages a second. */
  body(): ConsumeStatus {
    const oldest = this.#number() - SLOTS
    const slots = this.#slots.filter(slot => slot.number > oldest)
    const sum = (of: (slot: Slot) => number): number => slots.reduce((total, s) => total + of(s), 0)
    const seconds = (SLOTS * SLOT_MS) / 1_000
    const consumed = sum(s => s.consumedOk + s.consumedFailed)
    return {
      consumeFailedMsgs: sum(s => s.consumedFailed),
      consumeFailedTPS: sum(s => s.consumedFailed) / seconds,
      consumeOKTPS: sum(s => s.consumedOk) / seconds,
      consumeRT: consumed === 0 ? 0 : sum(s => s.consumeMs) / consumed,
      pullRT: sum(s => s.pulls) === 0 ? 0 : sum(s => s.pullMs) / sum(s => s.pulls),
      pullTPS: sum(s => s.pulled) / seconds
    }
  }

  #number(): number {
    return Math.floor(this.#clock.monotonicMs() / SLOT_MS)
  }

  #slot(): Slot {
    const number = this.#number()
    const last = this.#slots.at(-1)
    if (last !== undefined && last.number === number) return last
    const slot: Slot = {
      number,
      pulls: 0,
      pullMs: 0,
      pulled: 0,
      consumedOk: 0,
      consumedFailed: 0,
      consumeMs: 0
    }
    this.#slots.push(slot)
    if (this.#slots.length > SLOTS + 1) this.#slots.shift()
    return slot
  }
}
