import type { Reception } from './reception.ts'

/** One TCP connection. All callbacks are set once, directly after the socket was received. */
export interface Socket {
  /** Address of the other side, numeric, without brackets; '' before the connection stands. */
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  /** Bytes handed to `write` that the operating system has not taken yet. */
  readonly bufferedBytes: number
  onConnect(callback: () => void): void
  onData(reception: Reception): void
  /** Everything written was taken by the operating system, after a `write` that answered false. */
  onDrain(callback: () => void): void
  /** Called exactly once; `error` is null for an orderly end. Nothing is called after it. */
  onClose(callback: (error: Error | null) => void): void
  /** Writes all buffers in order as one packet where possible; they must not change afterwards. False: wait for `onDrain`. */
  write(buffers: readonly Buffer[]): boolean
  /** Stops `onData`, so that the other side is slowed down. */
  pause(): void
  resume(): void
  /** Sends what is buffered, then closes. */
  end(): void
  /** Closes at once. */
  destroy(error?: Error): void
}

export interface Listener {
  /** The port in use, also when 0 was asked for. */
  readonly port: number
  /** Takes no more connections; existing ones stay. */
  close(): Promise<void>
}

export interface ListenOptions {
  /** Numeric address or host name; undefined: all. */
  host?: string
  port: number
  /**
   * A port that is taken is asked for again for so long, ms; default 0. An outgoing connection of any program can have a
   * broker's usual port as its own for a moment, because they lie among those that the system gives out.
   */
  patienceMs?: number
  /** Connections are reset, not ended in order, when this process dies; where the system can do it. Also by `destroy`. */
  resetOnDeath?: boolean
}

export interface ConnectOptions {
  host: string
  port: number
  timeoutMs: number
}

/** The only way to sockets. TCP_NODELAY is always on. */
export interface Network {
  /** Rejects with the system error (EADDRINUSE, EACCES, …). */
  listen(options: ListenOptions, onConnection: (socket: Socket) => void): Promise<Listener>
  /** Never throws: a failure is the socket's `onClose` with the error (ECONNREFUSED, ETIMEDOUT, …). */
  connect(options: ConnectOptions): Socket
  /** Numeric addresses of this host that others can reach, IPv4 first, loopback last. */
  hostAddresses(): string[]
}
