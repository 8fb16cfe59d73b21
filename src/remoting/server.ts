import type { Clock, Listener, Logger, Network, Socket } from '../platform/index.ts'
import { SocketConnection } from './connection.ts'
import { Endpoint } from './endpoint.ts'
import { type RemotingLimits, serverLimits } from './limits.ts'
import type {
  CloseListener,
  Connection,
  ConnectionListener,
  FrameHandler,
  RequestHandler
} from './types.ts'

/** A port that is taken is asked for again for so long. */
const LISTEN_PATIENCE_MS = 3_000

/** Output of a stopping server has so long to leave. */
const STOP_GRACE_MS = 1_000

export interface RemotingServerOptions {
  clock: Clock
  network: Network
  logger: Logger
  /** Address to listen on; all when missing. */
  host?: string | undefined
  /** 0: any free one. */
  port: number
  /** What differs from `serverLimits`. */
  limits?: Partial<RemotingLimits>
}

/**
 * RocketMQ's RPC, the side that listens. Set the handlers, then `start()`. An unknown code is answered with 3, a failing handler with
 * 1; a frame that cannot be read costs its connection (remoting.md 1.7, 1.8).
 */
export class RemotingServer {
  readonly #options: RemotingServerOptions
  readonly #endpoint: Endpoint
  #listener: Listener | null = null
  #stopping = false
  #allClosed: (() => void) | null = null

  constructor(options: RemotingServerOptions) {
    this.#options = options
    this.#endpoint = new Endpoint(options.clock, options.logger, {
      ...serverLimits,
      ...options.limits
    })
    this.#endpoint.closeListeners.push(() => {
      if (this.#endpoint.connections.size === 0) this.#allClosed?.()
    })
  }

  /** The port in use, also when 0 was asked for; throws before `start()`. */
  get port(): number {
    if (this.#listener === null) throw new Error('the server does not listen')
    return this.#listener.port
  }

  get connections(): ReadonlySet<Connection> {
    return this.#endpoint.connections
  }

  handle(code: number, handler: RequestHandler): void {
    this.#endpoint.handlers.set(code, handler)
  }

  /** Tried before the handler of the same code; where it returns false, that one is called. */
  handleFrame(code: number, handler: FrameHandler): void {
    this.#endpoint.frameHandlers.set(code, handler)
  }

  /** For every code without a handler. */
  handleDefault(handler: RequestHandler): void {
    this.#endpoint.defaultHandler = handler
  }

  onConnection(listener: ConnectionListener): void {
    this.#endpoint.openListeners.push(listener)
  }

  onClose(listener: CloseListener): void {
    this.#endpoint.closeListeners.push(listener)
  }

  /** Nothing happens when it listens already. Rejects with the system error when it cannot listen (EADDRINUSE, EACCES, …). */
  async start(): Promise<void> {
    if (this.#listener !== null) return
    const { network, host, port } = this.#options
    const listenOptions = {
      port,
      patienceMs: LISTEN_PATIENCE_MS,
      resetOnDeath: true,
      ...(host === undefined ? {} : { host })
    }
    this.#listener = await network.listen(listenOptions, socket => this.#accept(socket))
    this.#endpoint.start()
  }

  /**
   * Reads nothing more from anybody; what was asked can still be answered. Before `stop()`, so that no request is taken whose answer
   * would be lost: a client sends again elsewhere what it got no answer to, and what was done already would be done twice.
   */
  quiesce(): void {
    this.#endpoint.quiet = true
    for (const connection of [...this.#endpoint.connections]) connection.holdIfNeeded()
  }

  /** Takes no more connections and closes the present ones when their output has left, at the latest after a second. */
  async stop(): Promise<void> {
    if (this.#stopping || this.#listener === null) return
    this.#stopping = true
    const listenerClosed = this.#listener.close()
    await this.#endAll()
    await listenerClosed
    this.#endpoint.stop()
  }

  #endAll(): Promise<void> {
    return new Promise(resolve => {
      const grace = this.#options.clock.after(STOP_GRACE_MS, () => {
        for (const connection of [...this.#endpoint.connections]) connection.abort()
      })
      this.#allClosed = () => {
        grace.cancel()
        resolve()
      }
      for (const connection of [...this.#endpoint.connections]) connection.end('server stops')
      if (this.#endpoint.connections.size === 0) this.#allClosed()
    })
  }

  #accept(socket: Socket): void {
    const { limits, connections, noise, clock } = this.#endpoint
    if (socket.remoteAddress === '') {
      // Reset before it was accepted: there is nobody to answer, and what was sent must have no effect of an unknown sender.
      socket.destroy()
      return
    }
    if (this.#stopping || connections.size >= limits.connectionsMax) {
      if (!this.#stopping) {
        noise.warn(clock.monotonicMs(), 'Connection refused: too many', {
          remote: `${socket.remoteAddress}:${socket.remotePort}`,
          connectionsMax: limits.connectionsMax
        })
      }
      socket.destroy()
      return
    }
    this.#endpoint.opened(new SocketConnection(this.#endpoint, socket, null))
  }
}
