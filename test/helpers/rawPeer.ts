import net from 'node:net'
import {
  decodeCommand,
  encodeCommand,
  FrameReader,
  type RemotingCommand
} from '../../src/protocol/index.ts'

/** A bare TCP client, so that a test decides every byte and when anything is read. */
export class RawPeer {
  readonly socket: net.Socket
  readonly received: RemotingCommand[] = []
  /** Chunks as they came. */
  readonly chunks: Buffer[] = []
  closed = false
  readonly #reader = new FrameReader()
  #waiting: (() => void)[] = []

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', chunk => {
      this.chunks.push(chunk)
      this.#reader.push(chunk)
      for (let frame = this.#reader.next(); frame !== null; frame = this.#reader.next()) {
        this.received.push(decodeCommand(frame))
      }
      this.#changed()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.#changed()
    })
  }

  static connect(port: number): Promise<RawPeer> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawPeer(socket))
      })
    })
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  send(command: RemotingCommand): void {
    this.socket.write(Buffer.concat(encodeCommand(command)))
  }

  /** Resolves to the first `count` frames received since the start. */
  async frames(count: number): Promise<RemotingCommand[]> {
    await this.until(() => this.received.length >= count)
    return this.received.slice(0, count)
  }

  /** Sends and resolves to the answer with the same opaque. */
  async ask(command: RemotingCommand): Promise<RemotingCommand> {
    this.send(command)
    const isAnswer = (one: RemotingCommand): boolean =>
      one.opaque === command.opaque && (one.flag & 1) === 1
    await this.until(() => this.received.some(isAnswer))
    return this.received.find(isAnswer)!
  }

  async end(): Promise<void> {
    await this.until(() => this.closed, true)
  }

  async until(condition: () => boolean, orClosed = false): Promise<void> {
    while (!condition()) {
      if (this.closed && !orClosed) throw new Error('the other side closed the connection')
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }

  destroy(): void {
    this.socket.destroy()
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
