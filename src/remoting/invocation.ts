import type { RemotingCommand } from '../protocol/index.ts'
import type { SocketConnection } from './connection.ts'
import { Deadline } from './deadlines.ts'
import { RemotingError } from './errors.ts'
import type { ResponseReceiver } from './types.ts'

/** A request of ours that waits for its answer. */
export class Invocation extends Deadline {
  readonly opaque: number
  readonly receiver: ResponseReceiver
  readonly #connection: SocketConnection
  readonly #timeoutMs: number

  constructor(
    connection: SocketConnection,
    opaque: number,
    timeoutMs: number,
    receiver: ResponseReceiver
  ) {
    super()
    this.#connection = connection
    this.#timeoutMs = timeoutMs
    this.opaque = opaque
    this.receiver = receiver
  }

  expire(): void {
    this.#connection.forget(this)
    this.receiver.failed(
      new RemotingError(
        'LMQ_REQUEST_TIMEOUT',
        `${this.#connection.remoteAddress} did not answer within ${this.#timeoutMs} ms`
      )
    )
  }
}

export class PromiseReceiver implements ResponseReceiver {
  readonly #resolve: (response: RemotingCommand) => void
  readonly #reject: (error: Error) => void

  constructor(resolve: (response: RemotingCommand) => void, reject: (error: Error) => void) {
    this.#resolve = resolve
    this.#reject = reject
  }

  answered(response: RemotingCommand): void {
    this.#resolve(response)
  }

  failed(error: Error): void {
    this.#reject(error)
  }
}
