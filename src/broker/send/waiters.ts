import type { SendAnswer } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { AppendFailure, AppendWaiter, BatchAppendWaiter } from '../../store/index.ts'

/** Where the answer to a send goes: the few things of a request that are needed when its message is stored. */
export interface ReplyTo {
  readonly connection: Connection
  readonly opaque: number
  /** CommandFlag bits of the request. */
  readonly flag: number
  readonly serializeType: number
}

/** What the waiters of a broker tell. */
export interface SendOutcome {
  stored(send: SendWaiter): void
  failed(send: SendWaiter, reason: AppendFailure): void
}

/** One message on its way: the only object that a send costs. It is the answer's data at the same time. */
export class SendWaiter implements AppendWaiter, SendAnswer, ReplyTo {
  queueOffset = 0
  physicalOffset = 0
  storeTimestamp = 0
  readonly code = 0
  readonly transactionId = null
  batchPhysicalOffsets: readonly number[] | null = null
  readonly connection: Connection
  readonly opaque: number
  readonly flag: number
  readonly serializeType: number
  /** The queue that the client meant, also when the message lies in the schedule topic. */
  readonly queueId: number
  readonly topic: string
  readonly bodyBytes: number
  readonly #outcome: SendOutcome

  constructor(
    outcome: SendOutcome,
    reply: ReplyTo,
    topic: string,
    queueId: number,
    bodyBytes: number
  ) {
    this.#outcome = outcome
    this.connection = reply.connection
    this.opaque = reply.opaque
    this.flag = reply.flag
    this.serializeType = reply.serializeType
    this.topic = topic
    this.queueId = queueId
    this.bodyBytes = bodyBytes
  }

  /** Messages that this send stores. */
  get messages(): number {
    return 1
  }

  stored(): void {
    this.#outcome.stored(this)
  }

  failed(reason: AppendFailure): void {
    this.#outcome.failed(this, reason)
  }
}

/** A batch on its way: one entry, one answer. */
export class BatchSendWaiter extends SendWaiter implements BatchAppendWaiter {
  physicalOffsets: number[] = []
  queueOffsets: number[] = []

  override get messages(): number {
    return this.physicalOffsets.length
  }

  override stored(): void {
    this.batchPhysicalOffsets = this.physicalOffsets
    super.stored()
  }
}
