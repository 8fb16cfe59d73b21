import { isOneway, type RemotingCommand, ResponseCode, response } from '../../protocol/index.ts'
import { NotLeaderError } from '../../raft/index.ts'
import type { Connection } from '../../remoting/index.ts'
import { callerOf, type Forwarder, forwardKeyName, forwardKeyRoom, markNotLeader } from '../forward/index.ts'
import type { BrokerContext } from './context.ts'
import type { Caller, Handler } from './handler.ts'

/** Brings requests to their handlers: here, or at the leader. */
export class Dispatcher {
  readonly #broker: BrokerContext
  readonly #acceptsWrites: () => boolean
  #forwarder: Forwarder | null = null

  /** `acceptsWrites`: leads, and is not handing over. */
  constructor(broker: BrokerContext, acceptsWrites: () => boolean) {
    this.#broker = broker
    this.#acceptsWrites = acceptsWrites
  }

  /** Enters all handlers at the server; a code may have one handler only. */
  install(handlers: readonly Handler[], forwarder: Forwarder): void {
    this.#forwarder = forwarder
    const codes = new Set<number>()
    for (const handler of handlers) {
      if (codes.has(handler.code)) throw new Error(`request code ${handler.code} has two handlers`)
      codes.add(handler.code)
      this.#broker.server.handle(handler.code, (request, connection) =>
        this.#dispatch(handler, request, connection)
      )
    }
  }

  #dispatch(
    handler: Handler,
    request: RemotingCommand,
    connection: Connection
  ): RemotingCommand | null | Promise<RemotingCommand | null> {
    const key = this.#broker.store.tables.values(forwardKeyRoom).get(forwardKeyName)
    const caller = callerOf(request, connection, key)
    if (handler.needsLeader && !this.#acceptsWrites()) return this.#elsewhere(handler, request, caller)
    const answer = this.#call(handler, request, caller)
    if (answer instanceof Promise)
      return answer.catch((error: unknown) => this.#afterError(handler, request, caller, error))
    return answer
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
      return markNotLeader(response(ResponseCode.SERVICE_NOT_AVAILABLE, 'this broker does not lead its group'))
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
      else
        answer
          .catch((error: unknown) => this.#afterError(handler, request, caller, error))
          .then(respond, fail)
    } catch (error) {
      fail(error)
    }
  }
}
