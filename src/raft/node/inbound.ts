import type { Listener, Logger, Platform, Socket, Timer } from '../../platform/index.ts'
import {
  encodeFrameHead,
  FRAME_BYTES_MAX,
  type Frame,
  FrameReader,
  FrameType,
  HANDSHAKE_FRAME_BYTES_MAX,
  type Hello,
  helloCodec,
  helloReplyCodec,
  WireError
} from '../wire/index.ts'
import type { Bytes, Refusal } from './peerStream.ts'

/** A port that is taken is asked for again for so long. */
const LISTEN_PATIENCE_MS = 3000
/** The first frame must be there by then. */
const HANDSHAKE_MS = 5000
/** Pings come every second: a silent connection is a dead one. */
const SILENCE_MS = 6000
/** Connections that have not said Hello yet; beyond, the oldest goes, so that strangers keep no peer out. */
const UNGREETED_MAX = 64
/** Replies handed to the socket and not yet taken; a few repaired entries of the largest size. */
const BUFFERED_BYTES_MAX = 64 * 1024 * 1024
const REFUSAL_LOG_PERIOD_MS = 30_000

export interface InboundEvents {
  hello(): Hello
  /** Null: accepted, what the peer sends comes next. */
  judgeHello(hello: Hello): Refusal | null
  /** The stream of this peer broke. */
  inboundDown(peerId: string): void
  /** Throws WireError when the frame does not parse. */
  frame(peerId: string, frame: Frame): void
  /** All frames of one chunk were given. */
  chunkDone(): void
}

/** The raft port: accepts the peers' streams, one for each peer, the newest holds. */
export class Inbound {
  readonly #platform: Platform
  readonly #logger: Logger
  readonly #events: InboundEvents
  readonly #sessions = new Map<string, Session>()
  readonly #sockets = new Set<Socket>()
  readonly #ungreeted = new Set<Socket>()
  #listener: Listener | null = null
  #lastRefusal = ''
  #lastRefusalMs = 0
  receivedBytes = 0
  sentBytes = 0

  constructor(platform: Platform, logger: Logger, events: InboundEvents) {
    this.#platform = platform
    this.#logger = logger
    this.#events = events
  }

  async listen(port: number): Promise<void> {
    this.#listener = await this.#platform.network.listen(
      { port, patienceMs: LISTEN_PATIENCE_MS },
      socket => this.#accept(socket)
    )
  }

  keepOnly(keeps: (hello: Hello) => boolean): void {
    for (const { hello, socket } of [...this.#sessions.values()]) {
      if (!keeps(hello)) socket.destroy()
    }
  }

  /** Stops listening and drops every connection. */
  async close(): Promise<void> {
    const listener = this.#listener
    this.#listener = null
    const closed = listener?.close()
    for (const socket of [...this.#sockets]) socket.destroy()
    await closed
  }

  /** A reply on the peer's own connection; lies down until `flush`. Dropped when there is none. */
  send(peerId: string, head: Buffer, entries: readonly Bytes[]): void {
    const session = this.#sessions.get(peerId)
    if (session === undefined) return
    session.pending.push(head)
    for (const entry of entries) session.pending.push(entry.bytes)
  }

  /** One socket write a connection for all that was sent since the last one. */
  flush(): void {
    for (const session of this.#sessions.values()) {
      if (session.pending.length === 0) continue
      const buffers = session.pending
      session.pending = []
      for (const buffer of buffers) this.sentBytes += buffer.length
      session.socket.write(buffers)
      if (session.socket.bufferedBytes > BUFFERED_BYTES_MAX) {
        session.socket.destroy(new Error('the peer does not read its replies'))
      }
    }
  }

  #accept(socket: Socket): void {
    if (this.#listener === null) {
      socket.destroy()
      return
    }
    if (this.#ungreeted.size >= UNGREETED_MAX) {
      const [oldest] = this.#ungreeted
      this.#ungreeted.delete(oldest!)
      oldest!.destroy()
    }
    this.#sockets.add(socket)
    this.#ungreeted.add(socket)
    const { clock } = this.#platform
    const reader = new FrameReader(HANDSHAKE_FRAME_BYTES_MAX, this.#platform.blocks)
    let session: Session | null = null
    let heard = true
    /** Refused or broken: what still comes is not looked at. */
    let deaf = false
    let watch: Timer = clock.after(HANDSHAKE_MS, () => socket.destroy(new Error('no Hello came')))
    const received = (bytes: number): void => {
      if (deaf) return
      this.receivedBytes += bytes
      heard = true
      try {
        reader.received(bytes)
        for (let frame = reader.next(); frame !== null; frame = reader.next()) {
          if (session === null) {
            session = this.#greet(socket, frame)
            if (session === null) {
              deaf = true
              return
            }
            this.#ungreeted.delete(socket)
            reader.frameBytesMax = FRAME_BYTES_MAX
            watch.cancel()
            watch = clock.every(SILENCE_MS, () => {
              if (!heard) socket.destroy(new Error('nothing came, not even a ping'))
              heard = false
            })
          } else if (frame.type === FrameType.ping) {
            socket.write([PONG_FRAME])
          } else if (this.#sessions.get(session.peerId) === session) {
            this.#events.frame(session.peerId, frame)
          }
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error
        deaf = true
        const peer = session?.peerId ?? 'a stranger'
        this.#logger.warn(`Dropped a connection of ${peer}`, {
          reason: error.message,
          address: socket.remoteAddress
        })
        socket.destroy(error)
      }
      if (session !== null) this.#events.chunkDone()
    }
    socket.onData({ room: () => reader.room(), received })
    socket.onClose(() => {
      watch.cancel()
      this.#sockets.delete(socket)
      this.#ungreeted.delete(socket)
      if (session === null || this.#sessions.get(session.peerId) !== session) return
      this.#sessions.delete(session.peerId)
      this.#events.inboundDown(session.peerId)
    })
  }

  #greet(socket: Socket, frame: Frame): Session | null {
    if (frame.type !== FrameType.hello) throw new WireError('the first frame is not a Hello')
    const hello = helloCodec.decode(frame.header)
    const refusal = this.#events.judgeHello(hello)
    const reply = helloReplyCodec.encode({
      ...this.#events.hello(),
      refuseCode: refusal?.code ?? 0,
      remark: refusal?.remark ?? ''
    })
    socket.write([encodeFrameHead(FrameType.helloReply, reply, 0)])
    if (refusal !== null) {
      this.#logRefusal(`Refused ${hello.nodeId.slice(0, 64)}: ${refusal.remark}`, socket)
      socket.end()
      return null
    }
    const session: Session = { peerId: hello.nodeId, hello, socket, pending: [] }
    const before = this.#sessions.get(hello.nodeId)
    this.#sessions.set(hello.nodeId, session)
    before?.socket.destroy()
    return session
  }

  /** A refused node tries twice a second; the log has room for it twice a minute. */
  #logRefusal(sentence: string, socket: Socket): void {
    const nowMs = this.#platform.clock.monotonicMs()
    if (sentence === this.#lastRefusal && nowMs - this.#lastRefusalMs < REFUSAL_LOG_PERIOD_MS)
      return
    this.#lastRefusal = sentence
    this.#lastRefusalMs = nowMs
    this.#logger.warn(sentence, { address: socket.remoteAddress })
  }
}

interface Session {
  peerId: string
  hello: Hello
  socket: Socket
  pending: Buffer[]
}

const PONG_FRAME = encodeFrameHead(FrameType.pong, new Uint8Array(0), 0)
