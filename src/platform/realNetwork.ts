import net from 'node:net'
import os from 'node:os'
import { prepareLingerReset } from './lingerReset.ts'
import type { ConnectOptions, Listener, ListenOptions, Network, Socket } from './network.ts'
import { readInto } from './readInto.ts'
import type { Reception } from './reception.ts'

const LISTEN_RETRY_MS = 100
const IPV4_MAPPED_PREFIX = '::ffff:'

function numeric(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith(IPV4_MAPPED_PREFIX) ? address.slice(IPV4_MAPPED_PREFIX.length) : address
}

class RealSocket implements Socket {
  readonly #socket: net.Socket
  #error: Error | null = null

  constructor(socket: net.Socket) {
    this.#socket = socket
    // Without a listener an error would end the process; its place is `onClose`.
    socket.on('error', error => {
      this.#error ??= error
    })
  }

  get remoteAddress(): string {
    return numeric(this.#socket.remoteAddress)
  }

  get remotePort(): number {
    return this.#socket.remotePort ?? 0
  }

  get localAddress(): string {
    return numeric(this.#socket.localAddress)
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  onConnect(callback: () => void): void {
    this.#socket.on('connect', callback)
  }

  onData(reception: Reception): void {
    readInto(this.#socket, reception)
  }

  onDrain(callback: () => void): void {
    this.#socket.on('drain', callback)
  }

  onClose(callback: (error: Error | null) => void): void {
    this.#socket.on('close', () => callback(this.#error))
  }

  write(buffers: readonly Buffer[]): boolean {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return false
    if (buffers.length === 1) return socket.write(buffers[0]!)
    socket.cork()
    let room = true
    for (const buffer of buffers) room = socket.write(buffer)
    socket.uncork()
    return room
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(error?: Error): void {
    if (error !== undefined) this.#error ??= error
    this.#socket.destroy()
  }
}

function connectTimeout({ host, port, timeoutMs }: ConnectOptions): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(
    `no connection to ${host}:${port} within ${timeoutMs} ms`
  )
  error.code = 'ETIMEDOUT'
  return error
}

async function listenOnce(
  options: ListenOptions,
  onConnection: (socket: Socket) => void
): Promise<Listener> {
  const listening = options.resetOnDeath === true ? await prepareLingerReset() : () => {}
  return new Promise((resolve, reject) => {
    const server = net.createServer({ noDelay: true }, socket =>
      onConnection(new RealSocket(socket))
    )
    server.once('error', reject)
    server.listen({ port: options.port, host: options.host, backlog: 4096 }, () => {
      server.off('error', reject)
      listening(server)
      server.on('error', () => {}) // a failed accept (EMFILE) costs that connection only
      const address = server.address() as net.AddressInfo
      resolve({
        port: address.port,
        close: () => new Promise(closed => server.close(() => closed()))
      })
    })
  })
}

/** The machine's TCP. */
export const realNetwork: Network = {
  async listen(options: ListenOptions, onConnection): Promise<Listener> {
    const deadlineMs = performance.now() + (options.patienceMs ?? 0)
    for (;;) {
      try {
        return await listenOnce(options, onConnection)
      } catch (error) {
        const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        if (!taken || performance.now() >= deadlineMs) throw error
        await new Promise(resolve => setTimeout(resolve, LISTEN_RETRY_MS))
      }
    }
  },

  connect(options: ConnectOptions): Socket {
    const raw = net.connect({ host: options.host, port: options.port, noDelay: true })
    const socket = new RealSocket(raw)
    const deadline = setTimeout(() => socket.destroy(connectTimeout(options)), options.timeoutMs)
    const settled = (): void => clearTimeout(deadline)
    raw.once('connect', settled)
    raw.once('connect', () => {
      // With nobody listening the system may connect a socket to itself, when it gives out the very port that is asked for;
      // that would even keep the listener from coming back.
      if (raw.localPort === raw.remotePort && raw.localAddress === raw.remoteAddress) {
        raw.resetAndDestroy()
      }
    })
    raw.once('close', settled)
    return socket
  },

  hostAddresses(): string[] {
    const all = Object.values(os.networkInterfaces()).flatMap(list => list ?? [])
    const rank = (info: os.NetworkInterfaceInfo): number =>
      (info.internal ? 4 : 0) +
      (info.family === 'IPv6' ? 2 : 0) +
      (info.address.startsWith('fe80:') ? 1 : 0)
    return all.sort((a, b) => rank(a) - rank(b)).map(info => info.address)
  }
}
