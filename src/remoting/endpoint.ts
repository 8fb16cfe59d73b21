import type { Clock, Logger, Timer } from '../platform/index.ts'
import { BoundedLog } from './boundedLog.ts'
import { DeadlineWheel, TICK_MS } from './deadlines.ts'
import type { RemotingLimits } from './limits.ts'
import { ChunkPool } from './output.ts'
import type {
  CloseListener,
  ConnectionListener,
  FrameHandler,
  OwnedConnection,
  RequestHandler
} from './types.ts'

/** Read from a socket at once at most. */
const RECEIVED_BYTES = 256 * 1024
/** Idle and stalled connections are looked for every so many ticks, totals are counted then too. */
const SWEEP_TICKS = 10

/**
 * What all connections of one server or client share: handlers, limits, the clock wheel, the chunk pool, and the list of connections
 * that have something to say at the end of this turn.
 */
export class Endpoint {
  readonly clock: Clock
  readonly logger: Logger
  /** Nothing more is read from any connection: the server is about to stop. */
  quiet = false
  readonly limits: RemotingLimits
  /** For events that the other side can cause at will. */
  readonly noise: BoundedLog
  readonly pool = new ChunkPool()
  /** Every connection reads into it, one after the other: what is not handled at once is copied. */
  readonly received: Buffer = Buffer.allocUnsafeSlow(RECEIVED_BYTES)
  readonly wheel = new DeadlineWheel()
  readonly handlers = new Map<number, RequestHandler>()
  readonly frameHandlers = new Map<number, FrameHandler>()
  defaultHandler: RequestHandler | null = null
  readonly connections = new Set<OwnedConnection>()
  readonly openListeners: ConnectionListener[] = []
  readonly closeListeners: CloseListener[] = []

  #nextConnectionId = 1
  #opaque = 0
  #dirty: OwnedConnection[] = []
  #spare: OwnedConnection[] = []
  #outputBytes = 0
  #inputBytes = 0
  #timer: Timer | null = null

  constructor(clock: Clock, logger: Logger, limits: RemotingLimits) {
    this.clock = clock
    this.logger = logger
    this.limits = limits
    this.noise = new BoundedLog(logger)
  }

  /** Bytes of output waiting in all connections, as they were last accounted. */
  get outputBytes(): number {
    return this.#outputBytes
  }

  start(): void {
    this.#timer ??= this.clock.every(TICK_MS, () => this.#tick())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = null
  }

  nextConnectionId(): number {
    return this.#nextConnectionId++
  }

  /** Correlation ids of our own requests: one counter for all connections, wrapping through negative numbers like Java's. */
  nextOpaque(): number {
    this.#opaque = (this.#opaque + 1) | 0
    return this.#opaque
  }

  opened(connection: OwnedConnection): void {
    for (const listener of this.openListeners) listener(connection)
  }

  closed(connection: OwnedConnection, reason: string): void {
    this.connections.delete(connection)
    for (const listener of this.closeListeners) {
      try {
        listener(connection, reason)
      } catch (error) {
        this.logger.error('A close listener failed', { remote: connection.remoteAddress, error })
      }
    }
  }

  /** The connection has output; it is flushed once at the end of this turn. */
  willFlush(connection: OwnedConnection): void {
    if (this.#dirty.push(connection) === 1) this.clock.turnEnd(this.#flushAll)
  }

  outputChanged(byBytes: number): void {
    this.#outputBytes += byBytes
    if (byBytes > 0 && this.#outputBytes > this.limits.outputTotalMaxBytes) {
      this.#closeLargest(
        connection => connection.accountedOutputBytes,
        'output of all connections is over the limit, this one has the most'
      )
    }
  }

  inputChanged(byBytes: number): void {
    this.#inputBytes += byBytes
    if (byBytes > 0 && this.#inputBytes > this.limits.inputTotalMaxBytes) {
      this.#closeLargest(
        connection => connection.accountedInputBytes,
        'unfinished frames of all connections are over the limit, this one has the most'
      )
    }
  }

  readonly #flushAll = (): void => {
    const dirty = this.#dirty
    this.#dirty = this.#spare
    for (const connection of dirty) connection.flush()
    dirty.length = 0
    this.#spare = dirty
  }

  #tick(): void {
    this.wheel.tick()
    if (this.wheel.now % SWEEP_TICKS !== 0) return
    for (const connection of this.connections) connection.sweep()
  }

  #closeLargest(bytesOf: (connection: OwnedConnection) => number, reason: string): void {
    let largest: OwnedConnection | null = null
    for (const connection of this.connections) {
      if (connection.closed) continue
      if (largest === null || bytesOf(connection) > bytesOf(largest)) largest = connection
    }
    if (largest !== null) largest.drop(reason)
  }
}
