import type { RemotingCommand } from '../protocol/index.ts'
import { Deadline, type DeadlineWheel } from './deadlines.ts'
import { RemotingError } from './errors.ts'
import type { ResponseReceiver } from './types.ts'

/** A request of ours that waits for its answer. */
class Invocation extends Deadline {
  readonly opaque: number
  readonly receiver: ResponseReceiver
  readonly timeoutMs: number
  readonly #owner: Invocations

  constructor(owner: Invocations, opaque: number, timeoutMs: number, receiver: ResponseReceiver) {
    super()
    this.#owner = owner
    this.opaque = opaque
    this.timeoutMs = timeoutMs
    this.receiver = receiver
  }

  expire(): void {
    this.#owner.expired(this)
  }
}

/** The requests of ours that wait on one connection, by their opaque. */
export class Invocations {
  readonly #wheel: DeadlineWheel
  readonly #remoteAddress: string
  readonly #waiting = new Map<number, Invocation>()

  constructor(wheel: DeadlineWheel, remoteAddress: string) {
    this.#wheel = wheel
    this.#remoteAddress = remoteAddress
  }

  get size(): number {
    return this.#waiting.size
  }

  has(opaque: number): boolean {
    return this.#waiting.has(opaque)
  }

  add(opaque: number, timeoutMs: number, receiver: ResponseReceiver): void {
    const invocation = new Invocation(this, opaque, timeoutMs, receiver)
    this.#waiting.set(opaque, invocation)
    this.#wheel.add(invocation, timeoutMs)
  }

  /** False: nobody waits for it, or not any more. */
  answered(response: RemotingCommand): boolean {
    const invocation = this.#waiting.get(response.opaque)
    if (invocation === undefined) return false
    this.#forget(invocation)
    invocation.receiver.answered(response)
    return true
  }

  expired(invocation: Invocation): void {
    this.#forget(invocation)
    const message = `${this.#remoteAddress} did not answer within ${invocation.timeoutMs} ms`
    invocation.receiver.failed(new RemotingError('LMQ_REQUEST_TIMEOUT', message))
  }

  /** The connection is gone: everybody is told. */
  fail(error: RemotingError): void {
    for (const invocation of [...this.#waiting.values()]) {
      this.#forget(invocation)
      invocation.receiver.failed(error)
    }
  }

  #forget(invocation: Invocation): void {
    this.#waiting.delete(invocation.opaque)
    this.#wheel.remove(invocation)
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
