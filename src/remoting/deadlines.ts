/** Accuracy of all deadlines: they pass up to two ticks late, never early. */
export const TICK_MS = 100
const SLOTS = 512
/** Longer delays, also Infinity, are cut to this: six years. */
const DELAY_TICKS_MAX = 2 ** 31

/** Something with a deadline; linked into the slot of the tick at which it is looked at. */
export abstract class Deadline {
  deadlineTick = 0
  /** Neighbours in the slot; null when not on a wheel. */
  previous: Deadline | null = null
  next: Deadline | null = null
  abstract expire(): void
}

class SlotHead extends Deadline {
  override previous: Deadline = this
  override next: Deadline = this
  expire(): void {}
}

/**
 * One clock for all requests in flight. Adding and removing are a few pointer writes. Time is counted in ticks that were really
 * delivered, so a process that was stopped for a while reads the answers that wait in its sockets before it calls them late.
 */
export class DeadlineWheel {
  /** Ticks since the start. */
  now = 0
  readonly #slots: SlotHead[] = Array.from({ length: SLOTS }, () => new SlotHead())

  add(entry: Deadline, delayMs: number): void {
    const ticks = Math.min(Math.max(1, Math.ceil(delayMs / TICK_MS)), DELAY_TICKS_MAX)
    entry.deadlineTick = this.now + ticks + 1
    const head = this.#slots[entry.deadlineTick % SLOTS]!
    entry.previous = head.previous
    entry.next = head
    head.previous!.next = entry
    head.previous = entry
  }

  remove(entry: Deadline): void {
    if (entry.next === null || entry.previous === null) return
    entry.previous.next = entry.next
    entry.next.previous = entry.previous
    entry.previous = null
    entry.next = null
  }

  tick(): void {
    this.now += 1
    const head = this.#slots[this.now % SLOTS]!
    let entry = head.next
    while (entry !== head) {
      const following = entry.next!
      if (entry.deadlineTick <= this.now) {
        this.remove(entry)
        entry.expire()
      }
      // What expired may have taken its neighbour off the wheel: then begin again, the rest of the slot is small.
      entry = following.next === null ? head.next : following
    }
  }
}
