import { isOneway, type RemotingCommand, ResponseCode, response } from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { Connection } from '../../remoting/index.ts'
import {
  directCaller,
  FORWARDED_REQUEST,
  type Forwarder,
  forwardKeyName,
  forwardKeyRoom,
  markNotLeader,
  unwrapForwarded
} from '../forward/index.ts'
import type { BrokerContext } from './context.ts'
import type { Caller, Handler } from './handler.ts'

/** Brings requests to their handlers: here, or at the leader. */
export class Dispatcher {
  readonly #broker: BrokerContext
  readonly #acceptsWrites: () => boolean
  readonly #handlers = new Map<number, Handler>()
  #forwarder: Forwarder | null = null
  /** Why this node serves nobody, as a sentence; null: it serves. */
  outside: string | null = null

  /** `acceptsWrites`: leads, and is not handing over. */
  constructor(broker: BrokerContext, acceptsWrites: () => boolean) {
    this.#broker = broker
    this.#acceptsWrites = acceptsWrites
  }

  /** Enters all handlers at the server; a code may have one handler only. */
  install(handlers: readonly Handler[], forwarder: Forwarder): void {
    this.#forwarder = forwarder
    const { server } = this.#broker
    for (const handler of handlers) {
      if (this.#handlers.has(handler.code))
        throw new Error(`request code ${handler.code} has two handlers`)
      this.#handlers.set(handler.code, handler)
      server.handle(handler.code, (request, connection) =>
        this.#dispatch(handler, request, directCaller(connection))
      )
    }
    server.handle(FORWARDED_REQUEST, (request, connection) => this.#unwrap(request, connection))
  }

  #unwrap(
    wrapped: RemotingCommand,
    connection: Connection
  ): RemotingCommand | null | Promise<RemotingCommand | null> {
    const key = this.#broker.store.tables.values(forwardKeyRoom).get(forwardKeyName)
    const opened = unwrapForwarded(wrapped, connection, key)
    if (opened === null)
      return response(
        ResponseCode.NO_PERMISSION,
        'only members of this group may forward requests to it'
      )
    const { request, caller } = opened
    const handler = this.#handlers.get(request.code)
    if (handler === undefined)
      return response(
        ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        ` request type ${request.code} not supported`
      )
    return this.#dispatch(handler, request, caller)
  }

  #dispatch(
    handler: Handler,
    request: RemotingCommand,
    caller: Caller
  ): RemotingCommand | null | Promise<RemotingCommand | null> {
    if (this.outside !== null && handler.outsideToo !== true)
      return response(ResponseCode.SERVICE_NOT_AVAILABLE, this.outside)
    if (handler.needsLeader && !this.#acceptsWrites())
      return this.#elsewhere(handler, request, caller)
    const answer = this.#call(handler, request, caller)
    return answer instanceof Promise ? this.#caught(handler, request, caller, answer) : answer
  }

  #caught(
    handler: Handler,
    request: RemotingCommand,
    caller: Caller,
    answer: Promise<RemotingCommand | null>
  ): Promise<RemotingCommand | null> {
    const { clock } = this.#broker.platform
    const startedMs = clock.monotonicMs()
    return answer.catch((error: unknown) => {
      // What it waited here is part of its age: an offset must not overtake a newer one at the next leader.
      const heldMs = caller.heldMs + clock.monotonicMs() - startedMs
      return this.#afterError(handler, request, { ...caller, heldMs }, error)
    })
  }

  #call(
    handler: Handler,
    request: RemotingCommand,
    caller: Caller
  ): RemotingCommand | null | Promise<RemotingCommand | null> {
    try {
      return handler.handle(request, caller, this.#broker)
    } catch (error) {
      return this.#afterError(handler, request, caller, error)
    }
  }

  /** Leadership was lost on the way, before anything was done: the next leader gets it. All else is the server's to answer. */
  #afterError(
    handler: Handler,
    request: RemotingCommand,
    caller: Caller,
    error: unknown
  ): RemotingCommand | null {
    if (!(error instanceof NotLeaderError) || !handler.needsLeader) throw error
    return this.#elsewhere(handler, request, caller)
  }

  #elsewhere(handler: Handler, request: RemotingCommand, caller: Caller): RemotingCommand | null {
    // One hop: the member that forwarded it looks for the leader again.
    if (caller.forwarded)
      return markNotLeader(
        response(ResponseCode.SERVICE_NOT_AVAILABLE, 'this broker does not lead its group')
      )
    this.#forwarder?.submit(handler, request, caller)
    return null
  }

  /** Carries out a request that was held, as if it had just come. */
  run(handler: Handler, request: RemotingCommand, caller: Caller): void {
    const respond = (answer: RemotingCommand | null): void => {
      if (answer !== null && !isOneway(request)) caller.connection.respond(request, answer)
    }
    const fail = (error: unknown): void => {
      const text = error instanceof Error ? error.message : String(error)
      this.#broker.logger.warn('Held request failed', { code: request.code, reason: text })
      respond(response(ResponseCode.SYSTEM_ERROR, text))
    }
    try {
      const answer = this.#call(handler, request, caller)
      if (!(answer instanceof Promise)) respond(answer)
      else this.#caught(handler, request, caller, answer).then(respond, fail)
    } catch (error) {
      fail(error)
    }
  }
}
