import type { Logger, Platform, Socket, Timer } from '../../platform/index.ts'
import type { RaftTimings } from '../types.ts'
import {
  encodeFrameHead,
  FRAME_BYTES_MAX,
  type Frame,
  FrameReader,
  FrameType,
  HANDSHAKE_FRAME_BYTES_MAX,
  type Hello,
  type HelloReply,
  helloCodec,
  helloReplyCodec,
  WireError
} from '../wire/index.ts'
import { SentBytes } from './sentBytes.ts'

/** Handed to the socket and not yet taken: the send window and what goes beside it; beyond, the peer does not read. */
const BUFFERED_BYTES_MAX = 48 * 1024 * 1024
/** Between the two refused connections that prove that the process is gone (raft.md 4.6). */
const PROOF_RETRY_MS = 20
/** An unanswered ping costs the connection after this many periods. */
const PING_PERIOD_MS = 1000
const PINGS_MISSED_MAX = 3
/** The same refusal is logged again after this time. */
const REFUSAL_LOG_PERIOD_MS = 30_000

/** What travels behind a header: entries, or pieces of a snapshot. */
export interface Bytes {
  readonly bytes: Buffer
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** Where a peer may be reached, the likeliest first; not empty. */
export interface PeerAddresses {
  readonly id: string
  readonly addresses: readonly Address[]
}

export interface Refusal {
  code: number
  remark: string
}

export interface PeerStreamEvents {
  /** What this node says of itself now. */
  hello(): Hello
  /** The stream stands; the first message may be sent. A refusal (the peer is not who it should be) breaks it again. */
  streamUp(peerId: string, reply: HelloReply): Refusal | null
  /** It stood and broke. */
  streamDown(peerId: string): void
  /** Nobody listens at the peer's port any more: refused twice in a row. At most once until the stream stands again. */
  peerGone(peerId: string): void
  /** A reply to what was sent. Throws WireError when it does not parse. */
  frame(peerId: string, frame: Frame): void
  /** All frames of one chunk were given. */
  chunkDone(): void
  /** The peer refused this node. */
  refusedBy(peerId: string, refusal: Refusal): void
}

type State =
  | { kind: 'stopped' }
  | { kind: 'waiting'; timer: Timer }
  | { kind: 'opening'; socket: Socket; deadline: Timer | null }
  | { kind: 'up'; socket: Socket; pings: Timer }

/**
 * This node's ordered stream to one peer: connects, introduces itself, connects again when it
 * breaks (backoff), and finds out quickly when the peer's process is gone.
 */
export class PeerStream {
  readonly #id: string
  #addresses: readonly Address[]
  /** Which of them is tried next. */
  #at = 0
  /** Where it stood last. */
  #stoodAt: Address | null = null
  /** The peer's answer to the Hello, while the stream stands. */
  #reply: HelloReply | null = null
  readonly #platform: Platform
  readonly #logger: Logger
  readonly #timings: RaftTimings
  readonly #events: PeerStreamEvents
  #state: State = { kind: 'stopped' }
  #backoffMs = 0
  /** Who answered is not the member that should be there; it is asked again like one that is not there. */
  #isStranger = false
  #refusedInARow = 0
  #proofGiven = false
  #pingsUnanswered = 0
  #pending: Buffer[] = []
  /** Blocks are held for what the socket may not have taken yet. */
  readonly #sent: SentBytes
  #lastRefusal = ''
  #lastRefusalMs = 0
  #lastError = ''
  sentBytes = 0
  receivedBytes = 0

  constructor(
    platform: Platform,
    logger: Logger,
    peer: PeerAddresses,
    timings: RaftTimings,
    events: PeerStreamEvents
  ) {
    this.#platform = platform
    this.#sent = new SentBytes(platform.blocks)
    this.#logger = logger
    this.#id = peer.id
    this.#addresses = peer.addresses
    this.#timings = timings
    this.#events = events
  }

  get up(): boolean {
    return this.#state.kind === 'up'
  }

  start(): void {
    if (this.#state.kind === 'stopped') this.#connect()
  }

  /** Connects at once instead of after the backoff: there is a hint that something changed. */
  hurry(): void {
    if (this.#state.kind !== 'waiting') return
    this.#state.timer.cancel()
    this.#connect()
  }

  get #address(): Address {
    return this.#addresses[this.#at % this.#addresses.length] as Address
  }

  /** A stream that stands is left alone. */
  reachAt(addresses: readonly Address[]): void {
    const same =
      addresses.length === this.#addresses.length &&
      addresses.every(({ host, port }, at) => {
        const known = this.#addresses[at]
        return known?.host === host && known.port === port
      })
    if (same) return
    this.#addresses = addresses
    this.#at = 0
    this.#stoodAt = null
    this.#refusedInARow = 0
    this.#logger.info(`${this.#id} is looked for at another address`, {
      addresses: addresses.map(({ host, port }) => `${host}:${port}`).join(' ')
    })
    this.hurry()
  }

  keepOnly(keeps: (hello: Hello) => boolean): void {
    if (this.#state.kind !== 'up' || this.#reply === null || keeps(this.#reply)) return
    this.#state.socket.destroy(new Error('it is no member of the group any more'))
  }

  /** Lies down until `flush`. Dropped when the stream does not stand. */
  send(head: Buffer, entries: readonly Bytes[]): void {
    if (this.#state.kind !== 'up') return
    this.#pending.push(head)
    for (const { bytes } of entries) {
      this.#pending.push(bytes)
      this.#platform.blocks.hold(bytes)
    }
  }

  /** One socket write for all that was sent since the last one. */
  flush(): void {
    if (this.#pending.length === 0) return
    const buffers = this.#pending
    this.#pending = []
    if (this.#state.kind !== 'up') return
    const { socket } = this.#state
    for (const buffer of buffers) this.sentBytes += buffer.length
    this.#sent.given(buffers)
    socket.write(buffers)
    this.#sent.waiting(socket.bufferedBytes)
    if (socket.bufferedBytes > BUFFERED_BYTES_MAX) {
      socket.destroy(new Error(`${socket.bufferedBytes} bytes are waiting, the peer does not read`))
    }
  }

  /** `drain`: what was sent still leaves. */
  stop(drain = false): void {
    const state = this.#state
    if (drain) this.flush()
    this.#state = { kind: 'stopped' }
    this.#pending = []
    switch (state.kind) {
      case 'stopped':
        return
      case 'waiting':
        state.timer.cancel()
        return
      case 'opening':
        state.deadline?.cancel()
        state.socket.destroy()
        return
      case 'up':
        state.pings.cancel()
        if (drain) state.socket.end()
        else state.socket.destroy()
    }
  }

  #connect(): void {
    const { host, port } = this.#address
    const socket = this.#platform.network.connect({
      host,
      port,
      timeoutMs: this.#timings.connectTimeoutMs
    })
    const opening: State = { kind: 'opening', socket, deadline: null }
    this.#state = opening
    const reader = new FrameReader(HANDSHAKE_FRAME_BYTES_MAX, this.#platform.blocks)
    let broken = false
    socket.onConnect(() => {
      if (this.#state !== opening) return
      this.#refusedInARow = 0
      opening.deadline = this.#platform.clock.after(this.#timings.connectTimeoutMs, () =>
        socket.destroy(new Error('no answer to the Hello'))
      )
      const hello = helloCodec.encode(this.#events.hello())
      socket.write([encodeFrameHead(FrameType.hello, hello, 0)])
    })
    const received = (bytes: number): void => {
      if (this.#state.kind === 'stopped' || broken) return
      this.receivedBytes += bytes
      if (this.#standsOn(socket)) this.#sent.waiting(socket.bufferedBytes)
      try {
        reader.received(bytes)
        for (let frame = reader.next(); frame !== null; frame = reader.next()) {
          if (frame.type === FrameType.pong) this.#pingsUnanswered = 0
          else if (frame.type !== FrameType.helloReply) {
            if (this.#standsOn(socket)) this.#events.frame(this.#id, frame)
          } else if (this.#state === opening) {
            reader.frameBytesMax = FRAME_BYTES_MAX
            this.#greeted(socket, opening, helloReplyCodec.decode(frame.header))
          }
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error
        broken = true
        socket.destroy(error)
      }
      this.#events.chunkDone()
    }
    socket.onData({ room: () => reader.room(), received })
    socket.onClose(error => this.#closed(socket, error))
  }

  #greeted(socket: Socket, opening: State & { kind: 'opening' }, reply: HelloReply): void {
    opening.deadline?.cancel()
    if (reply.refuseCode !== 0) {
      const refusal = { code: reply.refuseCode, remark: reply.remark }
      this.#logRefusal(`${this.#id} refused this node: ${reply.remark}`)
      socket.destroy()
      this.#events.refusedBy(this.#id, refusal)
      return
    }
    this.#proofGiven = false
    this.#pingsUnanswered = 0
    const pings = this.#platform.clock.every(PING_PERIOD_MS, () => this.#ping(socket))
    this.#state = { kind: 'up', socket, pings }
    this.#stoodAt = this.#address
    this.#reply = reply
    const refusal = this.#events.streamUp(this.#id, reply)
    this.#isStranger = refusal !== null
    if (refusal !== null) {
      this.#logRefusal(`${this.#id} is not who it should be: ${refusal.remark}`)
      socket.destroy()
      return
    }
    this.#backoffMs = 0
    this.#lastError = ''
    this.#lastRefusal = ''
    this.#logger.info(`Connected to ${this.#id}`, {
      host: this.#address.host,
      port: this.#address.port
    })
  }

  #standsOn(socket: Socket): boolean {
    return this.#state.kind === 'up' && this.#state.socket === socket
  }

  #ping(socket: Socket): void {
    if (this.#pingsUnanswered >= PINGS_MISSED_MAX) {
      socket.destroy(new Error(`${PINGS_MISSED_MAX} pings went unanswered`))
      return
    }
    this.#pingsUnanswered += 1
    socket.write([PING_FRAME])
  }

  #closed(socket: Socket, error: Error | null): void {
    const state = this.#state
    if (state.kind === 'stopped' || state.kind === 'waiting' || state.socket !== socket) return
    const wasUp = state.kind === 'up'
    if (state.kind === 'up') state.pings.cancel()
    else state.deadline?.cancel()
    this.#pending = []
    this.#sent.forget()
    if (!this.#isStranger) this.#logBreak(wasUp, error)
    const refused = (error as NodeJS.ErrnoException | null)?.code === 'ECONNREFUSED'
    this.#refusedInARow = refused ? this.#refusedInARow + 1 : 0
    // A broken stream is tried again at once, the first refusal soon after: two are the proof.
    let delayMs = 0
    // Where it never stood, nobody's absence proves anything.
    const mayProve = this.#addresses.length === 1 || this.#stoodAt === this.#address
    if (refused && mayProve && this.#refusedInARow === 1 && !this.#proofGiven)
      delayMs = PROOF_RETRY_MS
    else if (!wasUp || this.#isStranger) {
      delayMs = this.#nextBackoff()
      this.#at = (this.#at + 1) % this.#addresses.length
    }
    this.#isStranger = false
    const timer = this.#platform.clock.after(delayMs, () => this.#connect())
    this.#state = { kind: 'waiting', timer }
    if (wasUp) this.#events.streamDown(this.#id)
    if (mayProve && this.#refusedInARow >= 2 && !this.#proofGiven) {
      this.#proofGiven = true
      this.#events.peerGone(this.#id)
    }
  }

  #nextBackoff(): number {
    const { reconnectMinMs, reconnectMaxMs } = this.#timings
    this.#backoffMs = Math.min(reconnectMaxMs, Math.max(reconnectMinMs, this.#backoffMs * 2))
    return this.#backoffMs
  }

  /** One line for each new cause, not for each attempt. */
  #logBreak(wasUp: boolean, error: Error | null): void {
    const cause = error === null ? 'closed by the peer' : error.message
    if (wasUp) this.#logger.warn(`The stream to ${this.#id} broke`, { cause })
    else if (cause !== this.#lastError && error !== null) {
      this.#logger.info(`${this.#id} cannot be reached`, { cause })
    }
    this.#lastError = cause
  }

  #logRefusal(sentence: string): void {
    const nowMs = this.#platform.clock.monotonicMs()
    this.#backoffMs = this.#timings.reconnectMaxMs
    if (sentence === this.#lastRefusal && nowMs - this.#lastRefusalMs < REFUSAL_LOG_PERIOD_MS)
      return
    this.#lastRefusal = sentence
    this.#lastRefusalMs = nowMs
    this.#logger.warn(sentence)
  }
}

const PING_FRAME = encodeFrameHead(FrameType.ping, new Uint8Array(0), 0)
