import type { SendAnswer, SendHeader } from '../../protocol/index.ts'
import type { Connection, RequestHead } from '../../remoting/index.ts'
import type { AppendFailure, AppendWaiter, BatchAppendWaiter } from '../../store/index.ts'
import type { OpenSend } from './openSends.ts'

/** What the waiters of a broker tell. */
export interface SendOutcome {
  stored(send: SendWaiter): void
  failed(send: SendWaiter, reason: AppendFailure): void
  /** After `failed('timeout')`. */
  storedLate(send: SendWaiter): void
}

/** One message on its way: the only object that a send costs. It is the answer's data at the same time. */
export class SendWaiter implements AppendWaiter, SendAnswer, RequestHead {
  queueOffset = 0
  physicalOffset = 0
  storeTimestamp = 0
  readonly code = 0
  /** UNIQ_KEY of a half message, as 5.3 answers it. */
  transactionId: string | null = null
  /** Takes a message back that waits for its time; null: no such message. */
  recallHandle: string | null = null
  batchPhysicalOffsets: readonly number[] | null = null
  /** Its sender got no answer that says that it is stored; null: not so far. */
  open: OpenSend | null = null
  readonly connection: Connection
  readonly opaque: number
  readonly flag: number
  readonly serializeType: number
  /** The queue that the client meant, also when the message lies in the schedule topic. */
  readonly queueId: number
  /** Where it lies, for the figures. */
  readonly topic: string
  readonly storedQueueId: number
  readonly bytes: number
  readonly #outcome: SendOutcome

  /** What the header says is copied: it is reused. */
  constructor(
    outcome: SendOutcome,
    connection: Connection,
    header: SendHeader,
    place: { topic: string; queueId: number; storedQueueId: number },
    bytes: number
  ) {
    this.#outcome = outcome
    this.connection = connection
    this.opaque = header.opaque
    this.flag = header.commandFlag
    this.serializeType = header.serializeType
    this.topic = place.topic
    this.queueId = place.queueId
    this.storedQueueId = place.storedQueueId
    this.bytes = bytes
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

  storedLate(): void {
    this.#outcome.storedLate(this)
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
