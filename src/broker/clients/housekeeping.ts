import type { Clock, Logger, Timer } from '../../platform/index.ts'
import type { ConsumerTable } from './consumers.ts'
import type { ProducerTable } from './producers.ts'

/** Broker.md 4.6: a producer without heartbeat for so long is dropped. */
const producerExpiryMs = 120_000
const scanPeriodMs = 10_000

/** Closes the connections of clients that went silent; their registrations go with the connection. */
export class ClientHousekeeping {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #producers: ProducerTable
  readonly #consumers: ConsumerTable
  /** [channelExpiredTimeout] */
  readonly #consumerExpiryMs: () => number
  #timer: Timer | null = null

  constructor(
    clock: Clock,
    logger: Logger,
    producers: ProducerTable,
    consumers: ConsumerTable,
    consumerExpiryMs: () => number
  ) {
    this.#clock = clock
    this.#consumerExpiryMs = consumerExpiryMs
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
    const nowMs = this.#clock.monotonicMs()
    for (const client of [
      ...this.#producers.silentSince(nowMs - producerExpiryMs),
      ...this.#consumers.silentSince(nowMs - this.#consumerExpiryMs())
    ]) {
      if (client.connection.closed) continue
      const silentMs = Math.round(nowMs - client.lastHeartbeatMs)
      this.#logger.info('Client closed: no heartbeat', {
        clientId: client.clientId,
        address: client.connection.remoteAddress,
        silentMs
      })
      client.connection.close(`no heartbeat for ${silentMs} ms`)
    }
  }
}
