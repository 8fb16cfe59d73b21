import type { Timer } from '../platform/index.ts'
import type { BrokerContext } from './dispatch/index.ts'
import type { Forwarder } from './forward/index.ts'

/** Wait for accepted sends to be answered before the leadership is handed over; the store gives each 2.5 s. Ms. */
const drainMs = 3_000
const drainLookMs = 5
/** Between two looks whether the clients of a stopping broker have gone, ms. */
const graceLookMs = 250

/**
 * `moved`: another member leads and can be forwarded to. `alone`: none does, or none could take it.
 * `hurried`: it was not tried to the end.
 */
export type HandoverOutcome = 'moved' | 'alone' | 'hurried'

/** How a stopping broker lets go (design.md, "Failure behaviour"): drain, hand the leadership over, forward. Used once. */
export class Handover {
  readonly #broker: BrokerContext
  readonly #forwarder: Forwarder
  readonly #hurry: Promise<void>
  #resolveHurry: () => void = () => {}
  #hurried: boolean = false

  constructor(broker: BrokerContext, forwarder: Forwarder) {
    this.#broker = broker
    this.#forwarder = forwarder
    this.#hurry = new Promise(resolve => {
      this.#resolveHurry = resolve
    })
  }

  /** Somebody asked twice: every wait ends. */
  hurry(): void {
    this.#hurried = true
    this.#resolveHurry()
  }

  async run(): Promise<HandoverOutcome> {
    const { store, config, logger } = this.#broker
    if (config.settings.peers.length === 1) {
      await this.#drain()
      return 'alone'
    }
    if (!store.ready) return store.status().leaderId === null ? 'alone' : 'moved'
    await this.#drain()
    if (this.#hurried) return 'hurried'
    const done = await store.transferLeadership().catch(() => false)
    const text = done ? 'Leadership handed over' : 'No other member could take the leadership'
    logger.info(text, { leader: store.status().leaderId })
    return done ? 'moved' : 'alone'
  }

  /** Requests wait for the next leader meanwhile; what was accepted before is answered. */
  async #drain(): Promise<void> {
    const { store } = this.#broker
    await this.#waitWhile(() => store.ready && store.runtime().pendingSends > 0, drainMs)
    if (store.ready) await store.flushOffsets()
  }

  /** Until the clients have moved or the grace is over. `lastLedMs` (monotonic): clients may take this node for the leader so long after it. */
  async forwardForAWhile(lastLedMs: number): Promise<void> {
    const { config, logger, store } = this.#broker
    const { clock } = this.#broker.platform
    const nowMs = clock.monotonicMs()
    const untilMs = Math.min(nowMs, lastLedMs) + config.settings.shutdownGraceMs
    if (untilMs <= nowMs || this.#hurried) return
    logger.info('Forwarding until clients have moved', {
      leader: store.status().leaderId,
      graceMs: Math.round(untilMs - nowMs)
    })
    let looking: Timer | null = null
    const gone = new Promise<void>(resolve => {
      looking = clock.every(graceLookMs, () => {
        if (clock.monotonicMs() >= untilMs || !this.#hasClients()) resolve()
      })
    })
    await Promise.race([this.#hurry, gone])
    ;(looking as Timer | null)?.cancel()
  }

  /** What was taken for others is answered before the connections end; bounded by the patience with the leader. */
  async settle(): Promise<void> {
    await this.#waitWhile(
      () => this.#hasForwarded(),
      this.#broker.config.values.forwardTimeoutMillis
    )
  }

  /** Until it holds no more, the time is over, or somebody hurries. */
  async #waitWhile(holds: () => boolean, timeoutMs: number): Promise<void> {
    const { clock } = this.#broker.platform
    const untilMs = clock.monotonicMs() + timeoutMs
    while (holds() && !this.#hurried && clock.monotonicMs() < untilMs)
      await new Promise<void>(resolve => {
        clock.after(drainLookMs, resolve)
      })
  }

  #hasForwarded(): boolean {
    return this.#forwarder.inFlight > 0 || this.#forwarder.heldRequests > 0
  }

  #hasClients(): boolean {
    return (
      this.#hasForwarded() ||
      this.#broker.producers.groups().length > 0 ||
      this.#broker.consumers.groups().length > 0
    )
  }
}
