import type { Clock, Logger, Timer } from '../../platform/index.ts'
import type { ConsumerTable } from './consumers.ts'
import type { ProducerTable } from './producers.ts'

/** Broker.md 4.6: a client without heartbeat for so long is dropped. */
const clientExpiryMs = 120_000
const scanPeriodMs = 10_000

/** Closes the connections of clients that went silent; their registrations go with the connection. */
export class ClientHousekeeping {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #producers: ProducerTable
  readonly #consumers: ConsumerTable
  #timer: Timer | null = null

  constructor(clock: Clock, logger: Logger, producers: ProducerTable, consumers: ConsumerTable) {
    this.#clock = clock
    this.#logger = logger
    this.#producers = producers
    this.#consumers = consumers
  }

  start(): void {
    this.#timer = this.#clock.every(scanPeriodMs, () => this.scan())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  /** One look at all clients; the timer's work. */
  scan(): void {
    const before = this.#clock.monotonicMs() - clientExpiryMs
    for (const client of [
      ...this.#producers.silentSince(before),
      ...this.#consumers.silentSince(before)
    ]) {
      if (client.connection.closed) continue
      this.#logger.info('Client closed: no heartbeat', {
        clientId: client.clientId,
        address: client.connection.remoteAddress,
        silentMs: Math.round(this.#clock.monotonicMs() - client.lastHeartbeatMs)
      })
      client.connection.close(`no heartbeat for ${clientExpiryMs} ms`)
    }
  }
}
