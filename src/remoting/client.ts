import type { Clock, Logger, Network } from '../platform/index.ts'
import { parseHostText, type RemotingCommand } from '../protocol/index.ts'
import { SocketConnection } from './connection.ts'
import { Endpoint } from './endpoint.ts'
import { RemotingError } from './errors.ts'
import { PromiseReceiver } from './invocation.ts'
import { clientLimits, type RemotingLimits } from './limits.ts'
import type { CloseListener, Connection, RequestHandler, ResponseReceiver } from './types.ts'

export interface RemotingClientOptions {
  clock: Clock
  network: Network
  logger: Logger
  /** Default 3000 ms, as Java's clients have it. */
  connectTimeoutMs?: number
  /** What differs from `clientLimits`. */
  limits?: Partial<RemotingLimits>
}

const CONNECT_TIMEOUT_MS = 3_000
const DONE = Promise.resolve()

/**
 * RocketMQ's RPC, the side that connects: one connection for each address, opened at the first use, again after it was closed, and
 * shared by all requests to that address. When a connection ends, everything that waits on it fails at once with a RemotingError.
 */
export class RemotingClient {
  readonly #options: RemotingClientOptions
  readonly #endpoint: Endpoint
  readonly #links = new Map<string, SocketConnection>()
  /** One-way requests that wait for their connection. */
  readonly #connecting = new Map<SocketConnection, Promise<void>>()
  readonly #settle = new Map<SocketConnection, { resolve(): void; reject(error: Error): void }>()
  #closed = false
  #allClosed: (() => void) | null = null

  constructor(options: RemotingClientOptions) {
    this.#options = options
    this.#endpoint = new Endpoint(options.clock, options.logger, {
      ...clientLimits,
      ...options.limits
    })
    this.#endpoint.openListeners.push(connection => this.#opened(connection as SocketConnection))
    this.#endpoint.closeListeners.push((connection, reason) =>
      this.#ended(connection as SocketConnection, reason)
    )
    this.#endpoint.start()
  }

  get connections(): ReadonlySet<Connection> {
    return this.#endpoint.connections
  }

  /** Sends `command` to `host:port` and resolves to the answer, whatever its code; rejects with RemotingError. */
  invoke(address: string, command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      this.call(address, command, timeoutMs, new PromiseReceiver(resolve, reject))
    })
  }

  /** `invoke` without a promise. The time limit counts from now, connecting included. */
  call(
    address: string,
    command: RemotingCommand,
    timeoutMs: number,
    receiver: ResponseReceiver
  ): void {
    const link = this.#link(address)
    if (link instanceof RemotingError) receiver.failed(link)
    else link.call(command, timeoutMs, receiver)
  }

  /** Resolves when the connection stands and the request is on its way; rejects when there is no connection. */
  oneway(address: string, command: RemotingCommand): Promise<void> {
    const link = this.#link(address)
    if (link instanceof RemotingError) return Promise.reject(link)
    try {
      link.oneway(command)
    } catch (error) {
      return Promise.reject(error)
    }
    return link.connected ? DONE : this.#established(link)
  }

  /** For requests that servers send to us. */
  onRequest(code: number, handler: RequestHandler): void {
    this.#endpoint.handlers.set(code, handler)
  }

  /** Told of each end of a connection that stood. */
  onDisconnect(listener: CloseListener): void {
    this.#endpoint.closeListeners.push((connection, reason) => {
      if ((connection as SocketConnection).connected) listener(connection, reason)
    })
  }

  /** Closes the connection to this address, if there is one; what waits on it fails. */
  disconnect(address: string, reason: string): void {
    this.#links.get(address)?.close(reason)
  }

  /** Requests in flight fail; resolves when all connections are closed. Everything after it fails with LMQ_CLOSED. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true
      for (const connection of [...this.#endpoint.connections]) connection.end('client closed')
    }
    if (this.#endpoint.connections.size > 0) {
      await new Promise<void>(resolve => {
        const grace = this.#options.clock.after(1_000, () => {
          for (const connection of [...this.#endpoint.connections]) connection.abort()
        })
        this.#allClosed = () => {
          grace.cancel()
          resolve()
        }
      })
    }
    this.#endpoint.stop()
  }

  #link(address: string): SocketConnection | RemotingError {
    const existing = this.#links.get(address)
    if (existing !== undefined && !existing.closed) return existing
    if (this.#closed) return new RemotingError('LMQ_CLOSED', 'the client is closed')
    const host = parseHostText(address)
    if (host === null || host.port === 0) {
      return new RemotingError('LMQ_BAD_ADDRESS', `"${address}" is not an address host:port`)
    }
    if (this.#links.size >= this.#endpoint.limits.connectionsMax && !this.#makeRoom()) {
      return new RemotingError(
        'LMQ_TOO_MANY_REQUESTS',
        `${this.#links.size} connections are open and all have requests waiting`
      )
    }
    const timeoutMs = this.#options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
    const socket = this.#options.network.connect({
      host: host.address,
      port: host.port,
      timeoutMs
    })
    const link = new SocketConnection(this.#endpoint, socket, address)
    this.#links.set(address, link)
    return link
  }

  /** Closes the connection that was idle longest and has nothing waiting; false when there is none. */
  #makeRoom(): boolean {
    let idlest: SocketConnection | null = null
    for (const link of this.#links.values()) {
      if (link.closed || link.invocations.size > 0 || link.bufferedBytes > 0) continue
      if (idlest === null || link.activeTick < idlest.activeTick) idlest = link
    }
    idlest?.close('another connection needs the room')
    return idlest !== null
  }

  #established(link: SocketConnection): Promise<void> {
    const waiting = this.#connecting.get(link)
    if (waiting !== undefined) return waiting
    const promise = new Promise<void>((resolve, reject) => {
      this.#settle.set(link, { resolve, reject })
    })
    this.#connecting.set(link, promise)
    return promise
  }

  #opened(link: SocketConnection): void {
    this.#settle.get(link)?.resolve()
    this.#settle.delete(link)
    this.#connecting.delete(link)
  }

  #ended(link: SocketConnection, reason: string): void {
    this.#settle
      .get(link)
      ?.reject(new RemotingError('LMQ_CONNECT_FAILED', `${link.remoteAddress}: ${reason}`))
    this.#settle.delete(link)
    this.#connecting.delete(link)
    if (this.#links.get(link.remoteAddress) === link) this.#links.delete(link.remoteAddress)
    if (this.#endpoint.connections.size === 0) this.#allClosed?.()
  }
}
