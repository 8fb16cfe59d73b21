import { type Blocks, collectedBlocks, type Socket } from '../platform/index.ts'
import {
  CommandFlag,
  decodeCommand,
  encodeCommand,
  encodeHost,
  type Frame,
  OWN_LANGUAGE,
  OWN_VERSION,
  ProtocolError,
  peekCode,
  type RemotingCommand,
  ResponseCode,
  response
} from '../protocol/index.ts'
import { TICK_MS } from './deadlines.ts'
import type { Endpoint } from './endpoint.ts'
import { RemotingError } from './errors.ts'
import { InputQueue } from './input.ts'
import { Invocations, PromiseReceiver } from './invocation.ts'
import { OutputBuffer } from './output.ts'
import type { OwnedConnection, RequestHead, Reservation, ResponseReceiver } from './types.ts'

const REMARK_CHARACTERS_MAX = 2_048

/**
 * One socket with its frames in and out. The side that opened it makes no difference: requests come and go both ways, and the flag's
 * lowest bit tells an answer from a request, as the two number spaces of `opaque` overlap (remoting.md 5.4).
 *
 * Reading is *held* while the other side does not take its answers or while too many requests are being handled:
 *
 *   reading --(output over outputPauseBytes, handlingMax, or the server is quiet)--> held: socket paused, frames already here wait
 *   held --(output left, handlers answered)--> reading
 */
export class SocketConnection implements OwnedConnection {
  readonly id: number
  readonly openedMs: number
  remoteHost: string
  remotePort: number
  remoteAddress: string
  localHost: string
  closed = false
  attachment: unknown = null
  accountedOutputBytes = 0
  accountedInputBytes = 0
  /** Tick of the last traffic in either direction. */
  activeTick: number
  /** Of our own, waiting for answers. */
  readonly invocations: Invocations

  readonly #endpoint: Endpoint
  readonly #socket: Socket
  readonly #input: InputQueue
  readonly #output: OutputBuffer
  #remoteHostBytes: Buffer | null = null
  #connected: boolean
  #flushScheduled = false
  /** What the socket had not passed on when last looked at. */
  #socketBytes = 0
  #stalledSinceTick: number
  #held = false
  #pumping = false
  /** Promises of handlers still open. */
  #handling = 0
  #closeReason: string | null = null

  constructor(endpoint: Endpoint, socket: Socket, connectedTo: string | null) {
    this.#endpoint = endpoint
    this.#socket = socket
    this.id = endpoint.nextConnectionId()
    this.openedMs = endpoint.clock.monotonicMs()
    this.#input = new InputQueue(endpoint.limits.frameBytesMax)
    this.#output = new OutputBuffer(endpoint.pool)
    this.activeTick = endpoint.wheel.now
    this.#stalledSinceTick = this.activeTick
    this.#connected = connectedTo === null
    this.remoteHost = socket.remoteAddress
    this.remotePort = socket.remotePort
    this.localHost = socket.localAddress
    this.remoteAddress = connectedTo ?? printAddress(this.remoteHost, this.remotePort)
    this.invocations = new Invocations(endpoint.wheel, this.remoteAddress)
    endpoint.connections.add(this)
    socket.onData({ room: () => endpoint.received, received: bytes => this.#received(bytes) })
    socket.onDrain(() => this.#drained())
    socket.onClose(error => this.#ended(error))
    if (connectedTo !== null) socket.onConnect(() => this.#established())
  }

  get connected(): boolean {
    return this.#connected
  }

  get bufferedBytes(): number {
    return this.#output.pendingBytes + this.#socketBytes
  }

  get remoteHostBytes(): Buffer {
    const bytes = this.#remoteHostBytes ?? encodeHost(this.remoteHost, this.remotePort)
    this.#remoteHostBytes = bytes
    return bytes
  }

  respond(request: RequestHead, answer: RemotingCommand): void {
    if (this.closed || (request.flag & CommandFlag.oneway) !== 0) return
    answer.opaque = request.opaque
    answer.serializeType = request.serializeType
    answer.flag = CommandFlag.response
    answer.language = OWN_LANGUAGE
    answer.version = OWN_VERSION
    const parts = encodeCommand(answer)
    const bytes = lengthOf(parts)
    if (bytes <= this.#endpoint.limits.frameBytesMax) {
      this.writeChunks(parts)
      return
    }
    const remark = `the answer has ${bytes} bytes, a frame may have ${this.#endpoint.limits.frameBytesMax}`
    this.#endpoint.noise.warn(this.#endpoint.clock.monotonicMs(), 'Answer too large', {
      remote: this.remoteAddress,
      bytes
    })
    this.respond(request, response(ResponseCode.SYSTEM_ERROR, remark))
  }

  reserve(bytesMax: number): Reservation {
    return this.#output.reserve(bytesMax)
  }

  commit(bytes: number): void {
    this.#output.commit(bytes)
    this.#written()
  }

  writeChunks(chunks: readonly Buffer[], blocks: Blocks = collectedBlocks): void {
    if (this.closed) return
    for (const chunk of chunks) this.#output.append(chunk, blocks)
    this.#written()
  }

  invoke(command: RemotingCommand, timeoutMs: number): Promise<RemotingCommand> {
    return new Promise((resolve, reject) => {
      this.call(command, timeoutMs, new PromiseReceiver(resolve, reject))
    })
  }

  call(command: RemotingCommand, timeoutMs: number, receiver: ResponseReceiver): void {
    const refusal = this.#refuses()
    if (refusal !== null) {
      receiver.failed(refusal)
      return
    }
    let opaque = this.#endpoint.nextOpaque()
    while (this.invocations.has(opaque)) opaque = this.#endpoint.nextOpaque()
    command.opaque = opaque
    command.flag = 0
    const parts = encodeCommand(command)
    const tooLarge = this.#tooLarge(lengthOf(parts))
    if (tooLarge !== null) {
      receiver.failed(tooLarge)
      return
    }
    this.invocations.add(opaque, timeoutMs, receiver)
    this.writeChunks(parts)
  }

  oneway(command: RemotingCommand): void {
    if (this.closed || this.bufferedBytes > this.#endpoint.limits.outputMaxBytes / 2) return
    command.opaque = this.#endpoint.nextOpaque()
    command.flag = CommandFlag.oneway
    const parts = encodeCommand(command)
    const tooLarge = this.#tooLarge(lengthOf(parts))
    if (tooLarge !== null) throw tooLarge
    this.writeChunks(parts)
  }

  close(reason: string): void {
    if (this.closed) return
    this.closed = true
    this.#closeReason = reason
    this.#output.discard()
    this.#forgetInput()
    this.#socket.destroy()
  }

  drop(reason: string): void {
    if (this.closed) return
    this.#endpoint.noise.warn(this.#endpoint.clock.monotonicMs(), 'Connection dropped', {
      remote: this.remoteAddress,
      reason
    })
    this.close(reason)
  }

  end(reason: string): void {
    if (this.closed) return
    if (!this.#connected) {
      this.close(reason)
      return
    }
    this.flush()
    if (this.closed) return
    this.closed = true
    this.#closeReason = reason
    this.#forgetInput()
    this.#socket.end()
  }

  abort(): void {
    this.closed = true
    this.#closeReason ??= 'aborted'
    this.#socket.destroy()
  }

  flush(): void {
    this.#flushScheduled = false
    if (this.closed || !this.#connected) return
    if (this.#output.pendingBytes > 0) {
      this.activeTick = this.#endpoint.wheel.now
      this.#socket.write(this.#output.take())
    }
    this.#lookAtSocket()
    this.#resumeIfPossible()
  }

  sweep(): void {
    if (this.closed) return
    const { limits, wheel } = this.#endpoint
    const msOf = (sinceTick: number): number => (wheel.now - sinceTick) * TICK_MS
    if (this.#connected) {
      this.#lookAtSocket()
      if (this.#socketBytes > 0 && msOf(this.#stalledSinceTick) >= limits.outputStallMs) {
        this.drop(`took none of ${this.bufferedBytes} waiting bytes for ${limits.outputStallMs} ms`)
        return
      }
      this.#resumeIfPossible()
    }
    if (msOf(this.activeTick) >= limits.idleMs) this.close(`idle for ${limits.idleMs} ms`)
  }

  #refuses(): RemotingError | null {
    const { limits } = this.#endpoint
    if (this.closed) {
      return new RemotingError(
        'LMQ_CONNECTION_CLOSED',
        `${this.remoteAddress}: ${this.#closeReason}`
      )
    }
    if (this.invocations.size >= limits.invocationsMax) {
      return new RemotingError(
        'LMQ_TOO_MANY_REQUESTS',
        `${limits.invocationsMax} requests to ${this.remoteAddress} wait for answers`
      )
    }
    if (this.bufferedBytes > limits.outputMaxBytes / 2) {
      return new RemotingError(
        'LMQ_TOO_MANY_REQUESTS',
        `${this.bufferedBytes} bytes to ${this.remoteAddress} wait to be sent`
      )
    }
    return null
  }

  #tooLarge(bytes: number): RemotingError | null {
    const { frameBytesMax } = this.#endpoint.limits
    if (bytes <= frameBytesMax) return null
    return new RemotingError(
      'LMQ_FRAME_TOO_LARGE',
      `request of ${bytes} bytes, a frame may have ${frameBytesMax}`
    )
  }

  #established(): void {
    if (this.closed) return
    this.#connected = true
    this.remoteHost = this.#socket.remoteAddress
    this.remotePort = this.#socket.remotePort
    this.localHost = this.#socket.localAddress
    this.activeTick = this.#endpoint.wheel.now
    this.#endpoint.opened(this)
    this.flush()
  }

  /** After anything was added to the output. */
  #written(): void {
    if (this.closed) {
      this.#output.discard()
      return
    }
    const { outputPauseBytes, outputMaxBytes } = this.#endpoint.limits
    if (this.#output.pendingBytes > outputPauseBytes && this.#connected) {
      // Much in one turn: let the operating system have what it takes before judging.
      this.activeTick = this.#endpoint.wheel.now
      this.#socket.write(this.#output.take())
      this.#lookAtSocket()
    }
    if (this.bufferedBytes > outputMaxBytes && this.#connected) {
      this.drop(`${this.bufferedBytes} bytes of output wait, limit ${outputMaxBytes}`)
      return
    }
    if (!this.#flushScheduled) {
      this.#flushScheduled = true
      this.#endpoint.willFlush(this)
    }
  }

  #lookAtSocket(): void {
    const bytes = this.#socket.bufferedBytes
    if (bytes === 0) this.#output.released()
    if (bytes < this.#socketBytes || this.#socketBytes === 0) {
      this.#stalledSinceTick = this.#endpoint.wheel.now
    }
    this.#socketBytes = bytes
    const accounted = bytes === 0 ? 0 : bytes + this.#output.heldBytes
    const change = accounted - this.accountedOutputBytes
    this.accountedOutputBytes = accounted
    if (change !== 0) this.#endpoint.outputChanged(change)
  }

  #drained(): void {
    if (this.closed) return
    this.activeTick = this.#endpoint.wheel.now
    this.#lookAtSocket()
    this.#resumeIfPossible()
  }

  #mustHold(): boolean {
    const { quiet, limits } = this.#endpoint
    const { outputPauseBytes, handlingMax } = limits
    return quiet || this.bufferedBytes > outputPauseBytes || this.#handling >= handlingMax
  }

  #resumeIfPossible(): void {
    if (!this.#held || this.closed || this.#mustHold()) return
    this.#held = false
    this.#pump()
    if (!this.#held && !this.closed) this.#socket.resume()
  }

  #received(bytes: number): void {
    if (this.closed) return
    this.activeTick = this.#endpoint.wheel.now
    this.#input.push(this.#endpoint.received.subarray(0, bytes))
    this.#pump()
    this.#input.keep()
  }

  /** Handles the frames that are here, until held. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (!this.closed && !this.#held) {
        const frame = this.#input.next()
        if (frame === null) break
        this.#dispatch(frame)
        if (this.#mustHold()) this.#hold()
      }
    } catch (error) {
      this.drop(`malformed frame: ${messageOf(error)}`)
    } finally {
      this.#pumping = false
    }
    if (!this.closed) this.#accountInput(this.#input.pendingBytes)
  }

  /** Looks again whether to read on; for what changed outside of this connection. */
  holdIfNeeded(): void {
    if (this.#mustHold()) this.#hold()
  }

  #hold(): void {
    if (this.#held || this.closed) return
    this.#held = true
    this.#socket.pause()
    if (!this.#flushScheduled) {
      this.#flushScheduled = true
      this.#endpoint.willFlush(this)
    }
  }

  #accountInput(bytes: number): void {
    const change = bytes - this.accountedInputBytes
    this.accountedInputBytes = bytes
    if (change !== 0) this.#endpoint.inputChanged(change)
  }

  #forgetInput(): void {
    this.#input.discard()
    this.#accountInput(0)
  }

  /** Throws what the protocol throws for a frame that cannot be read. */
  #dispatch(frame: Frame): void {
    const { frameHandlers } = this.#endpoint
    if (frameHandlers.size > 0) {
      const handler = frameHandlers.get(peekCode(frame))
      if (handler !== undefined) {
        try {
          if (handler(frame, this)) return
        } catch (error) {
          const command = decodeCommand(frame)
          this.#failed(command, command.code, error)
          return
        }
      }
    }
    const command = decodeCommand(frame)
    // What handles it may go on after this turn, and bytes where all connections receive do not stay.
    if (command.body?.buffer === this.#endpoint.received.buffer)
      command.body = Buffer.from(command.body)
    if ((command.flag & CommandFlag.response) !== 0) this.#answered(command)
    else this.#requested(command)
  }

  #answered(command: RemotingCommand): void {
    if (this.invocations.answered(command)) return
    this.#endpoint.logger.debug('Answer to no request of ours, or too late', {
      remote: this.remoteAddress,
      opaque: command.opaque
    })
  }

  #requested(command: RemotingCommand): void {
    const handler = this.#endpoint.handlers.get(command.code) ?? this.#endpoint.defaultHandler
    if (handler === null) {
      const remark = ` request type ${command.code} not supported`
      this.respond(command, response(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark))
      return
    }
    try {
      const answer = handler(command, this)
      if (answer instanceof Promise) this.#await(command, answer)
      else if (answer !== null) this.respond(command, answer)
    } catch (error) {
      this.#failed(command, command.code, error)
    }
  }

  #await(request: RemotingCommand, answer: Promise<RemotingCommand | null>): void {
    this.#handling += 1
    answer
      .then(
        value => {
          if (value !== null) this.respond(request, value)
        },
        error => this.#failed(request, request.code, error)
      )
      .catch(error => this.#failed(request, request.code, error))
      .finally(() => {
        this.#handling -= 1
        if (this.#held && this.#output.pendingBytes === 0) this.#resumeIfPossible()
      })
  }

  /** A handler threw: the client's mistake when the protocol says so, else ours. */
  #failed(request: RequestHead, code: number, error: unknown): void {
    const message = messageOf(error)
    if (!(error instanceof ProtocolError)) {
      this.#endpoint.noise.warn(this.#endpoint.clock.monotonicMs(), 'A request handler failed', {
        code,
        remote: this.remoteAddress,
        error: error instanceof Error ? (error.stack ?? message) : message
      })
    }
    this.respond(
      request,
      response(ResponseCode.SYSTEM_ERROR, message.slice(0, REMARK_CHARACTERS_MAX))
    )
  }

  #ended(error: Error | null): void {
    this.closed = true
    const reason = this.#closeReason ?? error?.message ?? 'closed by the other side'
    this.#closeReason = reason
    this.#output.discard()
    this.#forgetInput()
    const output = this.accountedOutputBytes
    this.accountedOutputBytes = 0
    this.#socketBytes = 0
    if (output !== 0) this.#endpoint.outputChanged(-output)
    const code = this.#connected ? 'LMQ_CONNECTION_CLOSED' : 'LMQ_CONNECT_FAILED'
    const message = `${this.remoteAddress}: ${reason}`
    this.invocations.fail(new RemotingError(code, message, error ?? undefined))
    this.#endpoint.closed(this, reason)
  }
}

function lengthOf(parts: readonly Buffer[]): number {
  let bytes = 0
  for (const part of parts) bytes += part.length
  return bytes
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function printAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
