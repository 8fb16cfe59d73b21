import type { Blocks } from '../platform/index.ts'
import type { Frame, RemotingCommand } from '../protocol/index.ts'

/** What is needed of a request to answer it; a RemotingCommand has it all. */
export interface RequestHead {
  readonly opaque: number
  readonly flag: number
  /** The answer is written in kind. */
  readonly serializeType: number
}

/**
 * Answers a request. Null: it is answered later through `connection.respond`, or never.
 * The body is a view of what the socket delivered: copy what outlives the handling.
 * What it throws (or rejects with) is answered with SYSTEM_ERROR (1) and the error's text.
 */
export type RequestHandler = (
  request: RemotingCommand,
  connection: Connection
) => RemotingCommand | null | Promise<RemotingCommand | null>

/**
 * Hot path: gets the frame with nothing looked at but its code, and answers through `reserve`/`commit`, `writeChunks` or `respond`.
 * False: take the general way, nothing was answered. Must be false for a response (CommandFlag), whose code can be the same number.
 */
export type FrameHandler = (frame: Frame, connection: Connection) => boolean

/** Room for one frame; the same object is handed out again by the next `reserve`. */
export interface Reservation {
  buffer: Buffer
  offset: number
}

/** Told once how a request of ours ended. */
export interface ResponseReceiver {
  answered(response: RemotingCommand): void
  failed(error: Error): void
}

/** One TCP connection, whoever opened it. All its output of one turn of the event loop leaves in one socket write. */
export interface Connection {
  /** Unique within its server or client, from 1. */
  readonly id: number
  /** Numeric, without brackets. */
  readonly remoteHost: string
  readonly remotePort: number
  /** `ip:port`, IPv6 in brackets. */
  readonly remoteAddress: string
  /** 8 or 20 bytes, as a stored message has it for its born host. */
  readonly remoteHostBytes: Buffer
  readonly localHost: string
  /** Monotonic ms. */
  readonly openedMs: number
  /** Output that the operating system has not taken yet. */
  readonly bufferedBytes: number
  readonly closed: boolean
  /** For the owner of the handlers: what belongs to this connection. */
  attachment: unknown

  /** Fills in opaque, flag, language, version and serialize type of `response` and sends it; nothing for a one-way request or when closed. */
  respond(request: RequestHead, response: RemotingCommand): void
  /** Room in this turn's output for a frame of up to `bytesMax` composed in place; nothing else may be written before `commit`. */
  reserve(bytesMax: number): Reservation
  /** The first `bytes` of the last reservation are a whole frame. Without it the reservation is void. */
  commit(bytes: number): void
  /**
   * Sends views as they are, in order with everything else; they must not change until written, so they must be written once only. `blocks`: each
   * is held there, and let go when it is written; what a broken connection still has is not.
   */
  writeChunks(chunks: readonly Buffer[], blocks?: Blocks): void
  /** A request from us; rejects with RemotingError. Accuracy of the time limit: 100 ms. */
  invoke(command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand>
  /** `invoke` without a promise. */
  call(command: RemotingCommand, timeoutMs: number, receiver: ResponseReceiver): void
  /** A request that gets no answer; dropped when the connection is closed or its output is over the limit. */
  oneway(command: RemotingCommand): void
  /** Closes at once; what was not written is lost. `reason` is for the log and the close listeners. */
  close(reason: string): void
}

/** A connection as the server or client that it belongs to handles it; users of the room do not see this side. */
export interface OwnedConnection extends Connection {
  /** What this connection counts for in its endpoint's totals. */
  readonly accountedOutputBytes: number
  readonly accountedInputBytes: number
  /** Hands everything of this turn to the socket at once. */
  flush(): void
  /** Once a second: idle, stalled? */
  sweep(): void
  /** Reads nothing more while there is a reason not to. */
  holdIfNeeded(): void
  /** As `close`, when the other side is to blame: logged at a bounded rate. */
  drop(reason: string): void
  /** Sends what there is, then closes. */
  end(reason: string): void
  /** For a connection that was ended and does not get rid of its output. */
  abort(): void
}

export type ConnectionListener = (connection: Connection) => void
export type CloseListener = (connection: Connection, reason: string) => void
